//! Host memory on loan to a context, for the time of a closure.

use std::sync::{Arc, PoisonError};

use nn_core::tensor::{Buffer, TensorResult};

use crate::handles::{Core, Handle};

/// Ends the loan where it is dropped, also when the closure unwinds: the host's memory is its own again
/// once nothing can reach it.
pub(crate) struct Loan {
    pub(crate) core: Arc<Core>,
    pub(crate) buffer: Buffer,
    pub(crate) ended: bool,
}

impl Loan {
    /// Waits for the work on it and ends the loan. Errors: those of the work.
    pub(crate) fn end(mut self) -> TensorResult<()> {
        self.finish()
    }

    fn finish(&mut self) -> TensorResult<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        // Waits for a call of another thread instead of refusing: none may be at work on the memory.
        let core = &self.core;
        let _guard = core.calling.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the handle is looked up by the library.
        let status = unsafe { (core.library.table().cunn_context_synchronize)(core.raw) };
        let outcome = if status == 0 {
            Ok(())
        } else {
            Err(core.failure(status))
        };
        // Fails only where every call fails (after a fork), and then nothing reaches the memory either.
        core.destroy(Handle::Buffer(self.buffer.handle()));
        outcome
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // The closure's own failure is the one to report.
        let _ = self.finish();
    }
}
