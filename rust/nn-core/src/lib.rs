//! cuda-nn in safe Rust: a Mixture-of-Experts Transformer on one kernel library.
//!
//! This crate has no `unsafe` code and needs no library: its [`tensor::reference`] backend computes
//! every operation in Rust. The crate `nn-cuda` opens libcunn behind the same [`tensor::Backend`].
//!
//! ```
//! use nn_core::MoETransformer;
//!
//! let model = MoETransformer::tiny();
//! let logits = model.forward_ids(&[1, 2, 3, 4], 1, 4)?; // [1, 4, vocab_size]
//! assert_eq!(logits.shape().dims(), [1, 4, 1000]);
//! # Ok::<(), nn_core::NNError>(())
//! ```
#![forbid(unsafe_code)]

pub mod bench;
pub mod elementary;
pub mod error;
pub mod files;
pub mod json_fields;
pub mod json_strict;
pub mod layer;
#[allow(missing_docs)]
pub mod messages;
pub mod model;
pub mod tensor;
pub mod text;
pub mod tokenizer;
pub mod train;

pub use error::{NNError, Result};
pub use layer::{Embedding, Linear, RMSNorm, SwiGLU};
pub use model::attention::MQAttention;
pub use model::block::TransformerBlock;
pub use model::config::MoEConfig;
pub use model::moe::MoELayer;
pub use model::router::Router;
pub use model::transformer::MoETransformer;
pub use tensor::{Backend, Buffer, DType, Shape, Tensor, TensorError, TensorResult};
pub use train::adamw::AdamW;

/// The release of these crates.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The release of the compiler that built them.
pub const RUSTC_VERSION: &str = env!("RUSTC_VERSION");
