//! nn-rs eval: loss, perplexity and bits per byte of a model on text.

use std::path::Path;
use std::time::Instant;

use clap::Args;
use nn_core::json_strict::Object;
use nn_core::train::data::{Tokens, load_data, prepared_of, tokens_of_text};
use nn_core::train::evaluate::evaluate;
use nn_core::{files, messages};

use crate::arguments::{integer, path};
use crate::common::{
    AsJson, Device, Failure, NtkAlpha, Outcome, Quiet, model_tokenizer, print_result,
};
use crate::progress::ProgressBar;

/// Measure a model on text it has not seen.
#[derive(Debug, Args)]
pub struct Options {
    /// a checkpoint folder
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    model: String,
    /// a prepared folder (its held-out split), or text
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    data: Vec<String>,
    /// sequences at once
    #[arg(long, default_value = "8", value_parser = integer(), allow_hyphen_values = true)]
    batch: i64,
    /// tokens of a sequence, 0: 128 or the context if shorter
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    seq: i64,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    ntk: NtkAlpha,
    #[command(flatten)]
    json: AsJson,
    #[command(flatten)]
    quiet: Quiet,
}

pub fn run(options: Options) -> Outcome {
    let least = |option, value: i64, least: i64| -> Outcome {
        if value >= least {
            return Ok(());
        }
        let expected = format!("an integer of at least {least}");
        Err(messages::usage_bad_value(option, &value.to_string(), &expected).into())
    };
    least("--batch", options.batch, 1)?;
    least("--seq", options.seq, 0)?;
    let backend = options.device.open()?;
    let model = options.ntk.load(&options.model, backend)?;
    let context = model.config.context();
    let tokens = tokens(&options.model, &options.data, model.config.vocab_size)?;
    let seq_len = if options.seq > 0 {
        options.seq as usize
    } else {
        context.min(128)
    };
    if seq_len > context {
        return Err(messages::sequence_too_long(seq_len, context).into());
    }
    let start = Instant::now();
    let windows = tokens.n_windows(seq_len);
    let mut bar = ProgressBar::new("eval", windows as u64, options.quiet.quiet);
    let result = evaluate(
        &model,
        &tokens,
        options.batch as usize,
        seq_len,
        None,
        &mut |done, _| bar.update(done as u64, ""),
    )?;
    drop(bar);
    let seconds = start.elapsed().as_secs_f64().max(1e-9);
    let mut fields = Object::new();
    fields.insert("loss", result.loss);
    fields.insert("perplexity", result.perplexity);
    fields.insert("bits_per_byte", result.bits_per_byte);
    fields.insert("tokens", result.tokens);
    fields.insert("bytes", tokens.bytes);
    fields.insert("tokens_per_second", result.tokens as f64 / seconds);
    print_result(fields, options.json.json)
}

fn tokens(model: &str, data: &[String], vocab_size: usize) -> Result<Tokens, Failure> {
    if let Some(folder) = prepared_of(data)? {
        let prepared = load_data(Path::new(folder))?;
        if prepared.vocab_size > vocab_size as i64 {
            let path = files::text(&prepared.tokenizer_path());
            return Err(
                messages::tokenizer_too_large(&path, prepared.vocab_size, vocab_size).into(),
            );
        }
        return Ok(prepared.into_heldout()?);
    }
    let tokenizer = model_tokenizer(model)?;
    if tokenizer.vocab_size > vocab_size as i64 {
        let path = format!("{model}/tokenizer.json");
        return Err(messages::tokenizer_too_large(&path, tokenizer.vocab_size, vocab_size).into());
    }
    Ok(tokens_of_text(data, &tokenizer)?)
}
