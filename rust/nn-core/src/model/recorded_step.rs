//! A step that is recorded once and then launched as one call.

use crate::error::Result;
use crate::tensor::{Backend, Graph};

/// Runs a fixed sequence of calls: the first time one by one, which makes every buffer it needs; the
/// second time recorded; from then on as one graph launch. When `version` changed in between, it
/// starts over; a recording that failed is dropped.
#[derive(Debug, Default)]
pub struct RecordedStep {
    graph: Option<Box<dyn Graph>>,
    version: Option<u64>,
}

impl RecordedStep {
    /// Runs, records or launches `run`. `version` tells the buffers of its calls apart, as
    /// [`super::transformer::MoETransformer::workspace_version`] does.
    pub fn run(
        &mut self,
        backend: &dyn Backend,
        version: impl Fn() -> u64,
        mut run: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        if self.version != Some(version()) {
            self.graph = None;
            run()?;
            self.version = Some(version());
            return Ok(());
        }
        if let Some(graph) = &self.graph {
            return Ok(backend.graph_launch(graph.as_ref())?);
        }
        backend.graph_begin()?;
        if let Err(error) = run() {
            // The failure of the call says more than that of ending its recording would.
            let _ = backend.graph_end();
            return Err(error);
        }
        let graph = backend.graph_end()?;
        backend.graph_launch(graph.as_ref())?;
        self.graph = Some(graph);
        Ok(())
    }

    /// Forgets the recording.
    pub fn close(&mut self) {
        self.graph = None;
        self.version = None;
    }
}
