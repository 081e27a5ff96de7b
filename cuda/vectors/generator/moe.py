"""moe: route, dispatch, combine, balance loss, z loss."""

from __future__ import annotations

import numpy as np

from .case import Case, GradientCheck, In, Out, Value, bound, case, terms
from .numbers import Array, Inputs, IntArray, round_to
from .softmax import scatter, softmax, softmax_bound, top_k

# ---------------------------------------------------------------- formulas


def route(logits: Array, k: int) -> tuple[Array, IntArray, Array]:
    probs = softmax(logits)
    experts = top_k(logits, k)
    chosen = np.take_along_axis(probs, experts, axis=1)
    return probs, experts, chosen / chosen.sum(axis=1, keepdims=True)


def route_backward(
    dweights: Array, dprobs: Array | None, dlogits_z: Array | None, probs: Array, experts: IntArray, weights: Array
) -> Array:
    t = terms("moe_route_backward")
    total = np.take_along_axis(probs, experts, axis=1).sum(axis=1, keepdims=True)
    direct = t("weights.direct", dweights / total)
    norm = t("weights.norm", np.broadcast_to((dweights * weights).sum(axis=1, keepdims=True) / total, dweights.shape))
    g = scatter(direct - norm, experts, probs.shape[1])
    if dprobs is not None:
        g = g + t("dprobs", dprobs)
    dlogits = t("softmax.direct", probs * g) - t("softmax.mean", probs * (g * probs).sum(axis=1, keepdims=True))
    return dlogits if dlogits_z is None else dlogits + t("z", dlogits_z)


def route_backward_magnitude(
    dweights: Array, dprobs: Array | None, dlogits_z: Array | None, probs: Array, experts: IntArray, weights: Array
) -> Array:
    total = np.take_along_axis(probs, experts, axis=1).sum(axis=1, keepdims=True)
    size = (np.abs(dweights) + np.abs(dweights * weights).sum(axis=1, keepdims=True)) / total
    g = scatter(size, experts, probs.shape[1]) + (0.0 if dprobs is None else np.abs(dprobs))
    out = probs * (g + (g * probs).sum(axis=1, keepdims=True))
    return np.asarray(out + (0.0 if dlogits_z is None else np.abs(dlogits_z)))


def dispatch(experts: IntArray, n_experts: int) -> tuple[IntArray, IntArray, IntArray]:
    """offsets, row_token, token_row."""
    tokens, k = experts.shape
    order = np.argsort(experts.reshape(-1), kind="stable")
    token_row = np.empty(tokens * k, dtype=np.int64)
    token_row[order] = np.arange(tokens * k)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(experts.reshape(-1), minlength=n_experts))])
    return offsets, order // k, token_row.reshape(tokens, k)


def combine(op: str, residual: Array | None, rows: Array, weights: Array, token_row: IntArray) -> Array:
    t = terms(op)
    y = t("rows", np.einsum("tj,tjh->th", weights, rows[token_row]))
    return y if residual is None else t("residual", residual) + y


def combine_backward(dy: Array, rows: Array, weights: Array, token_row: IntArray) -> tuple[Array, Array]:
    t = terms("moe_combine_backward")
    drows = np.empty_like(rows)
    drows[token_row] = t("drows", weights[:, :, None] * dy[:, None, :])
    return drows, t("dweights", np.einsum("th,tjh->tj", dy, rows[token_row]))


def fractions_of(experts: IntArray, n_experts: int) -> Array:
    return np.asarray(np.bincount(experts.reshape(-1), minlength=n_experts) / experts.shape[0])


def balance_loss(probs: Array, fractions: Array, k: int) -> float:
    return float(probs.shape[1] / k * (fractions * probs.mean(axis=0)).sum())


def balance_loss_backward(fractions: Array, tokens: int, k: int, coef: float) -> Array:
    row = coef * fractions.size * fractions / (k * tokens)
    return terms("moe_balance_loss_backward")("dprobs", np.broadcast_to(row, (tokens, fractions.size)))


def logsumexp(x: Array) -> Array:
    m = x.max(axis=1, keepdims=True)
    return np.asarray((m + np.log(np.exp(x - m).sum(axis=1, keepdims=True)))[:, 0])


