"""Folders trained by each language, and the same folders opened by transformers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cross"))

from corpus import write_texts
from languages import NAMES, Language, build, everywhere

CONFIGS = {
    "tiny": ("--config", "tiny", "--batch", "2", "--seq", "32"),
    "several kv heads, NTK": ("--config", "{odd}", "--batch", "2", "--seq", "50", "--ntk-alpha", "2"),
    "bf16": ("--config", "{odd}", "--batch", "2", "--seq", "30", "--dtype", "bf16"),
}
ODD = {
    "model_type": "mixtral", "vocab_size": 331, "hidden_size": 42, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 10, "num_local_experts": 5, "num_experts_per_tok": 3, "intermediate_size": 37,
    "max_position_embeddings": 40, "rms_norm_eps": 2e-6, "rope_theta": 5000.0, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.fixture(scope="session")
def languages() -> dict[str, Language]:
    return {name: build(name) for name in NAMES}


@pytest.fixture(scope="session")
def data(languages: dict[str, Language], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("data")
    texts = write_texts(home / "texts")
    languages["python"].succeed("prepare", "--data", texts, "--out", home / "out", "--tokenizer", "bytes", "--quiet")
    return home / "out"


@pytest.fixture(scope="session")
def folders(
    languages: dict[str, Language], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    """(config, language) -> the folder that this language trained for twelve steps."""
    home = tmp_path_factory.mktemp("trained")
    (home / "odd.json").write_text(json.dumps(ODD))
    made = {}
    for config, options in CONFIGS.items():
        words = [word.format(odd=home / "odd.json") for word in options]

        def train(language: Language, config: str = config, words: list[str] = words) -> Path:
            out = home / config / language.name
            language.succeed(
                "train", "--data", data, "--out", out, *words, "--steps", 12, "--lr", "4e-3", "--device", "cpu",
                "--threads", 1, "--quiet",
            )  # fmt: skip
            return out

        for name, folder in everywhere(list(languages.values()), train).items():
            made[config, name] = folder
    return made
