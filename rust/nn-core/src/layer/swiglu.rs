//! The experts' feed-forward network (Shazeer 2020), run as grouped products over rows sorted by
//! expert.

use std::sync::Arc;

use super::parameter::Parameter;
use super::workspace::Workspace;
use crate::error::Result;
use crate::tensor::{Backend, Buffer};

/// rows_e = (silu(x W1_e^T) * (x W3_e^T)) W2_e^T for the routed rows of each expert e.
///
/// w1, w3 `[n_experts, ffn_size, hidden_size]`, w2 `[n_experts, hidden_size, ffn_size]`. Row r of
/// expert e (`offsets[e] <= r < offsets[e+1]`) reads `x[row_token[r],:]`, so the routed copy of x is
/// never made.
#[derive(Debug)]
pub struct SwiGLU {
    backend: Arc<dyn Backend>,
    w1: Parameter,
    w3: Parameter,
    w2: Parameter,
    saved: Arc<Workspace>,
    scratch: Arc<Workspace>,
    n_experts: usize,
    ffn_size: usize,
    hidden_size: usize,
}

impl SwiGLU {
    /// The experts of a layer.
    pub fn new(
        backend: Arc<dyn Backend>,
        (w1, w3, w2): (Parameter, Parameter, Parameter),
        saved: Arc<Workspace>,
        scratch: Arc<Workspace>,
    ) -> Self {
        let (n_experts, ffn_size, hidden_size) = (w1.shape[0], w1.shape[1], w1.shape[2]);
        Self {
            backend,
            w1,
            w3,
            w2,
            saved,
            scratch,
            n_experts,
            ffn_size,
            hidden_size,
        }
    }

    /// `[rows, hidden_size]` of the last forward.
    pub fn out(&self, rows: usize) -> Result<Buffer> {
        self.saved.f32("swiglu.out", rows * self.hidden_size)
    }

    /// `[rows, hidden_size]`, rows = tokens top_k.
    #[rustfmt::skip]
    pub fn forward(
        &self, x: &Buffer, offsets: &Buffer, row_token: &Buffer, rows: usize, tokens: usize,
    ) -> Result<Buffer> {
        let (be, e, f, h) = (&self.backend, self.n_experts, self.ffn_size, self.hidden_size);
        let (w1, w3, w2) = (&self.w1.weight, &self.w3.weight, &self.w2.weight);
        let kept = self.w1.grad.as_ref().map(|_| self.gate_and_up(rows)).transpose()?;
        let (gate, up) = (kept.as_ref().map(|kept| &kept.0), kept.as_ref().map(|kept| &kept.1));
        let s = self.saved.f32("swiglu.s", rows * f)?;
        let out = self.out(rows)?;
        let from = Some(row_token);
        be.gemm_grouped_swiglu_forward(&s, gate, up, x, w1, w3, offsets, from, e, rows, f, h, tokens, f, h, h, f * h)?;
        be.gemm_grouped_rows(&out, &s, w2, offsets, None, true, e, rows, h, f, rows, h, f, f, h * f, 0.0)?;
        Ok(out)
    }

    /// The gradient of each routed row's input `[rows, hidden_size]`; dW1, dW3, dW2 are accumulated.
    #[rustfmt::skip]
    pub fn backward(
        &self, drows: &Buffer, x: &Buffer, offsets: &Buffer, row_token: &Buffer, rows: usize, tokens: usize,
    ) -> Result<Buffer> {
        let (be, e, f, h) = (&self.backend, self.n_experts, self.ffn_size, self.hidden_size);
        let (w1, w3, w2) = (&self.w1.weight, &self.w3.weight, &self.w2.weight);
        let (dw1, dw3, dw2) = (self.w1.gradient()?, self.w3.gradient()?, self.w2.gradient()?);
        let (gate, up) = self.gate_and_up(rows)?;
        let s = self.saved.f32("swiglu.s", rows * f)?;
        let dx = self.scratch.f32("swiglu.dx", rows * h)?;
        let from = Some(row_token);
        be.gemm_grouped_inner(dw2, drows, &s, offsets, None, e, h, f, rows, rows, f, h, f, h * f, 1.0)?;
        be.gemm_grouped_swiglu_backward(&gate, &up, drows, w2, offsets, &gate, &up, e, rows, f, h, f, h, f, h * f)?;
        be.gemm_grouped_inner(dw1, &gate, x, offsets, from, e, f, h, rows, tokens, h, f, h, f * h, 1.0)?;
        be.gemm_grouped_inner(dw3, &up, x, offsets, from, e, f, h, rows, tokens, h, f, h, f * h, 1.0)?;
        be.gemm_grouped_rows(&dx, &gate, w1, offsets, None, false, e, rows, h, f, rows, h, f, h, f * h, 0.0)?;
        be.gemm_grouped_rows(&dx, &up, w3, offsets, None, false, e, rows, h, f, rows, h, f, h, f * h, 1.0)?;
        Ok(dx)
    }

    /// What backward needs of forward; without a backward nobody keeps them.
    fn gate_and_up(&self, rows: usize) -> Result<(Buffer, Buffer)> {
        let count = rows * self.ffn_size;
        Ok((
            self.saved.f32("swiglu.gate", count)?,
            self.saved.f32("swiglu.up", count)?,
        ))
    }
}
