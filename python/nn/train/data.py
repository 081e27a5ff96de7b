"""Tokens to train and evaluate on, and the batches drawn from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn import files, messages
from nn.json_fields import Fields
from nn.json_strict import loads_object
from nn.tensor.philox import STREAM_DATA, draw_u64, mulhi64
from nn.tokenizer import Tokenizer
from nn.train.prepare import Split, encode_texts, find_texts

KIND = "folder written by prepare"
IGNORED = -1
"""A target that does not count."""
_CHECKED = 1 << 22

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Tokens:
    """One split. `bytes` counts the text it came from, without end-of-text; for bits per byte."""

    path: str
    ids: NDArray[np.uint32]
    bytes: int

    def batch(
        self, seed: int, step: int, micro_batches: int, micro_batch: int, rows: int, seq_len: int
    ) -> tuple[Ids, Ids]:
        """(inputs, targets) [rows, seq_len] of micro-batch a of A = micro_batches at step s; targets are the inputs
        shifted by one.

        Row r begins at mulhi64(draw((s A + a) rows + r), n - T), uniform over the n - T places from which T + 1
        tokens can be read; draw(i) is the u64 of Philox block (i, data, 0). Errors: data_too_short.
        """
        self.require(seq_len)
        inputs = np.empty((rows, seq_len), np.int32)
        targets = np.empty((rows, seq_len), np.int32)
        for row in range(rows):
            index = (step * micro_batches + micro_batch) * rows + row
            start = mulhi64(draw_u64(seed, STREAM_DATA, index), len(self.ids) - seq_len)
            inputs[row] = self.ids[start : start + seq_len]
            targets[row] = self.ids[start + 1 : start + seq_len + 1]
        return inputs, targets

    def require(self, seq_len: int) -> None:
        """Errors: data_too_short when no sequence of `seq_len` with its targets fits."""
        if len(self.ids) < seq_len + 1:
            raise messages.data_too_short(path=self.path, tokens=len(self.ids), seq_len=seq_len, needed=seq_len + 1)

    def n_windows(self, seq_len: int) -> int:
        """Windows of `seq_len` that cover every target once: ceil((n - 1) / T)."""
        return max(0, -(-(len(self.ids) - 1) // seq_len))

    def windows(self, numbers: Sequence[int], rows: int, seq_len: int) -> tuple[Ids, Ids]:
        """(inputs, targets) [rows, seq_len]: the windows of these numbers, window w reading tokens from w T on.

        Behind the last token, and in rows beyond the numbers given, inputs are 0 and targets IGNORED, so that all
        windows together count each token but the very first exactly once.
        """
        inputs = np.zeros((rows, seq_len), np.int32)
        targets = np.full((rows, seq_len), IGNORED, np.int32)
        for row, number in enumerate(numbers):
            start = number * seq_len
            count = max(0, min(seq_len, len(self.ids) - 1 - start))
            inputs[row, :count] = self.ids[start : start + count]
            targets[row, :count] = self.ids[start + 1 : start + count + 1]
        return inputs, targets


@dataclass(frozen=True)
class Data:
    """A folder written by `prepare`, its tokens memory-mapped."""

    path: str
    train: Tokens
    heldout: Tokens
    vocab_size: int
    bos_id: int
    eos_id: int

    def tokenizer_path(self) -> Path:
        return Path(self.path) / "tokenizer.json"

    def split(self, name: str) -> Tokens:
        """ "train" or "heldout". Errors: data_empty_split."""
        tokens = self.train if name == "train" else self.heldout
        if len(tokens.ids) == 0:
            raise messages.data_empty_split(path=self.path, split=name)
        return tokens


def is_prepared(path: str | Path) -> bool:
    return os.path.isfile(os.path.join(path, "data.json"))


def prepared_of(paths: Sequence[str]) -> str | None:
    """The prepared folder among what was given as data, None when all of it is text. A path that comes twice counts
    once. Errors: data_prepared_not_alone."""
    different = list(dict.fromkeys(paths))
    for path in different:
        if is_prepared(path):
            if len(different) > 1:
                raise messages.data_prepared_not_alone(path=path)
            return path
    return None


def load_data(path: str | Path) -> Data:
    """Opens and checks a prepared folder. Errors: folder_missing, not_a_folder, data_not_prepared, cannot_read,
    json_*, field_*, data_wrong_size, data_bad_token."""
    folder = Path(path)
    files.require_folder(folder, KIND)
    try:
        files.recover(folder)
    except OSError as error:
        raise files.cannot_write(folder, error) from None
    meta = folder / "data.json"
    if not meta.is_file():
        raise messages.data_not_prepared(path=str(folder))
    where = str(meta)
    fields = Fields(loads_object(files.read_bytes(meta, KIND), where), where)
    version = fields.integer("version")
    if version != 1:
        raise messages.config_bad_value(where=where, field="version", value=str(version), expected="1")
    vocab_size = fields.integer("vocab_size")
    splits = []
    for name in ("train", "heldout"):
        split = Fields(fields.object(name), f"{where}: {name}")
        splits.append(_open_tokens(folder / f"{name}.bin", split.integer("tokens"), split.integer("bytes"), vocab_size))
    return Data(str(folder), splits[0], splits[1], vocab_size, fields.integer("bos_id"), fields.integer("eos_id"))


def _open_tokens(path: Path, tokens: int, n_bytes: int, vocab_size: int) -> Tokens:
    try:
        found = path.stat().st_size
        if found != 4 * tokens:
            raise messages.data_wrong_size(path=str(path), found=found, expected=4 * tokens, tokens=tokens)
        # An empty file cannot be mapped.
        ids = np.memmap(path, "<u4", "r") if tokens > 0 else np.zeros(0, np.uint32)
    except FileNotFoundError:
        raise messages.file_missing(path=str(path), kind=KIND) from None
    except OSError as error:
        raise files.cannot_read(path, error) from None
    for start in range(0, tokens, _CHECKED):
        part = ids[start : start + _CHECKED]
        if int(part.max()) >= vocab_size:
            at = int(np.argmax(part >= vocab_size))
            raise messages.data_bad_token(path=str(path), id=int(part[at]), position=start + at, vocab_size=vocab_size)
    return Tokens(str(path), ids, n_bytes)


def tokens_of_text(paths: Sequence[str], tokenizer: Tokenizer) -> Tokens:
    """All texts of `paths` as one split in memory, each followed by end-of-text: to evaluate on raw text.

    Errors: those of `prepare.find_texts` and `prepare.encode_texts`.
    """
    split = Split()
    arrays = list(encode_texts(find_texts(paths).paths, tokenizer, split))
    return Tokens(", ".join(paths), np.concatenate(arrays), split.bytes)
