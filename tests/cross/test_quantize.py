"""Quantized folders: the same blocks from three languages, and each computes the same with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from compare import same_bytes, same_folders, without_wall_clock
from conftest import ODD, Runs
from languages import Language

CPU = ("--device", "cpu", "--threads", 1)
BLOCKS = {**ODD, "hidden_size": 96, "head_dim": 16, "intermediate_size": 160}
"""The odd config with rows of whole blocks."""


@pytest.fixture(scope="module")
def folders(quick: list[Language], runs: Runs, home: Path) -> dict[str, Path]:
    """Folders to quantize: a trained one with its tokenizer, and fresh bf16 weights."""
    (home / "blocks.json").write_text(json.dumps(BLOCKS))
    fresh = home / "blocks"
    tokenizer = runs.folder("odd", "python") / "tokenizer.json"
    quick[0].succeed(
        "init", "--config", home / "blocks.json", "--out", fresh, "--dtype", "bf16", "--tokenizer", tokenizer, "--quiet"
    )
    return {"tiny": runs.folder("tiny", "python"), "blocks": fresh}


@pytest.mark.parametrize("kind", ["q8", "q4"])
@pytest.mark.parametrize("name", ["tiny", "blocks"])
def test_quantized(quick: list[Language], folders: dict[str, Path], name: str, kind: str, tmp_path: Path) -> None:
    """Files, printed fields, logits, text and routing."""
    printed, logits, text, routing = {}, {}, {}, {}
    for language in quick:
        who, out = language.name, tmp_path / language.name
        made = language.succeed("quantize", "--model", folders[name], "--out", out, "--type", kind, "--quiet", "--json")
        printed[who] = made.replace(str(out).encode(), b"OUT")
        file = tmp_path / f"{who}.safetensors"
        language.succeed("logits", "--model", out, "--ids", "5,6,7,8,9,10,250,3", "--out", file, *CPU)
        logits[who] = file.read_bytes()
        prompt = ("--model", out, "--prompt", "def f(x): ", "--json", *CPU)
        text[who] = without_wall_clock(language.succeed("generate", *prompt, "--max-new-tokens", 12, "--seed", 3))
        routing[who] = language.succeed("inspect", *prompt)
    same_folders(f"{name} as {kind}", {language.name: tmp_path / language.name for language in quick})
    for what, results in (("fields", printed), ("logits", logits), ("text", text), ("routing", routing)):
        same_bytes(f"{name} as {kind}: {what}", results)
    full = tmp_path / "full.safetensors"
    quick[0].succeed("logits", "--model", folders[name], "--ids", "5,6,7,8,9,10,250,3", "--out", full, *CPU)
    assert full.read_bytes() != logits["python"], "quantizing changed nothing"
