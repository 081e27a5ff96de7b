"""The options of the three command lines: the same names and help, defaults, and verdict on every odd value."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest
from compare import difference, without_wall_clock
from conftest import Runs
from languages import Language, Result

COMMANDS = ("bench", "eval", "generate", "info", "init", "inspect", "logits", "prepare", "quantize", "train")


def helped(language: Language, *command: str) -> dict[str, str]:
    """option -> its help, as `--help` prints them; what each parser adds of its own (type, default, [required]) is
    taken off."""
    lines = language.succeed(*command, "--help").decode().splitlines()
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(r"\s+(?:-(\w), )?--([\w-]+)(\S*(?: (?:<\w+>|\w+))?)(?:=\S*\s*\])?(?:\s{2,}|\s*$)(.*)", line)
        if match:
            found[match[2]] = match[4]
        elif found and line.startswith(" " * 12):  # the help goes on
            last = next(reversed(found))
            found[last] = f"{found[last]} {line.strip()}".strip()
    return {name: re.sub(r"\s*[\[(](default:?|required).*?[\])]\s*$", "", text) for name, text in found.items()}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_same_options(quick: list[Language], command: str) -> None:
    """In the same order with the same words; nn-go says of --data and --vocab-size that it learns no vocabulary."""
    listed = {language.name: helped(language, command) for language in quick}
    for name, options in listed.items():
        assert list(options) == list(listed["python"]), name
        for option, text in options.items():
            if option != "help" and not (name == "go" and option in ("data", "vocab-size")):
                assert text == listed["python"][option], f"{name}: {command} --{option}"


def test_help_lists_the_same_commands(quick: list[Language]) -> None:
    """With their first sentence, which a terminal may cut short."""
    for language in quick:
        text = language.succeed("--help").decode()
        listed = re.findall(r"^ {2,}([a-z]+) {2,}(\S.*)$", text, re.MULTILINE)
        assert [name for name, _ in listed if name in COMMANDS] == list(COMMANDS), language.name
    for command in COMMANDS:
        first = {language.name: summary(language, command) for language in quick}
        assert len(set(first.values())) == 1, first


def summary(language: Language, command: str) -> str:
    """The sentences that describe a subcommand: the paragraph beside the usage."""
    paragraphs = re.split(r"\n\s*\n", language.succeed(command, "--help").decode())
    words = next(paragraph.split() for paragraph in paragraphs if not paragraph.startswith("Usage"))
    return " ".join(words).rstrip(".")


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("train", "-h")])
def test_help_and_version_succeed(quick: list[Language], arguments: tuple[str, ...]) -> None:
    results = {language.name: language.run(*arguments) for language in quick}
    for name, result in results.items():
        assert result.code == 0 and result.out and not result.err, f"{name}: {result.text()}"


@pytest.mark.parametrize("behind", ["fly", "train", "train --data", "fly -h", "-h", "- x", "--version -- fly"])
@pytest.mark.parametrize("option", ["--version", "--help", "-h"])
def test_an_option_of_the_program_is_obeyed_whatever_follows(quick: list[Language], option: str, behind: str) -> None:
    for language in quick:
        alone, result = language.run(option), language.run(option, *behind.split())
        assert result.code == 0 and not result.err, f"{language.name}: {result.text()}"
        assert result.out == alone.out, f"{language.name}: {result.text()}"


def test_no_command_shows_the_help(quick: list[Language]) -> None:
    results = {language.name: language.run() for language in quick}
    assert {name: result.code for name, result in results.items()} == dict.fromkeys(results, results["python"].code)
    for name, result in results.items():
        assert b"inspect" in result.out and not result.err, f"{name}: {result.text()}"


def test_defaults_of_train(quick: list[Language], runs: Runs, tmp_path: Path) -> None:
    """What a run is when nothing but the least is said, as trainer_state.json keeps it."""
    kept = {}
    for language in quick:
        out = tmp_path / language.name
        language.succeed(
            "train", "--data", runs.data("tiny"), "--out", out, "--config", "tiny", "--steps", 1, "--quiet"
        )
        kept[language.name] = (out / "trainer_state.json").read_bytes()
    assert kept["rust"] == kept["python"] and kept["go"] == kept["python"]
    options = json.loads(kept["python"])["options"]
    assert (options["batch"], options["seq_len"], options["lr"]) == (8, 128, 1e-3)


VALID: dict[str, dict[str, str | None]] = {
    "init": {"--config": "{home}/odd.json", "--out": "{out}"},
    "logits": {"--model": "{model}", "--ids": "1,2,3", "--out": "{out}"},
    "generate": {"--model": "{model}", "--prompt": "abc", "--max-new-tokens": "3"},
    "inspect": {"--model": "{model}", "--prompt": "abc"},
    "eval": {"--model": "{model}", "--data": "{data}", "--quiet": None},
    "prepare": {"--data": "{texts}", "--out": "{out}", "--tokenizer": "bytes", "--quiet": None},
    "train": {"--data": "{data}", "--out": "{out}", "--config": "{home}/odd.json", "--steps": "1", "--batch": "1",
              "--seq": "5", "--quiet": None},
    "quantize": {"--model": "{model}", "--out": "{out}", "--type": "q8", "--quiet": None},
    "info": {},
}  # fmt: skip
"""Command lines that succeed; None: a flag."""

OPTIONS = {
    "number": ("--temperature", "--top-p", "--ntk-alpha", "--lr", "--lr-min", "--warmup", "--weight-decay",
               "--max-norm", "--minutes"),
    "integer": ("--seed", "--threads", "--vocab-size", "--max-new-tokens", "--top-k", "--batch", "--seq", "--steps",
                "--accumulate", "--eval-every", "--save-every", "--keep"),
    "text": ("--device", "--dtype", "--type", "--prompt", "--ids"),
    "path": ("--model", "--data", "--out", "--config", "--tokenizer", "--html", "--cases"),
    "flag": ("--json", "--quiet", "--recompute", "--resume"),
}  # fmt: skip

VALUES: dict[str, tuple[str | bytes, ...]] = {
    "number": ("0", "1", "-0", "-1", "0.5", ".5", "5.", "1e-3", "1E2", "+1", "1e400", "1e-400", "4.9e-324",
               "1e30", "65536"),
    "integer": ("0", "1", "2", "-1", "+3", "007", "2147483647", "2147483648", "9223372036854775807",
                "-9223372036854775808"),
    "text": ("", "cpu", "reference", "f32", "bf16", "1", "1,2", "a b", "日本", "\t", "x" * 100),
    "path": (".", "{home}", "{model}", "{data}", "{texts}", "{home}/none", "{model}/", "{model}/config.json",
             "{home}/./odd.json", "{home}/cwd/../odd.json", "{home}//odd.json", "tiny", "bytes"),
}  # fmt: skip
"""Words that each kind of option takes; what they mean may still be wrong. Paths stay inside the test's folder: a line
that succeeds writes there, and the tests may run as root."""

MALFORMED: dict[str, tuple[str | bytes, ...]] = {
    "number": ("nan", "inf", "-inf", "", " 1", "1 ", "1_0", "0x1", "1e", "e1", "--", "１", "1.5.2"),
    "integer": ("", " 1", "1.0", "1e3", "0x1", "1_0", "٣", "-", "--", "x", "9223372036854775808"),
    "text": (b"\xff", b"ab\xc0\xaf"),
    "path": ("", b"\xff\xfe"),
}  # fmt: skip
"""Words that it does not take. Which of several malformed words is named is each parser's own order: a line has one."""

