"""What is easily forgotten: NaN stays in its row, buffers end with their last element, sizes are 0.

A NaN must reach every result that depends on it (the training step finds it there and skips), and no other: not a
neighbouring row, not a token before it, not a loss that ignores its row.
"""

from __future__ import annotations

import numpy as np

from . import attention, attention_bounds, gemm_swiglu, loss, rmsnorm
from .case import EVERY_TERM, Bound, Case, In, Out, bound, case, exact, strided
from .gemm import GAP, product_bound
from .moe import logsumexp, logsumexp_magnitude
from .numbers import Array, Inputs, round_to
from .softmax import softmax, softmax_bound

NAN = np.nan


def within(want: Array, limit: Bound) -> Bound:
    """The bound where want is a number."""
    return Bound(np.where(np.isfinite(want), limit.array, 0.0), limit.parts)


def tight(rows: Array, ld: int, fill: float) -> Array:
    """Rows that stand ld apart, in a buffer that ends with the last one's last element."""
    return strided(rows, ld, fill)[: (rows.shape[0] - 1) * ld + rows.shape[1]]


def tight_out(want: Array, limit: Bound, ld: int) -> Out:
    return Out(
        tight(want, ld, GAP),
        Bound(tight(limit.array, ld, 0.0), limit.parts),
        initial=tight(np.full_like(want, NAN), ld, GAP),
    )


# ---------------------------------------------------------------- NaN


def _nan_rows() -> list[Case]:
    out: list[Case] = []
    rows, cols = 4, 19
    make = Inputs("edges nan rows")
    x = make.floats((rows, cols), scale=2.0)
    dims = {"rows": rows, "cols": cols}

    bad = x.copy()
    bad[1, 7] = NAN
    bad[2, [0, 5]] = -np.inf  # a masked column has probability 0
    y = softmax(bad)
    limit = softmax_bound(np.where(np.isfinite(bad), bad, x))
    out.append(
        case(
            "nan_row", "softmax_forward", EVERY_TERM, y=Out(y, within(y, limit)), x=In(bad), **dims, ldy=cols, ldx=cols
        )
    )

    bad = x.copy()
    bad[1, 7], bad[3, 2] = NAN, np.inf
    w, eps = 1.0 + make.floats(cols, scale=0.25), 1e-6
    w = round_to(w, "f32")
    with np.errstate(invalid="ignore"):
        y, rstd = rmsnorm.rmsnorm(bad, w, eps)
    arguments = {"x": In(bad), "w": In(w)}
    out.append(
        case(
            "nan_row",
            "rmsnorm_forward",
            EVERY_TERM,
            y=Out(y, within(y, bound(3, cols, np.abs(np.nan_to_num(y, posinf=0.0))))),
            rstd=Out(rstd, within(rstd, bound(2, cols, np.nan_to_num(rstd)))),
            **arguments,
            **dims,
            eps=eps,
        )
    )
    dy, dw = make.floats((rows, cols)), make.floats(cols)
    clean = round_to(rmsnorm.rmsnorm(x, w, eps)[1], "f32")
    saved, bad = clean.copy(), x.copy()
    bad[1, 7], saved[1] = NAN, NAN
    dx, new_dw = rmsnorm.rmsnorm_backward("rmsnorm_backward", dy, bad, w, saved, dw)
    magnitude, dw_limit = rmsnorm.backward_bounds(dy, x, w, clean, dw)
    out.append(
        case(
            "nan_row",
            "rmsnorm_backward",
            EVERY_TERM,
            dx=Out(dx, within(dx, bound(2, cols, magnitude))),
            dw=Out(new_dw, within(new_dw, dw_limit), initial=dw),
            dy=In(dy),
            x=In(bad),
            w=In(w),
            rstd=In(saved),
            **dims,
        )
    )
    return out


def _nan_gemm() -> list[Case]:
    make = Inputs("edges nan gemm")
    m, n, k = 17, 35, 9
    a, b = make.floats((m, k)), make.floats((k, n))
    limit = product_bound(k, np.abs(a) @ np.abs(b), 1.0, 0.0)
    a[3, 2], b[4, 33] = NAN, NAN
    want = (a[:, :, None] * b[None]).sum(axis=1)
    return [
        case(
            "nan_row_and_column",
            "gemm",
            EVERY_TERM,
            c=Out(want, within(want, limit), initial=np.full((m, n), NAN)),
            a=In(a),
            b=In(b),
            trans_a=0,
            trans_b=0,
            m=m,
            n=n,
            k=k,
            ldc=n,
            lda=k,
            ldb=n,
            alpha=1.0,
            beta=0.0,
        )
    ]


