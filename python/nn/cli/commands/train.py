"""nn-py train: from tokens or text to a checkpoint, with live progress, metrics and a plot."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from nn import files, messages
from nn.cli.app import app
from nn.cli.common import Interrupted, check_seed, common_options, ctrl_c, open_device, print_result, read_config
from nn.cli.options import integer, number, path, text
from nn.cli.progress import ProgressBar
from nn.json_strict import Json
from nn.model.checkpoint import load_checkpoint
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend
from nn.train.data import Data, is_prepared, load_data, prepared_of
from nn.train.evaluate import Evaluation
from nn.train.plot import plot_loss
from nn.train.prepare import prepare
from nn.train.trainer import (
    StepMetrics,
    Trainer,
    TrainOptions,
    require_no_run,
    steps_for,
    stored_options,
    training_dtype,
)

DEFAULT_STEPS = 1000
_KEPT = re.compile(r"step-[0-9]{8,10}")
_FREE_ON_RESUME = {"data", "out", "resume", "keep", "device", "threads", "as_json", "quiet"}
"""Options that do not change the run; all others are the stored ones."""


@app.command("train")
@click.option("--data", type=path, required=True, multiple=True, help="a prepared folder, or text files and folders")
@click.option("--out", type=path, required=True, help="the checkpoint folder to write")
@click.option("--config", type=path, default="small", help="a preset (tiny, small, 6.9b) or a config.json")
@click.option("--steps", type=integer, default=DEFAULT_STEPS, help="optimizer steps")
@click.option("--minutes", type=number, default=0.0, help="instead of --steps: as many as fit")
@click.option("--batch", type=integer, default=8, help="sequences of a micro-batch")
@click.option("--seq", type=integer, default=128, help="tokens of a sequence")
@click.option("--accumulate", type=integer, default=1, help="micro-batches of a step")
@click.option("--lr", type=number, default=0.001, help="peak learning rate")
@click.option("--lr-min", type=number, default=0.0001, help="learning rate at the end")
@click.option("--warmup", type=number, default=0.05, help="share of the steps that warms up")
@click.option("--weight-decay", type=number, default=0.1, help="of matrices")
@click.option("--max-norm", type=number, default=1.0, help="clip the gradient's norm, 0: never")
@click.option("--eval-every", type=integer, default=0, help="steps, 0: ten times a run")
@click.option("--save-every", type=integer, default=0, help="steps, 0: at the end")
@click.option("--keep", type=integer, default=0, help="older checkpoints to keep as OUT/step-N")
@click.option("--dtype", type=text, default="f32", help="f32 or bf16 (with f32 master weights)")
@click.option("--recompute", is_flag=True, help="less memory, a third more work")
@click.option("--resume", is_flag=True, help="go on with the run in OUT")
@common_options("device", "threads", "seed", "ntk_alpha", "as_json", "quiet")
@click.pass_context
def command(
    context: click.Context,
    data: tuple[str, ...],
    out: str,
    config: str,
    steps: int,
    minutes: float,
    batch: int,
    seq: int,
    accumulate: int,
    lr: float,
    lr_min: float,
    warmup: float,
    weight_decay: float,
    max_norm: float,
    eval_every: int,
    save_every: int,
    keep: int,
    dtype: str,
    recompute: bool,
    resume: bool,
    device: str,
    threads: int,
    seed: int,
    ntk_alpha: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a model. Ctrl-C saves and exits; --resume goes on to the same bits."""
    given = {name for name in context.params if _given(context, name)}
    if {"steps", "minutes"} <= given:
        raise messages.usage_conflict(option="--steps", other="--minutes")
    if "minutes" in given and not 0.0 < minutes <= 1e6:
        raise messages.usage_bad_value(option="--minutes", value=repr(minutes), expected="a number above 0")
    if keep < 0:
        raise messages.usage_bad_value(option="--keep", value=str(keep), expected="an integer of at least 0")
    if resume:
        for name in sorted(given - _FREE_ON_RESUME):
            raise messages.usage_conflict(option="--resume", other="--" + name.replace("_", "-"))
    checked_dtype = training_dtype(dtype)
    options = TrainOptions(
        steps, batch, seq, accumulate, check_seed(seed), lr, lr_min, warmup, weight_decay=weight_decay,
        max_norm=max_norm, recompute=recompute, eval_every=eval_every, save_every=save_every,
    ).validate()  # fmt: skip
    if not resume:
        require_no_run(out)
    with open_device(device, threads) as backend:
        if resume:
            checkpoint = load_checkpoint(out)
            checkpoint.config.require_float(out)
            options = stored_options(checkpoint)
            tokens = _open_data(data, out, checkpoint.config.vocab_size, True, quiet)
            model = MoETransformer.load(out, backend, training=True, recompute=options.recompute)
            trainer = Trainer(model, tokens, options, out, resume=checkpoint)
        else:
            chosen = read_config(config, ntk_alpha)
            tokens = _open_data(data, out, chosen.vocab_size, False, quiet)
            model = MoETransformer(chosen, backend, checked_dtype, True, recompute, seed)
            if minutes > 0.0:
                options = _fit(options, minutes, model, tokens, out)
            trainer = Trainer(model, tokens, options, out)
        _run(trainer, backend, keep, as_json, quiet)


