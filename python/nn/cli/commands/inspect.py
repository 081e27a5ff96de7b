"""nn-py inspect: which experts a text visits."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import click

from nn import files, messages
from nn.cli.app import app
from nn.cli.common import common_options, model_tokenizer, open_device, print_result
from nn.cli.options import path, text
from nn.json_strict import Json
from nn.model.inspection import LayerRouting, inspect_routing
from nn.model.transformer import MoETransformer


@app.command("inspect")
@click.option("--model", type=path, required=True, help="a checkpoint folder")
@click.option("--prompt", type=text, required=True, help="the text to look at")
@click.option("--html", "page", type=path, help="a page to write: tokens by layers, coloured by expert")
@common_options("device", "threads", "ntk_alpha", "as_json")
def command(
    model: str, prompt: str, page: str | None, device: str, threads: int, ntk_alpha: float | None, as_json: bool
) -> None:
    """Show the experts chosen per token and layer, the router's entropy and the load per expert."""
    if prompt == "":
        raise messages.empty_prompt()
    tokenizer = model_tokenizer(model)
    with open_device(device, threads) as backend:
        loaded = MoETransformer.load(model, backend, ntk_alpha=ntk_alpha)
        ids = [int(id) for id in tokenizer.encode(prompt)]
        layers = inspect_routing(loaded, ids)
    pieces = [tokenizer.decode([id]) for id in ids]
    n_experts = loaded.config.n_experts
    if page is not None:
        files.write_file(page, [render_page(pieces, layers, n_experts).encode()])
    if as_json:
        print_result(to_json(prompt, ids, pieces, layers), as_json)
        return
    limit = math.log(n_experts)
    for number, layer in enumerate(layers):
        print(f"layer {number}: entropy {layer.entropy.mean():.3f} of {limit:.3f} nats")
        print("  load " + "  ".join(f"{expert}: {share:.1%}" for expert, share in enumerate(layer.load)))
    for position, piece in enumerate(pieces):
        chosen = "  ".join("+".join(str(expert) for expert in layer.experts[position]) for layer in layers)
        print(f"{position:5d}  {piece!r:20}  {chosen}")


def to_json(prompt: str, ids: Sequence[int], pieces: Sequence[str], layers: Sequence[LayerRouting]) -> dict[str, Json]:
    """The fields of --json."""
    described: list[Json] = [
        {
            "experts": layer.experts.tolist(),
            "weights": layer.weights.tolist(),
            "entropy": layer.entropy.tolist(),
            "load": layer.load.tolist(),
        }
        for layer in layers
    ]
    return {"prompt": prompt, "ids": list(ids), "tokens": list(pieces), "layers": described}


def render_page(pieces: Sequence[str], layers: Sequence[LayerRouting], n_experts: int) -> str:
    """One self-contained page: a row per token, a cell per layer, the first expert's colour, all choices in words."""
    head = "".join(f"<th>{number}</th>" for number in range(len(layers)))
    rows = []
    for position, piece in enumerate(pieces):
        cells = []
        for layer in layers:
            chosen = [int(expert) for expert in layer.experts[position]]
            weights = [float(weight) for weight in layer.weights[position]]
            words = ", ".join(f"expert {e}: {w:.2f}" for e, w in zip(chosen, weights, strict=True))
            hue = 360 * chosen[0] // n_experts
            label = "+".join(str(expert) for expert in chosen)
            cells.append(f'<td style="--hue:{hue}" title="{words}">{label}</td>')
        rows.append(f"<tr><th><code>{html.escape(repr(piece))}</code></th>{''.join(cells)}</tr>")
    loads = "".join(
        f"<p>layer {number}: mean entropy {layer.entropy.mean():.3f} of {math.log(n_experts):.3f} nats; load "
        + ", ".join(f"{expert}: {share:.1%}" for expert, share in enumerate(layer.load))
        + "</p>"
        for number, layer in enumerate(layers)
    )
    return _PAGE.format(head=head, rows="\n".join(rows), loads=loads)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Experts per token and layer</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ margin: 1.5rem; }}
table {{ border-collapse: collapse; font-size: 0.85rem; }}
th, td {{ padding: 0.15rem 0.5rem; text-align: center; white-space: nowrap; }}
tbody th {{ text-align: left; font-weight: normal; position: sticky; left: 0; background: Canvas; }}
td {{ background: hsl(var(--hue) 60% 50% / 35%); }}
div {{ overflow-x: auto; }}
</style>
<h1>Experts per token and layer</h1>
<p>Each cell names the chosen experts, best first; its colour is that of the first. Hover for the weights.</p>
<div><table><thead><tr><th>token</th>{head}</tr></thead><tbody>
{rows}
</tbody></table></div>
<h2>Load</h2>
{loads}
</html>
"""
