//! Root-mean-square normalisation (Zhang and Sennrich 2019), alone and fused with the residual sum
//! before it.

use std::sync::Arc;

use super::parameter::Parameter;
use super::workspace::Workspace;
use crate::error::Result;
use crate::tensor::{Backend, Buffer};

/// y = x rstd weight with rstd = 1 / sqrt(mean(x^2) + eps); weight `[hidden_size]`.
#[derive(Debug)]
pub struct RMSNorm {
    backend: Arc<dyn Backend>,
    weight: Parameter,
    eps: f64,
    saved: Arc<Workspace>,
    names: Names,
    /// Columns.
    pub hidden_size: usize,
}

/// What the workspace calls the buffers: made once, so that a step builds no strings.
#[derive(Debug)]
struct Names {
    y: String,
    h: String,
    rstd: String,
}

impl RMSNorm {
    /// A norm whose buffers in `saved` begin with `name`.
    pub fn new(
        backend: Arc<dyn Backend>,
        weight: Parameter,
        eps: f64,
        saved: Arc<Workspace>,
        name: &str,
    ) -> Self {
        let names = Names {
            y: format!("{name}.y"),
            h: format!("{name}.h"),
            rstd: format!("{name}.rstd"),
        };
        let hidden_size = weight.shape[0];
        Self {
            backend,
            weight,
            eps,
            saved,
            names,
            hidden_size,
        }
    }

    /// The normed rows of the last forward, `[rows, hidden_size]`.
    pub fn y(&self, rows: usize) -> Result<Buffer> {
        self.saved.f32(&self.names.y, rows * self.hidden_size)
    }

    /// The sums of the last [`RMSNorm::forward_residual`], `[rows, hidden_size]`.
    pub fn h(&self, rows: usize) -> Result<Buffer> {
        self.saved.f32(&self.names.h, rows * self.hidden_size)
    }

    /// y `[rows, hidden_size]` f32.
    pub fn forward(&self, x: &Buffer, rows: usize) -> Result<Buffer> {
        let (y, rstd) = (self.y(rows)?, self.saved.f32(&self.names.rstd, rows)?);
        let w = &self.weight.weight;
        self.backend
            .rmsnorm_forward(&y, &rstd, x, w, rows, self.hidden_size, self.eps)?;
        Ok(y)
    }

    /// (h, y) with h = x + residual and y the norm of h.
    pub fn forward_residual(
        &self,
        x: &Buffer,
        residual: &Buffer,
        rows: usize,
    ) -> Result<(Buffer, Buffer)> {
        let (h, y) = (self.h(rows)?, self.y(rows)?);
        let rstd = self.saved.f32(&self.names.rstd, rows)?;
        let (w, cols) = (&self.weight.weight, self.hidden_size);
        self.backend
            .rmsnorm_residual_forward(&y, &h, &rstd, x, residual, w, rows, cols, self.eps)?;
        Ok((h, y))
    }

    /// dx from dy; x is the input that forward had. dweight is accumulated.
    pub fn backward(&self, dx: &Buffer, dy: &Buffer, x: &Buffer, rows: usize) -> Result<()> {
        let rstd = self.saved.f32(&self.names.rstd, rows)?;
        let (dw, w) = (self.weight.gradient()?, &self.weight.weight);
        Ok(self
            .backend
            .rmsnorm_backward(dx, dw, dy, x, w, &rstd, rows, self.hidden_size)?)
    }

    /// dx = dh + the gradient of dy through the norm of h. dweight is accumulated.
    pub fn backward_residual(
        &self,
        dx: &Buffer,
        dy: &Buffer,
        dh: &Buffer,
        h: &Buffer,
        rows: usize,
    ) -> Result<()> {
        let rstd = self.saved.f32(&self.names.rstd, rows)?;
        let (dw, w, cols) = (
            self.weight.gradient()?,
            &self.weight.weight,
            self.hidden_size,
        );
        Ok(self
            .backend
            .rmsnorm_residual_backward(dx, dw, dy, dh, h, w, &rstd, rows, cols)?)
    }
}
