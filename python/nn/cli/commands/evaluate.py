"""nn-py eval: loss, perplexity and bits per byte of a model on text."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from nn import messages
from nn.cli.app import app
from nn.cli.common import common_options, model_tokenizer, open_device, print_result
from nn.cli.options import integer, path
from nn.cli.progress import ProgressBar
from nn.model.transformer import MoETransformer
from nn.train.data import Tokens, load_data, prepared_of, tokens_of_text
from nn.train.evaluate import evaluate


@app.command("eval")
@click.option("--model", type=path, required=True, help="a checkpoint folder")
@click.option("--data", type=path, required=True, multiple=True, help="a prepared folder (its held-out split), or text")
@click.option("--batch", type=integer, default=8, help="sequences at once")
@click.option("--seq", type=integer, default=0, help="tokens of a sequence, 0: 128 or the context if shorter")
@common_options("device", "threads", "ntk_alpha", "as_json", "quiet")
def command(
    model: str,
    data: tuple[str, ...],
    batch: int,
    seq: int,
    device: str,
    threads: int,
    ntk_alpha: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure a model on text it has not seen."""
    if batch < 1:
        raise messages.usage_bad_value(option="--batch", value=str(batch), expected="an integer of at least 1")
    if seq < 0:
        raise messages.usage_bad_value(option="--seq", value=str(seq), expected="an integer of at least 0")
    with open_device(device, threads) as backend:
        loaded = MoETransformer.load(model, backend, ntk_alpha=ntk_alpha)
        tokens = _tokens(model, data, loaded.config.vocab_size)
        seq_len = seq if seq > 0 else min(128, loaded.config.context)
        if seq_len > loaded.config.context:
            raise messages.sequence_too_long(found=seq_len, limit=loaded.config.context)
        start = time.monotonic()
        with ProgressBar("eval", tokens.n_windows(seq_len), quiet) as bar:
            result = evaluate(loaded, tokens, batch, seq_len, progress=lambda done, _: bar.update(done))
        seconds = time.monotonic() - start
    print_result(
        {
            "loss": result.loss,
            "perplexity": result.perplexity,
            "bits_per_byte": result.bits_per_byte,
            "tokens": result.tokens,
            "bytes": tokens.bytes,
            "tokens_per_second": result.tokens / max(seconds, 1e-9),
        },
        as_json,
    )


def _tokens(model: str, data: Sequence[str], vocab_size: int) -> Tokens:
    folder = prepared_of(data)
    if folder is not None:
        prepared = load_data(folder)
        if prepared.vocab_size > vocab_size:
            raise messages.tokenizer_too_large(
                path=str(prepared.tokenizer_path()), found=prepared.vocab_size, vocab_size=vocab_size
            )
        return prepared.split("heldout")
    tokenizer = model_tokenizer(model)
    if tokenizer.vocab_size > vocab_size:
        raise messages.tokenizer_too_large(
            path=f"{model}/tokenizer.json", found=tokenizer.vocab_size, vocab_size=vocab_size
        )
    return tokens_of_text(data, tokenizer)
