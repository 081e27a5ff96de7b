"""embedding: gather, and its scatter-add."""

from __future__ import annotations

import numpy as np

from .case import Case, GradientCheck, In, Out, bound, case, exact, terms
from .numbers import Array, Inputs, IntArray


def scatter_add(dw: Array, dy: Array, ids: IntArray) -> Array:
    t = terms("embedding_backward")
    total = np.zeros_like(dw)
    np.add.at(total, ids, dy)
    return t("previous", dw) + t("sum", total)


def cases() -> list[Case]:
    out: list[Case] = []
    for name, tokens, vocab, hidden, dtype in (
        ("5x7", 5, 11, 7, "f32"),
        ("1x1", 1, 1, 1, "f32"),
        ("17x33_repeats", 17, 4, 33, "f32"),
        ("65x5_one_id", 65, 3, 5, "f32"),
        ("6x20_bf16", 6, 9, 20, "bf16"),
        ("6x20_f16", 6, 9, 20, "f16"),
    ):
        make = Inputs(f"embedding {name}")
        w = make.floats((vocab, hidden), dtype)
        ids = np.full(tokens, vocab - 1) if "one_id" in name else make.integers(tokens, 0, vocab)
        ids[0] = vocab - 1
        y = terms("embedding_forward")("y", w[ids])
        out.append(
            case(
                name,
                "embedding_forward",
                y=Out(y, exact(y)),
                ids=In(ids, "i32"),
                w=In(w, dtype),
                tokens=tokens,
                vocab=vocab,
                hidden=hidden,
            )
        )
        if dtype != "f32":
            continue
        dw, dy = make.floats((vocab, hidden)), make.floats((tokens, hidden))
        size = np.abs(dw)
        np.add.at(size, ids, np.abs(dy))
        uses = np.bincount(ids, minlength=vocab)[:, None]  # a row that no token uses keeps its bits
        out.append(
            case(
                name,
                "embedding_backward",
                dw=Out(scatter_add(dw, dy, ids), bound(1, np.broadcast_to(uses, dw.shape), size), initial=dw),
                dy=In(dy),
                ids=In(ids, "i32"),
                tokens=tokens,
                vocab=vocab,
                hidden=hidden,
            )
        )
    return out


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("embedding gradients")
    w, dy, ids = make.floats((4, 3)), make.floats((5, 3)), np.array([1, 3, 1, 0, 1])
    gradient = scatter_add(np.zeros_like(w), dy, ids)
    return [GradientCheck("embedding_backward", "dw", lambda x: float((dy * x[ids]).sum()), w, gradient)]
