"""Finding, opening and using the library: what happens when it is absent, foreign, busy or forked."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from devices import available_devices

from nn.cuda import NativeBackend, library, open_backend, why_not
from nn.cuda.declarations import DECLARATIONS
from nn.cuda.library import DEVICES
from nn.errors import NNError
from nn.tensor import BackendError, DType, Status, philox

ROOT = Path(__file__).resolve().parents[2]

needs_cpu = pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")


def constants() -> dict[str, int]:
    """Every constant of the header, without the prefix."""
    return {name: int(value) for name, value in re.findall(r"CUNN_(\w+) = (-?\d+)", DECLARATIONS)}


def test_the_bindings_are_in_step_with_the_header() -> None:
    tool = ROOT / "cuda" / "tools" / "bindings.py"
    result = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_constants_are_those_of_the_header() -> None:
    here = {"ABI_VERSION": 1}
    here |= {item.name: item.value for kind in (DType, Status) for item in kind}
    here |= {device.upper(): number for number, device in enumerate(DEVICES)}
    here |= {name: value for name, value in vars(philox).items() if name.startswith("STREAM_")}
    assert here == constants()


def test_an_absent_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUNN_LIBRARY", str(tmp_path / "libcunn.so"))
    with pytest.raises(NNError) as caught:
        open_backend("cpu")
    text = str(caught.value)
    assert str(tmp_path) in text
    assert "nox -s build" in text
    assert "--device reference" in text
    assert "\n" not in text
    assert why_not("cpu") == text
    assert open_backend("reference").name == "reference"


def test_a_file_that_is_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "libcunn.so"
    path.write_bytes(b"not a library")
    monkeypatch.setenv("CUNN_LIBRARY", str(path))
    with pytest.raises(NNError, match="cannot be opened as the library"):
        open_backend("cpu")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("int unrelated(void) { return 1; }", "it has no cunn_abi_version"),
        ("int cunn_abi_version(void) { return 999; }", "speaks ABI 999, expected 1"),
        ("int cunn_abi_version(void) { return 1; }", "it has no cunn_version"),
    ],
)
def test_a_foreign_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str, sentence: str) -> None:
    path = tmp_path / "libcunn.so"
    (tmp_path / "other.c").write_text(source)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, tmp_path / "other.c"], check=True)
    monkeypatch.setenv("CUNN_LIBRARY", str(path))
    with pytest.raises(NNError, match=sentence):
        open_backend("cpu")


def test_an_unknown_device() -> None:
    with pytest.raises(NNError) as caught:
        open_backend("gpu")
    assert str(caught.value) == 'unknown device "gpu", expected one of auto, cpu, cuda, simt, reference'
    assert caught.value.exit_code == 2


@needs_cpu
def test_a_missing_device_says_what_would_change_that() -> None:
    if library().device_count("cuda"):
        pytest.skip("there is a cuda device here")
    with pytest.raises(NNError, match=r"^there is no cuda device here: .+"):
        NativeBackend("cuda")


@needs_cpu
def test_what_the_library_says_of_itself() -> None:
    found = library()
    assert re.fullmatch(r"\d+\.\d+\.\d+", found.version)
    assert found.build_info
    assert found.device_name("cpu")
    total, free = found.device_memory("cpu")
    assert 0 < free <= total


@needs_cpu
def test_a_bad_context_is_refused_with_the_sentence_of_the_library() -> None:
    with pytest.raises(BackendError) as caught:
        open_backend("cpu", threads=-1)
    assert caught.value.status == Status.INVALID_ARGUMENT
    assert str(caught.value).startswith("context_create: ")
    with pytest.raises(BackendError, match="context_create: "):
        open_backend("cpu", isa="mmx")


@needs_cpu
def test_use_after_close() -> None:
    backend = NativeBackend("cpu")
    buffer = backend.buffer(DType.F32, 4)
    backend.close()
    with pytest.raises(BackendError) as caught:
        backend.fill(buffer, 4, 1.0)
    assert caught.value.status == Status.INVALID_ARGUMENT
    assert "context was destroyed" in str(caught.value)


@needs_cpu
def test_a_forgotten_backend_gives_everything_back() -> None:
    with NativeBackend("cpu") as observer:
        forgotten = NativeBackend("cpu")
        buffer = forgotten.buffer(DType.F32, 1 << 20)
        handle = buffer.handle
        del buffer, forgotten
        gc.collect()
        stale = observer.buffer(DType.F32, 4)
        stale.handle, own = handle, stale.handle
        with pytest.raises(BackendError, match="y was destroyed"):
            observer.fill(stale, 4, 1.0)
        stale.handle = own


@needs_cpu
def test_wrapped_memory_is_written_in_place() -> None:
    values = np.zeros(64, np.float32)
    with NativeBackend("cpu") as backend:
        buffer = backend.wrap(values)
        backend.fill(buffer, 64, 2.0)
        backend.synchronize()
        assert values.tolist() == [2.0] * 64
        with pytest.raises(TypeError, match="contiguous"):
            backend.wrap(values[::2])
        buffer.close()


@needs_cpu
def test_two_contexts_share_buffers() -> None:
    with NativeBackend("cpu") as one, NativeBackend("cpu", threads=1) as two:
        buffer = one.buffer(DType.F32, 4)
        two.fill(buffer, 4, 3.0)
        two.synchronize()
        assert one.download(buffer).tolist() == [3.0] * 4


@needs_cpu
def test_a_second_thread_is_told_that_the_context_is_busy() -> None:
    """The first thread multiplies for long enough that the second meets it, several times over."""
    size = 768
    refused: list[str] = []
    with NativeBackend("cpu", threads=1) as backend:
        c, a, b = (backend.buffer(DType.F32, size * size) for _ in range(3))
        small = backend.buffer(DType.F32, 1)
        done = threading.Event()

        def meet() -> None:
            while not done.is_set():
                try:
                    backend.fill(small, 1, 1.0)
                except BackendError as error:
                    refused.append(f"{error.status.name}: {error}")

        thread = threading.Thread(target=meet)
        thread.start()
        for _ in range(20):
            try:
                backend.gemm(c, a, b, False, True, size, size, size, size, size, size, 1.0, 0.0)
            except BackendError as error:
                assert error.status == Status.BUSY
        done.set()
        thread.join()
    assert set(refused) == {"BUSY: the context is in use by another thread"}


@needs_cpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_told_so() -> None:
    program = (
        "import os, sys\n"
        "from nn.cuda import open_backend\n"
        "from nn.tensor import DType, BackendError\n"
        "backend = open_backend('cpu')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try:\n"
        "        backend.buffer(DType.F32, 4)\n"
        "    except BackendError as error:\n"
        "        print(error.status.name, error, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "backend.buffer(DType.F32, 4)\n"
        "print('parent works')\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT / "python",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = result.stdout.splitlines()
    assert first.startswith("DEVICE ")
    assert "fork" in first
    assert second == "parent works"


@pytest.mark.skipif(
    not {"cpu", "simt"} <= set(available_devices()), reason="the library that executes CUDA kernels is not built"
)
def test_a_buffer_of_another_library_is_no_buffer() -> None:
    """A call must neither read nor write what was made as the same buffer in its own library."""
    ones = np.ones(4, np.float32)
    many = 64  # of each, so that slots and generations coincide
    with open_backend("cpu") as cpu, open_backend("simt") as simt:
        own = [cpu.from_numpy(ones) for _ in range(many)]
        other = [simt.from_numpy(2 * ones) for _ in range(many)]
        for foreign in other:
            calls: list[tuple[str, Callable[[], object]]] = [
                ("fill: y", partial(cpu.fill, foreign, 4, 5.0)),
                ("add_forward: b", partial(cpu.add_forward, own[0], own[0], foreign, 4)),
                ("buffer_view: buffer", partial(cpu.view, foreign, 0, 2)),
                ("buffer_upload: buffer", partial(cpu.upload, foreign, 7 * ones)),
                ("buffer_download: buffer", partial(cpu.download, foreign)),
                ("scale_forward: x", partial(simt.scale_forward, foreign, own[0], 4, 2.0)),
            ]
            for argument, call in calls:
                with pytest.raises(BackendError, match=f"{argument} is not of this library, expected a") as caught:
                    call()
                assert caught.value.status == Status.INVALID_ARGUMENT
        simt.graph_begin()
        simt.fill(other[0], 4, 5.0)
        graph = simt.graph_end()
        with pytest.raises(BackendError, match="graph_launch: graph is not of this library, expected a graph"):
            cpu.graph_launch(graph)
        for buffer in own:
            np.testing.assert_array_equal(cpu.download(buffer), ones)
        for buffer in other:
            np.testing.assert_array_equal(simt.download(buffer), 2 * ones)
