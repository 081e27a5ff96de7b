"""Removes each barrier and each bounds check of the kernels in turn and asks whether anything notices.

    python mutants.py --thread BUILD --address BUILD [--cpu LIBRARY] [--all | --sample N] [--only KIND] [--file STEM]

BUILD are CMake build folders (Ninja, CMAKE_EXPORT_COMPILE_COMMANDS=ON) with CUNN_SIMT=ON and CUNN_SANITIZE=thread and address.
Kinds: barriers (__syncthreads, __syncwarp, cp_async_wait: removed, built for TSan), checks ("if (row >= rows) return;": removed,
built for ASan) and guards ("if (i < n) y[i] = ...": always taken, built for ASan). A mutant is noticed when the vectors, the
shapes or the faults fail, when a sanitizer reports, or when it does not end: not within ten times what the library without a
mutant needed. That control runs first, once a build and kernel file, and must pass, or nothing is judged. Sources are never touched.

A sample of twelve is judged unless --all asks for every one. survivors.json lists the mutants that nothing can notice, and why;
the exit status is 1 when another one survives, and with --all also when a listed one was noticed or is gone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CUDA = Path(__file__).resolve().parents[2]
KERNELS = CUDA / "kernels"  # main() makes it a copy, so that the tree may change under a long run
# A header's mutants are built through one of the files that include it.
INCLUDED_BY = {
    "attention.cuh": "attention.cu",
    "attention_mma.cuh": "attention.cu",
    "attention_forward_mma.cuh": "attention.cu",
    "attention_backward_mma.cuh": "attention_backward.cu",
    "attention_spans.cuh": "attention.cu",
    "gemm.cuh": "gemm.cu",
    "gemm_fma.cuh": "gemm.cu",
    "gemm_mma.cuh": "gemm.cu",
    "launch.cuh": "embedding.cu",
    "ordered_sum.cuh": "loss.cu",
    "rows.cuh": "softmax.cu",
    "top_k.cuh": "softmax.cu",
}
FAMILIES = {
    "attention": ["attention", "edges"],
    "attention_backward": ["attention", "edges"],
    "attention_readable": ["attention"],
    "cache": ["attention"],
}
BARRIER = re.compile(r"__syncthreads\(\);|__syncwarp\([^;]*\);|cp_async_wait<[^;]*>\(\);")
# "if (row >= rows) return;" and its like, "x < limit" guards of the copies in and out.
CHECK = re.compile(r"if \((?:[^()]|\([^()]*\))*(?:>=|<|in_range)(?:[^()]|\([^()]*\))*\) (?:return|continue);")
GUARD = re.compile(r"if (\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*(?: >= | < |in_range)(?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)) (?!return;|continue;|break;)")
PATTERNS = {"barriers": BARRIER, "checks": CHECK, "guards": GUARD}
SURVIVORS = Path(__file__).with_name("survivors.json")


@dataclass(frozen=True)
class Mutant:
    path: Path
    line: int
    start: int
    end: int
    kind: str

    def source(self) -> str:
        text = self.path.read_text()
        return text[: self.start] + ("(true)" if self.kind == "guards" else ";") + text[self.end :]

    def text(self) -> str:
        return self.path.read_text().splitlines()[self.line - 1].strip()


def find_mutants(kind: str) -> list[Mutant]:
    found = []
    for path in sorted(KERNELS.glob("*.cu*")):
        if path.name == "ptx.cuh":
            continue
        text = path.read_text()
        for match in PATTERNS[kind].finditer(text):
            start, end = match.span(1) if kind == "guards" else match.span()
            line = text.count("\n", 0, match.start()) + 1
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if "//" in before or (kind != "barriers" and not on_device(text, match.start())):
                continue
            found.append(Mutant(path, line, start, end, kind))
    return found


def on_device(text: str, position: int) -> bool:
    """Whether the last function head before the position is a kernel's or a device function's."""
    heads = list(re.finditer(r"^(?:static |template <[^>]*>\n)*.*(__global__|__device__|^void |^bool |^inline )", text[:position], re.M))
    return bool(heads) and heads[-1].group(1).startswith("__")


class Build:
    """One sanitizer's build folder: compiles a changed copy of a kernel file and links it in place of the original."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = json.loads((folder / "compile_commands.json").read_text())
        self.commands = {Path(c["file"]).name: c for c in commands if "cunn-simt.dir" in c["command"]}
        self.link = self.link_command()
        cache = (folder / "CMakeCache.txt").read_text()
        self.seconds: dict[str, float] = {}  # of the slowest program of a unit's control run
        self.sanitizer = re.search(r"CUNN_SANITIZE:STRING=(\w+)", cache).group(1)  # type: ignore[union-attr]

    def link_command(self) -> list[str]:
        """How the library is linked, run in the build folder."""
        listed = subprocess.run(["ninja", "-C", str(self.folder), "-t", "commands", "cunn-simt"], capture_output=True, text=True, check=True)
        for line in reversed(listed.stdout.splitlines()):
            if "-shared" in line and "cunn-simt" in line:
                return [word for word in shlex.split(line) if word not in (":", "&&")]
        raise SystemExit(f"{self.folder} has no command that links cunn-simt")

    def program(self, name: str) -> Path:
        """A test program: beside the library, or where it was built."""
        beside = Path(self.link[self.link.index("-o") + 1]).parent / "tests" / name
        return next(path for path in (self.folder / beside, self.folder / "simt" / name) if path.is_file())

    def library(self, unit: str, mutant: Mutant | None, work: Path) -> Path | None:
        """The library whose unit is compiled with the mutant, or as it is; None when the compiler refuses it."""
        mirror = work / "cuda"
        if not mirror.exists():
            mirror.mkdir(parents=True)
            for name in ("src", "include", "simt"):
                (mirror / name).symlink_to(CUDA / name)
        kernels = mirror / "kernels"
        shutil.rmtree(kernels, ignore_errors=True)
        shutil.copytree(KERNELS, kernels)
        if mutant:
            (kernels / mutant.path.name).write_text(mutant.source())
        command = self.commands[unit]
        words = shlex.split(command["command"])
        original = words[words.index("-o") + 1]
        object_path = work / "mutant.o"
        words[words.index("-o") + 1] = str(object_path)
        words[-1] = str(kernels / unit)
        if subprocess.run(words, cwd=command["directory"], capture_output=True).returncode != 0:
            return None
        library = work / "libcunn-simt-mutant.so"
        output = self.link[self.link.index("-o") + 1]
        relative = os.path.relpath(Path(command["directory"]) / original, self.folder)
        link = [str(library) if w == output else str(object_path) if w == relative else w for w in self.link]
        if str(object_path) not in link:
            raise SystemExit(f"{relative} is not linked into cunn-simt")
        subprocess.run(link, cwd=self.folder, check=True, capture_output=True)
        return library

    def control(self, unit: str, work: Path, cpu: list[str]) -> None:
        """The same compilation, link and programs without a mutant, once a unit: ends this program when they do not pass."""
        if unit in self.seconds:
            return
        library = self.library(unit, None, work)
        found, seconds = ("the compiler", 0.0) if library is None else self.notices(library, unit, cpu, 3600.0)
        if found:
            raise SystemExit(f"{unit} without a mutant does not pass in {self.folder} ({found}): nothing noticed there would mean anything")
        self.seconds[unit] = seconds

    def notices(self, library: Path, unit: str, cpu: list[str], timeout: float) -> tuple[str, float]:
        """What noticed, or an empty text, and the seconds of the slowest program."""
        stem = Path(unit).stem
        families = FAMILIES.get(stem, [stem, "edges"])
        runs = [[str(self.program("simt_vectors")), str(library), "simt", str(CUDA / "vectors"), "--largest", "20000", *families]]
        runs.append([str(self.program("simt_faults")), str(library)])
        runs.append([str(self.program("simt_shapes")), str(library), *cpu])
        prefix = ["setarch", "-R"] if self.sanitizer == "thread" else []
        slowest = 0.0
        # TSan sees a race in any order; a missing check may need one.
        for order in ("parallel",) if self.sanitizer == "thread" else ("parallel", "reverse"):
            for run in runs:
                started = time.monotonic()
                try:
                    done = subprocess.run(prefix + run, env={**os.environ, "CUNN_SIMT_ORDER": order}, capture_output=True, timeout=timeout, text=True)
                except subprocess.TimeoutExpired:
                    return "does not end", slowest
                slowest = max(slowest, time.monotonic() - started)
                if "Sanitizer" in done.stderr or "runtime error" in done.stderr:
                    return "sanitizer", slowest
                if done.returncode != 0:
                    return Path(run[0]).name, slowest
        return "", slowest


