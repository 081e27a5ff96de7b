"""nn-py prepare: text to tokenizer.json and tokens."""

from __future__ import annotations

import click

from nn.cli.app import app
from nn.cli.common import common_options, print_result
from nn.cli.options import integer, path
from nn.cli.progress import ProgressBar
from nn.train.prepare import prepare


@app.command("prepare")
@click.option("--data", type=path, required=True, multiple=True, help="a file or folder of text; may be repeated")
@click.option("--out", type=path, required=True, help="the folder to write")
@click.option("--vocab-size", type=integer, default=4096, help="tokens of the BPE that is learned")
@click.option("--tokenizer", type=path, help="a tokenizer.json, or bytes")
@common_options("as_json", "quiet")
def command(
    data: tuple[str, ...],
    out: str,
    vocab_size: int,
    tokenizer: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Turn text into tokens: tokenizer.json, train.bin, heldout.bin, data.json."""
    with ProgressBar("prepare", 0, quiet) as bar:

        def report(doing: str, done: int, total: int) -> None:
            bar.begin(doing, total)
            bar.update(done)

        result = prepare(data, out, vocab_size, tokenizer, report)
    print_result({"out": out, **result}, as_json)
