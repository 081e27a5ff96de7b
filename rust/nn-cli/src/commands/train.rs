//! nn-rs train: from tokens or text to a checkpoint, with live progress, metrics and a plot.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use nn_core::json_strict::Object;
use nn_core::model::checkpoint::load_checkpoint;
use nn_core::model::transformer::{self, MoETransformer};
use nn_core::tensor::Backend;
use nn_core::text::{grouped, repr};
use nn_core::train::data::{Data, is_prepared, load_data, prepared_of};
use nn_core::train::evaluate::Evaluation;
use nn_core::train::plot::plot_loss;
use nn_core::train::trainer::{
    Observer, StepMetrics, TrainOptions, Trainer, require_no_run, steps_for, stored_options,
    training_dtype,
};
use nn_core::{files, messages};

use super::prepare::prepared;
use crate::arguments::{integer, number, path, text};
use crate::common::{
    AsJson, CtrlC, Device, Failure, NtkAlpha, Outcome, Quiet, Seed, print_result, read_config,
};
use crate::progress::ProgressBar;

/// Options that do not change the run; all others are the stored ones.
const FREE_ON_RESUME: [&str; 8] = [
    "data", "out", "resume", "keep", "device", "threads", "json", "quiet",
];

/// Train a model. Ctrl-C saves and exits; --resume goes on to the same bits.
#[derive(Debug, Args)]
pub struct Options {
    /// a prepared folder, or text files and folders
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    data: Vec<String>,
    /// the checkpoint folder to write
    #[arg(long, required = true, value_parser = path(), allow_hyphen_values = true)]
    out: String,
    /// a preset (tiny, small, 6.9b) or a config.json
    #[arg(long, default_value = "small", value_parser = path(), allow_hyphen_values = true)]
    config: String,
    /// optimizer steps
    #[arg(long, default_value = "1000", value_parser = integer(), allow_hyphen_values = true)]
    steps: i64,
    /// instead of --steps: as many as fit
    #[arg(long, default_value = "0.0", value_parser = number(), allow_hyphen_values = true)]
    minutes: f64,
    /// sequences of a micro-batch
    #[arg(long, default_value = "8", value_parser = integer(), allow_hyphen_values = true)]
    batch: i64,
    /// tokens of a sequence
    #[arg(long, default_value = "128", value_parser = integer(), allow_hyphen_values = true)]
    seq: i64,
    /// micro-batches of a step
    #[arg(long, default_value = "1", value_parser = integer(), allow_hyphen_values = true)]
    accumulate: i64,
    /// peak learning rate
    #[arg(long, default_value = "0.001", value_parser = number(), allow_hyphen_values = true)]
    lr: f64,
    /// learning rate at the end
    #[arg(long, default_value = "0.0001", value_parser = number(), allow_hyphen_values = true)]
    lr_min: f64,
    /// share of the steps that warms up
    #[arg(long, default_value = "0.05", value_parser = number(), allow_hyphen_values = true)]
    warmup: f64,
    /// of matrices
    #[arg(long, default_value = "0.1", value_parser = number(), allow_hyphen_values = true)]
    weight_decay: f64,
    /// clip the gradient's norm, 0: never
    #[arg(long, default_value = "1.0", value_parser = number(), allow_hyphen_values = true)]
    max_norm: f64,
    /// steps, 0: ten times a run
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    eval_every: i64,
    /// steps, 0: at the end
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    save_every: i64,
    /// older checkpoints to keep as OUT/step-N
    #[arg(long, default_value = "0", value_parser = integer(), allow_hyphen_values = true)]
    keep: i64,
    /// f32 or bf16 (with f32 master weights)
    #[arg(long, default_value = "f32", value_parser = text(), allow_hyphen_values = true)]
    dtype: String,
    /// less memory, a third more work
    #[arg(long)]
    recompute: bool,
    /// go on with the run in OUT
    #[arg(long)]
    resume: bool,
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

pub fn run(options: Options, matches: &ArgMatches) -> Outcome {
    let quiet = options.quiet.quiet;
    let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    if given("steps") && given("minutes") {
        return Err(messages::usage_conflict("--steps", "--minutes").into());
    }
    if given("minutes") && !(options.minutes > 0.0 && options.minutes <= 1e6) {
        let found = repr(options.minutes);
        return Err(messages::usage_bad_value("--minutes", &found, "a number above 0").into());
    }
    if options.keep < 0 {
        let expected = "an integer of at least 0";
        return Err(
            messages::usage_bad_value("--keep", &options.keep.to_string(), expected).into(),
        );
    }
    if options.resume {
        let mut fixed: Vec<&str> = matches
            .ids()
            .map(|id| id.as_str())
            .filter(|name| {
                given(name)
                    && !FREE_ON_RESUME.contains(name)
                    && !name.starts_with(char::is_uppercase)
            })
            .collect();
        fixed.sort_unstable();
        if let Some(name) = fixed.first() {
            let other = format!("--{}", name.replace('_', "-"));
            return Err(messages::usage_conflict("--resume", &other).into());
        }
    }
    let dtype = training_dtype(&options.dtype)?;
    let seed = options.seed.check()?;
    let run = TrainOptions {
        steps: options.steps,
        batch: options.batch,
        seq_len: options.seq,
        accumulate: options.accumulate,
        seed,
        lr: options.lr,
        lr_min: options.lr_min,
        warmup: options.warmup,
        weight_decay: options.weight_decay,
        max_norm: options.max_norm,
        recompute: options.recompute,
        eval_every: options.eval_every,
        save_every: options.save_every,
        ..TrainOptions::default()
    }
    .validate()?;
    let out = Path::new(&options.out);
    if !options.resume {
        require_no_run(out)?;
    }
    let backend = options.device.open()?;
    let trainer = if options.resume {
        let checkpoint = load_checkpoint(out)?;
        checkpoint.config.require_float(&options.out)?;
        let run = stored_options(&checkpoint)?;
        let data = open_data(
            &options.data,
            out,
            checkpoint.config.vocab_size,
            true,
            quiet,
        )?;
        let how = transformer::Options {
            training: true,
            recompute: run.recompute,
            ..Default::default()
        };
        let model = MoETransformer::load(out, backend.clone(), None, how, None)?;
        Trainer::new(Arc::new(model), data, run, out, Some(&checkpoint))?
    } else {
        let config = read_config(&options.config, options.ntk.ntk_alpha)?;
        let data = open_data(&options.data, out, config.vocab_size, false, quiet)?;
        let how = transformer::Options {
            dtype,
            training: true,
            recompute: run.recompute,
            seed: Some(seed),
        };
        let model = Arc::new(MoETransformer::new(config, backend.clone(), how)?);
        let run = if options.minutes > 0.0 {
            fit(run, options.minutes, &model, &data, out)?
        } else {
            run
        };
        Trainer::new(model, data, run, out, None)?
    };
    go(
        trainer,
        backend.as_ref(),
        options.keep as usize,
        options.json.json,
        quiet,
    )
}

fn go(
    mut trainer: Trainer,
    backend: &dyn Backend,
    keep: usize,
    as_json: bool,
    quiet: bool,
) -> Outcome {
    let bar = ProgressBar::new("train", trainer.options.steps as u64, quiet);
    let mut seen = Seen {
        bar,
        ctrl_c: CtrlC::new()?,
        keep,
        last: None,
        heldout: None,
    };
    let complete = trainer.run(&mut seen)?;
    let Seen { last, heldout, .. } = seen;
    if last.is_some() {
        plot_loss(
            &files::join(&trainer.out, "metrics.jsonl"),
            &files::join(&trainer.out, "loss.png"),
        )?;
    }
    let o = &trainer.options;
    let mut fields = Object::new();
    fields.insert("out", files::text(&trainer.out));
    fields.insert("device", backend.name());
    fields.insert("steps", trainer.step);
    fields.insert("complete", complete);
    fields.insert("loss", last.map(|metrics| metrics.loss.cross_entropy));
    fields.insert("heldout_loss", heldout.map(|evaluation| evaluation.loss));
    fields.insert(
        "bits_per_byte",
        heldout.map(|evaluation| evaluation.bits_per_byte),
    );
    fields.insert("tokens", trainer.step * o.accumulate * o.batch * o.seq_len);
    fields.insert(
        "seconds",
        last.map_or(trainer.metrics.seconds, |metrics| metrics.seconds),
    );
    print_result(fields, as_json)?;
    if complete {
        Ok(())
    } else {
        Err(Failure::Interrupted)
    }
}

/// Shows what the run tells, and remembers the last of it.
struct Seen {
    bar: ProgressBar,
    ctrl_c: CtrlC,
    keep: usize,
    last: Option<StepMetrics>,
    heldout: Option<Evaluation>,
}

impl Observer for Seen {
    fn on_step(&mut self, metrics: &StepMetrics) {
        self.last = Some(*metrics);
        let speed = grouped(metrics.tokens_per_second.round() as u64);
        let note = format!("loss {:.3}  {speed} tokens/s", metrics.loss.cross_entropy);
        self.bar.update(metrics.step as u64, &note);
    }

