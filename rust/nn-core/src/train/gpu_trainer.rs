//! A whole training step as one recorded graph: nothing but ids goes in and nothing but the loss
//! comes out.

use std::sync::Arc;

use super::adamw::{AdamW, AdamWConfig};
use super::loss::{CrossEntropy, LossValues};
use crate::error::Result;
use crate::messages;
use crate::model::recorded_step::RecordedStep;
use crate::model::transformer::MoETransformer;
use crate::tensor::{Buffer, DType, HostRef};

/// Parameters, gradients, moments and activations stay on the device; a step is one graph launch.
///
/// See [`RecordedStep`]. On cpu the library replays the recorded calls, on a GPU it launches one CUDA
/// graph.
#[derive(Debug)]
pub struct GpuTrainer {
    /// What is trained.
    pub model: Arc<MoETransformer>,
    /// Moments, learning rate and norm.
    pub optimizer: AdamW,
    batch: usize,
    seq_len: usize,
    micro_batches: usize,
    loss: CrossEntropy,
    capture: bool,
    step: RecordedStep,
    ids: Buffer,
    targets: Buffer,
    ids_parts: Vec<Buffer>,
    targets_parts: Vec<Buffer>,
}

impl GpuTrainer {
    /// Steps of micro_batches times batch sequences of seq_len. Errors: not_training, no_ids,
    /// sequence_too_long.
    pub fn new(
        model: Arc<MoETransformer>,
        batch: usize,
        seq_len: usize,
        micro_batches: usize,
        optimizer: AdamWConfig,
        capture: bool,
    ) -> Result<Self> {
        if !model.training {
            return Err(messages::not_training());
        }
        if [batch, seq_len, micro_batches].contains(&0) {
            return Err(messages::no_ids());
        }
        if seq_len > model.config.context() {
            return Err(messages::sequence_too_long(seq_len, model.config.context()));
        }
        let backend = model.backend.clone();
        let optimizer = AdamW::new(backend.clone(), &model.weights, optimizer)?;
        let loss = CrossEntropy::new(backend.clone(), model.config.vocab_size)?;
        let rows = batch.saturating_mul(seq_len);
        let ids = backend.buffer(DType::I32, micro_batches.saturating_mul(rows))?;
        let targets = backend.buffer(DType::I32, micro_batches.saturating_mul(rows))?;
        let parts = |whole: &Buffer| -> Result<Vec<Buffer>> {
            (0..micro_batches)
                .map(|a| Ok(backend.view(whole, a * rows, rows)?))
                .collect()
        };
        let (ids_parts, targets_parts) = (parts(&ids)?, parts(&targets)?);
        Ok(Self {
            model,
            optimizer,
            batch,
            seq_len,
            micro_batches,
            loss,
            capture,
            step: RecordedStep::default(),
            ids,
            targets,
            ids_parts,
            targets_parts,
        })
    }

    /// One optimizer step on ids, targets `[micro_batches, batch, seq_len]` i32 (target -1: does not
    /// count).
    ///
    /// Returns the losses before the update. Errors: those of the device, for example an id out of
    /// range.
    pub fn step(&mut self, ids: &[i32], targets: &[i32], lr: f64) -> Result<LossValues> {
        self.load(ids, targets)?;
        let backend = self.model.backend.clone();
        backend.upload(&self.optimizer.lr, 0, HostRef::from(&[lr as f32]))?;
        let mut step = std::mem::take(&mut self.step);
        let outcome = if self.capture {
            step.run(
                backend.as_ref(),
                || self.model.workspace_version(),
                || self.run(),
            )
        } else {
            self.run()
        };
        self.step = step;
        outcome?;
        self.losses()
    }

    /// Brings a step's ids and targets to the device. Errors: ids_wrong_count.
    pub fn load(&self, ids: &[i32], targets: &[i32]) -> Result<()> {
        let sequences = self.micro_batches * self.batch;
        for values in [ids, targets] {
            if values.len() != sequences * self.seq_len {
                return Err(messages::ids_wrong_count(
                    values.len(),
                    sequences,
                    self.seq_len,
                ));
            }
        }
        self.model.backend.upload(&self.ids, 0, HostRef::I32(ids))?;
        Ok(self
            .model
            .backend
            .upload(&self.targets, 0, HostRef::I32(targets))?)
    }

    /// The means of the last step.
    pub fn losses(&self) -> Result<LossValues> {
        let config = &self.model.config;
        let (cross_entropy, count) = self.loss.mean()?;
        let share = (config.n_layers * self.micro_batches) as f64;
        let backend = &self.model.backend;
        let balance = f64::from(backend.scalar_f32(&self.model.balance_loss)?) / share;
        let z = f64::from(backend.scalar_f32(&self.model.z_loss)?) / share;
        let total = cross_entropy + config.aux_coef * balance + config.z_coef * z;
        Ok(LossValues {
            cross_entropy,
            balance,
            z,
            total,
            count,
        })
    }

    /// The norm of all gradients of the last step, before clipping.
    pub fn grad_norm(&self) -> Result<f64> {
        Ok(f64::from(
            self.model.backend.scalar_f32(&self.optimizer.norm)?,
        ))
    }

    /// Whether the last step changed nothing because its gradient was not finite.
    pub fn skipped(&self) -> Result<bool> {
        Ok(self.model.backend.scalar_i32(&self.optimizer.nonfinite)? != 0)
    }

    /// Loss sums and gradients of the ids and targets that are on the device.
    pub fn forward_backward(&self) -> Result<()> {
        let (rows, backend) = (self.batch * self.seq_len, &self.model.backend);
        self.optimizer.zero_grad()?;
        self.loss.reset()?;
        backend.fill(&self.model.balance_loss, 1, 0.0)?;
        backend.fill(&self.model.z_loss, 1, 0.0)?;
        self.loss
            .add_count(&self.targets, self.micro_batches * rows)?;
        for (ids, targets) in self.ids_parts.iter().zip(&self.targets_parts) {
            let logits = self.model.forward(ids, self.batch, self.seq_len)?;
            self.loss.forward(&logits, targets, rows)?;
            self.loss.backward(&logits, targets, rows)?;
            self.model
                .backward(&logits, self.batch, self.seq_len, self.micro_batches)?;
        }
        Ok(())
    }

    fn run(&self) -> Result<()> {
        self.forward_backward()?;
        self.optimizer.step()
    }
}