def _nan_experts() -> list[Case]:
    """A NaN in a row of A reaches that row, one in a row of w_up that column of its group; in gate and up each stays
    with the sums that it is a term of."""
    make = Inputs("edges nan experts")
    sizes, n, k = [3, 4], 21, 9
    a, w_gate, w_up = make.floats((7, k)), make.floats((2, n, k)), make.floats((2, n, k))
    p, p_size = gemm_swiglu.grouped(a, w_gate.swapaxes(1, 2), sizes, "f32", "f32")
    q, q_size = gemm_swiglu.grouped(a, w_up.swapaxes(1, 2), sizes, "f32", "f32")
    y, gate, up = gemm_swiglu.forward(p, q)
    limits = [gemm_swiglu.forward_bound(p, q, k, p_size, q_size)]
    limits += [product_bound(k, size, 1.0, 0.0) for size in (p_size, q_size)]
    a[1, 4], w_up[1, 18, 0] = NAN, NAN
    for result in (y, gate, up):
        result[1] = NAN
    for result in (y, up):
        result[3:, 18] = NAN
    wants = zip(("y", "gate", "up"), (y, gate, up), limits, strict=True)
    return [
        case(
            "nan_row_and_column",
            "gemm_grouped_swiglu_forward",
            EVERY_TERM,
            **{name: Out(want, within(want, limit)) for name, want, limit in wants},
            a=In(a),
            w_gate=In(w_gate),
            w_up=In(w_up),
            offsets=In(gemm_swiglu.offsets_of(sizes), "i32"),
            a_rows=None,
            groups=2,
            m=7,
            n=n,
            k=k,
            a_row_count=7,
            ldc=n,
            lda=k,
            ldb=k,
            stride_b=n * k,
        )
    ]


def _nan_loss() -> list[Case]:
    """Row 1 is ignored, so its NaN reaches nothing but its own lse; in the second case row 2 counts."""
    out: list[Case] = []
    vocab, targets, before = 21, np.array([4, -1, 20, 0]), np.array([1.5])
    rows = targets.size
    for name, bad_row in (("nan_ignored", 1), ("nan_row", 2)):
        logits = Inputs(f"edges loss {name}").floats((rows, vocab), scale=2.0)
        size = logsumexp_magnitude(logits)
        picked = np.abs(logits[np.arange(rows), np.maximum(targets, 0)])
        losses_size = np.where(targets >= 0, size + picked, 0.0)
        p = softmax(logits)
        spread = p * (1.0 + np.abs(logits - logsumexp(logits)[:, None])) + (np.arange(vocab) == targets[:, None])
        logits[bad_row, 11] = NAN
        lse = logsumexp(logits)
        losses = loss.losses_of(lse, logits, targets)
        total = before + losses.sum(keepdims=True)
        saved = round_to(lse, "f32")
        gradient = loss.cross_entropy_backward(logits, saved, targets, 3)
        dims = {"rows": rows, "vocab": vocab, "ld": vocab}
        out.append(
            case(
                name,
                "cross_entropy_forward",
                EVERY_TERM,
                loss=Out(total, within(total, bound(2, vocab, before + losses_size.sum())), initial=before),
                losses=Out(losses, within(losses, bound(2, vocab, losses_size))),
                lse=Out(lse, within(lse, bound(2, vocab, size))),
                logits=In(logits),
                targets=In(targets, "i32"),
                **dims,
            )
        )
        out.append(
            case(
                name,
                "cross_entropy_backward",
                dlogits=Out(gradient, within(gradient, bound(2, 1, np.where(gradient == 0.0, 0.0, spread) / 3.0))),
                logits=In(logits),
                lse=In(saved),
                targets=In(targets, "i32"),
                count=In(np.array([3]), "i64"),
                **dims,
            )
        )
    return out


def _nan_attention() -> list[Case]:
    """A NaN in key 9 reaches rows 9 and later: the scores of earlier rows do not exist."""
    make = Inputs("edges nan attention")
    n, heads, kv_heads, d, scale = 13, 2, 1, 16, 0.25
    q = make.floats((n, heads, d))
    k, v = make.floats((n, kv_heads, d)), make.floats((n, kv_heads, d))
    layout = attention.Layout(heads, kv_heads, d, 0)
    dims = {**layout.dims(1, n), **layout.q_strides(), **layout.kv_strides()}
    limits = attention_bounds.forward_bounds(q, k, v, scale, "f32")
    want, want_lse = attention.attention(q, k, v, scale)
    want[9:], want_lse[9:] = NAN, NAN
    k[9, 0, 3] = NAN
    return [
        case(
            "nan_in_key",
            "attention_forward",
            EVERY_TERM,
            out=Out(want, within(want, limits[0])),
            lse=Out(want_lse, within(want_lse, limits[1])),
            q=In(q),
            k=In(k),
            v=In(v),
            lengths=None,
            **dims,
            scale=scale,
        )
    ]


# ---------------------------------------------------------------- buffers that end with their last element


