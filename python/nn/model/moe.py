"""Mixture of experts: route, run the chosen experts, and sum what they say."""

from __future__ import annotations

from nn.layers.swiglu import SwiGLU
from nn.layers.workspace import Workspace
from nn.model.config import MoEConfig
from nn.model.router import Router
from nn.tensor.backend import Backend, Buffer


class MoELayer:
    """y[t] = residual[t] + sum_j weights[t,j] expert_{experts[t,j]}(x[t]), choices in rank order, none dropped."""

    def __init__(
        self,
        backend: Backend,
        config: MoEConfig,
        router: Router,
        experts: SwiGLU,
        saved: Workspace,
        scratch: Workspace,
    ) -> None:
        self.backend = backend
        self.router = router
        self.experts = experts
        self.hidden_size, self.top_k = config.hidden_size, config.top_k
        self.saved = saved
        self.scratch = scratch

    def forward(self, y: Buffer, x: Buffer, residual: Buffer, tokens: int) -> None:
        """y [tokens, hidden_size] from x and residual of the same shape."""
        r = self.router.forward(x, tokens)
        rows = self.experts.forward(x, r.offsets, r.row_token, tokens * self.top_k, tokens)
        self.backend.moe_combine_forward(
            y, residual, rows, r.weights, r.token_row, tokens, self.top_k, self.hidden_size
        )

    def backward(self, dy: Buffer, x: Buffer, tokens: int, balance_coef: float, z_coef: float) -> Buffer:
        """dx [tokens, hidden_size]; the gradient of the residual is dy itself. Weight gradients are accumulated."""
        be, k, h = self.backend, self.top_k, self.hidden_size
        r = self.router.routing(tokens)
        rows = self.saved.get("swiglu.out", tokens * k * h)
        dweights = self.scratch.get("moe.dweights", tokens * k)
        dx = self.scratch.get("moe.dx", tokens * h)
        be.moe_combine_backward(rows, dweights, dy, rows, r.weights, r.token_row, tokens, k, h)
        drows = self.experts.backward(rows, x, r.offsets, r.row_token, tokens * k, tokens)
        be.moe_dispatch_backward(dx, drows, r.token_row, tokens, k, h)
        self.router.backward(dx, dweights, x, tokens, balance_coef, z_coef)
        return dx
