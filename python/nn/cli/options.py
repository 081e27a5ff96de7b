"""The types of options, spelled the same in three languages: click's own take `1_0`, `١٢`, `nan` and an empty path.

Each function reads a word of the command line, or passes a default through; ValueError makes click refuse the word.
"""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

EXPECTED = {"integer": "an integer", "number": "a number", "text": "UTF-8 text", "path": "a path"}
"""Function's name -> what a sentence says was expected."""


def integer(word: str | int) -> int:
    """ASCII digits that make a 64-bit integer."""
    if isinstance(word, int):
        return word
    # 20 characters hold every 64-bit integer; longer ones are out of range without being converted.
    if not _INTEGER.fullmatch(word) or len(word) > 20 or not -(2**63) <= int(word) < 2**63:
        raise ValueError(word)
    return int(word)


def number(word: str | float) -> float:
    """A decimal number; neither nan nor inf is one."""
    if isinstance(word, str) and not _NUMBER.fullmatch(word):
        raise ValueError(word)
    return float(word)


def text(word: str) -> str:
    """UTF-8, which the bytes of a command line need not be."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ValueError(word) from None
    return word


def path(word: str) -> str:
    """A file or folder in UTF-8, as sentences and JSON name it; an empty word cannot be one."""
    if word == "":
        raise ValueError(word)
    return text(word)
