"""ln and exp in f64 with + - * / only, in one order of evaluation, so that every language prints the same digits.

The libraries of the languages agree in the last digit only mostly.
"""

from __future__ import annotations

import math

_LN2 = 0.6931471805599453
_LN2_HIGH = 0.6931471803691238
"""The upper bits of ln 2: its product with an integer below 2^20 is exact."""
_LN2_LOW = 1.9082149292705877e-10
_SQRT_HALF = 0.7071067811865476


def natural_log(x: float) -> float:
    """ln x for a positive normal number, within 4 ulp; nan for nan.

    x = m 2^e with m in [sqrt(1/2), sqrt(2)); with s = (m - 1)/(m + 1), ln m = 2 (s + s^3/3 + s^5/5 + ...). |s| < 0.172,
    so that the first term left out, s^25/25, is below 1e-20.
    """
    m, e = math.frexp(x)
    if m < _SQRT_HALF:
        m, e = m * 2.0, e - 1
    s = (m - 1.0) / (m + 1.0)
    y = s * s
    total = 0.0
    for k in range(11, -1, -1):
        total = total * y + 1.0 / float(2 * k + 1)
    return float(e) * _LN2 + (2.0 * s) * total


def exponential(x: float) -> float:
    """e^x, within 2 ulp where that is a normal number; inf above 709.78, 0 below -708, nan for nan.

    x = k ln 2 + r with |r| <= ln(2)/2, and e^r = 1 + r (1 + r/2 (1 + r/3 (...))). The first term left out, r^15/15!, is
    below 1e-18.
    """
    if x != x:
        return x
    if x > 709.78:
        return math.inf
    if x < -708.0:
        return 0.0
    k = math.floor(x / _LN2 + 0.5)
    r = (x - float(k) * _LN2_HIGH) - float(k) * _LN2_LOW
    total = 1.0
    for n in range(14, 0, -1):
        total = 1.0 + r * total / float(n)
    return math.ldexp(total, k)
