//! Memory, order and recording of the reference backend; what the families of ops are built on.

use std::any::Any;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::call::Call;
use super::memory::{Cells, Ledger, Window};
use crate::tensor::dtype::{DType, QUANT_BLOCK};
use crate::tensor::{
    Backend, Buffer, Graph, HostMut, HostRef, HostVec, Status, TensorError, TensorResult,
};

/// Most bytes of one buffer: what a vector can hold.
const MOST_BYTES: usize = isize::MAX as usize;

type Run = Box<dyn Fn(&Faults) + Send + Sync>;

/// A recorded op: what it does and its line of text.
struct Step {
    run: Run,
    line: String,
}

/// Recorded ops, kept as closures.
struct ReferenceGraph {
    steps: Vec<Step>,
}

impl fmt::Debug for ReferenceGraph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ReferenceGraph({} ops)", self.steps.len())
    }
}

impl Graph for ReferenceGraph {
    fn handle(&self) -> i64 {
        -1
    }
}

/// The first bad value that an op met on the device, kept for the next synchronize.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Option<String>>);

impl Faults {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the sentence if it is the first.
    pub fn report(&self, text: String) {
        self.lock().get_or_insert(text);
    }

    /// Whether every value is in `[least, limit)`; the first bad one is reported.
    pub fn good(&self, op: &str, name: &str, values: &[i32], limit: usize, least: i64) -> bool {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let fits = |value: i32| (least..limit).contains(&i64::from(value));
        let bad = values.iter().position(|&value| !fits(value));
        if let Some(at) = bad {
            let (value, most) = (values[at], limit - 1);
            self.report(format!(
                "{op}: {name}[{at}] is {value}, expected {least} to {most}"
            ));
        }
        bad.is_none()
    }

    /// Tokens of each sequence, all of them full without lengths; `None` after a bad value.
    pub fn lengths(
        &self,
        op: &str,
        lengths: Option<&Window>,
        batch: usize,
        full: usize,
    ) -> Option<Vec<usize>> {
        let Some(lengths) = lengths else {
            return Some(vec![full; batch]);
        };
        let values = lengths.i32s(batch);
        let good = self.good(op, "lengths", &values, full + 1, 0);
        good.then(|| values.into_iter().map(|value| value as usize).collect())
    }
}

/// The operations on vectors, executed in the call.
///
/// An op checks its arguments with a `Call` and submits a closure, which runs now or is recorded. A
/// value that lives in a buffer (an id, an offset, a position) is checked when the closure runs; a bad
/// one leaves the outputs untouched and is reported by the next synchronize or download.
#[derive(Default)]
pub struct ReferenceBackend {
    recording: Mutex<Option<ReferenceGraph>>,
    faults: Faults,
    ledger: Arc<Ledger>,
}

impl fmt::Debug for ReferenceBackend {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("ReferenceBackend")
    }
}

impl ReferenceBackend {
    /// A backend without buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a checked op, or records it.
    pub(super) fn submit(
        &self,
        call: Call,
        run: impl Fn(&Faults) + Send + Sync + 'static,
    ) -> TensorResult<()> {
        call.check_overlaps()?;
        if call.nothing {
            return Ok(());
        }
        match &mut *self.recording() {
            Some(graph) => graph.steps.push(Step {
                run: Box::new(run),
                line: call.line(),
            }),
            None => run(&self.faults),
        }
        Ok(())
    }

    fn recording(&self) -> MutexGuard<'_, Option<ReferenceGraph>> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_while_recording(&self, op: &str) -> TensorResult<()> {
        if self.recording().is_none() {
            return Ok(());
        }
        Err(TensorError::invalid(format!(
            "{op}: not allowed between graph_begin and graph_end"
        )))
    }

    /// The elements `[offset, offset + count)` of a buffer.
    fn range(
        &self,
        op: &str,
        buffer: &Buffer,
        offset: usize,
        count: usize,
    ) -> TensorResult<Window> {
        let Some(window) = buffer.memory::<Window>() else {
            let text =
                format!("{op}: buffer is of another backend, expected a buffer of reference");
            return Err(TensorError::invalid(text));
        };
        if offset
            .checked_add(count)
            .is_none_or(|end| end > window.count)
        {
            let within = format!(
                "expected at most the {} elements of the buffer",
                window.count
            );
            return Err(TensorError::invalid(format!(
                "{op}: offset {offset} and count {count}, {within}"
            )));
        }
        for (name, value) in [("offset", offset), ("count", count)] {
            check_multiple(op, name, value, window.dtype)?;
        }
        let start = window.start + window.dtype.storage_count(offset);
        Ok(Window {
            start,
            count,
            ..window.clone()
        })
    }

    fn graph<'a>(op: &str, graph: &'a dyn Graph) -> TensorResult<&'a ReferenceGraph> {
        let graph: &dyn Any = graph;
        graph.downcast_ref().ok_or_else(|| {
            TensorError::invalid(format!(
                "{op}: graph was destroyed or never existed, expected a graph"
            ))
        })
    }
}

fn check_multiple(op: &str, name: &str, value: usize, dtype: DType) -> TensorResult<()> {
    if !dtype.is_quantized() || value.is_multiple_of(QUANT_BLOCK) {
        return Ok(());
    }
    let text = format!("{op}: {name} is {value}, expected a multiple of {QUANT_BLOCK} for {dtype}");
    Err(TensorError::invalid(text))
}

