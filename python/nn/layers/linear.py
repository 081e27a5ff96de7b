"""Linear map without bias."""

from __future__ import annotations

from nn.layers.parameter import Parameter
from nn.tensor.backend import Backend, Buffer


class Linear:
    """y = x W^T, W [out_features, in_features] row-major, as checkpoints store it."""

    def __init__(self, backend: Backend, weight: Parameter) -> None:
        self.backend = backend
        self.weight = weight
        self.out_features, self.in_features = weight.shape

    def forward(self, y: Buffer, x: Buffer, rows: int) -> None:
        """y [rows, out_features] = x [rows, in_features] W^T."""
        n, k = self.out_features, self.in_features
        self.backend.gemm(y, x, self.weight.weight, False, True, rows, n, k, n, k, k, 1.0, 0.0)

    def backward(self, dx: Buffer, dy: Buffer, x: Buffer, rows: int, accumulate: bool = False) -> None:
        """dW += dy^T x;  dx = dy W, or dx += dy W when `accumulate`."""
        n, k = self.out_features, self.in_features
        self.backend.gemm(self.weight.gradient(), dy, x, True, False, n, k, rows, k, n, k, 1.0, 1.0)
        beta = 1.0 if accumulate else 0.0
        self.backend.gemm(dx, dy, self.weight.weight, False, False, rows, k, n, k, n, k, 1.0, beta)
