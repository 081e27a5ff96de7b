"""Numbers as people read them: three digits, and the unit that keeps them between 1 and 1000."""

from __future__ import annotations


def time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{digits(seconds / size)} {unit}"
    return f"{digits(seconds / 1e-9)} ns"


def amount(value: float, unit: str) -> str:
    """`1.23 Gflop/s` of 1.23e9 and "flop/s"; small numbers keep their unit."""
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{digits(value / size)} {prefix}{unit}"
    return f"{digits(value)} {unit}"


def size(count: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{digits(count / scale)} {unit}"
    return f"{digits(count)} B"


def factor(value: float) -> str:
    """`1.02×`, `35×`."""
    return f"{digits(value)}×" if value >= 10 else f"{value:.2f}×"


def percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share < 0.1 else f"{100 * share:.0f}%"


def digits(value: float) -> str:
    """Three significant digits without an exponent; whole numbers above 1000 in groups of three."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{round(value):,}"
    shown = f"{value:.3g}"
    return f"{float(shown):g}" if "e" in shown else shown
