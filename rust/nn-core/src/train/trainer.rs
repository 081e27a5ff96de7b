//! The training loop: data in order, schedule, steps, evaluation, metrics, and checkpoints that
//! resume exactly.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::adamw::AdamWConfig;
use super::data::Data;
use super::evaluate::{Evaluation, evaluate};
use super::gpu_trainer::GpuTrainer;
use super::loss::LossValues;
use super::metrics::MetricsFile;
use super::schedule::Schedule;
use super::state::{restore, state_path, training_state};
use crate::error::Result;
use crate::files;
use crate::json_fields::Fields;
use crate::json_strict::Object;
use crate::messages;
use crate::model::checkpoint::Checkpoint;
use crate::model::transformer::MoETransformer;
use crate::tensor::DType;
use crate::text::{general, repr};

/// Of trainer_state.json.
pub const STATE_VERSION: i64 = 1;
const CALIBRATION_SECONDS: f64 = 3.0;
const EVALUATION_WINDOWS: usize = 64;

/// What a run is, apart from its model and data; stored in trainer_state.json, so that a resumed run
/// is the same.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Optimizer steps.
    pub steps: i64,
    /// Sequences of a micro-batch.
    pub batch: i64,
    /// Tokens of a sequence.
    pub seq_len: i64,
    /// Micro-batches of a step.
    pub accumulate: i64,
    /// Of weights and data.
    pub seed: i64,
    /// Peak learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    pub lr_min: f64,
    /// Share of the steps that warms up.
    pub warmup: f64,
    /// Of the first moment.
    pub beta1: f64,
    /// Of the second moment.
    pub beta2: f64,
    /// Of AdamW.
    pub eps: f64,
    /// Of matrices.
    pub weight_decay: f64,
    /// Of all gradients, 0: never clipped.
    pub max_norm: f64,
    /// Less memory, a third more work.
    pub recompute: bool,
    /// Steps between evaluations on the held-out split; 0: ten times a run.
    pub eval_every: i64,
    /// Steps between checkpoints; 0: at the end only.
    pub save_every: i64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch: 8,
            seq_len: 128,
            accumulate: 1,
            seed: 0,
            lr: 1e-3,
            lr_min: 1e-4,
            warmup: 0.05,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            max_norm: 1.0,
            recompute: false,
            eval_every: 0,
            save_every: 0,
        }
    }
}

impl TrainOptions {
    /// Errors: usage_bad_value.
    pub fn validate(self) -> Result<Self> {
        for (option, size, least) in [
            ("--steps", self.steps, 1),
            ("--batch", self.batch, 1),
            ("--seq", self.seq_len, 1),
            ("--accumulate", self.accumulate, 1),
            ("--eval-every", self.eval_every, 0),
            ("--save-every", self.save_every, 0),
        ] {
            if !(least..=i64::from(i32::MAX)).contains(&size) {
                let expected = format!("an integer of at least {least}");
                return Err(messages::usage_bad_value(
                    option,
                    &size.to_string(),
                    &expected,
                ));
            }
        }
        for (option, number, high) in [
            ("--lr", self.lr, 1e6),
            ("--lr-min", self.lr_min, 1e6),
            ("--warmup", self.warmup, 1.0),
            ("--weight-decay", self.weight_decay, 1e6),
            ("--max-norm", self.max_norm, 1e30),
        ] {
            if !(0.0..=high).contains(&number) {
                let expected = format!("a number from 0 to {}", general(high, 6));
                return Err(messages::usage_bad_value(option, &repr(number), &expected));
            }
        }
        Ok(self)
    }

    /// The learning rate of every step.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            steps: self.steps as usize,
            peak: self.lr,
            last: self.lr_min,
            warmup: self.warmup,
        }
    }

    /// The optimizer's constants.
    pub fn optimizer(&self) -> AdamWConfig {
        AdamWConfig {
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
            max_norm: self.max_norm,
        }
    }

    /// Steps between evaluations.
    pub fn evaluation_interval(&self) -> i64 {
        if self.eval_every > 0 {
            self.eval_every
        } else {
            (self.steps + 9) / 10
        }
    }

    pub(super) fn to_json(&self) -> Object {
        let mut options = Object::new();
        options.insert("steps", self.steps);
        options.insert("batch", self.batch);
        options.insert("seq_len", self.seq_len);
        options.insert("accumulate", self.accumulate);
        options.insert("seed", self.seed);
        options.insert("lr", self.lr);
        options.insert("lr_min", self.lr_min);
        options.insert("warmup", self.warmup);
        options.insert("beta1", self.beta1);
        options.insert("beta2", self.beta2);
        options.insert("eps", self.eps);
        options.insert("weight_decay", self.weight_decay);
        options.insert("max_norm", self.max_norm);
        options.insert("recompute", self.recompute);
        options.insert("eval_every", self.eval_every);
        options.insert("save_every", self.save_every);
        options
    }
}

