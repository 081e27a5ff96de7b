"""What the subcommands write and print: field by field, byte by byte."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compare import result, same_bytes, same_folders, without_wall_clock
from conftest import RUNS, Runs
from languages import ROOT, Language, everywhere

CPU = ("--device", "cpu", "--threads", 1)
PROMPT = "if x: 言語 👩‍👩‍👧"


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("name", ["tiny", "odd", "small"])
def test_init(
    quick: list[Language], prepared: dict[str, dict[str, Path]], odd_config: Path, name: str, dtype: str, tmp_path: Path
) -> None:
    """Fresh weights for a seed above 2^32, a served context of 2.5 times the trained one, a tokenizer beside."""
    tokenizer = prepared["bytes"]["python"] / "tokenizer.json"
    config = odd_config if name == "odd" else name
    printed = {
        language.name: language.succeed(
            "init", "--config", config, "--out", tmp_path / language.name, "--dtype", dtype, "--seed", 2**40 + 5,
            "--ntk-alpha", "2.5", "--tokenizer", tokenizer, "--quiet", "--json", *CPU,
        ).replace(str(tmp_path / language.name).encode(), b"OUT")
        for language in quick
    }  # fmt: skip
    same_folders(f"init {name} {dtype}", {language.name: tmp_path / language.name for language in quick})
    same_bytes(f"init {name} {dtype}: --json", printed)


@pytest.mark.parametrize("name", RUNS)
def test_logits(quick: list[Language], runs: Runs, name: str, tmp_path: Path) -> None:
    """Of the ids 3, 4, ... over a longer context than was trained."""
    files = {}
    for language in quick:
        out = tmp_path / language.name
        language.succeed(
            "logits", "--model", runs.folder(name, language.name), "--ids", ",".join(map(str, range(3, 60))),
            "--ntk-alpha", "3", "--out", out, *CPU,
        )  # fmt: skip
        files[language.name] = out.read_bytes()
    same_bytes(f"logits of {name}", files)


@pytest.mark.parametrize("name", RUNS)
def test_eval(quick: list[Language], runs: Runs, texts: Path, name: str) -> None:
    """On the held-out split and on text, printed as JSON and in words."""
    text = ("--data", texts / "03.txt", "--data", texts / "01.txt", "--batch", "3", "--seq", "19")
    for what in (("--data", runs.data(name), "--json"), text):
        printed = {}
        for language in quick:
            said = language.succeed("eval", "--model", runs.folder(name, language.name), *what, "--quiet", *CPU)
            printed[language.name] = re.sub(rb"(tokens_per_second): \S+", rb"\1: 0", without_wall_clock(said))
        same_bytes(f"eval of {name}", printed)


@pytest.mark.parametrize("name", RUNS)
def test_inspect(quick: list[Language], runs: Runs, name: str, tmp_path: Path) -> None:
    """Experts, weights, entropies and loads: as JSON, in words, and as a page."""
    common = ("inspect", "--model", runs.folder(name, "python"), "--prompt", PROMPT, *CPU)
    printed = {language.name: language.succeed(*common, "--json") for language in quick}
    same_bytes(f"inspect {name}: --json", printed)
    layers = result(printed["python"])["layers"]
    assert isinstance(layers, list) and all(abs(sum(layer["load"]) - 1.0) < 1e-12 for layer in layers)
    pages, words = {}, {}
    for language in quick:
        page = tmp_path / f"{language.name}.html"
        words[language.name] = language.succeed(*common, "--html", page)
        pages[language.name] = page.read_bytes()
    same_bytes(f"inspect {name}: in words", words)
    same_bytes(f"inspect {name}: --html", pages)


def test_info(quick: list[Language]) -> None:
    """The same fields in the same order; what differs is the language's own name and version."""
    printed = {language.name: result(language.succeed("info", "--json")) for language in quick}
    python = printed["python"]
    assert [path for path in ("library", "abi", "cpu", "reference", "devices") if path not in python] == []
    for name, other in printed.items():
        assert list(other) == list(python), name
        assert {field for field in other if other[field] != python[field]} <= {"language", "reference"}, name
        assert str(other["language"]).lower().startswith(name)
        assert isinstance(other["reference"], dict) and set(other["reference"]) == {"name", "isa", "threads"}


