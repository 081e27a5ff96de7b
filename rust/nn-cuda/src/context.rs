//! The library's devices behind the [`Backend`] trait.

use std::ffi::CString;
use std::os::raw::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nn_core::tensor::{Backend, Buffer, DType, Graph, HostMut, HostRef, TensorError, TensorResult};
use nn_core::{Result, messages};

use crate::borrowed::Loan;
use crate::handles::{Core, NativeGraph, NativeMemory};
use crate::library::{Library, library, number_of, text};
use crate::sys::Table;

/// What no buffer has as its handle.
const NO_HANDLE: i64 = -1;

/// A context of libcunn: a device, its stream, its threads and its buffers. It lives as long as the
/// last of its buffers.
///
/// One thread at a time: a second one that calls meanwhile gets [`nn_core::tensor::Status::Busy`].
#[derive(Debug)]
pub struct Context {
    core: Arc<Core>,
}

impl Context {
    /// Opens a device of the library. `threads`: host threads including the caller, 0 for all; `isa`:
    /// "scalar", "avx2", "avx512" on cpu, or the best.
    ///
    /// Errors: those of [`library`], device_missing, and those of the device.
    pub fn open(device: &str, ordinal: i32, threads: usize, isa: Option<&str>) -> Result<Self> {
        let library = library(device)?;
        if library.device_count(device) == 0 {
            return Err(messages::device_missing(
                device,
                &library.device_note(device),
            ));
        }
        let isa = isa
            .map(CString::new)
            .transpose()
            .map_err(|_| TensorError::invalid("isa has a NUL"))?;
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let isa_pointer = isa.as_ref().map_or(ptr::null(), |isa| isa.as_ptr());
        let mut raw = 0;
        // SAFETY: `raw` and the text outlive the call.
        let status = unsafe {
            (library.table().cunn_context_create)(
                &mut raw,
                number_of(device),
                ordinal,
                threads,
                isa_pointer,
            )
        };
        let device = crate::DEVICES
            .into_iter()
            .find(|known| *known == device)
            .unwrap_or("cpu");
        let core = Core {
            library,
            device,
            ordinal,
            raw,
            calling: Mutex::new(()),
            recording: AtomicBool::new(false),
            abandoned: Mutex::new(Vec::new()),
        };
        if status != 0 {
            return Err(core.failure(status).into());
        }
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// The library that the device belongs to.
    pub fn library(&self) -> &'static Library {
        self.core.library
    }

    /// Lends host memory as a buffer for the time of `work`; cpu only. Only this context takes the
    /// buffer, and not into a recording; a clone that is kept names nothing afterwards.
    ///
    /// ```
    /// # use nn_cuda::{Context, why_not};
    /// # if why_not("cpu").is_some() { return Ok(()); }
    /// use nn_core::tensor::Ops;
    ///
    /// let context = Context::open("cpu", 0, 1, None)?;
    /// let mut values = vec![1.0_f32, 2.0];
    /// context.with_wrapped(&mut values, |lent| context.scale_forward(lent, lent, 2, 3.0))?;
    /// assert_eq!(values, [3.0, 6.0]);
    /// # Ok::<(), nn_core::NNError>(())
    /// ```
    ///
    /// The host cannot write or free the memory meanwhile: this does not compile.
    ///
    /// ```compile_fail,E0506
    /// # use nn_cuda::Context;
    /// # use nn_core::tensor::Ops;
    /// let context = Context::open("cpu", 0, 1, None)?;
    /// let mut values = [1.0_f32, 2.0];
    /// context.with_wrapped(&mut values, |lent| {
    ///     values[0] = 3.0;
    ///     context.scale_forward(lent, lent, 2, 3.0)
    /// })?;
    /// # Ok::<(), nn_core::NNError>(())
    /// ```
    ///
    /// Errors: those of `work`, else those of the device's work on the memory.
    pub fn with_wrapped<T>(
        &self,
        values: &mut [f32],
        work: impl FnOnce(&Buffer) -> TensorResult<T>,
    ) -> TensorResult<T> {
        self.core.release_abandoned();
        let (count, host) = (values.len(), values.as_mut_ptr().cast::<c_void>());
        let mut handle = 0;
        self.call(|table, context| {
            // SAFETY: the slice is borrowed until `Loan` has destroyed the handle, which happens before
            // this function returns or unwinds; views and recordings of it are refused.
            unsafe {
                (table.cunn_buffer_wrap)(
                    context,
                    &mut handle,
                    DType::F32.number(),
                    count as i64,
                    host,
                )
            }
        })?;
        let loan = Loan {
            core: self.core.clone(),
            buffer: self.adopt(handle, DType::F32, count, true),
            ended: false,
        };
        let made = work(&loan.buffer)?;
        loan.end()?;
        Ok(made)
    }

