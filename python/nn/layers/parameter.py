"""A trainable tensor: a view of the flat parameter buffer and, in training, of the flat gradient buffer."""

from __future__ import annotations

from dataclasses import dataclass

from nn import messages
from nn.tensor.backend import Buffer


@dataclass
class Parameter:
    """`weight` in the model's dtype or in blocks, `grad` f32 or None outside training, both `shape` row-major."""

    name: str
    shape: tuple[int, ...]
    weight: Buffer
    grad: Buffer | None

    def gradient(self) -> Buffer:
        """The gradient buffer; an error when the model was not made for training."""
        if self.grad is None:
            raise messages.not_training()
        return self.grad
