//! nn-rs quantize: a checkpoint's matrices as blocks of 8 or 4 bits, for inference in a quarter or an
//! eighth of f32.

use std::path::Path;

use clap::Args;
use nn_core::json_strict::Object;
use nn_core::messages;
use nn_core::model::checkpoint::load_checkpoint;
use nn_core::model::parameters::{ParameterSpec, parameter_specs};
use nn_core::model::quantize::{quantize_checkpoint, require_elsewhere, stored_bytes};

use crate::arguments::{path, text};
use crate::common::{AsJson, Device, Outcome, Quiet, print_result};
use crate::progress::ProgressBar;

/// Write a model with quantized matrices: generate, eval, logits and inspect take it as it is.
#[derive(Debug, Args)]
pub struct Options {
    /// a checkpoint folder
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    model: String,
    /// the folder to write
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    out: String,
    /// q8 or q4
    #[arg(long = "type", required = true, value_parser = text(), allow_hyphen_values = true)]
    kind: String,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    json: AsJson,
    #[command(flatten)]
    quiet: Quiet,
}

pub fn run(options: Options) -> Outcome {
    let kind = &options.kind;
    if kind != "q8" && kind != "q4" {
        return Err(messages::usage_bad_value("--type", kind, "q8 or q4").into());
    }
    let checkpoint = load_checkpoint(Path::new(&options.model))?;
    checkpoint.config.require_float(&options.model)?;
    require_elsewhere(&checkpoint, Path::new(&options.out))?;
    let specs = parameter_specs(&checkpoint.config.with_quantization(kind)?);
    let backend = options.device.open()?;
    let mut bar = ProgressBar::new("quantize", specs.len() as u64, options.quiet.quiet);
    let config = quantize_checkpoint(
        &checkpoint,
        Path::new(&options.out),
        kind,
        backend.as_ref(),
        &mut |done| bar.update(done as u64, ""),
    )?;
    drop(bar);
    let quantized = specs.iter().filter(|spec| spec.quantized);
    let mut fields = Object::new();
    fields.insert("out", options.out);
    fields.insert("type", options.kind);
    fields.insert("parameters", config.n_parameters() as u64);
    fields.insert(
        "quantized_parameters",
        quantized.map(ParameterSpec::size).sum::<usize>(),
    );
    fields.insert("bytes", stored_bytes(&config));
    print_result(fields, options.json.json)
}
