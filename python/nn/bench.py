"""Runs the cases of benchmarks/cases.json on a backend and keeps every sample."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nn import messages
from nn.json_fields import Fields
from nn.json_strict import Json
from nn.model.config import preset
from nn.model.generate import Generator
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType
from nn.train.gpu_trainer import GpuTrainer

BOOTSTRAP = 2000


@dataclass(frozen=True)
class Work:
    """`run` does the work `units` stands for, once; the units give the rate (flop, byte, element or token)."""

    run: Callable[[], None]
    units: float
    unit: str


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
    work = _kind(case)(backend, case)
    for _ in range(how.warmup):
        work.run()
    backend.synchronize()
    samples: list[float] = []
    started = time.perf_counter()
    while len(samples) < how.samples and (len(samples) < 3 or time.perf_counter() - started < how.seconds):
        begin = time.perf_counter()
        work.run()
        backend.synchronize()
        samples.append(time.perf_counter() - begin)
    median = statistics.median(samples)
    low, high = interval(samples)
    kept: list[Json] = [*samples]
    return {
        "name": case.string("name"),
        "samples": kept,
        "median": median,
        "low": low,
        "high": high,
        "rate": work.units / median,
        "unit": work.unit + "/s",
    }


def interval(samples: list[float]) -> tuple[float, float]:
    """Bootstrap 95% interval of the median (Efron 1979), with a fixed seed."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(np.asarray(samples), (BOOTSTRAP, len(samples)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _kind(case: Fields) -> Callable[[Backend, Fields], Work]:
    kind = case.string("kind")
    if kind not in _KINDS:
        raise messages.config_bad_value(
            where=case.where, field="kind", value=kind, expected="one of " + ", ".join(sorted(_KINDS))
        )
    return _KINDS[kind]


def _at_least(case: Fields, name: str, least: int = 1) -> int:
    """Errors: field_missing, field_wrong_type, config_bad_value."""
    value = case.integer(name)
    if value < least:
        raise messages.config_bad_value(where=case.where, field=name, value=str(value), expected=f"at least {least}")
    return value


def _random(backend: Backend, count: int) -> Buffer:
    """Uniform in [-1, 1)."""
    values = np.random.default_rng(count).random(count, dtype=np.float32) * 2 - 1
    return backend.from_numpy(values)


def _matmul(backend: Backend, case: Fields) -> Work:
    m, n, k = _at_least(case, "m"), _at_least(case, "n"), _at_least(case, "k")
    a, b, c = _random(backend, m * k), _random(backend, k * n), backend.buffer(DType.F32, m * n)
    run = lambda: backend.gemm(c, a, b, False, False, m, n, k, n, k, n, 1.0, 0.0)  # noqa: E731
    return Work(run, 2.0 * m * n * k, "flop")


def _softmax(backend: Backend, case: Fields) -> Work:
    rows, cols = _at_least(case, "rows"), _at_least(case, "cols")
    x, y = _random(backend, rows * cols), backend.buffer(DType.F32, rows * cols)
    return Work(lambda: backend.softmax_forward(y, x, rows, cols, cols, cols), 8.0 * rows * cols, "byte")


def _silu(backend: Backend, case: Fields) -> Work:
    n = _at_least(case, "n")
    x, y = _random(backend, n), backend.buffer(DType.F32, n)
    return Work(lambda: backend.silu_forward(y, x, n), float(n), "element")


def _swiglu(backend: Backend, case: Fields) -> Work:
    n = _at_least(case, "n")
    gate, up, y = _random(backend, n), _random(backend, n), backend.buffer(DType.F32, n)
    return Work(lambda: backend.swiglu_forward(y, gate, up, n), 12.0 * n, "byte")


def _rmsnorm(backend: Backend, case: Fields) -> Work:
    rows, cols = _at_least(case, "rows"), _at_least(case, "cols")
    x, w = _random(backend, rows * cols), _random(backend, cols)
    y, rstd = backend.buffer(DType.F32, rows * cols), backend.buffer(DType.F32, rows)
    return Work(lambda: backend.rmsnorm_forward(y, rstd, x, w, rows, cols, 1e-6), 8.0 * rows * cols, "byte")


