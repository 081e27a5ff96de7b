//! Mixture of experts: route, run the chosen experts, and sum what they say.

use std::sync::Arc;

use super::config::MoEConfig;
use super::router::Router;
use crate::error::Result;
use crate::layer::{SwiGLU, Workspace};
use crate::tensor::{Backend, Buffer};

/// `y[t] = residual[t] + sum_j weights[t,j] expert_{experts[t,j]}(x[t])`, choices in rank order, none
/// dropped.
#[derive(Debug)]
pub struct MoELayer {
    backend: Arc<dyn Backend>,
    /// Chooses.
    pub router: Router,
    experts: SwiGLU,
    hidden_size: usize,
    top_k: usize,
    scratch: Arc<Workspace>,
}

impl MoELayer {
    /// A layer of a router and its experts.
    pub fn new(
        backend: Arc<dyn Backend>,
        config: &MoEConfig,
        router: Router,
        experts: SwiGLU,
        scratch: Arc<Workspace>,
    ) -> Self {
        let (hidden_size, top_k) = (config.hidden_size, config.top_k);
        Self {
            backend,
            router,
            experts,
            hidden_size,
            top_k,
            scratch,
        }
    }

    /// y `[tokens, hidden_size]` from x and residual of the same shape.
    pub fn forward(&self, y: &Buffer, x: &Buffer, residual: &Buffer, tokens: usize) -> Result<()> {
        let (k, h) = (self.top_k, self.hidden_size);
        let r = self.router.forward(x, tokens)?;
        let rows = self
            .experts
            .forward(x, &r.offsets, &r.row_token, tokens * k, tokens)?;
        let residual = Some(residual);
        Ok(self.backend.moe_combine_forward(
            y,
            residual,
            &rows,
            &r.weights,
            &r.token_row,
            tokens,
            k,
            h,
        )?)
    }

    /// dx `[tokens, hidden_size]`; the gradient of the residual is dy itself. Weight gradients are
    /// accumulated.
    pub fn backward(
        &self,
        dy: &Buffer,
        x: &Buffer,
        tokens: usize,
        balance_coef: f64,
        z_coef: f64,
    ) -> Result<Buffer> {
        let (be, k, h) = (&self.backend, self.top_k, self.hidden_size);
        let r = self.router.routing(tokens)?;
        let rows = self.experts.out(tokens * k)?;
        let dweights = self.scratch.f32("moe.dweights", tokens * k)?;
        let dx = self.scratch.f32("moe.dx", tokens * h)?;
        be.moe_combine_backward(
            &rows,
            &dweights,
            dy,
            &rows,
            &r.weights,
            &r.token_row,
            tokens,
            k,
            h,
        )?;
        let drows =
            self.experts
                .backward(&rows, x, &r.offsets, &r.row_token, tokens * k, tokens)?;
        be.moe_dispatch_backward(&dx, &drows, &r.token_row, tokens, k, h)?;
        self.router
            .backward(&dx, &dweights, x, tokens, balance_coef, z_coef)?;
        Ok(dx)
    }
}