impl Backend for ReferenceBackend {
    fn name(&self) -> &str {
        "reference"
    }

    fn isa(&self) -> String {
        "rust".to_string()
    }

    fn threads(&self) -> usize {
        1
    }

    fn buffer(&self, dtype: DType, count: usize) -> TensorResult<Buffer> {
        self.refuse_while_recording("buffer_create")?;
        check_multiple("buffer_create", "count", count, dtype)?;
        let bytes = dtype.bytes(count);
        // A vector of zeros that does not fit would end the program: ask first.
        let mut room: Vec<u8> = Vec::new();
        if bytes > MOST_BYTES || room.try_reserve_exact(bytes).is_err() {
            let text =
                format!("buffer_create: no memory for {count} elements of {dtype} ({bytes} bytes)");
            return Err(TensorError::backend(Status::OutOfMemory, text));
        }
        drop(room);
        let cells = Cells::new(HostVec::zeros(dtype, count), bytes, self.ledger.clone());
        Ok(Buffer::new(
            dtype,
            count,
            Arc::new(Window {
                cells,
                start: 0,
                dtype,
                count,
            }),
        ))
    }

    fn view(&self, buffer: &Buffer, offset: usize, count: usize) -> TensorResult<Buffer> {
        let window = self.range("buffer_view", buffer, offset, count)?;
        Ok(Buffer::new(window.dtype, count, Arc::new(window)))
    }

    fn upload(&self, buffer: &Buffer, offset: usize, values: HostRef<'_>) -> TensorResult<()> {
        self.refuse_while_recording("buffer_upload")?;
        values.check(buffer.dtype())?;
        let window = self.range(
            "buffer_upload",
            buffer,
            offset,
            buffer.dtype().count_of(values.len()),
        )?;
        let n = window.dtype.storage_count(window.count);
        let place = window.start..window.start + n;
        match (&mut *window.cells.lock(), values) {
            (HostVec::F32(to), HostRef::F32(from)) => to[place].copy_from_slice(&from[..n]),
            (HostVec::U16(to), HostRef::U16(from)) => to[place].copy_from_slice(&from[..n]),
            (HostVec::I32(to), HostRef::I32(from)) => to[place].copy_from_slice(&from[..n]),
            (HostVec::I64(to), HostRef::I64(from)) => to[place].copy_from_slice(&from[..n]),
            (HostVec::U8(to), HostRef::U8(from)) => to[place].copy_from_slice(&from[..n]),
            _ => {}
        }
        Ok(())
    }

    fn download_into(
        &self,
        buffer: &Buffer,
        offset: usize,
        values: HostMut<'_>,
    ) -> TensorResult<()> {
        self.refuse_while_recording("buffer_download")?;
        values.check(buffer.dtype())?;
        let window = self.range(
            "buffer_download",
            buffer,
            offset,
            buffer.dtype().count_of(values.len()),
        )?;
        self.synchronize()?;
        let n = window.dtype.storage_count(window.count);
        let place = window.start..window.start + n;
        match (&*window.cells.lock(), values) {
            (HostVec::F32(from), HostMut::F32(to)) => to[..n].copy_from_slice(&from[place]),
            (HostVec::U16(from), HostMut::U16(to)) => to[..n].copy_from_slice(&from[place]),
            (HostVec::I32(from), HostMut::I32(to)) => to[..n].copy_from_slice(&from[place]),
            (HostVec::I64(from), HostMut::I64(to)) => to[..n].copy_from_slice(&from[place]),
            (HostVec::U8(from), HostMut::U8(to)) => to[..n].copy_from_slice(&from[place]),
            _ => {}
        }
        Ok(())
    }

    fn synchronize(&self) -> TensorResult<()> {
        self.refuse_while_recording("context_synchronize")?;
        match self.faults.lock().take() {
            Some(fault) => Err(TensorError::backend(Status::Device, fault)),
            None => Ok(()),
        }
    }

    fn graph_begin(&self) -> TensorResult<()> {
        self.refuse_while_recording("graph_begin")?;
        *self.recording() = Some(ReferenceGraph { steps: Vec::new() });
        Ok(())
    }

    fn graph_end(&self) -> TensorResult<Box<dyn Graph>> {
        match self.recording().take() {
            Some(graph) => Ok(Box::new(graph)),
            None => Err(TensorError::invalid("graph_end: nothing is being recorded")),
        }
    }

    fn graph_launch(&self, graph: &dyn Graph) -> TensorResult<()> {
        self.refuse_while_recording("graph_launch")?;
        for step in &Self::graph("graph_launch", graph)?.steps {
            (step.run)(&self.faults);
        }
        Ok(())
    }

    fn graph_dump(&self, graph: &dyn Graph) -> TensorResult<String> {
        let steps = &Self::graph("graph_dump", graph)?.steps;
        Ok(steps
            .iter()
            .map(|step| format!("{}\n", step.line))
            .collect())
    }

    fn memory(&self) -> TensorResult<(usize, usize)> {
        let Ledger { now, peak } = &*self.ledger;
        Ok((now.load(Ordering::Relaxed), peak.load(Ordering::Relaxed)))
    }

    fn device_name(&self) -> String {
        "Rust".to_string()
    }
}
