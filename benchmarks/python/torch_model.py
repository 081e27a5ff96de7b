"""The model of a case in PyTorch, eager and by its own operators, as a careful user writes it: experts by sorted rows,
a tensor for each matrix, a cache that is allocated once.

Weights share one array with the layout of `nn.model.weights`, so that a step's outcome is compared as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from nn.json_fields import Fields
from nn.train.adamw import AdamWConfig
from torch import Tensor
from torch.nn import functional

from fresh import Fresh, fresh, ids, input_numbers, prompts
from peers import Model

LR = 1e-4


@dataclass
class Layer:
    """A block's weights [out, in]; the experts' one behind the other."""

    input_norm: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    post_norm: Tensor
    gate: Tensor
    w1: list[Tensor]
    w2: list[Tensor]
    w3: list[Tensor]


Cache = list[tuple[Tensor, Tensor]]
"""Per layer the keys and the values [batch, n_kv_heads, capacity, head_dim]."""


class Mixtral:
    """logits = head(norm(blocks(embedding(ids))))."""

    def __init__(self, given: Fresh, training: bool) -> None:
        self.config = c = given.config
        self.flat = torch.from_numpy(given.values)
        self.weights: dict[str, Tensor] = {}
        for spec in given.specs:
            self.weights[spec.name] = torch.from_numpy(given.tensor(spec)).requires_grad_(training)
        self.layers = [self._layer(f"model.layers.{layer}.") for layer in range(c.n_layers)]
        positions = np.arange(c.max_positions)[:, None]
        angles = positions * c.effective_rope_theta ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
        self.cos, self.sin = (torch.from_numpy(np.tile(f(angles), 2).astype(np.float32)) for f in (np.cos, np.sin))
        self.balance: list[Tensor] = []
        self.z: list[Tensor] = []

    def _layer(self, at: str) -> Layer:
        w, moe = self.weights, f"{at}block_sparse_moe."
        q, k, v, o = (w[f"{at}self_attn.{name}_proj.weight"] for name in "qkvo")
        w1, w2, w3 = (
            [w[f"{moe}experts.{e}.{name}.weight"] for e in range(self.config.n_experts)] for name in ("w1", "w2", "w3")
        )
        before, after = (w[f"{at}{name}_layernorm.weight"] for name in ("input", "post_attention"))
        return Layer(before, q, k, v, o, after, w[f"{moe}gate.weight"], w1, w2, w3)

    def cache(self, batch: int, capacity: int) -> Cache:
        shape = (batch, self.config.n_kv_heads, capacity, self.config.head_dim)
        return [(torch.zeros(shape), torch.zeros(shape)) for _ in self.layers]

    def forward(self, ids: Tensor, cache: Cache | None = None, start: int = 0) -> Tensor:
        """Logits of ids [batch, seq]: [batch, seq, vocab_size], or with a cache [batch, vocab_size] of the last
        positions, where ids continue from `start` or are a single token."""
        self.balance, self.z = [], []
        x = functional.embedding(ids, self.weights["model.embed_tokens.weight"])
        for number, layer in enumerate(self.layers):
            attended = self._attention(layer, self._norm(x, layer.input_norm), cache[number] if cache else None, start)
            x = x + attended
            x = x + self.moe(layer, self._norm(x, layer.post_norm))
        if cache:
            x = x[:, -1]
        return functional.linear(self._norm(x, self.weights["model.norm.weight"]), self.weights["lm_head.weight"])

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, weight.shape, weight, self.config.rms_norm_eps)

    def _rotated(self, x: Tensor, start: int) -> Tensor:
        """x cos + (-second half, first half) sin, of x [batch, heads, seq, head_dim]."""
        seq = x.shape[2]
        first, second = x.chunk(2, -1)
        turned = torch.cat((-second, first), -1)
        return x * self.cos[start : start + seq] + turned * self.sin[start : start + seq]

    def _attention(self, layer: Layer, x: Tensor, cache: tuple[Tensor, Tensor] | None, start: int) -> Tensor:
        c = self.config
        batch, seq, _ = x.shape
        q, k, v = (
            functional.linear(x, weight).view(batch, seq, -1, c.head_dim).transpose(1, 2)
            for weight in (layer.q, layer.k, layer.v)
        )
        q, k = self._rotated(q, start), self._rotated(k, start)
        if cache:
            for kept, new in zip(cache, (k, v), strict=True):
                kept[:, :, start : start + seq] = new
        if seq == 1 and cache:
            # The heads that share keys are rows of one product: no key is read twice.
            grouped = q.reshape(batch, c.n_kv_heads, -1, c.head_dim)
            keys, values = (kept[:, :, : start + 1] for kept in cache)
            out = functional.scaled_dot_product_attention(grouped, keys, values).reshape(
                batch, c.n_heads, 1, c.head_dim
            )
        else:
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return functional.linear(out.transpose(1, 2).reshape(batch, seq, -1), layer.o)

    def moe(self, layer: Layer, x: Tensor) -> Tensor:
        """x [..., hidden_size] through the chosen experts; in training the router's two losses are kept."""
        c = self.config
        rows = x.reshape(-1, c.hidden_size)
        logits = functional.linear(rows, layer.gate)
        probs = logits.softmax(-1)
        weights, chosen = probs.topk(c.top_k, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        if len(rows) == 1:
            parts = [self._expert(layer, expert, rows) for expert in chosen[0].tolist()]
            return (weights @ torch.cat(parts)).view_as(x)
        order = chosen.view(-1).argsort(stable=True)
        token = order // c.top_k
        counts = torch.bincount(chosen.view(-1), minlength=c.n_experts)
        training = torch.is_grad_enabled()
        if training:
            fractions = counts / len(rows)
            self.balance.append(c.n_experts / c.top_k * (fractions * probs.mean(0)).sum())
            self.z.append(logits.logsumexp(-1).square().mean())
        # In training an expert without rows has a gradient too, of zeros, and decays.
        parts = [
            self._expert(layer, expert, mine)
            for expert, mine in enumerate(rows[token].split(counts.tolist()))
            if training or len(mine)
        ]
        weighted = torch.cat(parts) * weights.view(-1)[order].unsqueeze(1)
        return torch.zeros_like(rows).index_add(0, token, weighted).view_as(x)

    def _expert(self, layer: Layer, expert: int, x: Tensor) -> Tensor:
        gate = functional.silu(functional.linear(x, layer.w1[expert]))
        return functional.linear(gate * functional.linear(x, layer.w3[expert]), layer.w2[expert])


def model(case: Fields, threads: int) -> Model:
    """The work of a case with a model."""
    torch.set_num_threads(threads)
    kind = case.string("kind")
    return KINDS[kind](case, Mixtral(fresh(case), training=kind == "train"))


def _inference(run: Callable[[], Tensor], dtype: type) -> Model:
    kept: list[Tensor] = []

    def once() -> None:
        with torch.inference_mode():
            kept[:] = [run()]

    return Model(once, lambda: kept[0].numpy().astype(dtype).tobytes())


def _moe_layer(case: Fields, mixtral: Mixtral) -> Model:
    shape = (case.integer("tokens"), mixtral.config.hidden_size)
    x, residual = (torch.from_numpy(input_numbers(t, shape[0] * shape[1])).view(shape) for t in range(2))
    return _inference(lambda: residual + mixtral.moe(mixtral.layers[0], x), np.float32)


def _forward(case: Fields, mixtral: Mixtral) -> Model:
    given = torch.from_numpy(ids(case, mixtral.config.vocab_size))
    return _inference(lambda: mixtral.forward(given), np.float32)


def _prefill(case: Fields, mixtral: Mixtral) -> Model:
    given = torch.from_numpy(prompts(case, mixtral.config.vocab_size))
    batch, prompt = given.shape
    cache = mixtral.cache(batch, prompt + 1)
    return _inference(lambda: mixtral.forward(given, cache).argmax(-1, keepdim=True), np.int32)


def _decode(case: Fields, mixtral: Mixtral) -> Model:
    given = torch.from_numpy(prompts(case, mixtral.config.vocab_size))
    batch, prompt = given.shape
    skip, new = case.integer("skip"), case.integer("new")
    with torch.inference_mode():
        cache = mixtral.cache(batch, prompt + skip + new)
        last = mixtral.forward(given, cache).argmax(-1, keepdim=True)
        for step in range(1, skip):
            last = mixtral.forward(last, cache, prompt + step - 1).argmax(-1, keepdim=True)

    def run() -> Tensor:
        made = [last]
        for step in range(new):
            made.append(mixtral.forward(made[-1], cache, prompt + skip + step - 1).argmax(-1, keepdim=True))
        return torch.cat(made[1:], 1)

    return _inference(run, np.int32)


def _train(case: Fields, mixtral: Mixtral) -> Model:
    """Cross entropy with the router's losses, clipping, AdamW with decay on matrices alone."""
    c, how = mixtral.config, AdamWConfig()
    given = torch.from_numpy(ids(case, c.vocab_size))
    targets = torch.from_numpy(np.roll(given.numpy(), -1, axis=1)).reshape(-1)
    weights = list(mixtral.weights.values())
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if weight.dim() == 2], "weight_decay": how.weight_decay},
        {"params": [weight for weight in weights if weight.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(how.beta1, how.beta2), eps=how.eps, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        logits = mixtral.forward(given)
        loss = functional.cross_entropy(logits.view(-1, c.vocab_size), targets)
        loss = loss + (c.aux_coef * sum(mixtral.balance) + c.z_coef * sum(mixtral.z)) / c.n_layers
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, how.max_norm)
        optimizer.step()

    return Model(run, lambda: mixtral.flat.numpy().tobytes())


KINDS: dict[str, Callable[[Fields, Mixtral], Model]] = {
    "decode": _decode,
    "forward": _forward,
    "moe_layer": _moe_layer,
    "prefill": _prefill,
    "train": _train,
}