def _attention(backend: Backend, case: Fields) -> Work:
    batch, seq, h, g, d = (_at_least(case, name) for name in ("batch", "seq", "n_heads", "n_kv_heads", "head_dim"))
    tokens = batch * seq
    q, k, v = _random(backend, tokens * h * d), _random(backend, tokens * g * d), _random(backend, tokens * g * d)
    out, lse = backend.buffer(DType.F32, tokens * h * d), backend.buffer(DType.F32, tokens * h)

    def run() -> None:
        backend.attention_forward(out, lse, q, k, v, None, batch, seq, h, g, d, h * d, d, g * d, d, d**-0.5)

    return Work(run, 4.0 * batch * h * d * seq * (seq + 1) / 2, "flop")


def _cross_entropy(backend: Backend, case: Fields) -> Work:
    rows, cols = _at_least(case, "rows"), _at_least(case, "cols")
    logits, dlogits = _random(backend, rows * cols), backend.buffer(DType.F32, rows * cols)
    targets = backend.from_numpy(np.arange(rows, dtype=np.int32))
    loss, losses, lse = (backend.buffer(DType.F32, n) for n in (1, rows, rows))
    count = backend.from_numpy(np.asarray([rows], dtype=np.int64))

    def run() -> None:
        backend.cross_entropy_forward(loss, losses, lse, logits, targets, rows, cols, cols)
        backend.cross_entropy_backward(dlogits, logits, lse, targets, count, rows, cols, cols)

    return Work(run, 12.0 * rows * cols, "byte")


def _adamw(backend: Backend, case: Fields) -> Work:
    n = _at_least(case, "n")
    param, m, grad = (_random(backend, n) for _ in range(3))
    v = backend.buffer(DType.F32, n)
    lr, scale = (
        backend.from_numpy(np.asarray([1e-3], dtype=np.float32)),
        backend.from_numpy(np.asarray([1.0], dtype=np.float32)),
    )
    nonfinite, applied = backend.buffer(DType.I32, 1), backend.from_numpy(np.asarray([1], dtype=np.int64))

    def run() -> None:
        backend.adamw_step(param, None, m, v, grad, lr, scale, nonfinite, applied, None, n, 0, 0.9, 0.95, 1e-8, 0.1)

    return Work(run, 28.0 * n, "byte")


def _forward(backend: Backend, case: Fields) -> Work:
    batch, seq = _at_least(case, "batch"), _at_least(case, "seq")
    config = preset(case.string("config"))
    model = MoETransformer(config, backend)
    ids = backend.from_numpy(np.arange(batch * seq, dtype=np.int32) % config.vocab_size)
    return Work(lambda: void(model.forward(ids, batch, seq)), float(batch * seq), "token")


def _train(backend: Backend, case: Fields) -> Work:
    batch, seq = _at_least(case, "batch"), _at_least(case, "seq")
    config = preset(case.string("config"))
    trainer = GpuTrainer(MoETransformer(config, backend, training=True), batch, seq)
    ids = (np.arange(batch * seq, dtype=np.int32) % config.vocab_size).reshape(1, batch, seq)
    targets = np.roll(ids, -1, axis=2)
    return Work(lambda: void(trainer.step(ids, targets, 1e-4)), float(batch * seq), "token")


def _decode(backend: Backend, case: Fields) -> Work:
    prompt, new = _at_least(case, "prompt"), _at_least(case, "new")
    config = preset(case.string("config"))
    model = MoETransformer(config, backend)
    ids = [(7 * i) % config.vocab_size for i in range(prompt)]

    def run() -> None:
        generator = Generator(model, [ids], new, stop_at_eos=False)
        for _ in generator:
            pass
        generator.close()

    return Work(run, float(new), "token")


def void(_value: object) -> None:
    """Drops a result that only its side effects were wanted of."""


_KINDS: dict[str, Callable[[Backend, Fields], Work]] = {
    "matmul": _matmul,
    "softmax": _softmax,
    "silu": _silu,
    "swiglu": _swiglu,
    "rmsnorm": _rmsnorm,
    "attention": _attention,
    "cross_entropy": _cross_entropy,
    "adamw": _adamw,
    "forward": _forward,
    "train": _train,
    "decode": _decode,
}
