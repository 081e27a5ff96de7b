//! The model of a case by candle-transformers' Mixtral, from a folder that nn-core wrote. It gives the logits
//! of the last position alone: rows of prompts and decoding, not of whole forward passes.

use std::error::Error;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor, safetensors};
use candle_nn::VarBuilder;
use candle_transformers::models::mixtral::{Config, Model};
use nn_core::json_fields::Fields;
use nn_core::model::config::preset;
use nn_core::model::transformer::{MoETransformer, Options};
use nn_cuda::open_backend;

use crate::protocol::size;

/// Kinds that are written here.
pub const KINDS: [&str; 2] = ["decode", "prefill"];

/// One run: the ids `[batch, new]`.
pub type Call = Box<dyn FnMut() -> Result<Vec<i32>, Box<dyn Error>>>;

/// Whether a case is for this model: candle's takes sequences of one length, and a batch as one.
pub fn applies(case: &Fields) -> nn_core::Result<bool> {
    Ok(KINDS.contains(&case.string("kind")?))
}

/// The work of a case, as nn_core::bench does it: a prompt up to its first new token, or steps behind it.
pub fn call(case: &Fields) -> Result<Call, Box<dyn Error>> {
    let (batch, prompt) = (size(case, "batch")?, size(case, "prompt")?);
    let (fresh, vocab_size) = model(case)?;
    let ids: Vec<u32> = (0..batch)
        .flat_map(|b| (0..prompt).map(move |i| ((7 * i + 131 * b) % vocab_size) as u32))
        .collect();
    let ids = Tensor::from_vec(ids, (batch, prompt), &Device::Cpu)?;
    if case.string("kind")? == "prefill" {
        return Ok(Box::new(move || {
            let first = next(&fresh.clone().forward(&ids, 0)?)?;
            host(&[first])
        }));
    }
    let (skip, new) = (size(case, "skip")?, size(case, "new")?);
    // The cache is part of the model, and a copy of it shares its tensors, which are never written again.
    let mut begun = fresh;
    let mut last = next(&begun.forward(&ids, 0)?)?;
    for step in 1..skip {
        last = next(&begun.forward(&last, prompt + step - 1)?)?;
    }
    Ok(Box::new(move || {
        let (mut model, mut last, mut made) = (begun.clone(), last.clone(), Vec::new());
        for step in 0..new {
            last = next(&model.forward(&last, prompt + skip + step - 1)?)?;
            made.push(last.clone());
        }
        host(&made)
    }))
}

/// The likeliest token of each sequence, `[batch, 1]`, from logits `[batch, 1, vocab_size]`.
fn next(logits: &Tensor) -> candle_core::Result<Tensor> {
    logits.squeeze(1)?.argmax_keepdim(1)
}

/// Steps of `[batch, 1]` as ids `[batch, steps]`.
fn host(steps: &[Tensor]) -> Result<Vec<i32>, Box<dyn Error>> {
    let ids = Tensor::cat(steps, 1)?.flatten_all()?.to_vec1::<u32>()?;
    Ok(ids.into_iter().map(|id| id as i32).collect())
}

fn model(case: &Fields) -> Result<(Model, usize), Box<dyn Error>> {
    let config = preset(case.string("config")?)?;
    let vocab_size = config.vocab_size;
    let ours = MoETransformer::new(config, open_backend("reference", 1)?, Options::default())?;
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("model");
    ours.save(&folder, None, None)?;
    Ok((read(&folder)?, vocab_size))
}

fn read(folder: &Path) -> Result<Model, Box<dyn Error>> {
    let mut config: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
    // candle's has no word for "no window", and its flash attention is CUDA's.
    config["sliding_window"] = config["max_position_embeddings"].clone();
    config["use_flash_attn"] = false.into();
    let config: Config = serde_json::from_value(config)?;
    let tensors = safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
    Ok(Model::new(
        &config,
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu),
    )?)
}
