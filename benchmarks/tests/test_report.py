"""The report from a result whose figures are known: view, sentences, Markdown, comparison, pictures."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lab import results
from benchmarks.report import compare, titles, units, words
from benchmarks.report.__main__ import main
from benchmarks.report.markdown import STEPS, markdown
from benchmarks.report.page import PARTS, embedded, page
from benchmarks.report.pictures import pictures
from benchmarks.report.view import View, geometric_mean, view
from benchmarks.tests.example import CALLS, SLOWER, example


def derived(result: dict[str, Any]) -> results.Result:
    """As if it had been read from its file."""
    return {**result, "rows": [results.derive(row) for row in result["rows"]]}


@pytest.fixture(scope="module")
def shown() -> View:
    return view(derived(example()))


def test_factors_are_those_of_the_example(shown: View) -> None:
    loops = {
        (one["slow"]["language"], one["case"]): one["value"] for one in shown["factors"] if one["factor"] == "loops"
    }
    naive = SLOWER["naive"]
    assert loops["python", "silu_65536"] == pytest.approx(naive["python"] / naive["rust"])
    assert loops["go", "matmul_512"] == pytest.approx(naive["go"] / naive["rust"])
    named = {
        (one["factor"], one["slow"]["language"]): one["value"]
        for one in shown["factors"]
        if one["case"] == "matmul_512"
    }
    assert named["blas", "rust"] == pytest.approx(naive["rust"] / SLOWER["library"]["rust"])
    assert named["simd", "native"] == pytest.approx(16 / 3.6)
    assert named["blocking", "native"] == pytest.approx(3.6 / 1.1)
    binding = [one for one in shown["factors"] if one["factor"] == "binding" and one["case"] == "call_overhead"]
    assert {one["slow"]["language"]: one["value"] for one in binding} == {
        language: pytest.approx(CALLS[language] / CALLS["rust"]) for language in ("python", "go")
    }
    for one in shown["factors"]:
        assert one["low"] <= one["value"] <= one["high"]


def test_steps_multiply_to_the_whole(shown: View) -> None:
    steps = shown["steps"]
    assert [one["step"] for one in steps] == list(STEPS)
    product = 1.0
    for one in steps:
        product *= one["factor"]
    assert product == pytest.approx(steps[0]["median"] / steps[-1]["median"])


def test_rows_are_sorted_and_relative_to_the_fastest(shown: View) -> None:
    for case in shown["cases"]:
        times = [row["median"] for row in case["rows"]]
        assert times == sorted(times)
        assert min(row["relative"] for row in case["rows"] if row["whole"]) == 1.0


def test_shares_of_limits(shown: View) -> None:
    product = next(case for case in shown["cases"] if case["name"] == "matmul_2048")
    row = next(
        row for row in product["rows"] if row["language"] == "rust" and row["row"] == "cpu" and row["threads"] == 2
    )
    assert row["of_limit"] == pytest.approx(0.8 * 1.7 / 1.9, rel=0.02)  # see example(): its formulas, spread by 1%
    call = next(case for case in shown["cases"] if case["group"] == "call")
    assert all(row["of_limit"] is None for row in call["rows"])


def test_agreement(shown: View) -> None:
    found = {one["case"]: one["spread"] for one in shown["agreement"]}
    assert found["call_overhead"] == pytest.approx(CALLS["python"] / CALLS["rust"] - 1)
    assert found["small_train_8x256"] < words.NEAR
    assert not any(name.startswith(("startup", "memory")) for name in found)


def test_every_figure_of_the_sentences_is_measured(shown: View) -> None:
    """Changing the measurements changes the words: nothing is written by hand."""
    slow = copy.deepcopy(example())
    for row in slow["rows"]:
        if row["language"] == "go":
            by = {"naive": 3, "library": 5}.get(row["row"], 2)
            row["rounds"] = [[by * sample for sample in one] for one in row["rounds"]]
            row["peak_rss_bytes"] = by * (row.get("peak_rss_bytes") or 0)
            row["allocations"] = by * (row.get("allocations") or 0)
    before, after = words.insights(shown), words.insights(view(derived(slow)))
    assert len(before) == len(after)
    touched = [a["en"] != b["en"] for a, b in zip(before, after, strict=True)]
    mentioning = ["Go" in text["en"] or "languages are" in text["en"] for text in before]
    for changed, about_go in zip(touched, mentioning, strict=True):
        assert changed or not about_go
    equal = words.learned(shown)[0]["body"]["en"]
    apart = words.learned(view(derived(slow)))[0]["body"]["en"]
    assert "equal in all languages" in equal
    assert "equal in all languages" not in apart


def test_both_languages_say_the_same_figures(shown: View) -> None:
    def figures(text: str) -> list[str]:
        return sorted(re.findall(r"\d[\d,.]*\d|\d", text))

    for text in [*words.insights(shown), *(part["body"] for part in words.learned(shown))]:
        english, japanese = set(figures(text["en"])), set(figures(text["jp"]))
        assert english - japanese <= {"95"}, (text["en"], text["jp"])


def test_a_disturbed_run_says_so_first(shown: View) -> None:
    assert "not quiet" not in markdown(shown)
    busy = copy.deepcopy(example())
    for row in busy["rows"]:
        row["others"] = 0.5
    texts = words.insights(view(derived(busy)))
    assert texts[0]["en"].startswith("The machine was not quiet: ")
    assert words.learned(view(derived(busy)))[0]["body"]["en"].startswith("The machine was not quiet: ")


def test_nothing_is_said_of_what_was_not_measured() -> None:
    little = example()
    little["rows"] = [row for row in little["rows"] if row["case"] == "silu_65536" and row["language"] == "go"]
    little["limits"] = []
    shown = view(derived(little))
    assert shown["steps"] == []
    assert shown["agreement"] == []
    assert shown["scaling"] == []
    text = markdown(shown)
    assert "nan" not in text
    assert "Python" not in "".join(one["en"] for one in words.insights(shown))
    page(shown)


def test_markdown_tables(shown: View) -> None:
    text = markdown(shown)
    assert "| Language | Row | Threads | Time | 95% interval | Relative |" in text
    widths: set[int] = set()
    for line in text.splitlines():
        if line.startswith("|"):
            widths.add(line.count("|"))
        elif widths:
            assert len(widths) == 1, line
            widths = set()
    for case in shown["cases"]:
        assert f"### {case['title']['en']}" in text
    assert "## What we learned" in text
    assert markdown(view(derived(example()))) == text


def test_compare_finds_what_changed_and_nothing_else() -> None:
    old, new = derived(example()), copy.deepcopy(example())
    for row in new["rows"]:
        if row["case"] == "silu_65536" and row["language"] == "go" and row["row"] == "cpu":
            row["rounds"] = [[1.5 * sample for sample in one] for one in row["rounds"]]
    new["rows"] = [row for row in new["rows"] if row["case"] != "matmul_2048"]
    moved = [change for change in compare.changes(old, derived(new)) if change.beyond_noise]
    assert [change.key[:3] for change in moved] == [("silu_65536", "go", "cpu")]
    assert moved[0].ratio == pytest.approx(1.5)
    text = compare.report(old, derived(new))
    assert "1 slower and 0 faster" in text
    assert "Only in the old: matmul_2048 " in text
    assert "0 slower and 0 faster" in compare.report(old, old)


def test_compare_names_another_machine() -> None:
    other = copy.deepcopy(example())
    other["machine"]["cpu"] = "another"
    assert "Another machine: cpu was Example processor, is another." in compare.report(
        derived(example()), derived(other)
    )


def test_make_writes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results.write(example(), tmp_path / "r.json")
    monkeypatch.setattr("sys.argv", ["report", "make", str(tmp_path / "r.json")])
    assert main() == 0
    folder = tmp_path / "r"
    assert capsys.readouterr().out.strip() == str(folder / "index.html")
    assert {path.name for path in folder.iterdir()} == {
        "report.md",
        "report.json",
        "index.html",
        "languages.png",
        "steps.png",
    }
    assert json.loads((folder / "report.json").read_text())["name"] == "example"
    for name in ("languages.png", "steps.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_a_bad_file_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.json").write_text('{"version": 3}')
    monkeypatch.setattr("sys.argv", ["report", "make", str(tmp_path / "r.json")])
    assert main() == 1
    assert capsys.readouterr().err == f"report: {tmp_path / 'r.json'}: version is 3, expected 1\n"


def test_pictures_of_little(tmp_path: Path) -> None:
    little = example()
    little["rows"] = [row for row in little["rows"] if row["case"] == "silu_65536"]
    assert pictures(view(derived(little)), tmp_path) == []


def test_texts_are_parallel() -> None:
    texts = json.loads((PARTS / "texts.json").read_text())
    assert list(texts["en"]) == list(texts["jp"])
    used = "".join((PARTS / name).read_text() for name in ("index.html", "app.js"))
    for key in texts["en"]:
        assert key in used or key.startswith("step_"), key
    assert {f"step_{step}" for step in STEPS} <= set(texts["en"])


def test_data_cannot_end_its_script() -> None:
    assert "</" not in embedded({"why": "</script><script>alert(1)</script>"})
    assert json.loads(embedded({"why": "</script>"})) == {"why": "</script>"}


def test_page_asks_no_network(shown: View) -> None:
    html = page(shown)
    addresses = set(re.findall(r"https?://[^\s\"'<>\\]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "/* data */" not in html


@pytest.mark.parametrize(
    ("value", "want"),
    [(3.21e-9, "3.21 ns"), (1.5e-6, "1.5 µs"), (0.0123, "12.3 ms"), (2.5, "2.5 s"), (1234.0, "1,234 s")],
)
def test_times(value: float, want: str) -> None:
    assert units.time(value) == want


def test_amounts() -> None:
    assert units.amount(1.234e11, "flop/s") == "123 Gflop/s"
    assert units.amount(12.0, "token/s") == "12 token/s"
    assert units.size(3 * 2**20) == "3 MiB"
    assert units.factor(1.0) == "1.00×"
    assert units.factor(2716.0) == "2,716×"
    assert units.percent(0.0123) == "1.2%"
    assert units.percent(0.87) == "87%"


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_every_case_has_a_title(shown: View) -> None:
    names = [case["title"]["en"] for case in shown["cases"]]
    assert len(set(names)) == len(names)
    for case in shown["cases"]:
        assert case["group"] in titles.GROUPS
        assert case["title"]["jp"]
