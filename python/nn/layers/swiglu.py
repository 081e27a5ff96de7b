"""The experts' feed-forward network (Shazeer 2020), run as grouped products over rows sorted by expert."""

from __future__ import annotations

from nn.layers.parameter import Parameter
from nn.layers.workspace import Workspace
from nn.tensor.backend import Backend, Buffer


class SwiGLU:
    """rows_e = (silu(x W1_e^T) * (x W3_e^T)) W2_e^T for the routed rows of each expert e.

    w1, w3 [n_experts, ffn_size, hidden_size], w2 [n_experts, hidden_size, ffn_size]. Row r of expert e
    (offsets[e] <= r < offsets[e+1]) reads x[row_token[r],:], so the routed copy of x is never made.
    """

    def __init__(
        self, backend: Backend, w1: Parameter, w3: Parameter, w2: Parameter, saved: Workspace, scratch: Workspace
    ) -> None:
        self.backend = backend
        self.w1, self.w3, self.w2 = w1, w3, w2
        self.saved = saved
        self.scratch = scratch
        self.n_experts, self.ffn_size, self.hidden_size = w1.shape

    def forward(self, x: Buffer, offsets: Buffer, row_token: Buffer, rows: int, tokens: int) -> Buffer:
        """[rows, hidden_size], rows = tokens top_k."""
        be, e, f, h = self.backend, self.n_experts, self.ffn_size, self.hidden_size
        w1, w3 = self.w1.weight, self.w3.weight
        gate, up = self._gate_and_up(rows) if self.w1.grad is not None else (None, None)
        s = self.saved.get("swiglu.s", rows * f)
        out = self.saved.get("swiglu.out", rows * h)
        be.gemm_grouped_swiglu_forward(
            s, gate, up, x, w1, w3, offsets, row_token, e, rows, f, h, tokens, f, h, h, f * h
        )
        be.gemm_grouped_rows(out, s, self.w2.weight, offsets, None, True, e, rows, h, f, rows, h, f, f, h * f, 0.0)
        return out

    def backward(self, drows: Buffer, x: Buffer, offsets: Buffer, row_token: Buffer, rows: int, tokens: int) -> Buffer:
        """The gradient of each routed row's input [rows, hidden_size]; dW1, dW3, dW2 are accumulated."""
        be, e, f, h = self.backend, self.n_experts, self.ffn_size, self.hidden_size
        gate, up = self._gate_and_up(rows)
        s = self.saved.get("swiglu.s", rows * f)
        dx = self.scratch.get("swiglu.dx", rows * h)
        be.gemm_grouped_inner(self.w2.gradient(), drows, s, offsets, None, e, h, f, rows, rows, f, h, f, h * f, 1.0)
        be.gemm_grouped_swiglu_backward(
            gate, up, drows, self.w2.weight, offsets, gate, up, e, rows, f, h, f, h, f, h * f
        )
        be.gemm_grouped_inner(
            self.w1.gradient(), gate, x, offsets, row_token, e, f, h, rows, tokens, h, f, h, f * h, 1.0
        )
        be.gemm_grouped_inner(self.w3.gradient(), up, x, offsets, row_token, e, f, h, rows, tokens, h, f, h, f * h, 1.0)
        be.gemm_grouped_rows(dx, gate, self.w1.weight, offsets, None, False, e, rows, h, f, rows, h, f, h, f * h, 0.0)
        be.gemm_grouped_rows(dx, up, self.w3.weight, offsets, None, False, e, rows, h, f, rows, h, f, h, f * h, 1.0)
        return dx

    def _gate_and_up(self, rows: int) -> tuple[Buffer, Buffer]:
        """What backward needs of forward; without a backward nobody keeps them."""
        count = rows * self.ffn_size
        return self.saved.get("swiglu.gate", count), self.saved.get("swiglu.up", count)
