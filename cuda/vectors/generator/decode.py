"""decode: argmax, sample, advance.

A sampled id is exact only if the draw stands clear of the edges of the cumulated probabilities. The rows here are
chosen so that it does, by at least MARGIN, and so that the answer is the same whether the candidates are walked by
falling probability or by index, and whether top_p is measured before or after top_k.
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


def candidates(logits: Array, temperature: float, k: int, p: float) -> tuple[list[int], Array] | None:
    """Candidate ids by falling probability, and their probabilities; None where a rounding could change the set."""
    probs = softmax(logits[None] / temperature)[0]
    order = [int(i) for i in top_k(logits[None], len(logits))[0]]
    kept = order[: k or len(order)]
    if p < 1.0:
        # Over all of the vocabulary, and over what top_k left: both must agree on the set.
        sizes = set()
        for share in (probs[kept], probs[kept] / probs[kept].sum()):
            cumulated = np.cumsum(share)
            if np.min(np.abs(cumulated - p)) < MARGIN:
                return None
            sizes.add(min(int(np.searchsorted(cumulated, p)) + 1, len(kept)))
        if len(sizes) != 1:
            return None
        kept = kept[: sizes.pop()]
    return kept, probs[kept] / probs[kept].sum()


def walk(ids: list[int], probs: Array, draw: float) -> int | None:
    """The id whose interval of the cumulated probabilities holds the draw; None within MARGIN of an edge."""
    cumulated = np.cumsum(probs)
    inner = cumulated[:-1]
    if inner.size and np.min(np.abs(inner - draw)) < MARGIN:
        return None
    return ids[min(int(np.searchsorted(cumulated, draw, side="right")), len(ids) - 1)]


def find_row(logits: Array, temperature: float, k: int, p: float, sample: int, first_position: int) -> Row:
    """The first position from first_position on whose draw decides clearly."""
    row = clear_row(logits, temperature, k, p, sample, first_position)
    if row is None:
        raise ValueError("no draw decides clearly")
    return row


def clear_row(logits: Array, temperature: float, k: int, p: float, sample: int, first_position: int) -> Row | None:
    if temperature == 0.0:
        return Row(logits, temperature, k, p, sample, first_position, int(top_k(logits[None], 1)[0, 0]))
    found = candidates(logits, temperature, k, p)
    if found is None:
        return None
    ids, probs = found
    by_index = np.argsort(ids)
    for position in range(first_position, first_position + 200):
        draw = uniform(SEED, sample, STREAM_SAMPLING, position)
        answer = walk(ids, probs, draw)
        if answer is not None and answer == walk([ids[i] for i in by_index], probs[by_index], draw):
            return Row(logits, temperature, k, p, sample, position, answer)
    return None


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
