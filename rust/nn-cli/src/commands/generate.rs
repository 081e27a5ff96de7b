//! nn-rs generate: continue a prompt, streaming.

use std::io::Write;
use std::time::Instant;

use clap::Args;
use nn_core::json_strict::{Json, Object};
use nn_core::messages;
use nn_core::model::generate::{Generator, Sampling};
use nn_core::tokenizer::Tokenizer;

use crate::arguments::{integer, number, path, text};
use crate::common::{
    AsJson, Device, Failure, NtkAlpha, Outcome, Quiet, Seed, model_tokenizer, print, print_result,
};

const DEFAULT_NEW_TOKENS: usize = 128;
/// Ids that are decoded again: no character and no decoder's rule reaches further.
const WINDOW: usize = 32;

/// Continue a prompt; the text streams, the speed comes at the end.
#[derive(Debug, Args)]
pub struct Options {
    /// a checkpoint folder
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    model: String,
    /// the text to continue
    #[arg(long, required = true, value_parser = text(), allow_hyphen_values = true)]
    prompt: String,
    /// at most 128, or what the context leaves, by default
    #[arg(long, value_parser = integer(), allow_hyphen_values = true)]
    max_new_tokens: Option<i64>,
    /// 0: always the most likely token
    #[arg(long, default_value = "1.0", value_parser = number(), allow_hyphen_values = true)]
    temperature: f64,
    /// only the k most likely tokens, 0: all
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    top_k: i64,
    /// only the likeliest that sum to p, 1: all
    #[arg(long, default_value = "1.0", value_parser = number(), allow_hyphen_values = true)]
    top_p: f64,
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
    let (as_json, quiet) = (options.json.json, options.quiet.quiet);
    let seed = options.seed.check()?;
    let sampling = Sampling {
        temperature: options.temperature,
        top_k: options.top_k,
        top_p: options.top_p,
        seed,
    };
    let sampling = sampling.validate()?;
    if options.prompt.is_empty() {
        return Err(messages::empty_prompt().into());
    }
    let tokenizer = model_tokenizer(&options.model)?;
    let backend = options.device.open()?;
    let model = options.ntk.load(&options.model, backend)?;
    let ids: Vec<i32> = tokenizer
        .encode(&options.prompt)?
        .into_iter()
        .map(|id| id as i32)
        .collect();
    let count = new_tokens(options.max_new_tokens, ids.len(), model.config.context())?;
    let generator = Generator::new(&model, &[ids], count, sampling, 0, true)?;
    let mut write = |text: &str| if as_json { Ok(()) } else { print(text) };
    let mut stream = TextStream::new(&tokenizer, &mut write);
    if !as_json && !quiet {
        print(&options.prompt)?;
    }
    let start = Instant::now();
    for tokens in generator {
        for id in tokens?.into_iter().flatten() {
            stream.add(id as u32)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let text = stream.finish()?;
    let speed = stream.ids.len() as f64 / seconds.max(1e-9);
    if as_json {
        let mut fields = Object::new();
        fields.insert("prompt", options.prompt);
        fields.insert("text", text);
        fields.insert(
            "ids",
            stream
                .ids
                .iter()
                .map(|&id| Json::from(id))
                .collect::<Vec<_>>(),
        );
        fields.insert("tokens", stream.ids.len());
        fields.insert("tokens_per_second", speed);
        return print_result(fields, true);
    }
    print("\n")?;
    if !quiet {
        // The text is out: a closed stderr is no failure.
        let _ = writeln!(
            std::io::stderr(),
            "{} tokens, {speed:.1} tokens/s",
            stream.ids.len()
        );
    }
    Ok(())
}

/// How many to make. Errors: usage_bad_value.
fn new_tokens(asked: Option<i64>, prompt_len: usize, context: usize) -> Result<usize, Failure> {
    match asked {
        None => Ok(context
            .saturating_sub(prompt_len)
            .clamp(1, DEFAULT_NEW_TOKENS)),
        Some(count) if count >= 1 => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        Some(count) => {
            let expected = "an integer of at least 1";
            Err(messages::usage_bad_value("--max-new-tokens", &count.to_string(), expected).into())
        }
    }
}

/// Writes the text of a growing list of ids: characters that may still change are held back.
///
/// Only the last ids are decoded again with each new one, so that a long text costs a constant time
/// per token.
struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    write: &'a mut dyn FnMut(&str) -> Outcome,
    ids: Vec<u32>,
    start: usize,
    /// Of the text of `ids[start..]`.
    written: String,
}

impl<'a> TextStream<'a> {
    fn new(tokenizer: &'a Tokenizer, write: &'a mut dyn FnMut(&str) -> Outcome) -> Self {
        Self {
            tokenizer,
            write,
            ids: Vec::new(),
            start: 0,
            written: String::new(),
        }
    }

