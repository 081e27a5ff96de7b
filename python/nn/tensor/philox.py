"""Random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011, section 3.3), a function of a counter: any number of any sequence without computing those before it.

Key: the 64-bit seed, low word first. Counter: (index low, index high, stream, sub). One block is four
32-bit words. Integers only, so every device and language draws the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STREAM_INIT, STREAM_DATA, STREAM_SAMPLING, STREAM_ROUNDING = 0, 1, 2, 3

# Multipliers and key increments of the paper, section 3.3.
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)

# The sum of eight independent 16-bit halves has mean 8 * 65535 / 2 and deviation sqrt(8 (2^32 - 1) / 12).
_INIT_MEAN = 262140
_INIT_SCALE = 0.02 / 53509.92
_CHUNK = 1 << 16  # blocks at a time: the words in flight stay in the cache


def philox(
    seed: int, index: NDArray[np.uint64], stream: int, sub: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """The four words of the blocks (index[i], stream, sub), each below 2^32.

    Ten rounds; a round maps (x0, x1, x2, x3), keys (k0, k1) to
    (hi(M1 x2) ^ x1 ^ k0, lo(M1 x2), hi(M0 x0) ^ x3 ^ k1, lo(M0 x0)), then k0 += W0, k1 += W1.
    """
    key0, key1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    x0, x1 = index & _LOW, index >> _32
    x2 = np.full_like(x0, stream)
    x3 = np.full_like(x0, sub)
    for _ in range(_ROUNDS):
        product0, product1 = x0 * _M0, x2 * _M1
        x0 = (product1 >> _32) ^ x1 ^ np.uint64(key0)
        x1 = product1 & _LOW
        x2 = (product0 >> _32) ^ x3 ^ np.uint64(key1)
        x3 = product0 & _LOW
        key0, key1 = (key0 + _W0) & 0xFFFFFFFF, (key1 + _W1) & 0xFFFFFFFF
    return x0, x1, x2, x3


def draw_u64(seed: int, stream: int, index: int, sub: int = 0) -> int:
    """Words 0 (low) and 1 (high) of the block (index, stream, sub) as one integer, uniform in [0, 2^64)."""
    word0, word1, _, _ = philox(seed, np.array([index], np.uint64), stream, sub)
    return int(word0[0]) | int(word1[0]) << 32


def uniform(seed: int, stream: int, sub: int, start: int, count: int) -> NDArray[np.float32]:
    """y[i] = the upper 24 bits of word 0 of the block (start + i, stream, sub), times 2^-24: in [0, 1)."""
    word0, _, _, _ = philox(seed, _indices(start, count), stream, sub)
    return (word0 >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)


def init_normal(seed: int, tensor_number: int, start: int, count: int) -> NDArray[np.float32]:
    """Fresh weights: elements start .. start + count of tensor `tensor_number`, close to normal, deviation 0.02.

    y[i] = (sum of the eight 16-bit halves of the block (start + i, init, tensor_number) - 262140) * s with
    s = 0.02/53509.92, one f64 division and one f64 product, rounded once to f32.
    """
    out = np.empty(count, np.float32)
    for at in range(0, count, _CHUNK):
        n = min(_CHUNK, count - at)
        total = np.zeros(n, np.uint64)
        for word in philox(seed, _indices(start + at, n), STREAM_INIT, tensor_number):
            total += (word & np.uint64(0xFFFF)) + (word >> np.uint64(16))
        centred = total.astype(np.int64) - _INIT_MEAN
        out[at : at + n] = centred.astype(np.float64) * _INIT_SCALE
    return out


def mulhi64(a: int, b: int) -> int:
    """The upper 64 bits of the 128-bit product of two unsigned 64-bit integers: floor(a b / 2^64)."""
    return (a * b) >> 64


def _indices(start: int, count: int) -> NDArray[np.uint64]:
    return np.uint64(start) + np.arange(count, dtype=np.uint64)
