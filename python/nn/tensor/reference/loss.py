"""Cross entropy of logits against target ids; a target of -1 does not count."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import I32, I64, Call, dense
from nn.tensor.reference.memory import ReferenceBuffer, load, store, window
from nn.tensor.reference.softmax import logsumexp


def _start(op: str, rows: int, vocab: int, **dims: int) -> Call:
    call = Call(op)
    call.dims(rows=rows, vocab=vocab, **dims)
    call.nothing = rows == 0
    call.at_least("vocab", vocab, 1)
    return call


class Loss(Base):
    def _targets(self, op: str, targets: ReferenceBuffer, rows: int, vocab: int) -> Array | None:
        ids = window(targets, (rows,))
        return ids if self.good(op, "targets", ids, vocab, least=-1) else None

    def cross_entropy_count(self, count: Buffer, targets: Buffer, rows: int, vocab: int) -> None:
        call = _start("cross_entropy_count", rows, vocab)
        to = call.out("count", count, dense(1), I64)
        wanted = call.into("targets", targets, dense(rows), I32)

        def run() -> None:
            ids = self._targets(call.op, wanted, rows, vocab)
            if ids is not None:
                window(to, (1,))[...] += np.count_nonzero(ids >= 0)

        self.submit(call, run)

    def cross_entropy_forward(
        self,
        loss: Buffer,
        losses: Buffer,
        lse: Buffer,
        logits: Buffer,
        targets: Buffer,
        rows: int,
        vocab: int,
        ld: int,
    ) -> None:
        call = _start("cross_entropy_forward", rows, vocab, ld=ld)
        to, to_rows = call.out("loss", loss, dense(1)), call.out("losses", losses, dense(rows))
        to_lse = call.out("lse", lse, dense(rows))
        scores = call.into("logits", logits, call.matrix(rows, vocab, "ld", ld))
        wanted = call.into("targets", targets, dense(rows), I32)

        def run() -> None:
            ids = self._targets(call.op, wanted, rows, vocab)
            if ids is None:
                return
            x = load(scores, (rows, vocab), (ld, 1))
            norms = logsumexp(x)
            each = np.where(ids >= 0, norms - x[np.arange(rows), ids], np.float32(0))
            store(to_lse, norms)
            store(to_rows, each)
            store(to, load(to, (1,)) + each.sum())

        self.submit(call, run)

    def cross_entropy_backward(
        self,
        dlogits: Buffer,
        logits: Buffer,
        lse: Buffer,
        targets: Buffer,
        count: Buffer,
        rows: int,
        vocab: int,
        ld: int,
    ) -> None:
        call = _start("cross_entropy_backward", rows, vocab, ld=ld)
        to = call.out("dlogits", dlogits, call.matrix(rows, vocab, "ld", ld))
        scores = call.into("logits", logits, call.matrix(rows, vocab, "ld", ld), alias=("dlogits",))
        norms = call.into("lse", lse, dense(rows))
        wanted = call.into("targets", targets, dense(rows), I32)
        total = call.into("count", count, dense(1), I64)

        def run() -> None:
            ids = self._targets(call.op, wanted, rows, vocab)
            if ids is None:
                return
            gradient = np.exp(load(scores, (rows, vocab), (ld, 1)) - load(norms, (rows, 1)))
            counting = np.flatnonzero(ids >= 0)
            gradient[counting, ids[counting]] -= 1
            n = int(window(total, (1,))[0])
            gradient[ids < 0 if n else slice(None)] = 0
            store(to, gradient / np.float32(max(n, 1)), (ld, 1))

        self.submit(call, run)
