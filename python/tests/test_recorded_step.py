"""A recorded step stays true whatever is run between two launches."""

from __future__ import annotations

import numpy as np
import pytest
from devices import available_devices

from nn.cuda import open_backend
from nn.errors import NNError
from nn.model.config import MoEConfig
from nn.model.recorded_step import RecordedStep
from nn.model.transformer import MoETransformer
from nn.tensor.dtype import DType
from nn.train.gpu_trainer import GpuTrainer

CONFIG = MoEConfig(
    vocab_size=50, hidden_size=16, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=8,
    n_experts=3, top_k=2, ffn_size=8, max_positions=32,
)  # fmt: skip
DEVICES = [device for device in ("reference", "cpu") if device in available_devices()]


@pytest.mark.parametrize("device", DEVICES)
def test_another_shape_in_between_changes_no_training_step(device: str) -> None:
    """The positions of another batch lie in the same buffer."""
    ids = np.arange(48, dtype=np.int32).reshape(1, 2, 24)
    losses = []
    for disturbed in (False, True):
        with open_backend(device) as backend:
            model = MoETransformer(CONFIG, backend, training=True)
            trainer = GpuTrainer(model, 2, 24)
            run = []
            for _ in range(6):
                run.append(trainer.step(ids, np.roll(ids, -1, axis=2), 1e-2).cross_entropy)
                if disturbed:
                    model.forward_ids([1, 2, 3, 4, 5, 6], batch=3, seq_len=2)
            losses.append(run)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("sizes", [(0, 4, 1), (1, 0, 1), (1, 4, 0), (-1, -4, 1), (0, 33, 1)])
def test_a_step_without_tokens_is_refused(sizes: tuple[int, int, int]) -> None:
    with open_backend("reference") as backend:
        model = MoETransformer(CONFIG, backend, training=True)
        with pytest.raises(NNError) as caught:
            GpuTrainer(model, *sizes)
        assert caught.value.key == "no_ids"


@pytest.mark.parametrize("device", DEVICES)
def test_a_recording_that_failed_is_not_launched(device: str) -> None:
    with open_backend(device) as backend:
        model = MoETransformer(CONFIG, backend)
        value = backend.buffer(DType.F32, 1)
        fail = False

        def run() -> None:
            backend.fill(value, 1, 1.0)
            if fail:
                raise RuntimeError
            backend.fill(value, 1, 2.0)

        step = RecordedStep(backend, model, run)
        step.run()
        fail = True
        with pytest.raises(RuntimeError):
            step.run()
        fail = False
        step.run()
        assert backend.download(value)[0] == 2.0
        step.close()


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_of_another_size_is_refused(device: str) -> None:
    """It would train on what an earlier step left behind."""
    with open_backend(device) as backend:
        trainer = GpuTrainer(MoETransformer(CONFIG, backend, training=True), 2, 4, micro_batches=2)
        whole = np.zeros((2, 2, 4), dtype=np.int32)
        trainer.step(whole, whole, 1e-3)
        for ids, targets in ((whole[:1], whole), (whole, whole[:1])):
            with pytest.raises(NNError, match=r"^8 token ids, expected batch x seq_len = 4 x 4$"):
                trainer.step(ids, targets, 1e-3)
