"""Allocations of one run, counted by a hook below Python's allocators (count_allocations.c), or None without it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache


@cache
def _hook() -> ctypes.PyDLL | None:
    """The compiled hook that BENCH_ALLOCATIONS names, put in place."""
    path = os.environ.get("BENCH_ALLOCATIONS")
    if not path:
        return None
    hook = ctypes.PyDLL(path)
    hook.counted.argtypes = [ctypes.POINTER(ctypes.c_longlong), ctypes.POINTER(ctypes.c_longlong)]
    return hook if hook.install() == 0 else None


def of(run: Callable[[], None]) -> tuple[float | None, float | None]:
    """Calls that took memory, and the bytes they asked for, in one run of `run`."""
    hook = _hook()
    if hook is None:
        return None, None
    calls, size = ctypes.c_longlong(), ctypes.c_longlong()
    hook.start()
    run()
    hook.stop()
    hook.counted(ctypes.byref(calls), ctypes.byref(size))
    return float(calls.value), float(size.value)
