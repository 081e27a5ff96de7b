"""Token embedding: a row of the table per id."""

from __future__ import annotations

from nn.layers.parameter import Parameter
from nn.tensor.backend import Backend, Buffer


class Embedding:
    """y[t,:] = weight[ids[t],:], weight [vocab_size, hidden_size]."""

    def __init__(self, backend: Backend, weight: Parameter) -> None:
        self.backend = backend
        self.weight = weight
        self.vocab_size, self.hidden_size = weight.shape

    def forward(self, y: Buffer, ids: Buffer, tokens: int) -> None:
        """y [tokens, hidden_size] f32 from ids [tokens] i32."""
        self.backend.embedding_forward(y, ids, self.weight.weight, tokens, self.vocab_size, self.hidden_size)

    def backward(self, dy: Buffer, ids: Buffer, tokens: int) -> None:
        """dweight[ids[t],:] += dy[t,:]."""
        self.backend.embedding_backward(self.weight.gradient(), dy, ids, tokens, self.vocab_size, self.hidden_size)
