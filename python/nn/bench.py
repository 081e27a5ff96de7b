"""Turns the cases of benchmarks/cases.json into work on a backend, and times it: every sample is kept.

Inputs are the same numbers in every language: input number t of a case (0, 1, ... in the order of the operation's
arguments) is 2 u - 1 with u[i] = Philox uniform (seed t, stream data, sub 0, index i), exact in f32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nn import messages
from nn.json_fields import Fields
from nn.json_strict import Json
from nn.model.config import MoEConfig, preset
from nn.model.generate import Generator, generate
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import Array, DType
from nn.tensor.philox import STREAM_DATA
from nn.train.gpu_trainer import GpuTrainer

BOOTSTRAP = 2000


@dataclass
class Work:
    """`run` does the work `units` stands for, once; the units give the rate (flop, byte, element, token or call).

    `output` is what one run on fresh work computed, as the bytes of its arrays one behind the other, little-endian:
    equal on equal devices in every language. `close` releases the memory.
    """

    run: Callable[[], None]
    units: float
    unit: str
    output: Callable[[], bytes]
    closers: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Releases buffers and models, last made first."""
        for closer in reversed(self.closers):
            closer()
        self.closers.clear()


@dataclass(frozen=True)
class Protocol:
    """How a case is timed: runs before timing, timed samples, and the seconds after which no further one is begun."""

    warmup: int
    samples: int
    seconds: float


def protocol(cases: Fields) -> Protocol:
    """Errors: field_missing, field_wrong_type, config_bad_value."""
    version = cases.integer("version")
    if version != 1:
        raise messages.config_bad_value(where=cases.where, field="version", value=str(version), expected="1")
    return Protocol(_at_least(cases, "warmup", 0), _at_least(cases, "samples", 1), cases.number("seconds"))


def measure(backend: Backend, case: Fields, how: Protocol) -> dict[str, Json]:
    """One case's row: name, samples in seconds, their median with a bootstrap 95% interval, and the rate.

    Errors: config_bad_value for an unknown kind or a size below 1, unknown_preset, those of the model and the device.
    """
    timed = work(backend, case)
    for _ in range(how.warmup):
        timed.run()
    backend.synchronize()
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < how.samples and (len(samples) < 3 or time.perf_counter() - started < how.seconds):
        begin = time.perf_counter()
        timed.run()
        backend.synchronize()
        samples.append(time.perf_counter() - begin)
    timed.close()
    median = statistics.median(samples)
    low, high = interval(samples)
    kept: list[Json] = [*samples]
    return {
        "name": case.string("name"),
        "samples": kept,
        "median": median,
        "low": low,
        "high": high,
        "rate": timed.units / median,
        "unit": timed.unit + "/s",
    }


def work(backend: Backend, case: Fields) -> Work:
    """The work of a case on a backend.

    Errors: config_bad_value for an unknown kind or a size below 1, unknown_preset, those of the model and the device.
    """
    kind = case.string("kind")
    if kind not in _KINDS:
        raise messages.config_bad_value(
            where=case.where, field="kind", value=kind, expected="one of " + ", ".join(sorted(_KINDS))
        )
    return _KINDS[kind](_Builder(backend, case))


def interval(samples: list[float]) -> tuple[float, float]:
    """Bootstrap 95% interval of the median (Efron 1979), with a fixed seed."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.asarray(samples), (BOOTSTRAP, len(samples)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


class _Builder:
    """Reads a case's sizes and makes its buffers, which it remembers for `Work.close`."""

    def __init__(self, backend: Backend, case: Fields) -> None:
        self.backend = backend
        self.case = case
        self.closers: list[Callable[[], None]] = []
        self._inputs = 0

    def sizes(self, *names: str) -> list[int]:
        return [_at_least(self.case, name, 1) for name in names]

    def input(self, count: int) -> Buffer:
        """The case's next input."""
        buffer = self.empty(count)
        self.backend.random_uniform(buffer, count, 0, self._inputs, STREAM_DATA, 0)
        self.backend.upload(buffer, self.backend.download(buffer) * np.float32(2) - np.float32(1))
        self._inputs += 1
        return buffer

    def empty(self, count: int, dtype: DType = DType.F32) -> Buffer:
        """Zeros."""
        return self._kept(self.backend.buffer(dtype, count))

    def filled(self, values: Array) -> Buffer:
        return self._kept(self.backend.from_numpy(values))

    def config(self) -> MoEConfig:
        return preset(self.case.string("config"))

    def model(self, training: bool = False) -> MoETransformer:
        model = MoETransformer(self.config(), self.backend, training=training)
        self.closers.append(model.close)
        return model

    def work(self, run: Callable[[], None], units: float, unit: str, *outputs: Buffer) -> Work:
        """Work whose output is what stands in these buffers."""
        return self.work_of(run, units, unit, lambda: [self.backend.download(buffer) for buffer in outputs])

    def work_of(self, run: Callable[[], None], units: float, unit: str, outputs: Callable[[], list[Array]]) -> Work:
        def output() -> bytes:
            return b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in outputs())

        return Work(run, units, unit, output, self.closers)

    def _kept(self, buffer: Buffer) -> Buffer:
        self.closers.append(buffer.close)
        return buffer