def _tight() -> list[Case]:
    make = Inputs("edges tight")
    m, n, k, pad = 5, 7, 19, 3
    a, b = make.floats((m, k)), make.floats((n, k))
    limit = product_bound(k, np.abs(a) @ np.abs(b).T, 1.0, 0.0)
    x, targets = make.floats((m, n), scale=2.0), np.array([0, 6, -1, 3, 2])
    lse = round_to(logsumexp(x), "f32")
    gradient = loss.cross_entropy_backward(x, lse, targets, 4)
    size = softmax(x) * (1.0 + np.abs(x - lse[:, None])) + (np.arange(n) == targets[:, None])
    ld = n + pad
    tight_x = In(tight(x, ld, NAN))
    return [
        case(
            "tight",
            "gemm",
            EVERY_TERM,
            c=tight_out(a @ b.T, limit, ld),
            a=In(tight(a, k + 1, NAN)),
            b=In(tight(b, k + 2, NAN)),
            trans_a=0,
            trans_b=1,
            m=m,
            n=n,
            k=k,
            ldc=ld,
            lda=k + 1,
            ldb=k + 2,
            alpha=1.0,
            beta=0.0,
        ),
        case(
            "tight",
            "softmax_forward",
            EVERY_TERM,
            y=tight_out(softmax(x), softmax_bound(x), ld),
            x=tight_x,
            rows=m,
            cols=n,
            ldy=ld,
            ldx=ld,
        ),
        case(
            "tight",
            "pack",
            y=tight_out(x.T, exact(x.T), m + 1),
            x=tight_x,
            transpose=1,
            rows=n,
            cols=m,
            ldy=m + 1,
            ldx=ld,
        ),
        case("tight", "argmax", ids=Out(x.argmax(axis=1), dtype="i32"), logits=tight_x, rows=m, cols=n, ld=ld),
        case(
            "tight",
            "cross_entropy_backward",
            EVERY_TERM,
            dlogits=tight_out(gradient, bound(2, 1, np.where(gradient == 0.0, 0.0, size) / 4.0), ld),
            logits=tight_x,
            lse=In(lse),
            targets=In(targets, "i32"),
            count=In(np.array([4]), "i64"),
            rows=m,
            vocab=n,
            ld=ld,
        ),
    ]


# ---------------------------------------------------------------- sizes of 0


def _untouched(values: Array) -> Out:
    return Out(values, exact(values), initial=values)


def _empty() -> list[Case]:
    make = Inputs("edges empty")
    c, one = make.floats((3, 5)), make.floats(1)
    dims = {"trans_a": 0, "trans_b": 0, "ldc": 5, "lda": 1, "ldb": 5}
    out = []
    for name, beta in (("k0", 0.0), ("k0_beta", 0.5)):
        want = beta * c
        arguments = {"m": 3, "n": 5, "k": 0, "alpha": 1.0, "beta": beta, **dims}
        order = ("trans_a", "trans_b", "m", "n", "k", "ldc", "lda", "ldb", "alpha", "beta")
        ordered = {key: arguments[key] for key in order}
        out.append(
            case(
                name,
                "gemm",
                EVERY_TERM,
                c=Out(want, exact(want), initial=c),
                a=In(one),
                b=In(one),
                **ordered,
            )
        )
    return [
        *out,
        case("n0", "add_forward", EVERY_TERM, y=_untouched(one), a=In(one), b=In(one), n=0),
        case("n0", "sum_of_squares", EVERY_TERM, sum=Out(np.zeros(1), exact(np.zeros(1))), x=In(one), n=0),
        case(
            "rows0",
            "softmax_forward",
            EVERY_TERM,
            y=_untouched(one),
            x=In(one),
            rows=0,
            cols=1,
            ldy=1,
            ldx=1,
        ),
        case(
            "all_empty",
            "gemm_grouped_swiglu_forward",
            EVERY_TERM,
            y=_untouched(c),
            gate=_untouched(c),
            up=_untouched(c),
            a=In(make.floats((3, 2))),
            w_gate=In(make.floats((2, 5, 2))),
            w_up=In(make.floats((2, 5, 2))),
            offsets=In(np.zeros(3, dtype=np.int64), "i32"),
            a_rows=None,
            groups=2,
            m=3,
            n=5,
            k=2,
            a_row_count=3,
            ldc=5,
            lda=2,
            ldb=2,
            stride_b=10,
        ),
        case(
            "all_empty",
            "gemm_grouped_rows",
            EVERY_TERM,
            c=_untouched(c),
            a=In(make.floats((3, 2))),
            b=In(make.floats((2, 2, 5))),
            offsets=In(np.zeros(3, dtype=np.int64), "i32"),
            a_rows=None,
            trans_b=0,
            groups=2,
            m=3,
            n=5,
            k=2,
            a_row_count=3,
            ldc=5,
            lda=2,
            ldb=5,
            stride_b=10,
            beta=0.0,
        ),
    ]


def cases() -> list[Case]:
    return _nan_rows() + _nan_gemm() + _nan_experts() + _nan_loss() + _nan_attention() + _tight() + _empty()
