//! Layers: each one equation, forward and backward, as calls on a backend.

pub mod embedding;
pub mod linear;
pub mod parameter;
pub mod rmsnorm;
pub mod swiglu;
pub mod workspace;

pub use embedding::Embedding;
pub use linear::Linear;
pub use parameter::Parameter;
pub use rmsnorm::RMSNorm;
pub use swiglu::SwiGLU;
pub use workspace::Workspace;
