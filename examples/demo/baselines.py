"""What simple models say about the same held-out tokens, in bits per byte."""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint32]


def unigram(train: Tokens, heldout: Tokens, vocab_size: int) -> float:
    """Bits per token when each token's probability is its share of the training tokens, one added to every count."""
    counts = np.bincount(train, minlength=vocab_size).astype(np.float64) + 1.0
    return float(-np.log2(counts / counts.sum())[heldout[1:]].mean())


def bigram(train: Tokens, heldout: Tokens, vocab_size: int) -> float:
    """Bits per token of p(b|a) = (count(a b) + d(a) p(b)) / (count(a) + d(a)), d(a) the number of different tokens
    seen after a, p the unigram above (Witten and Bell 1991)."""
    single = np.bincount(train, minlength=vocab_size).astype(np.float64) + 1.0
    single /= single.sum()
    pairs = train[:-1].astype(np.int64) * vocab_size + train[1:]
    seen, counts = np.unique(pairs, return_counts=True)
    distinct = np.bincount(seen // vocab_size, minlength=vocab_size).astype(np.float64)
    total = np.bincount(train[:-1], minlength=vocab_size).astype(np.float64)
    before, after = heldout[:-1].astype(np.int64), heldout[1:].astype(np.int64)
    wanted = before * vocab_size + after
    at = np.minimum(np.searchsorted(seen, wanted), len(seen) - 1)
    count = np.where(seen[at] == wanted, counts[at], 0).astype(np.float64)
    weight = distinct[before]
    unseen = total[before] + weight == 0
    p = np.where(unseen, single[after], (count + weight * single[after]) / np.maximum(total[before] + weight, 1.0))
    return float(-np.log2(p).mean())


def bits_per_byte(bits_per_token: float, heldout: Tokens, n_bytes: int) -> float:
    """From the mean over all tokens but the first to bits per byte of text."""
    return bits_per_token * (len(heldout) - 1) / n_bytes


def xz(train: Sequence[bytes], heldout: Sequence[bytes]) -> float:
    """Bits per byte that the held-out text adds to an xz file of the training text: what xz makes of it after reading
    what the model read."""
    before = b"".join(train)
    after = before + b"".join(heldout)
    with ThreadPoolExecutor(2) as pool:
        small, large = pool.map(lambda text: len(lzma.compress(text)), (before, after))
    return 8.0 * (large - small) / (len(after) - len(before))
