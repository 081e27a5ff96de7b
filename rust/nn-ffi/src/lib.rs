//! A model that lives on a device: [`GpuTensor`], whose values stay there, and [`GpuTrainer`], whose
//! whole step is one graph launch from which only the loss comes back.
//!
//! With the feature `python` this is also the Python module `nn_rs`, built by maturin as one wheel for
//! every CPython from 3.10 on.

mod gpu_tensor;
#[cfg(feature = "python")]
mod python;

pub use gpu_tensor::{GpuTensor, default_backend};
pub use nn_core::train::gpu_trainer::GpuTrainer;