    pub(crate) fn call(&self, call: impl FnOnce(&Table, i64) -> i32) -> TensorResult<()> {
        self.core.call(call)
    }

    fn adopt(&self, handle: i64, dtype: DType, count: usize, borrowed: bool) -> Buffer {
        let memory = NativeMemory {
            core: self.core.clone(),
            handle,
            borrowed,
        };
        Buffer::new(dtype, count, Arc::new(memory))
    }

    /// The handle of a buffer that a context made; the library refuses another library's. -1 (never a
    /// handle; 0 would be a buffer left out) for any other, which may carry whichever handle and dtype it
    /// likes: a transfer moves as many bytes as the dtype says. Memory on loan is taken by the context that
    /// it was lent to alone, whose calls its end waits for, and by no recording.
    pub(crate) fn handle(&self, buffer: &Buffer) -> i64 {
        let Some(memory) = buffer.memory::<NativeMemory>() else {
            return NO_HANDLE;
        };
        let lent_elsewhere = memory.borrowed
            && (!Arc::ptr_eq(&memory.core, &self.core)
                || self.core.recording.load(Ordering::Acquire));
        if lent_elsewhere {
            NO_HANDLE
        } else {
            memory.handle
        }
    }
}

impl Backend for Context {
    fn name(&self) -> &str {
        self.core.device
    }

    fn isa(&self) -> String {
        let mut isa = String::new();
        // A context in use by another thread has no answer; an empty name says so.
        let _ = self.call(|table, context| {
            // SAFETY: the text is valid until the context's next call, which the lock holds off.
            isa = unsafe { text((table.cunn_context_isa)(context)) };
            0
        });
        isa
    }

    fn threads(&self) -> usize {
        let mut threads = 0;
        // As for `isa`.
        let _ = self.call(|table, context| {
            // SAFETY: `threads` outlives the call.
            unsafe { (table.cunn_context_threads)(context, &mut threads) }
        });
        usize::try_from(threads).unwrap_or(0)
    }

    fn buffer(&self, dtype: DType, count: usize) -> TensorResult<Buffer> {
        self.core.release_abandoned();
        let mut handle = 0;
        self.call(|table, context| {
            // SAFETY: `handle` outlives the call.
            unsafe {
                (table.cunn_buffer_create)(context, &mut handle, dtype.number(), count as i64)
            }
        })?;
        Ok(self.adopt(handle, dtype, count, false))
    }

    fn view(&self, buffer: &Buffer, offset: usize, count: usize) -> TensorResult<Buffer> {
        if buffer
            .memory::<NativeMemory>()
            .is_some_and(|memory| memory.borrowed)
        {
            return Err(TensorError::invalid(
                "buffer_view: buffer is borrowed, expected memory of the device",
            ));
        }
        self.core.release_abandoned();
        let mut handle = 0;
        self.call(|table, context| {
            // SAFETY: `handle` outlives the call.
            unsafe {
                (table.cunn_buffer_view)(
                    context,
                    &mut handle,
                    self.handle(buffer),
                    offset as i64,
                    count as i64,
                )
            }
        })?;
        Ok(self.adopt(handle, buffer.dtype(), count, false))
    }

