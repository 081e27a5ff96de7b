"""The page in a real browser: everything is drawn, filters work, both languages and themes, nothing overflows a phone.

Needs Chromium (Debian: apt install chromium). Skipped with a word without it, unless BENCH_BROWSER=1 asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.lab import results
from benchmarks.report import units
from benchmarks.report.page import page
from benchmarks.report.view import View, view
from benchmarks.tests.browser import Browser, installed
from benchmarks.tests.example import example

CHARTS = ("agreement", "steps", "cases", "roofline", "scaling", "series", "memory")


@pytest.fixture(scope="module")
def shown() -> View:
    """In the training step of `small` Python is 1% to 3% slower, so that the middle and the end of that differ."""
    result = example()
    for row in result["rows"]:
        if (row["case"], row["language"]) == ("small_train_8x256", "python"):
            slower = zip((1.01, 1.03, 1.02), row["rounds"], strict=True)
            row["rounds"] = [[by * sample for sample in one] for by, one in slower]
    return view(results.derived(result))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = installed()
    if program is None:
        sentence = "Chromium is missing: the page is not opened (Debian: apt install chromium)"
        if os.environ.get("BENCH_BROWSER") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    with Browser(program) as one:
        yield one


@pytest.fixture
def opened(browser: Browser, shown: View, tmp_path: Path) -> Iterator[Browser]:
    """The page at desktop width, in English; afterwards: no trouble, nothing asked of a network."""
    file = tmp_path / "index.html"
    file.write_text(page(shown))
    browser.trouble.clear()
    browser.requested.clear()
    browser.prefer("light")
    browser.resize(1200, 900)
    browser.open(file)
    browser.value("document.querySelector('[data-speak=en]').click()")
    yield browser
    assert browser.trouble == []
    assert [address for address in browser.requested if not address.startswith(("file:", "data:"))] == []


def count(browser: Browser, selector: str) -> int:
    return int(browser.value(f"document.querySelectorAll({selector!r}).length"))


def click(browser: Browser, selector: str) -> None:
    assert browser.value(f"(() => {{ const n = document.querySelector({selector!r}); n?.click(); return !!n; }})()"), (
        selector
    )


def visible(browser: Browser, section: str) -> bool:
    return bool(browser.value(f"document.getElementById({section + '-section'!r}).getClientRects().length > 0"))


def test_every_chart_is_drawn(opened: Browser, shown: View) -> None:
    for chart in CHARTS:
        drawn = count(opened, f"#{chart} svg")
        assert drawn > 0, chart
        assert opened.value(f"[...document.querySelectorAll('#{chart} svg')].every((s) => s.getBBox().width > 100)"), (
            chart
        )
    operations = [case for case in shown["cases"] if case["group"] != "process"]
    assert count(opened, "#cases svg") == len(operations)
    whole = sum(row["whole"] for case in operations for row in case["rows"])
    assert count(opened, "#cases .bar") == whole
    assert count(opened, "#steps .step") == len(shown["steps"])
    assert count(opened, "#agreement .dot") == sum(len(one["languages"]) for one in shown["agreement"])
    assert count(opened, "#rows tbody tr") == sum(len(case["rows"]) for case in shown["cases"])
    assert count(opened, "#tiles .tile") == 4


def test_the_spread_of_the_languages_has_its_upper_end(opened: Browser, shown: View) -> None:
    (promise,) = [one for one in shown["agreement"] if one["case"] == "small_train_8x256"]
    assert promise["spread_high"] > promise["spread"] + 0.005
    figure = opened.value("document.querySelector('#tiles .tile b').textContent")
    assert figure == f"{units.percent(promise['spread'])} (≤ {units.percent(promise['spread_high'])})"


def test_no_coordinate_is_missing(opened: Browser) -> None:
    assert opened.value(
        "!/NaN|undefined|Infinity/.test([...document.querySelectorAll('svg')].map((s) => s.outerHTML).join(''))"
    )
    assert opened.value("!/undefined|NaN|null/.test(document.querySelector('main').innerText)")


def test_bars_are_as_long_as_times_say(opened: Browser, shown: View) -> None:
    """On a logarithmic axis a row that takes longer has a longer bar, in every case."""
    lengths = opened.value(
        "[...document.querySelectorAll('#cases svg')]"
        ".map((s) => [...s.querySelectorAll('.bar .mark')].map((m) => m.width.baseVal.value))"
    )
    cases = [case for case in shown["cases"] if case["group"] != "process"]
    for case, drawn in zip(cases, lengths, strict=True):
        times = [row["median"] for row in case["rows"] if row["whole"]]
        assert times == sorted(times)
        assert drawn == sorted(drawn), case["name"]
        assert drawn[0] > 0


def test_filter_by_language(opened: Browser) -> None:
    before = count(opened, "#cases .bar")
    go = count(opened, "#cases .bar.go")
    assert go > 0
    click(opened, "#filter-languages button[value=go]")
    assert count(opened, "#cases .bar.go") == 0
    assert count(opened, "#cases .bar") == before - go
    for chart in ("agreement", "roofline", "scaling", "series", "memory"):
        assert count(opened, f"#{chart} .go") == 0, chart
    click(opened, "#filter-languages button[value=go]")
    assert count(opened, "#cases .bar") == before


def test_filter_by_kind_and_by_case(opened: Browser) -> None:
    click(opened, "#filter-groups button[value=model]")
    assert opened.value(
        "[...document.querySelectorAll('#cases small')].every((n) => !n.textContent.startsWith('small_'))"
    )
    click(opened, "#filter-groups button[value=model]")
    choose = "const s = document.getElementById('filter-case'); s.value = {}; s.dispatchEvent(new Event('change'));"
    opened.value(f"(() => {{ {choose.format(repr('silu_65536'))} }})()")
    assert count(opened, "#cases svg") == 1
    assert opened.value("document.querySelector('#cases small').textContent") == "silu_65536"
    assert not visible(opened, "steps")
    assert not visible(opened, "memory") or count(opened, "#memory svg") == 0
    opened.value(f"(() => {{ {choose.format(repr(''))} }})()")
    assert count(opened, "#cases svg") > 1


def test_nothing_chosen_says_so(opened: Browser) -> None:
    for language in ("python", "rust", "go", "native"):
        click(opened, f"#filter-languages button[value={language}]")
    assert count(opened, "svg .bar") == 0
    assert not opened.value("document.getElementById('nothing').hidden")


def test_japanese(opened: Browser) -> None:
    english = opened.value("document.querySelector('h1').textContent")
    click(opened, "[data-speak=jp]")
    assert opened.value("document.documentElement.lang") == "ja"
    assert opened.value("document.querySelector('h1').textContent") != english
    assert "行列積" in opened.value("document.getElementById('cases').textContent")
    assert opened.value("[...document.querySelectorAll('[data-text]')].every((n) => n.textContent.length > 0)")
    click(opened, "[data-speak=en]")
    assert opened.value("document.querySelector('h1').textContent") == english


def test_themes(opened: Browser) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = opened.value(background)
    opened.prefer("dark")
    dark = opened.value(background)
    assert dark != light
    click(opened, "#theme")  # the button overrules the system
    assert opened.value(background) == light
    click(opened, "#theme")
    assert opened.value(background) == dark


def test_tips_follow_the_pointer_and_the_keyboard(opened: Browser) -> None:
    assert opened.value("document.getElementById('tip').hidden")
    opened.value("document.querySelector('#cases .bar').focus()")
    assert opened.value(
        "!document.getElementById('tip').hidden && document.getElementById('tip').textContent.length > 20"
    )


@pytest.mark.parametrize("width", [360, 390, 768, 1600])
def test_nothing_is_wider_than_the_screen(opened: Browser, width: int) -> None:
    opened.resize(width, 800, phone=width < 700)
    opened.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert opened.value("document.documentElement.scrollWidth") <= width
    outside = opened.value(
        "[...document.querySelectorAll('svg text')]"
        ".filter((t) => t.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert outside == 0
