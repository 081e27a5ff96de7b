//! Blocks instead of floats: writes a checkpoint's matrices as q8 or q4, one tensor in memory at a
//! time.

use std::collections::HashMap;
use std::path::Path;

use super::checkpoint::{
    Checkpoint, KIND, SHARD_BYTES, STORED, checkpoint_entries, save_checkpoint,
};
use super::config::MoEConfig;
use super::parameters::parameter_specs;
use crate::error::Result;
use crate::files;
use crate::messages;
use crate::tensor::array::narrowed;
use crate::tensor::{Backend, DType, TensorError};

/// Writes the folder `path` with `ParameterSpec::quantized` matrices as `kind` ("q8" or "q4") and
/// returns its config.
///
/// A block of 32 elements of a row becomes a scale and levels, as cunn_quantize says: x about d q, off
/// by at most half of d (by d where q4 would need a level 8, which it has not) and the rounding of d.
/// Everything else is in `config.dtype`; tokenizer.json comes along. `written` hears how many tensors
/// are done. Errors: quantized_weights, quantize_replaces, those of [`MoEConfig::validate`] and of
/// [`save_checkpoint`], and the device's where an element is not finite.
pub fn quantize_checkpoint(
    checkpoint: &Checkpoint,
    path: &Path,
    kind: &str,
    backend: &dyn Backend,
    written: &mut dyn FnMut(usize),
) -> Result<MoEConfig> {
    let place = files::text(&checkpoint.path);
    checkpoint.config.require_float(&place)?;
    require_elsewhere(checkpoint, path)?;
    let config = checkpoint.config.with_quantization(kind)?;
    let specs: HashMap<_, _> = parameter_specs(&config)
        .into_iter()
        .map(|spec| (spec.name.clone(), spec))
        .collect();
    // Both names are known to the config.
    let blocks = DType::from_label(kind).unwrap_or(DType::Q8);
    let kept = DType::from_label(&config.dtype).unwrap_or(DType::F32);
    let mut done = 0;
    let mut fetch = |name: &str| {
        let Some(spec) = specs.get(name) else {
            return Err(TensorError::Shape(format!("the model has no tensor {name}")).into());
        };
        let dtype = stored_dtype(checkpoint, name);
        let stored = if spec.quantized {
            let values = backend.from_host(dtype, checkpoint.array(name)?.as_ref())?;
            let made = backend.buffer(blocks, spec.size())?;
            backend.quantize(&made, &values, spec.size())?;
            backend.download(&made, 0, spec.size())?
        } else if dtype == kept {
            checkpoint.array(name)?
        } else {
            narrowed(&checkpoint.f32(name)?, kept)
        };
        done += 1;
        written(done);
        Ok(stored)
    };
    let tokenizer = checkpoint.tokenizer_path();
    let tokenizer = if tokenizer.exists() {
        Some(files::read_bytes(&tokenizer, KIND)?)
    } else {
        None
    };
    save_checkpoint(
        path,
        &config,
        &mut fetch,
        tokenizer.as_deref(),
        None,
        SHARD_BYTES,
    )?;
    Ok(config)
}

/// Errors: quantize_replaces where `path` is the checkpoint's own folder or holds a run to resume.
pub fn require_elsewhere(checkpoint: &Checkpoint, path: &Path) -> Result<()> {
    let same = path.exists() && path.canonicalize().ok() == checkpoint.path.canonicalize().ok();
    if same || path.join("trainer_state.json").exists() {
        return Err(messages::quantize_replaces(&files::text(&files::plain(
            path,
        ))));
    }
    Ok(())
}

fn stored_dtype(checkpoint: &Checkpoint, name: &str) -> DType {
    let stored = checkpoint.dtype(name).unwrap_or_default();
    let label = STORED.iter().find(|(_, known)| *known == stored);
    label
        .and_then(|(label, _)| DType::from_label(label))
        .unwrap_or(DType::F32)
}

/// Of all tensors of a checkpoint.
pub fn stored_bytes(config: &MoEConfig) -> u64 {
    checkpoint_entries(config)
        .iter()
        .map(|entry| entry.n_bytes())
        .sum()
}
