"""Strict JSON (RFC 8259) in a few lines, so that three languages give one verdict and one sentence.

Stricter than most readers: a key may stand once in an object, NaN and Infinity do not exist, integers
and floats are kept apart (`1` and `1.0`), an integer must fit in 64 bits with sign and a float must be
finite, a lone surrogate is an error, and nesting ends at `MAX_DEPTH`. A position is a line and a column,
both from 1, the column counted in bytes.
"""

from __future__ import annotations

import math
import re
from typing import NoReturn, TypeAlias

from nn import messages

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAX_DEPTH = 64
_I64_MIN, _I64_MAX = -(2**63), 2**63 - 1
_SPACE_SET = frozenset(b" \t\n\r")
_DIGITS_SET = frozenset(b"0123456789")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = b"0123456789abcdefABCDEF"
_ESCAPES = {ord("b"): "\b", ord("f"): "\f", ord("n"): "\n", ord("r"): "\r", ord("t"): "\t",
            ord('"'): '"', ord("\\"): "\\", ord("/"): "/"}  # fmt: skip


def loads(data: bytes, where: str) -> Json:
    """Reads one JSON value from UTF-8 `data`; `where` (a path) opens the sentence of an error.

    Errors: json_syntax, json_duplicate_key, json_number_range, json_too_deep.
    """
    reader = _Reader(data, where)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        reader.fail(error.start, "UTF-8")
    value = reader.value(1)
    reader.skip_space()
    if reader.at < len(data):
        reader.fail(reader.at, "the end")
    return value


def loads_object(data: bytes, where: str) -> dict[str, Json]:
    """`loads` for a file that holds an object. Errors: also json_not_object."""
    value = loads(data, where)
    if not isinstance(value, dict):
        raise messages.json_not_object(where=where, found=describe(value))
    return value


class _Reader:
    """A cursor `at` over the bytes; each method reads one thing and stands behind it."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data = data
        self.where = where
        self.at = 0

    def line_column(self, offset: int) -> tuple[int, int]:
        line = self.data.count(b"\n", 0, offset) + 1
        return line, offset - self.data.rfind(b"\n", 0, offset)

    def fail(self, offset: int, expected: str) -> NoReturn:
        line, column = self.line_column(offset)
        raise messages.json_syntax(where=self.where, line=line, column=column, expected=expected)

    def peek(self) -> int:
        """The byte at the cursor, -1 at the end."""
        return self.data[self.at] if self.at < len(self.data) else -1

    def skip_space(self) -> None:
        while self.peek() in _SPACE_SET:
            self.at += 1

    def value(self, depth: int) -> Json:
        self.skip_space()
        byte = self.peek()
        if byte == ord("{") or byte == ord("["):
            if depth > MAX_DEPTH:
                line, column = self.line_column(self.at)
                raise messages.json_too_deep(where=self.where, line=line, column=column, limit=MAX_DEPTH)
            return self.object(depth) if byte == ord("{") else self.array(depth)
        if byte == ord('"'):
            return self.string()
        if byte == ord("-") or byte in _DIGITS_SET:
            return self.number()
        return self.word()

    def word(self) -> bool | None:
        for word, meaning in ((b"true", True), (b"false", False), (b"null", None)):
            if self.data.startswith(word, self.at):
                self.at += len(word)
                return meaning
        return self.fail(self.at, "a value")

    def object(self, depth: int) -> dict[str, Json]:
        self.at += 1
        result: dict[str, Json] = {}
        self.skip_space()
        if self.peek() == ord("}"):
            self.at += 1
            return result
        while True:
            self.skip_space()
            start = self.at
            if self.peek() != ord('"'):
                self.fail(start, "a key in quotes")
            key = self.string()
            if key in result:
                line, column = self.line_column(start)
                raise messages.json_duplicate_key(where=self.where, key=quote(key), line=line, column=column)
            self.skip_space()
            if self.peek() != ord(":"):
                self.fail(self.at, "':'")
            self.at += 1
            result[key] = self.value(depth + 1)
            self.skip_space()
            byte = self.peek()
            if byte != ord(",") and byte != ord("}"):
                self.fail(self.at, "',' or '}'")
            self.at += 1
            if byte == ord("}"):
                return result

    def array(self, depth: int) -> list[Json]:
        self.at += 1
        result: list[Json] = []
        self.skip_space()
        if self.peek() == ord("]"):
            self.at += 1
            return result
        while True:
            result.append(self.value(depth + 1))
            self.skip_space()
            byte = self.peek()
            if byte != ord(",") and byte != ord("]"):
                self.fail(self.at, "',' or ']'")
            self.at += 1
            if byte == ord("]"):
                return result

    def string(self) -> str:
        """From the opening quote on. The bytes are UTF-8 by the check of `loads`."""
        self.at += 1
        parts: list[str] = []
        plain = self.at
        while True:
            byte = self.peek()
            if byte < 0x20:  # the end (-1) or a control character
                self.fail(self.at, "the closing quote" if byte < 0 else "a control character to be escaped")
            if byte == ord('"'):
                parts.append(self.data[plain : self.at].decode("utf-8"))
                self.at += 1
                return "".join(parts)
            if byte == ord("\\"):
                parts.append(self.data[plain : self.at].decode("utf-8"))
                parts.append(self.escape())
                plain = self.at
            else:
                self.at = _PLAIN.match(self.data, self.at).end()  # type: ignore[union-attr]  # matches ""

    def escape(self) -> str:
        start = self.at
        self.at += 1
        byte = self.peek()
        if byte in _ESCAPES:
            self.at += 1
            return _ESCAPES[byte]
        if byte != ord("u"):
            self.fail(start, "an escape such as \\n or \\u0041")
        unit = self.utf16_unit(start)
        if 0xDC00 <= unit <= 0xDFFF:
            self.fail(start, "no lone surrogate")
        if not 0xD800 <= unit <= 0xDBFF:
            return chr(unit)
        if not self.data.startswith(b"\\u", self.at):
            self.fail(start, "no lone surrogate")
        self.at += 1
        low = self.utf16_unit(self.at - 1)
        if not 0xDC00 <= low <= 0xDFFF:
            self.fail(start, "no lone surrogate")
        return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))

    def utf16_unit(self, start: int) -> int:
        """The four hex digits behind the `u` at the cursor, of the escape that began at `start`."""
        digits = self.data[self.at + 1 : self.at + 5]
        if len(digits) != 4 or any(digit not in _HEX for digit in digits):
            self.fail(start, "four hex digits behind \\u")
        self.at += 5
        return int(digits, 16)

    def number(self) -> int | float:
        start = self.at
        if self.peek() == ord("-"):
            self.at += 1
        if self.peek() == ord("0"):
            self.at += 1
        else:
            self.digits()
        is_float = False
        if self.peek() == ord("."):
            is_float = True
            self.at += 1
            self.digits()
        if self.peek() == ord("e") or self.peek() == ord("E"):
            is_float = True
            self.at += 1
            if self.peek() == ord("+") or self.peek() == ord("-"):
                self.at += 1
            self.digits()
        text = self.data[start : self.at].decode("ascii")
        if is_float:
            real = float(text)
            if real in (float("inf"), float("-inf")):
                self.out_of_range(start, "a finite 64-bit float")
            return real
        # 20 characters hold every 64-bit integer; longer ones are out of range without being converted.
        if len(text) > 20 or not _I64_MIN <= int(text) <= _I64_MAX:
            self.out_of_range(start, "a 64-bit integer")
        return int(text)

    def digits(self) -> None:
        if self.peek() not in _DIGITS_SET:
            self.fail(self.at, "a digit")
        while self.peek() in _DIGITS_SET:
            self.at += 1

    def out_of_range(self, start: int, expected: str) -> NoReturn:
        line, column = self.line_column(start)
        raise messages.json_number_range(where=self.where, line=line, column=column, expected=expected)


def describe(value: Json) -> str:
    """How a sentence calls a value: `null`, `true`, a number or a string as written, `an array`, `an object`."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return dumps_compact(value)


