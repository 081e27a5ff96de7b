"""The module that Rust builds gives what the Python package gives, bit for bit, in one process."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import nn
import nn_rs

GOLDEN = Path(__file__).parents[3] / "cuda" / "vectors" / "golden" / "tiny"


@pytest.fixture(scope="module")
def cpu() -> nn_rs.Backend:
    try:
        return nn_rs.open_backend("cpu")
    except nn_rs.NNError as error:
        pytest.skip(str(error))


def test_logits_are_the_same_bits(cpu: nn_rs.Backend) -> None:
    ids = [1, 2, 3, 4, 5, 6, 7, 8]
    with nn.open_backend("cpu") as backend:
        want = nn.MoETransformer.load(GOLDEN, backend).forward_ids(ids, 2, 4)
    got = nn_rs.MoETransformer.load(GOLDEN, cpu).forward_ids(ids, 2, 4)
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def test_fresh_weights_and_steps_are_the_same_bits(cpu: nn_rs.Backend) -> None:
    ids = np.arange(2 * 16, dtype=np.int32).reshape(1, 2, 16)
    targets = np.roll(ids, -1, axis=2)
    with nn.open_backend("cpu") as backend:
        model = nn.MoETransformer(nn.MoEConfig.tiny(), backend, training=True, seed=3)
        trainer = nn.GpuTrainer(model, 2, 16)
        want = [trainer.step(ids, targets, 1e-3).total for _ in range(4)]
    own = nn_rs.GpuTrainer(nn_rs.MoETransformer.tiny(cpu, seed=3, training=True), 2, 16)
    assert [own.step(ids, targets, 1e-3)["total"] for _ in range(4)] == want


def test_errors_are_the_sentences_of_the_table(cpu: nn_rs.Backend) -> None:
    model = nn_rs.MoETransformer.tiny(cpu)
    with pytest.raises(nn_rs.NNError, match="token id 1000 at position 1, expected 0 to 999") as raised:
        model.forward_ids([1, 1000], 1, 2)
    assert raised.value.key == "id_out_of_range"
    assert raised.value.exit_code == 1
    with pytest.raises(nn_rs.NNError, match="batch x seq_len"):
        model.forward_ids([1, 2], 2**40, 2**40)


def test_tensors_compute_on_the_device(cpu: nn_rs.Backend) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 5), np.float32), rng.random((5, 4), np.float32)
    x, y = nn_rs.GpuTensor.from_numpy(a, cpu), nn_rs.GpuTensor.from_numpy(b, cpu)
    np.testing.assert_allclose(x.matmul(y).numpy(), a @ b, rtol=1e-5)
    np.testing.assert_allclose(x.softmax().numpy().sum(axis=1), np.ones(3), rtol=1e-6)
    np.testing.assert_array_equal(x.add(x).mul(x).numpy(), (a + a) * a)
    with pytest.raises(nn_rs.NNError, match="inner dimensions differ"):
        x.matmul(x)


def test_quantized_weights_give_the_same_bits(cpu: nn_rs.Backend, tmp_path: Path) -> None:
    from nn.model.checkpoint import load_checkpoint
    from nn.model.quantize import quantize_checkpoint

    ids = [1, 2, 3, 4, 5, 6, 7, 8]
    with nn.open_backend("cpu") as backend:
        quantize_checkpoint(load_checkpoint(GOLDEN), tmp_path / "q8", "q8", backend)
        want = nn.MoETransformer.load(tmp_path / "q8", backend).forward_ids(ids, 2, 4)
    assert nn_rs.MoETransformer.load(tmp_path / "q8", cpu).forward_ids(ids, 2, 4).tobytes() == want.tobytes()
    with pytest.raises(nn_rs.NNError, match="the weights are quantized"):
        nn_rs.MoETransformer.load(tmp_path / "q8", cpu, training=True)


def test_no_argument_is_a_panic(cpu: nn_rs.Backend, tmp_path: Path) -> None:
    """A panic would come as a BaseException."""
    model, trained = nn_rs.MoETransformer.tiny(cpu), nn_rs.MoETransformer.tiny(cpu, training=True)
    huge = 2**62
    empty, one = np.zeros((0, 4), np.float32), np.ones(1, np.float32)
    step = np.zeros((1, 1, 4), np.int32)
    trainer = nn_rs.GpuTrainer(trained, 1, 4)
    tensor = lambda array: nn_rs.GpuTensor.from_numpy(array, cpu)  # noqa: E731
    for call in (
        lambda: nn_rs.open_backend("cpu", 2**63),
        lambda: nn_rs.open_backend("\0"),
        lambda: model.forward_ids([], 0, 0),
        lambda: model.forward_ids([1], huge, huge),
        lambda: model.forward_ids([-1], 1, 1),
        lambda: model.generate([], 1),
        lambda: model.generate([[]], 1),
        lambda: model.generate([[1]], huge),
        lambda: model.generate([[1]], 4, temperature=float("nan")),
        lambda: model.generate([[1]], 4, top_k=-1),
        lambda: model.save(Path("/proc/no/such/place")),
        lambda: nn_rs.MoETransformer.load(tmp_path, cpu),
        lambda: nn_rs.GpuTrainer(model, 1, 4),
        lambda: nn_rs.GpuTrainer(trained, huge, 0, 4),
        lambda: nn_rs.GpuTrainer(trained, huge, huge, huge),
        lambda: trainer.step(step[:, :, :2], step, 1e-3),
        lambda: trainer.step(step - 1, step, 1e-3),
        lambda: tensor(empty).matmul(tensor(one)),
        lambda: tensor(one).add(tensor(empty)),
        lambda: tensor(np.ones((2, 3), np.float32)).rmsnorm(tensor(one)),
    ):
        with pytest.raises(Exception):  # noqa: B017  whatever it is, it must not be a panic
            call()
    assert tensor(empty).softmax().numpy().shape == (0, 4)
    assert tensor(np.array(2, np.float32)).silu().numpy().shape == ()


@pytest.mark.parametrize("same_model", [True, False], ids=["one-model", "two-models-of-a-device"])
def test_threads_take_turns(cpu: nn_rs.Backend, same_model: bool) -> None:
    """The calls of several threads on one model, or one device, give the bits that each gives alone."""
    models = [nn_rs.MoETransformer.tiny(cpu, seed=1) for _ in range(1 if same_model else 2)]
    sequences = [[(7 * i + 13 * j) % 1000 for j in range(64)] for i in range(4)]
    want = [models[0].forward_ids(ids, 1, 64).tobytes() for ids in sequences]
    want_ids = models[0].generate([sequences[0][:8]], 4)
    assert len(set(want)) == len(want)
    start = threading.Barrier(len(sequences))
    wrong: list[str] = []

    def run(number: int) -> None:
        try:
            model = models[number % len(models)]
            start.wait()
            for _ in range(10):
                if model.forward_ids(sequences[number], 1, 64).tobytes() != want[number]:
                    wrong.append(f"thread {number}: other bits")
                if model.generate([sequences[0][:8]], 4) != want_ids:
                    wrong.append(f"thread {number}: other tokens")
        except BaseException as error:  # a thread's exception would be lost
            wrong.append(f"thread {number}: {error!r}")

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(sequences))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
