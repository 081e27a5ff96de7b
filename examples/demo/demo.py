"""The main job on a fresh machine: real text in, a trained model, a comparison, a sample and a plot out.

The text is Python's own standard library. Every twentieth file is held out; the model never sees those, and all
figures in bits per byte are about them. Everything is written below demo/.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
from baselines import bigram, bits_per_byte, unigram, xz

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
OUT = ROOT / "demo"
PYTHON = [sys.executable, "-m", "nn"]
COMMANDS = {
    "python": PYTHON,
    "rust": [str(ROOT / "target" / "release" / "nn-rs")],
    "go": [str(ROOT / "build" / "nn-go")],
}
"""How each implementation is called; `nox -s demo` builds the one that is asked for."""
PROMPT = "def read_lines(path, encoding=None):\n"
NOT_LIBRARY = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0, help="training time (default: 2)")
    parser.add_argument("--lang", choices=sorted(COMMANDS), default="python", help="which implementation runs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = Demo(COMMANDS[arguments.lang])
    # Learning a BPE is Python's and Rust's; nn-go takes a tokenizer that is there.
    learn = Demo(PYTHON) if arguments.lang == "go" else run
    settings = json.loads((HERE / "settings.json").read_text())

    texts = standard_library()
    say(f"1. Text: {len(texts)} files of Python's standard library")
    data = learn("prepare", *flags("--data", texts), "--out", OUT / "data", "--vocab-size", settings["vocab_size"])
    say(
        f"   {data['train']['bytes'] / 1e6:.1f} MB to learn from ({data['train']['tokens']:,} tokens), "
        f"{data['heldout']['bytes'] / 1e6:.2f} MB held out"
    )

    train, heldout = tokens("train"), tokens("heldout")
    n_bytes = data["heldout"]["bytes"]
    rows = [
        ("unigram", bits_per_byte(unigram(train, heldout, data["vocab_size"]), heldout, n_bytes)),
        ("bigram", bits_per_byte(bigram(train, heldout, data["vocab_size"]), heldout, n_bytes)),
    ]

    say(f"2. Training for {arguments.minutes:g} minutes")
    shutil.rmtree(OUT / "model", ignore_errors=True)  # of an earlier demo: train does not replace a run
    start = time.monotonic()
    trained = run(
        "train", "--data", OUT / "data", "--out", OUT / "model", "--config", HERE / "config.json",
        "--minutes", arguments.minutes, "--seed", arguments.seed,
        "--batch", settings["batch"], "--seq", settings["seq"], "--lr", settings["lr"], "--lr-min", settings["lr_min"],
        "--warmup", settings["warmup"],
    )  # fmt: skip
    seconds = time.monotonic() - start
    evaluated = run("eval", "--model", OUT / "model", "--data", OUT / "data", "--seq", settings["seq"])
    rows.append((f"model, {seconds:.0f} s", evaluated["bits_per_byte"]))
    bits_of_xz = xz(*split(texts))
    rows.append(("xz, same text", bits_of_xz))

    say("3. Held-out bits per byte (less is better)")
    longest = max(value for _, value in rows)
    for name, value in rows:
        say(f"   {name:>14}  {value:5.3f}  {'#' * round(40 * value / longest)}")
    history = evaluations(OUT / "model" / "metrics.jsonl")
    say("   model over time: " + ", ".join(f"step {step} {value:.2f}" for step, value in history))
    say(
        "   xz has read the same training text. "
        + (
            "This model is below it."
            if evaluated["bits_per_byte"] < bits_of_xz
            else f"{arguments.minutes:g} minutes on this machine do not beat it; to go on: nox -s demo -- --minutes 30"
        )
    )

    say("4. A sample")
    sample = run("generate", "--model", OUT / "model", "--prompt", PROMPT, "--max-new-tokens", 96,
                 "--temperature", 0.8, "--top-p", 0.95, "--seed", arguments.seed)  # fmt: skip
    say("   | " + (PROMPT + sample["text"]).replace("\n", "\n   | "))

    plot(rows, history, OUT / "bits_per_byte.png")
    summary = {
        "bits_per_byte": dict(rows),
        "over_time": history,
        "steps": trained["steps"],
        "tokens_per_second": trained["tokens"] / trained["seconds"],
        "settings": settings,
    }
    (OUT / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    say(f"5. {trained['steps']} steps, {summary['tokens_per_second']:,.0f} tokens/s. Look at")
    for path in (OUT / "bits_per_byte.png", OUT / "model" / "loss.png", OUT / "model", OUT / "summary.json"):
        say(f"   {path.relative_to(ROOT)}")
    return 0


class Demo:
    """Calls a subcommand with --json and returns what it printed; its progress stays visible."""

    def __init__(self, command: list[str]) -> None:
        self.command = command

    def __call__(self, subcommand: str, *arguments: object) -> dict:
        words = [*self.command, subcommand, *map(str, arguments), "--json"]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.returncode)
        return json.loads(done.stdout)


def standard_library() -> list[str]:
    """Its text files, sorted as prepare sorts them, without tests and installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    found = [
        str(path)
        for path in root.rglob("*.py")
        if not NOT_LIBRARY & set(path.relative_to(root).parts) and path.is_file() and is_text(path)
    ]
    return sorted(found, key=str.encode)


def is_text(path: Path) -> bool:
    """What prepare takes: not empty, UTF-8, no NUL."""
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return len(content) > 0 and b"\0" not in content


def split(texts: list[str]) -> tuple[list[bytes], list[bytes]]:
    """(train, held out), by the rule of prepare: numbers 19, 39, ... are held out."""
    contents = [Path(path).read_bytes() for path in texts]
    return [text for number, text in enumerate(contents) if number % 20 != 19], contents[19::20]


def tokens(split: str) -> np.ndarray:
    return np.fromfile(OUT / "data" / f"{split}.bin", dtype="<u4")


def evaluations(metrics: Path) -> list[tuple[int, float]]:
    """(step, bits per byte) of each evaluation during training."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [(line["step"], line["bits_per_byte"]) for line in lines if line.get("bits_per_byte") is not None]


def plot(rows: list[tuple[str, float]], history: list[tuple[int, float]], out: Path) -> None:
    """The model's curve over the baselines' lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([step for step, _ in history], [value for _, value in history], "o-", color="#1f4e8c", label="model")
    baselines = [row for row in rows if not row[0].startswith("model")]
    for (name, value), color in zip(baselines, ("#999999", "#c4532b", "#3a7d44"), strict=True):
        axes.axhline(value, color=color, linestyle="--", linewidth=1, label=f"{name} {value:.2f}")
    axes.set_xlabel("step")
    axes.set_ylabel("held-out bits per byte")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(out, dpi=150)


def flags(name: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (name, value)]


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
