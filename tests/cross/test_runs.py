"""The same run in three languages: the same losses, files and text, and each goes on where another stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from compare import folder, same_bytes, same_folders, without_wall_clock
from conftest import RUNS, Runs
from languages import NAMES, Language, everywhere

TRAINED = ("config.json", "model.safetensors", "optimizer.safetensors", "trainer_state.json", "tokenizer.json")


@pytest.mark.parametrize("kind", ["bpe", "bytes"])
def test_prepared_text(prepared: dict[str, dict[str, Path]], kind: str) -> None:
    """tokenizer.json (in Python and Rust: learned), tokens of both splits, data.json."""
    same_folders(f"prepare, {kind}", prepared[kind])
    data = json.loads((prepared[kind]["python"] / "data.json").read_text())
    assert data["train"]["files"] == 22 and data["heldout"]["files"] == 1


@pytest.mark.parametrize("name", RUNS)
def test_losses(runs: Runs, name: str) -> None:
    """Every number of every step, digit by digit: losses, gradient norm, learning rate, evaluations."""
    runs.printed(name)
    lines = {
        language: without_wall_clock((runs.folder(name, language) / "metrics.jsonl").read_bytes()) for language in NAMES
    }
    same_bytes(f"{name}: metrics.jsonl", lines)
    steps = [json.loads(line) for line in lines["python"].splitlines()]
    losses = [line["cross_entropy"] for line in steps if "cross_entropy" in line]
    assert losses[-1] < losses[0], "nothing was learned: the comparison shows little"
    assert any("heldout_loss" in line for line in steps)


@pytest.mark.parametrize("name", RUNS)
def test_checkpoints_and_optimizer(runs: Runs, name: str) -> None:
    """Halfway and at the end: config, weights, moments, master weights, trainer_state.json, tokenizer."""
    for what, at in (("halfway", runs.half), ("at the end", runs.folder)):
        folders = {language: at(name, language) for language in NAMES}
        same_folders(f"{name}, {what}", folders)
        assert set(TRAINED) <= set(folder(folders["python"]))


@pytest.mark.parametrize("name", RUNS)
def test_result_of_train(runs: Runs, name: str) -> None:
    """What `train --json` prints, apart from the folder's name and the seconds."""
    printed = {
        language: without_wall_clock(out).replace(str(runs.folder(name, language)).encode(), b"OUT")
        for language, out in runs.printed(name).items()
    }
    same_bytes(f"{name}: --json", printed)


@pytest.mark.parametrize("reader", NAMES)
@pytest.mark.parametrize("writer", NAMES)
@pytest.mark.parametrize("name", RUNS)
def test_resume(runs: Runs, name: str, writer: str, reader: str, tmp_path: Path) -> None:
    """All nine pairs: the run that one language began and another finished ends in the bytes of a whole run."""
    (other,) = (language for language in runs.languages if language.name == reader)
    resumed = runs.resumed(name, writer, other, tmp_path / "resumed")
    want, got = folder(runs.folder(name, writer)), folder(resumed)
    # The kept half has no metrics: only the lines of the second half are there.
    lines = got["metrics.jsonl"]
    assert lines and want["metrics.jsonl"].endswith(lines)
    for file in set(want) - {"metrics.jsonl"}:
        same_bytes(f"{name}, {writer} -> {reader}: {file}", {"whole": want[file], "resumed": got.get(file, b"")})
    shutil.rmtree(resumed)


SAMPLING = {
    "greedy": ("--temperature", "0"),
    "default": (),
    "top-k": ("--top-k", "5", "--seed", "11", "--temperature", "1.3"),
    "top-p": ("--top-p", "0.7", "--seed", "13"),
    "both": ("--top-k", "40", "--top-p", "0.9", "--temperature", "0.7", "--seed", "9223372036854775807"),
}
PROMPT = "def forward(self) 言語: "


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("name", RUNS)
def test_generated_text(runs: Runs, name: str, sampling: str) -> None:
    """Each language continues the prompt with its own checkpoint: streamed bytes, ids and text."""

    def generate(language: Language) -> tuple[bytes, bytes]:
        common = (
            "generate", "--model", runs.folder(name, language.name), "--prompt", PROMPT, "--max-new-tokens", 13,
            "--device", "cpu", "--threads", 1, *SAMPLING[sampling],
        )  # fmt: skip
        return language.succeed(*common), without_wall_clock(language.succeed(*common, "--json"))

    made = everywhere(runs.languages, generate)
    same_bytes(f"{name}, {sampling}: streamed", {language: streamed for language, (streamed, _) in made.items()})
    same_bytes(f"{name}, {sampling}: --json", {language: printed for language, (_, printed) in made.items()})
    assert made["python"][0].startswith(PROMPT.encode())
    assert len(json.loads(made["python"][1])["ids"]) > 0