def dumps(value: Json) -> str:
    """The form of every JSON file: keys as inserted, two spaces of indent, floats as `format_float`,
    no escapes beyond what JSON demands, and a final newline."""
    out: list[str] = []
    _write(value, out, 0)
    out.append("\n")
    return "".join(out)


def dumps_compact(value: Json) -> str:
    """On one line without spaces: the safetensors header, a line of metrics.jsonl."""
    out: list[str] = []
    _write(value, out, -1)
    return "".join(out)


def _write(value: Json, out: list[str], depth: int) -> None:
    """Appends `value`; `depth` counts the levels of indent, -1 writes compactly."""
    if value is None:
        out.append("null")
    elif value is True:
        out.append("true")
    elif value is False:
        out.append("false")
    elif isinstance(value, int):
        out.append(str(value))
    elif isinstance(value, float):
        out.append(format_float(value))
    elif isinstance(value, str):
        out.append(quote(value))
    elif isinstance(value, dict):
        _write_items([(quote(key) + (":" if depth < 0 else ": "), item) for key, item in value.items()],
                     "{", "}", out, depth)  # fmt: skip
    else:
        _write_items([("", item) for item in value], "[", "]", out, depth)


def _write_items(items: list[tuple[str, Json]], opening: str, closing: str, out: list[str], depth: int) -> None:
    out.append(opening)
    inner = depth + 1 if depth >= 0 else -1
    for index, (prefix, item) in enumerate(items):
        if index > 0:
            out.append(",")
        if depth >= 0:
            out.append("\n" + "  " * inner)
        out.append(prefix)
        _write(item, out, inner)
    if depth >= 0 and items:
        out.append("\n" + "  " * depth)
    out.append(closing)


def quote(text: str) -> str:
    """`text` as a JSON string: escapes `"`, `\\` and control characters below 0x20, nothing else."""
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    out = ['"']
    for character in text:
        if character in short:
            out.append(short[character])
        elif character < " ":
            out.append(f"\\u{ord(character):04x}")
        else:
            out.append(character)
    out.append('"')
    return "".join(out)


def format_float(value: float) -> str:
    """The shortest decimal that reads back as `value`: positional with at least one decimal for
    1e-4 <= |value| < 1e16 and for 0, else d.ddde+XX with at least two digits of exponent: `0.1`, `1e-06`.
    """
    if not math.isfinite(value):
        raise ValueError("JSON has no NaN and no infinity")
    return float.__repr__(value)


def format_number(value: float) -> str:
    """`format_float` for sentences, which know `nan`, `inf` and `-inf` too."""
    return float.__repr__(value)


def finite(value: Json) -> Json:
    """`value` with null in the place of every NaN and infinity, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
