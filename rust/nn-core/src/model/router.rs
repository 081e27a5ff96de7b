//! The router: which experts a token visits, with what weight, and the two losses that keep it
//! balanced.

use std::sync::Arc;

use super::config::MoEConfig;
use crate::error::Result;
use crate::layer::{Linear, Workspace};
use crate::tensor::{Backend, Buffer, DType};

/// One forward's decisions. N tokens, E experts, K chosen, R = N K routed rows sorted by expert.
#[derive(Clone, Debug)]
pub struct Routing {
    /// `[N, E]`
    pub logits: Buffer,
    /// `[N, E]`
    pub probs: Buffer,
    /// `[N, K]` i32, best first
    pub experts: Buffer,
    /// `[N, K]`, summing to 1 per token
    pub weights: Buffer,
    /// `[E + 1]` i32
    pub offsets: Buffer,
    /// `[R]` i32
    pub row_token: Buffer,
    /// `[N, K]` i32
    pub token_row: Buffer,
    /// `[E]`, written when the losses are
    pub fractions: Buffer,
}

/// probs = softmax(x Wr^T) in f32; the K largest, renormalised; rows counted and sorted on the device.
///
/// balance = E/K sum_i f_i P_i and z = mean(logsumexp(logits)^2), each a mean over the layer's tokens.
#[derive(Debug)]
pub struct Router {
    backend: Arc<dyn Backend>,
    gate: Linear,
    n_experts: usize,
    top_k: usize,
    saved: Arc<Workspace>,
    scratch: Arc<Workspace>,
}

impl Router {
    /// A router with the map `gate`.
    pub fn new(
        backend: Arc<dyn Backend>,
        config: &MoEConfig,
        gate: Linear,
        saved: Arc<Workspace>,
        scratch: Arc<Workspace>,
    ) -> Self {
        Self {
            backend,
            gate,
            n_experts: config.n_experts,
            top_k: config.top_k,
            saved,
            scratch,
        }
    }

    /// Routes x `[tokens, hidden_size]`.
    pub fn forward(&self, x: &Buffer, tokens: usize) -> Result<Routing> {
        let (be, e, k, h) = (
            &self.backend,
            self.n_experts,
            self.top_k,
            self.gate.in_features,
        );
        let r = self.routing(tokens)?;
        let weight = self.weight()?;
        be.gemm(
            &r.logits, x, &weight, false, true, tokens, e, h, e, h, h, 1.0, 0.0,
        )?;
        be.moe_route_forward(&r.probs, &r.experts, &r.weights, &r.logits, tokens, e, k)?;
        be.moe_dispatch_forward(
            &r.offsets,
            &r.row_token,
            &r.token_row,
            &r.experts,
            tokens,
            e,
            k,
        )?;
        Ok(r)
    }

    /// `balance[0]` and `z[0]` += this layer's losses.
    pub fn losses(&self, balance: &Buffer, z: &Buffer, tokens: usize) -> Result<()> {
        let (be, e, k) = (&self.backend, self.n_experts, self.top_k);
        let r = self.routing(tokens)?;
        be.moe_balance_loss_forward(balance, &r.fractions, &r.probs, &r.experts, tokens, e, k)?;
        Ok(be.moe_z_loss_forward(z, &r.logits, tokens, e)?)
    }

    /// Restores what the balance loss's backward needs after a recomputed forward, adding to no loss.
    pub fn fractions(&self, tokens: usize) -> Result<()> {
        let (e, k) = (self.n_experts, self.top_k);
        let ignored = self.scratch.f32("router.ignored", 1)?;
        let r = self.routing(tokens)?;
        Ok(self.backend.moe_balance_loss_forward(
            &ignored,
            &r.fractions,
            &r.probs,
            &r.experts,
            tokens,
            e,
            k,
        )?)
    }

    /// dx += the gradient through the router, of the chosen weights and of the two losses; dWr is
    /// accumulated.
    pub fn backward(
        &self,
        dx: &Buffer,
        dweights: &Buffer,
        x: &Buffer,
        tokens: usize,
        balance_coef: f64,
        z_coef: f64,
    ) -> Result<()> {
        let (be, e, k, h) = (
            &self.backend,
            self.n_experts,
            self.top_k,
            self.gate.in_features,
        );
        let r = self.routing(tokens)?;
        let dprobs = self.scratch.f32("router.dprobs", tokens * e)?;
        let dlogits = self.scratch.f32("router.dlogits", tokens * e)?;
        be.moe_balance_loss_backward(&dprobs, &r.fractions, tokens, e, k, balance_coef)?;
        be.moe_z_loss_backward(&dlogits, &r.logits, tokens, e, z_coef)?;
        let (p, z) = (Some(&dprobs), Some(&dlogits));
        be.moe_route_backward(
            &dlogits, dweights, p, z, &r.probs, &r.experts, &r.weights, tokens, e, k,
        )?;
        let dw = self.gate.weight.gradient()?;
        be.gemm(
            dw, &dlogits, x, true, false, e, h, tokens, h, e, h, 1.0, 1.0,
        )?;
        let weight = self.weight()?;
        Ok(be.gemm(
            dx, &dlogits, &weight, false, false, tokens, h, e, h, e, h, 1.0, 1.0,
        )?)
    }

    /// The buffers of the last forward.
    pub fn routing(&self, tokens: usize) -> Result<Routing> {
        let (s, n, rows) = (&self.saved, tokens * self.n_experts, tokens * self.top_k);
        Ok(Routing {
            logits: s.f32("router.logits", n)?,
            probs: s.f32("router.probs", n)?,
            experts: s.get("router.experts", rows, DType::I32)?,
            weights: s.f32("router.weights", rows)?,
            offsets: s.get("router.offsets", self.n_experts + 1, DType::I32)?,
            row_token: s.get("router.row_token", rows, DType::I32)?,
            token_row: s.get("router.token_row", rows, DType::I32)?,
            fractions: s.f32("router.fractions", self.n_experts)?,
        })
    }

    /// The gate in f32: the router stays in f32 whatever the weights are stored in.
    fn weight(&self) -> Result<Buffer> {
        let weight = &self.gate.weight.weight;
        if weight.dtype() == DType::F32 {
            return Ok(weight.clone());
        }
        let count = self.n_experts * self.gate.in_features;
        let wide = self.scratch.f32("router.weight", count)?;
        self.backend.cast(&wide, weight, count)?;
        Ok(wide)
    }
}
