"""Choosing the next token: argmax, sampling, and moving sequences on."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.philox import STREAM_SAMPLING, uniform
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import I32, I64, Call, dense
from nn.tensor.reference.memory import FloatArray, load, window
from nn.tensor.reference.softmax import top_k as largest


def sampled(row: FloatArray, temperature: float, top_k: int, top_p: float, draw: float) -> int:
    """The token at which the running sum of the kept probabilities, largest first, exceeds draw times their sum."""
    order = largest(row, len(row))
    if temperature == 0:
        return int(order[0])
    if top_k:
        order = order[:top_k]
    scaled = row[order] / np.float32(temperature)
    running = np.cumsum(np.exp(scaled - scaled[0]))
    kept = int(np.searchsorted(running, np.float32(top_p) * running[-1])) + 1 if top_p < 1 else len(order)
    kept = min(kept, len(order))
    chosen = int(np.searchsorted(running[:kept], np.float32(draw) * running[kept - 1], side="right"))
    return int(order[min(chosen, kept - 1)])


def _start(op: str, rows: int, cols: int, ld: int) -> Call:
    call = Call(op)
    call.dims(rows=rows, cols=cols, ld=ld)
    call.nothing = rows == 0
    call.at_least("cols", cols, 1)
    call.fits_i32("cols", cols)
    call.at_least("ld", ld, cols)
    return call


class Decode(Base):
    def argmax(self, ids: Buffer, logits: Buffer, rows: int, cols: int, ld: int) -> None:
        call = _start("argmax", rows, cols, ld)
        to = call.out("ids", ids, dense(rows), I32)
        scores = call.into("logits", logits, call.matrix(rows, cols, "ld", ld))

        def run() -> None:
            window(to, (rows,))[...] = largest(load(scores, (rows, cols), (ld, 1)), 1)[:, 0]

        self.submit(call, run)

    def sample(
        self,
        ids: Buffer,
        logits: Buffer,
        temperature: Buffer,
        top_k: Buffer,
        top_p: Buffer,
        samples: Buffer,
        positions: Buffer,
        seed: Buffer,
        rows: int,
        cols: int,
        ld: int,
    ) -> None:
        call = _start("sample", rows, cols, ld)
        to = call.out("ids", ids, dense(rows), I32)
        scores = call.into("logits", logits, call.matrix(rows, cols, "ld", ld))
        heat = call.into("temperature", temperature, dense(rows))
        most, share = call.into("top_k", top_k, dense(rows), I32), call.into("top_p", top_p, dense(rows))
        numbers = call.into("samples", samples, dense(rows), I64)
        places = call.into("positions", positions, dense(rows), I32)
        key = call.into("seed", seed, dense(1), I64)

        def run() -> None:
            x = load(scores, (rows, cols), (ld, 1))
            t, k, p = load(heat, (rows,)), window(most, (rows,)), load(share, (rows,))
            good = np.isfinite(t) & (t >= 0) & (k >= 0) & (p >= 0) & (p <= 1)
            if not self.all_good(call.op, "temperature, top_k or top_p", t, good, "expected valid ones"):
                return
            at, index, draw = window(places, (rows,)), window(numbers, (rows,)), int(window(key, (1,))[0])
            chosen = [
                sampled(
                    x[r],
                    float(t[r]),
                    int(k[r]),
                    float(p[r]),
                    float(uniform(draw, STREAM_SAMPLING, int(at[r]) & 0xFFFFFFFF, int(index[r]) & (1 << 64) - 1, 1)[0]),
                )
                for r in range(rows)
            ]
            window(to, (rows,))[...] = chosen

        self.submit(call, run)

    def decode_advance(self, positions: Buffer, finished: Buffer, ids: Buffer, batch: int, eos_id: int) -> None:
        call = Call("decode_advance")
        call.dims(batch=batch)
        call.nothing = batch == 0
        call.at_least("eos_id", eos_id, -1)
        at, done = (
            call.out("positions", positions, dense(batch), I32),
            call.out("finished", finished, dense(batch), I32),
        )
        tokens = call.into("ids", ids, dense(batch), I32)

        def run() -> None:
            ended = window(done, (batch,))
            window(at, (batch,))[...] += ended == 0
            ended[(eos_id >= 0) & (window(tokens, (batch,)) == eos_id)] = 1

        self.submit(call, run)
