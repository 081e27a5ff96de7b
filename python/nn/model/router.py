"""The router: which experts a token visits, with what weight, and the two losses that keep it balanced."""

from __future__ import annotations

from dataclasses import dataclass

from nn.layers.linear import Linear
from nn.layers.workspace import Workspace
from nn.model.config import MoEConfig
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


@dataclass
class Routing:
    """One forward's decisions. N tokens, E experts, K chosen, R = N K routed rows sorted by expert."""

    logits: Buffer  # [N, E]
    probs: Buffer  # [N, E]
    experts: Buffer  # [N, K] i32, best first
    weights: Buffer  # [N, K], summing to 1 per token
    offsets: Buffer  # [E + 1] i32
    row_token: Buffer  # [R] i32
    token_row: Buffer  # [N, K] i32
    fractions: Buffer  # [E], written when the losses are


class Router:
    """probs = softmax(x Wr^T) in f32; the K largest, renormalised; rows counted and sorted on the device.

    balance = E/K sum_i f_i P_i and z = mean(logsumexp(logits)^2), each a mean over the layer's tokens.
    """

    def __init__(self, backend: Backend, config: MoEConfig, gate: Linear, saved: Workspace, scratch: Workspace) -> None:
        self.backend = backend
        self.gate = gate
        self.n_experts, self.top_k = config.n_experts, config.top_k
        self.saved = saved
        self.scratch = scratch

    def forward(self, x: Buffer, tokens: int) -> Routing:
        """Routes x [tokens, hidden_size]."""
        be, e, k = self.backend, self.n_experts, self.top_k
        r = self.routing(tokens)
        be.gemm(
            r.logits,
            x,
            self._weight(),
            False,
            True,
            tokens,
            e,
            self.gate.in_features,
            e,
            self.gate.in_features,
            self.gate.in_features,
            1.0,
            0.0,
        )
        be.moe_route_forward(r.probs, r.experts, r.weights, r.logits, tokens, e, k)
        be.moe_dispatch_forward(r.offsets, r.row_token, r.token_row, r.experts, tokens, e, k)
        return r

    def losses(self, balance: Buffer, z: Buffer, tokens: int) -> None:
        """balance[0] and z[0] += this layer's losses."""
        r = self.routing(tokens)
        self.backend.moe_balance_loss_forward(
            balance, r.fractions, r.probs, r.experts, tokens, self.n_experts, self.top_k
        )
        self.backend.moe_z_loss_forward(z, r.logits, tokens, self.n_experts)

    def fractions(self, tokens: int) -> None:
        """Restores what the balance loss's backward needs after a recomputed forward, adding to no loss."""
        ignored = self.scratch.get("router.ignored", 1)
        r = self.routing(tokens)
        self.backend.moe_balance_loss_forward(
            ignored, r.fractions, r.probs, r.experts, tokens, self.n_experts, self.top_k
        )

    def backward(
        self, dx: Buffer, dweights: Buffer, x: Buffer, tokens: int, balance_coef: float, z_coef: float
    ) -> None:
        """dx += the gradient through the router, of the chosen weights and of the two losses; dWr is accumulated."""
        be, e, k = self.backend, self.n_experts, self.top_k
        r = self.routing(tokens)
        dprobs = self.scratch.get("router.dprobs", tokens * e)
        dlogits = self.scratch.get("router.dlogits", tokens * e)
        be.moe_balance_loss_backward(dprobs, r.fractions, tokens, e, k, balance_coef)
        be.moe_z_loss_backward(dlogits, r.logits, tokens, e, z_coef)
        be.moe_route_backward(dlogits, dweights, dprobs, dlogits, r.probs, r.experts, r.weights, tokens, e, k)
        h = self.gate.in_features
        be.gemm(self.gate.weight.gradient(), dlogits, x, True, False, e, h, tokens, h, e, h, 1.0, 1.0)
        be.gemm(dx, dlogits, self._weight(), False, False, tokens, h, e, h, e, h, 1.0, 1.0)

    def routing(self, tokens: int) -> Routing:
        """The buffers of the last forward."""
        s, n, rows = self.saved, tokens * self.n_experts, tokens * self.top_k
        return Routing(
            logits=s.get("router.logits", n),
            probs=s.get("router.probs", n),
            experts=s.get("router.experts", rows, DType.I32),
            weights=s.get("router.weights", rows),
            offsets=s.get("router.offsets", self.n_experts + 1, DType.I32),
            row_token=s.get("router.row_token", rows, DType.I32),
            token_row=s.get("router.token_row", rows, DType.I32),
            fractions=s.get("router.fractions", self.n_experts),
        )

    def _weight(self) -> Buffer:
        """The gate in f32: the router stays in f32 whatever the weights are stored in."""
        weight = self.gate.weight.weight
        if weight.dtype == DType.F32:
            return weight
        count = self.n_experts * self.gate.in_features
        wide = self.scratch.get("router.weight", count)
        self.backend.cast(wide, weight, count)
        return wide
