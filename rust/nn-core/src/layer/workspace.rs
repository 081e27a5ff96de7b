//! Activation buffers, made once and reused by every later step of the same size.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::tensor::{Backend, Buffer, DType};

/// Named buffers that only ever grow, so that a steady step allocates nothing.
///
/// What backward needs from forward lives in a workspace of the block's own; blocks share one
/// workspace when nothing outlives the block: in inference, and in training with recompute.
#[derive(Debug)]
pub struct Workspace {
    backend: Arc<dyn Backend>,
    buffers: Mutex<HashMap<String, Buffer>>,
    version: AtomicU64,
}

impl Workspace {
    /// A workspace without buffers.
    pub fn new(backend: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            buffers: Mutex::default(),
            version: AtomicU64::new(0),
        })
    }

    /// The buffer called `name` with at least `count` elements; its contents are what was last
    /// written there.
    pub fn get(&self, name: &str, count: usize, dtype: DType) -> Result<Buffer> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(buffer) = buffers.get(name)
            && buffer.count() >= count
            && buffer.dtype() == dtype
        {
            return Ok(buffer.clone());
        }
        // The old one goes first: both together might not fit.
        buffers.remove(name);
        let buffer = self.backend.buffer(dtype, count.max(1))?;
        buffers.insert(name.to_string(), buffer.clone());
        self.version.fetch_add(1, Ordering::Relaxed);
        Ok(buffer)
    }

    /// [`Workspace::get`] of f32.
    pub fn f32(&self, name: &str, count: usize) -> Result<Buffer> {
        self.get(name, count, DType::F32)
    }

    /// Grows when a buffer is made or replaced: a graph recorded before then holds buffers that are
    /// gone.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
}
