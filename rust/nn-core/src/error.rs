//! The one error a caller needs to know.

use std::fmt;

use crate::tensor::TensorError;

/// What everything above the backends returns.
pub type Result<T> = std::result::Result<T, NNError>;

/// Something the user can put right, said in one sentence.
///
/// `key` names the sentence in cuda/tools/messages.json, the same in Python, Rust and Go;
/// `exit_code` is what the command line returns for it: 2 for usage, 1 for a failure.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{text}")]
pub struct NNError {
    key: &'static str,
    exit_code: i32,
    text: String,
}

impl NNError {
    /// An error with a sentence of messages.json.
    pub fn new(key: &'static str, exit_code: i32, text: String) -> Self {
        Self {
            key,
            exit_code,
            text,
        }
    }

    /// The name of the sentence in messages.json, or of a backend's status.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// 2 for usage, 1 for a failure.
    pub fn exit_code(&self) -> i32 {
        self.exit_code
    }
}

impl From<TensorError> for NNError {
    fn from(error: TensorError) -> Self {
        Self::new(error.status().key(), 1, error.to_string())
    }
}

/// An integer in a sentence, written in decimal.
pub trait Integer: fmt::Display {}

impl Integer for i32 {}
impl Integer for i64 {}
impl Integer for u32 {}
impl Integer for u64 {}
impl Integer for usize {}
