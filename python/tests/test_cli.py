"""The command line: each subcommand does its work."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import REFERENCE, TINY, run, sentence, succeed
from paths import GOLDEN

from nn.model.checkpoint import load_checkpoint
from nn.model.config import preset
from nn.model.safetensors import SafetensorsFile
from nn.tokenizer import Tokenizer


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


def test_a_kept_checkpoint_is_on_the_disk_before_an_older_one_goes(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m"
    seen: list[tuple[Path, list[str]]] = []  # what is synced, and the checkpoints kept at that moment
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(tmp_path.resolve())
        seen.append((path, sorted(entry.name for entry in out.glob("step-*"))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    (tmp_path / "config.json").write_text(TINY.to_json())
    succeed(capsys, "train", "--data", data, "--out", out, "--config", tmp_path / "config.json",
            "--steps", 2, "--batch", 1, "--seq", 8, "--save-every", 1, "--keep", 1, "--quiet", *REFERENCE)  # fmt: skip
    aside = Path("m/.step-00000002.saving")
    first = next(at for at, (path, _) in enumerate(seen) if path.parent == aside)
    files = {aside / entry.name for entry in (out / "step-00000002").iterdir()}
    copied = [path for path, _ in seen[first : first + len(files)]]
    assert set(copied) == files and len(files) == 6
    assert seen[first + len(files) :][:2] == [
        (aside, ["step-00000001"]),
        (Path("m"), ["step-00000001", "step-00000002"]),
    ]
    assert [entry.name for entry in out.glob("step-*")] == ["step-00000002"]


def test_train_replaces_what_an_earlier_run_kept(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    """A new run in the same folder: its own checkpoints are kept, not the higher numbers of the run before."""
    (tmp_path / "config.json").write_text(TINY.to_json())
    for steps in (4, 2):
        (tmp_path / "m" / "trainer_state.json").unlink(missing_ok=True)  # a run to resume is not replaced
        succeed(capsys, "train", "--data", data, "--out", tmp_path / "m", "--config", tmp_path / "config.json",
                "--steps", steps, "--batch", 1, "--seq", 8, "--keep", 1, "--quiet", *REFERENCE)  # fmt: skip
    assert [entry.name for entry in (tmp_path / "m").glob("step-*")] == ["step-00000002"]


def test_train_replaces_no_run_unasked(
    capsys: pytest.CaptureFixture[str], data: Path, model: Path, tmp_path: Path
) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    before = content(model)
    start = ("train", "--data", data, "--config", model / "config.json", "--steps", 1, "--batch", 1, "--seq", 8,
             "--quiet", *REFERENCE)  # fmt: skip
    said = sentence(capsys, 1, *start, "--out", model)
    assert said == f"{model}: holds a run to resume, expected --resume to go on with it or another folder"
    assert content(model) == before
    fresh = tmp_path / "fresh"  # weights alone are no run: a folder of init becomes one
    succeed(capsys, "init", "--config", model / "config.json", "--out", fresh, *REFERENCE)
    assert succeed(capsys, *start, "--out", fresh)["steps"] == 1


def test_train_that_diverges(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    """JSON has no NaN: it is null there, steps are skipped, and every file is written."""
    (tmp_path / "config.json").write_text(TINY.to_json())
    start = ("train", "--data", data, "--out", tmp_path / "m", "--config", tmp_path / "config.json", "--steps", 12,
             "--batch", 1, "--seq", 8, "--lr", 1e6, "--lr-min", 1e6, "--max-norm", 0, "--quiet",
             *REFERENCE)  # fmt: skip
    with np.errstate(all="ignore"):
        assert succeed(capsys, *start)["loss"] is None
        shutil.rmtree(tmp_path / "m")
        status, out, _ = run(capsys, *start)
    assert (status, "loss: nan" in out) == (0, True)
    last = json.loads((tmp_path / "m" / "metrics.jsonl").read_text().splitlines()[-2])
    assert (last["step"], last["loss"], last["skipped"]) == (12, None, True)
    assert (tmp_path / "m" / "loss.png").is_file()


def test_train_on_raw_text(capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(TINY.to_json())
    result = succeed(capsys, "train", "--data", text, "--out", tmp_path / "m", "--config", tmp_path / "config.json",
                     "--steps", 1, "--batch", 1, "--seq", 8, "--quiet", *REFERENCE)  # fmt: skip
    assert result["complete"] is True
    assert (tmp_path / "m" / "data" / "train.bin").is_file()


def test_train_on_other_text(capsys: pytest.CaptureFixture[str], text: Path, tmp_path: Path) -> None:
    """A new run reads the text it is given, a resumed one goes on with what its start prepared."""
    (tmp_path / "config.json").write_text(TINY.to_json())
    (tmp_path / "other.txt").write_text("Something else. " * 9)
    end = ("--config", tmp_path / "config.json", "--steps", 1, "--batch", 1, "--seq", 8)
    tokens = tmp_path / "m" / "data" / "train.bin"
    for path in (text, tmp_path / "other.txt"):
        (tmp_path / "m" / "trainer_state.json").unlink(missing_ok=True)  # a run to resume is not replaced
        succeed(capsys, "train", "--data", path, "--out", tmp_path / "m", *end, "--quiet", *REFERENCE)
        before = tokens.read_bytes()
        succeed(capsys, "train", "--data", text, "--out", tmp_path / "m", "--resume", "--quiet", *REFERENCE)
        assert tokens.read_bytes() == before
    assert tokens.stat().st_size < 4 * 200


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


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"version": 2}, "cases.json: version is 2, expected 1"),
        ({"samples": 0}, "cases.json: samples is 0, expected at least 1"),
        ({"cases": [{"name": "s", "kind": "silu", "n": 0}]}, "cases.json: cases[0]: n is 0, expected at least 1"),
        ({"cases": [{"name": "s", "kind": "walk"}]}, "cases.json: cases[0]: kind is walk, expected one of adamw"),
    ],
)
def test_bench_of_bad_cases(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: dict[str, object], want: str
) -> None:
    cases = {"version": 1, "warmup": 0, "samples": 1, "seconds": 0.01, "cases": [], **change}
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    got = sentence(
        capsys, 1, "bench", "--cases", tmp_path / "cases.json", "--out", tmp_path / "o", "--quiet", *REFERENCE
    )
    assert want in got
    assert not (tmp_path / "o").exists()


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    result = succeed(capsys, "info")
    devices = result["devices"]
    assert isinstance(devices, list)
    assert "reference" in devices


def test_golden_folder_generates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A foreign checkpoint needs only a tokenizer beside it."""
    shutil.copytree(GOLDEN / "tiny", tmp_path / "m")
    (tmp_path / "m" / "tokenizer.json").write_bytes(Tokenizer.bytes().json)
    result = succeed(capsys, "generate", "--model", tmp_path / "m", "--prompt", "hello", "--max-new-tokens", 5,
                     "--temperature", 0, *REFERENCE)  # fmt: skip
    assert result["tokens"] == 5
