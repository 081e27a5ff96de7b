//! A buffer with a shape.

use std::fmt;
use std::sync::Arc;

use super::array::{Array, HostRef};
use super::backend::Backend;
use super::buffer::Buffer;
use super::dtype::DType;
use super::shape::Shape;
use super::status::{TensorError, TensorResult};

/// A row-major tensor on a backend: a buffer, a shape, and the backend that computes on it.
///
/// It adds no arithmetic: operations are the backend's, on buffers, so that nothing is allocated or
/// copied unseen.
#[derive(Clone)]
pub struct Tensor {
    backend: Arc<dyn Backend>,
    buffer: Buffer,
    shape: Shape,
}

impl Tensor {
    /// A buffer in a shape of its count.
    pub fn new(backend: Arc<dyn Backend>, buffer: Buffer, shape: Shape) -> TensorResult<Self> {
        if shape.size() != buffer.count() {
            let (size, count) = (shape.size(), buffer.count());
            return Err(TensorError::Shape(format!(
                "shape {shape} has {size} elements, the buffer {count}"
            )));
        }
        Ok(Self {
            backend,
            buffer,
            shape,
        })
    }

    /// All elements 0.
    pub fn zeros(backend: Arc<dyn Backend>, shape: Shape, dtype: DType) -> TensorResult<Self> {
        let buffer = backend.buffer(dtype, shape.size())?;
        Self::new(backend, buffer, shape)
    }

    /// The values in a shape, as `dtype`, whose storage they are.
    pub fn from_host<'a>(
        backend: Arc<dyn Backend>,
        shape: Shape,
        dtype: DType,
        values: impl Into<HostRef<'a>>,
    ) -> TensorResult<Self> {
        let buffer = backend.from_host(dtype, values.into())?;
        Self::new(backend, buffer, shape)
    }

    /// The backend that computes on it.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.buffer.dtype()
    }

    /// The values of a float tensor, widened to f32; waits for pending work.
    pub fn to_array(&self) -> TensorResult<Array> {
        if !self.dtype().is_float() {
            return Err(TensorError::Shape(format!(
                "a tensor of {} has no float values",
                self.dtype()
            )));
        }
        let stored = self.backend.download(&self.buffer, 0, self.shape.size())?;
        Array::new(self.shape.clone(), stored.into_f32(self.dtype()))
    }

    /// Replaces all values.
    pub fn upload<'a>(&self, values: impl Into<HostRef<'a>>) -> TensorResult<()> {
        let values = values.into();
        let found = self.dtype().count_of(values.len());
        if found != self.shape.size() {
            let shape = &self.shape;
            return Err(TensorError::Shape(format!(
                "an array of {found} elements does not fill a tensor of {shape}"
            )));
        }
        self.backend.upload(&self.buffer, 0, values)
    }

    /// The same memory in another shape of the same count; one size may be -1.
    pub fn reshape(&self, sizes: &[isize]) -> TensorResult<Self> {
        Self::new(
            self.backend.clone(),
            self.buffer.clone(),
            self.shape.reshape(sizes)?,
        )
    }

    /// Rows `[start, stop)` of the first dimension, on the same memory.
    pub fn view(&self, start: usize, stop: usize) -> TensorResult<Self> {
        let dims = self.shape.dims();
        if dims.is_empty() || start > stop || stop > dims[0] {
            let shape = &self.shape;
            return Err(TensorError::Shape(format!(
                "rows {start} to {stop} are not within a tensor of {shape}"
            )));
        }
        let row: usize = dims[1..].iter().product();
        let part = self
            .backend
            .view(&self.buffer, start * row, (stop - start) * row)?;
        let mut sizes = dims.to_vec();
        sizes[0] = stop - start;
        Self::new(self.backend.clone(), part, Shape::new(&sizes)?)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "Tensor({}, {}, {})",
            self.shape,
            self.dtype(),
            self.backend.name()
        )
    }
}
