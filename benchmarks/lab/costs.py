"""What a case has to do at least: floating-point operations, and bytes to and from memory.

An operation is an addition, a multiplication, a division, a comparison, a square root or an exponential, counted as
one each; a fused multiply-add is two. Bytes are those of the arguments, read or written once, f32: what a cache
holds is not subtracted, so a case that fits in cache can exceed the memory's bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Case = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """`limit` is what bounds the case on a machine of today: "fma", "read" or "triad"; None where nothing of the
    machine does (the cost of a call)."""

    flop: float
    byte: float
    limit: str | None

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flop / self.byte if self.byte else 0.0


def cost(case: Case, config: dict[str, int] | None = None) -> Cost:
    """The cost of one run. `config`: the preset's sizes, for the kinds that name one."""
    match case["kind"]:
        case "matmul":
            m, n, k = case["m"], case["n"], case["k"]
            return Cost(2.0 * m * n * k, 4.0 * (m * k + k * n + m * n), "fma")
        case "softmax":  # largest, subtract, exp, sum, divide
            return Cost(5.0 * case["rows"] * case["cols"], 8.0 * case["rows"] * case["cols"], "triad")
        case "silu":  # negate, exp, add, divide
            return Cost(4.0 * case["n"], 8.0 * case["n"], "triad")
        case "swiglu":
            return Cost(5.0 * case["n"], 12.0 * case["n"], "triad")
        case "rmsnorm":  # square and add, two products
            return Cost(4.0 * case["rows"] * case["cols"], 8.0 * case["rows"] * case["cols"], "triad")
        case "cross_entropy":  # softmax twice: the probabilities are not kept between loss and gradient
            return Cost(9.0 * case["rows"] * case["cols"], 12.0 * case["rows"] * case["cols"], "triad")
        case "adamw":
            return Cost(15.0 * case["n"], 28.0 * case["n"], "triad")
        case "attention":
            b, s, h, g, d = (case[name] for name in ("batch", "seq", "n_heads", "n_kv_heads", "head_dim"))
            return Cost(4.0 * b * h * d * s * (s + 1) / 2, 4.0 * b * s * d * (2 * h + 2 * g), "fma")
        case "call":
            return Cost(0.0, 0.0, None)
    if config is None:
        raise ValueError(f"the cost of a {case['kind']} needs its preset's sizes")
    return _model(case, config)


def _model(case: Case, c: dict[str, int]) -> Cost:
    every = 4.0 * (_layer_weights(c) * c["n_layers"] + 2 * c["vocab_size"] * c["hidden_size"])
    match case["kind"]:
        case "moe_layer":
            k, h, f, e, tokens = c["top_k"], c["hidden_size"], c["ffn_size"], c["n_experts"], case["tokens"]
            return Cost(2.0 * tokens * h * (e + 3 * k * f), 4.0 * (3 * e * h * f + 3 * tokens * h), "fma")
        case "forward":
            return Cost(_forward(c, case["batch"], 0, case["seq"]), every, "fma")
        case "train":  # the backward does each product twice, once for either factor's gradient
            return Cost(3.0 * _forward(c, case["batch"], 0, case["seq"]), 7.0 * every, "fma")
        case "prefill":
            return Cost(_forward(c, case["batch"], 0, case["prompt"], logits=1), every, "fma")
        case "decode":
            batch, new = case["batch"], case["new"]
            if "skip" not in case:  # of a result from when a prompt's time was in the case: no one limit bounds the sum
                prefill = _forward(c, batch, 0, case["prompt"] - 1, logits=0)
                steps = sum(_forward(c, batch, case["prompt"] - 1 + i, 1) for i in range(new))
                return Cost(prefill + steps, _step_bytes(c, batch) * new + (every if case["prompt"] > 1 else 0), None)
            past = range(case["prompt"] - 1 + case["skip"], case["prompt"] - 1 + case["skip"] + new)
            flop = sum(_forward(c, batch, known, 1) for known in past)
            cache = sum(8.0 * c["n_layers"] * c["n_kv_heads"] * c["head_dim"] * batch * (known + 1) for known in past)
            return Cost(flop, _step_bytes(c, batch) * new + cache, "read")
    raise ValueError(f"{case['kind']} is no kind of case")


def _step_bytes(c: dict[str, int], batch: int) -> float:
    """What one step of decoding reads: attention, norms, router and LM head once for the whole batch, the experts that
    `batch` independent tokens are expected to meet, E (1 - (1 - k/E)^batch), and a token's row of the embedding each.
    """
    h, e = c["hidden_size"], c["n_experts"]
    met = e * (1.0 - (1.0 - c["top_k"] / e) ** batch)
    layer = _attention_weights(c) + 2 * h + h * e + 3 * met * h * c["ffn_size"]
    return 4.0 * (layer * c["n_layers"] + h + c["vocab_size"] * h + batch * h)


def _token_weights(c: dict[str, int]) -> int:
    """Weights of one layer that one token meets."""
    return _attention_weights(c) + c["hidden_size"] * (c["n_experts"] + 3 * c["top_k"] * c["ffn_size"])


def _layer_weights(c: dict[str, int]) -> int:
    return _attention_weights(c) + c["hidden_size"] * c["n_experts"] * (1 + 3 * c["ffn_size"])


def _attention_weights(c: dict[str, int]) -> int:
    heads = 2 * c["n_heads"] + 2 * c["n_kv_heads"]  # q and o, k and v
    return c["hidden_size"] * heads * c["head_dim"]


def _forward(c: dict[str, int], batch: int, past: int, new: int, logits: int | None = None) -> float:
    """Operations of `new` tokens of each of `batch` sequences behind `past` others; `logits`: how many of the new
    tokens go through the LM head, all of them by default."""
    tokens = batch * new
    pairs = batch * (new * past + new * (new + 1) / 2)
    layers = c["n_layers"] * (2.0 * tokens * _token_weights(c) + 4.0 * pairs * c["n_heads"] * c["head_dim"])
    heads = batch * (new if logits is None else logits)
    return layers + 2.0 * heads * c["vocab_size"] * c["hidden_size"]
