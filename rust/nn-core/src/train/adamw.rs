//! AdamW (Loshchilov and Hutter 2019) over the flat buffers, with clipping by the global norm.

use std::sync::Arc;

use crate::error::Result;
use crate::messages;
use crate::model::weights::Weights;
use crate::tensor::{Backend, Buffer, DType};

/// Decay acts on matrices only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Of the first moment.
    pub beta1: f64,
    /// Of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Of the matrices.
    pub weight_decay: f64,
    /// Of all gradients, 0: never clipped.
    pub max_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            max_norm: 1.0,
        }
    }
}

/// p *= 1 - lr wd;  p -= (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps),  bc = 1 - beta^applied.
///
/// Moments `m`, `v` f32 `[layout.total]`; with 16-bit weights an f32 `master` of the same size holds
/// the value that is updated. The learning rate and the number of applied steps live in device
/// buffers. A step whose gradient norm is not finite changes nothing and does not count as applied.
#[derive(Debug)]
pub struct AdamW {
    backend: Arc<dyn Backend>,
    gradients: Buffer,
    config: AdamWConfig,
    total: usize,
    m: Buffer,
    v: Buffer,
    master: Option<Buffer>,
    /// The learning rate, f32.
    pub lr: Buffer,
    scale: Buffer,
    /// Of all gradients of the last step, before clipping, f32.
    pub norm: Buffer,
    sum: Buffer,
    /// Whether the last step changed nothing, i32.
    pub nonfinite: Buffer,
    /// Steps that changed something, i64.
    pub applied: Buffer,
    parts: [Part; 2],
}

/// A range of the flat buffers with one decay.
#[derive(Debug)]
struct Part {
    param: Buffer,
    master: Option<Buffer>,
    m: Buffer,
    v: Buffer,
    grad: Buffer,
    start: usize,
    count: usize,
    weight_decay: f64,
}

impl AdamW {
    /// Moments of zero. Errors: not_training.
    pub fn new(backend: Arc<dyn Backend>, weights: &Weights, config: AdamWConfig) -> Result<Self> {
        let gradients = weights
            .gradients
            .clone()
            .ok_or_else(messages::not_training)?;
        let total = weights.layout.total;
        let m = backend.buffer(DType::F32, total)?;
        let v = backend.buffer(DType::F32, total)?;
        let master = if weights.dtype == DType::F32 {
            None
        } else {
            let master = backend.buffer(DType::F32, total)?;
            backend.cast(&master, &weights.values, total)?;
            Some(master)
        };
        let one = |dtype| backend.buffer(dtype, 1);
        let (lr, scale) = (one(DType::F32)?, one(DType::F32)?);
        let (norm, sum) = (one(DType::F32)?, one(DType::F32)?);
        let (nonfinite, applied) = (one(DType::I32)?, one(DType::I64)?);
        let part = |start: usize, count: usize, weight_decay: f64| -> Result<Part> {
            let view = |buffer: &Buffer| backend.view(buffer, start, count);
            Ok(Part {
                param: view(&weights.values)?,
                master: master.as_ref().map(view).transpose()?,
                m: view(&m)?,
                v: view(&v)?,
                grad: view(&gradients)?,
                start,
                count,
                weight_decay,
            })
        };
        let n = weights.layout.n_matrix;
        let parts = [part(0, n, config.weight_decay)?, part(n, total - n, 0.0)?];
        Ok(Self {
            backend,
            config,
            total,
            gradients,
            m,
            v,
            master,
            lr,
            scale,
            norm,
            sum,
            nonfinite,
            applied,
            parts,
        })
    }

    /// All gradients to 0.
    pub fn zero_grad(&self) -> Result<()> {
        Ok(self.backend.fill(&self.gradients, self.total, 0.0)?)
    }

    /// One update from the accumulated gradients, at the learning rate that stands in `lr`.
    pub fn step(&self) -> Result<()> {
        let (be, c) = (&self.backend, &self.config);
        be.sum_of_squares(&self.sum, &self.gradients, self.total)?;
        be.clip_scale(
            &self.scale,
            &self.norm,
            &self.nonfinite,
            &self.applied,
            &self.sum,
            c.max_norm,
        )?;
        for part in &self.parts {
            be.adamw_step(
                &part.param,
                part.master.as_ref(),
                &part.m,
                &part.v,
                &part.grad,
                &self.lr,
                &self.scale,
                &self.nonfinite,
                &self.applied,
                None,
                part.count,
                part.start,
                c.beta1,
                c.beta2,
                c.eps,
                part.weight_decay,
            )?;
        }
        Ok(())
    }

    /// What a checkpoint keeps of the optimizer, by the prefix of its tensors' names: m, v, and master
    /// if any.
    pub fn state(&self) -> Vec<(&'static str, &Buffer)> {
        let mut buffers = vec![("m", &self.m), ("v", &self.v)];
        buffers.extend(self.master.as_ref().map(|master| ("master", master)));
        buffers
    }
}
