"""What the harness is asked to run: the BENCH_ variables, the same in the harness of every language."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from nn import files
from nn.json_fields import Fields
from nn.json_strict import loads_object

ROWS = ("naive", "library", "reference", "cpu", "cpu-scalar", "cuda", "peer-torch", "peer-jax", "peer-llamacpp")


class ProtocolError(Exception):
    """A variable asks for what there is not."""


@dataclass(frozen=True)
class Protocol:
    """BENCH_CASES, BENCH_ROWS (comma lists, empty: all), BENCH_OUT, BENCH_SECONDS and BENCH_SAMPLES of a row,
    BENCH_LONG_SAMPLES (at least and by default 4) where so many runs would take longer, BENCH_WARMUP in seconds,
    BENCH_THREADS (0: all), BENCH_CASES_FILE."""

    cases: list[Fields]
    rows: tuple[str, ...]
    out: Path | None
    seconds: float
    samples: int
    long_samples: int
    warmup: float
    threads: int


def protocol() -> Protocol:
    """The protocol of this process's environment. Errors: ProtocolError, those of the case file."""
    path = os.environ.get("BENCH_CASES_FILE") or str(Path(__file__).parent.parent / "cases.json")
    listed = loads_object(files.read_bytes(path, "checkout"), path)["cases"]
    assert isinstance(listed, list), path
    cases: dict[str, Fields] = {}
    for number, entry in enumerate(listed):
        assert isinstance(entry, dict), path
        case = Fields(entry, f"{path}: cases[{number}]")
        cases[case.string("name")] = case
    names = _list("BENCH_CASES", tuple(cases))
    rows = _list("BENCH_ROWS", ROWS)
    out = os.environ.get("BENCH_OUT")
    return Protocol(
        [cases[name] for name in names],
        rows,
        Path(out) if out else None,
        _number("BENCH_SECONDS", 1.0),
        max(10, int(_number("BENCH_SAMPLES", 15))),
        max(4, int(_number("BENCH_LONG_SAMPLES", 4))),
        _number("BENCH_WARMUP", 0.1),
        int(_number("BENCH_THREADS", 0)),
    )


def _list(variable: str, known: tuple[str, ...]) -> tuple[str, ...]:
    asked = tuple(name for name in os.environ.get(variable, "").split(",") if name)
    for name in asked:
        if name not in known:
            raise ProtocolError(f"{variable} names {name}, which is none of {', '.join(known)}")
    return asked or known


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if value < 0:
        raise ProtocolError(f"{variable} is {text}, expected a number of at least 0")
    return value
