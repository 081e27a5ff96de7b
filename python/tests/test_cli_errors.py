"""The command line: each bad input gets one sentence, the right exit code, and leaves nothing half-written behind."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import REFERENCE, TINY, sentence, succeed

from nn import files
from nn.tokenizer import Tokenizer


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("fly",), 'unknown command "fly", expected one of'),
        (("init", "--config", "tiny"), "init needs --out, see init --help"),
        (("init", "--config", "tiny", "--out", "x", "--bad"), "unknown option --bad of init"),
        (("init", "--config", "tiny", "--out", "x", "y"), 'unexpected argument "y"'),
        (("init", "--config", "tiny", "--out", "x", "--threads", "many"), '--threads is "many", expected an integer'),
        (("init", "--config", "tiny", "--out", "x", "--seed", "1_0"), '--seed is "1_0", expected an integer'),
        (("init", "--config", "tiny", "--out", "x", "--seed", "١٢"), '--seed is "١٢", expected an integer'),
        (("init", "--config", "tiny", "--out", "x", "--seed", "9" * 30), f'--seed is "{"9" * 30}", expected an'),
        (("init", "--config", "tiny", "--out", "x", "--ntk-alpha", "nan"), '--ntk-alpha is "nan", expected a number'),
        (("init", "--config", "tiny", "--out", ""), '--out is "", expected a path'),
        (("init", "--config", "tiny", "--out", "a\udcff"), '--out is "a?", expected a path'),
        (("init", "--config", "tiny", "--out", "x", "--json=1"), "--json has a value, expected none"),
        (("init", "--config", "tiny", "--out"), "--out needs a value, expected one"),
        (("init", "--config", "a" * 300, "--out", "x"), f'unknown preset "{"a" * 300}", expected one of'),
        (("generate", "--model", "x", "--prompt", "\udcff"), '--prompt is "?", expected UTF-8 text'),
        (("it's",), 'unknown command "it\'s", expected one of'),
        (("train", "--data", "x", "--out", "y", "--lr", "1e400"), '--lr is "inf", expected a number from 0 to 1e+06'),
        (("init", "--config", "tiny", "--out", "x", "--dtype", "f64"), '--dtype is "f64", expected f32 or bf16'),
        (("init", "--config", "tiny", "--out", "x", "--seed", "-1"), '--seed is "-1", expected an integer'),
        (("init", "--config", "giant", "--out", "x"), 'unknown preset "giant", expected one of tiny, small, 6.9b'),
        (("init", "--config", "tiny", "--out", "x", "--device", "tpu"), 'unknown device "tpu", expected one of'),
        (("logits", "--model", "x", "--ids", "", "--out", "y"), "no token ids, expected at least one"),
        (("logits", "--model", "x", "--ids", "1,b", "--out", "y"), '--ids is "1,b", expected ids such as 1,2,3'),
        (("generate", "--model", "x", "--prompt", ""), "the prompt is empty"),
        (("generate", "--model", "x", "--prompt", "a", "--top-p", "0"), '--top-p is "0.0", expected'),
        (("train", "--data", "x", "--out", "y", "--steps", "5", "--minutes", "1"), "--steps and --minutes exclude"),
        (("train", "--data", "x", "--out", "y", "--batch", "0"), '--batch is "0", expected an integer of at least 1'),
        (("train", "--data", "x", "--out", "y", "--resume", "--lr", "1"), "--resume and --lr exclude each other"),
    ],
)  # fmt: skip
def test_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], want: str) -> None:
    assert want in sentence(capsys, 2, *arguments)


def test_ids_out_of_range(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    got = sentence(capsys, 1, "logits", "--model", model, "--ids", "1,259", "--out", tmp_path / "l", *REFERENCE)
    assert got == "token id 259 at position 1, expected 0 to 258"
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("out", ["/", "."])
def test_a_file_in_the_place_of_a_folder(capsys: pytest.CaptureFixture[str], model: Path, out: str) -> None:
    got = sentence(capsys, 1, "logits", "--model", model, "--ids", "1", "--out", out, *REFERENCE)
    assert got == f"{out}: cannot be written: it is a folder"


def test_what_is_no_regular_file_stays(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = sentence(capsys, 1, "logits", "--model", model, "--ids", "1", "--out", pipe, *REFERENCE)
    assert got == f"{pipe}: cannot be written: it is no regular file"
    assert pipe.is_fifo()


def test_a_library_that_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "libcunn.so"
    path.write_text("text")
    monkeypatch.setenv("CUNN_LIBRARY", str(path))
    got = sentence(capsys, 1, "logits", "--model", model, "--ids", "1", "--out", tmp_path / "l", "--device", "cpu")
    assert got == f"{path}: cannot be opened as the library: file too short"


def test_sequence_longer_than_the_context(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    ids = ",".join(["1"] * 33)
    got = sentence(capsys, 1, "logits", "--model", model, "--ids", ids, "--out", tmp_path / "l", *REFERENCE)
    assert got == "a sequence of 33 tokens, expected at most the context of 32"
    got = sentence(capsys, 1, "generate", "--model", model, "--prompt", "x" * 33, *REFERENCE)
    assert "expected at most the context of 32" in got


def test_foreign_checkpoint(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["model_type"] = "llama"
    (model / "config.json").write_text(json.dumps(config))
    got = sentence(capsys, 1, "generate", "--model", model, "--prompt", "x", *REFERENCE)
    assert 'model_type "llama" is not supported, expected "mixtral"' in got


def test_more_experts_per_token_than_experts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hf = TINY.to_hf()
    hf["num_experts_per_tok"] = 4
    (tmp_path / "config.json").write_text(json.dumps(hf))
    got = sentence(capsys, 1, "init", "--config", tmp_path / "config.json", "--out", tmp_path / "m", *REFERENCE)
    assert "4 experts per token but 3 experts" in got
    assert not (tmp_path / "m").exists()


def test_truncated_checkpoint(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    got = sentence(capsys, 1, "generate", "--model", model, "--prompt", "x", *REFERENCE)
    assert str(weights) in got


def test_missing_checkpoint_and_tokenizer(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    got = sentence(capsys, 1, "logits", "--model", tmp_path / "none", "--ids", 1, "--out", tmp_path / "l", *REFERENCE)
    assert "no such folder" in got
    (model / "tokenizer.json").unlink()
    got = sentence(capsys, 1, "generate", "--model", model, "--prompt", "x", *REFERENCE)
    assert got == f"{model / 'tokenizer.json'}: no such file, expected a tokenizer.json"


def test_bad_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    got = sentence(capsys, 1, "prepare", "--data", tmp_path / "none", "--out", tmp_path / "d")
    assert "no such file" in got
    (tmp_path / "empty").mkdir()
    got = sentence(capsys, 1, "prepare", "--data", tmp_path / "empty", "--out", tmp_path / "d")
    assert "no text, expected UTF-8 files" in got
    (tmp_path / "binary").write_bytes(b"a\xff")
    got = sentence(capsys, 1, "prepare", "--data", tmp_path / "binary", "--out", tmp_path / "d")
    assert "not text at byte 1" in got
    assert not (tmp_path / "d").exists()


def test_sequences_longer_than_the_data(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    got = sentence(capsys, 1, "train", "--data", data, "--out", tmp_path / "m", "--config", "small",
                   "--seq", 2048, "--quiet", *REFERENCE)  # fmt: skip
    assert "are too few for sequences of 2048" in got


def test_resume_without_a_state(capsys: pytest.CaptureFixture[str], data: Path, model: Path) -> None:
    (model / "trainer_state.json").unlink()
    got = sentence(capsys, 1, "train", "--data", data, "--out", model, "--resume", *REFERENCE)
    assert "no trainer_state.json, expected in a folder to resume from" in got


def test_resume_with_other_data(capsys: pytest.CaptureFixture[str], model: Path, text: Path, tmp_path: Path) -> None:
    (text / "00.txt").write_text("different")
    other = tmp_path / "other"
    succeed(capsys, "prepare", "--data", text, "--out", other, "--tokenizer", "bytes")
    got = sentence(capsys, 1, "train", "--data", other, "--out", model, "--resume", *REFERENCE)
    assert "train_tokens is" in got


def test_full_disk(
    capsys: pytest.CaptureFixture[str], data: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing half-written is left, and the checkpoint that was there is still whole."""
    before = {entry.name: entry.read_bytes() for entry in model.iterdir()}
    state = json.loads((model / "trainer_state.json").read_text())
    state["options"]["steps"] = 4
    (model / "trainer_state.json").write_text(json.dumps(state))
    before["trainer_state.json"] = (model / "trainer_state.json").read_bytes()
    written = files.write_synced

    def full(path: Path, chunks: object) -> None:
        if path.name == "optimizer.safetensors":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        written(path, chunks)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write_synced", full)
    got = sentence(capsys, 1, "train", "--data", data, "--out", model, "--resume", "--quiet", *REFERENCE)
    assert "cannot be written: the disk is full; nothing half-written was left behind" in got
    after = {entry.name: entry.read_bytes() for entry in model.iterdir() if entry.is_file()}
    assert sorted(entry.name for entry in model.iterdir()) == sorted(before)
    for name in before:
        if name != "metrics.jsonl":
            assert after[name] == before[name], name


