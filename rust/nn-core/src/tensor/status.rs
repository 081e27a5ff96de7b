//! What a backend's call can end in, numbered as in cunn.h.

/// What a call on a backend or a tensor returns.
pub type TensorResult<T> = Result<T, TensorError>;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// A null, stale or foreign buffer, a wrong size, dtype or device, forbidden aliasing.
    InvalidArgument = 1,
    /// No memory.
    OutOfMemory = 2,
    /// A valid request that this device or build does not serve.
    Unsupported = 3,
    /// The context is in use by another thread.
    Busy = 4,
    /// A bad value (id, offset, position) found while an earlier operation ran, or a failed device.
    Device = 5,
    /// A fault of the library.
    Internal = 6,
}

impl Status {
    /// The status with a number of cunn.h; an unknown number is a fault of the library.
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::InvalidArgument,
            2 => Self::OutOfMemory,
            3 => Self::Unsupported,
            4 => Self::Busy,
            5 => Self::Device,
            _ => Self::Internal,
        }
    }

    /// The name in an [`crate::NNError`].
    pub fn key(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::OutOfMemory => "out_of_memory",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Device => "device",
            Self::Internal => "internal",
        }
    }
}

/// A call on a backend or a tensor failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TensorError {
    /// A backend refused or failed; the text is the library's sentence, the same on the reference
    /// backend.
    #[error("{text}")]
    Backend {
        /// What kind of failure it is.
        status: Status,
        /// The sentence.
        text: String,
    },
    /// A shape does not fit what it should describe.
    #[error("{0}")]
    Shape(String),
}

impl TensorError {
    /// A failure of a backend.
    pub fn backend(status: Status, text: impl Into<String>) -> Self {
        Self::Backend {
            status,
            text: text.into(),
        }
    }

    /// A bad argument of an operation.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::backend(Status::InvalidArgument, text)
    }

    /// What kind of failure it is; a shape that does not fit is an invalid argument.
    pub fn status(&self) -> Status {
        match self {
            Self::Backend { status, .. } => *status,
            Self::Shape(_) => Status::InvalidArgument,
        }
    }
}
