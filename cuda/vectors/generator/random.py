"""random: weights and uniform numbers by Philox, exact."""

from __future__ import annotations

import numpy as np

from .case import Case, Out, case, exact
from .numbers import round_to
from .philox import STREAM_DATA, STREAM_INIT, STREAM_ROUNDING, STREAM_SAMPLING, block, uniform

# Beyond 32 bits in the seed and in the index, and across the carry between the index words.
BIG_SEED = 0x0123_4567_89AB_CDEF
CARRY = (1 << 32) - 5


def cases() -> list[Case]:
    out: list[Case] = []
    scale = 0.02 / 53509.92
    for name, n, start, seed, tensor, dtype in (
        ("n17", 17, 0, 1, 0, "f32"),
        ("carry", 33, CARRY, BIG_SEED, 77, "f32"),
        ("bf16", 33, 1000, 42, 3, "bf16"),
        ("f16", 19, 7, 42, 3, "f16"),
    ):
        sums = [
            sum(half for word in block(seed, start + i, STREAM_INIT, tensor) for half in (word & 0xFFFF, word >> 16))
            for i in range(n)
        ]
        y = round_to(round_to([(s - 262140) * scale for s in sums], "f32"), dtype)
        out.append(case(name, "random_init", y=Out(y, exact(y), dtype), n=n, start=start, seed=seed, tensor=tensor))
    for name, n, start, seed, stream, sub in (
        ("n17", 17, 0, 1, STREAM_INIT, 0),
        ("data", 33, CARRY, BIG_SEED, STREAM_DATA, 5),
        ("sampling", 9, 1 << 40, 3, STREAM_SAMPLING, (1 << 31) - 1),
        ("rounding", 70, 0, -1, STREAM_ROUNDING, 9),
    ):
        y = np.array([uniform(seed, start + i, stream, sub) for i in range(n)])
        out.append(
            case(name, "random_uniform", y=Out(y, exact(y)), n=n, start=start, seed=seed, stream=stream, sub=sub)
        )
    return out
