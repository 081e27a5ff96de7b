"""Changes one scalar of one language and demands that the cross tests notice.

python tests/cross/mutants.py [--all | --sample N] [--language python|rust|go]

The project's files are copied to build/mutants/tree; there one number is replaced, the language is built from that
copy, and the tests that the number concerns compare it with the other two, which are built from the project itself.
First each unchanged copy must pass: one that fails for another reason would prove nothing. Exits with 1 when a change
went unnoticed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "mutants"
TREE = HOME / "tree"
LANGUAGES = ("python", "rust", "go")
CONTROL = ("test_runs.py", "test_losses and odd-bf16")

Change = tuple[str, str, str]
"""A file, what stands there once, and what is put in its place."""


@dataclass(frozen=True)
class Mutant:
    """One scalar in three languages. `lines` say how Python, Rust and Go write it, `@` standing for the number `old`
    that becomes `new`; `tests` (a file and pytest's -k) compare what follows from it."""

    name: str
    tests: tuple[str, str]
    files: tuple[str, str, str]
    lines: tuple[str, str, str]
    old: str
    new: str

    def change(self, language: str) -> Change:
        at = LANGUAGES.index(language)
        line = self.lines[at]
        return self.files[at], line.replace("@", self.old), line.replace("@", self.new)


CONFIG = ("python/nn/model/config.py", "rust/nn-core/src/model/config.rs", "go/model/config.go")
TRAINER = ("python/nn/train/trainer.py", "rust/nn-core/src/train/trainer.rs", "go/train/trainer.go")
TRAIN = ("python/nn/cli/commands/train.py", "rust/nn-cli/src/commands/train.rs", TRAINER[2])
SCHEDULE = ("python/nn/train/schedule.py", "rust/nn-core/src/train/schedule.rs", "go/train/schedule.go")
ATTENTION = ("python/nn/model/attention.py", "rust/nn-core/src/model/attention.rs", "go/model/attention.go")
PREPARE = ("python/nn/train/prepare.py", "rust/nn-core/src/train/prepare.rs", "go/train/prepare.go")
SAFETENSORS = ("python/nn/model/safetensors.py", "rust/nn-core/src/model/safetensors.rs", "go/model/safetensors.go")
GENERATE = ("python/nn/cli/commands/generate.py", "rust/nn-cli/src/commands/generate.rs", "go/internal/cli/generate.go")
DATA = ("python/nn/train/data.py", "rust/nn-core/src/train/data.rs", "go/train/data.go")

LOSSES = ("test_runs.py", "test_losses and tiny")
WINDOWS = ("test_runs.py", "test_losses and bf16")
STATE = ("test_options.py", "defaults_of_train")

MUTANTS = [
    Mutant("base of the angles", LOSSES, CONFIG,
           ("rope_theta: float = @.0", "rope_theta: @.0,", "RopeTheta: @,"), "10000", "10001"),
    Mutant("epsilon of the norms", LOSSES, CONFIG,
           ("rms_norm_eps: float = @", "rms_norm_eps: @,", "RMSNormEps: @,"), "1e-6", "2e-6"),
    Mutant("weight of the balance loss", LOSSES, CONFIG,
           ("aux_coef: float = @", "aux_coef: @,", "AuxCoef: @,"), "0.01", "0.0101"),
    Mutant("weight of the z loss", LOSSES, CONFIG,
           ("z_coef: float = @", "z_coef: @,", "ZCoef: @,"), "0.001", "0.00101"),
    Mutant("scale of the scores", LOSSES, ATTENTION,
           ("/ math.sqrt(self.head_dim@)", "(head_dim as f64@).sqrt()", "float64(c.HeadDim)@)"), "", " + 1.0"),
    Mutant("first decay of AdamW", LOSSES, TRAINER,
           ("beta1: float = @", "beta1: @,", "Beta1: @,"), "0.9", "0.91"),
    Mutant("second decay of AdamW", LOSSES, TRAINER,
           ("beta2: float = @", "beta2: @,", "Beta2: @,"), "0.95", "0.951"),
    Mutant("decay of weights", STATE, TRAIN,
           ('"--weight-decay", type=number, default=@,',
            'of matrices\n    #[arg(long, default_value = "@"', "WeightDecay: @,"), "0.1", "0.11"),
    Mutant("last digit of a coefficient of the cosine", LOSSES, SCHEDULE,
           ("-4.93480220054467@,", "-4.93480220054467@,", "-4.93480220054467@,"), "9", "8"),
    Mutant("half a cosine", LOSSES, SCHEDULE,
           ("half = @ * (1", "half = @ * (1", "half := @ * (1"), "0.5", "0.5000001"),
    Mutant("place of the data among the random streams", LOSSES, DATA,
           ("STREAM_DATA, index@)", "STREAM_DATA, index@, 0)", "index@, tensor.StreamData, 0)"), "", " + 1"),
    Mutant("windows of an evaluation", WINDOWS, TRAINER,
           ("EVALUATION_WINDOWS = @", "EVALUATION_WINDOWS: usize = @", "EvaluationWindows = @"), "64", "63"),
    Mutant("texts between two that are held out", ("test_runs.py", "test_prepared_text"), PREPARE,
           ("HELD_OUT_EVERY = @", "HELD_OUT_EVERY: usize = @", "HeldOutEvery    = @"), "20", "21"),
    Mutant("largest header", ("test_bad_inputs.py", "header"), SAFETENSORS,
           ("MAX_HEADER = @", "MAX_HEADER: u64 = @", "MaxHeader = @"), "100_000_000", "100_000_001"),
    Mutant("temperature unless told", ("test_runs.py", "test_generated_text and tiny and default"), GENERATE,
           ('type=number, default=@.0, help="0: always', 'likely token\n    #[arg(long, default_value = "@.0"',
            '"temperature", @,'), "1", "2"),
]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every scalar in every language")
    parser.add_argument("--sample", type=int, default=3, help="scalars of each language (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="which scalars the sample has")
    parser.add_argument("--language", choices=LANGUAGES, action="append")
    arguments = parser.parse_args()
    languages = arguments.language or LANGUAGES
    copy_tree()
    if "python" in languages:
        imports_the_copy()
    unnoticed = []
    for language in languages:
        if not passes(language, CONTROL, "unchanged"):
            sys.exit(f"{language}: the unchanged copy does not pass")
        draw = random.Random(f"{arguments.seed} {language}")
        chosen = MUTANTS if arguments.all else draw.sample(MUTANTS, arguments.sample)
        for mutant in chosen:
            file, old, new = mutant.change(language)
            path = TREE / file
            content = path.read_text()
            if content.count(old) != 1:
                sys.exit(f"{mutant.name}: {file} has {old!r} {content.count(old)} times, expected once")
            path.write_text(content.replace(old, new))
            try:
                if passes(language, mutant.tests, f"{mutant.name}: {mutant.old} -> {mutant.new}"):
                    unnoticed.append(f"{language}: {mutant.name}")
            finally:
                path.write_text(content)
    print("\n".join(["unnoticed:", *unnoticed]) if unnoticed else "every change was noticed")
    return 1 if unnoticed else 0


def copy_tree() -> None:
    """The files that git knows or would take, without their history. What Rust built of other people's crates is linked
    into a target folder of the copy's own, so that only the project's crates are built again."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, TREE / name)
    target = HOME / "target" / "debug"
    for part in ("deps", "build", ".fingerprint"):
        there = ROOT / "target" / "debug" / part
        if there.is_dir() and not (target / part).exists():
            shutil.copytree(there, target / part, copy_function=link)


def imports_the_copy() -> None:
    """An editable installation is found before PYTHONPATH, and every change of the copy would pass unnoticed."""
    environment = {**os.environ, "PYTHONPATH": str(TREE / "python")}
    command = [sys.executable, "-c", "import nn; print(nn.__file__)"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(found).is_relative_to(TREE):
        sys.exit(f"Python imports {found} and not the copy, expected no cuda-nn installed in this environment")


def link(source: str, target: str) -> None:
    """A second name of the same file, or a copy where the file system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def passes(language: str, tests: tuple[str, str], what: str) -> bool:
    """Whether the tests pass with `language` from the copy. Errors: SystemExit where they could not be run."""
    start = time.monotonic()
    file, expression = tests
    environment = dict(os.environ)
    if language == "rust":
        environment["CARGO_TARGET_DIR"] = str(HOME / "target")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", f"--{language}-root", str(TREE),
         str(ROOT / "tests" / "cross" / file), "-k", expression],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
    # An error outside of a test (a copy that does not compile) is no notice.
    if done.returncode not in (0, 1) or "error" in last or ("failed" in last) != (done.returncode == 1):
        sys.exit(f"{language}, {what}: the tests could not be run\n{done.stdout}{done.stderr}")
    verdict = "passes" if done.returncode == 0 else "noticed"
    print(f"{language:6}  {verdict:7}  {time.monotonic() - start:5.0f} s  {what}", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
