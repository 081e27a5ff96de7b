"""The page: one HTML file with its style, its script and its data in it, which asks nothing of any network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.report import titles, words
from benchmarks.report.view import View

PARTS = Path(__file__).parent / "templates"


def page(view: View) -> str:
    """templates/index.html with style, scripts, texts and the view put where it names them."""
    data: dict[str, Any] = {
        **view,
        "insights": words.insights(view),
        "learned": words.learned(view),
        "names": {
            "languages": titles.LANGUAGES,
            "rows": {name: {"en": english, "jp": japanese} for name, (english, japanese) in titles.ROWS.items()},
            "groups": {name: {"en": english, "jp": japanese} for name, (english, japanese) in titles.GROUPS.items()},
        },
    }
    texts = json.loads((PARTS / "texts.json").read_text())
    html = (PARTS / "index.html").read_text()
    for name, content in {
        "style": (PARTS / "style.css").read_text(),
        "texts": embedded(texts),
        "data": embedded(data),
        "charts": (PARTS / "charts.js").read_text(),
        "app": (PARTS / "app.js").read_text(),
    }.items():
        html = html.replace(f"/* {name} */", content)
    return html


def embedded(value: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
