//! Token embedding: a row of the table per id.

use std::sync::Arc;

use super::parameter::Parameter;
use crate::error::Result;
use crate::tensor::{Backend, Buffer};

/// `y[t,:] = weight[ids[t],:]`, weight `[vocab_size, hidden_size]`.
#[derive(Debug)]
pub struct Embedding {
    backend: Arc<dyn Backend>,
    /// The table.
    pub weight: Parameter,
    vocab_size: usize,
    hidden_size: usize,
}

impl Embedding {
    /// A lookup in a table.
    pub fn new(backend: Arc<dyn Backend>, weight: Parameter) -> Self {
        let (vocab_size, hidden_size) = (weight.shape[0], weight.shape[1]);
        Self {
            backend,
            weight,
            vocab_size,
            hidden_size,
        }
    }

    /// y `[tokens, hidden_size]` f32 from ids `[tokens]` i32.
    pub fn forward(&self, y: &Buffer, ids: &Buffer, tokens: usize) -> Result<()> {
        let weight = &self.weight.weight;
        Ok(self.backend.embedding_forward(
            y,
            ids,
            weight,
            tokens,
            self.vocab_size,
            self.hidden_size,
        )?)
    }

    /// `dweight[ids[t],:] += dy[t,:]`.
    pub fn backward(&self, dy: &Buffer, ids: &Buffer, tokens: usize) -> Result<()> {
        let grad = self.weight.gradient()?;
        Ok(self.backend.embedding_backward(
            grad,
            dy,
            ids,
            tokens,
            self.vocab_size,
            self.hidden_size,
        )?)
    }
}
