"""A result that was never measured: plausible times made by formulas, for every kind of row the report knows."""

from __future__ import annotations

import json
import math
from typing import Any

from benchmarks.lab.costs import cost
from benchmarks.lab.harnesses import ROOT
from benchmarks.lab.plan import SCALAR_CASES, THREADED

CONFIGS = {
    "tiny": {
        "vocab_size": 1000,
        "hidden_size": 64,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 1,
        "head_dim": 16,
        "n_experts": 4,
        "top_k": 2,
        "ffn_size": 128,
    },
    "small": {
        "vocab_size": 4096,
        "hidden_size": 256,
        "n_layers": 6,
        "n_heads": 8,
        "n_kv_heads": 1,
        "head_dim": 32,
        "n_experts": 8,
        "top_k": 2,
        "ffn_size": 512,
    },
}
FLOPS, BYTES = 100e9, 25e9
SLOWER = {"naive": {"python": 2500.0, "rust": 60.0, "go": 80.0}, "library": {"python": 1.4, "rust": 1.3, "go": 9.0}}
SHARED = {"cpu": 1.25}
CALLS = {"python": 620e-9, "rust": 96e-9, "go": 150e-9, "native": 88e-9}
PLAIN = ("matmul", "softmax", "silu", "swiglu", "rmsnorm", "attention", "cross_entropy", "adamw")


def example() -> dict[str, Any]:
    """Two threads, three rounds of ten samples; the file's form, without anything derived."""
    described = json.loads((ROOT / "benchmarks" / "cases.json").read_text())
    rows: list[dict[str, Any]] = []
    for case in described["cases"]:
        rows += _case(case)
    for case in described["processes"]:
        for at, language in enumerate(("python", "rust", "go")):
            seconds = (0.24, 0.031, 0.046)[at] * (6 if case["command"] == "train" else 1)
            rows.append(
                row(
                    case["name"], language, "process", 2, seconds, 1.0, "call", peak_rss_bytes=(120, 42, 55)[at] * 2**20
                )
            )
    rates = [
        ("fma", "flop/s", "avx512", FLOPS),
        ("fma", "flop/s", "avx2", 0.9 * FLOPS),
        ("read", "byte/s", "", 0.9 * BYTES),
        ("triad", "byte/s", "", BYTES),
    ]
    limits = [
        {
            "limit": name,
            "unit": unit,
            "isa": isa,
            "threads": threads,
            "rates": spread(rate * (1 if threads == 1 else 1.9)),
        }
        for threads in (1, 2)
        for name, unit, isa, rate in rates
    ]
    return {
        "version": 1,
        "name": "example",
        "started": "2026-01-02T03:04:05+00:00",
        "commit": "0123456789ab",
        "pace": {"rounds": 3, "seconds": 0.5, "samples": 10, "warmup": 0.1, "processes": 5, "quick": False},
        "machine": {
            "cpu": "Example processor",
            "cpu_family": "cpu family 1",
            "architecture": "x86_64",
            "processors": 2,
            "usable": 2,
            "threads_per_core": 1,
            "cores": [[0], [1]],
            "caches": [{"level": 1, "size": "32K"}, {"level": 2, "size": "1024K"}],
            "isa": ["avx2", "avx512f"],
            "virtual": True,
            "governor": None,
            "frequency_khz": None,
            "mhz_now": None,
            "memory_bytes": 16 * 2**30,
            "huge_pages": "madvise",
            "system": "Linux 6.1",
            "distribution": "Example 1",
            "load_before": 0.1,
            "load_after": 1.2,
            "pinned": [0, 1],
        },
        "runtimes": {"python": "3.12.0", "rust": "rustc 1.80.0", "go": "go1.24"},
        "configs": CONFIGS,
        "skipped": [{"what": "peer jax", "why": "not installed </script>"}],
        "cases": [*described["cases"], *described["processes"]],
        "limits": limits,
        "rows": rows,
    }


