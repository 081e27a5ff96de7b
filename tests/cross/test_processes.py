"""What concerns whole processes: Ctrl-C during a run, output that nobody takes, a library of another version."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from compare import folder, result, same_bytes
from conftest import Runs
from languages import NAMES, Language

STEPS = 400
OPTIONS = (
    "--config", "tiny", "--steps", str(STEPS), "--batch", "2", "--seq", "32", "--device", "cpu", "--threads", "1",
)  # fmt: skip


def interrupted(language: Language, data: Path, out: Path) -> int:
    """Trains until a few steps are on the disk, then asks it to stop as Ctrl-C does; its exit code."""
    words = [*language.command, "train", "--data", str(data), "--out", str(out), *OPTIONS, "--quiet", "--json"]
    with subprocess.Popen(
        words, env=language.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        metrics = out / "metrics.jsonl"
        while process.poll() is None and not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= 5):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    if process.returncode == 130:
        assert result(printed)["complete"] is False and said == b""
    return process.returncode


@pytest.mark.parametrize("number", range(3))
def test_ctrl_c_then_another_language(languages: list[Language], runs: Runs, number: int, tmp_path: Path) -> None:
    """One language is interrupted and saves; the next finishes the run; the third made it in one go: the same files."""
    first, second, third = (languages[(number + turn) % 3] for turn in range(3))
    out, whole = tmp_path / "out", tmp_path / "whole"
    for _ in range(3):  # a machine that pauses this process long enough lets a run end before the signal
        shutil.rmtree(out, ignore_errors=True)
        code = interrupted(first, runs.data("tiny"), out)
        if code != 0:
            break
    assert code == 130, first.name
    second.succeed("train", "--resume", "--data", runs.data("tiny"), "--out", out, "--threads", 1, "--quiet")
    third.succeed("train", "--data", runs.data("tiny"), "--out", whole, *OPTIONS, "--quiet")
    got, want = folder(out), folder(whole)
    assert sorted(got) == sorted(want)
    for name in want:
        same_bytes(f"{first.name}, {second.name} and {third.name}: {name}", {"whole": want[name], "resumed": got[name]})


def test_closed_pipe(languages: list[Language], runs: Runs) -> None:
    """A reader that goes away early ends `generate` with 1, without a word."""
    for language in languages:
        words = [*language.command, "generate", "--model", str(runs.folder("tiny", "python")), "--prompt", "x",
                 "--max-new-tokens", "400", "--temperature", "2"]  # fmt: skip
        with subprocess.Popen(
            words, env=language.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            os.close(process.stdout.fileno())
            process.stdout = None
            said = process.stderr.read()
        assert (process.returncode, said) == (1, b""), language.name


def test_no_command(languages: list[Language]) -> None:
    """Neither word nor a lone -- is a command: the help, and 2."""
    for line in ([], ["--"]):
        for language in languages:
            refused = language.run(*line)
            assert refused.code == 2 and b"train" in refused.out and refused.err == b"", f"{language.name}, {line}"


def test_full_stdout(languages: list[Language], runs: Runs) -> None:
    """Output that the system does not take is a failure, with the same sentence."""
    model = str(runs.folder("tiny", "python"))
    lines = [["--help"], ["--version"], ["info"], ["info", "--json"], ["generate", "--help"]]
    lines.append(["generate", "--model", model, "--prompt", "x", "--max-new-tokens", "3"])
    lines.append(["inspect", "--model", model, "--prompt", "x"])
    for line in lines:
        for language in languages:
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    [*language.command, *line], env=language.environ(), stdout=full, stderr=subprocess.PIPE,
                    stdin=subprocess.DEVNULL, check=False,
                )  # fmt: skip
            want = b"error: stdout: cannot be written: the disk is full\n"
            assert (done.returncode, done.stderr) == (1, want), f"{language.name}, {' '.join(line)}"


def test_library_of_another_abi(languages: list[Language], tmp_path: Path) -> None:
    """It is asked for its version before anything else, and refused by it."""
    source, library = tmp_path / "other.c", tmp_path / "libother.so"
    source.write_text("int cunn_abi_version(void) { return 99; }\n")
    subprocess.run(["c++", "-x", "c", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    said = {}
    for language in languages:
        other = replace(language, environment={**language.environment, "CUNN_LIBRARY": str(library)})
        refused = other.run("init", "--config", "tiny", "--out", tmp_path / "out", "--device", "cpu")
        assert (refused.code, refused.out) == (1, b""), f"{language.name}: {refused.text()}"
        said[language.name] = refused.err
    same_bytes("a library of another ABI", {name: said[name] for name in NAMES})
    assert b"the library speaks ABI 99, expected" in said["python"]
