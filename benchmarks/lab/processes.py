"""Whole-process cases: from the start of the program to its end, with the memory it needed at most."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lab.harnesses import BUILD, ROOT, Harness, HarnessError, build, need, run_pinned


@dataclass
class Spent:
    """`seconds` of wall-clock, `cpu_seconds` of all threads, `peak_rss_bytes` resident at most."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


def launcher() -> Path:
    """The small program that starts others (spent.c says why), compiled. Errors: SkippedError, HarnessError."""
    compiler = os.environ.get("CC", "cc")
    need(compiler, "install a C compiler")
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / "spent"
    build([compiler, "-O2", str(Path(__file__).parent / "spent.c"), "-o", str(program)], ROOT, "the launcher")
    return program


def spent(program: Path, command: Sequence[str], processors: Sequence[int]) -> Spent:
    """Runs a command under the launcher. Errors: HarnessError."""
    said = run_pinned([str(program), *command], processors, ROOT, {}, " ".join(command[:4]))
    return Spent(**json.loads(said))


class Processes:
    """Prepares the folders that the cases need and gives the command of each case in each language."""

    def __init__(self, scratch: Path, threads: int) -> None:
        self.scratch = scratch
        self.threads = threads

    def _maker(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "nn", *arguments, "--quiet"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise HarnessError(f"{arguments[0]} of nn-py failed: {done.stderr[-500:]}")

    def _model(self, config: str) -> Path:
        folder = self.scratch / config
        if not folder.exists():
            self._maker("init", "--config", config, "--out", str(folder), "--seed", "0")
        return folder

    def _data(self) -> Path:
        folder = self.scratch / "data"
        if not folder.exists():
            self._maker("prepare", "--data", str(ROOT / "python" / "nn"), "--out", str(folder), "--tokenizer", "bytes")
        return folder

    def command(self, harness: Harness, case: dict[str, Any]) -> list[str]:
        """Errors: HarnessError."""
        common = ["--device", "cpu", "--threads", str(self.threads)]
        out = self.scratch / f"{case['name']}-{harness.language}"
        if case["command"] == "logits":
            ids = ",".join(str(i) for i in range(1, case["ids"] + 1))
            asked = ["logits", "--model", str(self._model(case["config"])), "--ids", ids, "--out", str(out)]
        elif case["command"] == "train":
            shutil.rmtree(out, ignore_errors=True)  # of the round before: train does not replace a run
            sizes = [word for name in ("steps", "batch", "seq") for word in (f"--{name}", str(case[name]))]
            asked = ["train", "--data", str(self._data()), "--config", case["config"], "--out", str(out), "--quiet"]
            asked += sizes
        else:
            raise HarnessError(
                f"cases.json: {case['name']} has the command {case['command']}, expected logits or train"
            )
        return [*harness.command, *asked, *common]


def row(case: dict[str, Any], harness: Harness, rounds: list[list[Spent]], threads: int) -> dict[str, Any]:
    """A row of the schema: `units` is 1 call, samples are wall-clock seconds of whole processes."""
    every = [one for group in rounds for one in group]
    return {
        "case": case["name"],
        "language": harness.language,
        "row": "process",
        "implementation": Path(harness.command[-1]).name if harness.language != "python" else "python -m nn",
        "harness": "spent (wait4)",
        "threads": threads,
        "isa": "",
        "rounds": [[one.seconds for one in group] for group in rounds],
        "iterations": [1] * len(every),
        "fraction": 1.0,
        "units": 1.0,
        "unit": "call",
        "checksum": None,
        "checked": True,
        "allocations": None,
        "allocated_bytes": None,
        "gc_seconds": None,
        "peak_rss_bytes": max(one.peak_rss_bytes for one in every),
        "cpu_seconds": sum(one.cpu_seconds for one in every) / len(every),
    }
