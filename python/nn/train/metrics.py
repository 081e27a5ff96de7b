"""metrics.jsonl: one line per step and per evaluation; what is not finite is null."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nn import files
from nn.json_strict import Json, dumps_compact, finite, loads_object

if TYPE_CHECKING:
    from nn.train.evaluate import Evaluation
    from nn.train.trainer import StepMetrics


class MetricsFile:
    """Appends lines, each handed to the system at once, so that a killed run leaves whole lines. On resume the lines of
    steps after the checkpoint are dropped: those steps are run again. `seconds` and `tokens_per_second` are the only
    wall-clock in the files of a run. Nothing is written before the first line: a run that never began leaves nothing.
    """

    def __init__(self, path: Path, keep_steps: int) -> None:
        """Errors: cannot_read, json_*."""
        self.path = path
        self.seconds = 0.0
        self._file: io.FileIO | None = None
        self._kept: list[bytes] = []
        if keep_steps > 0 and path.exists():
            for line in read_metrics(path):
                step, seconds = line.get("step"), line.get("seconds")
                if isinstance(step, int) and step <= keep_steps:
                    self._kept.append((dumps_compact(line) + "\n").encode())
                    if isinstance(seconds, float):
                        self.seconds = seconds

    def write_step(self, m: StepMetrics) -> None:
        """Errors: disk_full, cannot_write."""
        self._write(
            {
                "step": m.step,
                "loss": m.loss.total,
                "cross_entropy": m.loss.cross_entropy,
                "balance": m.loss.balance,
                "z": m.loss.z,
                "grad_norm": m.grad_norm,
                "lr": m.lr,
                "skipped": m.skipped,
                "tokens": m.tokens,
                "seconds": m.seconds,
                "tokens_per_second": m.tokens_per_second,
            }
        )

    def write_evaluation(self, step: int, e: Evaluation) -> None:
        """Errors: disk_full, cannot_write."""
        self._write({"step": step, "heldout_loss": e.loss, "bits_per_byte": e.bits_per_byte})

    def sync(self) -> None:
        """Waits until the disk has every line: before a checkpoint that counts on them. Errors: disk_full,
        cannot_write."""
        try:
            if self._file is not None:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise files.cannot_write(self.path, error) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self) -> io.FileIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(self.path, self._kept)
        self._kept = []
        # Unbuffered: a line that the disk refused is not tried again by close().
        return self.path.open("ab", buffering=0)

    def _write(self, line: dict[str, Json]) -> None:
        data = (dumps_compact(finite(line)) + "\n").encode()
        try:
            if self._file is None:
                self._file = self._open()
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise files.cannot_write(self.path, error) from None


def read_metrics(path: Path) -> list[dict[str, Json]]:
    """Its whole lines: one without its end was left by a kill and does not count. Errors: cannot_read, json_*."""
    data = files.read_bytes(path, "training folder")
    whole = data[: data.rfind(b"\n") + 1]
    return [loads_object(line, f"{path}: line {number + 1}") for number, line in enumerate(whole.splitlines())]
