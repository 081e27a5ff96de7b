"""Settings of the whole suite, and what the tests of the command line start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import REFERENCE, TINY, succeed
from hypothesis import settings

# Shared machines pause a test for longer than any deadline that would mean something.
settings.register_profile("default", deadline=None, max_examples=200)
settings.register_profile("fuzz", deadline=None, max_examples=5000)
settings.load_profile("default")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for number in range(21):
        (folder / f"{number:02d}.txt").write_text(f"Number {number}: {'la ' * 20}\n")
    return folder


@pytest.fixture
def data(capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path) -> Path:
    succeed(capsys, "prepare", "--data", text, "--out", tmp_path / "data", "--tokenizer", "bytes")
    return tmp_path / "data"


@pytest.fixture
def model(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(TINY.to_json())
    out = tmp_path / "model"
    succeed(capsys, "train", "--data", data, "--out", out, "--config", tmp_path / "config.json", "--steps", 2,
            "--batch", 1, "--seq", 8, "--quiet", *REFERENCE)  # fmt: skip
    return out
