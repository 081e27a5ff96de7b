"""nn-py quantize: a checkpoint's matrices as blocks of 8 or 4 bits, for inference in a quarter or an eighth of f32."""

from __future__ import annotations

import click

from nn import messages
from nn.cli.app import app
from nn.cli.common import common_options, open_device, print_result
from nn.cli.options import path, text
from nn.cli.progress import ProgressBar
from nn.model.checkpoint import load_checkpoint
from nn.model.parameters import parameter_specs
from nn.model.quantize import quantize_checkpoint, require_elsewhere, stored_bytes


@app.command("quantize")
@click.option("--model", type=path, required=True, help="a checkpoint folder")
@click.option("--out", type=path, required=True, help="the folder to write")
@click.option("--type", "kind", type=text, required=True, help="q8 or q4")
@common_options("device", "threads", "as_json", "quiet")
def command(model: str, out: str, kind: str, device: str, threads: int, as_json: bool, quiet: bool) -> None:
    """Write a model with quantized matrices: generate, eval, logits and inspect take it as it is."""
    if kind not in ("q8", "q4"):
        raise messages.usage_bad_value(option="--type", value=kind, expected="q8 or q4")
    checkpoint = load_checkpoint(model)
    checkpoint.config.require_float(model)
    require_elsewhere(checkpoint, out)
    specs = parameter_specs(checkpoint.config.with_quantization(kind))
    with open_device(device, threads) as backend, ProgressBar("quantize", len(specs), quiet) as bar:
        config = quantize_checkpoint(checkpoint, out, kind, backend, bar.update)
    print_result(
        {
            "out": out,
            "type": kind,
            "parameters": config.n_parameters(),
            "quantized_parameters": sum(spec.size for spec in specs if spec.quantized),
            "bytes": stored_bytes(config),
        },
        as_json,
    )