def test_info_without_the_library(languages: list[Language]) -> None:
    """Says in one sentence what is missing and how to get it, and succeeds."""
    said = {}
    for language in languages:
        lost = Language(
            language.name, language.command, {**language.environment, "CUNN_LIBRARY": "/no/such/libcunn.so"}
        )
        said[language.name] = result(lost.succeed("info", "--json"))
    for name, info in said.items():
        assert info["library"] is None and info["devices"] == ["reference"], name
        assert info["missing"] == said["python"]["missing"], name
        assert list(info) == list(said["python"]), name


SMALL_CASES = {
    "version": 1, "warmup": 0, "samples": 3, "seconds": 0.01,
    "cases": [
        {"name": "product", "kind": "matmul", "m": 5, "n": 6, "k": 7},
        {"name": "rows", "kind": "softmax", "rows": 3, "cols": 10},
        {"name": "norm", "kind": "rmsnorm", "rows": 3, "cols": 10},
        {"name": "elements", "kind": "silu", "n": 100},
        {"name": "pairs", "kind": "swiglu", "n": 100},
        {"name": "heads", "kind": "attention", "batch": 1, "seq": 9, "n_heads": 2, "n_kv_heads": 1, "head_dim": 8},
        {"name": "loss", "kind": "cross_entropy", "rows": 3, "cols": 10},
        {"name": "update", "kind": "adamw", "n": 100},
        {"name": "forward", "kind": "forward", "config": "tiny", "batch": 1, "seq": 4},
        {"name": "step", "kind": "train", "config": "tiny", "batch": 1, "seq": 4},
    ],
}  # fmt: skip


def test_bench(languages: list[Language], tmp_path: Path) -> None:
    """The same fields for each case, the same work, plausible figures."""
    (tmp_path / "cases.json").write_text(json.dumps(SMALL_CASES))

    def bench(language: Language) -> dict[str, object]:
        out = tmp_path / f"{language.name}.json"
        printed = language.succeed("bench", "--cases", tmp_path / "cases.json", "--out", out, "--quiet", "--json", *CPU)
        assert json.loads(printed) == json.loads(out.read_text())
        return result(printed)

    made = everywhere(languages, bench)
    python = made["python"]
    for name, other in made.items():
        assert list(other) == list(python), name
        assert other["language"] == name
        for field in ("version", "machine", "device", "isa", "threads"):
            assert other[field] == python[field], f"{name}: {field}"
        rows, ours = other["cases"], python["cases"]
        assert isinstance(rows, list) and isinstance(ours, list) and len(rows) == len(ours) == 10
        for row, our in zip(rows, ours, strict=True):
            assert list(row) == list(our), f"{name}: {row['name']}"
            assert (row["name"], row["unit"]) == (our["name"], our["unit"])
            assert row["low"] <= row["median"] <= row["high"]
            # The rate is the case's work over the median: the work must be the same.
            assert np.isclose(row["rate"] * row["median"], our["rate"] * our["median"], rtol=1e-9), row["name"]


def test_several_threads_change_nothing(quick: list[Language], runs: Runs, tmp_path: Path) -> None:
    """Each language with a thread count of its own trains to the bytes that one thread gave."""
    folders = {}
    for language, threads in zip(quick, (2, 3, 5), strict=True):
        out = tmp_path / language.name
        options = RUNS["tiny"]
        language.succeed(
            "train",
            "--data",
            runs.data("tiny"),
            "--out",
            out,
            *options,
            "--device",
            "cpu",
            "--threads",
            threads,
            "--quiet",
        )
        folders[language.name] = out
    same_folders("tiny with several threads", {**folders, "one thread": runs.folder("tiny", "python")})