    fn add(&mut self, id: u32) -> Outcome {
        self.ids.push(id);
        // A character that is not whole yet decodes to U+FFFD at the end; four bytes make any
        // character whole.
        let text = self.tail();
        self.advance(text.trim_end_matches('\u{fffd}'))?;
        if self.ids.len() - self.start > 2 * WINDOW && text == self.written {
            self.start = self.ids.len() - WINDOW;
            self.written = self.tail();
        }
        Ok(())
    }

    /// Writes what was held back, and returns the whole text.
    fn finish(&mut self) -> Result<String, Failure> {
        let text = self.tail();
        self.advance(&text)?;
        Ok(self.tokenizer.decode(&self.ids))
    }

    fn tail(&self) -> String {
        self.tokenizer.decode(&self.ids[self.start..])
    }

    fn advance(&mut self, text: &str) -> Outcome {
        if let Some(new) = text.strip_prefix(self.written.as_str())
            && !new.is_empty()
        {
            (self.write)(new)?;
            self.written = text.to_string();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// (what was written at each token and at the end, the whole text, the ids decoded again at most)
    fn streamed(ids: &[u32]) -> (Vec<String>, String, usize) {
        let tokenizer = Tokenizer::bytes().expect("a tokenizer");
        let mut parts = Vec::new();
        let mut write = |text: &str| {
            parts.push(text.to_string());
            Ok(())
        };
        let mut stream = TextStream::new(&tokenizer, &mut write);
        let mut most = 0;
        for &id in ids {
            most = most.max(stream.ids.len() + 1 - stream.start);
            stream.add(id).expect("written");
        }
        let whole = stream.finish().expect("written");
        (parts, whole, most)
    }

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(|byte| 3 + u32::from(byte)).collect()
    }

    proptest! {
        #[test]
        fn text_comes_in_whole_characters(text in "\\PC{0,200}") {
            let (parts, whole, _) = streamed(&bytes(&text));
            prop_assert_eq!(parts.concat(), &text[..]);
            prop_assert_eq!(whole, text);
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
        }

        #[test]
        fn bytes_that_are_no_text(
            data in prop::collection::vec(
                prop::sample::select(b"a\n\x80\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\xff".to_vec()),
                0..6 * WINDOW,
            )
        ) {
            let ids: Vec<u32> = data.iter().map(|&byte| 3 + u32::from(byte)).collect();
            let (parts, whole, _) = streamed(&ids);
            // What was written is never taken back: it is the decoder's own reading of all ids.
            prop_assert_eq!(parts.concat(), &whole[..]);
            prop_assert_eq!(whole, String::from_utf8_lossy(&data));
        }
    }

    #[test]
    fn only_the_last_ids_are_decoded_again() {
        let (_, _, most) = streamed(&bytes(&"\u{e9}\u{20ac}\u{1f600} ".repeat(300)));
        assert!(most <= 2 * WINDOW + 4, "{most}");
    }
}
