"""Choosing the next token: argmax, sampling, and moving sequences on."""

from __future__ import annotations

import numpy as np

from nn.tensor.buffer import Buffer
from nn.tensor.dtype import Array
from nn.tensor.philox import STREAM_SAMPLING, uniform
from nn.tensor.reference.base import Base
from nn.tensor.reference.call import I32, I64, Call, dense
from nn.tensor.reference.memory import FloatArray, load, window
from nn.tensor.reference.softmax import top_k as largest


def sampled(row: FloatArray, temperature: float, top_k: int, top_p: float, draw: float) -> int:
    """A token of softmax(row / temperature) restricted to the top_k largest, then to top_p, by a draw in [0, 1).

    p[c] = exp((row[c] - max) / temperature), 0 for NaN. The kept tokens are a prefix of the order (logit descending,
    index ascending). The token is the first kept one, by ascending index, at which the running sum of p exceeds draw
    times the whole sum; sums in f64.
    """
    order = largest(row, len(row))
    most = row[order[0]]
    if temperature == 0 or not most > -np.inf:
        return int(order[0])
    p = np.nan_to_num(np.exp((row - most) / np.float32(temperature)), nan=0.0).astype(np.float64)
    p[row == most] = 1
    kept = order[: top_k or None]
    if top_p < 1:
        enough = np.float64(np.float32(top_p)) * p[np.sort(kept)].sum()
        kept = kept[: int(np.searchsorted(np.cumsum(p[kept]), enough)) + 1]
    ascending = np.sort(kept)
    running = np.cumsum(p[ascending])
    return int(ascending[min(int(np.searchsorted(running, draw * running[-1], side="right")), len(ascending) - 1)])


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
            if not self._good_parameters(call.op, t, k, p, cols):
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

    def _good_parameters(self, op: str, t: FloatArray, k: Array, p: FloatArray, cols: int) -> bool:
        """temperature finite and not negative, top_k not negative, top_p in [0, 1]; reported rounded towards 0."""
        for r in range(len(t)):
            for value, fits, most in (
                (float(t[r]), 0 <= t[r] < np.inf, (1 << 63) - 2),
                (float(k[r]), k[r] >= 0, cols),
                (float(p[r]), 0 <= p[r] <= 1, 1),
            ):
                if not fits:
                    shown = int(value) if -9e18 < value < 9e18 else -1
                    self.report(f"{op}: value[{r}] is {shown}, expected 0 to {most}")
                    return False
        return True

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