    fn on_evaluation(&mut self, step: i64, evaluation: &Evaluation) {
        self.heldout = Some(*evaluation);
        let Evaluation {
            loss,
            bits_per_byte,
            ..
        } = evaluation;
        self.bar.line(&format!(
            "step {step}: held out {loss:.4}, {bits_per_byte:.3} bits per byte"
        ));
    }

    fn stop(&mut self) -> bool {
        self.ctrl_c.asked()
    }

    fn on_save(&mut self, out: &Path, step: i64) -> nn_core::Result<()> {
        if self.keep == 0 {
            return Ok(());
        }
        let target = files::join(out, format!("step-{step:08}"));
        let name = format!(".step-{step:08}.saving");
        let aside = out.join(name);
        keep_copy(out, &target, &aside, self.keep).map_err(|error| {
            // What is said is why the copy failed, not why its rest stays.
            let _ = remove_tree(&aside);
            files::cannot_write(&target, &error)
        })
    }
}

/// Copies the checkpoint just saved to OUT/step-N, by way of `aside`, and removes all but the last
/// `keep` of those.
fn keep_copy(out: &Path, target: &Path, aside: &Path, keep: usize) -> io::Result<()> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".step-") && name.ends_with(".saving") {
            remove_tree(&entry.path())?; // of a run that was killed
        }
    }
    fs::create_dir(aside)?;
    let mut kept = Vec::new();
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let (path, name) = (
            entry.path(),
            entry.file_name().to_string_lossy().into_owned(),
        );
        let stored = name.ends_with(".json") || name.ends_with(".safetensors");
        if path.is_file() && !name.starts_with('.') && stored {
            files::copy_synced(&path, &aside.join(&name))?;
        } else if path.is_dir() && is_kept(&name) && path != target {
            kept.push(path);
        }
    }
    // The disk has the copy before it gets its name, and the name before an older one goes: whenever
    // the power fails, what stands under step-N is whole.
    files::sync_folder(aside)?;
    remove_tree(target)?;
    fs::rename(aside, target)?;
    files::sync_folder(out)?;
    kept.push(target.to_path_buf());
    kept.sort_unstable();
    // Those behind the target are of an earlier run in the same folder.
    let end = kept
        .iter()
        .position(|path| path == target)
        .map_or(kept.len(), |at| at + 1);
    let first = end.saturating_sub(keep);
    for old in kept[..first].iter().chain(&kept[end..]) {
        fs::remove_dir_all(old)?;
    }
    Ok(())
}