def unit_of(mutant: Mutant) -> str:
    """The file that is compiled for a mutant."""
    return INCLUDED_BY.get(mutant.path.name, mutant.path.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thread", type=Path, required=True)
    parser.add_argument("--address", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("mutants"))
    parser.add_argument("--cpu", type=Path, help="libcunn.so without a sanitizer, whose f32 bits the shapes must have")
    parser.add_argument("--only", choices=sorted(PATTERNS))
    parser.add_argument("--file", help="stem of one kernel file")
    parser.add_argument("--sample", type=int, default=12, help="this many, chosen at random by the date")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    global KERNELS
    base = options.work.resolve() / "base"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(KERNELS, base)
    KERNELS = base
    builds = {"barriers": Build(options.thread), "checks": Build(options.address)}
    builds["guards"] = builds["checks"]
    cpu = [str(options.cpu.resolve())] if options.cpu else []
    mutants = [m for kind in PATTERNS if options.only in (None, kind) for m in find_mutants(kind)]
    if options.file:
        mutants = [m for m in mutants if m.path.stem == options.file]
    if not options.all:
        chosen = random.Random(datetime.date.today().toordinal()).sample(mutants, min(options.sample, len(mutants)))
        mutants = sorted(chosen, key=lambda m: (m.path, m.line))
    listed = {(s["file"], s["kind"], s["line"]): s["why"] for s in json.loads(SURVIVORS.read_text())}
    wrong = noticed = refused = explained = 0
    for mutant in mutants:
        key = (mutant.path.name, mutant.kind, mutant.text())
        build, unit, work = builds[mutant.kind], unit_of(mutant), options.work.resolve()
        build.control(unit, work, cpu)
        library = build.library(unit, mutant, work)
        verdict = "the compiler" if library is None else build.notices(library, unit, cpu, max(60.0, 10 * build.seconds[unit]))[0]
        reason = listed.get(key, "")
        refused += library is None
        noticed += bool(verdict) and library is not None
        explained += not verdict and bool(reason)
        surprising = bool(verdict) == bool(reason)
        wrong += surprising
        said = verdict or reason or "SURVIVED"
        print(f"{mutant.path.name}:{mutant.line}: {said}{' (but survivors.json lists it)' if verdict and reason else ''}: {mutant.text()}", flush=True)
    if options.all and not options.file and not options.only:
        there = {(m.path.name, m.kind, m.text()) for m in mutants}
        for file, kind, line in sorted(set(listed) - there):
            wrong += 1
            print(f"survivors.json lists what is not there: {file}, {kind}: {line}")
    print(f"{len(mutants)} mutants: {noticed} noticed, {refused} refused by the compiler, {explained} survived with a reason, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
