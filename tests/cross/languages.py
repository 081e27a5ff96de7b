"""The three command lines, built from one tree of sources each, and how a test runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("python", "rust", "go")
GRADIENTS = ROOT / "tests" / "cross" / "gradients"
BUILT = ROOT / "build" / "cross"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
AT_ONCE = 2
"""Processes side by side: each computes on one thread, so that two keep two cores busy."""

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What a process left: exit code and the bytes it printed."""

    code: int
    out: bytes
    err: bytes

    def text(self) -> str:
        out, err = (stream.decode(errors="replace") for stream in (self.out, self.err))
        return f"exit {self.code}\nstdout: {out}\nstderr: {err}"


@dataclass(frozen=True)
class Language:
    """One implementation. `arguments` of a run are strings, paths, numbers, or bytes that need not be UTF-8."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: object, cwd: Path | None = None, seconds: float = 300.0) -> Result:
        """Errors: subprocess.TimeoutExpired after `seconds`: nothing here takes that long unless it hangs."""
        done = subprocess.run(
            [*map(as_bytes, self.command), *map(as_bytes, arguments)], capture_output=True, cwd=cwd, timeout=seconds,
            check=False, stdin=subprocess.DEVNULL, env=self.environ(),
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def succeed(self, *arguments: object, cwd: Path | None = None) -> bytes:
        """What it printed on stdout; a failure fails the test."""
        result = self.run(*arguments, cwd=cwd)
        assert result.code == 0, f"{self.name}: {' '.join(map(str, arguments))}\n{result.text()}"
        return result.out

    def environ(self) -> dict[str, str]:
        """One library for all; nothing of the caller's terminal or locale."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "CUNN_", "PYTHON"))}
        return {
            **kept,
            "CUNN_LIBRARY": str(ROOT / "build" / "libcunn.so"),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "COLUMNS": "200",
            **self.environment,
        }


class PythonServer(Language):
    """nn-py by `python_server.py`, for hundreds of short runs: without the third of a second that starting takes."""

    _process: subprocess.Popen[str]
    _home: Path

    @staticmethod
    def start(python: Language, home: Path) -> PythonServer:
        server = PythonServer(python.name, python.command, python.environment)
        words = [python.command[0], str(Path(__file__).with_name("python_server.py"))]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=python.environ()
        )
        object.__setattr__(server, "_process", process)
        object.__setattr__(server, "_home", home)
        return server

    def run(self, *arguments: object, cwd: Path | None = None, seconds: float = 300.0) -> Result:
        out, err = self._home / "stdout", self._home / "stderr"
        request = {
            "arguments": [as_bytes(argument).hex() for argument in arguments],
            "out": str(out), "err": str(err), "cwd": str(cwd or Path.cwd()), "environment": self.environment,
        }  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return Result(code, out.read_bytes(), err.read_bytes())

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def as_bytes(argument: object) -> bytes:
    """A word of a command line as the system passes it."""
    return argument if isinstance(argument, bytes) else os.fsencode(str(argument))


def build(name: str, root: Path = ROOT) -> Language:
    """The command line of a language from the sources below `root`. Errors: subprocess.CalledProcessError."""
    if name == "python":
        return Language(name, (sys.executable, "-m", "nn"), {"PYTHONPATH": str(root / "python")})
    if name == "rust":
        tool("cargo", "build", "--quiet", "--locked", "-p", "nn-cli", "--target-dir", str(TARGET), cwd=root)
        return Language(name, (str(TARGET / "debug" / "nn-rs"),))
    binary = BUILT / ("nn-go" if root == ROOT else f"nn-go-{root.name}")
    tool("go", "build", "-o", str(binary), "./cmd/nn-go", cwd=root / "go")
    return Language(name, (str(binary),))


def build_program(language: Language, root: Path = ROOT) -> Language:
    """The program of gradients/ that calls the library of `language`, as a command of its own."""
    if language.name == "python":
        return replace(language, command=(sys.executable, str(GRADIENTS / "gradients.py")))
    if language.name == "rust":
        tool("cargo", "build", "--quiet", "--locked", "-p", "cross-gradients", "--target-dir", str(TARGET), cwd=root)
        return replace(language, command=(str(TARGET / "debug" / "cross-gradients"),))
    binary = BUILT / ("gradients-go" if root == ROOT else f"gradients-go-{root.name}")
    tool("go", "build", "-o", str(binary), ".", cwd=root / GRADIENTS.relative_to(ROOT) / "go")
    return replace(language, command=(str(binary),))


def tool(*words: str, cwd: Path) -> None:
    """Runs a compiler. Errors: RuntimeError with what it said."""
    try:
        done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RuntimeError(f"{words[0]} is missing: the cross tests need all three languages") from None
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} in {cwd}:\n{done.stdout}{done.stderr}")


def everywhere(languages: Sequence[Language], call: Callable[[Language], T]) -> dict[str, T]:
    """`call` for each language, side by side; language name -> its result."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip((language.name for language in languages), pool.map(call, languages), strict=True))