/// `step-` and the digits of a step.
fn is_kept(name: &str) -> bool {
    let digits = name.strip_prefix("step-").unwrap_or_default();
    (8..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `run` with as many steps as fit into `minutes` here. Nothing that training starts from changes.
fn fit(
    run: TrainOptions,
    minutes: f64,
    model: &Arc<MoETransformer>,
    data: &Arc<Data>,
    out: &Path,
) -> Result<TrainOptions, Failure> {
    let one = TrainOptions {
        steps: 1,
        ..run.clone()
    };
    let mut trial = Trainer::new(model.clone(), data.clone(), one, out, None)?;
    let seconds = trial.calibrate()?;
    Ok(TrainOptions {
        steps: steps_for(minutes, seconds),
        ..run
    })
}

/// A prepared folder as it is; text is prepared into OUT/data first, with a BPE of the model's
/// vocabulary. A resumed run goes on with what its start prepared there.
fn open_data(
    paths: &[String],
    out: &Path,
    vocab_size: usize,
    resume: bool,
    quiet: bool,
) -> Result<Arc<Data>, Failure> {
    if let Some(folder) = prepared_of(paths)? {
        return Ok(Arc::new(load_data(Path::new(folder))?));
    }
    let folder = files::join(&files::plain(out), "data");
    if !(resume && is_prepared(&folder)) {
        prepared(paths, &folder, vocab_size as i64, None, quiet)?;
    }
    Ok(Arc::new(load_data(&folder)?))
}
