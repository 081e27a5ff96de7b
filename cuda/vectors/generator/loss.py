"""Cross entropy: count, forward, backward."""

from __future__ import annotations

import numpy as np

from .case import Bound, Case, GradientCheck, In, Out, bound, case, strided, terms
from .moe import logsumexp, logsumexp_magnitude
from .numbers import Array, Inputs, IntArray, round_to

GAP = -3.0


def cross_entropy_backward(logits: Array, lse: Array, targets: IntArray, count: int) -> Array:
    t = terms("cross_entropy_backward")
    counts = (targets >= 0)[:, None] & (count > 0)
    share = np.where(counts, 1.0 / max(count, 1), 0.0)
    hit = (np.arange(logits.shape[1])[None, :] == targets[:, None]) * share
    return t("softmax", np.where(counts, np.exp(logits - lse[:, None]), 0.0) * share) - t("target", hit)


def losses_of(lse: Array, logits: Array, targets: IntArray) -> Array:
    picked = logits[np.arange(len(targets)), np.maximum(targets, 0)]
    return np.where(targets >= 0, lse - picked, 0.0)


def cases() -> list[Case]:
    out: list[Case] = []
    for name, rows, vocab, ld, targets_at, scale, step_count in (
        ("5x7", 5, 7, 7, [0, 6, -1, 3, 3], 2.0, 4),
        ("1x1", 1, 1, 1, [0], 1.0, 1),
        ("3x65_ld", 3, 65, 70, [64, -1, 0], 3.0, 11),
        ("4x17_all_ignored", 4, 17, 17, [-1, -1, -1, -1], 2.0, 0),
        ("2x9_count_of_others", 2, 9, 9, [-1, -1], 2.0, 5),
        ("4x33_large_logits", 4, 33, 33, [5, 0, -1, 32], 20000.0, 3),
        ("1x1030", 1, 1030, 1030, [1029], 4.0, 1),
    ):
        make = Inputs(f"cross entropy {name}")
        logits = make.floats((rows, vocab), scale=scale)
        targets: IntArray = np.array(targets_at)
        dims = {"rows": rows, "vocab": vocab}
        counted = int((targets >= 0).sum())
        t = terms("cross_entropy_count")
        want = t("previous", np.array([10.0])) + t("count", np.array([float(counted)]))
        out.append(
            case(
                name,
                "cross_entropy_count",
                set() if counted else {"count"},
                count=Out(want.astype(np.int64), dtype="i64", initial=np.array([10])),
                targets=In(targets, "i32"),
                **dims,
            )
        )
        lse = logsumexp(logits)
        losses = losses_of(lse, logits, targets)
        picked = np.abs(logits[np.arange(rows), np.maximum(targets, 0)])
        size = logsumexp_magnitude(logits)
        losses_size = np.where(targets >= 0, size + picked, 0.0)
        before = np.array([2.5])
        t = terms("cross_entropy_forward")
        total = t("loss.previous", before) + t("loss.sum", losses.sum(keepdims=True))
        out.append(
            case(
                name,
                "cross_entropy_forward",
                set() if counted and vocab > 1 else {"loss.sum", "losses"},
                loss=Out(total, bound(2, max(rows, vocab), before + losses_size.sum()), initial=before),
                losses=Out(t("losses", losses), bound(2, vocab, losses_size)),
                lse=Out(t("lse", lse), bound(2, vocab, size)),
                logits=In(strided(logits, ld, np.nan)),
                targets=In(targets, "i32"),
                **dims,
                ld=ld,
            )
        )
        saved = round_to(lse, "f32")
        gradient = cross_entropy_backward(logits, saved, targets, step_count)
        share = 1.0 / max(step_count, 1)
        argument = np.abs(logits - saved[:, None])
        p = np.exp(logits - saved[:, None])
        hit = np.arange(vocab)[None, :] == targets[:, None]
        used = np.where((targets >= 0)[:, None] & (step_count > 0), share, 0.0)
        # The exponential with its argument, the target, and the quotient.
        limit = bound(2, 1, used * (p * (1.0 + np.where(p > 0, argument, 0.0)) + hit), flush=used * np.ones_like(p))
        out.append(
            case(
                name,
                "cross_entropy_backward",
                set() if counted and step_count else {"softmax", "target"},
                dlogits=Out(
                    strided(gradient, ld, GAP),
                    Bound(strided(limit.array, ld, 0.0), limit.parts),
                    initial=strided(np.full_like(gradient, np.nan), ld, GAP),
                ),
                logits=In(strided(logits, ld, np.nan)),
                lse=In(saved),
                targets=In(targets, "i32"),
                count=In(np.array([step_count]), "i64"),
                **dims,
                ld=ld,
            )
        )
    return out


def gradient_checks() -> list[GradientCheck]:
    logits, targets = Inputs("cross entropy gradients").floats((4, 6)), np.array([2, -1, 5, 0])
    gradient = cross_entropy_backward(logits, logsumexp(logits), targets, 3)
    return [
        GradientCheck(
            "cross_entropy_backward",
            "dlogits",
            lambda x: float(losses_of(logsumexp(x), x, targets).sum()) / 3,
            logits,
            gradient,
        )
    ]