GOLDEN = sorted(path for path in (ROOT / "cuda" / "vectors" / "golden").iterdir() if path.is_dir())


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_folders_of_transformers(quick: list[Language], golden: Path, tmp_path: Path) -> None:
    """What save_pretrained wrote, in one file, in shards, in bf16: the same logits here in three languages."""
    files = {}
    for language in quick:
        out = tmp_path / language.name
        language.succeed("logits", "--model", golden, "--ids", "1,2,3,4,5,6,7,8,9,10,11,12", "--out", out, *CPU)
        files[language.name] = out.read_bytes()
    same_bytes(golden.name, files)


def test_training_from_text(quick: list[Language], texts: Path, tmp_path: Path) -> None:
    """Python and Rust learn the vocabulary, prepare and train in one command; nn-go asks for prepared tokens."""
    options = ("train", "--data", texts, "--config", "tiny", "--steps", 2, "--batch", 1, "--seq", 16, "--quiet", *CPU)
    folders = {}
    for language in quick[:2]:
        folders[language.name] = tmp_path / language.name
        language.succeed(*options, "--out", folders[language.name])
    same_folders("train from text", folders)
    assert (folders["python"] / "data" / "tokenizer.json").is_file()
    refused = quick[2].run(*options, "--out", tmp_path / "go")
    assert (refused.code, refused.out) == (1, b""), refused.text()
    assert refused.err.decode() == f"error: {texts}: no data.json, expected a folder written by prepare\n"
    assert not (tmp_path / "go").exists()


def test_progress_in_plain_lines(languages: list[Language], runs: Runs, texts: Path, tmp_path: Path) -> None:
    """What stderr says where it is no terminal: the same lines, apart from speeds and times."""
    said: dict[str, bytes] = {}
    for language in languages:
        out = tmp_path / language.name
        commands = (
            ("prepare", "--data", texts, "--out", out / "data", "--tokenizer", "bytes"),
            ("init", "--config", "tiny", "--out", out / "model", "--tokenizer", runs.data("odd") / "tokenizer.json"),
            ("train", "--data", runs.data("tiny"), "--out", out / "run", "--config", "tiny", "--steps", 3, "--batch", 1,
             "--seq", 16, "--eval-every", 2),
            ("eval", "--model", out / "run", "--data", runs.data("tiny")),
            ("quantize", "--model", out / "run", "--out", out / "q8", "--type", "q8"),
            ("generate", "--model", out / "run", "--prompt", "x", "--max-new-tokens", 3),
        )  # fmt: skip
        said[language.name] = b""
        for command in commands:
            result = language.run(*command)
            assert result.code == 0, f"{language.name}: {result.text()}"
            said[language.name] += result.err
    masked = {
        name: re.sub(rb"[\d,.]+ tokens/s", b"N tokens/s", re.sub(rb"\d+ s left", b"N s left", lines))
        for name, lines in said.items()
    }
    same_bytes("plain lines", masked)
    assert b"held out" in masked["python"] and b"eval: " in masked["python"]


SIMT = ROOT / "build" / "libcunn-simt.so"


@pytest.mark.skipif(not SIMT.is_file(), reason="build/libcunn-simt.so is missing: nox -s test_simt builds it")
def test_kernels_of_the_cuda_device(languages: list[Language], runs: Runs, tmp_path: Path) -> None:
    """The CUDA kernels, executed on the host, give each language the bits of the cpu device."""
    files = {}
    for language in languages:
        simt = replace(language, environment={**language.environment, "CUNN_LIBRARY": str(SIMT)})
        for who, device in ((simt, "simt"), (language, "cpu")):
            out = tmp_path / f"{language.name}-{device}"
            who.succeed(
                "logits",
                "--model",
                runs.folder("tiny", "python"),
                "--ids",
                "1,2,3,4,5,6,7",
                "--out",
                out,
                "--device",
                device,
            )
            files[out.name] = out.read_bytes()
    same_bytes("logits", files)
