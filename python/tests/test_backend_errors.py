"""A bad call reads the same on every backend: each op's arguments are spoiled one at a time, on the reference and on
the library, and the outcomes compared: the sentence, or the line that the call leaves in a recording.

The calls are recorded and never run, so this is about arguments only; conformance is about values. Values that are
checked on the device (ids, offsets, positions) are spoiled in calls that do run.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any

import pytest
from conformance import Argument, Case, families, load_family
from devices import available_devices

from nn.cuda import open_backend
from nn.tensor import Backend, BackendError, DType
from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array
from nn.tensor.ops import Ops

CASES: dict[str, list[Case]] = {}
for family in families():
    for case in load_family(family):
        CASES.setdefault(case.op, []).append(case)

LIBRARY = [device for device in available_devices() if device != "reference"]
DOUBLES = (-1.0, 0.0, 1.0, 2.5, 1e300, math.nan, math.inf)


@pytest.fixture(scope="module", params=LIBRARY)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Backend, Backend]]:
    with open_backend("reference") as reference, open_backend(request.param) as library:
        yield reference, library


class Arguments:
    """The arguments of a case on one backend, of which any may be replaced."""

    def __init__(self, backend: Backend, case: Case, filled: bool = False) -> None:
        self.backend = backend
        self.op = case.op
        self.values: dict[str, Any] = {}
        for argument in case.arguments:
            if argument.role == "":
                self.values[argument.name] = argument.scalar
            elif argument.role in ("same", "none"):
                self.values[argument.name] = None
            elif filled and argument.name in case.before:
                self.values[argument.name] = backend.from_numpy(case.before[argument.name], argument.dtype)
            else:
                self.values[argument.name] = backend.buffer(argument.dtype, argument.count)
        for argument in case.arguments:
            if argument.role == "same":
                self.values[argument.name] = self.values[argument.other]

    def outcome(self, **replaced: Any) -> str:
        """The sentence of the call, or its line in the recording."""
        self.backend.graph_begin()
        try:
            getattr(self.backend, self.op)(*(self.values | replaced).values())
            text = ""
        except BackendError as error:
            text = f"{error.status.name}: {error}"
        graph = self.backend.graph_end()
        text = text or self.backend.graph_dump(graph)
        graph.close()
        return text

    def run(self, **replaced: Any) -> str:
        """The sentence of the next synchronize, "" when nothing is wrong."""
        getattr(self.backend, self.op)(*(self.values | replaced).values())
        try:
            self.backend.synchronize()
        except BackendError as error:
            return f"{error.status.name}: {error}"
        return ""

    def buffer(self, dtype: DType, count: int) -> Buffer:
        return self.backend.buffer(dtype, -(-count // 32) * 32 if dtype.is_quantized else count)

    def overlapping(self, first: Argument, second: Argument, shift: int) -> dict[str, Buffer]:
        """Two buffers of the two arguments' sizes, the second shift elements into the first."""
        whole = self.buffer(first.dtype, max(first.count, second.count) + shift)
        parts = (self.backend.view(whole, 0, first.count), self.backend.view(whole, shift, second.count))
        return {first.name: parts[0], second.name: parts[1]}


def scalar_changes(op: str, argument: Argument) -> list[Any]:
    """What may stand there instead; the flags and the stream are C's 32-bit integers."""
    annotation = inspect.signature(getattr(Ops, op)).parameters[argument.name].annotation
    if annotation == "bool":
        return [0, 1, 2, -1]
    if annotation == "float":
        return list(DOUBLES)
    assert argument.scalar is not None
    value = int(argument.scalar)
    near = [-1, 0, 1, value - 1, value + 1, 2 * value, 1 << 30]
    return near if argument.name == "stream" else [*near, 1 << 40, 1 << 61, (1 << 63) - 1]


def changes(case: Case) -> Iterator[tuple[str, Any]]:
    """(what is changed, a function from Arguments to the replacements)"""
    buffers = [a for a in case.arguments if a.role in ("in", "inout", "out")]
    for a in case.arguments:
        if a.role == "":
            for value in scalar_changes(case.op, a):
                yield f"{a.name}={value}", lambda _, a=a, value=value: {a.name: value}
    for a in buffers:
        for dtype in DType:
            yield f"{a.name} {dtype.label}", lambda args, a=a, dtype=dtype: {a.name: args.buffer(dtype, a.count)}
        less = a.count - (32 if a.dtype.is_quantized else 1)
        if less >= 0:
            yield f"{a.name} short", lambda args, a=a, less=less: {a.name: args.backend.buffer(a.dtype, less)}
        yield f"{a.name} closed", lambda args, a=a: {a.name: closed(args, a)}
        for b in buffers:
            if a.name != b.name:
                yield f"{a.name} is {b.name}", lambda args, a=a, b=b: {a.name: args.values[b.name]}
                if a.dtype == b.dtype and not a.dtype.is_quantized and min(a.count, b.count) > 1:
                    yield f"{b.name} within {a.name}", lambda args, a=a, b=b: args.overlapping(a, b, 1)


def closed(args: Arguments, argument: Argument) -> Buffer:
    buffer = args.buffer(argument.dtype, argument.count)
    buffer.close()
    return buffer


@pytest.mark.parametrize("op", sorted(CASES))
def test_a_spoiled_call_reads_the_same(pair: tuple[Backend, Backend], op: str) -> None:
    tried = 0
    for case in CASES[op][:8]:
        ours, theirs = (Arguments(backend, case) for backend in pair)
        assert ours.outcome() == theirs.outcome()
        for what, change in changes(case):
            expected, got = ours.outcome(**change(ours)), theirs.outcome(**change(theirs))
            assert got == expected, f"{case.name} with {what}"
            tried += 1
    assert tried > 5


def value_changes(case: Case) -> Iterator[tuple[str, Array]]:
    """(argument, its content with one bad value)"""
    for a in case.arguments:
        content = case.before.get(a.name)
        integer = a.dtype in (DType.I32, DType.I64)
        sampling = case.op == "sample" and a.name in ("temperature", "top_k", "top_p")
        if content is None or not content.size or a.role != "in" or not (integer or sampling):
            continue
        if case.op in ("copy", "pack", "decode_advance") or a.name in (
            "samples",
            "seed",
            "count",
            "nonfinite",
            "applied",
        ):
            continue
        if case.op == "sample" and not sampling:
            continue
        bad_values = (-7, 2**31 - 1) if integer and a.dtype == DType.I32 else (-(2**40), 2**40)
        for at in {0, content.size - 1}:
            for value in (-1.5, 2**30, math.nan) if sampling and not integer else bad_values:
                spoiled = content.copy()
                spoiled[at] = value
                yield a.name, spoiled


SPOILED = {op: [(case, *change) for case in CASES[op] for change in value_changes(case)] for op in CASES}
WITH_CHECKED_VALUES = sorted(op for op, spoiled in SPOILED.items() if spoiled)


@pytest.mark.parametrize("op", WITH_CHECKED_VALUES)
def test_a_bad_value_reads_the_same(pair: tuple[Backend, Backend], op: str) -> None:
    reported = 0
    for case, name, content in SPOILED[op]:
        texts = []
        for backend in pair:
            arguments = Arguments(backend, case, filled=True)
            assert arguments.run() == ""
            texts.append(arguments.run(**{name: backend.from_numpy(content, arguments.values[name].dtype)}))
        assert texts[1] == texts[0], f"{case.name} with {name} {content}"
        reported += texts[0] != ""
    assert reported > 0
