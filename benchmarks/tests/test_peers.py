"""Peers without their frameworks: what is skipped, what a model is turned into, and where a row has to be known."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nn.cuda import open_backend
from nn.json_fields import Fields

import checks
import gguf_file
import peers
from benchmarks.lab import harnesses, plan, run
from benchmarks.lab.harnesses import HarnessError, SkippedError
from fresh import fresh, ids, input_numbers, prompts
from protocol import ROWS
from rows import applies


def case(kind: str, **sizes: Any) -> Fields:
    return Fields({"name": kind, "kind": kind, **sizes}, "case")


@pytest.mark.parametrize("name", harnesses.PEERS)
def test_a_peer_that_cannot_be_had_is_skipped_with_a_word(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every build fails: the lab goes on and keeps the reason."""

    def fails(command: list[str], folder: Path, what: str) -> str:
        if "count_allocations.c" in " ".join(command):
            return ""
        raise HarnessError(f"{what} does not build:\nno such package")

    monkeypatch.setattr(harnesses, "BUILD", tmp_path)
    monkeypatch.setattr(harnesses, "build", fails)
    monkeypatch.setattr(shutil, "which", lambda tool: f"/usr/bin/{tool}")
    peer = harnesses.PEERS[name]()
    with pytest.raises(SkippedError, match=r"^cannot be (installed|built): no such package$"):
        peer.prepare()


def test_the_lab_goes_on_without_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(harnesses.Harness):
        def prepare(self) -> None:
            raise SkippedError("cannot be installed: no such package")

    monkeypatch.setitem(harnesses.PEERS, "candle", lambda: Missing("rust"))
    said: list[str] = []
    lab = run.Lab([], ["candle"], plan.QUICK, True, 60.0, said.append)
    lab.prepare()
    assert {"what": "peer candle", "why": "cannot be installed: no such package"} in lab.skipped
    assert "candle" not in lab.peers


def test_every_peer_has_what_it_is_made_from() -> None:
    folder = harnesses.ROOT / "benchmarks" / "peers"
    for name in harnesses.PEERS:
        assert (folder / f"{name}.txt").exists() != (folder / name / "Cargo.lock").exists(), name
    python = {row for row in ROWS if row.startswith("peer-")}
    assert python == set(peers.PEERS) == set(peers.MODELS) == set(peers.CALLED)
    assert {row.removeprefix("peer-") for row in python} | {"candle"} == set(harnesses.PEERS)


def test_which_cases_a_peer_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "installed", lambda row: True)
    product, train, decode = case("matmul"), case("train", config="tiny"), case("decode", config="tiny")
    assert [row for row in peers.PEERS if applies(product, row)] == ["peer-torch", "peer-jax"]
    assert [row for row in peers.PEERS if applies(train, row)] == ["peer-torch"]
    assert [row for row in peers.PEERS if applies(decode, row)] == ["peer-torch", "peer-llamacpp"]
    assert not applies(case("call"), "peer-torch")


def test_threads_are_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 7}, raising=False)
    assert peers.threads("peer-torch", 2) == 2
    assert peers.threads("peer-torch", 0) == 3
    assert peers.threads("peer-jax", 2) == 3


def test_gguf_has_the_rows_in_the_order_that_its_rotation_wants() -> None:
    """Pairs (2i, 2i+1) of interleaved rows, turned, are pairs (i, i + d/2) of ours, turned: the same head."""
    heads, d, columns = 3, 8, 5
    drawn = np.random.default_rng(0)
    weight = drawn.standard_normal((heads * d, columns)).astype(np.float32)
    x = drawn.standard_normal(columns)
    angle = np.arange(1, d // 2 + 1) * 0.3
    cos, sin = np.cos(angle), np.sin(angle)
    ours = (weight @ x).reshape(heads, 2, d // 2)
    want = np.stack([ours[:, 0] * cos - ours[:, 1] * sin, ours[:, 1] * cos + ours[:, 0] * sin], 1)
    theirs = (gguf_file.interleaved(weight, heads) @ x).reshape(heads, d // 2, 2)
    got = np.stack([theirs[:, :, 0] * cos - theirs[:, :, 1] * sin, theirs[:, :, 1] * cos + theirs[:, :, 0] * sin], 1)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_gguf_has_every_weight_once() -> None:
    given = fresh(case("prefill", config="tiny", batch=1, prompt=4))
    named = gguf_file.tensors(given)
    c = given.config
    assert sum(values.size for values in named.values()) == sum(spec.size for spec in given.specs)
    assert len(named) == 3 + 10 * c.n_layers
    assert named["blk.1.ffn_down_exps.weight"].shape == (c.n_experts, c.hidden_size, c.ffn_size)
    spec = next(one for one in given.specs if one.name == "model.layers.1.block_sparse_moe.experts.3.w3.weight")
    np.testing.assert_array_equal(named["blk.1.ffn_up_exps.weight"][3], given.tensor(spec))


def test_what_a_framework_is_given_is_what_the_library_has() -> None:
    """Ids and inputs of nn.bench, which gives its own to a framework only through these."""
    sizes = case("decode", batch=2, prompt=3, seq=3)
    assert prompts(sizes, 100).tolist() == [[0, 7, 14], [31, 38, 45]]
    assert ids(sizes, 4).tolist() == [[0, 1, 2], [3, 0, 1]]
    with open_backend("reference") as backend:
        given = checks.inputs(backend, case("swiglu", n=5))
    for t in range(2):
        np.testing.assert_array_equal(input_numbers(t, 5), given[t])
