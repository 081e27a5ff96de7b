"""The search that chose config.json and settings.json: what learns most in two minutes on this machine.

    python examples/demo/search.py --minutes 2 [--only NAME ...]

Each candidate trains as the demo does, alone on the machine, and is measured on all of the held-out text. Results are
appended to search.jsonl beside this file, best read with `sort`. The record there: 45 seconds a candidate on two
cores, where "base" still had a rate of 6e-3; its winner, 4e-3, is what the demo uses.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict, dataclass, replace

from demo import COMMANDS, HERE, OUT, Demo, flags, say, standard_library

from nn.model.config import MoEConfig


@dataclass(frozen=True)
class Candidate:
    vocab_size: int = 1024
    hidden_size: int = 96
    n_layers: int = 3
    n_heads: int = 3
    n_experts: int = 8
    top_k: int = 2
    ffn_size: int = 192
    batch: int = 8
    seq: int = 128
    lr: float = 4e-3

    def config(self) -> MoEConfig:
        return MoEConfig(
            vocab_size=self.vocab_size, hidden_size=self.hidden_size, n_layers=self.n_layers, n_heads=self.n_heads,
            n_kv_heads=1, head_dim=self.hidden_size // self.n_heads, n_experts=self.n_experts, top_k=self.top_k,
            ffn_size=self.ffn_size, max_positions=512,
        )  # fmt: skip


BASE = Candidate()
CANDIDATES = {
    "base": BASE,
    "lr-6e-3": replace(BASE, lr=6e-3),
    "lr-1e-2": replace(BASE, lr=1e-2),
    "seq-256": replace(BASE, seq=256),
    "batch-4": replace(BASE, batch=4),
    "batch-16": replace(BASE, batch=16),
    "wide": replace(BASE, hidden_size=128, n_heads=4, ffn_size=256),
    "wide-4": replace(BASE, hidden_size=128, n_heads=4, n_layers=4, ffn_size=256),
    "deep": replace(BASE, n_layers=4),
    "heads-6": replace(BASE, n_heads=6),
    "experts-16": replace(BASE, n_experts=16),
    "vocab-2048": replace(BASE, vocab_size=2048),
    "vocab-2048-wide": replace(BASE, vocab_size=2048, hidden_size=128, n_heads=4, ffn_size=256),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--only", nargs="*", choices=sorted(CANDIDATES), default=sorted(CANDIDATES))
    arguments = parser.parse_args()
    run = Demo(COMMANDS["python"])
    texts = standard_library()
    for name in arguments.only:
        candidate = CANDIDATES[name]
        data = OUT / f"search-data-{candidate.vocab_size}"
        if not (data / "data.json").exists():
            run("prepare", *flags("--data", texts), "--out", data, "--vocab-size", candidate.vocab_size, "--quiet")
        out = OUT / "search"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / "start.json").write_text(candidate.config().to_json())
        trained = run(
            "train", "--data", data, "--out", out, "--config", out / "start.json", "--minutes", arguments.minutes,
            "--batch", candidate.batch, "--seq", candidate.seq, "--lr", candidate.lr, "--lr-min", candidate.lr / 10,
            "--quiet",
        )  # fmt: skip
        measured = run("eval", "--model", out, "--data", data, "--seq", candidate.seq)
        speed = trained["tokens"] / trained["seconds"]
        row = {"bits_per_byte": round(measured["bits_per_byte"], 4), "name": name, "minutes": arguments.minutes,
               "steps": trained["steps"], "tokens_per_second": round(speed), **asdict(candidate)}  # fmt: skip
        with (HERE / "search.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        say(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
