"""The model against an independent implementation: logits, every gradient, a training run, greedy decoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from devices import available_devices
from numpy.typing import NDArray

from nn.cuda import open_backend
from nn.model.checkpoint import load_checkpoint
from nn.model.generate import generate
from nn.model.safetensors import SafetensorsFile
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend
from nn.tensor.dtype import DType
from nn.train.adamw import AdamWConfig
from nn.train.gpu_trainer import GpuTrainer

GOLDEN = Path(__file__).parents[2] / "cuda" / "vectors" / "golden"
CASES = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


@pytest.fixture(params=available_devices())
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with open_backend(request.param) as backend:
        yield backend


class Case:
    """A golden folder, its model in f32 on a backend, and its batch."""

    def __init__(self, name: str, backend: Backend, training: bool = False, recompute: bool = False) -> None:
        self.folder = GOLDEN / name
        self.golden = SafetensorsFile(self.folder / "golden.safetensors")
        self.model = MoETransformer.load(self.folder, backend, DType.F32, training, recompute)
        self.ids = self.golden.array("input_ids")
        self.targets = self.golden.array("target_ids")
        self.batch, self.seq_len = self.ids.shape

    def trainer(self, aux_coef: float = 0.0) -> GpuTrainer:
        object.__setattr__(self.model.config, "aux_coef", aux_coef)
        object.__setattr__(self.model.config, "z_coef", 0.0)
        return GpuTrainer(self.model, self.batch, self.seq_len, optimizer=AdamWConfig(weight_decay=0.1))

    def batch_of(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        return values.reshape(1, self.batch, self.seq_len)


def relative(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    """Frobenius norm of the difference over that of the truth."""
    difference = got.astype(np.float64) - want.astype(np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(want.astype(np.float64)))


@pytest.mark.parametrize("name", CASES)
def test_logits(name: str, backend: Backend) -> None:
    case = Case(name, backend)
    want = case.golden.array("logits")
    got = case.model.forward_ids(case.ids.reshape(-1).tolist(), case.batch, case.seq_len)
    error = np.abs(got.astype(np.float64) - want).max()
    assert error <= 2e-5 * np.abs(want).max(), f"{name}: largest error {error}"


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str, recompute: bool, backend: Backend) -> None:
    case = Case(name, backend, training=True, recompute=recompute)
    trainer = case.trainer()
    trainer.load(case.batch_of(case.ids), case.batch_of(case.targets))
    trainer.forward_backward()
    losses = trainer.losses()
    gradients = case.model.weights.gradients
    assert gradients is not None
    assert losses.cross_entropy == pytest.approx(float(case.golden.array("loss_ce")[0]), rel=1e-5)
    assert losses.balance == pytest.approx(float(case.golden.array("loss_aux")[0]), rel=1e-5)
    for spec in case.model.weights.specs:
        got = case.model.weights.fetch_from(gradients, spec.name)
        error = relative(got, case.golden.array("grad." + spec.name))
        assert error <= 1e-4, f"{name}: gradient of {spec.name} is off by {error}"


@pytest.mark.parametrize("name", CASES)
def test_auxiliary_gradients(name: str, backend: Backend) -> None:
    case = Case(name, backend, training=True)
    trainer = case.trainer(aux_coef=0.01)
    trainer.load(case.batch_of(case.ids), case.batch_of(case.targets))
    trainer.forward_backward()
    gradients = case.model.weights.gradients
    assert gradients is not None
    names = [key.removeprefix("grad_with_aux.") for key in case.golden.tensors if key.startswith("grad_with_aux.")]
    assert len(names) == case.model.config.n_layers + 1
    for tensor in names:
        got = case.model.weights.fetch_from(gradients, tensor)
        error = relative(got, case.golden.array("grad_with_aux." + tensor))
        assert error <= 1e-4, f"{name}: gradient of {tensor} is off by {error}"


def training_run(name: str, backend: Backend, perturbation: int | None = None) -> tuple[list[float], list[float]]:
    """Losses before each of six steps, and gradient norms; with weights moved by about one rounding."""
    case = Case(name, backend, training=True)
    trainer = case.trainer()
    if perturbation is not None:
        weights = backend.download(case.model.weights.values)
        noise = np.random.default_rng(perturbation).standard_normal(weights.shape)
        moved = (weights * (1.0 + np.finfo(np.float32).eps * noise)).astype(np.float32)
        backend.upload(case.model.weights.values, moved)
    losses, norms = [], []
    for _ in range(6):
        loss = trainer.step(case.batch_of(case.ids), case.batch_of(case.targets), 1e-3)
        losses.append(loss.cross_entropy)
        norms.append(trainer.grad_norm())
    case.model.close()
    return losses, norms


@pytest.mark.parametrize("name", CASES)
def test_training_run(name: str, backend: Backend) -> None:
    """Losses and norms within 1e-5, or within what one rounding of the weights does to them.

    AdamW's first steps are lr g / (|g| + eps), so an element whose gradient is near eps moves by a share of lr that the
    last bit decides; a float64 run of the same steps is off from the golden one by as much.
    """
    golden = SafetensorsFile(GOLDEN / name / "golden.safetensors")
    runs = [training_run(name, backend, perturbation) for perturbation in (None, 0, 1, 2, 3)]
    for what, key in enumerate(("train_losses", "train_grad_norms")):
        for step, truth in enumerate(golden.array(key).tolist()):
            got = runs[0][what][step]
            bound = max(1e-5 * truth, 2.0 * max(abs(run[what][step] - got) for run in runs[1:]))
            assert bound <= 2e-3 * truth, f"{name}: {key}[{step}] is too sensitive to mean anything"
            assert abs(got - truth) <= bound, f"{name}: {key}[{step}] is {got}, expected {truth} within {bound}"


@pytest.mark.parametrize("name", CASES)
def test_greedy(name: str, backend: Backend) -> None:
    case = Case(name, backend)
    prompt = case.ids[0, :8].tolist()
    want = case.golden.array("greedy_ids").reshape(-1).tolist()
    assert want[:8] == prompt
    assert generate(case.model, [prompt], len(want) - 8, stop_at_eos=False) == [want[8:]]


@pytest.mark.parametrize("name", CASES)
def test_saved_again_is_the_same(name: str, backend: Backend, tmp_path: Path) -> None:
    model = MoETransformer.load(GOLDEN / name, backend)
    model.save(tmp_path / "saved")
    first, second = load_checkpoint(GOLDEN / name), load_checkpoint(tmp_path / "saved")
    assert first.config == second.config
    assert sorted(first.dtypes) == sorted(second.dtypes)
    for tensor, dtype in first.dtypes.items():
        assert second.dtypes[tensor] == dtype
        np.testing.assert_array_equal(first.array(tensor), second.array(tensor))