/// One step: `step` counts from 1, `tokens` are those seen so far, seconds are wall-clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMetrics {
    /// From 1.
    pub step: i64,
    /// Before the update.
    pub loss: LossValues,
    /// Of all gradients, before clipping.
    pub grad_norm: f64,
    /// The learning rate.
    pub lr: f64,
    /// Whether nothing was updated.
    pub skipped: bool,
    /// Seen so far.
    pub tokens: i64,
    /// Of the run.
    pub seconds: f64,
    /// Of this step.
    pub tokens_per_second: f64,
}

/// What a run tells while it goes on.
pub trait Observer {
    /// After a step.
    fn on_step(&mut self, metrics: &StepMetrics);
    /// After an evaluation.
    fn on_evaluation(&mut self, step: i64, evaluation: &Evaluation);
    /// Whether to end after the step in hand.
    fn stop(&mut self) -> bool;
    /// After a checkpoint of this step was saved in `out`.
    fn on_save(&mut self, out: &Path, step: i64) -> Result<()>;
}

/// Runs a model over prepared data. `step` is the number of steps done.
#[derive(Debug)]
pub struct Trainer {
    /// What the run is.
    pub options: TrainOptions,
    model: Arc<MoETransformer>,
    data: Arc<Data>,
    /// Where it is saved.
    pub out: PathBuf,
    schedule: Schedule,
    gpu: GpuTrainer,
    /// Steps done.
    pub step: i64,
    /// Its metrics.jsonl.
    pub metrics: MetricsFile,
    ids: Vec<i32>,
    targets: Vec<i32>,
}

impl Trainer {
    /// With `resume`, a checkpoint of training: moments, step and data order go on where it stopped.
    ///
    /// Errors: usage_bad_value, not_training, sequence_too_long, data_too_short, tokenizer_too_large,
    /// checkpoint_no_training_state and, for a state that does not fit, those of the readers.
    pub fn new(
        model: Arc<MoETransformer>,
        data: Arc<Data>,
        options: TrainOptions,
        out: &Path,
        resume: Option<&Checkpoint>,
    ) -> Result<Self> {
        let options = options.validate()?;
        let out = &files::plain(out);
        let vocab_size = model.config.vocab_size;
        if data.vocab_size > vocab_size as i64 {
            let path = files::text(&data.tokenizer_path());
            return Err(messages::tokenizer_too_large(
                &path,
                data.vocab_size,
                vocab_size,
            ));
        }
        data.split("train")?.require(options.seq_len as usize)?;
        let gpu = GpuTrainer::new(
            model.clone(),
            options.batch as usize,
            options.seq_len as usize,
            options.accumulate as usize,
            options.optimizer(),
            true,
        )?;
        let step = match resume {
            Some(checkpoint) => restore(&model, &data, &options, &gpu, checkpoint)?,
            None => 0,
        };
        let metrics = MetricsFile::new(&files::join(out, "metrics.jsonl"), step)?;
        Ok(Self {
            schedule: options.schedule(),
            options,
            step,
            out: out.to_path_buf(),
            model,
            data,
            gpu,
            metrics,
            ids: Vec::new(),
            targets: Vec::new(),
        })
    }

