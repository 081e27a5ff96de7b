"""Element types, numbered as in cunn.h, and how NumPy holds them.

NumPy has no bfloat16: a bf16 buffer is a uint16 array, the upper half of the f32 with the same value. q8 and q4 hold
blocks of 32 elements and are uint8 arrays (the layout stands in cunn.h).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

QUANT_BLOCK = 32
"""Elements that share one scale in q8 and q4."""


class DType(IntEnum):
    F32 = 0
    BF16 = 1
    F16 = 2
    I32 = 3
    I64 = 4
    U8 = 5
    Q8 = 6
    Q4 = 7

    @property
    def label(self) -> str:
        """The name in sentences and on the command line: "f32"."""
        return self.name.lower()

    @property
    def is_float(self) -> bool:
        return self <= DType.F16

    @property
    def is_quantized(self) -> bool:
        return self >= DType.Q8

    @property
    def storage(self) -> np.dtype[Any]:
        """The NumPy type that holds the bits."""
        return _STORAGE[self]

    def storage_count(self, count: int) -> int:
        """Elements of the storage type for count elements of this one (a multiple of 32 for q8 and q4)."""
        if self.is_quantized:
            return count // QUANT_BLOCK * _BLOCK_BYTES[self]
        return count

    def count_of(self, storage_count: int) -> int:
        """Elements of this dtype in storage_count elements of the storage type; a broken block counts as none."""
        if self.is_quantized:
            return storage_count // _BLOCK_BYTES[self] * QUANT_BLOCK
        return storage_count

    def bytes(self, count: int) -> int:
        return self.storage_count(count) * self.storage.itemsize

    @staticmethod
    def of(array: Array) -> DType:
        """The dtype that holds a NumPy array as it is; float64 becomes F32, uint16 is BF16."""
        dtype = _OF_NUMPY.get(array.dtype.newbyteorder("="))
        if dtype is None:
            raise TypeError(f"no dtype holds a NumPy array of {array.dtype}, expected float, int32, int64 or uint8")
        return dtype


_STORAGE: dict[DType, np.dtype[Any]] = {
    DType.F32: np.dtype(np.float32),
    DType.BF16: np.dtype(np.uint16),
    DType.F16: np.dtype(np.float16),
    DType.I32: np.dtype(np.int32),
    DType.I64: np.dtype(np.int64),
    DType.U8: np.dtype(np.uint8),
    DType.Q8: np.dtype(np.uint8),
    DType.Q4: np.dtype(np.uint8),
}
_BLOCK_BYTES = {DType.Q8: 34, DType.Q4: 18}
_OF_NUMPY: dict[np.dtype[Any], DType] = {
    np.dtype(np.float64): DType.F32,
    np.dtype(np.float32): DType.F32,
    np.dtype(np.uint16): DType.BF16,
    np.dtype(np.float16): DType.F16,
    np.dtype(np.int32): DType.I32,
    np.dtype(np.int64): DType.I64,
    np.dtype(np.uint8): DType.U8,
}


def bf16_from_f32(values: Array) -> npt.NDArray[np.uint16]:
    """Rounds f32 to bf16, nearest even; a NaN stays a (quiet) NaN."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


def f32_from_bf16(bits: Array) -> npt.NDArray[np.float32]:
    """The exact f32 value of each bf16."""
    return (np.asarray(bits, dtype=np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def storage_of(array: Array, dtype: DType) -> Array:
    """The contiguous, flat storage of array as dtype: values are converted, storage of bf16, q8 and q4 is taken as is.

    array holds values (floats or integers) or, for bf16, q8 and q4, already the storage (uint16, uint8 bytes).
    """
    flat = np.asarray(array).reshape(-1)
    if dtype is DType.BF16 and flat.dtype != np.uint16:
        return bf16_from_f32(flat.astype(np.float32))
    if dtype.is_quantized and flat.dtype != np.uint8:
        raise TypeError(f"{dtype.label} takes its packed bytes as uint8, or values through the quantize op")
    return np.ascontiguousarray(flat, dtype=dtype.storage)


def values_of(storage: Array, dtype: DType) -> Array:
    """What the storage means: bf16 as f32, everything else as it is."""
    return f32_from_bf16(storage) if dtype is DType.BF16 else storage
