"""The 6.9b preset for real: fresh bf16 weights on disk, then the same prompt continued from each language.

Checks memory and disk first. The weights are random, so the text is noise; what is shown is that the whole model runs,
that the languages agree on every bit, and how fast: each decoded token reads the weights of the chosen experts once, so
tokens/s times those bytes is the memory traffic. Everything is written below big/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from nn.model.config import preset

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "big"
COMMANDS = {
    "python": [sys.executable, "-m", "nn"],
    "rust": [str(ROOT / "target" / "release" / "nn-rs")],
    "go": [str(ROOT / "build" / "nn-go")],
}
PROMPT = "One kernel library, three languages, the same bits."
BYTES_OF = {"f32": 4, "bf16": 2}
ROOM = 1.5 * 2**30
"""For activations, the KV cache of a short prompt and the program itself."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="6.9b", help="another preset, to try the script itself")
    parser.add_argument("--dtype", choices=sorted(BYTES_OF), default="bf16")
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--lang", choices=sorted(COMMANDS), action="append", help="default: those that are built")
    arguments = parser.parse_args()
    config = preset(arguments.config)
    size = config.n_parameters() * BYTES_OF[arguments.dtype]

    available, disk = memory_available(), shutil.disk_usage(ROOT).free
    say(f"1. {arguments.config} in {arguments.dtype}: {size / 1e9:.2f} GB of weights; "
        f"{available / 1e9:.1f} GB of memory and {disk / 1e9:.1f} GB of disk are free")  # fmt: skip
    if available < size + ROOM:
        return refuse(f"memory: {(size + ROOM) / 1e9:.1f} GB are needed, {available / 1e9:.1f} GB are available")
    model = OUT / f"{arguments.config}-{arguments.dtype}"
    if not (model / "config.json").exists() and disk < 1.05 * size:
        return refuse(f"disk: {1.05 * size / 1e9:.1f} GB are needed, {disk / 1e9:.1f} GB are free")

    if not (model / "config.json").exists():
        call(
            COMMANDS["python"], "prepare", "--data", ROOT / "README.md", "--out", OUT / "bytes", "--tokenizer", "bytes"
        )
        call(COMMANDS["python"], "init", "--config", arguments.config, "--dtype", arguments.dtype, "--out", model,
             "--tokenizer", OUT / "bytes" / "tokenizer.json")  # fmt: skip
    per_token = config.n_active_parameters() * BYTES_OF[arguments.dtype]
    say(f"2. {arguments.new_tokens} tokens, greedy; a token reads {per_token / 1e9:.2f} GB of weights")
    say("   language   tokens/s   GB/s of weights   peak memory GB   ids")
    digests = set()
    languages = arguments.lang or [name for name, words in COMMANDS.items() if Path(words[0]).exists()]
    for language in languages:
        made, peak = call(COMMANDS[language], "generate", "--model", model, "--prompt", PROMPT, "--temperature", 0,
                          "--max-new-tokens", arguments.new_tokens)  # fmt: skip
        digest = hashlib.sha256(json.dumps(made["ids"]).encode()).hexdigest()[:16]
        digests.add(digest)
        rate = made["tokens_per_second"]
        say(f"   {language:8} {rate:10.2f} {rate * per_token / 1e9:17.1f} {peak / 1e9:16.2f}   {digest}")
    if len(digests) != 1:
        return refuse("the languages differ")
    say("   every language made the same ids")
    return 0


def memory_available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo has no MemAvailable line: expected Linux 3.14 or later")


def call(command: list[str], *arguments: object) -> tuple[dict, int]:
    """(what a subcommand printed with --json, the largest resident size of its process in bytes)."""
    words = [*command, *map(str, arguments), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(process.returncode)
    return json.loads(printed), usage.ru_maxrss * 1024


def refuse(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
