"""Removes each barrier and each bounds check of the kernels in turn and asks whether anything notices.

    python mutants.py --thread BUILD --address BUILD [--cpu LIBRARY] [--all | --sample N] [--only KIND] [--file STEM] [--resume]

BUILD are CMake build folders (Ninja, CMAKE_EXPORT_COMPILE_COMMANDS=ON) with CUNN_SIMT=ON and CUNN_SANITIZE=thread and address.
Kinds: barriers (__syncthreads, __syncwarp, cp_async_wait: removed, built for TSan), checks ("if (row >= rows) return;": removed,
built for ASan) and guards ("if (i < n) y[i] = ...": always taken, built for ASan). A mutant is noticed when the vectors, the
shapes or the faults that call its unit's ops fail, when a sanitizer reports (the first report ends the program), or when it does
not end: it used ten times the processor time of the same run without a mutant. That control is run once for each of a build's
runs, through the same compilation and link, and must pass, or nothing is judged. Time on the clock judges nothing: a run that
is starved for a very long time is named as not judged. Sources are never touched.

A sample of twelve is judged unless --all asks for every one. With --resume, what an earlier run in the same --work folder found
noticed, with the same kernels and runtime, is not judged again. survivors.json lists the mutants that nothing can notice, and why;
the exit status is 1 when another one survives, and with --all also when a listed one was noticed or is gone.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CUDA = Path(__file__).resolve().parents[2]
KERNELS = CUDA / "kernels"  # main() makes it a copy, so that the tree may change under a long run
# A header's mutants are built through a file that includes it, launch.cuh's through the first of two that notices.
INCLUDED_BY = {
    "attention.cuh": "attention.cu",
    "attention_mma.cuh": "attention.cu",
    "attention_forward_mma.cuh": "attention.cu",
    "attention_backward_mma.cuh": "attention_backward.cu",
    "attention_spans.cuh": "attention.cu",
    "gemm.cuh": "gemm.cu",
    "gemm_epilogue.cuh": "gemm.cu",
    "gemm_fma.cuh": "gemm.cu",
    "gemm_mma.cuh": "gemm.cu",
    "gemm_volta.cuh": "gemm.cu",
    "launch.cuh": "embedding.cu elementwise.cu",
    "ordered_sum.cuh": "loss.cu",
    "rows.cuh": "softmax.cu",
    "top_k.cuh": "softmax.cu",
}
# The card that takes a header's kernels where the newest does not, and the operands of products that reach them.
CARDS = {"gemm_volta.cuh": ("sm_70", "f16")}
# The vector files with a unit's ops, beside the one of its name, edges and aliasing.
FAMILIES = {
    "attention_backward": ["attention"],
    "attention_readable": ["attention"],
    "cache": ["attention"],
}
# The parts of simt_shapes that call a unit's ops; other units' ops are not in it.
SHAPES = {
    "attention": ["attention", "cached"],
    "attention_backward": ["attention"],
    "cache": ["cached"],
    "decode": ["sample"],
    "embedding": ["embedding_backward"],
    "gemm": ["gemm", "row_independence", "grouped", "swiglu"],
    "loss": ["cross_entropy"],
    "moe": ["moe"],
    "optimizer": ["sum_of_squares"],
    "rmsnorm": ["rmsnorm"],
    "softmax": ["softmax", "top_k"],
}
LEAST_CPU_SECONDS = 20  # however short the control was
CONTROL_CPU_SECONDS = 36000
BARRIER = re.compile(r"__syncthreads\(\);|__syncwarp\([^;]*\);|cp_async_wait<[^;]*>\(\);")
# "if (row >= rows) return;" and its like, "x < limit" guards of the copies in and out.
CHECK = re.compile(r"if \((?:[^()]|\([^()]*\))*(?:>=|<|in_range)(?:[^()]|\([^()]*\))*\) (?:return|continue);")
GUARD = re.compile(r"if (\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*(?: >= | < |in_range)(?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)) (?!return;|continue;|break;)")
PATTERNS = {"barriers": BARRIER, "checks": CHECK, "guards": GUARD}
REFUSED = "the compiler"
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


class NotJudged(Exception):
    """A run that ended for a reason that says nothing about the mutant."""


class Build:
    """One sanitizer's build folder: compiles a changed copy of a kernel file and links it in place of the original."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = json.loads((folder / "compile_commands.json").read_text())
        self.commands = {Path(c["file"]).name: c for c in commands if "cunn-simt.dir" in c["command"]}
        self.link = self.link_command()
        cache = (folder / "CMakeCache.txt").read_text()
        self.unchanged: Path | None = None  # the library without a mutant, made as one with a mutant is
        self.cpu_seconds: dict[str, float] = {}  # of each run with it
        self.sanitizer = re.search(r"CUNN_SANITIZE:STRING=(\w+)", cache).group(1)  # type: ignore[union-attr]

    def link_command(self) -> list[str]:
        """How the library is linked, run in the build folder."""
        listed = subprocess.run(["ninja", "-C", str(self.folder), "-t", "commands", "cunn-simt"], capture_output=True, text=True, check=True)
        for line in reversed(listed.stdout.splitlines()):
            if "-shared" in line and "cunn-simt" in line:
                return [word for word in shlex.split(line) if word not in (":", "&&")]
        raise SystemExit(f"{self.folder} has no command that links cunn-simt")

    def program(self, name: str) -> str:
        """A test program: beside the library, or where it was built."""
        beside = Path(self.link[self.link.index("-o") + 1]).parent / "tests" / name
        return str(next(path for path in (self.folder / beside, self.folder / "simt" / name) if path.is_file()))

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
        name = "mutant" if mutant else "unchanged"
        object_path = work / f"{name}-{self.sanitizer}.o"
        words[words.index("-o") + 1] = str(object_path)
        words[-1] = str(kernels / unit)
        words.insert(-1, "-g0")  # nobody reads the lines of a report: a verdict is wanted
        if subprocess.run(words, cwd=command["directory"], capture_output=True).returncode != 0:
            return None
        library = work / f"libcunn-simt-{name}-{self.sanitizer}.so"
        output = self.link[self.link.index("-o") + 1]
        relative = os.path.relpath(Path(command["directory"]) / original, self.folder)
        link = [str(library) if w == output else str(object_path) if w == relative else w for w in self.link]
        if str(object_path) not in link:
            raise SystemExit(f"{relative} is not linked into cunn-simt")
        subprocess.run([*link, "-Wl,--strip-debug"], cwd=self.folder, check=True, capture_output=True)
        return library

    def runs(self, unit: str, operands: str, cpu: list[str]) -> list[tuple[str, list[str]]]:
        """What is asked about a unit, in this order: the order of blocks, and a program with its arguments behind the library."""
        stem = Path(unit).stem
        families = [*FAMILIES.get(stem, [stem]), "edges", "aliasing"]
        programs = [[self.program("simt_vectors"), "simt", str(CUDA / "vectors"), "--largest", "20000", "--stop", *families]]
        programs.append([self.program("simt_faults"), "--stop"])
        if stem in SHAPES:
            parts = [word for part in SHAPES[stem] for word in ("--part", part)]
            # TSan does not see how the threads of a library that was not built for it wait for one another.
            other = cpu if self.sanitizer == "address" else []
            if operands:
                parts += ["--operands", operands]
            programs.append([self.program("simt_shapes"), *other, "--stop", *parts])
        # TSan sees a race in any order; a missing check may need one.
        orders = ("parallel",) if self.sanitizer == "thread" else ("parallel", "reverse")
        return [(order, program) for order in orders for program in programs]

    def notices(self, library: Path, unit: str, header: str, cpu: list[str], work: Path) -> str:
        """What noticed, or an empty text."""
        card, operands = CARDS.get(header, ("", ""))
        for order, program in self.runs(unit, operands, cpu):
            key = " ".join((card, order, *program))
            if key not in self.cpu_seconds:
                self.unchanged = self.unchanged or self.library(unit, None, work)
                if self.unchanged is None:
                    raise SystemExit(f"{unit} without a mutant does not compile in {self.folder}")
                found, self.cpu_seconds[key] = self.run(self.unchanged, card, order, program, None)
                if found:
                    raise SystemExit(f"{key} does not pass without a mutant ({found}): nothing noticed there would mean anything")
            found, _ = self.run(library, card, order, program, self.cpu_seconds[key])
            if found:
                return found
        return ""

    def run(self, library: Path, card: str, order: str, program: list[str], control: float | None) -> tuple[str, float]:
        """What one run noticed, or an empty text, and the processor seconds that it took."""
        # The control has a limit too, a wide one: a limit that the system refuses then fails it, not every mutant.
        limit = CONTROL_CPU_SECONDS if control is None else int(max(LEAST_CPU_SECONDS, 10 * control)) + 1
        env = {**os.environ, "CUNN_SIMT_CARD": card, "CUNN_SIMT_ORDER": order, "TSAN_OPTIONS": "halt_on_error=1"}
        command = [program[0], str(library), *program[1:]]
        if self.sanitizer == "thread":
            command = ["setarch", "-R", *command]
        command = ["prlimit", f"--cpu={limit}:{limit + 5}", *command]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock = None if control is None else 600 + 20 * limit
        try:
            done = subprocess.run(command, env=env, capture_output=True, timeout=clock, text=True, errors="replace")
        except subprocess.TimeoutExpired:
            raise NotJudged(f"{clock} seconds were not enough for {limit} of processor time") from None
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        who = Path(program[0]).name
        if done.returncode == -signal.SIGKILL:
            raise NotJudged("it was killed from outside")
        if done.returncode == -signal.SIGXCPU:
            return f"{who} does not end", seconds
        if "Sanitizer" in done.stderr or "runtime error" in done.stderr:
            return f"sanitizer in {who}", seconds
        return (who if done.returncode != 0 else ""), seconds


