#!/usr/bin/env python3
"""Writes host/numbers.json: what the host side of every language must compute to the bit.

    host.py            write it
    host.py --check    compare with what is there

In Python's integers and floats (IEEE f64), operation by operation, sharing no code with the languages it checks. An f64
or f32 is given as the hex digits of its bits. host/json.json, host/safetensors.json and host/config.json beside
it are written by hand: bytes or values, and the sentence or the text that must come out.
"""

from __future__ import annotations

import json
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent / "host" / "numbers.json"
MASK = 0xFFFFFFFF
PI = Fraction(31415926535897932384626433832795028841971693993751, 10**49)


def f64(value: float) -> str:
    return struct.pack(">d", value).hex()


def f32(value: float) -> str:
    return struct.pack(">f", value).hex()


def philox(seed: int, index: int, stream: int, sub: int) -> list[int]:
    """Philox4x32-10, Salmon et al. 2011, section 3.3."""
    x, k = [index & MASK, index >> 32, stream, sub], [seed & MASK, seed >> 32]
    for _ in range(10):
        p, q = x[0] * 0xD2511F53, x[2] * 0xCD9E8D57
        x = [(q >> 32) ^ x[1] ^ k[0], q & MASK, (p >> 32) ^ x[3] ^ k[1], p & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return x


def init(seed: int, tensor: int, element: int) -> str:
    total = sum((word & 0xFFFF) + (word >> 16) for word in philox(seed, element, 0, tensor))
    return f32(float(total - 262140) * (0.02 / 53509.92))


def draw(seed: int, index: int) -> int:
    words = philox(seed, index, 1, 0)
    return words[0] | words[1] << 32


def start(seed: int, step: int, micro_batches: int, micro_batch: int, rows: int, row: int, n: int, seq_len: int) -> int:
    return draw(seed, (step * micro_batches + micro_batch) * rows + row) * (n - seq_len) >> 64


def cos_pi(x: float) -> float:
    """Taylor in x^2 to the tenth power by Horner's rule, mirrored at 1/2; coefficients rounded once to f64."""
    if x > 0.5:
        return -cos_pi(1.0 - x)
    coefficients = []
    factorial = 1
    for k in range(11):
        if k > 0:
            factorial *= (2 * k - 1) * (2 * k)
        coefficients.append(float((-1) ** k * PI ** (2 * k) / factorial))
    y = x * x
    total = coefficients[10]
    for k in range(9, -1, -1):
        total = total * y
        total = total + coefficients[k]
    return total


def learning_rate(steps: int, peak: float, final: float, warmup: float, step: int) -> float:
    warm = int(warmup * float(steps))
    if step < warm:
        return peak * (float(step + 1) / float(warm))
    if step >= steps:
        return final
    half = 0.5 * (1.0 + cos_pi(float(step - warm) / float(steps - warm)))
    high, low = peak * half, final * (1.0 - half)
    return high + low


def ntk_theta(theta: float, alpha: float, head_dim: int) -> float:
    """theta alpha root_m(alpha), m = (head_dim-2)/2; the root by bisection of [1, alpha] down to neighbours."""
    if alpha == 1.0:
        return theta
    low, high = 1.0, alpha
    while True:
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            return theta * (alpha * low)
        power = 1.0
        for _ in range((head_dim - 2) // 2):
            power = power * middle
        low, high = (middle, high) if power <= alpha else (low, middle)


def natural_log(x: float) -> float:
    """ln(m 2^e) = e ln 2 + 2 (s + s^3/3 + ... + s^23/23), s = (m - 1)/(m + 1), sqrt(1/2) <= m < sqrt(2); Horner."""
    exponent = 0
    while x < 0.7071067811865476:
        x, exponent = x * 2.0, exponent - 1
    while x >= 2 * 0.7071067811865476:
        x, exponent = x / 2.0, exponent + 1
    s = (x - 1.0) / (x + 1.0)
    y, series = s * s, 0.0
    for odd in range(23, 0, -2):
        series = series * y
        series = series + 1.0 / odd
    whole, rest = exponent * 0.6931471805599453, 2.0 * s * series
    return whole + rest


def exponential(x: float) -> float:
    """2^k e^r, r = x - k ln 2 with ln 2 in two parts; e^r by 14 nested terms. inf above 709.78, 0 below -708."""
    if x > 709.78:
        return float("inf")
    if x < -708.0:
        return 0.0
    k = int((x / 0.6931471805599453 + 0.5) // 1.0)
    high, low = k * 0.6931471803691238, k * 1.9082149292705877e-10
    r = (x - high) - low
    total = 1.0
    for n in range(14, 0, -1):
        term = r * total
        total = 1.0 + term / n
    for _ in range(abs(k)):
        total = total * 2.0 if k > 0 else total / 2.0
    return total


def entropy(probs: list[float]) -> float:
    total = 0.0
    for p in probs:
        term = p * natural_log(p) if p != 0.0 else 0.0
        total = total - term
    return total


def to_bf16(bits: int) -> int:
    """To nearest, ties to even; NaN keeps its upper bits and becomes quiet."""
    if bits & 0x7FFFFFFF > 0x7F800000:
        return bits >> 16 | 0x40
    return bits + 0x7FFF + (bits >> 16 & 1) >> 16


def numbers() -> dict[str, Any]:
    floats = [0.0, -0.0, 1.0, 0.1, 1e-4, 1e-5, 1.5e-7, 1e15, 1e16, 123456789012345680.0, 1e21, 1e22, 1e100,
              -2.5e-10, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 0.3,
              2 / 3, 9007199254740993.0, 1e-6, 8.2207794189453125]  # fmt: skip
    seeds = [0, 1, 2**63 + 5]
    schedules = [(200, 1e-3, 1e-4, 0.05), (7, 6e-3, 0.0, 0.3), (1, 1e-3, 1e-4, 0.05), (1000, 4e-3, 4e-4, 0.0)]
    thetas = [(1e4, 8.0, 64), (1e4, 8.0, 16), (1e6, 1.5, 32), (1e4, 65536.0, 256), (1e4, 2.0, 4), (5e5, 1.0, 128)]
    exponents = [0.0, -0.0, 1e-9, 1.0, -1.0, 0.34657359, 2.7725887, 7.3, 88.8, 709.78, 710.0, -700.5, -708.5]
    probabilities = [
        [0.25] * 4, [1.0, 0.0], [0.5, 0.25, 0.125, 0.125],
        [0.10000000149011612, 0.20000000298023224, 0.30000001192092896, 0.4000000059604645],
        [0.9999999403953552, 5.960464477539063e-08, 1.401298464324817e-45],
    ]  # fmt: skip
    bits = [
        0x3F808000,
        0x3F818000,
        0x3F808001,
        0x3F807FFF,
        0x7F7FFFFF,
        0xFF800000,
        0x7F800001,
        0,
        0x80000001,
        0x00008000,
    ]
    return {
        "float_text": [[f64(value), repr(value)] for value in floats],
        "philox": [
            {"seed": str(seed), "index": str(index), "stream": stream, "sub": sub,
             "words": philox(seed, index, stream, sub)}
            for seed in seeds
            for index, stream, sub in ((0, 0, 0), (1, 1, 0), (2**40 + 3, 2, 7), (2**64 - 1, 3, MASK))
        ],
        "init": [
            {"seed": str(seed), "tensor": tensor, "start": str(at),
             "values": [init(seed, tensor, at + i) for i in range(6)]}
            for seed in seeds
            for tensor, at in ((0, 0), (15, 1000), (3, 2**32 - 3))
        ],
        "mulhi64": [
            [str(a), str(b), str(a * b >> 64)]
            for a, b in ((2**64 - 1, 2**64 - 1), (2**63, 10), (2**64 - 1, 1), (0x123456789ABCDEF0, 0xFEDCBA9876543210))
        ],
        "batch_start": [
            {"seed": str(seed), "step": s, "micro_batches": a, "micro_batch": m, "rows": b, "row": r, "tokens": n,
             "seq_len": t, "start": start(seed, s, a, m, b, r, n, t)}
            for seed, s, a, m, b, r, n, t in ((0, 0, 1, 0, 4, 3, 1000, 64), (1, 17, 3, 2, 8, 5, 4_180_857, 128),
                                              (2**63 + 5, 100_000, 1, 0, 32, 31, 10**11, 2048),
                                              (9, 2, 2, 1, 1, 0, 9, 8))
        ],
        "cos_pi": [[f64(x), f64(cos_pi(x))] for x in (0.0, 1e-9, 0.1, 0.25, 1 / 3, 0.5, 0.5000000001, 0.75, 0.9, 1.0)],
        "learning_rate": [
            {"steps": steps, "peak": f64(peak), "final": f64(final), "warmup": f64(warmup), "step": step,
             "rate": f64(learning_rate(steps, peak, final, warmup, step))}
            for steps, peak, final, warmup in schedules
            for step in sorted({0, 1, steps // 3, steps // 2, steps - 1, steps})
        ],
        "ntk_theta": [
            {"theta": f64(theta), "alpha": f64(alpha), "head_dim": d, "result": f64(ntk_theta(theta, alpha, d))}
            for theta, alpha, d in thetas
        ],
        "natural_log": [
            [f64(x), f64(natural_log(x))]
            for x in (1.0, 0.5, 0.7071067811865475, 0.7071067811865476, 0.1, 0.9999999403953552, 1.401298464324817e-45,
                      0.3333333432674408, 2.0, 10.0, 1e300)
        ],
        "exponential": [[f64(x), f64(exponential(x))] for x in exponents],
        "entropy": [{"probs": [f64(p) for p in probs], "entropy": f64(entropy(probs))} for probs in probabilities],
        "bf16_from_f32": [[f"{value:08x}", f"{to_bf16(value):04x}"] for value in bits],
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: host.py [--check]", file=sys.stderr)
        return 2
    text = json.dumps(numbers(), indent=1) + "\n"
    if not arguments:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        print(f"{FILE.name} is not what {Path(__file__).name} writes", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