def _run(trainer: Trainer, backend: Backend, keep: int, as_json: bool, quiet: bool) -> None:
    last: StepMetrics | None = None
    heldout: Evaluation | None = None
    o = trainer.options

    def on_step(metrics: StepMetrics) -> None:
        nonlocal last
        last = metrics
        bar.update(metrics.step, f"loss {metrics.loss.cross_entropy:.3f}  {metrics.tokens_per_second:,.0f} tokens/s")

    def on_evaluation(step: int, evaluation: Evaluation) -> None:
        nonlocal heldout
        heldout = evaluation
        bar.line(f"step {step}: held out {evaluation.loss:.4f}, {evaluation.bits_per_byte:.3f} bits per byte")

    try:
        with ProgressBar("train", o.steps, quiet) as bar, ctrl_c() as asked:
            complete = trainer.run(on_step, on_evaluation, asked, lambda: _keep(trainer, keep))
    finally:
        trainer.close()
    if last is not None:
        plot_loss(trainer.out / "metrics.jsonl", trainer.out / "loss.png")
    result: dict[str, Json] = {
        "out": str(trainer.out),
        "device": backend.name,
        "steps": trainer.step,
        "complete": complete,
        "loss": last.loss.cross_entropy if last is not None else None,
        "heldout_loss": heldout.loss if heldout is not None else None,
        "bits_per_byte": heldout.bits_per_byte if heldout is not None else None,
        "tokens": trainer.step * o.accumulate * o.batch * o.seq_len,
        "seconds": last.seconds if last is not None else trainer.metrics.seconds,
    }
    print_result(result, as_json)
    if not complete:
        raise Interrupted


def _fit(options: TrainOptions, minutes: float, model: MoETransformer, data: Data, out: str) -> TrainOptions:
    """`options` with as many steps as fit into `minutes` here. Nothing that training starts from changes."""
    from dataclasses import replace

    trial = Trainer(model, data, replace(options, steps=1), out)
    try:
        seconds = trial.calibrate()
    finally:
        trial.close()
    return replace(options, steps=steps_for(minutes, seconds))


def _open_data(paths: Sequence[str], out: str, vocab_size: int, resume: bool, quiet: bool) -> Data:
    """A prepared folder as it is; text is prepared into OUT/data first, with a BPE of the model's vocabulary. A resumed
    run goes on with what its start prepared there."""
    folder = prepared_of(paths)
    if folder is not None:
        return load_data(folder)
    prepared = Path(out) / "data"
    if not (resume and is_prepared(prepared)):
        with ProgressBar("prepare", 0, quiet) as bar:

            def report(doing: str, done: int, total: int) -> None:
                bar.begin(doing, total)
                bar.update(done)

            prepare(paths, prepared, vocab_size, progress=report)
    return load_data(prepared)


def _keep(trainer: Trainer, keep: int) -> None:
    """Copies the checkpoint just saved to OUT/step-N and removes all but the last `keep` of those."""
    if keep == 0:
        return
    target = trainer.out / f"step-{trainer.step:08d}"
    aside = trainer.out / f".{target.name}.saving"
    try:
        for left in trainer.out.glob(".step-*.saving"):  # of a run that was killed
            shutil.rmtree(left)
        aside.mkdir()
        for entry in sorted(trainer.out.iterdir()):
            if entry.is_file() and not entry.name.startswith(".") and entry.suffix in (".json", ".safetensors"):
                files.copy_synced(entry, aside / entry.name)
        # The disk has the copy before it gets its name, and the name before an older one goes: whenever the power
        # fails, what stands under step-N is whole.
        files.sync_folder(aside)
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
        files.sync_folder(trainer.out)
        kept = sorted(entry for entry in trainer.out.iterdir() if _KEPT.fullmatch(entry.name) and entry.is_dir())
        later = [entry for entry in kept if entry.name > target.name]  # of an earlier run in the same folder
        for old in [*kept[: -keep - len(later)], *later]:
            shutil.rmtree(old)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise files.cannot_write(target, error) from None


def _given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE
