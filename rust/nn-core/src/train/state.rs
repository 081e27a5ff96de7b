//! What a checkpoint keeps of a run, written and read.

use super::data::Data;
use super::gpu_trainer::GpuTrainer;
use super::trainer::{STATE_VERSION, TrainOptions};
use crate::error::Result;
use crate::files;
use crate::json_fields::Fields;
use crate::json_strict::Object;
use crate::messages;
use crate::model::checkpoint::{Checkpoint, TrainingState, require_tensor};
use crate::model::safetensors::{TensorEntry, byte_order};
use crate::model::transformer::MoETransformer;
use crate::tensor::HostRef;

/// The optimizer's tensors and the counters of a run after `step` steps.
pub(super) fn training_state<'a>(
    model: &'a MoETransformer,
    data: &Data,
    options: &TrainOptions,
    gpu: &'a GpuTrainer,
    step: i64,
) -> Result<TrainingState<'a>> {
    let (optimizer, weights) = (&gpu.optimizer, &model.weights);
    let buffers = optimizer.state();
    let mut entries = Vec::new();
    for (kind, _) in &buffers {
        for spec in &weights.specs {
            entries.push(TensorEntry::new(
                format!("{kind}.{}", spec.name),
                "F32",
                &spec.shape,
            ));
        }
    }
    byte_order(&mut entries);
    let mut state = Object::new();
    state.insert("version", STATE_VERSION);
    state.insert("step", step);
    state.insert(
        "applied_steps",
        model.backend.scalar_i64(&optimizer.applied)?,
    );
    state.insert("train_tokens", data.train.len);
    state.insert("options", options.to_json());
    let fetch = move |name: &str| {
        let (kind, tensor) = name.split_once('.').unwrap_or((name, ""));
        let buffer = buffers
            .iter()
            .find(|(known, _)| *known == kind)
            .map_or(&buffers[0].1, |(_, buffer)| buffer);
        weights.fetch_from(buffer, tensor)
    };
    Ok(TrainingState {
        optimizer: entries,
        fetch: Box::new(fetch),
        trainer_state: state,
    })
}

/// Moments and counters of a checkpoint; returns the steps that were done.
pub(super) fn restore(
    model: &MoETransformer,
    data: &Data,
    options: &TrainOptions,
    gpu: &GpuTrainer,
    checkpoint: &Checkpoint,
) -> Result<i64> {
    let state = checkpoint.trainer_state()?;
    let place = state_path(checkpoint);
    let reader = Fields::new(&state, place.clone());
    let (step, applied) = (reader.integer("step")?, reader.integer("applied_steps")?);
    let tokens = reader.integer("train_tokens")?;
    for (field, value, high) in [
        ("step", step, options.steps),
        ("applied_steps", applied, step),
    ] {
        if !(0..=high).contains(&value) {
            let expected = format!("0 to {high}");
            return Err(messages::config_bad_value(
                &place,
                field,
                &value.to_string(),
                &expected,
            ));
        }
    }
    if tokens != data.train.len as i64 {
        let expected = format!("the {} tokens of {}", data.train.len, data.train.path);
        return Err(messages::config_bad_value(
            &place,
            "train_tokens",
            &tokens.to_string(),
            &expected,
        ));
    }
    let (weights, backend) = (&model.weights, &model.backend);
    let stored = checkpoint.optimizer()?;
    for (kind, buffer) in gpu.optimizer.state() {
        for spec in &weights.specs {
            let name = format!("{kind}.{}", spec.name);
            let values = require_tensor(&stored, &name, "F32", &spec.shape)?;
            backend.upload(buffer, weights.offset(&spec.name)?, values.as_ref())?;
        }
    }
    backend.upload(&gpu.optimizer.applied, 0, HostRef::from(&[applied]))?;
    Ok(step)
}

/// Where trainer_state.json is, in a sentence.
pub(super) fn state_path(checkpoint: &Checkpoint) -> String {
    files::text(&files::join(&checkpoint.path, "trainer_state.json"))
}