def _at_least(case: Fields, name: str, least: int) -> int:
    """Errors: field_missing, field_wrong_type, config_bad_value."""
    value = case.integer(name)
    if value < least:
        raise messages.config_bad_value(where=case.where, field=name, value=str(value), expected=f"at least {least}")
    return value


def _matmul(b: _Builder) -> Work:
    m, n, k = b.sizes("m", "n", "k")
    x, y, out = b.input(m * k), b.input(k * n), b.empty(m * n)
    gemm = b.backend.gemm
    return b.work(lambda: gemm(out, x, y, False, False, m, n, k, n, k, n, 1.0, 0.0), 2.0 * m * n * k, "flop", out)


def _softmax(b: _Builder) -> Work:
    rows, cols = b.sizes("rows", "cols")
    x, y = b.input(rows * cols), b.empty(rows * cols)
    softmax = b.backend.softmax_forward
    return b.work(lambda: softmax(y, x, rows, cols, cols, cols), 8.0 * rows * cols, "byte", y)


def _silu(b: _Builder) -> Work:
    (n,) = b.sizes("n")
    x, y = b.input(n), b.empty(n)
    silu = b.backend.silu_forward
    return b.work(lambda: silu(y, x, n), float(n), "element", y)


def _call(b: _Builder) -> Work:
    """One element: what remains is the call through the binding, its checks and its dispatch."""
    x, y = b.input(1), b.empty(1)
    silu = b.backend.silu_forward
    return b.work(lambda: silu(y, x, 1), 1.0, "call", y)


def _swiglu(b: _Builder) -> Work:
    (n,) = b.sizes("n")
    gate, up, y = b.input(n), b.input(n), b.empty(n)
    swiglu = b.backend.swiglu_forward
    return b.work(lambda: swiglu(y, gate, up, n), 12.0 * n, "byte", y)


def _rmsnorm(b: _Builder) -> Work:
    rows, cols = b.sizes("rows", "cols")
    x, w = b.input(rows * cols), b.input(cols)
    y, rstd = b.empty(rows * cols), b.empty(rows)
    rmsnorm = b.backend.rmsnorm_forward
    return b.work(lambda: rmsnorm(y, rstd, x, w, rows, cols, 1e-6), 8.0 * rows * cols, "byte", y, rstd)


def _attention(b: _Builder) -> Work:
    batch, seq, h, g, d = b.sizes("batch", "seq", "n_heads", "n_kv_heads", "head_dim")
    tokens = batch * seq
    q, k, v = b.input(tokens * h * d), b.input(tokens * g * d), b.input(tokens * g * d)
    out, lse = b.empty(tokens * h * d), b.empty(tokens * h)
    attention = b.backend.attention_forward

    def run() -> None:
        attention(out, lse, q, k, v, None, batch, seq, h, g, d, h * d, d, g * d, d, d**-0.5)

    return b.work(run, 4.0 * batch * h * d * seq * (seq + 1) / 2, "flop", out, lse)


def _cross_entropy(b: _Builder) -> Work:
    rows, cols = b.sizes("rows", "cols")
    logits, dlogits = b.input(rows * cols), b.empty(rows * cols)
    targets = b.filled(np.arange(rows, dtype=np.int32) % np.int32(cols))
    loss, losses, lse = b.empty(1), b.empty(rows), b.empty(rows)
    count = b.filled(np.asarray([rows], dtype=np.int64))
    backend = b.backend

    def run() -> None:
        backend.cross_entropy_forward(loss, losses, lse, logits, targets, rows, cols, cols)
        backend.cross_entropy_backward(dlogits, logits, lse, targets, count, rows, cols, cols)

    return b.work(run, 12.0 * rows * cols, "byte", loss, dlogits)


