#!/usr/bin/env python3
"""Compares the public names of the three languages: types, their fields, the order of their functions, modulo case.

    python cuda/tools/parity.py            say what differs
    python cuda/tools/parity.py --check    and exit 1 when anything does

Files are paired by folder and stem (layers/rmsnorm.py, layer/rmsnorm.rs, layer/rmsnorm.go). A name counts as there when
it is a field or a function of the type in that file, however visible, because one language's attribute is another's
accessor; names that every language has must come in one order. What is idiomatic in one language only stands in
parity_idioms.txt with its reason. A language whose tree is not whole yet is named and left out.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from header import ROOT
from parity_readers import Members, Names, read_go, read_python, read_rust

IDIOMS = Path(__file__).with_name("parity_idioms.txt")


@dataclass(frozen=True)
class Language:
    name: str
    root: Path
    marker: str
    """The file that is written last: without it the tree is not whole and is left out."""
    suffix: str
    folders: dict[str, str]
    """Concept -> folder."""

    def exists(self) -> bool:
        return (self.root / self.marker).is_file()

    def read(self, concept: str, stem: str) -> Names | None:
        """The public names of one file, None when it does not exist."""
        path = self.root / self.folders[concept] / (stem + self.suffix)
        if not path.is_file():
            return None
        source = path.read_text(encoding="utf-8")
        return {".py": read_python, ".rs": read_rust, ".go": read_go}[self.suffix](source)


def languages(root: Path = ROOT) -> list[Language]:
    plain = {"tensor": "tensor", "layer": "layer", "model": "model", "train": "train"}
    return [
        Language("python", root / "python" / "nn", "train/trainer.py", ".py", plain | {"layer": "layers"}),
        Language(
            "rust", root / "rust" / "nn-core", "src/train/trainer.rs", ".rs", {k: f"src/{v}" for k, v in plain.items()}
        ),
        Language("go", root / "go", "train/trainer.go", ".go", plain),
    ]


CONCEPTS = {
    "tensor": ("ops", "backend", "dtype", "shape", "tensor"),
    "layer": ("embedding", "rmsnorm", "linear", "swiglu"),
    "model": ("config", "attention", "router", "moe", "block", "transformer", "generate", "checkpoint"),
    "train": ("data", "loss", "adamw", "schedule", "trainer"),
}
"""The files of DESIGN's table."""


def read_idioms(path: Path = IDIOMS) -> set[str]:
    """Entries "language concept/stem.Type.name": what that language need not have. # starts a comment."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line}


def fold(name: str) -> str:
    """One spelling for n_kv_heads, nKVHeads and NKVHeads."""
    return name.replace("_", "").lower()


def compare(where: str, files: dict[str, Names], idioms: set[str]) -> list[str]:
    """What differs between the files of one stem, as sentences."""
    lines: list[str] = []

    def need(language: str, there: bool, name: str, source: str) -> None:
        if not there and f"{language} {where}.{name}" not in idioms:
            lines.append(f"{where}: {name} of {source} is missing in {language}")

    for one, other in combinations(files, 2):
        for source, target in ((one, other), (other, one)):
            for type_name, members in files[source].items():
                twin = find(files[target], type_name)
                need(target, twin is not None, type_name, source)
                if twin is None:
                    continue
                known = {fold(member) for member in twin.all}
                for member in members.all:
                    if member in members.private:
                        continue
                    need(target, fold(member) in known, f"{type_name}.{member}" if type_name else member, source)
        for type_name, members in files[one].items():
            twin = find(files[other], type_name) or Members()
            for ours, theirs in ((members.fields, twin.fields), (members.functions, twin.functions)):
                mine, yours = common(ours, theirs), common(theirs, ours)
                if [fold(m) for m in mine] != [fold(m) for m in yours]:
                    order = f"{', '.join(mine)} in {one} but {', '.join(yours)} in {other}"
                    lines.append(f"{where}: the order of {type_name or 'functions'} is {order}")
    return list(dict.fromkeys(lines))


def find(names: Names, type_name: str) -> Members | None:
    return next((members for name, members in names.items() if fold(name) == fold(type_name)), None)


def common(names: list[str], others: list[str]) -> list[str]:
    """The names that the others have too, in their own order."""
    known = {fold(other) for other in others}
    return [name for name in names if fold(name) in known]


def main() -> int:
    parser = argparse.ArgumentParser(description="public names of the three languages")
    parser.add_argument("--check", action="store_true", help="exit 1 when anything differs")
    check = parser.parse_args().check
    here = [language for language in languages() if language.exists()]
    for language in languages():
        if language not in here:
            print(f"{language.name}: not there yet ({language.root.relative_to(ROOT)}/{language.marker})")
    idioms = read_idioms()
    lines, compared = [], 0
    for concept, stems in CONCEPTS.items():
        for stem in stems:
            where = f"{concept}/{stem}"
            files = {language.name: names for language in here if (names := language.read(concept, stem)) is not None}
            lines += [
                f"{where}: there is no such file in {language.name}"
                for language in here
                if language.name not in files and f"{language.name} {where}" not in idioms
            ]
            lines += compare(where, files, idioms)
            compared += len(files) > 1
    print("\n".join(lines), file=sys.stderr if check else sys.stdout, end="\n" if lines else "")
    print(f"{compared} files in {' and '.join(language.name for language in here)}: {len(lines)} differences")
    return 1 if check and lines else 0


if __name__ == "__main__":
    sys.exit(main())