def logsumexp_magnitude(x: Array) -> Array:
    """|m|, the logarithm and 1 for the relative error of its argument, and the rounding of each exp's argument."""
    m = x.max(axis=1)
    below = np.where(softmax(x) > 0, m[:, None] - x, 0.0)
    return np.asarray(np.abs(m) + np.abs(logsumexp(x) - m) + 1.0 + (softmax(x) * below).sum(axis=1))


def z_loss_backward(logits: Array, coef: float) -> Array:
    gradient = coef * 2.0 * logsumexp(logits)[:, None] * softmax(logits) / logits.shape[0]
    return terms("moe_z_loss_backward")("dlogits", gradient)


# ---------------------------------------------------------------- cases


def router_logits(name: str) -> tuple[Array, int]:
    """Logits [tokens, experts] and k. Within a row values are equal or 1/16 apart: the choice is clear of rounding."""
    make = Inputs(f"router {name}")
    if name == "balanced":
        return np.zeros((6, 4)), 2
    if name == "ties":
        return np.array([[1.0, 2.0, 2.0, 2.0, -1.0], [0.0, -3.0, 0.0, -3.0, 0.0]]), 2
    if name in ("large", "far"):  # far: probabilities down to 1e-60
        step = 2.0 if name == "large" else 20.0
        return ((np.stack([make.permutation(8) for _ in range(5)]) - 4.0) * step + 3000.0).astype(np.float64), 2
    tokens, n_experts, k = {"1x1": (1, 1, 1), "7x4": (7, 4, 2), "17x16": (17, 16, 4), "5x3_all": (5, 3, 3)}[name]
    rows = np.stack([make.permutation(n_experts) for _ in range(tokens)])
    return rows.astype(np.float64) * 3.0 / 16.0 - 1.0, k


def _route_cases() -> list[Case]:
    out: list[Case] = []
    for name in ("1x1", "7x4", "17x16", "5x3_all", "balanced", "ties", "large", "far"):
        logits, k = router_logits(name)
        tokens, n_experts = logits.shape
        dims = {"tokens": tokens, "n_experts": n_experts, "top_k": k}
        probs, experts, weights = route(logits, k)
        below = logits.max(axis=1, keepdims=True) - logits
        chosen = np.take_along_axis(below, experts, axis=1)
        total = np.take_along_axis(probs, experts, axis=1).sum(axis=1, keepdims=True)
        size = weights * (1.0 + chosen + (weights * chosen).sum(axis=1, keepdims=True))
        t = terms("moe_route_forward")
        out.append(
            case(
                name,
                "moe_route_forward",
                probs=Out(t("probs", probs), softmax_bound(logits)),
                experts=Out(experts, dtype="i32"),
                weights=Out(t("weights", weights), bound(2, n_experts, size, flush=1.0 / total + 0 * size)),
                logits=In(logits),
                **dims,
            )
        )
        if name == "far":  # its gradients vanish
            continue
        make = Inputs(f"route backward {name}")
        dweights = make.floats(weights.shape)
        saved_probs, saved_weights = round_to(probs, "f32"), round_to(weights, "f32")
        both = make.floats(probs.shape), make.floats(probs.shape)
        variants: list[tuple[str, Array | None, Array | None]] = [("", both[0], both[1])]
        if name in ("7x4", "balanced"):
            variants += [("_plain", None, None), ("_balance", both[0], None), ("_z", None, both[1])]
        for suffix, dprobs, z in variants:
            saved = (dweights, dprobs, z, saved_probs, experts, saved_weights)
            dlogits = route_backward(*saved)
            limit = bound(2, n_experts, route_backward_magnitude(*saved))
            absent = {n for n, x in (("dprobs", dprobs), ("z", z)) if x is None}
            if dprobs is None:  # the gradient of normalised weights is orthogonal to the probabilities
                absent |= {"softmax.mean"}
            if n_experts == 1:  # a probability of 1 has no slope: what reaches it cancels
                absent |= {"weights.direct", "weights.norm", "dprobs"}
            if k == n_experts:  # the mean over all weights is what the softmax removes anyway
                absent |= {"weights.norm"}
            out.append(
                case(
                    name + suffix,
                    "moe_route_backward",
                    absent,
                    dlogits=Out(dlogits, limit),
                    dweights=In(dweights),
                    dprobs=In(dprobs) if dprobs is not None else None,
                    dlogits_z=In(z) if z is not None else None,
                    probs=In(saved_probs),
                    experts=In(experts, "i32"),
                    weights=In(saved_weights),
                    **dims,
                )
            )
    return out


