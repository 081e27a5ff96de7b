"""The whole model: embedding, blocks, final norm, LM head, and their backward, as one fixed sequence of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nn import messages
from nn.layers.embedding import Embedding
from nn.layers.linear import Linear
from nn.layers.rmsnorm import RMSNorm
from nn.layers.swiglu import SwiGLU
from nn.layers.workspace import Workspace
from nn.model.attention import MQAttention
from nn.model.block import TransformerBlock
from nn.model.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from nn.model.config import MoEConfig, preset
from nn.model.kv_cache import KVCache
from nn.model.moe import MoELayer
from nn.model.rope import RopeTables
from nn.model.router import Router, Routing
from nn.model.weights import Weights
from nn.tensor.backend import Backend, Buffer
from nn.tensor.dtype import DType


class MoETransformer:
    """logits = head(norm(block_L(... block_1(embedding(ids))))).

    A model is made either for inference, where blocks share their activations, or for training, where each block
    keeps its own, or only its input when `recompute` is set and forward runs again inside backward.
    """

    def __init__(
        self,
        config: MoEConfig,
        backend: Backend | None = None,
        dtype: DType = DType.F32,
        training: bool = False,
        recompute: bool = False,
        seed: int | None = 0,
    ) -> None:
        """Fresh weights from `seed`, or zeros to be loaded over when it is None; on device "auto" by default.

        Errors: those of `MoEConfig.validate`; quantized_weights when a quantized model is to be trained.
        """
        config.validate()
        if training:
            config.require_float()
        if backend is None:
            from nn.cuda import open_backend

            backend = open_backend()
        self.config = config
        self.backend = backend
        self.dtype = dtype
        self.training = training
        self.recompute = recompute
        self.weights = Weights(backend, config, dtype, training)
        if seed is not None:
            self.weights.initialise(seed)
        self.scratch = Workspace(backend)
        self.rope = RopeTables(backend, config)
        self.balance_loss = backend.buffer(DType.F32, 1)
        self.z_loss = backend.buffer(DType.F32, 1)
        shared = Workspace(backend)
        per_block = training and not recompute
        self.saved = [Workspace(backend) if per_block else shared for _ in range(config.n_layers)]
        w = self.weights
        self.embedding = Embedding(backend, w.parameter("model.embed_tokens.weight"))
        self.blocks = [self._block(layer) for layer in range(config.n_layers)]
        self.norm = RMSNorm(backend, w.parameter("model.norm.weight"), config.rms_norm_eps, self.scratch, "final_norm")
        self.head = Linear(backend, w.parameter("lm_head.weight"))
        self._positions_shape = (0, 0)
        self._positions_version = 0
        self._ids: Buffer | None = None

    @staticmethod
    def tiny(backend: Backend | None = None, seed: int = 0) -> MoETransformer:
        """The preset `tiny`, for inference."""
        return MoETransformer(preset("tiny"), backend, seed=seed)

    @staticmethod
    def small(backend: Backend | None = None, seed: int = 0) -> MoETransformer:
        """The preset `small`, for inference."""
        return MoETransformer(preset("small"), backend, seed=seed)

    @staticmethod
    def load(
        path: str | Path,
        backend: Backend | None = None,
        dtype: DType | None = None,
        training: bool = False,
        recompute: bool = False,
        ntk_alpha: float | None = None,
    ) -> MoETransformer:
        """The model of a Mixtral folder, in its stored dtype or in `dtype`; quantized weights stay quantized.

        Errors: those of load_checkpoint; quantized_weights when it is to be trained.
        """
        checkpoint = load_checkpoint(path)
        if training:
            checkpoint.config.require_float(checkpoint.path)
        config = checkpoint.config if ntk_alpha is None else checkpoint.config.with_ntk_alpha(ntk_alpha)
        if dtype is None:
            dtype = DType[config.dtype.upper()]
        model = MoETransformer(config, backend, dtype, training, recompute, seed=None)
        model.weights.load(checkpoint)
        return model

    def save(self, path: str | Path, tokenizer: bytes | None = None, training: TrainingState | None = None) -> None:
        """Writes a Mixtral folder, whole or not at all. Errors: disk_full, cannot_write."""
        config = self.config.with_dtype(self.dtype.label)
        save_checkpoint(path, config, self.weights.fetch, tokenizer=tokenizer, training=training)

    def forward_ids(self, ids: Sequence[int], batch: int, seq_len: int) -> NDArray[np.float32]:
        """Logits [batch, seq_len, vocab_size] on the host for batch sequences of seq_len ids.

        Errors: no_ids, ids_wrong_count, sequence_too_long, id_out_of_range.
        """
        self.check_ids(ids, batch, seq_len)
        buffer = self.scratch.get("model.ids", len(ids), DType.I32)
        self.backend.upload(buffer, np.asarray(ids, dtype=np.int32))
        logits = self.forward(buffer, batch, seq_len)
        n, v = batch * seq_len, self.config.vocab_size
        values: NDArray[np.float32] = self.backend.download(logits, 0, n * v)
        return values.reshape(batch, seq_len, v)

    def check_ids(self, ids: Sequence[int], batch: int, seq_len: int) -> None:
        """The errors of `forward_ids`, before anything runs."""
        if len(ids) == 0 or batch < 1 or seq_len < 1:
            raise messages.no_ids()
        if len(ids) != batch * seq_len:
            raise messages.ids_wrong_count(found=len(ids), batch=batch, seq_len=seq_len)
        if seq_len > self.config.context:
            raise messages.sequence_too_long(found=seq_len, limit=self.config.context)
        for position, id in enumerate(ids):
            if not 0 <= id < self.config.vocab_size:
                raise messages.id_out_of_range(id=int(id), position=position, largest=self.config.vocab_size - 1)

    def forward(
        self, ids: Buffer, batch: int, seq_len: int, observe: Callable[[int, Routing], None] | None = None
    ) -> Buffer:
        """Logits [batch seq_len, vocab_size] f32 on the device; ids [batch seq_len] i32. In training the routers'
        two losses are added to `balance_loss` and `z_loss`. `observe` sees each layer's routing as it is made."""
        tokens = batch * seq_len
        self._ids = ids
        positions = self.positions(batch, seq_len)
        self.embedding.forward(self._hidden(0, tokens), ids, tokens)
        for layer, block in enumerate(self.blocks):
            block.forward(self._hidden(layer + 1, tokens), self._hidden(layer, tokens), positions, batch, seq_len)
            if self.training:
                block.moe.router.losses(self.balance_loss, self.z_loss, tokens)
            if observe is not None:
                observe(layer, block.moe.router.routing(tokens))
        return self._logits(self._hidden(len(self.blocks), tokens), tokens)

    def extend(self, ids: Buffer, positions: Buffer, cache: KVCache, new_len: int) -> Buffer:
        """Runs `new_len` new tokens of each sequence of the cache, which keeps their keys and values, and returns their
        last hidden states [batch new_len, hidden_size]. ids, positions [batch new_len] i32: positions are the tokens'
        own, cache.positions where each sequence's new tokens begin, cache.lengths how many of them exist."""
        tokens = cache.batch * new_len
        self.embedding.forward(self._hidden(0, tokens), ids, tokens)
        for layer, block in enumerate(self.blocks):
            block.forward_cached(
                self._hidden(layer + 1, tokens), self._hidden(layer, tokens), positions, cache, layer, new_len
            )
        return self._hidden(len(self.blocks), tokens)

    def forward_cached(self, ids: Buffer, positions: Buffer, cache: KVCache, new_len: int) -> Buffer:
        """`extend`, then the logits [batch new_len, vocab_size]: the same bits as `forward` of the whole sequences."""
        return self._logits(self.extend(ids, positions, cache, new_len), cache.batch * new_len)

    def backward(self, dlogits: Buffer, batch: int, seq_len: int, micro_batches: int = 1) -> None:
        """Accumulates every weight's gradient from dlogits [batch seq_len, vocab_size], after `forward` of the same
        shape. The routers' losses enter with aux_coef and z_coef over n_layers micro_batches."""
        if not self.training or self._ids is None:
            raise messages.not_training()
        tokens = batch * seq_len
        positions = self.positions(batch, seq_len)
        share = float(len(self.blocks) * micro_batches)
        balance_coef, z_coef = self.config.aux_coef / share, self.config.z_coef / share
        dy = self.scratch.get("model.dhidden", tokens * self.config.hidden_size)
        dnormed = self.scratch.get("model.dnormed", tokens * self.config.hidden_size)
        normed = self.scratch.get("final_norm.y", tokens * self.config.hidden_size)
        self.head.backward(dnormed, dlogits, normed, tokens)
        self.norm.backward(dy, dnormed, self._hidden(len(self.blocks), tokens), tokens)
        for layer in reversed(range(len(self.blocks))):
            block, x = self.blocks[layer], self._hidden(layer, tokens)
            if self.recompute:
                again = self.scratch.get("model.recomputed", tokens * self.config.hidden_size)
                block.forward(again, x, positions, batch, seq_len)
                block.moe.router.fractions(tokens)
            block.backward(dy, dy, x, positions, batch, seq_len, balance_coef, z_coef)
        self.embedding.backward(dy, self._ids, tokens)

    def positions(self, batch: int, seq_len: int) -> Buffer:
        """0 .. seq_len-1 for every sequence, [batch seq_len] i32."""
        buffer = self.scratch.get("model.positions", batch * seq_len, DType.I32)
        if self._positions_shape != (batch, seq_len):
            self.backend.upload(buffer, np.tile(np.arange(seq_len, dtype=np.int32), batch))
            self._positions_shape = (batch, seq_len)
            self._positions_version += 1
        return buffer

    def workspace_version(self) -> int:
        """Changes when a buffer of the activations was replaced or holds the positions of another shape; a graph
        recorded before must be recorded again."""
        version = self.scratch.version + self._positions_version
        for saved in self.saved:
            version += saved.version
        return version

    def close(self) -> None:
        """Releases the model's device memory."""
        for workspace in [self.scratch, *self.saved]:
            workspace.close()
        self.rope.close()
        self.weights.close()
        self.balance_loss.close()
        self.z_loss.close()

    def _hidden(self, layer: int, tokens: int) -> Buffer:
        """The input of a block: kept for each in training, two in turn otherwise."""
        index = layer if self.training else layer % 2
        return self.scratch.get(f"model.hidden.{index}", tokens * self.config.hidden_size)

    def _logits(self, x: Buffer, tokens: int) -> Buffer:
        logits = self.scratch.get("model.logits", tokens * self.config.vocab_size)
        self.head.forward(logits, self.norm.forward(x, tokens), tokens)
        return logits

    def _block(self, layer: int) -> TransformerBlock:
        be, c, w, saved, scratch = self.backend, self.config, self.weights, self.saved[layer], self.scratch
        at = f"model.layers.{layer}."
        q, k, v, o = (Linear(be, w.parameter(f"{at}self_attn.{name}_proj.weight")) for name in "qkvo")
        gate = Linear(be, w.parameter(at + "block_sparse_moe.gate.weight"))
        w1, w3, w2 = w.experts(layer)
        eps = c.rms_norm_eps
        return TransformerBlock(
            RMSNorm(be, w.parameter(at + "input_layernorm.weight"), eps, saved, "input_norm"),
            MQAttention(be, c, q, k, v, o, self.rope, self.dtype, saved, scratch),
            RMSNorm(be, w.parameter(at + "post_attention_layernorm.weight"), eps, saved, "post_attention_norm"),
            MoELayer(
                be, c, Router(be, c, gate, saved, scratch), SwiGLU(be, w1, w3, w2, saved, scratch), saved, scratch
            ),
        )