    fn upload(&self, buffer: &Buffer, offset: usize, values: HostRef<'_>) -> TensorResult<()> {
        values.check(buffer.dtype())?;
        let count = buffer.dtype().count_of(values.len()) as i64;
        let host: *const c_void = match values {
            HostRef::F32(values) => values.as_ptr().cast(),
            HostRef::U16(values) => values.as_ptr().cast(),
            HostRef::I32(values) => values.as_ptr().cast(),
            HostRef::I64(values) => values.as_ptr().cast(),
            HostRef::U8(values) => values.as_ptr().cast(),
        };
        self.call(|table, context| {
            // SAFETY: the host slice holds `count` elements of the buffer's dtype, which the library
            // knows itself, and the library has read them on return.
            unsafe {
                (table.cunn_buffer_upload)(context, self.handle(buffer), offset as i64, count, host)
            }
        })
    }

    fn download_into(
        &self,
        buffer: &Buffer,
        offset: usize,
        values: HostMut<'_>,
    ) -> TensorResult<()> {
        values.check(buffer.dtype())?;
        let count = buffer.dtype().count_of(values.len()) as i64;
        let host: *mut c_void = match values {
            HostMut::F32(values) => values.as_mut_ptr().cast(),
            HostMut::U16(values) => values.as_mut_ptr().cast(),
            HostMut::I32(values) => values.as_mut_ptr().cast(),
            HostMut::I64(values) => values.as_mut_ptr().cast(),
            HostMut::U8(values) => values.as_mut_ptr().cast(),
        };
        self.call(|table, context| {
            // SAFETY: as for upload; the library has written on return.
            unsafe {
                (table.cunn_buffer_download)(
                    context,
                    host,
                    self.handle(buffer),
                    offset as i64,
                    count,
                )
            }
        })
    }

    fn synchronize(&self) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: no pointers.
            unsafe { (table.cunn_context_synchronize)(context) }
        })
    }

    fn graph_begin(&self) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: no pointers.
            unsafe { (table.cunn_graph_begin)(context) }
        })?;
        self.core.recording.store(true, Ordering::Release);
        Ok(())
    }

    fn graph_end(&self) -> TensorResult<Box<dyn Graph>> {
        let mut handle = 0;
        let outcome = self.call(|table, context| {
            // SAFETY: `handle` outlives the call.
            unsafe { (table.cunn_graph_end)(context, &mut handle) }
        });
        self.core.recording.store(false, Ordering::Release);
        outcome?;
        Ok(Box::new(NativeGraph {
            core: self.core.clone(),
            handle,
        }))
    }

    fn graph_launch(&self, graph: &dyn Graph) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: no pointers.
            unsafe { (table.cunn_graph_launch)(context, graph.handle()) }
        })
    }

    fn graph_dump(&self, graph: &dyn Graph) -> TensorResult<String> {
        let dump = |into: &mut [u8]| -> TensorResult<usize> {
            let mut length = 0;
            self.call(|table, context| {
                let (host, capacity) = (into.as_mut_ptr().cast(), into.len() as i64);
                // SAFETY: the slice has `capacity` bytes and outlives the call.
                unsafe {
                    (table.cunn_graph_dump)(context, host, &mut length, graph.handle(), capacity)
                }
            })?;
            Ok(usize::try_from(length).unwrap_or(0))
        };
        let length = dump(&mut [0])?;
        let mut bytes = vec![0; length + 1];
        dump(&mut bytes)?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn memory(&self) -> TensorResult<(usize, usize)> {
        let (mut now, mut peak) = (0, 0);
        self.call(|table, context| {
            // SAFETY: both outlive the call.
            unsafe { (table.cunn_context_memory)(context, &mut now, &mut peak) }
        })?;
        Ok((
            usize::try_from(now).unwrap_or(0),
            usize::try_from(peak).unwrap_or(0),
        ))
    }

    fn device_name(&self) -> String {
        self.core
            .library
            .device_name(self.core.device, self.core.ordinal)
    }
}
