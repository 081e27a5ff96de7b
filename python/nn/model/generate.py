"""Generation with a key/value cache: prompts in, one token per sequence and step out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nn import messages
from nn.model.kv_cache import KVCache
from nn.model.recorded_step import RecordedStep
from nn.model.transformer import MoETransformer
from nn.tensor.backend import Buffer
from nn.tensor.dtype import DType

PREFILL_CHUNK = 512
"""Prompt tokens per sequence that run at once; any chunking gives the same bits."""


@dataclass(frozen=True)
class Sampling:
    """Temperature, then top-k (0: all), then top-p (1: all). Temperature 0 takes the most likely token.

    A draw belongs to (seed, sample number, position), never to a slot in a batch.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def validate(self) -> Sampling:
        """Errors: usage_bad_value."""
        if not 0.0 <= self.temperature <= 1e6:
            raise messages.usage_bad_value(
                option="--temperature", value=repr(self.temperature), expected="a number of at least 0"
            )
        if not 0 <= self.top_k <= 2**31 - 1:
            raise messages.usage_bad_value(
                option="--top-k", value=str(self.top_k), expected="an integer of at least 0 (0: all)"
            )
        if not 0.0 < self.top_p <= 1.0:
            raise messages.usage_bad_value(
                option="--top-p", value=repr(self.top_p), expected="a number above 0 and at most 1 (1: all)"
            )
        return self


GREEDY = Sampling(temperature=0.0)


class Generator:
    """Decodes a batch of prompts. After prefill every step is the same recorded graph:
    logits of the last tokens, sample, advance."""

    def __init__(
        self,
        model: MoETransformer,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        first_sample: int = 0,
        stop_at_eos: bool = True,
    ) -> None:
        """Sequence b of the batch is sample number first_sample + b.

        Errors: empty_prompt, id_out_of_range, sequence_too_long (a prompt and its new tokens exceed the context).
        """
        sampling.validate()
        longest = check_prompts(model, prompts, max_new_tokens)
        self.model = model
        backend = model.backend
        self.backend = backend
        self.batch = len(prompts)
        self.max_new_tokens = max_new_tokens
        self.eos_id = model.config.eos_id if stop_at_eos else -1
        self.cache = KVCache(backend, model.config, model.dtype, self.batch, longest + max_new_tokens)
        self._prompts = [list(prompt) for prompt in prompts]

        def filled(dtype: DType, values: Sequence[float]) -> Buffer:
            return backend.from_numpy(np.asarray(values, dtype=dtype.storage), dtype)

        b = self.batch
        self.ids = filled(DType.I32, [prompt[-1] for prompt in prompts])
        self.finished = filled(DType.I32, [0] * b)
        self._temperature = filled(DType.F32, [sampling.temperature] * b)
        self._top_k = filled(DType.I32, [sampling.top_k] * b)
        self._top_p = filled(DType.F32, [sampling.top_p] * b)
        self._samples = filled(DType.I64, [first_sample + i for i in range(b)])
        self._seed = filled(DType.I64, [sampling.seed])
        self._step = RecordedStep(backend, model, self._run)
        self._read_ids, self._read_finished = backend.reader(self.ids), backend.reader(self.finished)

    def prefill(self) -> None:
        """Fills the cache with every prompt but its last token, in chunks, shorter prompts ending earlier."""
        known = [len(prompt) - 1 for prompt in self._prompts]
        lengths = self.backend.buffer(DType.I32, self.batch)
        self.cache.lengths = lengths
        for start in range(0, max(known), PREFILL_CHUNK):
            new_len = min(PREFILL_CHUNK, max(known) - start)
            ids = np.zeros((self.batch, new_len), dtype=np.int32)
            positions = np.zeros((self.batch, new_len), dtype=np.int32)
            counts = np.zeros(self.batch, dtype=np.int32)
            for b, prompt in enumerate(self._prompts):
                counts[b] = min(max(known[b] - start, 0), new_len)
                ids[b, : counts[b]] = prompt[start : start + counts[b]]
                positions[b, : counts[b]] = np.arange(start, start + counts[b])
            self.backend.upload(lengths, counts)
            self.backend.upload(self.cache.positions, np.full(self.batch, start, dtype=np.int32))
            scratch = self.model.scratch
            ids_buffer = scratch.get("generate.ids", ids.size, DType.I32)
            positions_buffer = scratch.get("generate.positions", positions.size, DType.I32)
            self.backend.upload(ids_buffer, ids)
            self.backend.upload(positions_buffer, positions)
            self.model.extend(ids_buffer, positions_buffer, self.cache, new_len)
        self.cache.lengths = None
        lengths.close()
        self.backend.upload(self.cache.positions, np.asarray(known, dtype=np.int32))

    def step(self) -> list[int | None]:
        """The next token of each sequence, None for one that has ended (the end token itself is not reported)."""
        self._step.run()
        ids: list[int | None] = self._read_ids().tolist()
        if self.eos_id < 0:  # no token ends a sequence: `finished` stays zero
            return ids
        finished = self._read_finished().tolist()
        return [None if done else id for id, done in zip(ids, finished, strict=True)]

    def __iter__(self) -> Iterator[list[int | None]]:
        """Prefill, then steps until every sequence has ended or max_new_tokens are out."""
        self.prefill()
        for _ in range(self.max_new_tokens):
            tokens = self.step()
            if tokens.count(None) == self.batch:
                return
            yield tokens

    def close(self) -> None:
        """Releases the cache and the state of the batch."""
        self._step.close()
        self.cache.close()
        for buffer in (self.ids, self.finished, self._temperature, self._top_k, self._top_p, self._samples, self._seed):
            buffer.close()

    def _run(self) -> None:
        be, cache, v = self.backend, self.cache, self.model.config.vocab_size
        logits = self.model.forward_cached(self.ids, cache.positions, cache, 1)
        be.sample(
            self.ids,
            logits,
            self._temperature,
            self._top_k,
            self._top_p,
            self._samples,
            cache.positions,
            self._seed,
            self.batch,
            v,
            v,
        )
        be.decode_advance(cache.positions, self.finished, self.ids, self.batch, self.eos_id)


def generate(
    model: MoETransformer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_at_eos: bool = True,
) -> list[list[int]]:
    """The new ids of each prompt. Errors: those of `Generator`."""
    generator = Generator(model, prompts, max_new_tokens, sampling, stop_at_eos=stop_at_eos)
    try:
        out: list[list[int]] = [[] for _ in prompts]
        for tokens in generator:
            for b, token in enumerate(tokens):
                if token is not None:
                    out[b].append(token)
        return out
    finally:
        generator.close()


def check_prompts(model: MoETransformer, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> int:
    """The longest prompt's length. Errors: empty_prompt, id_out_of_range, sequence_too_long."""
    longest = 0
    if len(prompts) == 0:
        raise messages.empty_prompt()
    for prompt in prompts:
        if len(prompt) == 0:
            raise messages.empty_prompt()
        length = len(prompt) + max_new_tokens
        if length > model.config.context:
            raise messages.sequence_too_long(found=length, limit=model.config.context)
        model.check_ids(prompt, 1, len(prompt))
        longest = max(longest, len(prompt))
    return longest
