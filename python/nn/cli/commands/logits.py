"""nn-py logits: the model's output for given ids, as a file to compare."""

from __future__ import annotations

import click

from nn import messages
from nn.cli.app import app
from nn.cli.common import common_options, open_device, print_result
from nn.cli.options import path, text
from nn.model.safetensors import TensorEntry, save_file
from nn.model.transformer import MoETransformer


@app.command("logits")
@click.option("--model", type=path, required=True, help="a checkpoint folder")
@click.option("--ids", type=text, required=True, help="token ids, for example 1,2,3")
@click.option("--out", type=path, required=True, help='the .safetensors file to write: "logits" [1, T, V] f32')
@common_options("device", "threads", "ntk_alpha", "as_json")
def command(
    model: str,
    ids: str,
    out: str,
    device: str,
    threads: int,
    ntk_alpha: float | None,
    as_json: bool,
) -> None:
    """Write the logits of a sequence of ids."""
    parsed = parse_ids(ids)
    with open_device(device, threads) as backend:
        loaded = MoETransformer.load(model, backend, ntk_alpha=ntk_alpha)
        logits = loaded.forward_ids(parsed, 1, len(parsed))
    save_file(out, [TensorEntry("logits", "F32", logits.shape)], lambda name: logits, {"format": "pt"})
    print_result({"out": out, "shape": list(logits.shape)}, as_json)


def parse_ids(text: str) -> list[int]:
    """Errors: no_ids, usage_bad_value."""
    parts = [part.strip() for part in text.split(",")]
    if all(part == "" for part in parts):
        raise messages.no_ids()
    for part in parts:
        if not (part.isascii() and part.isdigit()) or len(part) > 10:
            raise messages.usage_bad_value(option="--ids", value=text, expected="ids such as 1,2,3")
    return [int(part) for part in parts]
