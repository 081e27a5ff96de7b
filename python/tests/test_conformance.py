"""Every case of cuda/vectors on every device: called directly, and as a recorded graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from conformance import Case, families, load_family, run
from devices import available_devices

from nn.cuda import open_backend
from nn.tensor.backend import Backend
from nn.tensor.dtype import Array
from nn.tensor.ops import Ops
from nn.tensor.reference import ReferenceBackend
from nn.tensor.status import BackendError, Status

CASES = {case.name: case for family in families() for case in load_family(family)}
OPS = [name for name in vars(Ops) if not name.startswith("_")]
ISAS = ("scalar", "avx2", "avx512")


def _devices() -> list[str]:
    """The devices here, cpu once for each instruction set: "cpu:avx2"."""
    return [
        name
        for device in available_devices()
        for name in ([f"cpu:{isa}" for isa in ISAS] if device == "cpu" else [device])
    ]


@pytest.fixture(scope="module", params=_devices())
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    device, _, isa = request.param.partition(":")
    try:
        opened = open_backend(device, isa=isa or None)
    except BackendError as error:
        if isa and error.status is Status.UNSUPPORTED:
            pytest.skip(f"this processor has no {isa}")
        raise
    with opened:
        yield opened


@pytest.mark.parametrize("name", CASES)
def test_case(backend: Backend, name: str) -> None:
    assert run(backend, CASES[name]) == []
    assert run(backend, CASES[name], recorded=True) == []


def test_every_op_has_a_case() -> None:
    assert sorted({case.op for case in CASES.values()}) == sorted(OPS)


def test_every_bound_has_c_of_at_most_4() -> None:
    constants = [float(c) for case in CASES.values() for c in re.findall(r"[=+]c:([\d.]+)", case.bounds_made)]
    assert sum(len(case.bound) for case in CASES.values()) <= len(constants)
    assert 0 < min(constants) <= max(constants) <= 4


# What the runner must notice, on a device whose answers are known to be right.


@pytest.fixture(scope="module")
def reference() -> Iterator[Backend]:
    with ReferenceBackend() as opened:
        yield opened


def _has_finite(values: Array) -> bool:
    return bool(np.isfinite(values).any())


@pytest.mark.parametrize("op", OPS)
def test_runner_notices_a_changed_answer(reference: Backend, op: str) -> None:
    """Each stated output of the first case of each op, moved at one element by a little more than twice its bound."""
    case = next(case for case in CASES.values() if case.op == op and all(map(_has_finite, case.after.values())))
    for name, want in case.after.items():
        moved = want.copy()
        at = int(np.flatnonzero(np.isfinite(want))[-1]) if want.dtype.kind == "f" else moved.size - 1
        if name in case.bound:
            moved[at] = np.nextafter(want[at] + 2.01 * case.bound[name][at], np.inf)
        else:
            moved[at] = 1 if moved[at] == 0 else 0
        lines = run(reference, replace(case, after={**case.after, name: moved}))
        assert len(lines) == 1
        assert lines[0].startswith(f"{case.name}: {name}[{at}] is ")


def test_runner_notices_what_an_op_leaves_unwritten(reference: Backend) -> None:
    """An output of n + 1 elements, of which the op writes n: the last keeps the garbage of before."""
    case = CASES["add_forward.n17"]
    arguments = [replace(a, count=18) if a.name == "y" else a for a in case.arguments]
    longer = Case(
        case.family,
        case.name,
        case.op,
        arguments,
        case.before,
        {"y": np.append(case.after["y"], 0.0)},
        {"y": np.append(case.bound["y"], np.float32(1e30))},
    )
    assert len(run(reference, longer)) == 1


def test_runner_notices_a_changed_input(reference: Backend) -> None:
    """decode_advance writes its positions; stated as an input they must not change."""
    case = CASES["decode_advance.eos_2"]
    arguments = [replace(a, role="in") if a.name == "positions" else a for a in case.arguments]
    lines = run(reference, replace(case, arguments=arguments))
    assert lines == ["decode_advance.eos_2: positions is an input and was changed"]