def units_of(mutant: Mutant) -> list[str]:
    """The files that are compiled for a mutant, one after the other until something notices."""
    return INCLUDED_BY.get(mutant.path.name, mutant.path.name).split()


def judge(build: Build, mutant: Mutant, cpu: list[str], work: Path) -> str:
    """What noticed the mutant, or an empty text."""
    for unit in units_of(mutant):
        library = build.library(unit, mutant, work)
        if library is None:
            if build.library(unit, None, work) is None:
                raise SystemExit(f"{unit} does not compile without a mutant either: nothing refused there would mean anything")
            return REFUSED
        if found := build.notices(library, unit, mutant.path.name, cpu, work):
            return found
    return ""


class Verdicts:
    """What was noticed, in a file: keyed by the mutant and everything that is compiled for it, not by the tests."""

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.known: dict[str, str] = json.loads(path.read_text()) if resume and path.exists() else {}
        self.texts = {folder: self.digest(CUDA / folder) for folder in ("include", "src", "simt/include", "simt/src")}

    @staticmethod
    def digest(folder: Path) -> str:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()

    def key(self, mutant: Mutant) -> str:
        seen: dict[str, str] = {}
        waiting = units_of(mutant)
        while waiting:
            path = KERNELS / waiting.pop()
            if path.name not in seen and path.exists():
                seen[path.name] = path.read_text()
                waiting += re.findall(r'#include "([^"/]+)"', seen[path.name])
        compiled = json.dumps([self.texts, seen, mutant.path.name, mutant.kind, mutant.start], sort_keys=True)
        return f"{mutant.path.name}:{mutant.line} {hashlib.sha256(compiled.encode()).hexdigest()[:32]}"

    def remember(self, mutant: Mutant, verdict: str) -> None:
        self.known[self.key(mutant)] = verdict
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps(self.known, indent=1))
        aside.replace(self.path)


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
    parser.add_argument("--resume", action="store_true", help="keep what an earlier run found noticed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    global KERNELS
    base = options.work.resolve() / "base"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(KERNELS, base)
    KERNELS = base
    builds = {"barriers": Build(options.thread.resolve()), "checks": Build(options.address.resolve())}
    builds["guards"] = builds["checks"]
    verdicts = Verdicts(options.work / "verdicts.json", options.resume)
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
        where = f"{mutant.path.name}:{mutant.line}"
        verdict = verdicts.known.get(verdicts.key(mutant), "")
        if not verdict:
            try:
                verdict = judge(builds[mutant.kind], mutant, cpu, options.work.resolve())
            except NotJudged as why:
                wrong += 1
                print(f"{where}: NOT JUDGED, {why}: {mutant.text()}", flush=True)
                continue
            if verdict:
                verdicts.remember(mutant, verdict)
        reason = listed.get(key, "")
        refused += verdict == REFUSED
        noticed += verdict not in ("", REFUSED)
        explained += not verdict and bool(reason)
        surprising = bool(verdict) == bool(reason)
        wrong += surprising
        said = verdict or reason or "SURVIVED"
        print(f"{where}: {said}{' (but survivors.json lists it)' if verdict and reason else ''}: {mutant.text()}", flush=True)
    if options.all and not options.file and not options.only:
        there = {(m.path.name, m.kind, m.text()) for m in mutants}
        for file, kind, line in sorted(set(listed) - there):
            wrong += 1
            print(f"survivors.json lists what is not there: {file}, {kind}: {line}")
    print(f"{len(mutants)} mutants: {noticed} noticed, {refused} refused by the compiler, {explained} survived with a reason, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
