"""The conformance runner: executes the cases of cuda/vectors on any Backend and says what differs.

The format of the files, and how the bounds were derived, stand in cuda/vectors/README.md. A case is one call of one
operation, so one interpreter of call lines serves every operation of cunn.h.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nn.tensor.backend import Backend
from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array, DType, values_of

VECTORS = Path(__file__).resolve().parents[2] / "cuda" / "vectors"
_NUMPY = {"F64": "<f8", "F32": "<f4", "BF16": "<u2", "F16": "<f2", "I32": "<i4", "I64": "<i8", "U8": "u1"}
_ROLES = ("in", "inout", "out", "same", "none")


@dataclass(frozen=True)
class Argument:
    """One argument: a scalar, or a buffer with its role; other names the argument whose buffer it shares."""

    name: str
    scalar: int | float | None = None
    role: str = ""
    dtype: DType = DType.F32
    count: int = 0
    other: str = ""


@dataclass
class Case:
    """One call with its tensors: before[arg], after[arg] and bound[arg]."""

    family: str
    name: str
    op: str
    arguments: list[Argument]
    before: dict[str, Array] = field(default_factory=dict)
    after: dict[str, Array] = field(default_factory=dict)
    bound: dict[str, Array] = field(default_factory=dict)
    bounds_made: str = ""


def families() -> list[str]:
    """The vector files by name."""
    return sorted(path.stem for path in VECTORS.glob("*.safetensors"))


def load_family(family: str) -> list[Case]:
    """Every case of one file, in the file's order."""
    data = (VECTORS / f"{family}.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata: dict[str, str] = header.pop("__metadata__")
    if metadata.pop("format") != "cunn-vectors-1":
        raise ValueError(f"{family}: not a vector file of format 1")
    cases = {name: _parse_call(family, name, line) for name, line in metadata.items() if not name.endswith("#bounds")}
    for name, case in cases.items():
        case.bounds_made = metadata[name + "#bounds"]
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[start + begin : start + end], dtype=_NUMPY[entry["dtype"]])
        case_name, part, argument = name.rsplit("/", 2)
        case = cases[case_name]
        {"in": case.before, "out": case.after, "bound": case.bound}[part][argument] = array
    return list(cases.values())


def _parse_call(family: str, name: str, line: str) -> Case:
    op, *words = line.split(" ")
    return Case(family, name, op, [_parse_argument(*word.split("=", 1)) for word in words])


def _parse_argument(name: str, text: str) -> Argument:
    if not text.startswith("@"):
        is_double = any(mark in text for mark in (".", "e", "inf", "nan"))
        return Argument(name, scalar=float(text) if is_double else int(text))
    role, *rest = text[1:].split(":")
    if role not in _ROLES:
        raise ValueError(f"{name}={text}: unknown role")
    if role == "same":
        return Argument(name, role=role, other=rest[0])
    if role == "none":
        return Argument(name, role=role)
    return Argument(name, role=role, dtype=DType[rest[0].upper()], count=int(rest[1]))


def run(backend: Backend, case: Case, *, recorded: bool = False) -> list[str]:
    """Executes the case (recorded: as a graph, launched once) and describes every difference; empty when it passes."""
    buffers: dict[str, Buffer] = {}
    try:
        for argument in case.arguments:
            if argument.role in ("in", "inout", "out"):
                content = case.before.get(argument.name)
                if content is None:
                    content = _garbage(argument.dtype, argument.count)
                buffers[argument.name] = backend.from_numpy(content, argument.dtype)
        values = [_value(argument, buffers) for argument in case.arguments]
        method = getattr(backend, case.op)
        if recorded:
            backend.graph_begin()
            method(*values)
            graph = backend.graph_end()
            backend.graph_launch(graph)
            backend.synchronize()
            graph.close()
        else:
            method(*values)
            backend.synchronize()
        return [line for argument in case.arguments for line in _compare(backend, case, argument, buffers)]
    finally:
        for buffer in buffers.values():
            buffer.close()


def _value(argument: Argument, buffers: dict[str, Buffer]) -> Buffer | int | float | None:
    if argument.role == "":
        return argument.scalar
    return None if argument.role == "none" else buffers[argument.other or argument.name]


def _garbage(dtype: DType, count: int) -> Array:
    """What an output holds before the call: a quiet NaN, or a number that no case expects."""
    return np.frombuffer(b"\x7f" * dtype.bytes(count), dtype=dtype.storage)


def _compare(backend: Backend, case: Case, argument: Argument, buffers: dict[str, Buffer]) -> list[str]:
    name = argument.name
    if argument.role in ("", "none"):
        return []
    got = backend.download(buffers[argument.other or name])
    if argument.role == "in":
        shared = any(a.other == name for a in case.arguments)
        if not shared and got.tobytes() != case.before[name].tobytes():
            return [f"{case.name}: {name} is an input and was changed"]
        return []
    want = case.after.get(name)
    if want is None:
        return []
    source = next(a for a in case.arguments if a.name == (argument.other or name))
    if name not in case.bound:
        return _first_difference(
            case, name, values_of(got, source.dtype), values_of(want, source.dtype), np.zeros(want.size)
        )
    values = values_of(got, source.dtype).astype(np.float64)
    return _first_difference(case, name, values, want, case.bound[name].astype(np.float64))


def _first_difference(case: Case, name: str, got: Array, want: Array, bound: Array) -> list[str]:
    if got.size != want.size:
        return [f"{case.name}: {name} has {got.size} elements, expected {want.size}"]
    finite = np.isfinite(want)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got - want)
    good = np.where(finite, error <= bound, (got == want) | (np.isnan(got) & np.isnan(want)))
    if good.all():
        return []
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.where(good, 0.0, np.where(np.isnan(error), np.inf, error / bound))
    worst = int(np.argmax(excess))
    return [
        f"{case.name}: {name}[{worst}] is {got[worst]}, expected {want[worst]} within {bound[worst]}"
        f" ({int((~good).sum())} of {good.size} elements are out of bounds)"
    ]
