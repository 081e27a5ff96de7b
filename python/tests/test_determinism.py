"""The determinism contract on the library's cpu device: threads, batches, chunks, instruction sets."""

from __future__ import annotations

import numpy as np
import pytest
from devices import available_devices
from numpy.typing import NDArray

from nn.cuda import open_backend
from nn.errors import NNError
from nn.model.config import MoEConfig
from nn.model.generate import Sampling, generate
from nn.model.kv_cache import KVCache
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Backend
from nn.tensor.dtype import DType
from nn.train.gpu_trainer import GpuTrainer

pytestmark = pytest.mark.skipif("cpu" not in available_devices(), reason="the library is not built")

CONFIG = MoEConfig(
    vocab_size=307, hidden_size=48, n_layers=2, n_heads=6, n_kv_heads=2, head_dim=10,
    n_experts=5, top_k=3, ffn_size=40, max_positions=700,
)  # fmt: skip
"""Nothing is a multiple of a vector or of a block."""


def ids_of(count: int, seed: int = 7) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, CONFIG.vocab_size, count, dtype=np.int32)


def train_bits(threads: int, isa: str | None, dtype: DType = DType.F32, recompute: bool = False) -> list[bytes]:
    """Weights, gradients, moments and losses after three steps."""
    with open_backend("cpu", threads=threads, isa=isa) as backend:
        model = MoETransformer(CONFIG, backend, dtype, training=True, recompute=recompute, seed=3)
        trainer = GpuTrainer(model, 3, 37, 2)
        losses = []
        for step in range(3):
            ids = ids_of(2 * 3 * 37, step).reshape(2, 3, 37)
            loss = trainer.step(ids, np.roll(ids, -1, axis=2), 1e-2)
            losses.append([loss.cross_entropy, loss.balance, loss.z, trainer.grad_norm()])
        gradients = model.weights.gradients
        assert gradients is not None
        buffers = [model.weights.values, gradients, trainer.optimizer.m, trainer.optimizer.v]
        return [backend.download(buffer).tobytes() for buffer in buffers] + [np.asarray(losses).tobytes()]


def isas() -> list[str]:
    found = []
    for isa in ("scalar", "avx2", "avx512"):
        try:
            open_backend("cpu", threads=1, isa=isa).close()
        except NNError:
            continue
        found.append(isa)
    return found


@pytest.mark.parametrize("dtype", [DType.F32, DType.BF16])
def test_thread_counts_give_the_same_bits(dtype: DType) -> None:
    one = train_bits(1, None, dtype)
    for threads in (2, 7):
        assert train_bits(threads, None, dtype) == one, f"{threads} threads differ from one"


def test_instruction_sets_give_the_same_bits() -> None:
    found = isas()
    assert found[0] == "scalar"
    first = train_bits(2, found[0])
    for isa in found[1:]:
        assert train_bits(2, isa) == first, f"{isa} differs from {found[0]}"


def test_recompute_gives_the_same_bits() -> None:
    assert train_bits(2, None, recompute=True) == train_bits(2, None)


def logits(backend: Backend, rows: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    model = MoETransformer(CONFIG, backend, seed=5)
    return model.forward_ids(np.concatenate(rows).tolist(), len(rows), len(rows[0]))


def test_a_sequence_alone_and_inside_batches() -> None:
    with open_backend("cpu") as backend:
        mine = ids_of(130)
        alone = logits(backend, [mine])[0]
        for slot in range(3):
            rows = [ids_of(130, 20 + i) for i in range(3)]
            rows[slot] = mine
            np.testing.assert_array_equal(logits(backend, rows)[slot], alone)


@pytest.mark.parametrize("dtype", [DType.F32, DType.BF16])
@pytest.mark.parametrize("chunks", [[600], [64] * 9 + [24], [1, 63, 65, 471], [512, 88], [599, 1], [7] * 85 + [5]])
def test_cached_forward_in_chunks_equals_the_full_forward(chunks: list[int], dtype: DType) -> None:
    total = sum(chunks)
    ids = ids_of(total)
    with open_backend("cpu") as backend:
        model = MoETransformer(CONFIG, backend, dtype, seed=5)
        full = model.forward_ids(ids.tolist(), 1, total)[0]
        cache = KVCache(backend, CONFIG, dtype, 1, total)
        start = 0
        for new_len in chunks:
            positions = np.arange(start, start + new_len, dtype=np.int32)
            backend.upload(cache.positions, positions[:1])
            part = model.forward_cached(
                backend.from_numpy(ids[start : start + new_len]), backend.from_numpy(positions), cache, new_len
            )
            got = backend.download(part, 0, new_len * CONFIG.vocab_size).reshape(new_len, -1)
            np.testing.assert_array_equal(got, full[start : start + new_len])
            start += new_len


def test_token_by_token_decode_equals_the_full_forward() -> None:
    ids = ids_of(140)
    with open_backend("cpu") as backend:
        model = MoETransformer(CONFIG, backend, seed=5)
        full = model.forward_ids(ids.tolist(), 1, len(ids))[0]
        cache = KVCache(backend, CONFIG, DType.F32, 1, len(ids))
        for position in range(len(ids)):
            at = np.asarray([position], dtype=np.int32)
            backend.upload(cache.positions, at)
            row = model.forward_cached(backend.from_numpy(ids[position : position + 1]), cache.positions, cache, 1)
            np.testing.assert_array_equal(backend.download(row, 0, CONFIG.vocab_size), full[position])


def test_sampling_does_not_depend_on_the_slot() -> None:
    """Sequence i of a batch is sample number i: alone under that number it gets the same tokens."""
    from nn.model.generate import Generator

    prompts = [ids_of(n, n).tolist() for n in (3, 70, 12)]
    sampling = Sampling(temperature=0.9, top_k=50, top_p=0.9, seed=11)
    with open_backend("cpu") as backend:
        model = MoETransformer(CONFIG, backend, seed=5)
        together = generate(model, prompts, 20, sampling, stop_at_eos=False)
        for number, prompt in enumerate(prompts):
            alone = Generator(model, [prompt], 20, sampling, first_sample=number, stop_at_eos=False)
            tokens = [step[0] for step in alone]
            alone.close()
            assert tokens == together[number]


def test_a_captured_step_gives_the_bits_of_direct_calls() -> None:
    def run(capture: bool) -> list[bytes]:
        with open_backend("cpu") as backend:
            model = MoETransformer(CONFIG, backend, training=True, seed=3)
            trainer = GpuTrainer(model, 2, 33, capture=capture)
            for step in range(4):
                ids = ids_of(66, step).reshape(1, 2, 33)
                trainer.step(ids, np.roll(ids, -1, axis=2), 1e-2)
            return [backend.download(b).tobytes() for b in (model.weights.values, trainer.optimizer.v)]

    assert run(True) == run(False)
