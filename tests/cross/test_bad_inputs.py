"""A table of what goes wrong: the same exit code and the same sentence in three languages, and nothing left behind."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from bad_inputs import GROUPS, TABLE
from conftest import Runs
from languages import ROOT, Language, PythonServer, Result
from spoil import Place

MESSAGES = json.loads((ROOT / "cuda" / "tools" / "messages.json").read_text())["messages"]

ELSEWHERE = {
    "field_unexpected": "not said by any subcommand",
    "ids_wrong_count": "a caller of the packages can pass ids of another count, the command line cannot",
    "not_training": "a caller of the packages can train a model made for inference, the command line cannot",
    "safetensors_no_tensor": "a caller of the packages can ask for an unknown tensor, the command line cannot",
    "internal": "a fault of ours",
    "data_not_prepared": "a folder without data.json is read as text",
    "disk_full": "needs a full disk: each language's own tests simulate one",
    "out_of_memory": "needs a machine without memory",
    "library_wrong_abi": "test_processes.py has it",
}
"""Sentences that no row of the table provokes, and why."""


@pytest.fixture
def place(runs: Runs, tmp_path: Path) -> Place:
    home = tmp_path / "place"
    shutil.copytree(runs.half("odd", "python"), home / "model")
    shutil.copytree(runs.data("odd"), home / "data")
    texts = home / "texts"
    texts.mkdir()
    (texts / "00.txt").write_text("some text to read\n")
    (texts / "01.txt").write_text("and some to hold out\n")
    return Place(home, home / "model", home / "data", texts, home / "out")


def snapshot(home: Path) -> dict[str, bytes]:
    """Every file below a folder; a pipe or a link counts by its name."""
    return {
        str(path.relative_to(home)): path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        for path in sorted(home.rglob("*"))
    }


def template(key: str) -> re.Pattern[str]:
    """What the sentence of `key` looks like."""
    _, text = MESSAGES[key]
    parts = re.split(r"\{\w+:\w+\}", text)
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


@pytest.mark.parametrize("name", TABLE)
def test_bad_input(quick: list[Language], place: Place, name: str) -> None:
    bad = TABLE[name]
    bad.spoil(place)
    before = snapshot(place.home)
    results: dict[str, Result] = {}
    for language in (language for language in quick if language.name != bad.without):
        environment = {variable: value.format(home=place.home) for variable, value in bad.environment}
        result = run_with(language, environment, place, bad.command)
        results[language.name] = result
        left = snapshot(place.home)
        assert left == before, f"{language.name} left {sorted(left.items() ^ before.items())}"
    code = MESSAGES[bad.key][0]
    sentence = spoken(results["python"])
    assert sentence.startswith("error: ") and sentence.endswith("\n") and sentence.count("\n") == 1, sentence
    assert template(bad.key).fullmatch(sentence[len("error: ") : -1]), f"not {bad.key}: {sentence}"
    for who, result in results.items():
        assert spoken(result) == sentence, f"{who}: {result.text()}"
        assert result.code == code, f"{who}: {result.text()}"
        assert result.out == b"", f"{who}: {result.text()}"


def spoken(result: Result) -> str:
    """What is on stderr, with one name for the three programs."""
    return re.sub(r"\bnn-(py|rs|go)\b", "nn", result.err.decode(errors="replace"))


def run_with(
    language: Language, environment: dict[str, str], place: Place, command: str | tuple[str | bytes, ...]
) -> Result:
    if not environment:
        return language.run(*place.words(command), cwd=place.home)
    if isinstance(language, PythonServer):  # its process has a library already: a fresh one is started
        language = Language(language.name, language.command, language.environment)
    return replace(language, environment={**language.environment, **environment}).run(
        *place.words(command), cwd=place.home
    )


def test_every_sentence_is_provoked() -> None:
    """A sentence that is new in the table gets a row, or a word on why it cannot have one."""
    provoked = {bad.key for bad in TABLE.values()}
    assert provoked | set(ELSEWHERE) == set(MESSAGES)
    assert not provoked & set(ELSEWHERE)
    assert len(TABLE) == sum(map(len, GROUPS.values())), "two rows of one name"
