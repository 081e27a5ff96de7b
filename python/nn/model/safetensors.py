"""The safetensors format, read strictly and written in one form.

A file is a u64 (little-endian) N, N bytes of JSON, and the data. The JSON maps each tensor's name to its dtype, shape
and the begin and end of its bytes in the data; `__metadata__` maps strings to strings. The tensors fill the data
without gap or overlap. https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn import files, messages
from nn.json_strict import Json, describe, dumps_compact, loads_object, quote

Array = NDArray[Any]

ITEM_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip
"""dtype -> bytes of an element."""

_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "BF16": "<u2",
    "I32": "<i4", "U32": "<u4", "F32": "<f4", "F64": "<f8", "I64": "<i8", "U64": "<u8",
}  # fmt: skip

MAX_HEADER = 100_000_000
MAX_DIMENSIONS = 8
_MAX_BYTES = 2**63 - 1
_WRITE_CHUNK = 1 << 24


@dataclass(frozen=True)
class TensorInfo:
    """What the header says of one tensor; `begin` and `end` count bytes of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class TensorEntry:
    """A tensor to be written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def n_bytes(self) -> int:
        product = ITEM_SIZES[self.dtype]
        for extent in self.shape:
            product *= extent
        return product


class SafetensorsFile:
    """An open file: `tensors` (name -> TensorInfo, in the order of the header), `metadata`, and the data, mapped.

    Everything is checked when the file is opened; reading a tensor cannot fail but for an unknown name. Errors:
    file_missing, cannot_read, safetensors_* and those of `json_strict.loads_object`.
    """

    def __init__(self, path: str | Path, kind: str = "checkpoint folder") -> None:
        self.path = str(path)
        self._bytes = _map(self.path, kind)
        self.metadata, self.tensors, self._data = read_header(self._bytes, self.path)

    def array(self, name: str) -> Array:
        """The tensor as it is stored, read-only, without a copy where it is aligned; bf16 comes as uint16.

        Errors: safetensors_no_tensor.
        """
        if name not in self.tensors:
            raise messages.safetensors_no_tensor(path=self.path, name=quote(name))
        info = self.tensors[name]
        dtype = np.dtype(_NUMPY[info.dtype])
        count = (info.end - info.begin) // dtype.itemsize
        if count == 0:
            return np.zeros(info.shape, dtype)
        array = np.frombuffer(self._bytes, dtype, count, self._data + info.begin).reshape(info.shape)
        if not array.flags.aligned:
            array = array.copy()
            array.flags.writeable = False
        return array

    def f32(self, name: str) -> NDArray[np.float32]:
        """The tensor in f32; exact for bf16 and f16. Errors: safetensors_no_tensor, safetensors_bad_dtype."""
        array = self.array(name)
        dtype = self.tensors[name].dtype
        if dtype == "F32":
            return array
        if dtype == "BF16":
            return bf16_to_f32(array)
        if dtype == "F16":
            return array.astype(np.float32)
        raise messages.safetensors_bad_dtype(
            path=self.path, name=quote(name), found=quote(dtype), known="F32, BF16, F16"
        )


def read_header(data: bytes | mmap.mmap, path: str) -> tuple[dict[str, str], dict[str, TensorInfo], int]:
    """Metadata, tensors and the offset of the data in the bytes of a file. Errors: as `SafetensorsFile`.

    The order of the checks is part of the promise that every language names the same fault: the length, the
    JSON, each entry in the order of the header, then the entries in the order of their bytes.
    """
    if len(data) < 8:
        raise messages.safetensors_truncated(path=path, found=len(data), expected=8)
    header_size = int.from_bytes(data[:8], "little")
    if header_size > MAX_HEADER:
        raise messages.safetensors_header_too_large(path=path, found=str(header_size), limit=MAX_HEADER)
    start = 8 + header_size
    if len(data) < start:
        raise messages.safetensors_truncated(path=path, found=len(data), expected=start)
    header = loads_object(data[8:start], path)
    metadata: dict[str, str] = {}
    tensors: dict[str, TensorInfo] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            metadata = _read_metadata(entry, path)
        else:
            tensors[name] = _read_entry(name, entry, path, len(data) - start)
    _check_contiguous(tensors, path, len(data) - start)
    return metadata, tensors, start


def _map(path: str, kind: str) -> bytes | mmap.mmap:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:  # an empty file cannot be mapped
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise messages.file_missing(path=path, kind=kind) from None
    except (OSError, ValueError) as error:  # ValueError: the file is shorter than it was
        raise files.cannot_read(path, error if isinstance(error, OSError) else OSError()) from None


def _read_metadata(entry: Json, path: str) -> dict[str, str]:
    result: dict[str, str] = {}
    if not isinstance(entry, dict):
        raise messages.safetensors_bad_metadata(path=path)
    for key, value in entry.items():
        if not isinstance(value, str):
            raise messages.safetensors_bad_metadata(path=path)
        result[key] = value
    return result


def _read_entry(name: str, entry: Json, path: str, data_size: int) -> TensorInfo:
    quoted = quote(name)
    if not isinstance(entry, dict) or sorted(entry) != ["data_offsets", "dtype", "shape"]:
        raise messages.safetensors_bad_entry(path=path, name=quoted)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise messages.safetensors_bad_dtype(path=path, name=quoted, found=describe(dtype), known=", ".join(ITEM_SIZES))
    extents = _natural_numbers(shape)
    if extents is None or len(extents) > MAX_DIMENSIONS:
        raise messages.safetensors_bad_shape(path=path, name=quoted, limit=MAX_DIMENSIONS)
    n_bytes = ITEM_SIZES[dtype]
    for extent in extents:
        n_bytes *= extent
        if n_bytes > _MAX_BYTES:
            raise messages.safetensors_shape_overflow(path=path, name=quoted)
    ends = _natural_numbers(offsets)
    if ends is None or len(ends) != 2 or ends[0] > ends[1]:
        raise messages.safetensors_bad_offsets(path=path, name=quoted)
    begin, end = ends
    if end > data_size:
        raise messages.safetensors_out_of_file(path=path, name=quoted, found=end, limit=data_size)
    if end - begin != n_bytes:
        raise messages.safetensors_wrong_size(path=path, name=quoted, found=end - begin, expected=n_bytes)
    return TensorInfo(dtype, tuple(extents), begin, end)


def _natural_numbers(value: Json) -> list[int] | None:
    """The integers of an array of integers of at least 0; None for anything else."""
    if not isinstance(value, list):
        return None
    result: list[int] = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or item < 0:
            return None
        result.append(item)
    return result


def _check_contiguous(tensors: dict[str, TensorInfo], path: str, data_size: int) -> None:
    """Sorted by (begin, end, name), each tensor begins where the one before it ends, and the last ends the file."""
    order = sorted((info.begin, info.end, name.encode(), name) for name, info in tensors.items())
    at = 0
    for begin, end, _, name in order:
        if begin != at:
            raise messages.safetensors_not_contiguous(path=path, name=quote(name), found=begin, expected=at)
        at = end
    if at != data_size:
        raise messages.safetensors_trailing(path=path, found=data_size, expected=at)


def header_bytes(entries: Sequence[TensorEntry], metadata: dict[str, str]) -> bytes:
    """The length and the JSON of a file that holds `entries` in this order, padded with spaces to a multiple of 8."""
    header: dict[str, Json] = {"__metadata__": dict(metadata.items())}
    at = 0
    for entry in entries:
        end = at + entry.n_bytes()
        header[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [at, end]}
        at = end
    text = dumps_compact(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def byte_order(entries: Sequence[TensorEntry]) -> list[TensorEntry]:
    """Sorted by the bytes of the names."""
    return sorted(entries, key=lambda entry: entry.name.encode())


def file_chunks(
    entries: Sequence[TensorEntry], fetch: Callable[[str], Array], metadata: dict[str, str]
) -> Iterator[bytes | memoryview]:
    """The bytes of a file of `entries`, piece by piece: `fetch(name)` is asked once, when the tensor's turn comes.

    A fetched array must have the entry's shape and NumPy's type of its dtype (bf16: uint16).
    """
    order = byte_order(entries)
    yield header_bytes(order, metadata)
    for entry in order:
        array = np.ascontiguousarray(fetch(entry.name))
        if array.dtype != np.dtype(_NUMPY[entry.dtype]) or array.shape != entry.shape:
            raise TypeError(f"{entry.name}: got {array.dtype} {array.shape}, expected {entry.dtype} {entry.shape}")
        data = array.reshape(-1).view(np.uint8).data
        for at in range(0, len(data), _WRITE_CHUNK):
            yield data[at : at + _WRITE_CHUNK]


def save_file(
    path: str | Path,
    entries: Sequence[TensorEntry],
    fetch: Callable[[str], Array],
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes one file, whole or not at all. Errors: disk_full, cannot_write."""
    files.write_file(path, file_chunks(entries, fetch, metadata or {"format": "pt"}))


def bf16_to_f32(bits: Array) -> NDArray[np.float32]:
    """bf16 is the upper half of an f32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def f32_to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Rounds to nearest, ties to even; NaN stays NaN (quiet)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    return np.where(nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)
