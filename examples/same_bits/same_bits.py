"""Twenty steps of `small` in Python, Rust and Go, side by side: the same losses digit by digit, the same files.

Each program trains from the same tokens with the same seed and writes a folder of its own below build/same_bits. What
is shown is read from the metrics.jsonl that each writes; what is compared at the end is the SHA-256 of everything that
it saved: weights, optimizer, state, configuration. Exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "same_bits"
TEXT = ("docs-en", "python/nn", "cuda/include")
NOT_COMPARED = ("metrics.jsonl", "loss.png")
"""They hold wall-clock, and pixels of three plotting libraries."""


@dataclass
class Run:
    """One language's training: its process, and the losses that have been read so far."""

    name: str
    command: list[str]
    losses: list[str] = field(default_factory=list)
    speed: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    _read: int = 0

    @property
    def out(self) -> Path:
        return OUT / self.name

    @property
    def said(self) -> Path:
        """Where its errors go: on the terminal they would break the columns."""
        return OUT / f"{self.name}.errors"

    def start(self, options: list[str]) -> None:
        words = [*self.command, "train", *options, "--out", str(self.out), "--quiet"]
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=said, cwd=ROOT)

    def follow(self) -> None:
        """Reads the steps that are new in metrics.jsonl; a line counts once it is whole."""
        path = self.out / "metrics.jsonl"
        if not path.is_file():
            return
        content = path.read_bytes()[self._read :]
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            step = json.loads(line)
            if "cross_entropy" in step:
                self.losses.append(repr(step["cross_entropy"]))
                self.speed = step["tokens_per_second"]

    def checksum(self) -> str:
        """Over the names and bytes of every file that the run saved."""
        total = hashlib.sha256()
        for path in sorted(path for path in self.out.iterdir() if path.is_file() and path.name not in NOT_COMPARED):
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or simt")
    arguments = parser.parse_args()
    console = Console()

    console.print("Building nn-rs and nn-go, preparing text")
    runs = [Run(name, command) for name, command in commands().items()]
    shutil.rmtree(OUT, ignore_errors=True)
    texts = [word for path in TEXT for word in ("--data", str(ROOT / path))]
    subprocess.run([*runs[0].command, "prepare", *texts, "--out", str(OUT / "data"), "--quiet"], check=True,
                   stdout=subprocess.DEVNULL, cwd=ROOT)  # fmt: skip
    options = ["--data", str(OUT / "data"), "--config", "small", "--steps", str(arguments.steps),
               "--batch", str(arguments.batch), "--seq", str(arguments.seq), "--device", arguments.device,
               "--threads", "1"]  # fmt: skip
    console.print(f"{arguments.steps} steps of small, {arguments.batch} x {arguments.seq} tokens each")
    try:
        for run in runs:
            run.start(options)
        (follow_live if console.is_terminal else follow_plainly)(console, runs, arguments.steps)
    finally:
        for run in runs:
            if run.process is not None and run.process.poll() is None:
                run.process.terminate()
                run.process.wait()
    failed = [run for run in runs if run.process is None or run.process.returncode != 0]
    for run in failed:
        console.print(f"{run.name} failed: {run.said.read_text(errors='replace').strip()}", highlight=False)
    if failed:
        return 1
    return report(console, runs, arguments.steps)


def commands() -> dict[str, list[str]]:
    """The three command lines, the two compiled ones built as their tests build them."""
    subprocess.run(["cargo", "build", "--quiet", "--locked", "-p", "nn-cli"], cwd=ROOT, check=True)
    binary = ROOT / "build" / "cross" / "nn-go"
    subprocess.run(["go", "build", "-o", str(binary), "./cmd/nn-go"], cwd=ROOT / "go", check=True)
    rust = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True,
                          capture_output=True)  # fmt: skip
    target = json.loads(rust.stdout)["target_directory"]
    return {
        "Python": [sys.executable, "-m", "nn"],
        "Rust": [f"{target}/debug/nn-rs"],
        "Go": [str(binary)],
    }


def running(runs: list[Run]) -> bool:
    """Reads what is new, and says whether any process goes on."""
    going = any(run.process is not None and run.process.poll() is None for run in runs)
    for run in runs:
        run.follow()
    return going


def follow_live(console: Console, runs: list[Run], steps: int) -> None:
    """Three columns that grow, until every process has ended."""
    with Live(table(runs, steps, console.height), console=console, refresh_per_second=8) as live:
        while running(runs):
            live.update(table(runs, steps, console.height))
            time.sleep(0.1)
        live.update(table(runs, steps, steps + 8))


def follow_plainly(console: Console, runs: list[Run], steps: int) -> None:
    """A line per step, once all have made it."""
    done = 0
    going = True
    while going:
        going = running(runs)
        for step in range(done, min(len(run.losses) for run in runs)):
            values = "  ".join(f"{run.name} {run.losses[step]}" for run in runs)
            console.print(
                f"step {step + 1:2d}/{steps}  {values}  {verdict(runs, step)}", highlight=False, soft_wrap=True
            )
            done = step + 1
        time.sleep(0.1)


def table(runs: list[Run], steps: int, height: int) -> Table:
    """The last steps that fit, a column per language; a row is green once all agree, red where they do not."""
    grid = Table(title="cross entropy, every digit")
    grid.add_column("step", justify="right")
    for run in runs:
        grid.add_column(run.name, min_width=20, footer=f"{run.speed:,.0f} tokens/s")
    grid.add_column("")
    grid.show_footer = True
    made = max(len(run.losses) for run in runs)
    for step in range(max(0, made - max(1, height - 8)), made):
        said = verdict(runs, step)
        style = {"": "", "the same": "green"}.get(said, "bold red")
        cells = [run.losses[step] if step < len(run.losses) else "" for run in runs]
        grid.add_row(f"{step + 1}/{steps}", *cells, said, style=style)
    return grid


def verdict(runs: list[Run], step: int) -> str:
    """Empty until every run has made the step."""
    if any(len(run.losses) <= step for run in runs):
        return ""
    return "the same" if len({run.losses[step] for run in runs}) == 1 else "DIFFERENT"


def report(console: Console, runs: list[Run], steps: int) -> int:
    sums = {run.name: run.checksum() for run in runs}
    for name, checksum in sums.items():
        console.print(f"{name:>6}  {checksum}", highlight=False, soft_wrap=True)
    same_losses = all(len(run.losses) == steps for run in runs) and len({tuple(run.losses) for run in runs}) == 1
    if same_losses and len(set(sums.values())) == 1:
        console.print(f"The same bits: {steps} losses, and every file of the three checkpoints.")
        return 0
    console.print("They differ.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
