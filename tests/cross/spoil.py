"""How a test spoils what a command line reads, and the row of a table that says what must come of it."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Place:
    """Copies that a row may spoil, and where its command would write."""

    home: Path
    model: Path
    """A checkpoint of the odd config with training state, halfway through its run."""
    data: Path
    """What `prepare` wrote, one token per byte."""
    texts: Path
    out: Path

    def words(self, command: str | tuple[str | bytes, ...]) -> list[str | bytes]:
        """The command line: a text is cut at spaces, then {model}, {data}, {texts}, {out} and {home} are put in."""
        parts = command.split(" ") if isinstance(command, str) else command
        named = {"home": self.home, "model": self.model, "data": self.data, "texts": self.texts, "out": self.out}
        return [part if isinstance(part, bytes) else part.format(**named) for part in parts]


Spoil = Callable[[Place], object]


@dataclass(frozen=True)
class Bad:
    """A command line that must fail with the sentence `key`, after `spoil` has changed what it reads."""

    name: str
    key: str
    command: str | tuple[str | bytes, ...]
    spoil: Spoil = lambda place: None
    environment: tuple[tuple[str, str], ...] = ()
    without: str = ""
    """A language that this is not about."""


def write(name: str, content: bytes | str) -> Spoil:
    """Puts `content` into a file of the place: "model/config.json"."""
    data = content.encode() if isinstance(content, str) else content
    return lambda place: (place.home / name).write_bytes(data)


def remove(*names: str) -> Spoil:
    def spoil(place: Place) -> None:
        for name in names:
            path = place.home / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return spoil


def folder_instead(name: str) -> Spoil:
    """A folder where a file is expected."""

    def spoil(place: Place) -> None:
        (place.home / name).unlink()
        (place.home / name).mkdir()

    return spoil


def link_to_itself(name: str) -> Spoil:
    def spoil(place: Place) -> None:
        path = place.home / name
        path.unlink(missing_ok=True)
        path.symlink_to(path)

    return spoil


def fields(name: str, _drop: tuple[str, ...] = (), **values: Any) -> Spoil:
    """Sets and drops fields of a JSON file of the place; "a.b" is field b of object a."""

    def spoil(place: Place) -> None:
        path = place.home / name
        content = json.loads(path.read_text())
        for key, value in values.items():
            *outer, last = key.split("__")
            inner = content
            for part in outer:
                inner = inner[part]
            inner[last] = value
        for key in _drop:
            del content[key]
        path.write_text(json.dumps(content))

    return spoil


def config(**values: Any) -> Spoil:
    return fields("model/config.json", **values)


def tensors(name: str, edit: Callable[[dict[str, Any], bytes], bytes | None]) -> Spoil:
    """Rewrites a safetensors file: `edit` changes the header in place, and may return other data."""

    def spoil(place: Place) -> None:
        path = place.home / name
        content = path.read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
        changed = edit(header, data)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + (data if changed is None else changed))

    return spoil


def entry(name: str, **values: Any) -> Spoil:
    """Changes what the header of model.safetensors says of one tensor."""

    def edit(header: dict[str, Any], data: bytes) -> None:
        header[name].update(values)

    return tensors("model/model.safetensors", edit)


def rename(old: str, new: str, file: str = "model/model.safetensors") -> Spoil:
    def edit(header: dict[str, Any], data: bytes) -> None:
        header[new] = header.pop(old)

    return tensors(file, edit)


def cut(name: str, size: int) -> Spoil:
    """Keeps the first bytes of a file; a negative size takes as many off its end."""
    return lambda place: (place.home / name).write_bytes((place.home / name).read_bytes()[:size])


def patch(name: str, at: int, content: bytes) -> Spoil:
    def spoil(place: Place) -> None:
        data = bytearray((place.home / name).read_bytes())
        data[at : at + len(content)] = content
        (place.home / name).write_bytes(data)

    return spoil


def both(*spoils: Spoil) -> Spoil:
    return lambda place: [spoil(place) for spoil in spoils]


def sharded(place: Place) -> None:
    """Two shards in place of model.safetensors, with their index."""
    path = place.model / "model.safetensors"
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    names = [name for name in header if name != "__metadata__"]
    weight_map = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        entries, pieces, at = {}, [], 0
        for name in part:
            begin, end = header[name]["data_offsets"]
            entries[name] = {**header[name], "data_offsets": [at, at + end - begin]}
            pieces.append(data[begin:end])
            at += end - begin
            weight_map[name] = file
        text = json.dumps(entries).encode()
        (place.model / file).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(pieces))
    path.unlink()
    index = {"metadata": {}, "weight_map": weight_map}
    (place.model / "model.safetensors.index.json").write_text(json.dumps(index))


def index(**values: Any) -> Spoil:
    return both(sharded, fields("model/model.safetensors.index.json", **values))


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels
