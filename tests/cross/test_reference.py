"""The operations that each language has of its own: against float64 and one another, within what f32 explains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Runs
from languages import Language
from propagation import F64, SIGMAS, logits

from nn.model.safetensors import SafetensorsFile

IDS = [3, 141, 59, 26, 5, 35, 89, 79, 32, 38, 46, 26, 43, 38, 32, 79, 50, 28, 84, 19, 71, 69, 39, 93]


@pytest.mark.parametrize("name", ["tiny", "odd"])
def test_logits(quick: list[Language], runs: Runs, name: str, tmp_path: Path) -> None:
    folder = runs.folder(name, "python")
    stored = SafetensorsFile(folder / "model.safetensors")
    weights = {tensor: stored.f32(tensor).astype(np.float64) for tensor in stored.tensors}
    truth = logits(weights, json.loads((folder / "config.json").read_text()), IDS)
    bound = SIGMAS * truth.s
    assert bound.max() < 1e-4 * np.abs(truth.x).max(), "a bound this wide would hide a fault"

    def computed(language: Language, device: str) -> F64:
        out = tmp_path / f"{language.name}-{device}"
        language.succeed(
            "logits", "--model", folder, "--ids", ",".join(map(str, IDS)), "--out", out, "--device", device
        )
        values: F64 = SafetensorsFile(out).f32("logits")[0].astype(np.float64)
        return values

    got = {language.name: computed(language, "reference") for language in quick}
    got["cpu"] = computed(quick[0], "cpu")
    for who, values in got.items():
        within(f"{name}: {who} and float64", values, truth.x, bound)
        for other in got:
            within(f"{name}: {who} and {other}", values, got[other], np.sqrt(2.0) * bound)


def within(what: str, a: F64, b: F64, bound: F64) -> None:
    worst = np.unravel_index(np.argmax(np.abs(a - b) / bound), a.shape)
    assert np.all(np.abs(a - b) <= bound), (
        f"{what}: logits{list(worst)} are {a[worst]} and {b[worst]} +- {bound[worst]}"
    )