LEFT_OUT = {("train", "--data"), ("prepare", "--tokenizer")}
"""Where nn-go, which learns no vocabulary, does something else by design."""
HUGE = {"2147483647", "2147483648", "9223372036854775807", "-9223372036854775808"}
RESERVES = {"--batch", "--seq", "--steps", "--accumulate", "--max-new-tokens", "--threads", "--minutes", "--eval-every"}


def options_of(language: Language, command: str) -> list[str]:
    return [f"--{name}" for name in helped(language, command) if name != "help"]


def random_command(draw: random.Random, options: dict[str, list[str]]) -> list[str | bytes]:
    """A valid command line in which up to three options have odd values and at most one word is malformed."""
    command = draw.choice(list(VALID))
    words: dict[str, str | bytes | None] = dict(VALID[command])
    faulty = draw.random() < 0.4
    for change in range(draw.choice((1, 1, 2, 3))):
        option = draw.choice([name for name in options[command] if (command, name) not in LEFT_OUT])
        kind = next(kind for kind, names in OPTIONS.items() if option in names)
        words.pop(option, None)
        value = None if kind == "flag" else draw.choice((MALFORMED if faulty and change == 0 else VALUES)[kind])
        words[option] = "2" if option in RESERVES and value in HUGE else value
    line: list[str | bytes] = [command]
    for name, value in draw.sample(list(words.items()), len(words)):
        if isinstance(value, str) and draw.random() < 0.2:
            line.append(f"{name}={value}")
        else:
            line.extend([name] if value is None else [name, value])
    if not faulty and draw.random() < 0.15:
        spoil = draw.choice(("--nothing", "-z", "more", "", "--json=1", "last"))
        if spoil == "last":
            line.pop()
        else:
            line.insert(draw.choice((1, len(line))), spoil)
    return line


