"""A (case, row) as something to time, checked; and what was measured as a row of the schema."""

from __future__ import annotations

import gc
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nn.bench import Work, work
from nn.cuda import open_backend, why_not
from nn.json_fields import Fields
from nn.tensor.backend import Backend
from pytest_benchmark import __version__ as benchmark_version

import allocations
import checks
import library
import naive
import peers
from protocol import Protocol

Measured = dict[str, Any]

DEVICES = {"cpu": "cpu", "cpu-scalar": "cpu", "cuda": "cuda", "reference": "reference"}
SCALAR_KINDS = ("matmul", "softmax", "silu", "swiglu", "rmsnorm", "attention")
BLAS_KINDS = ("matmul", "attention")
"""Where NumPy uses more than one thread."""
MODEL_KINDS = ("moe_layer", "forward", "train", "prefill", "decode")


def applies(case: Fields, row: str) -> bool:
    """Whether a case has a row here: loops and NumPy do operations; the reference does models, small enough to wait
    for; the scalar build does operations; a device must be there."""
    kind = case.string("kind")
    if row in ("naive", "library"):
        return kind in naive.KINDS
    if row in peers.PEERS:
        return peers.does(row, kind) and peers.installed(row)
    if row == "reference":
        return kind in MODEL_KINDS and case.string("config") == "tiny"
    if row == "cpu-scalar" and kind not in SCALAR_KINDS:
        return False
    return not why_not(DEVICES[row])


@dataclass
class Subject:
    """What is timed: `run` does `share` of the case's work."""

    run: Callable[[], None]
    share: float
    units: float
    unit: str
    implementation: str
    threads: int
    isa: str
    checksum: str | None
    checked: bool
    close: Callable[[], None]


@dataclass
class Expected:
    """A case's inputs on the host and its output, as the library's device gives it."""

    output: bytes
    units: float
    unit: str
    inputs: naive.Inputs


