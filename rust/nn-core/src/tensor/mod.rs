//! Tensors, their element types and shapes, and the operations that backends provide.

pub mod array;
pub mod backend;
pub mod buffer;
pub mod dtype;
pub mod ops;
pub mod philox;
pub mod reference;
pub mod shape;
pub mod status;
#[allow(clippy::module_inception)]
pub mod tensor;

pub use array::{Array, HostMut, HostRef, HostVec};
pub use backend::{Backend, Graph};
pub use buffer::{Buffer, Memory};
pub use dtype::DType;
pub use ops::Ops;
pub use shape::Shape;
pub use status::{Status, TensorError, TensorResult};
pub use tensor::Tensor;