    /// Steps until the schedule's end, or until `stop()` after a step; saves at the end of either.
    ///
    /// Returns whether the run is complete. Errors: disk_full, cannot_write, those of the device.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let (start, seconds_before) = (Instant::now(), self.metrics.seconds);
        let o = self.options.clone();
        let per_step = o
            .accumulate
            .saturating_mul(o.batch)
            .saturating_mul(o.seq_len);
        let mut stopped = false;
        while self.step < o.steps && !stopped {
            let began = Instant::now();
            let lr = self.schedule.learning_rate(self.step as usize);
            self.batch(self.step as usize)?;
            let loss = self.gpu.step(&self.ids, &self.targets, lr)?;
            self.step += 1;
            let metrics = StepMetrics {
                step: self.step,
                loss,
                grad_norm: self.gpu.grad_norm()?,
                lr,
                skipped: self.gpu.skipped()?,
                tokens: self.step.saturating_mul(per_step),
                seconds: seconds_before + start.elapsed().as_secs_f64(),
                tokens_per_second: per_step as f64 / began.elapsed().as_secs_f64().max(1e-9),
            };
            self.metrics.write_step(&metrics)?;
            observer.on_step(&metrics);
            let last = self.step == o.steps;
            if (self.step % o.evaluation_interval() == 0 || last) && self.data.heldout.len > 1 {
                let evaluation = self.evaluate(Some(EVALUATION_WINDOWS))?;
                self.metrics
                    .write_evaluation(self.step as usize, &evaluation)?;
                observer.on_evaluation(self.step, &evaluation);
            }
            stopped = observer.stop();
            if last || stopped || (o.save_every > 0 && self.step % o.save_every == 0) {
                self.save()?;
                observer.on_save(&self.out, self.step)?;
            }
        }
        Ok(self.step >= o.steps)
    }

    /// (ids, targets) `[accumulate, batch, seq_len]` of a step, kept until the next.
    pub fn batch(&mut self, step: usize) -> Result<(&[i32], &[i32])> {
        let o = &self.options;
        self.ids.clear();
        self.targets.clear();
        for a in 0..o.accumulate as usize {
            self.data.train.batch(
                o.seed,
                step,
                (o.accumulate as usize, a),
                o.batch as usize,
                o.seq_len as usize,
                &mut self.ids,
                &mut self.targets,
            )?;
        }
        Ok((&self.ids, &self.targets))
    }

    /// On the held-out split, or `max_windows` windows spread over it.
    pub fn evaluate(&self, max_windows: Option<usize>) -> Result<Evaluation> {
        let (batch, seq_len) = (self.options.batch as usize, self.options.seq_len as usize);
        evaluate(
            &self.model,
            self.data.split("heldout")?,
            batch,
            seq_len,
            max_windows,
            &mut |_, _| (),
        )
    }

    /// The checkpoint with the optimizer's state, in `out`, whole or not at all.
    pub fn save(&self) -> Result<()> {
        let path = self.data.tokenizer_path();
        let tokenizer = if path.is_file() {
            Some(files::read_bytes(&path, super::data::KIND)?)
        } else {
            None
        };
        self.metrics.sync()?;
        self.model.save(
            &self.out,
            tokenizer.as_deref(),
            Some(training_state(
                &self.model,
                &self.data,
                &self.options,
                &self.gpu,
                self.step,
            )?),
        )
    }

    /// Seconds that a step takes here, measured without changing anything that training goes on from.
    pub fn calibrate(&mut self) -> Result<f64> {
        self.batch(0)?;
        self.gpu.load(&self.ids, &self.targets)?;
        self.gpu.forward_backward()?;
        self.model.backend.synchronize()?;
        let start = Instant::now();
        let mut runs = 0;
        while runs < 3 || start.elapsed().as_secs_f64() < CALIBRATION_SECONDS {
            self.gpu.forward_backward()?;
            self.model.backend.synchronize()?;
            runs += 1;
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(runs))
    }
}

/// A new run replaces weights and state in its folder; hours of training are not replaced unasked.
///
/// Errors: train_replaces where `path` holds a run to resume, also one whose last save was cut off behind
/// its moment.
pub fn require_no_run(path: &Path) -> Result<()> {
    let folders = [path.to_path_buf(), path.join(files::COMPLETE)];
    if folders
        .iter()
        .any(|folder| folder.join("trainer_state.json").exists())
    {
        return Err(messages::train_replaces(&files::text(&files::plain(path))));
    }
    Ok(())
}

/// The options of the run that wrote a checkpoint. Errors: those of the readers and of `validate`.
pub fn stored_options(checkpoint: &Checkpoint) -> Result<TrainOptions> {
    let place = state_path(checkpoint);
    let object = checkpoint.trainer_state()?;
    let state = Fields::new(&object, place.clone());
    let version = state.integer("version")?;
    if version != STATE_VERSION {
        let expected = STATE_VERSION.to_string();
        return Err(messages::config_bad_value(
            &place,
            "version",
            &version.to_string(),
            &expected,
        ));
    }
    let options = Fields::new(state.object("options")?, format!("{place}: options"));
    TrainOptions {
        steps: options.integer("steps")?,
        batch: options.integer("batch")?,
        seq_len: options.integer("seq_len")?,
        accumulate: options.integer("accumulate")?,
        seed: options.integer("seed")?,
        lr: options.number("lr")?,
        lr_min: options.number("lr_min")?,
        warmup: options.number("warmup")?,
        beta1: options.number("beta1")?,
        beta2: options.number("beta2")?,
        eps: options.number("eps")?,
        weight_decay: options.number("weight_decay")?,
        max_norm: options.number("max_norm")?,
        recompute: options.boolean("recompute")?,
        eval_every: options.integer("eval_every")?,
        save_every: options.integer("save_every")?,
    }
    .validate()
}

/// Steps that fill `minutes`.
pub fn steps_for(minutes: f64, seconds_per_step: f64) -> i64 {
    ((minutes * 60.0 / seconds_per_step) as i64).max(1)
}

/// "f32" or "bf16". Errors: usage_bad_value.
pub fn training_dtype(name: &str) -> Result<DType> {
    match name {
        "f32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        _ => Err(messages::usage_bad_value("--dtype", name, "f32 or bf16")),
    }
}
