//! nn-rs init: fresh weights as a checkpoint.

use std::collections::HashMap;
use std::path::Path;

use clap::Args;
use nn_core::json_strict::Object;
use nn_core::messages;
use nn_core::model::checkpoint::{SHARD_BYTES, save_checkpoint};
use nn_core::model::parameters::{Kind, parameter_specs};
use nn_core::tensor::TensorError;
use nn_core::tokenizer::Tokenizer;
use nn_core::train::trainer::training_dtype;

use crate::arguments::{path, text};
use crate::common::{
    AsJson, Device, Failure, NtkAlpha, Outcome, Quiet, Seed, print_result, read_config,
};
use crate::progress::ProgressBar;

/// Write a model with fresh weights, one tensor in memory at a time.
#[derive(Debug, Args)]
pub struct Options {
    /// a preset (tiny, small, 6.9b) or a config.json
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    config: String,
    /// the folder to write
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    out: String,
    /// f32 or bf16
    #[arg(long, default_value = "f32", value_parser = text(), allow_hyphen_values = true)]
    dtype: String,
    /// a tokenizer.json to put beside
    #[arg(long, value_parser = path(), allow_hyphen_values = true)]
    tokenizer: Option<String>,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    seed: Seed,
    #[command(flatten)]
    ntk: NtkAlpha,
    #[command(flatten)]
    json: AsJson,
    #[command(flatten)]
    quiet: Quiet,
}

pub fn run(options: Options) -> Outcome {
    let dtype = training_dtype(&options.dtype)?;
    let seed = options.seed.check()?;
    let config = read_config(&options.config, options.ntk.ntk_alpha)?.with_dtype(&options.dtype)?;
    let specs: HashMap<_, _> = parameter_specs(&config)
        .into_iter()
        .map(|spec| (spec.name.clone(), spec))
        .collect();
    let tokenizer = match &options.tokenizer {
        Some(path) => Some(read_tokenizer(path, config.vocab_size)?),
        None => None,
    };
    let backend = options.device.open()?;
    let mut bar = ProgressBar::new("init", specs.len() as u64, options.quiet.quiet);
    let mut written = 0;
    let mut fetch = |name: &str| {
        let Some(spec) = specs.get(name) else {
            return Err(TensorError::Shape(format!("the model has no tensor {name}")).into());
        };
        let buffer = backend.buffer(dtype, spec.size())?;
        match spec.kind {
            Kind::Norm => backend.fill(&buffer, spec.size(), 1.0)?,
            Kind::Matrix => backend.random_init(&buffer, spec.size(), 0, seed, spec.number)?,
        }
        let values = backend.download(&buffer, 0, spec.size())?;
        written += 1;
        bar.update(written, "");
        Ok(values)
    };
    save_checkpoint(
        Path::new(&options.out),
        &config,
        &mut fetch,
        tokenizer.as_deref(),
        None,
        SHARD_BYTES,
    )?;
    drop(bar);
    let mut fields = Object::new();
    fields.insert("out", options.out);
    fields.insert("parameters", config.n_parameters() as u64);
    fields.insert("active_parameters", config.n_active_parameters() as u64);
    fields.insert("dtype", options.dtype);
    fields.insert("seed", seed);
    print_result(fields, options.json.json)
}

/// The content of a tokenizer.json whose ids the model has. Errors: those of [`Tokenizer::load`],
/// tokenizer_too_large.
fn read_tokenizer(path: &str, vocab_size: usize) -> Result<Vec<u8>, Failure> {
    let tokenizer = Tokenizer::load(Path::new(path))?;
    if tokenizer.vocab_size > vocab_size as i64 {
        return Err(messages::tokenizer_too_large(path, tokenizer.vocab_size, vocab_size).into());
    }
    Ok(tokenizer.json)
}
