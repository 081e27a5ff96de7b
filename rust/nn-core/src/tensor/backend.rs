//! The operation set as an interface: what the model, the training loop and the tests are written
//! against.
//!
//! Two implementations: [`super::reference`] (in Rust, readable, the oracle for small shapes) and
//! `nn_cuda::Context` (libcunn's cpu, cuda and simt devices). `nn_cuda::open_backend` chooses one.
//!
//! A model holds an `Arc<dyn Backend>`: the device is chosen when the program runs, and the price of
//! the choice is one indirect call per operation.

use std::any::Any;
use std::fmt;

use super::array::{HostMut, HostRef, HostVec};
use super::buffer::Buffer;
use super::dtype::DType;
use super::ops::Ops;
use super::status::TensorResult;

/// A recorded sequence of operations; forgotten when it is dropped.
pub trait Graph: Any + Send + Sync + fmt::Debug {
    /// The library's name for it; -1 on the reference backend, as for a buffer.
    fn handle(&self) -> i64;
}

/// A device with its memory, its operations and its recorded steps.
///
/// Operations run in the order of their calls and may still run when the call returns. A backend is
/// used by one thread at a time: a second one that calls meanwhile gets [`super::Status::Busy`].
pub trait Backend: Ops + Send + Sync + fmt::Debug {
    /// The device: "reference", "cpu", "cuda" or "simt".
    fn name(&self) -> &str;

    /// The instruction set in use ("avx512", "sm_90", "rust").
    fn isa(&self) -> String;

    /// Host threads that compute, the caller included.
    fn threads(&self) -> usize;

    /// `count` elements, zero-filled; a multiple of 32 for q8 and q4.
    fn buffer(&self, dtype: DType, count: usize) -> TensorResult<Buffer>;

    /// The elements `[offset, offset + count)` of `buffer` as a buffer of its own on the same memory.
    fn view(&self, buffer: &Buffer, offset: usize, count: usize) -> TensorResult<Buffer>;

    /// Values of the dtype's storage to the elements from `offset` on. They have been read on return.
    fn upload(&self, buffer: &Buffer, offset: usize, values: HostRef<'_>) -> TensorResult<()>;

    /// The elements from `offset` on that fill `values`, in the dtype's storage; synchronizes.
    fn download_into(
        &self,
        buffer: &Buffer,
        offset: usize,
        values: HostMut<'_>,
    ) -> TensorResult<()>;

    /// The elements `[offset, offset + count)` in the dtype's storage; synchronizes.
    fn download(&self, buffer: &Buffer, offset: usize, count: usize) -> TensorResult<HostVec> {
        let mut values = HostVec::zeros(buffer.dtype(), count);
        self.download_into(buffer, offset, values.as_mut())?;
        Ok(values)
    }

    /// Waits for the work submitted so far and reports a bad value that it met.
    fn synchronize(&self) -> TensorResult<()>;

    /// From here on operations are checked and recorded, and nothing executes.
    fn graph_begin(&self) -> TensorResult<()>;

    /// Ends the recording.
    fn graph_end(&self) -> TensorResult<Box<dyn Graph>>;

    /// Executes what was recorded, on the buffers that were recorded.
    fn graph_launch(&self, graph: &dyn Graph) -> TensorResult<()>;

    /// One line of text per recorded operation.
    fn graph_dump(&self, graph: &dyn Graph) -> TensorResult<String>;

    /// Bytes of buffers and scratch now, and at most so far.
    fn memory(&self) -> TensorResult<(usize, usize)>;

    /// What `nn-rs info` calls the device: the processor, the card.
    fn device_name(&self) -> String;

    /// A buffer with the values, flat, as `dtype`, whose storage they are.
    #[allow(clippy::wrong_self_convention)] // the name it has on every type that holds values
    fn from_host(&self, dtype: DType, values: HostRef<'_>) -> TensorResult<Buffer> {
        let buffer = self.buffer(dtype, dtype.count_of(values.len()))?;
        self.upload(&buffer, 0, values)?;
        Ok(buffer)
    }

    /// Element 0 of an f32 buffer.
    fn scalar_f32(&self, buffer: &Buffer) -> TensorResult<f32> {
        let mut value = [0.0];
        self.download_into(buffer, 0, HostMut::from(&mut value))?;
        Ok(value[0])
    }

    /// Element 0 of an i64 buffer.
    fn scalar_i64(&self, buffer: &Buffer) -> TensorResult<i64> {
        let mut value = [0];
        self.download_into(buffer, 0, HostMut::I64(&mut value))?;
        Ok(value[0])
    }

    /// Element 0 of an i32 buffer.
    fn scalar_i32(&self, buffer: &Buffer) -> TensorResult<i32> {
        let mut value = [0];
        self.download_into(buffer, 0, HostMut::I32(&mut value))?;
        Ok(value[0])
    }
}