def test_prepared_folder_beside_other_data(
    capsys: pytest.CaptureFixture[str], data: Path, model: Path, text: Path
) -> None:
    """Its JSON files must not count as text."""
    got = sentence(capsys, 2, "eval", "--model", model, "--data", data, "--data", text, *REFERENCE)
    assert got == f"{data}: written by prepare, expected as the only --data"
    once = succeed(capsys, "eval", "--model", model, "--data", data, *REFERENCE)
    twice = succeed(capsys, "eval", "--model", model, "--data", data, "--data", data, *REFERENCE)
    assert once["loss"] == twice["loss"]


def test_pipe_as_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It would be empty at the second reading."""
    os.mkfifo(tmp_path / "pipe")
    got = sentence(capsys, 1, "prepare", "--data", tmp_path / "pipe", "--out", tmp_path / "d")
    assert "no text, expected UTF-8 files" in got


def test_vocabulary_beyond_reason(capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path) -> None:
    size = 2**62
    got = sentence(capsys, 2, "prepare", "--data", text, "--out", tmp_path / "d", "--vocab-size", size, "--quiet")
    assert got == f'--vocab-size is "{size}", expected an integer of at most 1048576'
    assert not (tmp_path / "d").exists()


def test_init_with_what_is_no_tokenizer_of_the_model(
    capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path
) -> None:
    start = ("init", "--config", tmp_path / "config.json", "--out", tmp_path / "m", *REFERENCE, "--tokenizer")
    (tmp_path / "config.json").write_text(replace(TINY, vocab_size=258).to_json())
    assert "not a tokenizer" in sentence(capsys, 1, *start, text / "00.txt")
    (tmp_path / "tokenizer.json").write_bytes(Tokenizer.bytes().json)
    assert "259 tokens, expected at most the model's 258" in sentence(capsys, 1, *start, tmp_path / "tokenizer.json")
    assert not (tmp_path / "m").exists()


def test_what_nobody_foresaw(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond")

    monkeypatch.setattr("nn.cli.commands.init.read_config", broken)
    got = sentence(capsys, 1, "init", "--config", "tiny", "--out", "x", *REFERENCE)
    assert got.startswith("internal error: RuntimeError: first line second; please report it")
