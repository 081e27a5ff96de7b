"""Shapes, dtypes and tensors, on every device where memory is involved."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from devices import available_devices
from hypothesis import given
from hypothesis import strategies as st

from nn.cuda import open_backend
from nn.tensor import Backend, DType, Shape, Tensor
from nn.tensor.dtype import bf16_from_f32, f32_from_bf16, storage_of

SIZES = st.lists(st.integers(0, 6), max_size=4)


@pytest.fixture(params=available_devices())
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with open_backend(request.param) as opened:
        yield opened


@given(SIZES)
def test_a_shape_counts_as_numpy_does(sizes: list[int]) -> None:
    shape, array = Shape(sizes), np.zeros(sizes, np.uint8)
    assert shape == tuple(sizes) and shape.size == array.size and shape.rank == array.ndim
    if array.size:
        assert shape.strides == array.strides
    assert Shape(*sizes) == shape


def test_a_shape_prints_as_in_the_sentences_of_the_library() -> None:
    assert str(Shape(4, 768)) == "4x768"
    assert str(Shape()) == "scalar"


@pytest.mark.parametrize(
    ("sizes", "expected"), [((6, 4), (6, 4)), ((-1, 8), (3, 8)), ((2, -1), (2, 12)), ((24,), (24,)), ((-1,), (24,))]
)
def test_reshape(sizes: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert Shape(2, 3, 4).reshape(*sizes) == expected


@pytest.mark.parametrize("sizes", [(5, 5), (-1, 5), (-1, -1), (0, -1)])
def test_reshape_to_another_count_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot reshape 2x3x4"):
        Shape(2, 3, 4).reshape(*sizes)


def test_a_negative_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Shape(2, -3)


@given(st.integers(0, 0xFFFF))
def test_every_bf16_survives_f32(bits: int) -> None:
    back = int(bf16_from_f32(f32_from_bf16(np.array([bits], np.uint16)))[0])
    is_nan = bits & 0x7FFF > 0x7F80
    assert back == (bits | 0x40 if is_nan else bits)


@given(st.floats(width=32, allow_nan=False))
def test_bf16_is_the_nearest_with_ties_to_even(value: float) -> None:
    bits = int(bf16_from_f32(np.array([value], np.float32))[0])
    got = float(f32_from_bf16(np.array([bits], np.uint16))[0])
    if not np.isfinite(got):
        # f32's largest values are nearer to bf16's next, which is infinity.
        assert abs(value) >= float.fromhex("0x1.ffp127")
        return
    for neighbour in (bits - 1, bits + 1):
        other = float(f32_from_bf16(np.array([neighbour & 0xFFFF], np.uint16))[0])
        distance = abs(got - value)
        assert not abs(other - value) < distance
        if abs(other - value) == distance and other != got:
            assert bits & 1 == 0


def test_a_block_dtype_counts_its_bytes() -> None:
    assert DType.Q8.bytes(64) == 68 and DType.Q4.bytes(64) == 36
    assert DType.Q8.count_of(68) == 64 and DType.Q4.count_of(36) == 64
    assert DType.BF16.bytes(3) == 6 and DType.I64.bytes(3) == 24


def test_dtype_of_an_array() -> None:
    kinds = {"f4": DType.F32, "f8": DType.F32, "f2": DType.F16, "u2": DType.BF16, "i4": DType.I32, "i8": DType.I64}
    assert {kind: DType.of(np.zeros(1, kind)) for kind in kinds} == kinds
    with pytest.raises(TypeError, match="no dtype holds"):
        DType.of(np.zeros(1, np.complex64))


def test_values_are_not_taken_for_quantized_bytes() -> None:
    with pytest.raises(TypeError, match="quantize"):
        storage_of(np.zeros(32, np.float32), DType.Q8)


def test_a_tensor_holds_what_it_was_made_from(backend: Backend) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for dtype in (DType.F32, DType.BF16, DType.F16):
        tensor = Tensor.from_numpy(backend, values, dtype)
        assert tensor.dtype == dtype and tensor.shape == (2, 3, 4)
        assert np.array_equal(tensor.numpy(), values)
    ids = np.array([[1, -2], [3, 4]], np.int32)
    assert np.array_equal(Tensor.from_numpy(backend, ids).numpy(), ids)


def test_zeros(backend: Backend) -> None:
    for dtype in (DType.F32, DType.BF16, DType.I32, DType.I64, DType.U8):
        assert not Tensor.zeros(backend, (3, 5), dtype).numpy().any()


def test_reshape_and_view_share_memory(backend: Backend) -> None:
    tensor = Tensor.from_numpy(backend, np.arange(12, dtype=np.float32).reshape(4, 3))
    rows = tensor.view(1, 3)
    assert rows.shape == (2, 3)
    rows.upload(np.full((2, 3), 7, np.float32))
    assert tensor.reshape(-1).numpy().tolist() == [0, 1, 2, 7, 7, 7, 7, 7, 7, 9, 10, 11]
    with pytest.raises(ValueError, match="not within"):
        tensor.view(2, 5)
    with pytest.raises(ValueError, match="does not fill"):
        tensor.upload(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="the buffer 12"):
        Tensor(backend, tensor.buffer, (5,))
