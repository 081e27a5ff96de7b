"""attention: scores and output, flash, and over the paged cache. Bounds stand in attention_bounds.py."""

from __future__ import annotations

import numpy as np

from .attention_bounds import cached_bound, forward_bounds, gradient_bounds
from .case import Bound, Case, GradientCheck, In, Out, bound, case, exact, terms
from .numbers import Array, Inputs, IntArray, round_to

GAP = -3.0


# ---------------------------------------------------------------- formulas; q, k, v [tokens, heads, d] of one sequence


def spread_heads(kv: Array, n_heads: int) -> Array:
    """Each key/value head once per query head of its group."""
    return np.repeat(kv, n_heads // kv.shape[1], axis=1)


def gather_heads(d: Array, n_kv_heads: int) -> Array:
    """Sum over the query heads of each group."""
    tokens, n_heads, head_dim = d.shape
    return np.asarray(d.reshape(tokens, n_kv_heads, n_heads // n_kv_heads, head_dim).sum(axis=2))


def scores_of(q: Array, k: Array, scale: float) -> Array:
    """[heads, i, j], -inf above the diagonal."""
    s = scale * np.einsum("ihd,jhd->hij", q, spread_heads(k, q.shape[1]))
    return np.where(np.tril(np.ones(s.shape[1:], dtype=bool)), s, -np.inf)


def logsumexp(s: Array) -> Array:
    m = s.max(axis=-1, keepdims=True)
    return np.asarray((m + np.log(np.exp(s - m).sum(axis=-1, keepdims=True)))[..., 0])


def attention(q: Array, k: Array, v: Array, scale: float) -> tuple[Array, Array]:
    """out [tokens, heads, d] and lse [tokens, heads]."""
    s = scores_of(q, k, scale)
    lse = logsumexp(s)
    p = np.exp(s - lse[:, :, None])
    return np.einsum("hij,jhd->ihd", p, spread_heads(v, q.shape[1])), lse.T


def attention_backward(
    dout: Array, q: Array, k: Array, v: Array, out: Array, lse: Array, scale: float
) -> tuple[Array, Array, Array]:
    """dq, dk, dv from the saved out and lse."""
    t = terms("attention_backward")
    n_heads, n_kv_heads = q.shape[1], k.shape[1]
    wide_k, wide_v = spread_heads(k, n_heads), spread_heads(v, n_heads)
    p = np.exp(scores_of(q, k, scale) - lse.T[:, :, None])
    dp = np.einsum("ihd,jhd->hij", dout, wide_v)
    row = np.einsum("ihd,ihd->hi", dout, out)[:, :, None]

    def ds(name: str) -> Array:
        return t(name + ".direct", p * dp) - t(name + ".row", p * row)

    dq = scale * np.einsum("hij,jhd->ihd", ds("dq"), wide_k)
    dk = scale * np.einsum("hij,ihd->jhd", ds("dk"), q)
    dv = np.einsum("hij,ihd->jhd", p, dout)
    op = "attention_backward"
    return dq, _group_sum(op, "dk", dk, n_kv_heads), _group_sum(op, "dv", dv, n_kv_heads)


def _group_sum(op: str, name: str, d: Array, n_kv_heads: int) -> Array:
    """Sum over a group as two terms: its first head, and the others where there are any."""
    t = terms(op)
    tokens, n_heads, head_dim = d.shape
    grouped = d.reshape(tokens, n_kv_heads, n_heads // n_kv_heads, head_dim)
    total = t(name + ".first_head", grouped[:, :, 0])
    return total if n_heads == n_kv_heads else total + t(name + ".other_heads", grouped[:, :, 1:].sum(axis=2))


def scores_backward(ds: Array, q: Array, k: Array, scale: float) -> tuple[Array, Array]:
    """ds [heads, i, j]; what stands above the diagonal has no part."""
    op = "attention_scores_backward"
    ds = np.tril(ds)
    dq = scale * np.einsum("hij,jhd->ihd", ds, spread_heads(k, q.shape[1]))
    dk = scale * np.einsum("hij,ihd->jhd", ds, q)
    return terms(op)("dq", dq), _group_sum(op, "dk", dk, k.shape[1])


def output_backward(dout: Array, probs: Array, v: Array) -> tuple[Array, Array]:
    op = "attention_output_backward"
    dprobs = np.tril(np.einsum("ihd,jhd->hij", dout, spread_heads(v, dout.shape[1])))
    dv = np.einsum("hij,ihd->jhd", np.tril(probs), dout)
    return terms(op)("dprobs", dprobs), _group_sum(op, "dv", dv, v.shape[1])


# ---------------------------------------------------------------- layouts


def place(x: Array, token_stride: int, head_stride: int, fill: float) -> Array:
    """[tokens, heads, d] -> a flat buffer with these strides, fill in between."""
    tokens, heads, head_dim = x.shape
    size = max((tokens - 1) * token_stride + (heads - 1) * head_stride + head_dim, tokens * token_stride)
    flat = np.full(size, fill)
    index = (
        np.arange(tokens)[:, None, None] * token_stride
        + np.arange(heads)[None, :, None] * head_stride
        + np.arange(head_dim)[None, None, :]
    )
    flat[index] = x
    return flat


class Layout:
    """Strides of q and of k, v, with pad elements behind the heads of each token (as when q, k, v share one buffer)."""

    def __init__(self, n_heads: int, n_kv_heads: int, head_dim: int, pad: int) -> None:
        self.n_heads, self.n_kv_heads, self.head_dim = n_heads, n_kv_heads, head_dim
        self.q = (n_heads * head_dim + pad, head_dim)
        self.kv = (n_kv_heads * head_dim + 2 * pad, head_dim)

    def dims(self, batch: int, seq_len: int) -> dict[str, int]:
        return {
            "batch": batch,
            "seq_len": seq_len,
            "n_heads": self.n_heads,
            "n_kv_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
        }

    def q_strides(self) -> dict[str, int]:
        return {"q_token_stride": self.q[0], "q_head_stride": self.q[1]}

    def kv_strides(self) -> dict[str, int]:
        return {"kv_token_stride": self.kv[0], "kv_head_stride": self.kv[1]}

    def gradient(self, want: Array, limit: Bound, strides: tuple[int, int]) -> Out:
        """A gradient with the strides of its input; what stands between stays."""
        flat = want.reshape(-1, *want.shape[-2:])
        return Out(
            place(flat, *strides, GAP),
            Bound(place(limit.array.reshape(flat.shape), *strides, 0.0), limit.parts),
            initial=place(np.full_like(flat, np.nan), *strides, GAP),
        )

    def operand(self, x: Array, strides: tuple[int, int], dtype: str = "f32") -> In:
        return In(place(x.reshape(-1, *x.shape[-2:]), *strides, np.nan), dtype)


# ---------------------------------------------------------------- scores and output: the readable path


def _readable_cases() -> list[Case]:
    out: list[Case] = []
    for name, batch, seq_len, n_heads, n_kv_heads, head_dim, pad in (
        ("2x5_mqa_d16", 2, 5, 3, 1, 16, 0),
        ("1x9_gqa_d20_pad", 1, 9, 6, 2, 20, 4),
        ("2x1_d4", 2, 1, 1, 1, 4, 0),
    ):
        make = Inputs(f"attention readable {name}")
        layout = Layout(n_heads, n_kv_heads, head_dim, pad)
        scale = 1.0 / float(np.sqrt(head_dim))
        q = make.floats((batch, seq_len, n_heads, head_dim))
        k, v = (make.floats((batch, seq_len, n_kv_heads, head_dim)) for _ in range(2))
        dims, both = layout.dims(batch, seq_len), {**layout.q_strides(), **layout.kv_strides()}
        square = (batch, n_heads, seq_len, seq_len)
        lower = np.tril(np.ones((seq_len, seq_len), dtype=bool))

        want = np.stack([scores_of(q[b], k[b], scale) for b in range(batch)])
        magnitude = np.stack([scores_of(np.abs(q[b]), np.abs(k[b]), scale) for b in range(batch)])
        limit = bound(2, head_dim, np.where(lower, magnitude, 0.0))
        scores = terms("attention_scores_forward")("scores", np.where(lower, want, 0.0))
        out.append(
            case(
                name,
                "attention_scores_forward",
                scores=Out(np.where(lower, scores, -np.inf), limit),
                q=layout.operand(q, layout.q),
                k=layout.operand(k, layout.kv),
                **dims,
                **both,
                scale=scale,
            )
        )

        # Above the diagonal stands what must not be read.
        ds = np.where(lower, make.floats(square), 7.0)
        gradients = [scores_backward(ds[b], q[b], k[b], scale) for b in range(batch)]
        magnitudes = [_scores_backward_magnitude(ds[b], q[b], k[b], scale) for b in range(batch)]
        dq, dk = (np.stack(x) for x in zip(*gradients, strict=True))
        dq_size, dk_size = (np.stack(x) for x in zip(*magnitudes, strict=True))
        terms_of_dq = np.arange(1, seq_len + 1)[None, :, None, None]
        terms_of_dk = (n_heads // n_kv_heads) * terms_of_dq[:, ::-1]
        out.append(
            case(
                name,
                "attention_scores_backward",
                _absent(n_heads, n_kv_heads),
                dq=layout.gradient(dq, bound(2, np.broadcast_to(terms_of_dq, dq.shape), dq_size), layout.q),
                dk=layout.gradient(dk, bound(2, np.broadcast_to(terms_of_dk, dk.shape), dk_size), layout.kv),
                dscores=In(ds),
                q=layout.operand(q, layout.q),
                k=layout.operand(k, layout.kv),
                **dims,
                **both,
                scale=scale,
            )
        )

        exact_probs = np.exp(want - np.stack([logsumexp(s) for s in want])[..., None])
        probs = np.where(lower, round_to(exact_probs, "f32"), 3.0)
        masked = np.tril(probs)
        y = np.stack([np.einsum("hij,jhd->ihd", masked[b], spread_heads(v[b], n_heads)) for b in range(batch)])
        wide_v = [spread_heads(np.abs(v[b]), n_heads) for b in range(batch)]
        size = np.stack([np.einsum("hij,jhd->ihd", masked[b], wide_v[b]) for b in range(batch)])
        out.append(
            case(
                name,
                "attention_output_forward",
                out=Out(
                    terms("attention_output_forward")("out", y), bound(1, np.broadcast_to(terms_of_dq, y.shape), size)
                ),
                probs=In(probs),
                v=layout.operand(v, layout.kv),
                **dims,
                **layout.kv_strides(),
            )
        )

        dout = make.floats((batch, seq_len, n_heads, head_dim))
        gradients = [output_backward(dout[b], probs[b], v[b]) for b in range(batch)]
        dprobs, dv = (np.stack(x) for x in zip(*gradients, strict=True))
        dp_size = np.stack([np.tril(np.einsum("ihd,jhd->hij", np.abs(dout[b]), wide_v[b])) for b in range(batch)])
        dv_wide = [np.einsum("hij,ihd->jhd", masked[b], np.abs(dout[b])) for b in range(batch)]
        dv_size = np.stack([gather_heads(x, n_kv_heads) for x in dv_wide])
        out.append(
            case(
                name,
                "attention_output_backward",
                _absent(n_heads, n_kv_heads),
                dprobs=Out(dprobs, bound(1, head_dim, dp_size)),
                dv=layout.gradient(dv, bound(1, np.broadcast_to(terms_of_dk, dv.shape), dv_size), layout.kv),
                dout=In(dout),
                probs=In(probs),
                v=layout.operand(v, layout.kv),
                **dims,
                **layout.kv_strides(),
            )
        )
    return out


def _absent(n_heads: int, n_kv_heads: int, seq_len: int = 0) -> set[str]:
    """A group of one head has no others. A single key has probability 1 whatever its score, so dk is 0."""
    return ({"dk.other_heads", "dv.other_heads"} if n_heads == n_kv_heads else set()) | (
        {"dk.first_head"} if seq_len == 1 else set()
    )


def _scores_backward_magnitude(ds: Array, q: Array, k: Array, scale: float) -> tuple[Array, Array]:
    ds = np.abs(np.tril(ds))
    dq = scale * np.einsum("hij,jhd->ihd", ds, spread_heads(np.abs(k), q.shape[1]))
    return dq, gather_heads(scale * np.einsum("hij,ihd->jhd", ds, np.abs(q)), k.shape[1])


# ---------------------------------------------------------------- flash


def _flash_cases() -> list[Case]:
    out: list[Case] = []
    for name, seq_len, n_heads, n_kv_heads, head_dim, pad, lengths, kv_dtype, out_dtype, spread in (
        ("5_mqa_d16", 5, 4, 1, 16, 0, None, "f32", "f32", 1.0),
        ("7_gqa_d20_lengths", 7, 6, 2, 20, 4, [7, 0, 4], "f32", "f32", 1.0),
        ("7_d64", 7, 2, 1, 64, 0, None, "f32", "f32", 1.0),
        ("70_crosses_64", 70, 2, 1, 4, 0, [70, 65], "f32", "f32", 1.0),
        ("530_crosses_512", 530, 1, 1, 4, 0, None, "f32", "f32", 1.0),
        ("1_d16", 1, 2, 2, 16, 0, None, "f32", "f32", 1.0),
        ("9_large_logits", 9, 2, 1, 16, 0, None, "f32", "f32", 30.0),
        ("9_gqa_bf16", 9, 4, 2, 16, 0, [9, 4], "bf16", "bf16", 1.0),
        ("5_f16", 5, 2, 1, 16, 0, None, "f16", "f32", 1.0),
    ):
        make = Inputs(f"attention {name}")
        batch = len(lengths) if lengths else 1
        layout = Layout(n_heads, n_kv_heads, head_dim, pad)
        scale = 1.0 / float(np.sqrt(head_dim))
        shape = (batch, seq_len, n_heads, head_dim)
        q = make.floats(shape, scale=spread)
        k, v = (make.floats((batch, seq_len, n_kv_heads, head_dim), kv_dtype) for _ in range(2))
        dout = make.floats(shape)
        want, want_limit, lse, lse_limit = np.zeros(shape), np.zeros(shape), np.zeros(shape[:3]), np.zeros(shape[:3])
        gradients = {n: (np.zeros(x.shape), np.zeros(x.shape)) for n, x in (("dq", q), ("dk", k), ("dv", v))}
        saved_out, saved_lse = np.full(shape, np.nan), np.full(shape[:3], np.nan)
        parts: dict[str, tuple[str, ...]] = {}
        for b in range(batch):
            n = lengths[b] if lengths else seq_len
            if n == 0:
                continue
            exact_out, exact_lse = attention(q[b, :n], k[b, :n], v[b, :n], scale)
            want[b, :n], lse[b, :n] = exact_out, exact_lse
            limits = forward_bounds(q[b, :n], k[b, :n], v[b, :n], scale, kv_dtype)
            stored = limits[0].stored_as(out_dtype, exact_out)
            want_limit[b, :n], lse_limit[b, :n] = stored.array, limits[1].array
            saved_out[b, :n], saved_lse[b, :n] = round_to(exact_out, "f32"), round_to(exact_lse, "f32")
            saved = (dout[b, :n], q[b, :n], k[b, :n], v[b, :n], saved_out[b, :n], saved_lse[b, :n], scale)
            grad_limits = gradient_bounds(*saved, kv_dtype)
            for (gradient, limit), new, new_limit in zip(
                gradients.values(), attention_backward(*saved), grad_limits, strict=True
            ):
                gradient[b, :n], limit[b, :n] = new, new_limit.array
            if n == max(lengths or [seq_len]):
                parts = {"out": stored.parts, "lse": limits[1].parts}
                parts |= {g: x.parts for g, x in zip(gradients, grad_limits, strict=True)}
        for b in range(batch):
            # Tokens that do not exist are never read.
            n = lengths[b] if lengths else seq_len
            for x in (q, k, v, dout):
                x[b, n:] = np.nan
        dims = {**layout.dims(batch, seq_len), **layout.q_strides(), **layout.kv_strides()}
        q_in = layout.operand(q, layout.q)
        k_in, v_in = (layout.operand(x, layout.kv, kv_dtype) for x in (k, v))
        lengths_in = In(np.array(lengths), "i32") if lengths else None
        t = terms("attention_forward")
        out.append(
            case(
                name,
                "attention_forward",
                out=Out(t("out", want), Bound(want_limit, parts["out"]), out_dtype),
                lse=Out(t("lse", lse), Bound(lse_limit, parts["lse"])),
                q=q_in,
                k=k_in,
                v=v_in,
                lengths=lengths_in,
                **dims,
                scale=scale,
            )
        )
        out.append(
            case(
                name,
                "attention_backward",
                _absent(n_heads, n_kv_heads, seq_len),
                dq=layout.gradient(gradients["dq"][0], Bound(gradients["dq"][1], parts["dq"]), layout.q),
                dk=layout.gradient(gradients["dk"][0], Bound(gradients["dk"][1], parts["dk"]), layout.kv),
                dv=layout.gradient(gradients["dv"][0], Bound(gradients["dv"][1], parts["dv"]), layout.kv),
                dout=In(dout),
                q=q_in,
                k=k_in,
                v=v_in,
                out=In(saved_out),
                lse=In(saved_lse),
                lengths=lengths_in,
                **dims,
                scale=scale,
            )
        )
    return out


# ---------------------------------------------------------------- the paged cache


def _cache_cases() -> list[Case]:
    out: list[Case] = []
    # positions[b] tokens stand in the cache already, lengths[b] of new_len come; tables None: page p of sequence b is
    # b pages_per_sequence + p.
    for name, positions, lengths, new_len, n_heads, n_kv_heads, head_dim, pages, table, dtype, out_dtype in (
        ("prefill_d16", [0, 0], [5, 3], 5, 4, 1, 16, 1, None, "f32", "f32"),
        ("decode_shuffled", [63, 64, 127], None, 1, 2, 1, 8, 2, [[3, 0], [5, 1], [2, 4]], "f32", "f32"),
        ("chunk_crosses_page", [60, 0], [9, 0], 9, 6, 2, 4, 2, [[2, 0], [1, 3]], "f32", "f32"),
        ("far_crosses_512", [515], [3], 3, 2, 1, 4, 9, [[4, 7, 0, 8, 2, 6, 1, 3, 5]], "f32", "f32"),
        ("bf16_d20", [2, 7], [2, 1], 2, 4, 2, 20, 1, [[1], [0]], "bf16", "bf16"),
    ):
        make = Inputs(f"cache {name}")
        page_size = 64
        batch, n_pages = len(positions), len(positions) * pages
        layout = Layout(n_heads, n_kv_heads, head_dim, 0 if out_dtype == "f32" else 4)
        scale = 1.0 / float(np.sqrt(head_dim))
        block_table: IntArray = np.array(table) if table else np.arange(n_pages).reshape(batch, pages)
        counts = lengths or [new_len] * batch
        capacity = pages * page_size
        k_all, v_all = (make.floats((batch, capacity, n_kv_heads, head_dim), dtype) for _ in range(2))
        new_k, new_v = (make.floats((batch, new_len, n_kv_heads, head_dim)) for _ in range(2))
        q = make.floats((batch, new_len, n_heads, head_dim))
        page_shape = (n_pages, page_size, n_kv_heads, head_dim)
        k_before, v_before = np.full(page_shape, GAP), np.full(page_shape, GAP)
        k_after, v_after = k_before.copy(), v_before.copy()
        # For attention, keys beyond the length are never read.
        k_read, v_read = np.full(page_shape, np.nan), np.full(page_shape, np.nan)
        want = np.zeros((batch, new_len, n_heads, head_dim))
        want_limit = np.zeros_like(want)
        parts: tuple[str, ...] = ()
        append = terms("cache_append")
        for b, (first, count) in enumerate(zip(positions, counts, strict=True)):
            total = first + count
            for p in range(total):
                page, slot = block_table[b, p // page_size], p % page_size
                k_read[page, slot], v_read[page, slot] = k_all[b, p], v_all[b, p]
                if p >= first:
                    k_after[page, slot] = append("k", round_to(new_k[b, p - first], dtype))
                    v_after[page, slot] = append("v", round_to(new_v[b, p - first], dtype))
            if count:
                keys, values = k_all[b, :total], v_all[b, :total]
                y = cached_attention(q[b, :count], keys, values, first, scale)
                limit = cached_bound(q[b, :count], keys, values, first, scale, dtype).stored_as(out_dtype, y)
                want[b, :count], want_limit[b, :count], parts = y, limit.array, limit.parts
            q[b, count:] = np.nan
            new_k[b, count:] = np.nan
            new_v[b, count:] = np.nan
        table_in = In(block_table, "i32") if table else None
        positions_in, lengths_in = In(np.array(positions), "i32"), In(np.array(lengths), "i32") if lengths else None
        cache = {"page_size": page_size, "pages_per_sequence": pages, "n_pages": n_pages}
        out.append(
            case(
                name,
                "cache_append",
                k_cache=Out(k_after, exact(k_after), dtype, initial=k_before),
                v_cache=Out(v_after, exact(v_after), dtype, initial=v_before),
                k=layout.operand(new_k, layout.kv),
                v=layout.operand(new_v, layout.kv),
                block_table=table_in,
                positions=positions_in,
                lengths=lengths_in,
                batch=batch,
                new_len=new_len,
                n_kv_heads=n_kv_heads,
                head_dim=head_dim,
                **cache,
                **layout.kv_strides(),
            )
        )
        out.append(
            case(
                name,
                "attention_cached_forward",
                out=Out(
                    terms("attention_cached_forward")("out", want),
                    Bound(want_limit, parts),
                    out_dtype,
                ),
                q=layout.operand(q, layout.q),
                k_cache=In(k_read, dtype),
                v_cache=In(v_read, dtype),
                block_table=table_in,
                positions=positions_in,
                lengths=lengths_in,
                batch=batch,
                new_len=new_len,
                n_heads=n_heads,
                n_kv_heads=n_kv_heads,
                head_dim=head_dim,
                **cache,
                **layout.q_strides(),
                scale=scale,
            )
        )
    return out


def cached_attention(q: Array, k: Array, v: Array, first: int, scale: float) -> Array:
    """The last rows of the full forward: queries at positions first, first + 1, ... over all keys up to their own."""
    padded = np.concatenate([np.zeros((first, *q.shape[1:])), q])
    return attention(padded, k, v, scale)[0][first:]


def cases() -> list[Case]:
    return _readable_cases() + _flash_cases() + _cache_cases()


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("attention gradients")
    q, dout = make.floats((5, 4, 6)), make.floats((5, 4, 6))
    k, v = make.floats((5, 2, 6)), make.floats((5, 2, 6))
    scale = 0.4
    out, lse = attention(q, k, v, scale)
    dq, dk, dv = attention_backward(dout, q, k, v, out, lse, scale)
    lower = np.tril(np.ones((5, 5)))
    ds = make.floats((4, 5, 5))
    probs = np.tril(make.floats((4, 5, 5)))

    def scores_loss(q: Array, k: Array) -> float:
        return float((ds * lower * np.where(lower > 0, scores_of(q, k, scale), 0.0)).sum())

    def output_loss(probs: Array, v: Array) -> float:
        return float((dout * np.einsum("hij,jhd->ihd", lower * probs, spread_heads(v, 4))).sum())

    scores_dq, scores_dk = scores_backward(ds, q, k, scale)
    dprobs, output_dv = output_backward(dout, probs, v)
    return [
        GradientCheck("attention_backward", "dq", lambda x: float((dout * attention(x, k, v, scale)[0]).sum()), q, dq),
        GradientCheck("attention_backward", "dk", lambda x: float((dout * attention(q, x, v, scale)[0]).sum()), k, dk),
        GradientCheck("attention_backward", "dv", lambda x: float((dout * attention(q, k, x, scale)[0]).sum()), v, dv),
        GradientCheck("attention_scores_backward", "dq", lambda x: scores_loss(x, k), q, scores_dq),
        GradientCheck("attention_scores_backward", "dk", lambda x: scores_loss(q, x), k, scores_dk),
        GradientCheck("attention_output_backward", "dprobs", lambda x: output_loss(x, v), probs, dprobs),
        GradientCheck("attention_output_backward", "dv", lambda x: output_loss(probs, x), v, output_dv),
    ]
