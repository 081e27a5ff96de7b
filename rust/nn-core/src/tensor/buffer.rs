//! What an operation reads and writes.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::dtype::DType;

/// A backend's own part of a buffer. It is given back when the last [`Buffer`] on it goes.
pub trait Memory: Any + Send + Sync + fmt::Debug {
    /// The library's name for it, which no other library takes; -1 on the reference backend, which has no
    /// use for one.
    fn handle(&self) -> i64;
}

/// A flat run of `count` elements of one dtype on one backend; shapes belong to the operations and to
/// [`super::Tensor`]. A clone is the same memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    dtype: DType,
    count: usize,
    memory: Arc<dyn Memory>,
}

impl Buffer {
    /// A backend's memory as a buffer.
    pub fn new(dtype: DType, count: usize, memory: Arc<dyn Memory>) -> Self {
        Self {
            dtype,
            count,
            memory,
        }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The library's name for it; see [`Memory::handle`].
    pub fn handle(&self) -> i64 {
        self.memory.handle()
    }

    /// The backend's part as the type it made it with; `None` for another backend's buffer.
    pub fn memory<T: Memory>(&self) -> Option<&T> {
        let memory: &dyn Any = self.memory.as_ref();
        memory.downcast_ref()
    }
}
