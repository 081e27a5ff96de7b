//! What a context, its buffers and its graphs share: the handle, one call at a time, and the order in
//! which handles are given back.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use nn_core::tensor::{Graph, Memory, Status, TensorError, TensorResult};

use crate::library::{Library, text};
use crate::sys::Table;

const CONTEXT_IN_USE: &str = "the context is in use by another thread";

/// The context's handle, and what ends with it.
pub(crate) struct Core {
    pub(crate) library: &'static Library,
    pub(crate) device: &'static str,
    pub(crate) ordinal: i32,
    pub(crate) raw: i64,
    /// Held during a call and while its sentence is read: the sentence lives until the next call.
    pub(crate) calling: Mutex<()>,
    pub(crate) recording: AtomicBool,
    /// Handles that were dropped in the middle of a call or of a recording.
    pub(crate) abandoned: Mutex<Vec<Handle>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Handle {
    Buffer(i64),
    Graph(i64),
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.ordinal)
    }
}

impl Core {
    /// Runs one call of the library and turns its status into its sentence.
    pub(crate) fn call(&self, call: impl FnOnce(&Table, i64) -> i32) -> TensorResult<()> {
        let _guard = self
            .lock()
            .ok_or_else(|| TensorError::backend(Status::Busy, CONTEXT_IN_USE))?;
        let status = call(self.library.table(), self.raw);
        if status == 0 {
            Ok(())
        } else {
            Err(self.failure(status))
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, ()>> {
        match self.calling.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The sentence of the call that just failed; the caller holds the lock.
    pub(crate) fn failure(&self, status: i32) -> TensorError {
        let table = self.library.table();
        let status_kind = Status::from_number(status);
        if status_kind == Status::Busy {
            return TensorError::backend(status_kind, CONTEXT_IN_USE);
        }
        // SAFETY: the text is valid until the context's next call, which the lock holds off.
        let sentence = unsafe { text((table.cunn_context_error)(self.raw)) };
        if !sentence.is_empty() {
            return TensorError::backend(status_kind, sentence);
        }
        // SAFETY: the text is static.
        TensorError::backend(status_kind, unsafe {
            text((table.cunn_status_name)(status))
        })
    }

    /// Gives a handle back now, or with the next new buffer when the context is in a call or records.
    fn release(&self, handle: Handle) {
        let destroyed = !self.recording.load(Ordering::Acquire)
            && self.lock().is_some_and(|_guard| self.destroy(handle));
        if !destroyed {
            self.abandoned
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(handle);
        }
    }

    pub(crate) fn destroy(&self, handle: Handle) -> bool {
        let table = self.library.table();
        // SAFETY: any handle may be given; the library looks it up.
        let status = unsafe {
            match handle {
                Handle::Buffer(raw) => (table.cunn_buffer_destroy)(self.raw, raw),
                Handle::Graph(raw) => (table.cunn_graph_destroy)(self.raw, raw),
            }
        };
        status == 0
    }

    pub(crate) fn release_abandoned(&self) {
        if self.recording.load(Ordering::Acquire) {
            return;
        }
        let Some(_guard) = self.lock() else { return };
        let mut abandoned = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for handle in abandoned.drain(..) {
            self.destroy(handle);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let abandoned = std::mem::take(
            self.abandoned
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for handle in abandoned {
            self.destroy(handle);
        }
        // SAFETY: nothing uses the context any more: every buffer and graph holds this core.
        unsafe { (self.library.table().cunn_context_destroy)(self.raw) };
    }
}

/// Memory of a device.
#[derive(Debug)]
pub(crate) struct NativeMemory {
    pub(crate) core: Arc<Core>,
    pub(crate) handle: i64,
    /// Whether it is the host's: then there are no views, which would outlive the loan.
    pub(crate) borrowed: bool,
}

impl Memory for NativeMemory {
    fn handle(&self) -> i64 {
        self.handle
    }
}

impl Drop for NativeMemory {
    fn drop(&mut self) {
        self.core.release(Handle::Buffer(self.handle));
    }
}

/// A recorded step. It keeps the buffers alive that its caller keeps alive, and no others: launching
/// it when one is gone is an error.
#[derive(Debug)]
pub struct NativeGraph {
    pub(crate) core: Arc<Core>,
    pub(crate) handle: i64,
}

impl Graph for NativeGraph {
    fn handle(&self) -> i64 {
        self.handle
    }
}

impl Drop for NativeGraph {
    fn drop(&mut self) {
        self.core.release(Handle::Graph(self.handle));
    }
}
