"""nn-py generate: continue a prompt, streaming."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from nn import messages
from nn.cli.app import app
from nn.cli.common import check_seed, common_options, model_tokenizer, open_device, print_result
from nn.cli.options import integer, number, path, text
from nn.json_strict import Json
from nn.model.generate import Generator, Sampling
from nn.model.transformer import MoETransformer
from nn.tokenizer import Tokenizer

DEFAULT_NEW_TOKENS = 128
WINDOW = 32
"""Ids that are decoded again: no character and no decoder's rule reaches further."""


@app.command("generate")
@click.option("--model", type=path, required=True, help="a checkpoint folder")
@click.option("--prompt", type=text, required=True, help="the text to continue")
@click.option("--max-new-tokens", type=integer, help="at most 128, or what the context leaves, by default")
@click.option("--temperature", type=number, default=1.0, help="0: always the most likely token")
@click.option("--top-k", type=integer, default=0, help="only the k most likely tokens, 0: all")
@click.option("--top-p", type=number, default=1.0, help="only the likeliest that sum to p, 1: all")
@common_options("device", "threads", "seed", "ntk_alpha", "as_json", "quiet")
def command(
    model: str,
    prompt: str,
    max_new_tokens: int | None,
    temperature: float,
    top_k: int,
    top_p: float,
    device: str,
    threads: int,
    seed: int,
    ntk_alpha: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Continue a prompt; the text streams, the speed comes at the end."""
    sampling = Sampling(temperature, top_k, top_p, check_seed(seed)).validate()
    if prompt == "":
        raise messages.empty_prompt()
    tokenizer = model_tokenizer(model)
    with open_device(device, threads) as backend:
        loaded = MoETransformer.load(model, backend, ntk_alpha=ntk_alpha)
        ids = [int(id) for id in tokenizer.encode(prompt)]
        generator = Generator(loaded, [ids], new_tokens(max_new_tokens, len(ids), loaded.config.context), sampling)
        stream = TextStream(tokenizer, sys.stdout.write if not as_json else lambda text: None)
        if not as_json and not quiet:
            sys.stdout.write(prompt)
        start = time.monotonic()
        for tokens in generator:
            if tokens[0] is not None:
                stream.add(tokens[0])
                sys.stdout.flush()
        seconds = time.monotonic() - start
        generator.close()
        text = stream.finish()
    speed = len(stream.ids) / max(seconds, 1e-9)
    if as_json:
        ids_made: list[Json] = [*stream.ids]
        print_result(
            {
                "prompt": prompt,
                "text": text,
                "ids": ids_made,
                "tokens": len(ids_made),
                "tokens_per_second": speed,
            },
            as_json,
        )
        return
    print()
    if not quiet:
        print(f"{len(stream.ids)} tokens, {speed:.1f} tokens/s", file=sys.stderr)


def new_tokens(asked: int | None, prompt_len: int, context: int) -> int:
    """How many to make. Errors: usage_bad_value."""
    if asked is None:
        return max(1, min(DEFAULT_NEW_TOKENS, context - prompt_len))
    if asked < 1:
        raise messages.usage_bad_value(option="--max-new-tokens", value=str(asked), expected="an integer of at least 1")
    return asked


class TextStream:
    """Writes the text of a growing list of ids: characters that may still change are held back.

    Only the last ids are decoded again with each new one, so that a long text costs a constant time per token.
    """

    def __init__(self, tokenizer: Tokenizer, write: Callable[[str], object]) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self._write = write
        self._start = 0
        self._written = ""
        """Of the text of ids[_start:]."""

    def add(self, id: int) -> None:
        self.ids.append(id)
        # A character that is not whole yet decodes to U+FFFD at the end; four bytes make any character whole.
        text = self.tokenizer.decode(self.ids[self._start :])
        self._advance(text.rstrip("\ufffd"))
        if len(self.ids) - self._start > 2 * WINDOW and text == self._written:
            self._start = len(self.ids) - WINDOW
            self._written = self.tokenizer.decode(self.ids[self._start :])

    def finish(self) -> str:
        """Writes what was held back, and returns the whole text."""
        self._advance(self.tokenizer.decode(self.ids[self._start :]))
        return self.tokenizer.decode(self.ids)

    def _advance(self, text: str) -> None:
        if len(text) > len(self._written) and text.startswith(self._written):
            self._write(text[len(self._written) :])
            self._written = text
