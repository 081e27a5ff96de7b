"""The strict JSON reader and the writer."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nn.errors import NNError
from nn.json_strict import MAX_DEPTH, Json, describe, dumps, dumps_compact, format_float, loads, loads_object, quote

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


@pytest.mark.parametrize(
    ("data", "key", "sentence"),
    [
        (b"", "json_syntax", "x: not JSON at line 1, column 1: expected a value"),
        (b'{"a": 1,\n "b" 2}', "json_syntax", "x: not JSON at line 2, column 6: expected ':'"),
        (b'{"a": 1 "b"}', "json_syntax", "x: not JSON at line 1, column 9: expected ',' or '}'"),
        (b"[1 2]", "json_syntax", "x: not JSON at line 1, column 4: expected ',' or ']'"),
        (b"[1,]", "json_syntax", "x: not JSON at line 1, column 4: expected a value"),
        (b'{"a":1,}', "json_syntax", "x: not JSON at line 1, column 8: expected a key in quotes"),
        (b"1 2", "json_syntax", "x: not JSON at line 1, column 3: expected the end"),
        (b"01", "json_syntax", "x: not JSON at line 1, column 2: expected the end"),
        (b"1.", "json_syntax", "x: not JSON at line 1, column 3: expected a digit"),
        (b"-", "json_syntax", "x: not JSON at line 1, column 2: expected a digit"),
        (b"1e", "json_syntax", "x: not JSON at line 1, column 3: expected a digit"),
        (b"+1", "json_syntax", "x: not JSON at line 1, column 1: expected a value"),
        (b"NaN", "json_syntax", "x: not JSON at line 1, column 1: expected a value"),
        (b"-Infinity", "json_syntax", "x: not JSON at line 1, column 2: expected a digit"),
        (b'"a', "json_syntax", "x: not JSON at line 1, column 3: expected the closing quote"),
        (b'"a\n"', "json_syntax", "x: not JSON at line 1, column 3: expected a control character to be escaped"),
        (b'"\\x"', "json_syntax", "x: not JSON at line 1, column 2: expected an escape such as \\n or \\u0041"),
        (b'"\\u12g4"', "json_syntax", "x: not JSON at line 1, column 2: expected four hex digits behind \\u"),
        (b'"\\ud800"', "json_syntax", "x: not JSON at line 1, column 2: expected no lone surrogate"),
        (b'"\\udc00"', "json_syntax", "x: not JSON at line 1, column 2: expected no lone surrogate"),
        (b'"\\ud800\\u0041"', "json_syntax", "x: not JSON at line 1, column 2: expected no lone surrogate"),
        (b'"\xff"', "json_syntax", "x: not JSON at line 1, column 2: expected UTF-8"),
        (b'"\xed\xa0\x80"', "json_syntax", "x: not JSON at line 1, column 2: expected UTF-8"),
        (b"\xef\xbb\xbf1", "json_syntax", "x: not JSON at line 1, column 1: expected a value"),
        (b'{"a":1,\n"\\u0061":2}', "json_duplicate_key", 'x: key "a" at line 2, column 1 appears twice, expected once'),
        (b"9223372036854775808", "json_number_range",
         "x: the number at line 1, column 1 is out of range, expected a 64-bit integer"),
        (b"1" * 5000, "json_number_range",
         "x: the number at line 1, column 1 is out of range, expected a 64-bit integer"),
        (b"1e999", "json_number_range",
         "x: the number at line 1, column 1 is out of range, expected a finite 64-bit float"),
        (b"[" * (MAX_DEPTH + 1), "json_too_deep",
         "x: nested too deeply at line 1, column 65, expected at most 64 levels"),
    ],
)  # fmt: skip
def test_sentences(data: bytes, key: str, sentence: str) -> None:
    with pytest.raises(NNError) as caught:
        loads(data, "x")
    assert (caught.value.key, str(caught.value)) == (key, sentence)


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