def _case(case: dict[str, Any]) -> list[dict[str, Any]]:
    name, kind = case["name"], case["kind"]
    spent = cost(case, CONFIGS.get(case.get("config", "")))
    ideal = max(spent.flop / FLOPS, spent.byte / BYTES) / 1.7
    unit, units = (
        ("call", 1.0) if kind == "call" else ("flop", spent.flop) if spent.limit == "fma" else ("byte", spent.byte)
    )
    rows = []
    for at, language in enumerate(("python", "rust", "go")):
        each = CALLS[language] * (60 if "config" in case else 1)
        extra = {
            "checksum": "00ff00ff00ff00ff",
            "allocations": float((119, 0, 3)[at]),
            "allocated_bytes": 7340.0 * (at != 1),
            "gc_seconds": (0.0, None, ideal * 0.01)[at],
            "cpu_seconds": ideal * 2,
        }
        if kind in PLAIN:
            rows += _operation(name, kind, language, ideal, units, unit, extra)
        else:
            rows.append(row(name, language, "cpu", 2, ideal * SHARED["cpu"] + each, units, unit, **extra))
            if case.get("scaling"):
                rows.append(row(name, language, "cpu", 1, ideal * SHARED["cpu"] * 1.9 + each, units, unit, **extra))
        if case.get("config") == "tiny":
            rows.append(row(name, language, "reference", 1, ideal * (30, 12, 15)[at] + 1e-3, units, unit))
    if kind == "call":
        rows.append(row(name, "native", "cpu", 2, CALLS["native"], units, unit))
    if kind == "matmul":
        ways = {
            "unblocked-scalar": 16.0,
            "cpu-unblocked": 3.6,
            "cpu": 1.1,
            **({"naive": 90.0} if case["m"] <= 512 else {}),
        }
        rows += [row(name, "native", way, 1, ideal * 1.9 * slower, units, unit) for way, slower in ways.items()]
        rows.append(row(name, "native", "cpu", 2, ideal * 1.15, units, unit))
    return rows


def _operation(
    name: str, kind: str, language: str, ideal: float, units: float, unit: str, extra: dict[str, Any]
) -> list[dict[str, Any]]:
    """At one thread everything, at both what has threads: the kernels, and libraries where it is a product's bulk."""
    rows = []
    for threads in (1, 2):
        alone = ideal * (1.9 if threads == 1 else 1)
        rows.append(row(name, language, "cpu", threads, alone * SHARED["cpu"], units, unit, **extra))
        if threads == 1 or kind in THREADED:
            rows.append(row(name, language, "library", threads, alone * SLOWER["library"][language], units, unit))
        if language == "python":
            rows += [
                row(name, language, peer, threads, alone * 2.5, units, unit) for peer in ("peer-torch", "peer-jax")
            ]
    rows.append(row(name, language, "naive", 1, ideal * 1.9 * SLOWER["naive"][language], units, unit, fraction=0.01))
    if language == "python" and name in SCALAR_CASES:
        rows.append(row(name, language, "cpu-scalar", 1, ideal * 1.9 * 40.0, units, unit))
    return rows


def row(
    case: str, language: str, kind: str, threads: int, seconds: float, units: float, unit: str, **more: Any
) -> dict[str, Any]:
    return {
        "case": case,
        "language": language,
        "row": kind,
        "implementation": f"{language} {kind}",
        "harness": "none",
        "threads": threads,
        "isa": "avx512",
        "rounds": [spread(seconds, start) for start in (0, 10, 20)],
        "iterations": [1] * 30,
        "fraction": 1.0,
        "units": units,
        "unit": unit,
        "checked": True,
        "others": 0.0,
        "stolen": 0.0,
        **more,
    }


def spread(middle: float, start: int = 0, count: int = 10) -> list[float]:
    """Values within 1% of a middle, the same every time."""
    return [middle * (1 + 0.01 * math.sin(12.9898 * (start + i + 1))) for i in range(count)]
