"""What "the same" means: whole folders byte by byte, metrics and results without their wall-clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

WALL_CLOCK = ("seconds", "tokens_per_second")
_TIMED = re.compile(rb'("(?:' + "|".join(WALL_CLOCK).encode() + rb')":\s*)[^,\s}]+')


def without_wall_clock(printed: bytes) -> bytes:
    """JSON text in which each wall-clock value is 0; every other byte stays."""
    return _TIMED.sub(rb"\g<1>0", printed)


def folder(path: Path) -> dict[str, bytes]:
    """name -> content of every file below `path`, metrics without wall-clock. A plot's pixels are each language's own,
    and folders of other checkpoints count by themselves."""
    found = {}
    for entry in sorted(path.rglob("*")):
        name = str(entry.relative_to(path))
        if not entry.is_file() or name.endswith(".png") or name.startswith("step-"):
            continue
        content = entry.read_bytes()
        found[name] = without_wall_clock(content) if name == "metrics.jsonl" else content
    return found


def same_bytes(what: str, results: Mapping[str, bytes]) -> None:
    """Fails with the first difference between the first result and each other."""
    first, *others = results
    for other in others:
        assert results[first] == results[other], f"{what}: {difference(first, results[first], other, results[other])}"


def same_folders(what: str, paths: Mapping[str, Path]) -> None:
    """Fails unless the folders hold the same files with the same bytes."""
    contents = {name: folder(path) for name, path in paths.items()}
    names = {name: sorted(files) for name, files in contents.items()}
    first = next(iter(names))
    assert names[first], f"{what}: {paths[first]} is empty"
    for other in names:
        assert names[other] == names[first], f"{what}: {first} wrote {names[first]}, {other} wrote {names[other]}"
    for file in names[first]:
        same_bytes(f"{what}: {file}", {name: files[file] for name, files in contents.items()})


def difference(first: str, a: bytes, second: str, b: bytes) -> str:
    """Where two byte strings part, with what stands there."""
    at = next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, at - 40)
    return (
        f"differ at byte {at} (of {len(a)} and {len(b)})\n  {first}: {a[start : at + 40]!r}\n"
        f"  {second}: {b[start : at + 40]!r}"
    )


def result(printed: bytes) -> dict[str, object]:
    """The object that --json printed."""
    value = json.loads(printed)
    assert isinstance(value, dict)
    return value
