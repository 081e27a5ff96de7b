"""The strict JSON reader and the writer."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paths import HOST

from nn.errors import NNError
from nn.json_strict import MAX_DEPTH, Json, describe, dumps, dumps_compact, format_float, loads, loads_object, quote

CASES = json.loads((HOST / "json.json").read_text())
"""What every language must say, word for word."""

TEXT = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and order of keys."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


@given(VALUES)
def test_round_trip(value: Any) -> None:
    assert same(loads(dumps(value).encode(), "x"), value)
    assert same(loads(dumps_compact(value).encode(), "x"), value)


@given(VALUES)
def test_written_as_the_standard_library_writes(value: Any) -> None:
    assert dumps(value) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    assert dumps_compact(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@given(VALUES, st.booleans())
def test_reads_what_the_standard_library_writes(value: Any, ascii_only: bool) -> None:
    assert same(loads(json.dumps(value, ensure_ascii=ascii_only).encode(), "x"), value)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d89efE+-. \n\ttruefalsn\x00', max_size=60).map(str.encode))
@example(b"[" * 100_000)
@example(b"-" * 10)
@example(b'"\\ud800\\u"')
def test_any_bytes_give_a_value_or_a_sentence(data: bytes) -> None:
    try:
        value = loads(data, "file.json")
    except NNError as error:
        assert error.key.startswith("json_")
        assert str(error).startswith("file.json: ")
    else:
        assert same(value, json.loads(data))


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["sentence"][3:60])
def test_sentences(case: dict[str, str]) -> None:
    data = case["text"].encode() if "text" in case else bytes.fromhex(case["hex"])
    with pytest.raises(NNError) as caught:
        loads(data, "x")
    assert (caught.value.key, str(caught.value)) == (case["key"], case["sentence"])


@pytest.mark.parametrize("case", CASES["read"], ids=lambda case: case["text"][:40])
def test_canonical_text(case: dict[str, str]) -> None:
    value = loads(case["text"].encode(), "x")
    assert (dumps_compact(value), dumps(value)) == (case["compact"], case["pretty"])


@pytest.mark.parametrize("digits", [20, 5000])
def test_long_integers_are_refused_without_being_converted(digits: int) -> None:
    with pytest.raises(NNError, match="expected a 64-bit integer"):
        loads(b"1" * digits, "x")


def test_numbers_keep_their_kind() -> None:
    assert same(
        loads(b"[0, -0, 1.0, 1e2, -9223372036854775808, -0.0, 1e-400]", "x"), [0, 0, 1.0, 100.0, -(2**63), -0.0, 0.0]
    )


def test_depth_limit_is_the_deepest_that_is_read() -> None:
    value = loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "x")
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(value, list)
        value = value[0]
    assert value == []


def test_surrogate_pairs_and_escapes() -> None:
    assert loads(b'"\\ud83d\\ude00 \\/\\b\\f\\n\\r\\t\\"\\\\ \\u0000"', "x") == '😀 /\b\f\n\r\t"\\ \0'


def test_object_wanted() -> None:
    with pytest.raises(NNError, match=r"^x: holds an array, expected an object$"):
        loads_object(b"[]", "x")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (-0.0, "-0.0"), (1e-6, "1e-06"), (0.0001, "0.0001"), (0.00001, "1e-05"),
     (1e15, "1000000000000000.0"), (1e16, "1e+16"), (1e100, "1e+100"),
     (1.5e-7, "1.5e-07"), (0.1, "0.1"), (123456.789, "123456.789"),
     (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308")],
)  # fmt: skip
def test_float_format(value: float, text: str) -> None:
    assert format_float(value) == text


def test_no_json_for_what_json_lacks() -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="no NaN"):
            dumps(value)


def test_quote_and_describe() -> None:
    assert quote('a"\\\n\x01\x7fé') == '"a\\"\\\\\\n\\u0001\x7fé"'
    values: list[Json] = [None, True, 3, 1e-6, "a", [1], {"b": 2}]
    assert [describe(value) for value in values] == [
        "null", "true", "3", "1e-06", '"a"', "an array", "an object",
    ]  # fmt: skip
