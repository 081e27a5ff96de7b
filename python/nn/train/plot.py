"""loss.png: the loss of every step, a smoothed line through it, and the held-out loss."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from nn import files
from nn.json_strict import Json
from nn.train.metrics import read_metrics

SMOOTHING = 0.98
"""Weight of the past in the moving average."""


def plot_loss(metrics: Path, out: Path) -> None:
    """Draws metrics.jsonl into a PNG. Errors: those of `read_metrics`, disk_full, cannot_write."""
    from matplotlib.figure import Figure

    lines = read_metrics(metrics)
    steps, losses = _series(lines, "cross_entropy")
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="#9db8d9", linewidth=0.6, label="step")
    axes.plot(steps, smoothed(losses), color="#1f4e8c", linewidth=1.6, label="smoothed")
    heldout_steps, heldout = _series(lines, "heldout_loss")
    if heldout:
        axes.plot(heldout_steps, heldout, "o-", color="#c4532b", linewidth=1.4, markersize=4, label="held out")
    axes.set_xlabel("step")
    axes.set_ylabel("cross entropy, nats per token")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    files.write_file(out, [png.getvalue()])


def smoothed(values: list[float]) -> list[float]:
    """Exponential moving average, corrected for its start; values that are not finite are passed over."""
    out: list[float] = []
    total, weight = 0.0, 0.0
    for value in values:
        if np.isfinite(value):
            total = SMOOTHING * total + (1.0 - SMOOTHING) * value
            weight = SMOOTHING * weight + (1.0 - SMOOTHING)
        out.append(total / weight if weight > 0.0 else value)
    return out


def _series(lines: list[dict[str, Json]], field: str) -> tuple[list[int], list[float]]:
    steps, values = [], []
    for line in lines:
        step, value = line.get("step"), line.get(field)
        if isinstance(step, int) and isinstance(value, float):
            steps.append(step)
            values.append(value)
    return steps, values
