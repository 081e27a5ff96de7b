//! A trainable tensor: a view of the flat parameter buffer and, in training, of the flat gradient
//! buffer.

use crate::error::Result;
use crate::messages;
use crate::tensor::Buffer;

/// `weight` in the model's dtype or in blocks, `grad` f32 or `None` outside training, both holding `shape`
/// row-major.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name in a checkpoint, or of the stack.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Its values.
    pub weight: Buffer,
    /// Its gradient.
    pub grad: Option<Buffer>,
}

impl Parameter {
    /// The gradient buffer; an error when the model was not made for training.
    pub fn gradient(&self) -> Result<&Buffer> {
        self.grad.as_ref().ok_or_else(messages::not_training)
    }
}
