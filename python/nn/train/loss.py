"""The training loss: cross entropy over the targets that count, plus the routers' two losses."""

from __future__ import annotations

from dataclasses import dataclass

from nn.layers.workspace import Workspace
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


@dataclass(frozen=True)
class LossValues:
    """Means of one step. `total` = cross_entropy + aux_coef balance + z_coef z."""

    cross_entropy: float
    balance: float
    z: float
    total: float
    count: int


class CrossEntropy:
    """loss = sum_r (logsumexp(logits_r) - logits_r[target_r]) / count over rows whose target is not -1.

    `count` is that of the whole accumulated step, so that micro-batches weigh by their targets. With no target that
    counts the loss and its gradient are 0.
    """

    def __init__(self, backend: Backend, vocab_size: int) -> None:
        self.backend = backend
        self.vocab_size = vocab_size
        self.sum = backend.buffer(DType.F32, 1)
        self.count = backend.buffer(DType.I64, 1)
        self.saved = Workspace(backend)
        self._read_sum, self._read_count = backend.reader(self.sum), backend.reader(self.count)

    def reset(self) -> None:
        """Sum and count to 0, at the start of a step."""
        self.backend.fill(self.sum, 1, 0.0)
        self.backend.fill(self.count, 1, 0.0)

    def add_count(self, targets: Buffer, rows: int) -> None:
        """count += number of targets that are not -1."""
        self.backend.cross_entropy_count(self.count, targets, rows, self.vocab_size)

    def forward(self, logits: Buffer, targets: Buffer, rows: int) -> None:
        """sum += the losses of logits [rows, vocab_size] against targets [rows] i32."""
        losses = self.saved.get("losses", rows)
        lse = self.saved.get("lse", rows)
        v = self.vocab_size
        self.backend.cross_entropy_forward(self.sum, losses, lse, logits, targets, rows, v, v)

    def backward(self, logits: Buffer, targets: Buffer, rows: int) -> Buffer:
        """dlogits, in the place of the logits."""
        lse = self.saved.get("lse", rows)
        v = self.vocab_size
        self.backend.cross_entropy_backward(logits, logits, lse, targets, self.count, rows, v, v)
        return logits

    def mean(self) -> tuple[float, int]:
        """(sum / count, count); 0 when nothing counts."""
        count = int(self._read_count()[0])
        return (float(self._read_sum()[0]) / count if count > 0 else 0.0), count

    def close(self) -> None:
        """Releases the device memory."""
        self.saved.close()
        self.sum.close()
        self.count.close()
