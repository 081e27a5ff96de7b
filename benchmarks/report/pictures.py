"""Pictures for the README: the languages side by side, and one product step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import titles, units
from benchmarks.report.markdown import STEPS
from benchmarks.report.view import View

COLOURS = {"python": "#3b76c4", "rust": "#d0672c", "go": "#159a90", "native": "#767d88"}
INK, FAINT = "#30343b", "#9aa1ab"


def pictures(view: View, folder: Path) -> list[Path]:
    """Writes languages.png and steps.png; what was not measured is not drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, draw in (("languages.png", _languages), ("steps.png", _steps)):
        path = folder / name
        if draw(view, path):
            drawn.append(path)
    return drawn


def _languages(view: View, path: Path) -> bool:
    """Each case's shared-kernel rows as multiples of the fastest, with intervals."""
    cases = [one for one in view["agreement"] if one["group"] == "model"]
    if not cases:
        return False
    figure, axes = _figure(9, 1.2 + 0.34 * len(cases))
    names = {case["name"]: case["title"]["en"] for case in view["cases"]}
    for at, case in enumerate(reversed(cases)):
        for number, row in enumerate(case["languages"]):
            y = at + 0.22 * (1 - number)
            colour = COLOURS[row["language"]]
            axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=2, alpha=0.45, solid_capstyle="round")
            label = titles.LANGUAGES[row["language"]] if at == 0 else None
            axes.plot(row["relative"], y, "o", ms=5, color=colour, label=label)
    axes.set_yticks(range(len(cases)), [names[case["case"]] for case in reversed(cases)])
    axes.axvline(1, color=FAINT, lw=0.8)
    axes.axvspan(1, 1.02, color=FAINT, alpha=0.15, lw=0)
    worst = max(row["high"] for case in cases for row in case["languages"])
    axes.set_xlim(0.97, min(1.5, max(1.06, worst + 0.01)))
    axes.set_xlabel("time as a multiple of the fastest language, round by round (shaded: within 2%)")
    axes.legend(loc="lower right", frameon=False, ncols=3)
    _save(figure, path)
    return True


def _steps(view: View, path: Path) -> bool:
    """The rate of one product, step by step, on a logarithmic axis."""
    steps = view["steps"]
    if len(steps) < 2:
        return False
    figure, axes = _figure(9, 1.2 + 0.42 * len(steps))
    for at, step in enumerate(reversed(steps)):
        axes.barh(at, step["rate"] / 1e9, color=COLOURS[step["language"]], height=0.62)
        gain = "" if step is steps[0] else f"   {units.factor(step['factor'])}"
        axes.text(step["rate"] / 1e9 * 1.1, at, units.amount(step["rate"], "flop/s") + gain, va="center", color=INK)
    axes.set_yticks(range(len(steps)), [STEPS[step["step"]] for step in reversed(steps)])
    axes.set_xscale("log")
    axes.set_xlim(right=max(step["rate"] for step in steps) / 1e9 * 12)
    title = next(case["title"]["en"] for case in view["cases"] if case["name"] == steps[0]["case"])
    axes.set_xlabel(f"Gflop/s, {title}")
    _save(figure, path)
    return True


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "axes.edgecolor": FAINT, "text.color": INK, "axes.labelcolor": INK,
                            "xtick.color": INK, "ytick.color": INK, "svg.hashsalt": "benchmark"})  # fmt: skip
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, alpha=0.25, lw=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=160, metadata={"Software": None})
    pyplot.close(figure)
