"""nn-py init: fresh weights as a checkpoint."""

from __future__ import annotations

import click

from nn import messages
from nn.cli.app import app
from nn.cli.common import check_seed, common_options, open_device, print_result, read_config
from nn.cli.options import path, text
from nn.cli.progress import ProgressBar
from nn.model.checkpoint import save_checkpoint
from nn.model.parameters import parameter_specs
from nn.tensor.dtype import Array, DType
from nn.tokenizer import Tokenizer


@app.command("init")
@click.option("--config", type=path, required=True, help="a preset (tiny, small, 6.9b) or a config.json")
@click.option("--out", type=path, required=True, help="the folder to write")
@click.option("--dtype", type=text, default="f32", help="f32 or bf16")
@click.option("--tokenizer", type=path, help="a tokenizer.json to put beside")
@common_options("device", "threads", "seed", "ntk_alpha", "as_json", "quiet")
def command(
    config: str,
    out: str,
    dtype: str,
    tokenizer: str | None,
    device: str,
    threads: int,
    seed: int,
    ntk_alpha: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write a model with fresh weights, one tensor in memory at a time."""
    if dtype not in ("f32", "bf16"):
        raise messages.usage_bad_value(option="--dtype", value=dtype, expected="f32 or bf16")
    check_seed(seed)
    made = read_config(config, ntk_alpha).with_dtype(dtype)
    specs = {spec.name: spec for spec in parameter_specs(made)}
    content = None if tokenizer is None else _tokenizer(tokenizer, made.vocab_size)
    with open_device(device, threads) as backend, ProgressBar("init", len(specs), quiet) as bar:
        written = 0

        def fetch(name: str) -> Array:
            nonlocal written
            spec = specs[name]
            buffer = backend.buffer(DType[dtype.upper()], spec.size)
            if spec.kind == "norm":
                backend.fill(buffer, spec.size, 1.0)
            else:
                backend.random_init(buffer, spec.size, 0, seed, spec.number)
            values = backend.download(buffer).reshape(spec.shape)
            buffer.close()
            written += 1
            bar.update(written)
            return values

        save_checkpoint(out, made, fetch, tokenizer=content)
    print_result(
        {
            "out": out,
            "parameters": made.n_parameters(),
            "active_parameters": made.n_active_parameters(),
            "dtype": dtype,
            "seed": seed,
        },
        as_json,
    )


def _tokenizer(path: str, vocab_size: int) -> bytes:
    """The content of a tokenizer.json whose ids the model has. Errors: those of `Tokenizer.load`,
    tokenizer_too_large."""
    tokenizer = Tokenizer.load(path)
    if tokenizer.vocab_size > vocab_size:
        raise messages.tokenizer_too_large(path=path, found=tokenizer.vocab_size, vocab_size=vocab_size)
    return tokenizer.json