def _adamw(b: _Builder) -> Work:
    (n,) = b.sizes("n")
    param, m, grad, v = b.input(n), b.input(n), b.input(n), b.empty(n)
    lr, scale = b.filled(np.asarray([1e-3], dtype=np.float32)), b.filled(np.asarray([1.0], dtype=np.float32))
    nonfinite, applied = b.empty(1, DType.I32), b.filled(np.asarray([1], dtype=np.int64))
    adamw = b.backend.adamw_step

    def run() -> None:
        adamw(param, None, m, v, grad, lr, scale, nonfinite, applied, None, n, 0, 0.9, 0.95, 1e-8, 0.1)

    return b.work(run, 28.0 * n, "byte", param, m, v)


def _moe_layer(b: _Builder) -> Work:
    """The first block's router and experts, with the weights of a fresh model."""
    (tokens,) = b.sizes("tokens")
    c, layer = b.config(), b.model().blocks[0].moe
    x, residual, y = (b.input(tokens * c.hidden_size), b.input(tokens * c.hidden_size), b.empty(tokens * c.hidden_size))
    flop = 2.0 * tokens * c.hidden_size * (c.n_experts + 3 * c.top_k * c.ffn_size)
    return b.work(lambda: layer.forward(y, x, residual, tokens), flop, "flop", y)


def _forward(b: _Builder) -> Work:
    batch, seq = b.sizes("batch", "seq")
    model = b.model()
    ids = b.filled(np.arange(batch * seq, dtype=np.int32) % model.config.vocab_size)
    logits: list[Buffer] = []

    def run() -> None:
        logits[:] = [model.forward(ids, batch, seq)]

    return b.work_of(run, float(batch * seq), "token", lambda: [b.backend.download(buffer) for buffer in logits])


def _train(b: _Builder) -> Work:
    batch, seq = b.sizes("batch", "seq")
    model = b.model(training=True)
    trainer = GpuTrainer(model, batch, seq)
    b.closers.append(trainer.close)
    ids = (np.arange(batch * seq, dtype=np.int32) % model.config.vocab_size).reshape(1, batch, seq)
    targets = np.roll(ids, -1, axis=2)

    def run() -> None:
        trainer.step(ids, targets, 1e-4)

    return b.work(run, float(batch * seq), "token", model.weights.values)


def _decode(b: _Builder) -> Work:
    """`new` steps from `skip` tokens behind the prompt: the prompt and the first steps, which record what the others
    launch, are no part of the work. Every run goes back to the same position and makes the same tokens."""
    batch, prompt, skip, new = b.sizes("batch", "prompt", "skip", "new")
    model = b.model()
    generator = Generator(model, _prompts(batch, prompt, model.config.vocab_size), skip + new, stop_at_eos=False)
    b.closers.append(generator.close)
    generator.prefill()
    for _ in range(skip):
        generator.step()
    ids, positions = b.backend.download(generator.ids), b.backend.download(generator.cache.positions)
    made: list[list[int | None]] = []

    def run() -> None:
        b.backend.upload(generator.ids, ids)
        b.backend.upload(generator.cache.positions, positions)
        made[:] = [generator.step() for _ in range(new)]

    return b.work_of(run, float(batch * new), "token", lambda: [np.asarray(made, dtype=np.int32).T])


def _prefill(b: _Builder) -> Work:
    """A prompt up to its first new token, counted in tokens of the prompt."""
    batch, prompt = b.sizes("batch", "prompt")
    model = b.model()
    prompts = _prompts(batch, prompt, model.config.vocab_size)
    ids: list[list[int]] = []

    def run() -> None:
        ids[:] = generate(model, prompts, 1, stop_at_eos=False)

    return b.work_of(run, float(batch * prompt), "token", lambda: [np.asarray(ids, dtype=np.int32)])


def _prompts(batch: int, prompt: int, vocab_size: int) -> list[list[int]]:
    """Every sequence has a prompt of its own, so that a step of a batch meets as many experts as different texts do."""
    return [[(7 * i + 131 * sequence) % vocab_size for i in range(prompt)] for sequence in range(batch)]


_KINDS: dict[str, Callable[[_Builder], Work]] = {
    "adamw": _adamw,
    "attention": _attention,
    "call": _call,
    "cross_entropy": _cross_entropy,
    "decode": _decode,
    "forward": _forward,
    "matmul": _matmul,
    "moe_layer": _moe_layer,
    "prefill": _prefill,
    "rmsnorm": _rmsnorm,
    "silu": _silu,
    "softmax": _softmax,
    "swiglu": _swiglu,
    "train": _train,
}