def chosen_experts(name: str) -> tuple[IntArray, int]:
    """Expert ids [tokens, k] and the number of experts."""
    make = Inputs(f"experts {name}")
    if name == "one_has_all":
        return np.full((9, 1), 2), 4
    tokens, k, n_experts, used = {
        "7x2": (7, 2, 4, 4),
        "empty_experts": (17, 2, 8, 3),
        "1x1": (1, 1, 1, 1),
        "33x4": (33, 4, 16, 16),
        "3x3_all": (3, 3, 3, 3),
    }[name]
    # Ids 1, 3, 5, ... where not all are used: the empty ones are first, last and between.
    labels = np.arange(n_experts) if used == n_experts else 1 + 2 * np.arange(used)
    return labels[np.stack([make.permutation(used)[:k] for _ in range(tokens)])], n_experts


def _dispatch_cases() -> list[Case]:
    out: list[Case] = []
    for name in ("7x2", "empty_experts", "1x1", "33x4", "3x3_all", "one_has_all"):
        experts, n_experts = chosen_experts(name)
        tokens, k = experts.shape
        offsets, row_token, token_row = dispatch(experts, n_experts)
        out.append(
            case(
                name,
                "moe_dispatch_forward",
                offsets=Out(offsets, dtype="i32"),
                row_token=Out(row_token, dtype="i32"),
                token_row=Out(token_row, dtype="i32"),
                experts=In(experts, "i32"),
                tokens=tokens,
                n_experts=n_experts,
                top_k=k,
            )
        )
        hidden = {"33x4": 17, "1x1": 1}.get(name, 33)
        make = Inputs(f"dispatch {name}")
        rows, weights = make.floats((tokens * k, hidden)), np.abs(make.floats((tokens, k), scale=0.5))
        residual, dy = make.floats((tokens, hidden)), make.floats((tokens, hidden))
        dims = {"tokens": tokens, "top_k": k, "hidden": hidden}
        dx = terms("moe_dispatch_backward")("dx", rows[token_row].sum(axis=1))
        out.append(
            case(
                name,
                "moe_dispatch_backward",
                dx=Out(dx, bound(1, k, np.abs(rows[token_row]).sum(axis=1))),
                drows=In(rows),
                token_row=In(token_row, "i32"),
                **dims,
            )
        )
        for suffix, base in (("", residual), ("_no_residual", None)):
            if base is None and name != "7x2":
                continue
            size = np.einsum("tj,tjh->th", weights, np.abs(rows[token_row])) + (0.0 if base is None else np.abs(base))
            out.append(
                case(
                    name + suffix,
                    "moe_combine_forward",
                    set() if base is not None else {"residual"},
                    y=Out(combine("moe_combine_forward", base, rows, weights, token_row), bound(1, k + 1, size)),
                    residual=In(base) if base is not None else None,
                    rows=In(rows),
                    weights=In(weights),
                    token_row=In(token_row, "i32"),
                    **dims,
                )
            )
        drows, dweights = combine_backward(dy, rows, weights, token_row)
        size = np.einsum("th,tjh->tj", np.abs(dy), np.abs(rows[token_row]))
        out.append(
            case(
                name,
                "moe_combine_backward",
                drows=Out(drows, bound(0.5, 1, _drows_magnitude(dy, weights, token_row))),
                dweights=Out(dweights, bound(1, hidden, size)),
                dy=In(dy),
                rows=In(rows),
                weights=In(weights),
                token_row=In(token_row, "i32"),
                **dims,
            )
        )
    return out


def _drows_magnitude(dy: Array, weights: Array, token_row: IntArray) -> Array:
    out = np.empty((token_row.size, dy.shape[1]))
    out[token_row] = weights[:, :, None] * np.abs(dy)[:, None, :]
    return out


