"""The training loop: data in order, schedule, steps, evaluation, metrics, and checkpoints that resume exactly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from nn import files, messages
from nn.json_fields import Fields
from nn.json_strict import Json
from nn.model.checkpoint import Checkpoint, TrainingState, require_tensor
from nn.model.parameters import parameter_specs
from nn.model.safetensors import TensorEntry, byte_order
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import Array, DType
from nn.train.adamw import AdamWConfig
from nn.train.data import Data, Ids
from nn.train.evaluate import Evaluation, evaluate
from nn.train.gpu_trainer import GpuTrainer
from nn.train.loss import LossValues
from nn.train.metrics import MetricsFile
from nn.train.schedule import Schedule

STATE_VERSION = 1
CALIBRATION_SECONDS = 3.0
EVALUATION_WINDOWS = 64


@dataclass(frozen=True)
class TrainOptions:
    """What a run is, apart from its model and data; stored in trainer_state.json, so that a resumed run is the same."""

    steps: int
    batch: int = 8
    seq_len: int = 128
    accumulate: int = 1
    seed: int = 0
    lr: float = 1e-3
    lr_min: float = 1e-4
    warmup: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_norm: float = 1.0
    recompute: bool = False
    eval_every: int = 0
    """Steps between evaluations on the held-out split; 0: ten times a run."""
    save_every: int = 0
    """Steps between checkpoints; 0: at the end only."""

    def validate(self) -> TrainOptions:
        """Errors: usage_bad_value."""
        for option, size, least in (
            ("--steps", self.steps, 1),
            ("--batch", self.batch, 1),
            ("--seq", self.seq_len, 1),
            ("--accumulate", self.accumulate, 1),
            ("--eval-every", self.eval_every, 0),
            ("--save-every", self.save_every, 0),
        ):
            if not least <= size <= 2**31 - 1:
                raise messages.usage_bad_value(
                    option=option, value=str(size), expected=f"an integer of at least {least}"
                )
        for option, number, high in (
            ("--lr", self.lr, 1e6),
            ("--lr-min", self.lr_min, 1e6),
            ("--warmup", self.warmup, 1.0),
            ("--weight-decay", self.weight_decay, 1e6),
            ("--max-norm", self.max_norm, 1e30),
        ):
            if not 0.0 <= number <= high:
                raise messages.usage_bad_value(
                    option=option, value=repr(number), expected=f"a number from 0 to {high:g}"
                )
        return self

    def schedule(self) -> Schedule:
        return Schedule(self.steps, self.lr, self.lr_min, self.warmup)

    def optimizer(self) -> AdamWConfig:
        return AdamWConfig(self.beta1, self.beta2, self.eps, self.weight_decay, self.max_norm)

    def evaluation_interval(self) -> int:
        return self.eval_every if self.eval_every > 0 else -(-self.steps // 10)


@dataclass(frozen=True)
class StepMetrics:
    """One step: `step` counts from 1, `tokens` are those seen so far, seconds are wall-clock."""

    step: int
    loss: LossValues
    grad_norm: float
    lr: float
    skipped: bool
    tokens: int
    seconds: float
    tokens_per_second: float


class Trainer:
    """Runs a model over prepared data. `step` is the number of steps done."""

    def __init__(
        self,
        model: MoETransformer,
        data: Data,
        options: TrainOptions,
        out: str | Path,
        resume: Checkpoint | None = None,
    ) -> None:
        """With `resume`, a checkpoint of training: moments, step and data order go on where it stopped.

        Errors: usage_bad_value, not_training, sequence_too_long, data_too_short, tokenizer_too_large,
        checkpoint_no_training_state and, for a state that does not fit, those of the readers.
        """
        self.options = options.validate()
        if data.vocab_size > model.config.vocab_size:
            raise messages.tokenizer_too_large(
                path=str(data.tokenizer_path()), found=data.vocab_size, vocab_size=model.config.vocab_size
            )
        self.model = model
        self.data = data
        self.train_tokens = data.split("train")
        self.train_tokens.require(options.seq_len)
        self.out = Path(out)
        self.schedule = options.schedule()
        self.gpu = GpuTrainer(model, options.batch, options.seq_len, options.accumulate, options.optimizer())
        self.step = 0
        if resume is not None:
            self._restore(resume)
        self.metrics = MetricsFile(self.out / "metrics.jsonl", keep_steps=self.step)
        self._seconds_before = self.metrics.seconds

    def run(
        self,
        on_step: Callable[[StepMetrics], None],
        on_evaluation: Callable[[int, Evaluation], None],
        stop: Callable[[], bool] = lambda: False,
        on_save: Callable[[], None] = lambda: None,
    ) -> bool:
        """Steps until the schedule's end, or until `stop()` after a step; saves at the end of either.

        Returns whether the run is complete. Errors: disk_full, cannot_write, those of the device.
        """
        start = time.monotonic()
        per_step = self.options.accumulate * self.options.batch * self.options.seq_len
        stopped = False
        while self.step < self.options.steps and not stopped:
            began = time.monotonic()
            lr = self.schedule.learning_rate(self.step)
            ids, targets = self.batch(self.step)
            loss = self.gpu.step(ids, targets, lr)
            self.step += 1
            now = time.monotonic()
            metrics = StepMetrics(
                self.step, loss, self.gpu.grad_norm(), lr, self.gpu.skipped(), self.step * per_step,
                self._seconds_before + now - start, per_step / max(now - began, 1e-9),
            )  # fmt: skip
            self.metrics.write_step(metrics)
            on_step(metrics)
            last = self.step == self.options.steps
            if (self.step % self.options.evaluation_interval() == 0 or last) and len(self.data.heldout.ids) > 1:
                evaluation = self.evaluate(EVALUATION_WINDOWS)
                self.metrics.write_evaluation(self.step, evaluation)
                on_evaluation(self.step, evaluation)
            stopped = stop()
            every = self.options.save_every
            if last or stopped or (every > 0 and self.step % every == 0):
                self.save()
                on_save()
        return self.step >= self.options.steps

    def batch(self, step: int) -> tuple[Ids, Ids]:
        """(ids, targets) [accumulate, batch, seq_len] of a step."""
        o = self.options
        parts = [
            self.train_tokens.batch(o.seed, step, o.accumulate, a, o.batch, o.seq_len) for a in range(o.accumulate)
        ]
        return np.stack([ids for ids, _ in parts]), np.stack([targets for _, targets in parts])

    def evaluate(self, max_windows: int | None = None) -> Evaluation:
        """On the held-out split, or the first `max_windows` windows of it."""
        o = self.options
        return evaluate(self.model, self.data.split("heldout"), o.batch, o.seq_len, max_windows)

    def save(self) -> None:
        """The checkpoint with the optimizer's state, in `out`, whole or not at all."""
        tokenizer = self.data.tokenizer_path()
        content = files.read_bytes(tokenizer, "folder written by prepare") if tokenizer.is_file() else None
        self.metrics.sync()
        self.model.save(self.out, content, self._training_state())

    def calibrate(self) -> float:
        """Seconds that a step takes here, measured without changing anything that training goes on from."""
        ids, targets = self.batch(0)
        self.gpu.load(ids, targets)
        self.gpu.forward_backward()
        self.model.backend.synchronize()
        start = time.monotonic()
        runs = 0
        while runs < 3 or time.monotonic() - start < CALIBRATION_SECONDS:
            self.gpu.forward_backward()
            self.model.backend.synchronize()
            runs += 1
        return (time.monotonic() - start) / runs

    def close(self) -> None:
        """Releases what the trainer made; the model stays."""
        self.metrics.close()
        self.gpu.close()

    def _training_state(self) -> TrainingState:
        optimizer, weights = self.gpu.optimizer, self.model.weights
        buffers = optimizer.state()
        entries = [
            TensorEntry(f"{kind}.{spec.name}", "F32", spec.shape)
            for kind in buffers
            for spec in parameter_specs(self.model.config)
        ]

        def fetch(name: str) -> Array:
            kind, _, tensor = name.partition(".")
            return weights.fetch_from(buffers[kind], tensor)

        state: dict[str, Json] = {
            "version": STATE_VERSION,
            "step": self.step,
            "applied_steps": int(self.model.backend.download(optimizer.applied)[0]),
            "train_tokens": len(self.train_tokens.ids),
            "options": asdict(self.options),
        }
        return TrainingState(byte_order(entries), fetch, state)

    def _restore(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.trainer_state()
        where = str(Path(checkpoint.path) / "trainer_state.json")
        reader = Fields(state, where)
        step, applied = reader.integer("step"), reader.integer("applied_steps")
        tokens = reader.integer("train_tokens")
        for field, value, high in (("step", step, self.options.steps), ("applied_steps", applied, step)):
            if not 0 <= value <= high:
                raise messages.config_bad_value(where=where, field=field, value=str(value), expected=f"0 to {high}")
        if tokens != len(self.train_tokens.ids):
            raise messages.config_bad_value(
                where=where, field="train_tokens", value=str(tokens),
                expected=f"the {len(self.train_tokens.ids)} tokens of {self.train_tokens.path}",
            )  # fmt: skip
        optimizer, weights, backend = self.gpu.optimizer, self.model.weights, self.model.backend
        stored = checkpoint.optimizer()
        for kind, buffer in optimizer.state().items():
            for spec in weights.specs:
                array = require_tensor(stored, f"{kind}.{spec.name}", "F32", spec.shape)
                backend.upload(backend.view(buffer, weights.layout.offsets[spec.name], spec.size), array)
        backend.upload(optimizer.applied, np.asarray([applied], dtype=np.int64))
        self.step = step


def require_no_run(path: str | Path) -> None:
    """A new run replaces weights and state in its folder; hours of training are not replaced unasked.

    Errors: train_replaces where `path` holds a run to resume, also one whose last save was cut off behind its moment.
    """
    out = Path(path)
    if any(os.path.exists(folder / "trainer_state.json") for folder in (out, out / files.COMPLETE)):
        raise messages.train_replaces(path=str(out))


def stored_options(checkpoint: Checkpoint) -> TrainOptions:
    """The options of the run that wrote a checkpoint. Errors: those of the readers and of `validate`."""
    where = str(Path(checkpoint.path) / "trainer_state.json")
    state = Fields(checkpoint.trainer_state(), where)
    version = state.integer("version")
    if version != STATE_VERSION:
        raise messages.config_bad_value(where=where, field="version", value=str(version), expected=str(STATE_VERSION))
    options = Fields(state.object("options"), f"{where}: options")
    values: dict[str, int | float | bool] = {}
    for field in fields(TrainOptions):
        if field.type == "int":
            values[field.name] = options.integer(field.name)
        elif field.type == "float":
            values[field.name] = options.number(field.name)
        else:
            values[field.name] = options.boolean(field.name)
    return TrainOptions(**values).validate()  # type: ignore[arg-type]


def steps_for(minutes: float, seconds_per_step: float) -> int:
    """Steps that fill `minutes`."""
    return max(1, int(minutes * 60.0 / seconds_per_step))


def training_dtype(name: str) -> DType:
    """ "f32" or "bf16". Errors: usage_bad_value."""
    if name not in ("f32", "bf16"):
        raise messages.usage_bad_value(option="--dtype", value=name, expected="f32 or bf16")
    return DType[name.upper()]
