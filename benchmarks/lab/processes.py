"""Whole-process cases: from the start of the program to its end, with the memory it needed at most."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lab.harnesses import ROOT, Harness, HarnessError, bound


@dataclass
class Spent:
    """`seconds` of wall-clock, `cpu_seconds` of all threads, `peak_rss_bytes` resident at most."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


def spent(command: Sequence[str], processors: Sequence[int]) -> Spent:
    """Runs a program and waits for it with wait4. Errors: HarnessError."""
    started = time.perf_counter()
    with bound(processors):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise HarnessError(
            f"{' '.join(command[:4])} ended with {process.returncode}: {said.decode(errors='replace')[-500:]}"
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return Spent(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


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
        "harness": "wait4",
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
