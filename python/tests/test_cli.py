"""The command line: each subcommand does its work, and each bad input gets one sentence, the right exit code, and
leaves nothing half-written behind."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import GOLDEN

from nn import files
from nn.cli import main
from nn.model.checkpoint import load_checkpoint
from nn.model.config import MoEConfig, preset
from nn.model.safetensors import SafetensorsFile
from nn.tokenizer import Tokenizer

REFERENCE = ("--device", "reference")
TINY = MoEConfig(
    vocab_size=259, hidden_size=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8,
    n_experts=3, top_k=2, ffn_size=16, max_positions=32,
)  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """(exit code, stdout, stderr)"""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def succeed(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, object]:
    status, out, err = run(capsys, *arguments, "--json")
    assert status == 0, err
    result = json.loads(out)
    assert isinstance(result, dict)
    return result


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


# ---------------------------------------------------------------- what it does


def test_prepare(capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path) -> None:
    result = succeed(capsys, "prepare", "--data", text, "--out", tmp_path / "d", "--vocab-size", 300)
    assert result["out"] == str(tmp_path / "d")
    assert sorted(entry.name for entry in (tmp_path / "d").iterdir()) == [
        "data.json", "heldout.bin", "tokenizer.json", "train.bin",
    ]  # fmt: skip


def test_init_is_the_fresh_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = succeed(capsys, "init", "--config", "tiny", "--out", tmp_path / "m", "--seed", 3, *REFERENCE)
    assert result["parameters"] == preset("tiny").n_parameters()
    from nn.cuda import open_backend
    from nn.model.transformer import MoETransformer

    with open_backend("reference") as backend:
        fresh = MoETransformer(preset("tiny"), backend, seed=3)
        saved = load_checkpoint(tmp_path / "m")
        for spec in fresh.weights.specs:
            np.testing.assert_array_equal(saved.array(spec.name), fresh.weights.fetch(spec.name))


def test_train_leaves_everything(model: Path) -> None:
    names = {entry.name for entry in model.iterdir()}
    assert names == {
        "config.json", "generation_config.json", "loss.png", "metrics.jsonl", "model.safetensors",
        "optimizer.safetensors", "tokenizer.json", "trainer_state.json",
    }  # fmt: skip
    assert (model / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_train_keeps_older_checkpoints(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(TINY.to_json())
    succeed(capsys, "train", "--data", data, "--out", tmp_path / "m", "--config", tmp_path / "config.json",
            "--steps", 5, "--batch", 1, "--seq", 8, "--save-every", 1, "--keep", 2, "--quiet", *REFERENCE)  # fmt: skip
    kept = sorted(entry.name for entry in (tmp_path / "m").glob("step-*"))
    assert kept == ["step-00000004", "step-00000005"]
    assert load_checkpoint(tmp_path / "m" / kept[0]).trainer_state()["step"] == 4


def test_train_on_raw_text(capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(TINY.to_json())
    result = succeed(capsys, "train", "--data", text, "--out", tmp_path / "m", "--config", tmp_path / "config.json",
                     "--steps", 1, "--batch", 1, "--seq", 8, "--quiet", *REFERENCE)  # fmt: skip
    assert result["complete"] is True
    assert (tmp_path / "m" / "data" / "train.bin").is_file()


def test_eval(capsys: pytest.CaptureFixture[str], model: Path, data: Path, text: Path) -> None:
    split = succeed(capsys, "eval", "--model", model, "--data", data, "--seq", 16, *REFERENCE)
    same = succeed(capsys, "eval", "--model", model, "--data", text / "19.txt", "--seq", 16, *REFERENCE)
    assert split["loss"] == same["loss"]
    loss = split["loss"]
    assert isinstance(loss, float)
    assert split["perplexity"] == pytest.approx(float(np.exp(loss)))


def test_generate_is_reproducible(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    arguments = ("generate", "--model", model, "--prompt", "Number", "--max-new-tokens", 9, "--seed", 4, *REFERENCE)
    first, second = succeed(capsys, *arguments), succeed(capsys, *arguments)
    assert first["text"] == second["text"]
    status, out, _ = run(capsys, *arguments, "--quiet")
    assert status == 0
    assert out.rstrip("\n") == str(first["text"]).rstrip("\n")


def test_inspect(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = succeed(capsys, "inspect", "--model", model, "--prompt", "<b>", "--html", page, *REFERENCE)
    layers = result["layers"]
    assert isinstance(layers, list)
    assert [len(layers), len(layers[0]["experts"]), len(layers[0]["experts"][0])] == [1, 3, 2]
    assert sum(layers[0]["load"]) == pytest.approx(1.0)
    assert page.read_text().count("<tr>") == 4
    assert "<b>" not in page.read_text()


def test_logits(capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path) -> None:
    out = tmp_path / "logits.safetensors"
    result = succeed(capsys, "logits", "--model", model, "--ids", "5, 6,7", "--out", out, *REFERENCE)
    assert result["shape"] == [1, 3, TINY.vocab_size]
    assert SafetensorsFile(out).array("logits").shape == (1, 3, TINY.vocab_size)


def test_bench(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cases = {"version": 1, "warmup": 1, "samples": 3, "seconds": 0.01,
             "cases": [{"name": "m", "kind": "matmul", "m": 3, "n": 4, "k": 5}]}  # fmt: skip
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    result = succeed(capsys, "bench", "--cases", tmp_path / "cases.json", "--out", tmp_path / "o.json", *REFERENCE)
    assert json.loads((tmp_path / "o.json").read_text()) == result


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    result = succeed(capsys, "info")
    devices = result["devices"]
    assert isinstance(devices, list)
    assert "reference" in devices


# ---------------------------------------------------------------- bad input


def sentence(capsys: pytest.CaptureFixture[str], status: int, *arguments: object) -> str:
    """The one line on stderr of a call that must end with `status` and print nothing else."""
    got, out, err = run(capsys, *arguments)
    assert got == status, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("fly",), 'unknown command "fly", expected one of'),
        (("init", "--config", "tiny"), "init needs --out, see init --help"),
        (("init", "--config", "tiny", "--out", "x", "--bad"), "unknown option --bad of init"),
        (("init", "--config", "tiny", "--out", "x", "y"), 'unexpected argument "y"'),
        (("init", "--config", "tiny", "--out", "x", "--threads", "many"), '--threads is "many", expected an integer'),
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


def test_golden_folder_generates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A foreign checkpoint needs only a tokenizer beside it."""
    shutil.copytree(GOLDEN / "tiny", tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_bytes(Tokenizer.bytes().json)
    result = succeed(capsys, "generate", "--model", tmp_path / "m", "--prompt", "hello", "--max-new-tokens", 5,
                     "--temperature", 0, *REFERENCE)  # fmt: skip
    assert result["tokens"] == 5
