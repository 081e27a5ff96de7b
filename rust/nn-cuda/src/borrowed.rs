//! Host memory on loan to a context.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use nn_core::tensor::{Buffer, TensorResult};

use crate::handles::{Core, Handle};

/// Host memory on loan to a cpu context: the slice cannot be touched or freed before the loan ends.
///
/// ```
/// # use nn_cuda::{Context, why_not};
/// # if why_not("cpu").is_some() { return Ok(()); }
/// use nn_core::tensor::Ops;
///
/// let context = Context::open("cpu", 0, 1, None)?;
/// let mut values = vec![1.0_f32, 2.0];
/// let loan = context.wrap(&mut values)?;
/// context.scale_forward(loan.buffer(), loan.buffer(), 2, 3.0)?;
/// loan.end()?;
/// assert_eq!(values, [3.0, 6.0]);
/// # Ok::<(), nn_core::NNError>(())
/// ```
///
/// The host cannot free the memory during the loan, write it, or use the loan after its end: none of
/// these compiles.
///
/// ```compile_fail,E0597
/// # use nn_cuda::Context;
/// let context = Context::open("cpu", 0, 1, None)?;
/// let loan = {
///     let mut values = vec![1.0_f32, 2.0];
///     context.wrap(&mut values)?
/// };
/// loan.end()?;
/// # Ok::<(), nn_core::NNError>(())
/// ```
///
/// ```compile_fail,E0506
/// # use nn_cuda::Context;
/// let context = Context::open("cpu", 0, 1, None)?;
/// let mut values = [1.0_f32, 2.0];
/// let loan = context.wrap(&mut values)?;
/// values[0] = 3.0;
/// loan.end()?;
/// # Ok::<(), nn_core::NNError>(())
/// ```
///
/// ```compile_fail,E0382
/// # use nn_cuda::Context;
/// let context = Context::open("cpu", 0, 1, None)?;
/// let mut values = [1.0_f32, 2.0];
/// let loan = context.wrap(&mut values)?;
/// loan.end()?;
/// loan.buffer();
/// # Ok::<(), nn_core::NNError>(())
/// ```
#[derive(Debug)]
pub struct Borrowed<'host> {
    pub(crate) core: Arc<Core>,
    pub(crate) buffer: Buffer,
    pub(crate) ended: bool,
    pub(crate) host: PhantomData<&'host mut [f32]>,
}

impl Borrowed<'_> {
    /// The memory as a buffer. A clone that is kept names nothing after the loan.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Waits for the work on it and ends the loan. Errors: those of the work.
    pub fn end(mut self) -> TensorResult<()> {
        self.finish()
    }

    fn finish(&mut self) -> TensorResult<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        // The host may only have its memory back once nothing can reach it: this waits for a call of
        // another thread instead of refusing.
        let core = &self.core;
        let guard = core.calling.lock().unwrap_or_else(PoisonError::into_inner);
        let table = core.library.table();
        // SAFETY: the handles are looked up by the library.
        let status = unsafe { (table.cunn_context_synchronize)(core.raw) };
        let outcome = if status == 0 {
            Ok(())
        } else {
            Err(core.failure(status))
        };
        let gone = core.destroy(Handle::Buffer(self.buffer.handle()));
        drop(guard);
        if !gone {
            // Only a recording refuses; then the memory must stay: end the recording and try again.
            let mut graph = 0;
            let _guard = core.calling.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: `graph` outlives the call.
            unsafe { (table.cunn_graph_end)(core.raw, &mut graph) };
            core.recording.store(false, Ordering::Release);
            core.destroy(Handle::Graph(graph));
            core.destroy(Handle::Buffer(self.buffer.handle()));
        }
        outcome
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        // A failure of the work shows at the next synchronize; `end` reports it here.
        let _ = self.finish();
    }
}
