"""Generated text as it streams: whole characters, all of them, at a constant cost per token."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from nn.cli.commands.generate import WINDOW, TextStream
from nn.tokenizer import Tokenizer

BYTES = Tokenizer.bytes()


def streamed(ids: Sequence[int]) -> tuple[list[str], str]:
    """(what was written at each token and at the end, the whole text)"""
    parts: list[str] = []
    stream = TextStream(BYTES, parts.append)
    for id in ids:
        stream.add(id)
    return parts, stream.finish()


@given(st.text(max_size=200))
def test_text_comes_in_whole_characters(text: str) -> None:
    parts, whole = streamed([int(id) for id in BYTES.encode(text)])
    assert "".join(parts) == whole == text
    assert all(part for part in parts)


@given(st.lists(st.sampled_from(b"a\n\x80\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\xff"), max_size=6 * WINDOW))
def test_bytes_that_are_no_text(data: list[int]) -> None:
    """What was written is never taken back: it is the decoder's own reading of all ids."""
    parts, whole = streamed([3 + byte for byte in data])
    assert "".join(parts) == whole == bytes(data).decode("utf-8", "replace")


def test_only_the_last_ids_are_decoded_again() -> None:
    lengths: list[int] = []

    class Counting(Tokenizer):
        def decode(self, ids: Sequence[int]) -> str:
            lengths.append(len(ids))
            return super().decode(ids)

    stream = TextStream(Counting(BYTES.json, "tokenizer.json"), lambda text: None)
    for id in BYTES.encode("é€😀 " * 300):
        stream.add(int(id))
    assert max(lengths) <= 2 * WINDOW + 4
