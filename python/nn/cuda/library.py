"""Finds and opens libcunn: CUNN_LIBRARY, else beside this package, else <root>/build.

Nothing links against it, so everything else of the package works before it is built. The ABI version is compared
before any other function is called.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi

from nn import messages
from nn.cuda.declarations import DECLARATIONS
from nn.errors import NNError

ffi: Any = cffi.FFI()

DEVICES = ("cpu", "cuda", "simt")
"""Kinds of device, at the place of their number in cunn.h."""

_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


@dataclass(frozen=True)
class Library:
    """An opened libcunn: its functions, where it was found, and what it says of itself."""

    lib: Any
    path: str
    version: str
    build_info: str

    def device_count(self, device: str) -> int:
        count = ffi.new("int32_t *")
        self.lib.cunn_device_count(count, DEVICES.index(device))
        return int(count[0])

    def device_name(self, device: str, ordinal: int = 0) -> str:
        return _text(self.lib.cunn_device_name(DEVICES.index(device), ordinal))

    def device_note(self, device: str) -> str:
        """Why there is no such device here and what would change that; "" when there is one."""
        return _text(self.lib.cunn_device_note(DEVICES.index(device)))

    def device_memory(self, device: str, ordinal: int = 0) -> tuple[int, int]:
        """Total and free bytes."""
        total, free = ffi.new("int64_t *"), ffi.new("int64_t *")
        self.lib.cunn_device_memory(total, free, DEVICES.index(device), ordinal)
        return int(total[0]), int(free[0])


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def places(stem: str) -> list[Path]:
    """Where a library is looked for, first come first served."""
    named = os.environ.get("CUNN_LIBRARY")
    if named:
        return [Path(named)]
    here = Path(__file__).resolve().parent
    found = [here / (stem + _SUFFIX)]
    root = here.parents[2]
    if (root / "cuda" / "include" / "cunn.h").is_file():
        found.append(root / "build" / (stem + _SUFFIX))
    return found


def library(device: str = "cpu") -> Library:
    """The library that has this kind of device: libcunn-simt for simt, else libcunn; for cuda on a V100 libcunn-sm70.

    Raises NNError when it is absent, cannot be opened, or speaks another version of the ABI.
    """
    stem = "libcunn-simt" if device == "simt" else "libcunn"
    candidates = places(stem)
    for path in candidates:
        if path.is_file():
            found = _open(str(path))
            return _or_sm70(found) if device == "cuda" else found
    raise messages.library_missing(name=stem + _SUFFIX, places=", ".join(map(str, candidates)))


def _or_sm70(found: Library) -> Library:
    """The libcunn-sm70 beside a library without a card, where that finds one: it serves what CUDA 13 dropped."""
    beside = Path(found.path).with_name("libcunn-sm70" + _SUFFIX)
    if not found.device_count("cuda") and beside.is_file():
        older = _open(str(beside))
        if older.device_count("cuda"):
            return older
    return found


@functools.cache
def _declare() -> None:
    """Parses the header for `ffi`: only for an opened library, since it takes as long as importing half the package."""
    ffi.cdef(DECLARATIONS)


@functools.cache
def _open(path: str) -> Library:
    _declare()
    try:
        lib = ffi.dlopen(path)
        found = int(lib.cunn_abi_version())
    except OSError:
        raise messages.library_unreadable(path=path, reason=_loader_says(path)) from None
    except AttributeError:
        raise messages.library_unreadable(path=path, reason="it has no cunn_abi_version") from None
    if found != lib.CUNN_ABI_VERSION:
        raise messages.library_wrong_abi(path=path, found=found, expected=lib.CUNN_ABI_VERSION)
    missing = [name for name in _names() if not hasattr(lib, name)]
    if missing:
        raise messages.library_unreadable(path=path, reason=f"it has no {missing[0]}")
    return Library(lib, path, _text(lib.cunn_version()), _text(lib.cunn_build_info()))


def _loader_says(path: str) -> str:
    """Why the loader refuses `path`: its own words, which cffi wraps in others."""
    try:
        ctypes.CDLL(path)
    except OSError as error:
        return str(error).removeprefix(f"{path}: ")
    return "the loader gives no reason"


def _names() -> list[str]:
    """Every function of the header."""
    return [line[: line.index("(")].split()[-1].lstrip("*") for line in DECLARATIONS.splitlines() if "(" in line]


def why_not(device: str) -> str:
    """Why a device cannot be opened here, in one sentence; "" when it can."""
    if device == "reference":
        return ""
    try:
        found = library(device)
    except NNError as error:
        return str(error)
    if found.device_count(device):
        return ""
    return str(messages.device_missing(name=device, reason=found.device_note(device)))


def devices() -> list[str]:
    """The devices that can be opened here, best first; reference is always among them."""
    return [device for device in ("cuda", "cpu", "simt", "reference") if not why_not(device)]
