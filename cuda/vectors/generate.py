#!/usr/bin/env python3
"""Writes and checks the conformance vectors: inputs, float64 expectations and derived bounds of every op of cunn.h.

generate.py                      write <family>.safetensors beside this file
generate.py --check              regenerate and compare with what is there
generate.py --check-gradients    every backward formula against central differences
generate.py --mutants            drop and negate every term of every formula: the bounds must notice
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from generator import (
    aliasing,
    attention,
    convert,
    decode,
    edges,
    elementwise,
    embedding,
    gemm,
    gemm_swiglu,
    loss,
    moe,
    optimizer,
    random,
    rmsnorm,
    rope,
    softmax,
)
from generator.case import EVERY_TERM, OPS, Case, GradientCheck, Out, mutated, seen_terms
from generator.files import Tensors, encode, read, write
from generator.numbers import FLOATS

HERE = Path(__file__).resolve().parent
FAMILIES: dict[str, Callable[[], list[Case]]] = {
    "elementwise": elementwise.cases,
    "softmax": softmax.cases,
    "rmsnorm": rmsnorm.cases,
    "gemm": lambda: gemm.cases() + gemm_swiglu.cases(),
    "rope": rope.cases,
    "attention": attention.cases,
    "embedding": embedding.cases,
    "moe": moe.cases,
    "loss": loss.cases,
    "optimizer": optimizer.cases,
    "decode": decode.cases,
    "random": random.cases,
    "convert": convert.cases,
    "aliasing": aliasing.cases,
    "edges": edges.cases,
}
GRADIENT_CHECKS: list[Callable[[], list[GradientCheck]]] = [
    elementwise.gradient_checks,
    softmax.gradient_checks,
    rmsnorm.gradient_checks,
    gemm_swiglu.gradient_checks,
    rope.gradient_checks,
    attention.gradient_checks,
    embedding.gradient_checks,
    moe.gradient_checks,
    loss.gradient_checks,
]


def write_all() -> list[str]:
    total = 0
    for family, cases in FAMILIES.items():
        path = HERE / f"{family}.safetensors"
        generated = cases()
        write(path, *encode(generated))
        total += path.stat().st_size
        print(f"{family:12} {len(generated):4} cases {path.stat().st_size:8} bytes")
    print(f"{total} bytes")
    return uncovered_ops()


def uncovered_ops() -> list[str]:
    """Ops of cunn.h that no case calls."""
    called = {case.op for cases in FAMILIES.values() for case in cases()}
    return [f"no case calls {op}" for op in OPS if op not in called]


def check() -> list[str]:
    """Inputs and integers equal to the byte. Floats may differ where this machine's exp or sum differs in its last
    bits: by far less than the bound allows."""
    problems = uncovered_ops()
    identical = True
    for family, cases in FAMILIES.items():
        path = HERE / f"{family}.safetensors"
        if not path.exists():
            problems.append(f"{path.name} is missing")
            continue
        metadata, tensors = encode(cases())
        stored_metadata, stored = read(path)
        if metadata != stored_metadata or set(tensors) != set(stored):
            problems.append(f"{path.name}: the cases differ from what the generator makes")
            continue
        for name, new in tensors.items():
            old = stored[name]
            if new == old:
                continue
            identical = False
            if new[:2] != old[:2] or not _close(name, new, old, tensors):
                problems.append(f"{path.name}: {name} differs")
    print("vectors: identical bytes" if identical else "vectors: not identical to the byte")
    return problems


def _close(name: str, new: tuple[str, list[int], bytes], old: tuple[str, list[int], bytes], tensors: Tensors) -> bool:
    case, part, argument = name.rsplit("/", 2)
    if part == "in" or new[0] not in ("F64", "F32"):
        return False
    dtype = "<f8" if new[0] == "F64" else "<f4"
    a, b = np.frombuffer(new[2], dtype), np.frombuffer(old[2], dtype)
    if f"{case}/bound/{argument}" not in tensors:
        return False
    limit = np.frombuffer(tensors[f"{case}/bound/{argument}"][2], "<f4") * 1e-5
    finite = np.isfinite(a)
    return bool(np.array_equal(a[~finite], b[~finite], equal_nan=True) and np.all(abs(a - b)[finite] <= limit[finite]))


def check_gradients() -> list[str]:
    problems = []
    checked = set()
    for checks in GRADIENT_CHECKS:
        for item in checks():
            checked.add(item.op)
            numeric = central_differences(item.loss, item.point)
            error = float(np.max(np.abs(numeric - item.gradient)) / max(1.0, float(np.max(np.abs(numeric)))))
            print(f"{item.op:32} {item.name:8} {error:.1e}")
            if not error < 1e-8:
                problems.append(f"{item.op}: {item.name} is off by {error:.1e} from central differences")
    problems += [f"{op}: no gradient check" for op in OPS if op.endswith("_backward") and op not in checked]
    return problems


def central_differences(loss: Callable[[np.ndarray], float], point: np.ndarray) -> np.ndarray:
    """Fourth order, step 1e-3: error about h^4 and 1e-16 / h."""
    gradient = np.zeros(point.shape)
    h = 1e-3
    for index in np.ndindex(point.shape):
        values = []
        for step in (-2, -1, 1, 2):
            moved = point.astype(np.float64)
            moved[index] += step * h
            values.append(loss(moved))
        gradient[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    return gradient


def mutants() -> list[str]:
    """Each term dropped and negated, in every case of its op: a case that cannot tell must say so itself."""
    problems = []
    killed = 0
    originals = {family: cases() for family, cases in FAMILIES.items()}
    for op, names in seen_terms().items():
        families = [family for family, known in originals.items() if any(case.op == op for case in known)]
        known = [case for family in families for case in originals[family] if case.op == op]
        for term in names:
            for label, factor in (("dropped", 0.0), ("negated", -1.0)):
                with mutated(op, term, factor):
                    changed = {case.name: case for family in families for case in FAMILIES[family]()}
                alive = [case for case in known if not notices(case, changed[case.name])]
                unexplained = [case.name for case in alive if not case.insensitive & {term, *EVERY_TERM}]
                killed += len(known) - len(alive)
                problems += [f"{op}: {term} {label} is not noticed by {name}" for name in unexplained]
                if len(alive) == len(known):
                    problems.append(f"{op}: no case notices {term} {label}")
    print(f"mutants: {killed} (term, change, case) noticed")
    return problems


def notices(case: Case, mutant: Case) -> bool:
    """Whether a kernel that computes the mutant exactly fails the case."""
    for (_, original), (_, other) in zip(case.outputs(), mutant.outputs(), strict=True):
        assert original.want is not None and other.want is not None
        if isinstance(original, Out) and original.dtype not in FLOATS:
            if not np.array_equal(original.want, other.want):
                return True
            continue
        want, got = np.asarray(original.want, dtype=np.float64), np.asarray(other.want, dtype=np.float64)
        finite = np.isfinite(want) & np.isfinite(got)
        if not np.array_equal(want[~finite], got[~finite], equal_nan=True):
            return True
        assert original.limit is not None
        if np.any(np.abs(want[finite] - got[finite]) > original.limit.array[finite]):
            return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--check-gradients", action="store_true")
    parser.add_argument("--mutants", action="store_true")
    chosen = parser.parse_args()
    problems: list[str] = []
    if not (chosen.check or chosen.check_gradients or chosen.mutants):
        problems += write_all()
    if chosen.check:
        problems += check()
    if chosen.check_gradients:
        problems += check_gradients()
    if chosen.mutants:
        problems += mutants()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
