"""One text, one list of ids: spaces, line ends, emoji, combining marks, special tokens as text, and what is no text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from compare import result, same_bytes
from conftest import Runs
from corpus import HARD, INVALID, random_texts
from languages import NAMES, Language, everywhere

RANDOM = 3000
EOS = 2


def write(folder: Path, texts: dict[str, str]) -> list[str]:
    """A file per text, its bytes as they are; the names in the order in which `prepare` reads them."""
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return sorted(texts)


def ids_of(folder: Path) -> dict[str, list[list[int]]]:
    """split -> the ids of each text, without the end-of-text id behind it."""
    found = {}
    for split in ("train", "heldout"):
        ids = np.frombuffer((folder / f"{split}.bin").read_bytes(), "<u4")
        ends = np.flatnonzero(ids == EOS)
        found[split] = [part[:-1].tolist() for part in np.split(ids, ends + 1) if len(part)]
    return found


def prepared_with(
    languages: list[Language], tokenizer: str | Path, texts: Path, home: Path
) -> dict[str, dict[str, list[list[int]]]]:
    def prepare(language: Language) -> dict[str, list[list[int]]]:
        out = home / f"out-{language.name}"
        language.succeed("prepare", "--data", texts, "--out", out, "--tokenizer", tokenizer, "--quiet")
        return ids_of(out)

    return everywhere(languages, prepare)


@pytest.fixture(scope="module")
def tokenizers(prepared: dict[str, dict[str, Path]], home: Path) -> dict[str, Path | str]:
    """Ours learned, ours by bytes, and foreign ones like GPT-2's: with literal added tokens, and with a normalizer."""
    learned = prepared["bpe"]["python"] / "tokenizer.json"
    foreign = json.loads(learned.read_text())
    size = len(foreign["model"]["vocab"])
    foreign["pre_tokenizer"]["add_prefix_space"] = True
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    foreign["added_tokens"] += [
        {"id": size + number, "content": content, **flags}
        for number, content in enumerate(("言語モデル", "==>", "\r\n"))
    ]
    paths = {}
    for name, normalizer in (("foreign", None), ("composing", {"type": "NFC"})):
        paths[name] = home / f"{name}.json"
        paths[name].write_text(json.dumps({**foreign, "normalizer": normalizer}))
    return {"bpe": learned, "bytes": "bytes", **paths}


# The tokenizers library composes by older tables of Unicode than Go: for marks that are newer, ids differ. Random texts
# have such marks.
CASES = [
    (kind, corpus)
    for kind in ("bpe", "bytes", "foreign", "composing")
    for corpus in ("hard", "random")
    if (kind, corpus) != ("composing", "random")
]


@pytest.mark.parametrize(("kind", "corpus"), CASES)
def test_ids(
    languages: list[Language], tokenizers: dict[str, Path | str], kind: str, corpus: str, tmp_path: Path
) -> None:
    texts = (
        {f"{number:02d} {name}": text for number, (name, text) in enumerate(HARD.items())}
        if corpus == "hard"
        else {f"{number:05d}": text for number, text in enumerate(random_texts(RANDOM, seed=1))}
    )
    names = write(tmp_path / "texts", texts)
    heldout = [name for number, name in enumerate(names) if number % 20 == 19]
    order = {"train": [name for name in names if name not in set(heldout)], "heldout": heldout}
    got = prepared_with(languages, tokenizers[kind], tmp_path / "texts", tmp_path)
    for split, listed in order.items():
        for language in NAMES:
            assert len(got[language][split]) == len(listed), language
        for number, name in enumerate(listed):
            ids = {language: got[language][split][number] for language in NAMES}
            assert ids["rust"] == ids["python"], f"rust: {texts[name]!r}\n{ids}"
            assert ids["go"] == ids["python"], f"go: {texts[name]!r}\n{ids}"
        assert any(len(ids) > 1 for ids in got["python"][split])


@pytest.mark.parametrize("name", HARD)
def test_round_trip_of_a_prompt(quick: list[Language], runs: Runs, name: str) -> None:
    """`inspect --json` gives the prompt back, its ids, and the text of each id, U+FFFD for part of a character."""
    text = HARD[name][:70]
    model = runs.folder("tiny", "python")
    printed = {
        language.name: language.succeed("inspect", "--model", model, "--prompt", text, "--json", "--device", "cpu")
        for language in quick
    }
    same_bytes(f"{name}: inspect", printed)
    shown = result(printed["python"])
    assert shown["prompt"] == text
    ids, tokens = shown["ids"], shown["tokens"]
    assert isinstance(ids, list) and isinstance(tokens, list) and len(ids) == len(tokens) > 0


@pytest.mark.parametrize("name", INVALID)
def test_bytes_that_are_not_text(quick: list[Language], name: str, tmp_path: Path) -> None:
    """In a folder such a file is passed over and counted; named, it is refused at the same byte."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(2):
        (folder / f"{number}.txt").write_text("fine\n")
    (folder / "bad").write_bytes(INVALID[name])
    folders = {}
    for language in quick:
        out = tmp_path / language.name
        printed = language.succeed(
            "prepare", "--data", folder, "--out", out, "--tokenizer", "bytes", "--quiet", "--json"
        )
        assert result(printed)["skipped"] == 1, language.name
        folders[language.name] = (out / "data.json").read_bytes() + (out / "train.bin").read_bytes()
        shutil.rmtree(out)
    same_bytes(name, folders)
    refused = {
        language.name: language.run(
            "prepare", "--data", folder / "bad", "--out", tmp_path / "x", "--tokenizer", "bytes"
        )
        for language in quick
    }
    assert {who: refusal.code for who, refusal in refused.items()} == dict.fromkeys(refused, 1)
    same_bytes(name, {who: refusal.err for who, refusal in refused.items()})
    assert b"not text at byte" in refused["python"].err


def test_generated_bytes_make_characters(quick: list[Language], runs: Runs) -> None:
    """What streams is the text of all ids: a character comes out once its bytes are complete, and a part of one at the
    end is U+FFFD."""
    for seed in range(6):
        common = (
            "generate", "--model", runs.folder("odd", "python"), "--prompt", "é", "--max-new-tokens", 60,
            "--temperature", "2", "--seed", seed, "--device", "cpu",
        )  # fmt: skip
        streamed = {language.name: language.succeed(*common, "--quiet") for language in quick}
        same_bytes(f"seed {seed}", streamed)
        text = result(quick[0].succeed(*common, "--json"))["text"]
        assert streamed["python"].decode() == f"{text}\n"
