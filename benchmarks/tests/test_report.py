"""The report from a result whose figures are known: view, sentences, Markdown, comparison, pictures."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lab import results
from benchmarks.lab.harnesses import PEERS, ROOT
from benchmarks.lab.results import derived
from benchmarks.report import compare, titles, units, words
from benchmarks.report.__main__ import main
from benchmarks.report.markdown import STEPS, markdown
from benchmarks.report.page import PARTS, embedded, page
from benchmarks.report.pictures import pictures
from benchmarks.report.view import View, geometric_mean, view
from benchmarks.tests.example import CALLS, SHARED, SLOWER, example


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
    assert named["build", "python"] == pytest.approx(40.0 / SHARED["cpu"])
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
    whole = shown["path"]
    assert whole["value"] == pytest.approx(product)
    assert whole["low"] < whole["value"] < whole["high"]


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


def test_libraries_are_compared_at_equal_threads(shown: View) -> None:
    """One thread each is what the sentences say, however many the library could use."""
    found = {(one["language"], one["case"], one["threads"]): one["value"]
             for one in shown["against"] if one["factor"] == "library"}  # fmt: skip
    library = SLOWER["library"]
    assert found["rust", "matmul_512", 1] == pytest.approx(library["rust"] / SHARED["cpu"])
    assert found["rust", "matmul_512", 2] == pytest.approx(library["rust"] / SHARED["cpu"])
    assert ("go", "silu_65536", 2) not in found  # a library without threads
    text = next(one["en"] for one in words.insights(shown) if "From Go" in one["en"])
    assert "one thread each" in text
    assert units.factor(library["go"] / SHARED["cpu"]) in text
    for one in shown["against"]:
        assert one["slow"]["threads"] == one["fast"]["threads"]


def test_a_peers_models_are_compared_round_by_round() -> None:
    """With an interval: a round that is slow for both leaves the ratio as it is."""
    result = copy.deepcopy(example())
    name = "small_train_8x256"
    mine = next(row for row in result["rows"] if (row["case"], row["language"]) == (name, "python"))
    slow = [[by * sample for sample in one] for by, one in zip((1, 1.4, 1.1), mine["rounds"], strict=True)]
    mine["rounds"] = slow
    peer = {
        **mine,
        "row": "peer-torch",
        "checksum": None,
        "rounds": [[2.5 * sample for sample in one] for one in slow[:2]],
    }
    result["rows"].append(peer)
    shown = view(derived(result))
    (one,) = [one for one in shown["against"] if one["case"] == name]
    assert one["value"] == pytest.approx(2.5)
    assert one["high"] / one["low"] < 1.1
    text = next(text for text in words.insights(shown) if "the model is" in text["en"])
    said = f"{units.factor(2.5)} [{units.factor(one['low'])}, {units.factor(one['high'])}]"
    assert f"{said} as fast on " in text["en"]
    assert said in text["jp"]
    operations = [
        text["en"] for text in words.insights(shown) if "Beside PyTorch" in text["en"] and "mean of" in text["en"]
    ]
    assert operations == [
        text["en"] for text in words.insights(view(derived(example()))) if "Beside PyTorch" in text["en"]
    ]


def test_a_difference_between_languages_is_taken_round_by_round() -> None:
    """Rounds that are slow in all languages leave the spread and its interval as they are."""
    slow = copy.deepcopy(example())
    for row in slow["rows"]:
        if row["case"] == "small_train_8x256":
            row["rounds"] = [
                [by * sample for sample in one] for by, one in zip((1, 1.3, 1.1), row["rounds"], strict=True)
            ]
    before, after = ({one["case"]: one for one in view(derived(result))["agreement"]} for result in (example(), slow))
    for field in ("spread", "spread_high"):
        assert after["small_train_8x256"][field] == pytest.approx(before["small_train_8x256"][field], rel=1e-6)
    row = next(row for row in derived(slow)["rows"] if row["case"] == "small_train_8x256")
    assert row["high"] / row["low"] > 1.3


def test_the_collectors_part_is_of_processor_seconds() -> None:
    result = copy.deepcopy(example())
    for row in result["rows"]:
        if row["language"] == "go" and row["row"] == "cpu":
            row.update(gc_seconds=0.02, cpu_seconds=0.4)
    rows = [row for case in view(derived(result))["cases"] for row in case["rows"] if row["row"] == "cpu"]
    assert {row["gc_share"] for row in rows if row["language"] == "go"} == {0.02 / 0.4}
    for row in result["rows"]:
        row["cpu_seconds"] = None
    rows = [row for case in view(derived(result))["cases"] for row in case["rows"] if row["row"] == "cpu"]
    assert {row["gc_share"] for row in rows if row["language"] == "go"} == {None}
    assert {row["gc_share"] for row in rows if row["language"] == "python"} == {0.0}


def test_only_languages_that_were_measured_are_named() -> None:
    """A run of two languages says nothing of all, nor of the third."""
    two = copy.deepcopy(example())
    two["rows"] = [row for row in two["rows"] if row["language"] != "go"]
    shown = view(derived(two))
    texts = [text["en"] for text in words.insights(shown)] + [part["body"]["en"] for part in words.learned(shown)]
    assert any("Python and Rust are equally fast" in text for text in texts)
    assert not any("Go" in text or "all languages" in text for text in texts)


def test_committed_results_are_read() -> None:
    """Whatever a result was written by, it can still be shown."""
    found = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    assert found
    for path in found:
        assert markdown(view(results.read(path))).startswith("# Benchmark ")


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
    assert "Python, Rust and Go are equally fast in the training step and in decoding of `small`" in equal
    assert "equally fast" not in apart


def test_equally_fast_is_said_of_intervals() -> None:
    """Medians that agree in rounds that do not are no sign of equal languages."""
    doubtful = copy.deepcopy(example())
    for row in doubtful["rows"]:
        if row["case"] == "small_decode_128" and row["language"] == "python" and row["row"] == "cpu":
            row["rounds"] = [
                [by * sample for sample in one] for by, one in zip((0.95, 1, 1.05), row["rounds"], strict=True)
            ]
    shown = view(derived(doubtful))
    (decode,) = [one for one in shown["agreement"] if one["case"] == "small_decode_128"]
    assert decode["spread"] < words.NEAR < decode["spread_high"]
    text = words.learned(shown)[0]["body"]
    apart, most = (units.percent(decode[field]) for field in ("spread", "spread_high"))
    assert "equally fast" not in text["en"]
    assert "同じ速さ" not in text["jp"]
    assert f"Python, Rust and Go are {apart} apart (95%: at most {most}) in decoding of `small`." in text["en"]
    assert f"`small` のデコードでは、Python・Rust・Go は {apart} 離れています(95%:最大 {most})。" in text["jp"]


def test_equally_fast_names_the_widest_interval(shown: View) -> None:
    models = [one for one in shown["agreement"] if one["case"] in words.PARTS]
    assert len(models) == 2
    most = units.percent(max(one["spread_high"] for one in models))
    text = words.learned(shown)[0]["body"]
    assert f"in the training step and in decoding of `small` (95%: at most {most} apart)." in text["en"]
    assert f"同じ速さです(95%:差は最大 {most})。" in text["jp"]


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
    compared = compare.report(derived(example()), derived(busy))
    assert f"not quiet in the new run: {len(busy['rows'])} of {len(busy['rows'])} rows" in compared
    assert "not quiet in the old run" not in compared
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
    longer = "2.0 s for Training step small, 8 × 256, 2.0 s for Decode small, 1 × 64 after 128"
    assert f"about 0.5 s ({longer}) and 10 samples" in text
    assert markdown(view(derived(example()))) == text


def test_compare_finds_what_changed_and_nothing_else() -> None:
    old, new = derived(example()), copy.deepcopy(example())
    for row in new["rows"]:
        if row["case"] == "silu_65536" and row["language"] == "go" and row["row"] == "cpu":
            row["rounds"] = [[1.5 * sample for sample in one] for one in row["rounds"]]
    new["rows"] = [row for row in new["rows"] if row["case"] != "matmul_2048"]
    moved = [change for change in compare.changes(old, derived(new)) if change.beyond_noise]
    assert [change.key[:3] for change in moved] == [("silu_65536", "go", "cpu")] * 2  # at one thread and at two
    assert moved[0].ratio == pytest.approx(1.5)
    text = compare.report(old, derived(new))
    assert "2 slower and 0 faster" in text
    gone = sum(row["case"] == "matmul_2048" for row in old["rows"])
    assert f"Only in the old, by case (threads in brackets):\n\n- matmul_2048: {gone} rows\n" in text
    assert "Only in the new" not in text
    assert "0 slower and 0 faster" in compare.report(old, old)


def test_compare_names_by_case_what_only_one_result_has() -> None:
    gone = {("go", "cpu", 1), ("go", "cpu", 2), ("go", "naive", 1), ("rust", "cpu", 2)}
    part = example()
    part["rows"] = [
        row
        for row in part["rows"]
        if row["case"] != "silu_65536" or (row["language"], row["row"], row["threads"]) not in gone
    ]
    whole, part = derived(example()), derived(part)
    line = "- silu_65536: 4 rows: Rust cpu (2); Go cpu (1 and 2), naive (1)\n"
    assert compare.report(whole, part).endswith(f"\n\nOnly in the old, by case (threads in brackets):\n\n{line}")
    assert compare.report(part, whole).endswith(f"\n\nOnly in the new, by case (threads in brackets):\n\n{line}")


def test_compare_refuses_another_machine() -> None:
    other = copy.deepcopy(example())
    other["machine"]["cpu"] = "another"
    with pytest.raises(
        results.ResultError, match="another machine than example: cpu was Example processor, is another"
    ):
        compare.report(derived(example()), derived(other))
    other = copy.deepcopy(example())
    other["machine"]["system"] = "Linux 7"
    assert "Another system: Linux 6.1 then, Linux 7 now." in compare.report(derived(example()), derived(other))


def test_compare_allows_for_many_rows() -> None:
    """Two runs of the same thing, five times, with rounds that differ by 3%, for all rows of a case alike: some of more
    than a thousand rows differ by more than their own intervals, and next to none is named; and about as many medians
    lie in the old intervals as those promise."""
    rng = np.random.default_rng(7)

    def again() -> results.Result:
        result = copy.deepcopy(example())
        disturbed = {(case["name"], threads): np.exp(0.03 * rng.standard_normal(3))
                     for case in result["cases"] for threads in (1, 2)}  # fmt: skip
        for row in result["rows"]:
            factors = disturbed[row["case"], row["threads"]]
            row["rounds"] = [[sample * by for sample in one] for one, by in zip(row["rounds"], factors, strict=True)]
        return derived(result)

    pairs = [(again(), again()) for _ in range(5)]
    found = [compare.changes(old, new) for old, new in pairs]
    every = [change for changes in found for change in changes]
    assert len(every) > 5 * 200
    assert sum(not change.low <= 1 <= change.high and abs(change.ratio - 1) > compare.LEAST for change in every) > 10
    assert sum(change.beyond_noise for change in every) <= 3
    assert sum(change.within for change in every) >= 0.9 * len(every)
    inside = sum(change.within for change in found[0])
    assert f"{inside} of {len(found[0])} medians" in compare.report(*pairs[0])


def test_compare_is_not_led_on_by_tiny_changes() -> None:
    """900 rows moved by 1%, and are known to a twentieth of that: a small change for certain. 300 rows did not move and
    are known to 5%: 15 of them are above the 5% level by chance, and many differ by more than 2%. None of either is to
    be named (one with a probability of a twentieth), and all 30 that moved by 10% are."""
    rng = np.random.default_rng(11)
    kinds = [("quiet", 900, 1.01, 0.0005), ("noisy", 300, 1.0, 0.05), ("moved", 30, 1.1, 0.005)]

    def known(kind: str, number: int, median: float, error: float) -> results.Row:
        return {"case": "a", "language": "rust", "row": f"{kind}{number}", "threads": 1, "median": median,
                "error": error, "degrees": 30.0, "low": median, "high": median, "noise": []}  # fmt: skip

    old, new = [], []
    for kind, count, by, error in kinds:
        for number in range(count):
            one, other = np.exp(error * rng.standard_normal(2))
            old.append(known(kind, number, float(one), error))
            new.append(known(kind, number, float(other) * by, error))
    changes = compare.changes({"cases": [{"name": "a"}], "rows": old}, {"cases": [{"name": "a"}], "rows": new})
    named = [change.key[2] for change in changes if change.beyond_noise]
    assert sum(name.startswith("moved") for name in named) == 30
    assert len(named) <= 31
    assert sum(not change.low <= 1 <= change.high and change.key[2].startswith("noisy") for change in changes) >= 5


def test_compare_leaves_out_a_case_that_is_another() -> None:
    """Under the same name another piece of work is done: nothing changed that one could measure."""
    other = copy.deepcopy(example())
    for case in other["cases"]:
        if case["name"] == "tiny_decode_128":
            case["new"] = 128
        if case["name"] == "silu_65536":
            case["rounds"] = 5  # how often it is timed makes no other case
    text = compare.report(derived(example()), derived(other))
    assert "Not compared, since the case is another: tiny_decode_128." in text


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


def test_every_peer_has_a_name_and_a_language() -> None:
    assert {f"peer-{name}" for name in PEERS} <= set(words.PEERS)
    assert set(words.PEERS) <= set(titles.ROWS)
    assert set(words.PEERS.values()) <= set(titles.LANGUAGES)


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)


def test_every_case_has_a_title(shown: View) -> None:
    names = [case["title"]["en"] for case in shown["cases"]]
    assert len(set(names)) == len(names)
    for case in shown["cases"]:
        assert case["group"] in titles.GROUPS
        assert case["title"]["jp"]
