"""Philox4x32-10 against the vectors that the authors publish (Random123, kat_vectors), and what is drawn from it."""

import numpy as np
import pytest

from nn.tensor.philox import (
    STREAM_DATA,
    STREAM_INIT,
    STREAM_SAMPLING,
    draw_u64,
    init_normal,
    mulhi64,
    philox,
    uniform,
)

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI[:4], PI[4:], (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]) -> None:
    index = np.array([counter[0] | counter[1] << 32], np.uint64)
    out = philox(key[0] | key[1] << 32, index, counter[2], counter[3])
    assert tuple(int(word[0]) for word in out) == words


def scalar_philox(seed: int, index: int, stream: int, sub: int) -> list[int]:
    """The same in Python's integers, written from the paper."""
    x, k = [index & 0xFFFFFFFF, index >> 32, stream, sub], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p, q = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [(q >> 32) ^ x[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ x[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return x


def test_init_is_the_stated_sum() -> None:
    start, seed, tensor = 2**32 - 3, 2**63 + 5, 11
    values = init_normal(seed, tensor, start, 7)
    for i, value in enumerate(values):
        words = scalar_philox(seed, start + i, STREAM_INIT, tensor)
        total = sum((word & 0xFFFF) + (word >> 16) for word in words)
        assert value == np.float32((total - 262140) * (0.02 / 53509.92))


def test_init_is_normal_and_independent_of_chunks() -> None:
    values = init_normal(1, 0, 0, 200_000)
    assert abs(values.mean()) < 4 * 0.02 / 200_000**0.5
    assert abs(values.std() - 0.02) < 4 * 0.02 / (2 * 200_000) ** 0.5
    assert np.array_equal(values[65_530:65_550], init_normal(1, 0, 65_530, 20))
    assert not np.array_equal(values[:100], init_normal(1, 1, 0, 100))
    assert not np.array_equal(values[:100], init_normal(2, 0, 0, 100))


def test_draws() -> None:
    words = scalar_philox(9, 5, STREAM_DATA, 0)
    assert draw_u64(9, STREAM_DATA, 5) == words[0] | words[1] << 32
    values = uniform(9, STREAM_SAMPLING, 3, 10, 1000)
    assert values[4] == np.float32(scalar_philox(9, 14, STREAM_SAMPLING, 3)[0] >> 8) / np.float32(2**24)
    assert values.min() >= 0 and values.max() < 1 and abs(values.mean() - 0.5) < 0.04


def test_mulhi64() -> None:
    assert mulhi64(2**64 - 1, 2**64 - 1) == 2**64 - 2
    assert mulhi64(2**63, 10) == 5
    assert mulhi64(2**64 - 1, 1) == 0
