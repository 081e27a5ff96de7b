//! The training loss: cross entropy over the targets that count, plus the routers' two losses.

use std::sync::Arc;

use crate::error::Result;
use crate::layer::Workspace;
use crate::tensor::{Backend, Buffer, DType};

/// Means of one step. `total` = cross_entropy + aux_coef balance + z_coef z.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossValues {
    /// Nats per token that counts.
    pub cross_entropy: f64,
    /// Over the layers.
    pub balance: f64,
    /// Over the layers.
    pub z: f64,
    /// What is minimised.
    pub total: f64,
    /// Targets that count.
    pub count: i64,
}

/// `loss = sum_r (logsumexp(logits_r) - logits_r[target_r]) / count` over rows whose target is not -1.
///
/// `count` is that of the whole accumulated step, so that micro-batches weigh by their targets. With
/// no target that counts the loss and its gradient are 0.
#[derive(Debug)]
pub struct CrossEntropy {
    backend: Arc<dyn Backend>,
    vocab_size: usize,
    /// Of the losses, f32.
    pub sum: Buffer,
    /// Of the targets that count, i64.
    pub count: Buffer,
    saved: Arc<Workspace>,
}

impl CrossEntropy {
    /// Sum and count of 0.
    pub fn new(backend: Arc<dyn Backend>, vocab_size: usize) -> Result<Self> {
        let (sum, count) = (
            backend.buffer(DType::F32, 1)?,
            backend.buffer(DType::I64, 1)?,
        );
        let saved = Workspace::new(backend.clone());
        Ok(Self {
            backend,
            vocab_size,
            sum,
            count,
            saved,
        })
    }

    /// Sum and count to 0, at the start of a step.
    pub fn reset(&self) -> Result<()> {
        self.backend.fill(&self.sum, 1, 0.0)?;
        Ok(self.backend.fill(&self.count, 1, 0.0)?)
    }

    /// count += number of targets that are not -1.
    pub fn add_count(&self, targets: &Buffer, rows: usize) -> Result<()> {
        Ok(self
            .backend
            .cross_entropy_count(&self.count, targets, rows, self.vocab_size)?)
    }

    /// sum += the losses of logits `[rows, vocab_size]` against targets `[rows]` i32.
    pub fn forward(&self, logits: &Buffer, targets: &Buffer, rows: usize) -> Result<()> {
        let (losses, lse) = (
            self.saved.f32("losses", rows)?,
            self.saved.f32("lse", rows)?,
        );
        let v = self.vocab_size;
        Ok(self
            .backend
            .cross_entropy_forward(&self.sum, &losses, &lse, logits, targets, rows, v, v)?)
    }

    /// dlogits, in the place of the logits.
    pub fn backward(&self, logits: &Buffer, targets: &Buffer, rows: usize) -> Result<()> {
        let (lse, v) = (self.saved.f32("lse", rows)?, self.vocab_size);
        let count = &self.count;
        Ok(self
            .backend
            .cross_entropy_backward(logits, logits, &lse, targets, count, rows, v, v)?)
    }

    /// (sum / count, count); 0 when nothing counts.
    pub fn mean(&self) -> Result<(f64, i64)> {
        let count = self.backend.scalar_i64(&self.count)?;
        if count <= 0 {
            return Ok((0.0, count));
        }
        Ok((
            f64::from(self.backend.scalar_f32(&self.sum)?) / count as f64,
            count,
        ))
    }
}
