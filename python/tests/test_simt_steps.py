"""Recorded steps on simt, the CUDA kernels executed on the host: the losses and tokens of the cpu device, and nothing
that crosses to the device and back between two steps."""

from __future__ import annotations

import numpy as np
import pytest
from devices import available_devices
from numpy.typing import NDArray

from nn.cuda import open_backend
from nn.model.config import preset
from nn.model.generate import GREEDY, Generator, Sampling
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Buffer
from nn.tensor.dtype import Array, DType
from nn.train.gpu_trainer import GpuTrainer

pytestmark = pytest.mark.skipif(
    not {"cpu", "simt"} <= set(available_devices()), reason="the library that executes CUDA kernels is not built"
)

CONFIG = preset("tiny")
BATCH, SEQ, STEPS = 2, 16, 4
PROMPTS = [[1, 5, 9, 4, 7], [1, 8], [1, 3, 2, 2]]
NEW = 6


def train(device: str, dtype: DType, seed: int = 3) -> NDArray[np.float64]:
    """Losses and gradient norms of some steps; the first runs, the second is recorded, the rest are launches."""
    with open_backend(device) as backend:
        trainer = GpuTrainer(MoETransformer(CONFIG, backend, dtype, training=True, seed=seed), BATCH, SEQ)
        rows = []
        for step in range(STEPS):
            ids = np.random.default_rng(step).integers(0, CONFIG.vocab_size, (1, BATCH, SEQ), dtype=np.int32)
            loss = trainer.step(ids, np.roll(ids, -1, axis=2), 1e-3)
            rows.append([loss.cross_entropy, loss.balance, loss.z, trainer.grad_norm()])
        return np.asarray(rows)


def test_tiny_trains_to_the_bits_of_cpu_in_f32() -> None:
    np.testing.assert_array_equal(train("simt", DType.F32), train("cpu", DType.F32))


def test_tiny_trains_to_the_losses_of_cpu_in_bf16() -> None:
    """Products of 16-bit operands have their device's order, so the losses differ by rounding, term by term.

    A rounding to bf16 moves a value by at most u = 2^-8 of itself, u/sqrt(3) in the root mean square. Both
    operands of a product are rounded in each of the 2 n_layers + 3 stages from embedding to logits, so a logit
    moves by sqrt(2 (2 n_layers + 3)) of that; logits of a fresh model have the root mean square 0.02
    sqrt(hidden_size) (a norm's output of size 1 times weights of 0.02). A token's loss moves with its target's
    logit, the mean over N tokens by 1/sqrt(N) of that. c = 4.
    """
    simt, cpu = train("simt", DType.BF16)[:, 0], train("cpu", DType.BF16)[:, 0]
    logit = 0.02 * CONFIG.hidden_size**0.5
    bound = 4 * (2 * (2 * CONFIG.n_layers + 3) / (BATCH * SEQ)) ** 0.5 * logit * 2.0**-8 / 3**0.5
    assert np.all(np.abs(simt - cpu) <= bound), f"losses {simt} and {cpu} differ by more than {bound:.3g}"


def decode(device: str, sampling: Sampling) -> tuple[NDArray[np.int32], list[NDArray[np.int32]]]:
    """The last tokens after NEW steps in which the host neither wrote nor read device memory, then the tokens
    of a second generator that is read after every step."""
    with open_backend(device) as backend:
        model = MoETransformer(CONFIG, backend, seed=5)
        generator = Generator(model, PROMPTS, NEW, sampling, stop_at_eos=False)
        generator.prefill()

        crossed: list[str] = []
        upload, download = backend.upload, backend.download

        def noted_upload(buffer: Buffer, array: Array, offset: int = 0) -> None:
            crossed.append("upload")
            upload(buffer, array, offset)

        def noted_download(buffer: Buffer, offset: int = 0, count: int | None = None) -> Array:
            crossed.append("download")
            return download(buffer, offset, count)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backend, "upload", noted_upload)
            patch.setattr(backend, "download", noted_download)
            for _ in range(NEW):
                generator._step.run()
        assert crossed == [], f"{device}: a decode step moved data: {crossed}"
        last = backend.download(generator.ids)
        positions = backend.download(generator.cache.positions)
        np.testing.assert_array_equal(positions, [len(prompt) - 1 + NEW for prompt in PROMPTS])

        read = Generator(model, PROMPTS, NEW, sampling, stop_at_eos=False)
        tokens = [np.asarray(step, dtype=np.int32) for step in read]
        return last, tokens


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.8, top_k=50, top_p=0.9, seed=11)])
def test_tokens_stay_on_the_device_between_decode_steps(sampling: Sampling) -> None:
    last, tokens = decode("simt", sampling)
    np.testing.assert_array_equal(last, tokens[-1])
    cpu_last, cpu_tokens = decode("cpu", sampling)
    np.testing.assert_array_equal(last, cpu_last)
    np.testing.assert_array_equal(tokens, cpu_tokens)
