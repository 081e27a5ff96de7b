"""The model of a case by llama.cpp, through the calls of its C interface that llama-cpp-python binds: weights and cache
in f32, as the library's, and the likeliest token chosen from the logits."""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from nn.json_fields import Fields
from numpy.typing import NDArray

import gguf_file
from fresh import Floats, fresh, ids, prompts
from peers import Model

QUIET = llama_cpp.llama_log_callback(lambda level, text, data: None)
"""llama.cpp tells of its loading on the error output."""


class Llama:
    """A context with room for `batch` sequences of `capacity` tokens, and one for `tokens` at once."""

    def __init__(self, case: Fields, batch: int, capacity: int, tokens: int, threads: int) -> None:
        llama_cpp.llama_log_set(QUIET, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        given = fresh(case)
        self.vocab_size = given.config.vocab_size
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "model.gguf"
            gguf_file.write(given, path)
            # Mapped, as by default: what is mapped stays when the file's name goes.
            how = llama_cpp.llama_model_default_params()
            self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), how)
        assert self._model, "llama.cpp does not open its own format's file"
        wanted = llama_cpp.llama_context_default_params()
        wanted.n_ctx = batch * capacity
        wanted.n_seq_max = batch
        wanted.n_batch = wanted.n_ubatch = tokens
        wanted.n_threads = wanted.n_threads_batch = threads
        wanted.type_k = wanted.type_v = llama_cpp.GGML_TYPE_F32
        wanted.kv_unified = False
        # Its flash attention rounds to f16 on a processor: logits are then off by 2e-4, without it by 2e-7.
        wanted.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = llama_cpp.llama_init_from_model(self._model, wanted)
        assert self._context, "llama.cpp makes no context of this size"
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(tokens, 0, 1)
        self._tokens, self._positions, self._shown, counts = (
            np.ctypeslib.as_array(getattr(self._batch, name), (tokens,))
            for name in ("token", "pos", "logits", "n_seq_id")
        )
        counts[:] = 1
        self._asked: tuple[int, int, bool] | None = None

    def logits(self, tokens: NDArray[np.int64], start: int, every: bool) -> Floats:
        """Of tokens [batch, new] behind the first `start` of each sequence: [batch, new, vocab_size], or where not
        `every` [batch, vocab_size] of the last. The array is llama.cpp's own and lasts until the next call.

        Raises AssertionError where llama.cpp does not decode.
        """
        sequences, new = tokens.shape
        count = sequences * new
        if self._asked != (sequences, new, every):
            self._asked = (sequences, new, every)
            self._batch.n_tokens = count
            self._shown[:count] = every
            self._shown[new - 1 : count : new] = 1
            for i in range(count):
                self._batch.seq_id[i][0] = i // new
        self._tokens[:count] = tokens.reshape(-1)
        self._positions[:count].reshape(sequences, new)[:] = np.arange(start, start + new)
        status = llama_cpp.llama_decode(self._context, self._batch)
        assert status == 0, f"llama_decode returns {status}"
        shape = (sequences, new, self.vocab_size) if every else (sequences, self.vocab_size)
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), shape)

    def next(self, tokens: NDArray[np.int64], start: int) -> NDArray[np.int64]:
        """The likeliest token behind those of each sequence, [batch, 1]."""
        likeliest: NDArray[np.int64] = self.logits(tokens, start, every=False).argmax(-1)
        return likeliest[:, None]

    def rewind(self, length: int) -> None:
        """Every sequence back to its first `length` tokens."""
        for sequence in range(llama_cpp.llama_n_seq_max(self._context)):
            assert llama_cpp.llama_memory_seq_rm(self._memory, sequence, length, -1), "llama.cpp keeps what it has"


def model(case: Fields, threads: int) -> Model:
    """The work of a case with a model."""
    return {"decode": _decode, "forward": _forward, "prefill": _prefill}[case.string("kind")](case, threads)


def _model(run: Any, dtype: type) -> Model:
    kept: list[Any] = []

    def once() -> None:
        kept[:] = [run()]

    return Model(once, lambda: kept[0].astype(dtype).tobytes())


def _forward(case: Fields, threads: int) -> Model:
    batch, seq = case.integer("batch"), case.integer("seq")
    llama = Llama(case, batch, seq, batch * seq, threads)
    given = ids(case, llama.vocab_size)

    def run() -> Floats:
        llama.rewind(0)
        return llama.logits(given, 0, every=True)

    return _model(run, np.float32)


def _prefill(case: Fields, threads: int) -> Model:
    batch, prompt = case.integer("batch"), case.integer("prompt")
    llama = Llama(case, batch, prompt + 1, batch * prompt, threads)
    given = prompts(case, llama.vocab_size)

    def run() -> NDArray[np.int64]:
        llama.rewind(0)
        return llama.next(given, 0)

    return _model(run, np.int32)


def _decode(case: Fields, threads: int) -> Model:
    batch, prompt, skip, new = (case.integer(name) for name in ("batch", "prompt", "skip", "new"))
    llama = Llama(case, batch, prompt + skip + new, batch * prompt, threads)
    last = llama.next(prompts(case, llama.vocab_size), 0)
    for step in range(1, skip):
        last = llama.next(last, prompt + step - 1)
    begun = prompt + skip - 1

    def run() -> NDArray[np.int64]:
        llama.rewind(begun)
        made = [last]
        for step in range(new):
            made.append(llama.next(made[-1], begun + step))
        return np.concatenate(made[1:], 1)

    return _model(run, np.int32)
