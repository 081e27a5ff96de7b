"""The determinism contract on one device: the same bits run to run, recorded and called, alone and in a batch, in chunks and
whole, in decode and in full forward, with SwiGLU in the epilogue of its products and by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn.cuda import open_backend
from nn.model.config import MoEConfig
from nn.model.generate import Sampling, generate
from nn.model.kv_cache import KVCache
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Buffer
from nn.tensor.dtype import DType
from nn.train.gpu_trainer import GpuTrainer

ODD = MoEConfig(
    vocab_size=307, hidden_size=48, n_layers=2, n_heads=6, n_kv_heads=2, head_dim=10, n_experts=5, top_k=3, ffn_size=40, max_positions=700
)  # fmt: skip
"""Nothing is a multiple of a vector or of a tile."""
EVEN = MoEConfig(
    vocab_size=512, hidden_size=128, n_layers=2, n_heads=4, n_kv_heads=1, head_dim=64, n_experts=8, top_k=2, ffn_size=256, max_positions=700
)  # fmt: skip
"""Every product takes tensor cores in bf16."""


def ids_of(config: MoEConfig, count: int, seed: int = 7) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, config.vocab_size, count, dtype=np.int32)


def train(device: str, config: MoEConfig, dtype: DType, capture: bool, seq: int) -> list[bytes]:
    """Weights, gradients, moments and losses after three steps."""
    with open_backend(device) as backend:
        model = MoETransformer(config, backend, dtype, training=True, seed=3)
        trainer = GpuTrainer(model, 2, seq, 2, capture=capture)
        losses = []
        for step in range(3):
            ids = ids_of(config, 4 * seq, step).reshape(2, 2, seq)
            loss = trainer.step(ids, np.roll(ids, -1, axis=2), 1e-2)
            losses.append([loss.cross_entropy, loss.balance, loss.z, trainer.grad_norm()])
        gradients = model.weights.gradients
        assert gradients is not None
        buffers = [model.weights.values, gradients, trainer.optimizer.m, trainer.optimizer.v]
        return [backend.download(buffer).tobytes() for buffer in buffers] + [np.asarray(losses).tobytes()]


def alone_and_in_a_batch(device: str, config: MoEConfig, dtype: DType, seq: int) -> bool:
    with open_backend(device) as backend:
        model = MoETransformer(config, backend, dtype, seed=5)
        mine = ids_of(config, seq)
        alone = model.forward_ids(mine.tolist(), 1, seq)[0]
        for slot in range(3):
            rows = [ids_of(config, seq, 20 + i) for i in range(3)]
            rows[slot] = mine
            if not np.array_equal(model.forward_ids(np.concatenate(rows).tolist(), 3, seq)[slot], alone):
                return False
        return True


def chunks_and_whole(device: str, config: MoEConfig, dtype: DType, chunks: list[int]) -> bool:
    total = sum(chunks)
    ids = ids_of(config, total)
    with open_backend(device) as backend:
        model = MoETransformer(config, backend, dtype, seed=5)
        full = model.forward_ids(ids.tolist(), 1, total)[0]
        cache = KVCache(backend, config, dtype, 1, total)
        start = 0
        for new_len in chunks:
            positions = np.arange(start, start + new_len, dtype=np.int32)
            backend.upload(cache.positions, positions[:1])
            part = model.forward_cached(backend.from_numpy(ids[start : start + new_len]), backend.from_numpy(positions), cache, new_len)
            got = backend.download(part, 0, new_len * config.vocab_size).reshape(new_len, -1)
            if not np.array_equal(got, full[start : start + new_len]):
                return False
            start += new_len
        return True


def samples_belong_to_the_sequence(device: str, config: MoEConfig, dtype: DType) -> bool:
    """Sample 0 of a batch is what the same prompt gives alone."""
    sampling = Sampling(temperature=0.9, top_k=40, top_p=0.95, seed=4)
    prompts = [ids_of(config, 5, 1).tolist(), ids_of(config, 9, 2).tolist(), ids_of(config, 2, 3).tolist()]
    with open_backend(device) as backend:
        model = MoETransformer(config, backend, dtype, seed=5)
        together = generate(model, prompts, 8, sampling, stop_at_eos=False)
        return generate(model, prompts[:1], 8, sampling, stop_at_eos=False)[0] == together[0]


def fused_and_composed(device: str, dtype: DType, rows: int, f: int, h: int) -> bool:
    """SwiGLU of experts and its gradient by the fused calls and by the calls that they stand for."""
    rng = np.random.default_rng(rows)
    starts = np.asarray([0, 1, rows // 3, rows // 3, rows], np.int32)
    groups, tokens = len(starts) - 1, rows // 2 + 1
    with open_backend(device) as backend:

        def of(array: NDArray[np.float32]) -> Buffer:
            exact, narrow = backend.from_numpy(array), backend.buffer(dtype, array.size)
            backend.cast(narrow, exact, array.size)
            return narrow

        def same(a: Buffer, b: Buffer) -> bool:
            return backend.download(a).tobytes() == backend.download(b).tobytes()

        x, dy = (of(rng.standard_normal(n * h, np.float32)) for n in (tokens, rows))
        w_gate, w_up, w_down = (of(rng.standard_normal(groups * f * h, np.float32)) for _ in range(3))
        offsets, row_token = backend.from_numpy(starts), backend.from_numpy(rng.integers(0, tokens, rows, np.int32))
        gate, up, dgate, dup, gate2, up2, ds, dgate2, dup2 = (backend.buffer(DType.F32, rows * f) for _ in range(9))
        y, y2, alone = (backend.buffer(dtype, rows * f) for _ in range(3))
        shape = (groups, rows, f, h, tokens, f, h, h, f * h)
        backend.gemm_grouped_swiglu_forward(y, gate, up, x, w_gate, w_up, offsets, row_token, *shape)
        backend.gemm_grouped_swiglu_forward(alone, None, None, x, w_gate, w_up, offsets, row_token, *shape)
        backend.gemm_grouped_swiglu_backward(dgate, dup, dy, w_down, offsets, gate, up, groups, rows, f, h, f, h, f, h * f)
        backend.gemm_grouped_rows(gate2, x, w_gate, offsets, row_token, True, *shape, 0.0)
        backend.gemm_grouped_rows(up2, x, w_up, offsets, row_token, True, *shape, 0.0)
        backend.swiglu_forward(y2, gate2, up2, rows * f)
        backend.gemm_grouped_rows(ds, dy, w_down, offsets, None, False, groups, rows, f, h, rows, f, h, f, h * f, 0.0)
        backend.swiglu_backward(dgate2, dup2, ds, gate2, up2, rows * f)
        return all(same(a, b) for a, b in ((y, y2), (alone, y2), (gate, gate2), (up, up2), (dgate, dgate2), (dup, dup2)))


def check(device: str, small: bool) -> dict[str, Any]:
    """Every check by name; true where the bits are equal."""
    seq = 17 if small else 130
    chunks = [[33], [1, 31, 1]] if small else [[64] * 9 + [24], [1, 63, 65, 471], [512, 88], [599, 1], [7] * 85 + [5]]
    found: dict[str, bool] = {}
    for config_name, config in (("odd", ODD), ("even", EVEN)):
        for dtype in (DType.F32, DType.BF16):
            name = f"{config_name} {dtype.label}"
            first = train(device, config, dtype, True, seq)
            found[f"{name}: run to run"] = train(device, config, dtype, True, seq) == first
            found[f"{name}: recorded and called"] = train(device, config, dtype, False, seq) == first
            found[f"{name}: alone and in a batch"] = alone_and_in_a_batch(device, config, dtype, seq)
            found[f"{name}: chunks and whole"] = all(chunks_and_whole(device, config, dtype, c) for c in chunks)
            found[f"{name}: a sample belongs to its sequence"] = samples_belong_to_the_sequence(device, config, dtype)
    for dtype in (DType.F32, DType.BF16, DType.F16):
        # Tiles of 16, 64 and, where they fill the card, 128 rows; sizes that cp.async takes, and others.
        shapes = [(9, 64, 40), (40, 37, 24)] if small else [(4, 6144, 768), (60, 136, 72), (47, 131, 75), (5000, 1544, 264)]
        found[f"swiglu {dtype.label}: fused and composed"] = all(fused_and_composed(device, dtype, *shape) for shape in shapes)
    for name, equal in found.items():
        print(f"   {name}: {'equal' if equal else 'DIFFERS'}", flush=True)
    return {"passed": all(found.values()), "checks": found}
