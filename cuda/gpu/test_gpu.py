"""The parts of this program that a machine without a card can be wrong about: what counts as a sanitizer that ran, what a
run without a card says, and whether the steps do what they claim on simt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "python")]

import native  # noqa: E402
import timings  # noqa: E402

MEMCHECK = native.TOOLS[0]
RACECHECK = native.TOOLS[1]
CLEAN = "========= COMPUTE-SANITIZER\n1234 passed, 0 failed\n========= ERROR SUMMARY: 0 errors\n"


def test_a_tool_that_ran_and_found_nothing() -> None:
    assert native.verdict(MEMCHECK, 0, CLEAN) == ""
    summary = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
    assert native.verdict(RACECHECK, 0, CLEAN.replace("========= ERROR SUMMARY: 0 errors\n", summary)) == ""


@pytest.mark.parametrize(
    ("status", "output", "wrong"),
    [
        (0, "", "it did not start"),
        (0, "1234 passed, 0 failed\n", "it did not start"),
        (0, "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n", "the program under it did not pass"),
        (0, "========= COMPUTE-SANITIZER\n1234 passed, 0 failed\n", "its summary is missing or counts errors"),
        (9, CLEAN.replace("SUMMARY: 0", "SUMMARY: 3"), "its summary is missing or counts errors"),
        (0, CLEAN.replace("SUMMARY: 0", "SUMMARY: 10"), "its summary is missing or counts errors"),
        (9, CLEAN, "exit status 9"),
        (0, CLEAN.replace("1234 passed, 0", "1234 passed, 1"), "the program under it did not pass"),
    ],
)
def test_a_tool_that_did_not(status: int, output: str, wrong: str) -> None:
    assert native.verdict(MEMCHECK, status, output) == wrong


def test_the_runner_must_reach_its_last_line() -> None:
    assert native.counts("a: b\n12 passed, 3 failed\n") == (12, 3)
    with pytest.raises(RuntimeError, match="did not end"):
        native.counts("segmentation fault")


@pytest.mark.parametrize(
    ("status", "summary", "passed"),
    [
        (0, "12 passed in 0.5s", True),
        (0, "12 passed, 3 skipped, 40 deselected in 0.5s", True),
        (0, "15 skipped in 0.5s", False),
        (0, "no output", False),
        (1, "1 failed, 12 passed in 0.5s", False),
        (5, "40 deselected in 0.5s", False),
    ],
)
def test_pytest_must_have_run_cases(status: int, summary: str, passed: bool) -> None:
    assert native.pytest_passed(status, summary) is passed


def test_without_a_card_one_sentence_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE), "--library", str(tmp_path / "libcunn.so")], capture_output=True, text=True, check=False, env=os.environ
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "libcunn.so was not found" in done.stderr


def test_shares_and_floors() -> None:
    timing = timings.Timing("gemm bf16", 2.0, 8.0, "flop", "cuBLAS", 1.0, 0.5)
    row = timing.row()
    assert row["flop/s"] == 4.0 and row["share"] == 0.5 and row["reached"] is False
    timing.share = 0.8
    assert timing.row()["reached"] is True


def test_a_floor_that_was_not_measured_is_not_reached() -> None:
    rows = [{"name": name, "share": 1.0, "reached": True} for name in timings.FLOORS]
    assert timings.judge("NVIDIA H100 80GB HBM3", rows) == {"passed": True, "below_floor": [], "not_measured": []}
    gemm = timings.Timing("gemm bf16", 2.0, 8.0, "flop", "cuBLAS").row()  # without PyTorch
    unknown = [gemm, *rows[1:]]
    assert rows[0]["name"] == "gemm bf16"
    assert timings.judge("NVIDIA H100 80GB HBM3", unknown) == {"passed": None, "below_floor": [], "not_measured": ["gemm bf16"]}
    assert timings.judge("NVIDIA H100 80GB HBM3", rows[1:]) == {"passed": None, "below_floor": [], "not_measured": ["gemm bf16"]}
    missed = [gemm, *rows[1:-1], {**rows[-1], "reached": False}]
    assert timings.judge("NVIDIA H100 80GB HBM3", missed)["passed"] is False
    assert timings.judge("NVIDIA L4", unknown)["passed"] is True


def test_the_bandwidth_is_the_fastest_copy() -> None:
    memcpy, kernel = timings.Timing("copy", 2.0, 8.0, "byte"), timings.Timing("copy by a kernel", 1.0, 8.0, "byte")
    assert timings.bandwidth([memcpy, kernel]) == 8.0
    memcpy.peer_seconds = 0.5
    assert timings.bandwidth([memcpy, kernel]) == 16.0


def test_bytes_that_a_token_reads() -> None:
    """tiny, by hand: per layer two norms, q 64 x 64, k and v 64 x 16, o, the router, two of four experts; a norm, the head, a row."""
    from nn.model.config import preset
    from nn.tensor.dtype import DType

    layer = 2 * 64 + 2 * 64 * 64 + 2 * 64 * 16 + 4 * 64 + 2 * 3 * 64 * 128
    assert timings.bytes_read(preset("tiny"), DType.F32) == 4 * (2 * layer + 64 + 1000 * 64 + 64)
