"""Philox4x32-10 on Python integers (Salmon, Moraes, Dror and Shaw 2011, section 3.3), checked against the answers that
its authors publish with Random123 (kat_vectors)."""

from __future__ import annotations

STREAM_INIT, STREAM_DATA, STREAM_SAMPLING, STREAM_ROUNDING = 0, 1, 2, 3

_MASK = 0xFFFFFFFF
_KNOWN = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((_MASK,) * 4, (_MASK,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def rounds(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    a, b, c, d = counter
    k, l = key  # noqa: E741
    for _ in range(10):
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (second >> 32) ^ b ^ k, second & _MASK, (first >> 32) ^ d ^ l, first & _MASK
        k, l = (k + 0x9E3779B9) & _MASK, (l + 0xBB67AE85) & _MASK  # noqa: E741
    return a, b, c, d


def block(seed: int, index: int, stream: int, sub: int) -> tuple[int, ...]:
    """The four words at counter (index low, index high, stream, sub)."""
    return rounds((index & _MASK, index >> 32 & _MASK, stream, sub), (seed & _MASK, seed >> 32 & _MASK))


def uniform(seed: int, index: int, stream: int, sub: int) -> float:
    """The upper 24 bits of word 0 as a number in [0, 1)."""
    return (block(seed, index, stream, sub)[0] >> 8) * 2.0**-24


for _counter, _key, _answer in _KNOWN:
    if rounds(_counter, _key) != _answer:
        raise AssertionError("Philox4x32-10 does not give its published answers")
