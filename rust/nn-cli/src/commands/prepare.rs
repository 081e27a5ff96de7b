//! nn-rs prepare: text to tokenizer.json and tokens.

use std::path::Path;

use clap::Args;
use nn_core::json_strict::Object;
use nn_core::train::prepare::prepare;

use crate::arguments::{integer, path};
use crate::common::{AsJson, Outcome, Quiet, print_result};
use crate::progress::ProgressBar;

/// Turn text into tokens: tokenizer.json, train.bin, heldout.bin, data.json.
#[derive(Debug, Args)]
pub struct Options {
    /// a file or folder of text; may be repeated
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    data: Vec<String>,
    /// the folder to write
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    out: String,
    /// tokens of the BPE that is learned
    #[arg(long, default_value = "4096", value_parser = integer(), allow_hyphen_values = true)]
    vocab_size: i64,
    /// a tokenizer.json, or bytes
    #[arg(long, value_parser = path(), allow_hyphen_values = true)]
    tokenizer: Option<String>,
    #[command(flatten)]
    json: AsJson,
    #[command(flatten)]
    quiet: Quiet,
}

pub fn run(options: Options) -> Outcome {
    let data = prepared(
        &options.data,
        Path::new(&options.out),
        options.vocab_size,
        options.tokenizer.as_deref(),
        options.quiet.quiet,
    )?;
    let mut fields = Object::new();
    fields.insert("out", options.out);
    for (name, value) in data.iter() {
        fields.insert(name, value.clone());
    }
    print_result(fields, options.json.json)
}

/// [`prepare`] with a bar.
pub fn prepared(
    paths: &[String],
    out: &Path,
    vocab_size: i64,
    tokenizer: Option<&str>,
    quiet: bool,
) -> nn_core::Result<Object> {
    let mut bar = ProgressBar::new("prepare", 0, quiet);
    prepare(
        paths,
        out,
        vocab_size,
        tokenizer,
        &mut |doing, done, total| {
            bar.begin(doing, total as u64);
            bar.update(done as u64, "");
        },
    )
}
