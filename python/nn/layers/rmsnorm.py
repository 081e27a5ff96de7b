"""Root-mean-square normalisation (Zhang and Sennrich 2019), alone and fused with the residual sum before it."""

from __future__ import annotations

from nn.layers.parameter import Parameter
from nn.layers.workspace import Workspace
from nn.tensor.backend import Backend, Buffer


class RMSNorm:
    """y = x rstd weight with rstd = 1 / sqrt(mean(x^2) + eps); weight [hidden_size]."""

    def __init__(self, backend: Backend, weight: Parameter, eps: float, saved: Workspace, name: str) -> None:
        self.backend = backend
        self.weight = weight
        self.eps = eps
        self.saved = saved
        self.name = name
        self.hidden_size = weight.shape[0]

    def forward(self, x: Buffer, rows: int) -> Buffer:
        """y [rows, hidden_size] f32."""
        y = self.saved.get(self.name + ".y", rows * self.hidden_size)
        rstd = self.saved.get(self.name + ".rstd", rows)
        self.backend.rmsnorm_forward(y, rstd, x, self.weight.weight, rows, self.hidden_size, self.eps)
        return y

    def forward_residual(self, x: Buffer, residual: Buffer, rows: int) -> tuple[Buffer, Buffer]:
        """(h, y) with h = x + residual and y the norm of h."""
        h = self.saved.get(self.name + ".h", rows * self.hidden_size)
        y = self.saved.get(self.name + ".y", rows * self.hidden_size)
        rstd = self.saved.get(self.name + ".rstd", rows)
        self.backend.rmsnorm_residual_forward(
            y, h, rstd, x, residual, self.weight.weight, rows, self.hidden_size, self.eps
        )
        return h, y

    def backward(self, dx: Buffer, dy: Buffer, x: Buffer, rows: int) -> None:
        """dx from dy; x is the input that forward had. dweight is accumulated."""
        rstd = self.saved.get(self.name + ".rstd", rows)
        self.backend.rmsnorm_backward(
            dx, self.weight.gradient(), dy, x, self.weight.weight, rstd, rows, self.hidden_size
        )

    def backward_residual(self, dx: Buffer, dy: Buffer, dh: Buffer, h: Buffer, rows: int) -> None:
        """dx = dh + the gradient of dy through the norm of h. dweight is accumulated."""
        rstd = self.saved.get(self.name + ".rstd", rows)
        self.backend.rmsnorm_residual_backward(
            dx, self.weight.gradient(), dy, dh, h, self.weight.weight, rstd, rows, self.hidden_size
        )
