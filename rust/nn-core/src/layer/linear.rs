//! Linear map without bias.

use std::sync::Arc;

use super::parameter::Parameter;
use crate::error::Result;
use crate::tensor::{Backend, Buffer};

/// y = x W^T, W `[out_features, in_features]` row-major, as checkpoints store it.
#[derive(Debug)]
pub struct Linear {
    backend: Arc<dyn Backend>,
    /// W.
    pub weight: Parameter,
    /// Columns of y.
    pub out_features: usize,
    /// Columns of x.
    pub in_features: usize,
}

impl Linear {
    /// A map by a matrix.
    pub fn new(backend: Arc<dyn Backend>, weight: Parameter) -> Self {
        let (out_features, in_features) = (weight.shape[0], weight.shape[1]);
        Self {
            backend,
            weight,
            out_features,
            in_features,
        }
    }

    /// y `[rows, out_features]` = x `[rows, in_features]` W^T.
    pub fn forward(&self, y: &Buffer, x: &Buffer, rows: usize) -> Result<()> {
        let (n, k) = (self.out_features, self.in_features);
        let w = &self.weight.weight;
        Ok(self
            .backend
            .gemm(y, x, w, false, true, rows, n, k, n, k, k, 1.0, 0.0)?)
    }

    /// dW += dy^T x;  dx = dy W, or dx += dy W when `accumulate`.
    pub fn backward(
        &self,
        dx: &Buffer,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        accumulate: bool,
    ) -> Result<()> {
        let (n, k) = (self.out_features, self.in_features);
        let dw = self.weight.gradient()?;
        self.backend
            .gemm(dw, dy, x, true, false, n, k, rows, k, n, k, 1.0, 1.0)?;
        let beta = if accumulate { 1.0 } else { 0.0 };
        let w = &self.weight.weight;
        Ok(self
            .backend
            .gemm(dx, dy, w, false, false, rows, k, n, k, n, k, 1.0, beta)?)
    }
}
