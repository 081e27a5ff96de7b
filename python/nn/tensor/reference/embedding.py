"""Rows of a table by id, and the scatter-add that is its gradient."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import FLOATS, I32, Call, dense
from nn.tensor.reference.memory import load, store, window


def _start(op: str, tokens: int, vocab: int, hidden: int) -> Call:
    call = Call(op)
    call.dims(tokens=tokens, vocab=vocab, hidden=hidden)
    call.nothing = 0 in (tokens, hidden)
    return call


class Embedding(Base):
    def embedding_forward(self, y: Buffer, ids: Buffer, w: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        call = _start("embedding_forward", tokens, vocab, hidden)
        to = call.out("y", y, dense(tokens, hidden))
        rows = call.into("ids", ids, dense(tokens), I32)
        table = call.into("w", w, dense(vocab, hidden), FLOATS)

        def run() -> None:
            index = window(rows, (tokens,))
            if self.good(call.op, "ids", index, vocab):
                store(to, load(table, (vocab, hidden))[index])

        self.submit(call, run)

    def embedding_backward(self, dw: Buffer, dy: Buffer, ids: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        call = _start("embedding_backward", tokens, vocab, hidden)
        to = call.out("dw", dw, dense(vocab, hidden))
        grad = call.into("dy", dy, dense(tokens, hidden))
        rows = call.into("ids", ids, dense(tokens), I32)

        def run() -> None:
            index = window(rows, (tokens,))
            if self.good(call.op, "ids", index, vocab):
                np.add.at(load(to, (vocab, hidden)), index, load(grad, (tokens, hidden)))

        self.submit(call, run)
