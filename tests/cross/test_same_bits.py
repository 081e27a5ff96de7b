"""The example that shows three equal columns says so only of equal ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from languages import ROOT
from rich.console import Console


@pytest.fixture
def same_bits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The example, with its folder in a temporary place."""
    spec = importlib.util.spec_from_file_location("same_bits", ROOT / "examples" / "same_bits" / "same_bits.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "same_bits", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUT", tmp_path)
    return module


def verdict(module: ModuleType, changed: dict[str, bytes]) -> int:
    """Of three runs that wrote the same, except for what `changed` says of Go's."""
    runs = [module.Run(name, []) for name in ("Python", "Rust", "Go")]
    for run in runs:
        run.out.mkdir()
        written = {"model.safetensors": b"weights", "metrics.jsonl": b"", "loss.png": run.name.encode()}
        for step in range(2):
            line = f'{{"step":{step + 1},"cross_entropy":{2.5 - step},"tokens_per_second":{len(run.name)}.0}}\n'
            written["metrics.jsonl"] += line.encode()
        if run.name == "Go":
            written.update(changed)
        for name, content in written.items():
            (run.out / name).write_bytes(content)
        run.follow()
    return int(module.report(Console(quiet=True), runs, 2))


def test_equal_runs(same_bits: ModuleType) -> None:
    """Pixels and speeds do not count."""
    assert verdict(same_bits, {}) == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"model.safetensors": b"weightz"},
        {"optimizer.safetensors": b""},
        {"metrics.jsonl": b'{"step":1,"cross_entropy":2.5,"tokens_per_second":1.0}\n'},
        {"metrics.jsonl": b'{"step":1,"cross_entropy":2.5000000000000004,"tokens_per_second":1.0}\n' * 2},
    ],
    ids=["a byte", "a file more", "a step missing", "a digit"],
)
def test_other_runs(same_bits: ModuleType, changed: dict[str, bytes]) -> None:
    assert verdict(same_bits, changed) == 1