def _loss_cases() -> list[Case]:
    out: list[Case] = []
    for name in ("1x1", "7x4", "17x16", "5x3_all", "balanced", "large"):
        logits, k = router_logits(name)
        tokens, n_experts = logits.shape
        probs, experts, _ = route(logits, k)
        saved, fractions = round_to(probs, "f32"), fractions_of(experts, n_experts)
        dims: dict[str, Value] = {"tokens": tokens, "n_experts": n_experts, "top_k": k}
        before = np.array([0.75])
        t = terms("moe_balance_loss_forward")
        loss = balance_loss(saved, fractions, k)
        want = t("previous", before) + t("loss", np.array([loss]))
        out.append(
            case(
                name,
                "moe_balance_loss_forward",
                loss=Out(want, bound(2, max(tokens, n_experts), before + loss), initial=before),
                fractions=Out(fractions, bound(1, 1, fractions)),
                probs=In(saved),
                experts=In(experts, "i32"),
                **dims,
            )
        )
        coef = 0.01
        stored = round_to(fractions, "f32")
        dprobs = balance_loss_backward(stored, tokens, k, coef)
        # coef, the constant of all elements, and the product: at most four roundings in a row.
        out.append(
            case(
                name,
                "moe_balance_loss_backward",
                dprobs=Out(dprobs, bound(1, 4, np.abs(dprobs))),
                fractions=In(stored),
                **dims,
                coef=coef,
            )
        )
        lse, size = logsumexp(logits), logsumexp_magnitude(logits)
        t = terms("moe_z_loss_forward")
        loss = float((lse * lse).mean())
        before = round_to(before * max(1.0, loss), "f32")
        want = t("previous", before) + t("loss", np.array([loss]))
        magnitude = before + (lse * lse + 2.0 * np.abs(lse) * size).mean()
        del dims["top_k"]
        out.append(
            case(
                name,
                "moe_z_loss_forward",
                loss=Out(want, bound(2, max(tokens, n_experts), magnitude), initial=before),
                logits=In(logits),
                **dims,
            )
        )
        coef = 0.001
        below = np.where(probs > 0, logits.max(axis=1, keepdims=True) - logits, 0.0)
        spread = 1.0 + below + (probs * below).sum(axis=1, keepdims=True)
        flush = np.broadcast_to(np.abs(lse)[:, None], probs.shape)
        magnitude = coef * 2.0 / tokens * probs * (size[:, None] + np.abs(lse)[:, None] * spread)
        out.append(
            case(
                name,
                "moe_z_loss_backward",
                {"dlogits"} if n_experts == 1 and lse[0] == 0 else set(),
                dlogits=Out(z_loss_backward(logits, coef), bound(3, n_experts, magnitude, flush=flush)),
                logits=In(logits),
                **dims,
                coef=coef,
            )
        )
    return out


def cases() -> list[Case]:
    return _route_cases() + _dispatch_cases() + _loss_cases()


# ---------------------------------------------------------------- gradients


def gradient_checks() -> list[GradientCheck]:
    make = Inputs("moe gradients")
    logits, k = router_logits("7x4")
    tokens, n_experts = logits.shape
    probs, experts, weights = route(logits, k)
    dweights, dprobs, coef = make.floats(weights.shape), make.floats(probs.shape), 0.7
    rows, residual = make.floats((tokens * k, 3)), make.floats((tokens, 3))
    x, dy = make.floats((tokens, 3)), make.floats((tokens, 3))
    _, row_token, token_row = dispatch(experts, n_experts)
    fractions = fractions_of(experts, n_experts)
    z = z_loss_backward(logits, coef)
    drows, dw = combine_backward(dy, rows, weights, token_row)

    def route_loss(at: Array) -> float:
        """All three things that reach the logits."""
        p, _, w = route(at, k)
        return float((dweights * w).sum() + (dprobs * p).sum() + coef * (logsumexp(at) ** 2).mean())

    def combined(rows: Array, weights: Array) -> float:
        return float((dy * combine("moe_combine_forward", residual, rows, weights, token_row)).sum())

    return [
        GradientCheck(
            "moe_route_backward",
            "dlogits",
            route_loss,
            logits,
            route_backward(dweights, dprobs, z, probs, experts, weights),
        ),
        GradientCheck(
            "moe_dispatch_backward", "dx", lambda v: float((rows * v[row_token]).sum()), x, rows[token_row].sum(axis=1)
        ),
        GradientCheck("moe_combine_backward", "drows", lambda v: combined(v, weights), rows, drows),
        GradientCheck("moe_combine_backward", "dweights", lambda v: combined(rows, v), weights, dw),
        GradientCheck(
            "moe_balance_loss_backward",
            "dprobs",
            lambda v: coef * balance_loss(v, fractions, k),
            probs,
            balance_loss_backward(fractions, tokens, k, coef),
        ),
        GradientCheck("moe_z_loss_backward", "dlogits", lambda v: coef * float((logsumexp(v) ** 2).mean()), logits, z),
    ]
