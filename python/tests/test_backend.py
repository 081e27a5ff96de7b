"""What every backend promises of memory, order, recording and bad values."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from devices import available_devices

from nn.cuda import open_backend
from nn.tensor import Backend, BackendError, DType, Status

ALL = tuple(DType)


@pytest.fixture(params=available_devices())
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with open_backend(request.param) as opened:
        yield opened


def test_it_says_what_it_is(backend: Backend) -> None:
    assert backend.name in ("reference", "cpu", "cuda", "simt")
    assert backend.isa
    assert backend.threads >= 1


def test_threads_are_as_asked_for() -> None:
    if "cpu" in available_devices():
        with open_backend("cpu", threads=3) as backend:
            assert backend.threads == 3


@pytest.mark.parametrize("dtype", ALL)
def test_a_buffer_is_zero_and_keeps_bytes(backend: Backend, dtype: DType) -> None:
    buffer = backend.buffer(dtype, 96)
    assert (buffer.dtype, buffer.count) == (dtype, 96)
    assert not backend.download(buffer).any()
    content = np.random.default_rng(0).integers(0, 256, dtype.bytes(96), np.uint8).view(dtype.storage)
    backend.upload(buffer, content)
    assert backend.download(buffer).tobytes() == content.tobytes()
    assert backend.download(buffer, 32, 64).tobytes() == content[dtype.storage_count(32) :].tobytes()


@pytest.mark.parametrize("dtype", ALL)
def test_a_view_is_the_same_memory_and_outlives_its_source(backend: Backend, dtype: DType) -> None:
    content = np.random.default_rng(1).integers(0, 256, dtype.bytes(128), np.uint8).view(dtype.storage)
    buffer = backend.from_numpy(content, dtype)
    view = backend.view(buffer, 32, 64)
    inner = backend.view(view, 32, 32)
    buffer.close()
    begin, end = dtype.storage_count(64), dtype.storage_count(96)
    assert backend.download(inner).tobytes() == content[begin:end].tobytes()


def test_an_upload_may_be_reused_at_once(backend: Backend) -> None:
    values = np.arange(1000, dtype=np.float32)
    buffer = backend.from_numpy(values)
    values[:] = -1
    assert backend.download(buffer)[999] == 999


def test_an_array_of_any_layout_is_uploaded_by_value(backend: Backend) -> None:
    square = np.arange(9, dtype=np.float64).reshape(3, 3)
    buffer = backend.from_numpy(square.T)
    assert buffer.dtype == DType.F32
    assert backend.download(buffer).tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_memory_is_given_back(backend: Backend) -> None:
    before, _ = backend.memory()
    buffers = [backend.buffer(DType.F32, 1 << 16) for _ in range(4)]
    during, _ = backend.memory()
    assert during - before >= 4 * 4 << 16
    buffers.pop().close()
    del buffers
    gc.collect()
    backend.buffer(DType.F32, 1).close()
    backend.synchronize()
    after, peak = backend.memory()
    assert after - before < 4 << 16
    assert peak >= during


def test_closing_twice_is_allowed_and_use_after_close_is_not(backend: Backend) -> None:
    buffer, other = backend.buffer(DType.F32, 4), backend.buffer(DType.F32, 4)
    buffer.close()
    buffer.close()
    with pytest.raises(BackendError, match="add_forward: y ") as caught:
        backend.add_forward(buffer, other, other, 4)
    assert caught.value.status == Status.INVALID_ARGUMENT
    with pytest.raises(BackendError):
        backend.download(buffer)


@pytest.mark.parametrize(
    ("offset", "count", "text"),
    [
        (-1, 2, "offset is -1, expected at least 0"),
        (0, -1, "count is -1, expected at least 0"),
        (6, 3, "offset 6 and count 3, expected at most the 8 elements of the buffer"),
        (9, 0, "offset 9 and count 0, expected at most the 8 elements of the buffer"),
    ],
)
def test_a_range_beyond_the_buffer(backend: Backend, offset: int, count: int, text: str) -> None:
    buffer = backend.buffer(DType.F32, 8)
    for name, access in (("view", backend.view), ("download", backend.download)):
        with pytest.raises(BackendError) as caught:
            access(buffer, offset, count)
        assert str(caught.value) == f"buffer_{name}: {text}"


def test_blocks_are_not_cut(backend: Backend) -> None:
    with pytest.raises(BackendError) as caught:
        backend.buffer(DType.Q4, 40)
    assert str(caught.value) == "buffer_create: count is 40, expected a multiple of 32 for q4"
    with pytest.raises(BackendError) as caught:
        backend.view(backend.buffer(DType.Q8, 64), 16, 32)
    assert str(caught.value) == "buffer_view: offset is 16, expected a multiple of 32 for q8"


def test_more_memory_than_there_is(backend: Backend) -> None:
    with pytest.raises(BackendError) as caught:
        backend.buffer(DType.F32, 1 << 60)
    assert caught.value.status == Status.OUT_OF_MEMORY
    assert str(caught.value) == f"buffer_create: no memory for {1 << 60} elements of f32 ({1 << 62} bytes)"
    assert backend.download(backend.buffer(DType.F32, 2)).tolist() == [0, 0]


def test_a_bad_id_is_reported_once_and_writes_nothing(backend: Backend) -> None:
    y, w = backend.from_numpy(np.full(6, 5, np.float32)), backend.from_numpy(np.ones(8, np.float32))
    backend.embedding_forward(y, backend.from_numpy(np.array([1, 4, 2], np.int32)), w, 3, 4, 2)
    with pytest.raises(BackendError) as caught:
        backend.synchronize()
    assert caught.value.status == Status.DEVICE
    assert str(caught.value) == "embedding_forward: ids[1] is 4, expected 0 to 3"
    backend.synchronize()
    assert backend.download(y, 2, 2).tolist() == [5, 5]


def test_a_reader_reads_what_stands_there_now_into_one_array(backend: Backend) -> None:
    buffer = backend.from_numpy(np.arange(3, dtype=np.int32))
    read = backend.reader(buffer)
    first = read()
    assert first.dtype == np.int32
    assert first.tolist() == [0, 1, 2]
    backend.upload(buffer, np.asarray([7, 8, 9], dtype=np.int32))
    assert read() is first
    assert first.tolist() == [7, 8, 9]
    buffer.close()
    with pytest.raises(BackendError, match="buffer was destroyed or never existed"):
        read()


def test_a_bad_value_is_reported_by_download_too(backend: Backend) -> None:
    small = backend.buffer(DType.I32, 2)
    backend.cast(small, backend.from_numpy(np.array([1, 1 << 40], np.int64)), 2)
    with pytest.raises(BackendError) as caught:
        backend.download(small)
    assert str(caught.value) == f"cast: x[1] is {1 << 40}, which i32 does not hold"


def test_a_recording_executes_nothing_until_it_is_launched(backend: Backend) -> None:
    y, x = backend.buffer(DType.F32, 4), backend.from_numpy(np.arange(4, dtype=np.float32))
    backend.graph_begin()
    backend.scale_forward(y, x, 4, 2.0)
    backend.add_forward(y, y, x, 4)
    graph = backend.graph_end()
    assert backend.download(y).tolist() == [0, 0, 0, 0]
    backend.graph_launch(graph)
    assert backend.download(y).tolist() == [0, 3, 6, 9]
    backend.upload(x, np.ones(4, np.float32))
    backend.graph_launch(graph)
    assert backend.download(y).tolist() == [3, 3, 3, 3]
    assert backend.graph_dump(graph) == ("scale_forward y:f32 x:f32 n=4 alpha=2\nadd_forward y:f32 a:f32 b:f32 n=4\n")
    graph.close()
    graph.close()
    with pytest.raises(BackendError, match="graph_launch: graph"):
        backend.graph_launch(graph)


def test_what_a_recording_refuses(backend: Backend) -> None:
    buffer = backend.buffer(DType.F32, 4)
    backend.graph_begin()
    for call in (
        lambda: backend.upload(buffer, np.zeros(4, np.float32)),
        lambda: backend.download(buffer),
        lambda: backend.buffer(DType.F32, 4),
        backend.synchronize,
        backend.graph_begin,
    ):
        with pytest.raises(BackendError, match="not allowed between graph_begin and graph_end"):
            call()
    with pytest.raises(BackendError, match="fill: n is -1"):
        backend.fill(buffer, -1, 0.0)
    backend.fill(buffer, 4, 3.0)
    backend.graph_launch(backend.graph_end())
    assert backend.download(buffer).tolist() == [3, 3, 3, 3]


def test_a_recorded_buffer_must_live(backend: Backend) -> None:
    buffer = backend.buffer(DType.F32, 4)
    backend.graph_begin()
    backend.fill(buffer, 4, 3.0)
    graph = backend.graph_end()
    buffer.close()
    with pytest.raises(BackendError) as caught:
        backend.graph_launch(graph)
    assert str(caught.value) == "graph_launch: a recorded buffer, first used as y, was destroyed"


def test_a_recording_has_an_end_and_a_beginning(backend: Backend) -> None:
    with pytest.raises(BackendError) as caught:
        backend.graph_end()
    assert str(caught.value) == "graph_end: nothing is being recorded"


def test_a_buffer_of_another_backend_is_refused(backend: Backend) -> None:
    other = "cpu" if backend.name == "reference" else "reference"
    if other not in available_devices():
        pytest.skip(f"needs {other} too")
    with open_backend(other) as elsewhere:
        foreign, own = elsewhere.buffer(DType.F32, 4), backend.buffer(DType.F32, 4)
        with pytest.raises(BackendError, match="add_forward: a ") as caught:
            backend.add_forward(own, foreign, own, 4)
        assert caught.value.status == Status.INVALID_ARGUMENT


def test_closing_a_backend_twice_is_allowed(backend: Backend) -> None:
    buffer = backend.buffer(DType.F32, 4)
    backend.close()
    backend.close()
    buffer.close()