@pytest.fixture
def pristine(runs: Runs, tmp_path: Path, odd_config: Path) -> Path:
    """A folder of what command lines read."""
    home = tmp_path / "pristine"
    shutil.copytree(runs.half("odd", "python"), home / "model")
    shutil.copytree(runs.data("odd"), home / "data")
    shutil.copyfile(odd_config, home / "odd.json")
    for folder in ("texts", "cwd"):
        (home / folder).mkdir()
    (home / "texts" / "00.txt").write_text("some text to read\n")
    (home / "texts" / "01.txt").write_text("and some to hold out\n")
    return home


PART = 60
"""Command lines of one test."""


@pytest.mark.parametrize("part", range(5))
def test_random_command_lines(quick: list[Language], pristine: Path, part: int) -> None:
    """Exit code, stdout and the sentence are the same, whatever is wrong or right, and the first fault found is too."""
    options = {command: options_of(quick[0], command) for command in VALID}
    draw = random.Random(part)
    differences = []
    for _ in range(PART):
        line = random_command(draw, options)
        outcomes = {language.name: outcome(language, line, pristine) for language in quick}
        if line[0] == "info" and outcomes["python"].code == 0:
            continue  # names the language and its version
        differences += [
            f"{line}\n{name} {result.code}, python {outcomes['python'].code}: "
            + difference(name, result.out + result.err, "python", outcomes["python"].out + outcomes["python"].err)
            for name, result in outcomes.items()
            if result != outcomes["python"]
        ]
    assert not differences, "\n".join([f"{len(differences)} differences", *differences])


def outcome(language: Language, line: list[str | bytes], pristine: Path) -> Result:
    """What a command line gave, apart from wall-clock and the program's name, in a copy of its own that lies at one
    place for every language: a command may write over what it read."""
    home = pristine.with_name("home")
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(pristine, home)
    named = {"home": home, "out": home / "out", **{name: home / name for name in ("model", "data", "texts")}}
    words = [word if isinstance(word, bytes) else word.format(**named) if "{" in word else word for word in line]
    result = language.run(*words, cwd=home / "cwd")
    printed = re.sub(rb"(tokens_per_second|seconds): \S+", rb"\1: 0", without_wall_clock(result.out))
    spoken = b"" if result.code == 0 else re.sub(rb"\bnn-(py|rs|go)\b", b"nn", result.err)
    return Result(result.code, printed, spoken)
