"""AdamW (Loshchilov and Hutter 2019) over the flat buffers, with clipping by the global norm."""

from __future__ import annotations

from dataclasses import dataclass

from nn import messages
from nn.model.weights import Weights
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


@dataclass(frozen=True)
class AdamWConfig:
    """Decay acts on matrices only."""

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    max_norm: float = 1.0


class AdamW:
    """p *= 1 - lr wd;  p -= (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps),  bc = 1 - beta^applied.

    Moments `m`, `v` f32 [layout.total]; with 16-bit weights an f32 `master` of the same size holds the value that is
    updated. The learning rate and the number of applied steps live in device buffers. A step whose gradient norm is
    not finite changes nothing and does not count as applied.
    """

    def __init__(self, backend: Backend, weights: Weights, config: AdamWConfig = AdamWConfig()) -> None:
        if weights.gradients is None:
            raise messages.not_training()
        self.backend = backend
        self.weights = weights
        self.gradients: Buffer = weights.gradients
        self.config = config
        total = weights.layout.total
        self.m = backend.buffer(DType.F32, total)
        self.v = backend.buffer(DType.F32, total)
        self.master: Buffer | None = None
        if weights.dtype != DType.F32:
            self.master = backend.buffer(DType.F32, total)
            backend.cast(self.master, weights.values, total)
        self.lr = backend.buffer(DType.F32, 1)
        self.scale = backend.buffer(DType.F32, 1)
        self.norm = backend.buffer(DType.F32, 1)
        self.sum = backend.buffer(DType.F32, 1)
        self.nonfinite = backend.buffer(DType.I32, 1)
        self.applied = backend.buffer(DType.I64, 1)
        n = weights.layout.n_matrix
        self._parts = [self._part(0, n, config.weight_decay), self._part(n, total - n, 0.0)]

    def zero_grad(self) -> None:
        """All gradients to 0."""
        self.backend.fill(self.gradients, self.weights.layout.total, 0.0)

    def step(self) -> None:
        """One update from the accumulated gradients, at the learning rate that stands in `lr`."""
        be, c = self.backend, self.config
        be.sum_of_squares(self.sum, self.gradients, self.weights.layout.total)
        be.clip_scale(self.scale, self.norm, self.nonfinite, self.applied, self.sum, c.max_norm)
        for part in self._parts:
            be.adamw_step(
                part.param,
                part.master,
                part.m,
                part.v,
                part.grad,
                self.lr,
                self.scale,
                self.nonfinite,
                self.applied,
                None,
                part.count,
                part.start,
                c.beta1,
                c.beta2,
                c.eps,
                part.weight_decay,
            )

    def state(self) -> dict[str, Buffer]:
        """What a checkpoint keeps of the optimizer, by the prefix of its tensors' names: m, v, and master if any."""
        buffers = {"m": self.m, "v": self.v}
        if self.master is not None:
            buffers["master"] = self.master
        return buffers

    def close(self) -> None:
        """Releases the device memory."""
        for buffer in (self.m, self.v, self.lr, self.scale, self.norm, self.sum, self.nonfinite, self.applied):
            buffer.close()
        if self.master is not None:
            self.master.close()

    def _part(self, start: int, count: int, weight_decay: float) -> _Part:
        return _Part(
            self.backend.view(self.weights.values, start, count),
            None if self.master is None else self.backend.view(self.master, start, count),
            self.backend.view(self.m, start, count),
            self.backend.view(self.v, start, count),
            self.backend.view(self.gradients, start, count),
            start,
            count,
            weight_decay,
        )


@dataclass
class _Part:
    """A range of the flat buffers with one decay."""

    param: Buffer
    master: Buffer | None
    m: Buffer
    v: Buffer
    grad: Buffer
    start: int
    count: int
    weight_decay: float
