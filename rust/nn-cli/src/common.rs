//! What the subcommands share: the common options, opening a device, and how results are printed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use nn_core::json_strict::{Json, Object, dumps};
use nn_core::model::config::preset;
use nn_core::model::transformer::{self, MoETransformer};
use nn_core::tensor::Backend;
use nn_core::text::general;
use nn_core::tokenizer::Tokenizer;
use nn_core::{MoEConfig, NNError, files, messages};
use nn_cuda::open_backend;
use signal_hook::iterator::Signals;

use crate::arguments::{integer, number, text};

/// What ends a subcommand early.
#[derive(Debug)]
pub enum Failure {
    /// One sentence on stderr.
    Error(NNError),
    /// Help that was not asked for.
    Help(String),
    /// Ctrl-C, after what had to be saved was saved.
    Interrupted,
    /// Nobody reads our output.
    NoReader,
}

impl<E: Into<NNError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// What a subcommand returns.
pub type Outcome = Result<(), Failure>;

#[derive(Clone, Debug, Args)]
pub struct Device {
    /// auto, cpu, cuda, simt or reference
    #[arg(long, default_value = "auto", value_parser = text(), allow_hyphen_values = true)]
    pub device: String,
    /// host threads, 0 for all
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    pub threads: i64,
}

impl Device {
    /// Errors: device_unknown, device_missing, usage_bad_value.
    pub fn open(&self) -> Result<Arc<dyn Backend>, Failure> {
        let threads = usize::try_from(self.threads)
            .ok()
            .filter(|&threads| threads <= 1024);
        let Some(threads) = threads else {
            let expected = "an integer from 0 to 1024";
            return Err(messages::usage_bad_value(
                "--threads",
                &self.threads.to_string(),
                expected,
            )
            .into());
        };
        Ok(open_backend(&self.device, threads)?)
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Seed {
    /// seed of everything random
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    seed: i64,
}

impl Seed {
    /// Errors: usage_bad_value.
    pub fn check(self) -> Result<i64, Failure> {
        if self.seed < 0 {
            let expected = "an integer from 0 to 2^63 - 1";
            return Err(
                messages::usage_bad_value("--seed", &self.seed.to_string(), expected).into(),
            );
        }
        Ok(self.seed)
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub struct NtkAlpha {
    /// serve alpha times the trained context
    #[arg(long, value_parser = number(), allow_hyphen_values = true)]
    pub ntk_alpha: Option<f64>,
}

impl NtkAlpha {
    /// A checkpoint's model for inference, with the context that was asked for. Errors: those of
    /// [`MoETransformer::load`].
    pub fn load(&self, folder: &str, backend: Arc<dyn Backend>) -> Result<MoETransformer, Failure> {
        let how = transformer::Options::default();
        Ok(MoETransformer::load(
            Path::new(folder),
            backend,
            None,
            how,
            self.ntk_alpha,
        )?)
    }
}

#[derive(Clone, Copy, Debug, Args)]
pub struct AsJson {
    /// print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Quiet {
    /// no progress
    #[arg(long)]
    pub quiet: bool,
}

/// A preset by its name, or a config.json (or a folder that has one) by its path, for fresh weights.
/// Errors: unknown_preset, quantized_weights and those of [`MoEConfig::from_json`].
pub fn read_config(name: &str, ntk_alpha: Option<f64>) -> Result<MoEConfig, Failure> {
    let folder = Path::new(name).is_dir();
    let path = if folder {
        Path::new(name).join("config.json")
    } else {
        Path::new(name).to_path_buf()
    };
    let config = if folder || path.is_file() {
        let data = files::read_bytes(&path, "checkpoint folder")?;
        let place = files::text(&path);
        let config = MoEConfig::from_json(&data, &place)?;
        config.require_float(&place)?;
        config
    } else {
        preset(name)?
    };
    Ok(match ntk_alpha {
        Some(alpha) => config.with_ntk_alpha(alpha)?,
        None => config,
    })
}

/// The tokenizer of a checkpoint. Errors: tokenizer_missing, tokenizer_bad.
pub fn model_tokenizer(folder: &str) -> Result<Tokenizer, Failure> {
    Ok(Tokenizer::load(&files::join(
        &files::plain(Path::new(folder)),
        "tokenizer.json",
    ))?)
}

/// Text to stdout, at once.
pub fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::NoReader,
        _ => Failure::Error(messages::cannot_write("stdout", &files::reason(&error))),
    })
}

/// One JSON object, or a line "name: value" for each field.
pub fn print_result(result: Object, as_json: bool) -> Outcome {
    if as_json {
        return print(&dumps(&Json::Object(result)));
    }
    let lines: String = result
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", readable(value)))
        .collect();
    print(&lines)
}

/// A value as a person reads it.
pub fn readable(value: &Json) -> String {
    match value {
        Json::Null => "none".to_string(),
        Json::Bool(true) => "yes".to_string(),
        Json::Bool(false) => "no".to_string(),
        Json::Int(number) => number.to_string(),
        Json::Float(number) => general(*number, 6),
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "none".to_string(),
        Json::Array(items) => items.iter().map(readable).collect::<Vec<_>>().join(", "),
        Json::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, item)| format!("{name} {}", readable(item)));
            fields.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Whether Ctrl-C ends the program at once: unless a [`CtrlC`] lives.
static AT_ONCE: AtomicBool = AtomicBool::new(true);

/// From here on Ctrl-C ends the program with 130 and leaves nothing half-written. Where the program was
/// started with that signal ignored (in the background of a script), it stays ignored.
pub fn end_on_ctrl_c() -> Outcome {
    if is_ignored(signal_hook::consts::SIGINT) {
        return Ok(());
    }
    let mut signals = Signals::new([signal_hook::consts::SIGINT]).map_err(no_signals)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if AT_ONCE.load(Ordering::Relaxed) {
                files::abandon();
                signal_hook::low_level::exit(130);
            }
        }
    });
    Ok(())
}

/// From the mask of ignored signals, where the system shows it.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

fn no_signals(error: io::Error) -> Failure {
    files::cannot_read(Path::new("the signals"), &error).into()
}

/// While it lives, Ctrl-C (or a request to end) only makes `asked` true, so that the step in hand can
/// be finished and saved. A second one ends at once.
pub struct CtrlC {
    asked: Arc<AtomicBool>,
    handlers: Vec<signal_hook::SigId>,
}

impl CtrlC {
    pub fn new() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let mut handlers = Vec::new();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order the first signal finds the flag still unset.
            let end = signal_hook::flag::register_conditional_shutdown(signal, 130, asked.clone());
            handlers.push(end.map_err(no_signals)?);
            handlers.push(signal_hook::flag::register(signal, asked.clone()).map_err(no_signals)?);
        }
        AT_ONCE.store(false, Ordering::Relaxed);
        Ok(Self { asked, handlers })
    }

    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for CtrlC {
    fn drop(&mut self) {
        AT_ONCE.store(true, Ordering::Relaxed);
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}
