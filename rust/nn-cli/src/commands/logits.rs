//! nn-rs logits: the model's output for given ids, as a file to compare.

use std::path::Path;

use clap::Args;
use nn_core::json_strict::{Json, Object};
use nn_core::messages;
use nn_core::model::safetensors::{TensorEntry, save_file};
use nn_core::tensor::HostVec;

use crate::arguments::{path, text};
use crate::common::{AsJson, Device, Failure, NtkAlpha, Outcome, print_result};

/// Write the logits of a sequence of ids.
#[derive(Debug, Args)]
pub struct Options {
    /// a checkpoint folder
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    model: String,
    /// token ids, for example 1,2,3
    #[arg(long, required = true, value_parser = text(), allow_hyphen_values = true)]
    ids: String,
    /// the .safetensors file to write: "logits" [1, T, V] f32
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    out: String,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    ntk: NtkAlpha,
    #[command(flatten)]
    json: AsJson,
}

pub fn run(options: Options) -> Outcome {
    let ids = parse_ids(&options.ids)?;
    let backend = options.device.open()?;
    let model = options.ntk.load(&options.model, backend)?;
    // An id beyond i32 is beyond every vocabulary, but the sentence names it as it was given.
    let narrow: Vec<i32> = ids
        .iter()
        .map(|&id| i32::try_from(id).unwrap_or(-1))
        .collect();
    if let Err(error) = model.check_ids(&narrow, 1, narrow.len()) {
        let size = model.config.vocab_size as i64;
        return match ids.iter().position(|&id| id >= size) {
            Some(position) if error.key() == "id_out_of_range" => {
                Err(
                    messages::id_out_of_range(ids[position], position, model.config.vocab_size - 1)
                        .into(),
                )
            }
            _ => Err(error.into()),
        };
    }
    let logits = model.forward_ids(&narrow, 1, narrow.len())?;
    let shape = logits.shape().dims().to_vec();
    let entries = [TensorEntry::new("logits", "F32", &shape)];
    let mut values = Some(logits.into_values());
    let mut fetch = |_: &str| Ok(HostVec::F32(values.take().unwrap_or_default()));
    save_file(
        Path::new(&options.out),
        &entries,
        &mut fetch,
        &[("format", "pt")],
    )?;
    let mut fields = Object::new();
    fields.insert("out", options.out);
    fields.insert(
        "shape",
        shape.into_iter().map(Json::from).collect::<Vec<_>>(),
    );
    print_result(fields, options.json.json)
}

/// Errors: no_ids, usage_bad_value.
fn parse_ids(text: &str) -> Result<Vec<i64>, Failure> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.iter().all(|part| part.is_empty()) {
        return Err(messages::no_ids().into());
    }
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.len() <= 10;
    let parsed: Option<Vec<i64>> = parts
        .iter()
        .map(|part| {
            if digits(part) {
                part.parse().ok()
            } else {
                None
            }
        })
        .collect();
    parsed.ok_or_else(|| messages::usage_bad_value("--ids", text, "ids such as 1,2,3").into())
}
