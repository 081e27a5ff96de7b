"""The safetensors reader and writer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import GOLDEN, HOST

from nn.errors import NNError
from nn.model.safetensors import (
    ITEM_SIZES,
    Array,
    SafetensorsFile,
    TensorEntry,
    bf16_to_f32,
    f32_to_bf16,
    file_chunks,
    header_bytes,
    read_header,
    save_file,
)

CASES = json.loads((HOST / "safetensors.json").read_text())
"""What every language must say, word for word."""

ENTRIES = [TensorEntry("b", "F32", (2, 3)), TensorEntry("a", "BF16", (3,)), TensorEntry("é", "I64", (0, 4))]
ARRAYS: dict[str, Array] = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": f32_to_bf16(np.array([1.0, -2.0, 0.5], np.float32)),
    "é": np.zeros((0, 4), np.int64),
}


def whole(entries: list[TensorEntry], arrays: dict[str, Array]) -> bytes:
    return b"".join(bytes(chunk) for chunk in file_chunks(entries, lambda name: arrays[name], {"format": "pt"}))


def with_header(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_written_form() -> None:
    """Metadata first, names in byte order, compact, padded with spaces to 8; then the data in that order."""
    data = whole(ENTRIES, ARRAYS)
    text = (
        '{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},'
        '"b":{"dtype":"F32","shape":[2,3],"data_offsets":[6,30]},"é":{"dtype":"I64","shape":[0,4],'
        '"data_offsets":[30,30]}}'
    ).encode()
    padded = text + b" " * (-len(text) % 8)
    assert data[:8] == len(padded).to_bytes(8, "little")
    assert data[8 : 8 + len(padded)] == padded
    assert data[8 + len(padded) :] == ARRAYS["a"].tobytes() + ARRAYS["b"].tobytes()


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(path, ENTRIES, lambda name: ARRAYS[name])
    file = SafetensorsFile(path)
    assert file.metadata == {"format": "pt"}
    for name, array in ARRAYS.items():
        got = file.array(name)
        assert got.dtype == array.dtype and got.shape == array.shape and np.array_equal(got, array)
        assert got.size == 0 or not got.flags.writeable
    assert file.f32("a").tolist() == [1.0, -2.0, 0.5]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(NNError) as caught:
        file.array("c")
    assert str(caught.value) == f'{path}: no tensor "c", expected it in this file'
    with pytest.raises(NNError, match="dtype"):
        file.f32("é")


def test_f16_widens_exactly(tmp_path: Path) -> None:
    values = np.array([1.5, -65504.0, 6e-8, 0.0], np.float16)
    save_file(tmp_path / "x", [TensorEntry("h", "F16", (4,))], lambda name: values)
    assert np.array_equal(SafetensorsFile(tmp_path / "x").f32("h"), values.astype(np.float32))


def test_a_wrong_array_is_refused() -> None:
    with pytest.raises(TypeError, match="a: got float64"):
        whole([TensorEntry("a", "F32", (1,))], {"a": np.zeros(1)})


@pytest.mark.parametrize("file", ["tiny/model.safetensors", "bf16-sharded/model-00004-of-00007.safetensors"])
def test_golden_files_are_written_back_byte_for_byte(file: str) -> None:
    """What transformers 5 saves is in the same form."""
    golden = SafetensorsFile(GOLDEN / file)
    entries = [TensorEntry(name, info.dtype, info.shape) for name, info in golden.tensors.items()]
    written = b"".join(bytes(chunk) for chunk in file_chunks(entries, golden.array, golden.metadata))
    assert written == (GOLDEN / file).read_bytes()


def test_golden_data_file() -> None:
    golden = SafetensorsFile(GOLDEN / "tiny" / "golden.safetensors")
    assert golden.array("greedy_ids").shape == (1, 24)
    assert golden.array("greedy_ids").dtype == np.int32
    assert "adamw" in golden.metadata


def bytes_of(case: dict[str, Any]) -> bytes:
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    return with_header(case["header"].encode(), b"\0" * case["zeros"])


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["sentence"][3:60])
def test_sentences(case: dict[str, Any]) -> None:
    with pytest.raises(NNError) as caught:
        read_header(bytes_of(case), "f")
    assert (caught.value.key, str(caught.value)) == (case["key"], case["sentence"])


def test_scalars_and_empty_tensors() -> None:
    data = with_header({"z": tensor(shape=[0], offsets=[4, 4]), "s": tensor(shape=[], offsets=[0, 4])}, b"\0\0\x80\x3f")
    _, tensors, start = read_header(data, "f")
    assert tensors["s"].shape == () and tensors["z"].shape == (0,)
    assert start == len(data) - 4


def test_data_at_an_odd_place_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(with_header(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} ' + b" " * 2,
                                 np.array([3.0, 4.0], np.float32).tobytes()))  # fmt: skip
    array = SafetensorsFile(path).array("a")
    assert array.tolist() == [3.0, 4.0] and array.flags.aligned


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(NNError) as caught:
        SafetensorsFile(tmp_path / "x")
    assert str(caught.value) == f"{tmp_path / 'x'}: no such file, expected it in a checkpoint folder"
    with pytest.raises(NNError) as caught:
        SafetensorsFile(tmp_path)
    assert str(caught.value) == f"{tmp_path}: cannot be read: it is a folder"


VALID = whole(ENTRIES, ARRAYS)


@given(st.data())
def test_mutations_never_crash(data: st.DataObject) -> None:
    """A changed, cut or lengthened file is read, or refused in a sentence; then every tensor can be read."""
    mutated = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "delete", "number"]))
        at = data.draw(st.integers(0, len(mutated)))
        if kind == "set" and at < len(mutated):
            mutated[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del mutated[at:]
        elif kind == "insert":
            mutated[at:at] = data.draw(st.binary(min_size=1, max_size=9))
        elif kind == "delete":
            del mutated[at : at + data.draw(st.integers(1, 9))]
        elif kind == "number":
            mutated[at : at + 1] = str(data.draw(st.integers(-(2**64), 2**64))).encode()
    check(bytes(mutated))


HEADER = st.dictionaries(
    st.sampled_from(["__metadata__", "a", "b", "c"]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "BF16", "U8", "X"]),
            "shape": st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3),
            "data_offsets": st.lists(st.integers(-1, 12) | st.just(2**63 - 1), min_size=2, max_size=2),
        }
    )
    | st.dictionaries(st.text(max_size=2), st.text(max_size=2), max_size=1),
)


@given(HEADER, st.binary(max_size=12))
def test_any_header_never_crashes(header: dict[str, Any], data: bytes) -> None:
    check(with_header(header, data))


def check(data: bytes) -> None:
    try:
        _, tensors, start = read_header(data, "f")
    except NNError as error:
        assert error.key.startswith(("safetensors_", "json_"))
        assert str(error).startswith("f: ")
        return
    spans = sorted((info.begin, info.end) for info in tensors.values())
    assert sum(end - begin for begin, end in spans) == len(data) - start
    for info in tensors.values():
        assert 0 <= info.begin <= info.end <= len(data) - start
        assert int(np.prod(info.shape, dtype=object)) * ITEM_SIZES[info.dtype] == info.end - info.begin


@pytest.mark.parametrize("size", range(len(VALID)))
def test_every_truncation_is_refused(size: int) -> None:
    with pytest.raises(NNError):
        read_header(VALID[:size], "f")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=3)), max_size=6,
                unique_by=lambda pair: pair[0]))  # fmt: skip
def test_any_names_round_trip(pairs: list[tuple[str, list[int]]]) -> None:
    entries = [TensorEntry(name, "U8", tuple(shape)) for name, shape in pairs if name != "__metadata__"]
    header = header_bytes(entries, {"format": "pt"})
    assert len(header) % 8 == 0
    data = header + b"\0" * sum(entry.n_bytes() for entry in entries)
    _, tensors, _ = read_header(data, "f")
    assert [(name, info.shape) for name, info in tensors.items()] == [(e.name, e.shape) for e in entries]


def test_bf16_rounding() -> None:
    """To nearest, ties to even, for every kind of tie; NaN and infinity stay; every bf16 survives."""
    every = np.arange(2**16, dtype=np.uint16)
    wide = bf16_to_f32(every)
    back = f32_to_bf16(wide)
    number = ~np.isnan(wide)
    assert np.array_equal(back[number], every[number])
    assert np.isnan(bf16_to_f32(back[~number])).all()
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x3F807FFF, 0x7F7FFFFF, 0xFF800000, 0x7F800001], np.uint32)
    assert [hex(value) for value in f32_to_bf16(bits.view(np.float32))] == [
        "0x3f80", "0x3f82", "0x3f81", "0x3f80", "0x7f80", "0xff80", "0x7fc0",
    ]  # fmt: skip