class Rows:
    """Makes subjects; keeps the output of the library's device that others are compared with."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._expected: dict[str, Expected] = {}

    def subject(self, case: Fields, row: str) -> Subject:
        """Errors: AssertionError when its output is wrong."""
        if row in peers.PEERS and case.string("kind") in peers.MODELS[row]:
            return self._model_of_a_peer(case, row)
        if row in ("naive", "library", *peers.PEERS):
            return self._plain(case, row)
        backend = self._open(row)
        fresh = work(backend, case)
        start = fresh.output() if case.string("kind") == "train" else b""
        fresh.run()
        backend.synchronize()
        output = fresh.output()
        digest = checks.checksum(output)
        fresh.close()
        # The cpu's own output is what others are compared with; its checksum is compared across languages.
        checked = row != "cpu"
        if checked:
            expected = self.expected(case)
            checks.compare_devices(case, expected.inputs, output, expected.output, start)
        timed = work(backend, case)

        def run() -> None:
            timed.run()
            backend.synchronize()

        def close() -> None:
            timed.close()
            backend.close()

        implementation = f"nn on {backend.name}"
        if row == "reference":
            implementation += f", NumPy {np.__version__}"
        elif row == "cpu-scalar" and platform.machine() in ("x86_64", "AMD64"):
            # Its instructions are those that every such processor has, and a fused multiply-add is none of them.
            implementation += ", fma by library call"
        # A device whose work is done when the call returns needs no second call to wait for it.
        asynchronous = row == "cuda"
        return Subject(
            run if asynchronous else timed.run,
            1.0, timed.units, timed.unit, implementation, backend.threads, backend.isa, digest,
            checked, close,
        )  # fmt: skip

    def expected(self, case: Fields) -> Expected:
        """What the case gives on cpu, or on the reference where the library is not built; kept for one case."""
        name = case.string("name")
        if name not in self._expected:
            with open_backend("reference" if why_not("cpu") else "cpu", threads=self.protocol.threads) as backend:
                once: Work = work(backend, case)
                once.run()
                backend.synchronize()
                given = checks.inputs(backend, case) if case.string("kind") in naive.KINDS else []
                self._expected = {name: Expected(once.output(), once.units, once.unit, given)}
                once.close()
        return self._expected[name]

    def _plain(self, case: Fields, row: str) -> Subject:
        expected = self.expected(case)
        several = row == "library" and case.string("kind") in BLAS_KINDS
        threads = self.protocol.threads if several else 1
        if row in peers.PEERS:
            threads = peers.threads(row, self.protocol.threads)
            loops = peers.loops(row, case, expected.inputs, threads)
        else:
            kinds = naive.KINDS if row == "naive" else library.KINDS
            loops = kinds[case.string("kind")](case, expected.inputs)
        loops.run()
        checks.compare(case, expected.inputs, loops, expected.output, first=row in peers.PEERS)
        implementation = {"naive": "Python loops", "library": f"NumPy {np.__version__}"}.get(row) or peers.name(
            row, case.string("kind")
        )
        return Subject(
            loops.run, loops.share, expected.units, expected.unit, implementation, threads, "", None, True, lambda: None
        )

    def _model_of_a_peer(self, case: Fields, row: str) -> Subject:
        expected, kind = self.expected(case), case.string("kind")
        threads = peers.threads(row, self.protocol.threads)
        peer = peers.model(row, case, threads)
        start = peer.output() if kind == "train" else b""
        peer.run()
        checks.compare_model(case, peer.output(), expected.output, start)
        return Subject(
            peer.run, 1.0, expected.units, expected.unit, peers.name(row, kind), threads, "", None, True, lambda: None
        )

    def _open(self, row: str) -> Backend:
        isa = "scalar" if row == "cpu-scalar" else None
        return open_backend(DEVICES[row], threads=self.protocol.threads, isa=isa)


def plan(subject: Subject, protocol: Protocol) -> tuple[int, int]:
    """Samples and iterations of each, after warming up: about `seconds` in all; where that is too short for so many,
    `long_samples`, as in every language."""
    started = time.perf_counter()
    runs = 0
    while runs == 0 or time.perf_counter() - started < protocol.warmup:
        subject.run()
        runs += 1
    once = (time.perf_counter() - started) / runs
    iterations = max(1, int(protocol.seconds / protocol.samples / once))
    samples = protocol.samples if once * protocol.samples <= 1.5 * protocol.seconds else protocol.long_samples
    return samples, iterations


class Collections:
    """Processor seconds of this process while this is open, and of them those of the garbage collector, which runs on
    the thread that allocates."""

    def __enter__(self) -> Collections:
        self.seconds = 0.0
        self._began = 0.0
        gc.callbacks.append(self._note)
        self._opened = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_seconds = time.process_time() - self._opened
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.seconds += time.thread_time() - self._began


def measured(
    case: Fields, row: str, subject: Subject, samples: list[float], iterations: int, collections: Collections
) -> Measured:
    """The row of the schema; samples in seconds of the whole case, whatever share of it was run."""
    runs = iterations * len(samples) * subject.share
    allocated = [None if value is None else value / subject.share for value in allocations.of(subject.run)]
    return {
        "case": case.string("name"),
        "language": "python",
        "row": row,
        "implementation": f"{subject.implementation}, Python {platform.python_version()}",
        "harness": f"pytest-benchmark {benchmark_version}",
        "threads": subject.threads,
        "isa": subject.isa,
        "samples": [sample / subject.share for sample in samples],
        "iterations": [iterations] * len(samples),
        "fraction": subject.share,
        "units": subject.units,
        "unit": subject.unit,
        "checksum": subject.checksum,
        "checked": subject.checked,
        "allocations": allocated[0],
        "allocated_bytes": allocated[1],
        "gc_seconds": collections.seconds / runs,
        "cpu_seconds": collections.cpu_seconds / runs,
        "peak_rss_bytes": None,
    }
