"""Text files to token files: what `nn-py prepare` does.

Which text. A path is a file or a folder. A folder stands for the regular files below it; names that begin with a dot
and symbolic links are passed over. Text is UTF-8 without NUL bytes and not empty: a file of a folder that is not text
is passed over and counted, a file that was named and is not text is an error. A path that comes twice counts once.

Which split. The texts, sorted by the bytes of their paths, are numbered from 0; numbers 19, 39, 59, ... are held
out. Of fewer than twenty texts the last is held out, if there are at least two.

What is written: tokenizer.json; train.bin and heldout.bin, the tokens of each text followed by the end-of-text id,
u32 little-endian; data.json.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn import files, messages
from nn.json_strict import Json, dumps
from nn.tokenizer import Tokenizer

HELD_OUT_EVERY = 20
MAXIMUM_VOCAB = 1 << 20
_ENCODED_TOGETHER = 1 << 20
"""Bytes of text that are encoded in parallel."""
BYTES_TOKENIZER = "bytes"
_OUTPUTS = {"train.bin", "heldout.bin", "data.json", "tokenizer.json"}

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the texts done and the texts in all."""


@dataclass
class Split:
    """Of one .bin file: its texts, tokens (with one end-of-text each) and bytes of text (without)."""

    files: int = 0
    tokens: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, Json]:
        return {"bytes": self.bytes, "files": self.files, "tokens": self.tokens}


@dataclass(frozen=True)
class Texts:
    """The text files, sorted by the bytes of their paths, and how many files were passed over."""

    paths: list[str]
    skipped: int


def find_texts(paths: Sequence[str]) -> Texts:
    """Errors: cannot_read, data_not_text, data_no_files."""
    named: set[str] = set()
    found: set[str] = set()
    for path in paths:
        if os.path.isdir(path):
            _walk(path.rstrip("/") or "/", found)
        elif os.path.exists(path) and not os.path.isfile(path):
            # A pipe can be read once; text is read once to check it and again to encode it.
            raise messages.data_no_files(paths=path)
        else:
            named.add(path)
    texts: list[str] = []
    skipped = 0
    for path in sorted(named | found, key=os.fsencode):
        data = _read(path)
        offset = not_text_at(data)
        if offset >= 0 and path in named:
            raise messages.data_not_text(path=path, offset=offset)
        if offset >= 0 or not data:
            skipped += 1
        else:
            texts.append(path)
    if not texts:
        raise messages.data_no_files(paths=", ".join(paths))
    return Texts(texts, skipped)


def _walk(folder: str, found: set[str]) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise files.cannot_read(folder, error) from None
    for entry in entries:
        if entry.name.startswith(".") or entry.is_symlink():
            continue
        path = (folder if folder.endswith("/") else folder + "/") + entry.name
        if entry.is_dir():
            _walk(path, found)
        elif entry.is_file():
            found.add(path)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise files.cannot_read(path, error) from None


def not_text_at(data: bytes) -> int:
    """The offset of the first byte that is NUL or not UTF-8; -1 for text."""
    nul = data.find(0)
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start if nul < 0 else min(nul, error.start)
    return nul


def split_texts(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """(train, held out) of sorted paths, by the rule above."""
    if 2 <= len(paths) < HELD_OUT_EVERY:
        return list(paths[:-1]), list(paths[-1:])
    heldout = [path for index, path in enumerate(paths) if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    train = [path for index, path in enumerate(paths) if index % HELD_OUT_EVERY != HELD_OUT_EVERY - 1]
    return train, heldout


def encode_texts(
    paths: Sequence[str], tokenizer: Tokenizer, split: Split, progress: Callable[[int], None] | None = None
) -> Iterator[NDArray[np.uint32]]:
    """The tokens of each text with the end-of-text id behind them; counts into `split`. Errors: cannot_read,
    data_not_text (the file changed meanwhile), tokenizer_no_eos."""
    if tokenizer.eos_id < 0:
        raise messages.tokenizer_no_eos(path=tokenizer.where)
    texts: list[str] = []
    waiting = 0
    for index, path in enumerate(paths):
        data = _read(path)
        offset = not_text_at(data)
        if offset >= 0:
            raise messages.data_not_text(path=path, offset=offset)
        split.bytes += len(data)
        waiting += len(data)
        texts.append(data.decode("utf-8"))
        if waiting < _ENCODED_TOGETHER and index < len(paths) - 1:
            continue
        for ids in tokenizer.encode_all(texts):
            split.files += 1
            split.tokens += len(ids) + 1
            yield np.append(ids, np.uint32(tokenizer.eos_id))
        texts, waiting = [], 0
        if progress is not None:
            progress(split.files)


def prepare(
    paths: Sequence[str],
    out: str | Path,
    vocab_size: int = 4096,
    tokenizer: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Json]:
    """Writes the folder `out` and returns the content of its data.json.

    `tokenizer` is the path of a tokenizer.json, or "bytes" for one token per byte; without it a BPE of `vocab_size`
    tokens learns from the training texts alone. Errors: those of `find_texts`, `encode_texts` and `Tokenizer`,
    disk_full, cannot_write.
    """
    report = progress or (lambda doing, done, total: None)
    texts = find_texts(paths)
    train, heldout = split_texts(texts.paths)
    if tokenizer == BYTES_TOKENIZER:
        chosen = Tokenizer.bytes()
    elif tokenizer is not None:
        chosen = Tokenizer.load(tokenizer)
    else:
        if vocab_size > MAXIMUM_VOCAB:  # the trainer reserves memory for all of them
            raise messages.usage_bad_value(
                option="--vocab-size", value=str(vocab_size), expected=f"an integer of at most {MAXIMUM_VOCAB}"
            )
        chosen = Tokenizer.train(_decoded(train, report), vocab_size)
    splits = {"train": Split(), "heldout": Split()}
    with files.FolderSave(out, lambda name: name in _OUTPUTS) as save:
        save.write("tokenizer.json", [chosen.json])
        for name, part in (("train", train), ("heldout", heldout)):
            before = splits["train"].files

            def encoded(done: int, before: int = before) -> None:
                report("encode", before + done, len(texts.paths))

            tokens = encode_texts(part, chosen, splits[name], encoded)
            save.write(f"{name}.bin", (array.astype("<u4").tobytes() for array in tokens))
        data: dict[str, Json] = {
            "bos_id": chosen.bos_id,
            "eos_id": chosen.eos_id,
            "heldout": splits["heldout"].to_json(),
            "skipped": texts.skipped,
            "train": splits["train"].to_json(),
            "version": 1,
            "vocab_size": chosen.vocab_size,
        }
        save.write("data.json", [dumps(data).encode()])
    return data


def _decoded(paths: Sequence[str], report: Progress) -> Iterator[str]:
    for done, path in enumerate(paths):
        report("learn the vocabulary", done, len(paths))
        yield _read(path).decode("utf-8", errors="replace")
