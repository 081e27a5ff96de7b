"""decode: argmax, sample, advance.

A row is sampled thus: of the top_k largest logits keep the shortest leading run whose share of their probability
reaches top_p; the id is the first kept one, by ascending index, at which the sum of the kept probabilities exceeds the
draw times their total. The rows here are chosen so that every comparison is clear of rounding by MARGIN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .case import Case, In, Out, case, strided
from .numbers import Array, Inputs
from .philox import STREAM_SAMPLING, uniform
from .softmax import softmax, top_k

MARGIN = 1e-3
SEED = 0x0123_4567_89AB_CDEF


@dataclass(frozen=True)
class Row:
    """One row of a sample case with its id."""

    logits: Array
    temperature: float
    top_k: int
    top_p: float
    sample: int
    position: int
    id: int


def kept_ids(logits: Array, temperature: float, k: int, p: float) -> list[int] | None:
    """The ids that may be drawn; None where a rounding could change the set."""
    order = top_k(logits[None], k or len(logits))[0]
    share = np.cumsum(softmax(logits[None, order] / temperature)[0])
    if p == 1.0:
        return [int(i) for i in order]
    if np.min(np.abs(share - p)) < MARGIN and share[0] < 1.0 - MARGIN:
        return None
    return [int(i) for i in order[: int(np.searchsorted(share, p)) + 1]]


def drawn(ids: list[int], logits: Array, temperature: float, draw: float) -> int | None:
    """The id that the draw falls on; None within MARGIN of an edge."""
    ascending = np.sort(ids)
    share = np.cumsum(softmax(logits[None, ascending] / temperature)[0])
    if len(ids) > 1 and np.min(np.abs(share[:-1] - draw)) < MARGIN:
        return None
    return int(ascending[min(int(np.searchsorted(share, draw, side="right")), len(ids) - 1)])


def clear_row(logits: Array, temperature: float, k: int, p: float, sample: int, first_position: int) -> Row | None:
    """The first position from first_position on whose draw decides clearly."""
    if temperature == 0.0:
        return Row(logits, temperature, k, p, sample, first_position, int(top_k(logits[None], 1)[0, 0]))
    ids = kept_ids(logits, temperature, k, p)
    if ids is None:
        return None
    for position in range(first_position, first_position + 200):
        answer = drawn(ids, logits, temperature, uniform(SEED, sample, STREAM_SAMPLING, position))
        if answer is not None:
            return Row(logits, temperature, k, p, sample, position, answer)
    return None


def find_row(logits: Array, temperature: float, k: int, p: float, sample: int, first_position: int) -> Row:
    """clear_row of a row that is known to have one."""
    row = clear_row(logits, temperature, k, p, sample, first_position)
    if row is None:
        raise ValueError("no draw decides clearly")
    return row


def first_clear_row(
    make: Inputs, cols: int, settings: tuple[float, int, float], sample: int, first_position: int, tied: bool = False
) -> Row:
    """The first of a few random rows that decides clearly; tied: logits rounded to integers, so that many are equal."""
    while True:
        logits = make.floats(cols, scale=2.0)
        row = clear_row(np.round(logits) if tied else logits, *settings, sample, first_position)
        if row is not None:
            return row


def _sample_case(name: str, rows: list[Row], ld: int) -> Case:
    def column(attribute: str, dtype: str) -> In:
        return In(np.array([getattr(row, attribute) for row in rows]), dtype)

    logits = np.stack([row.logits for row in rows])
    return case(
        name,
        "sample",
        ids=Out(np.array([row.id for row in rows]), dtype="i32"),
        logits=In(strided(logits, ld, np.inf)),
        temperature=column("temperature", "f32"),
        top_k=column("top_k", "i32"),
        top_p=column("top_p", "f32"),
        samples=column("sample", "i64"),
        positions=column("position", "i32"),
        seed=In(np.array([SEED]), "i64"),
        rows=len(rows),
        cols=logits.shape[1],
        ld=ld,
    )


def _sample_cases() -> list[Case]:
    make = Inputs("sample")
    cols = 33
    plain = make.floats((16, cols), scale=2.0)
    settings = [(1.0, 0, 1.0), (0.75, 5, 1.0), (1.0, 0, 0.75), (1.25, 7, 0.5), (2.0, 3, 0.875), (0.5, 0, 1.0)]
    mixed = [first_clear_row(make, cols, settings[i % 6], sample=i, first_position=3 * i) for i in range(12)]
    ties = [first_clear_row(make, cols, (1.0, 2 + i, 1.0), 100 + i, first_position=i, tied=True) for i in range(6)]
    far = make.floats(cols, scale=20000.0)
    degenerate = [
        find_row(plain[0], 0.0, 0, 1.0, sample=0, first_position=0),
        find_row(plain[1], 1.0, 1, 1.0, sample=1, first_position=1),
        find_row(plain[2], 1.0, 0, 2.0**-20, sample=2, first_position=2),
        find_row(np.full(cols, 1.5), 0.0, 0, 1.0, sample=3, first_position=3),
        find_row(np.full(cols, 1.5), 1.0, 1, 1.0, sample=4, first_position=4),
        find_row(np.full(cols, -2.0), 1.0, 2, 1.0, sample=5, first_position=5),
        find_row(far, 1.0, 0, 1.0, sample=6, first_position=6),
        find_row(plain[3], 2.0**-7, 0, 1.0, sample=1 << 40, first_position=7),
    ]
    # The same sample and position in another slot, among other neighbours: the same id.
    moved = [mixed[7], mixed[2], ties[1], mixed[7]]
    return [
        _sample_case("mixed", mixed, cols),
        _sample_case("ties", ties, cols + 3),
        _sample_case("degenerate", degenerate, cols),
        _sample_case("moved", moved, cols + 7),
        _sample_case("one_id", [find_row(np.zeros(1), 1.0, 0, 1.0, sample=1, first_position=0)], 1),
    ]


def _argmax_cases() -> list[Case]:
    nan, inf = np.nan, np.inf
    hard = np.array(
        [
            [1.0, 3.0, 3.0, -2.0, 3.0],
            [nan, -inf, 2.0, nan, 2.0],
            [-inf, -inf, -inf, -inf, -inf],
            [0.0, -0.0, 0.0, -1.0, nan],
            [nan, nan, nan, nan, -inf],
            [-5.0, -4.0, -3.0, -2.0, inf],
        ]
    )
    out: list[Case] = []
    for name, x, ld in (
        ("hard", hard, 5),
        ("3x1000_ld", Inputs("argmax").floats((3, 1000)), 1003),
        ("1x1", np.array([[-1.0]]), 1),
    ):
        ids = top_k(x, 1)[:, 0]
        out.append(
            case(
                name,
                "argmax",
                ids=Out(ids, dtype="i32"),
                logits=In(strided(x, ld, inf)),
                rows=x.shape[0],
                cols=x.shape[1],
                ld=ld,
            )
        )
    return out


def _advance_cases() -> list[Case]:
    out: list[Case] = []
    for name, eos in (("eos_2", 2), ("never", -1)):
        positions = np.array([0, 7, 100, 5, 9])
        finished = np.array([0, 0, 1, 1, 0])
        ids = np.array([5, 2, 2, 4, 0])
        after = positions + (finished == 0)
        done = np.where((ids == eos) & (eos >= 0), 1, finished)
        out.append(
            case(
                name,
                "decode_advance",
                positions=Out(after, dtype="i32", initial=positions),
                finished=Out(done, dtype="i32", initial=finished),
                ids=In(ids, "i32"),
                batch=5,
                eos_id=eos,
            )
        )
    return out


def cases() -> list[Case]:
    return _argmax_cases() + _sample_cases() + _advance_cases()
