//! Every operation in Rust: readable, slow, and what the library's devices are measured against.
//!
//! One module per family of operations, with the stems of cuda/cpu and cuda/kernels. A module's
//! functions on slices are the mathematics; the methods check arguments as the library does, with the
//! same sentences. Sums are taken in f64.

mod attention;
mod base;
mod cache;
mod call;
mod conversion;
mod decode;
mod elementwise;
mod embedding;
mod gemm;
mod gemm_swiglu;
mod heads;
mod loss;
mod memory;
mod moe;
#[rustfmt::skip]
mod ops;
mod optimizer;
mod random;
mod rmsnorm;
mod rope;
mod softmax;

pub use base::ReferenceBackend;
