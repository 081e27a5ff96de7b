"""Running the command line in tests, and the small model that they train."""

from __future__ import annotations

import json

import pytest

from nn.cli import main
from nn.model.config import MoEConfig

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


def sentence(capsys: pytest.CaptureFixture[str], status: int, *arguments: object) -> str:
    """The one line on stderr of a call that must end with `status` and print nothing else."""
    got, out, err = run(capsys, *arguments)
    assert got == status, err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip("\n")
