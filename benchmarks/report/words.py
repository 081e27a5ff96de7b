"""What the measurements say, in sentences, English and Japanese: every figure is taken from the view, and a sentence
whose figures were not measured is not written."""

from __future__ import annotations

from typing import Any

from benchmarks.report import titles, units
from benchmarks.report.view import View, geometric_mean

Text = dict[str, str]
"""{"en": ..., "jp": ...}"""

DISTURBED = 0.2
"""With more than this share of rows flagged as busy or stolen the words, and a comparison, begin with a warning."""

NEAR = 0.02
"""Languages are called equal when the whole interval of what is between them, round by round, lies within this; it is
what the project promises for `small`."""


def insights(view: View) -> list[Text]:
    """One sentence for each thing that was measured."""
    said = [_doubt(view), _call(view), *_agreement(view), *_loops(view), *_blas(view), *_simd(view), *_blocking(view), *_builds(view), _path(view),
            *_library(view), *_peers(view), _limit(view), _threads(view), _startup(view), _memory(view), _collector(view)]  # fmt: skip
    return [text for text in said if text is not None]


def learned(view: View) -> list[dict[str, Any]]:
    """Three short paragraphs: the language, the kernels, memory; each {"title": Text, "body": Text}."""
    parts = [
        (
            ("What the language costs", "言語のコスト"),
            [_doubt(view), _conclusion(view), _call(view), *_agreement(view)[:2]],
        ),
        (
            ("What the kernels give", "カーネルの効果"),
            [_path(view), *_library(view)[:1], *_peers(view)[:1], _limit(view), _threads(view)],
        ),
        (("What memory costs", "メモリのコスト"), [_startup(view), _memory(view), _collector(view)]),
    ]
    shown = []
    for (english, japanese), texts in parts:
        said = [text for text in texts if text is not None]
        if said:
            body = {"en": " ".join(text["en"] for text in said), "jp": "".join(text["jp"] for text in said)}
            shown.append({"title": {"en": english, "jp": japanese}, "body": body})
    return shown


def _doubt(view: View) -> Text | None:
    """A warning where the machine was not left alone."""
    rows = [row for case in view["cases"] for row in case["rows"]]
    disturbed = sum(bool({"busy", "stolen"} & set(row["noise"])) for row in rows)
    if not rows or disturbed <= DISTURBED * len(rows):
        return None
    return {
        "en": f"The machine was not quiet: {disturbed} of {len(rows)} rows are flagged, and the figures are rough.",
        "jp": f"測定中、マシンには他の処理がありました:{len(rows)} 行のうち {disturbed} 行に印があり、数値はおおまかです。",
    }


def _rows(view: View, name: str) -> list[View]:
    rows: list[View] = next((case["rows"] for case in view["cases"] if case["name"] == name), [])
    return rows


def _title(view: View, name: str) -> Text:
    text: Text = next(case["title"] for case in view["cases"] if case["name"] == name)
    return text


def _named(language: str) -> str:
    return titles.LANGUAGES[language]


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _factors(view: View, name: str, **slow: Any) -> list[View]:
    return [one for one in view["factors"] if one["factor"] == name
            and all(one["slow"][field] == value for field, value in slow.items())]  # fmt: skip


def _between(factor: View) -> str:
    return f"{units.factor(factor['value'])} [{units.factor(factor['low'])}, {units.factor(factor['high'])}]"


def _call(view: View) -> Text | None:
    case = next((case for case in view["cases"] if case["group"] == "call"), None)
    if case is None:
        return None
    rows = [row for row in case["rows"] if row["row"] == "cpu" and row["threads"] == view["threads"]]
    if len(rows) < 2:
        return None
    said = [f"{units.time(row['median'])} ({_named(row['language'])})" for row in rows]
    return {
        "en": f"One call of a kernel, arguments checked, costs {_join(said)}.",
        "jp": f"引数検査を含むカーネル呼び出し 1 回の時間は {'、'.join(said)} です。",
    }


PROMISES = ("small_train_8x256", "small_decode_128", "tiny_train_2x32", "tiny_decode_128")
"""Where the project promises how far the languages are apart."""


def _agreement(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for name in PROMISES:
        one = next((one for one in view["agreement"] if one["case"] == name), None)
        if one is None:
            continue
        title = _title(view, name)
        said = [f"{_named(row['language'])} {units.time(row['median'])}" for row in one["languages"]]
        apart, most = units.percent(one["spread"]), units.percent(one["spread_high"])
        found.append({
            "en": f"{title['en']}: {', '.join(said)}; round by round the languages are {apart} apart (95%: at most {most}).",
            "jp": f"{title['jp']}:{'、'.join(said)}。ラウンドごとに比べた言語間の差は {apart}(95%:最大 {most})です。",
        })  # fmt: skip
    return found


PARTS = {
    "small_train_8x256": ("the training step", "学習ステップ"),
    "small_decode_128": ("decoding", "デコード"),
}
"""What of `small` has rounds enough to say how far the languages are apart."""


def _conclusion(view: View) -> Text | None:
    """Equal is said of what was shown: where every interval ends within NEAR, not where the middles do."""
    models = [one for one in view["agreement"] if one["case"] in PARTS]
    loops = _factors(view, "loops", language="python")
    if not models or not loops:
        return None
    worst = max(models, key=lambda one: one["spread_high"])
    slower = units.factor(geometric_mean([one["value"] for one in loops]))
    apart, most = units.percent(worst["spread"]), units.percent(worst["spread_high"])
    equal = worst["spread_high"] <= NEAR
    parts = [PARTS[one["case"]] for one in (models if equal else [worst])]
    where = {"en": " and in ".join(part for part, _ in parts), "jp": "と".join(part for _, part in parts)}
    present = [_named(row["language"]) for row in worst["languages"]]
    return {
        "en": f"Python's own loops take {slower} as long as Rust's, but with the kernels shared {_join(present)} are "
        + (f"equally fast in {where['en']} of `small` (95%: at most {most} apart)." if equal
           else f"{apart} apart (95%: at most {most}) in {where['en']} of `small`."),
        "jp": f"Python のループは Rust の {slower} の時間がかかりますが、カーネルを共有すると `small` の{where['jp']}では、"
        f"{'・'.join(present)} は" + (f"同じ速さです(95%:差は最大 {most})。" if equal else f" {apart} 離れています(95%:最大 {most})。"),
    }  # fmt: skip


def _loops(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for language in ("python", "go"):
        factors = _factors(view, "loops", language=language)
        if not factors:
            continue
        mean = units.factor(geometric_mean([one["value"] for one in factors]))
        least, most = (units.factor(pick(one["value"] for one in factors)) for pick in (min, max))
        found.append({
            "en": f"Plain loops in {_named(language)} take {mean} as long as in Rust (geometric mean of "
            f"{len(factors)} operations, from {least} to {most}).",
            "jp": f"{_named(language)} の素朴なループは Rust の {mean} の時間がかかります"
            f"({len(factors)} 演算の幾何平均、{least} から {most})。",
        })  # fmt: skip
    return found


def _blas(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for one in _factors(view, "blas"):
        title, language = _title(view, one["case"]), _named(one["slow"]["language"])
        threads = one["fast"]["threads"]
        found.append({
            "en": f"BLAS: {title['en']} by {language}'s library on {threads} thread{'s' if threads > 1 else ''} is "
            f"{_between(one)} as fast as plain loops.",
            "jp": f"BLAS:{title['jp']} は {language} の定番ライブラリ({threads} スレッド)でループの {_between(one)} 速くなります。",
        })  # fmt: skip
    return found


def _simd(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for one in _factors(view, "simd"):
        title = _title(view, one["case"])
        found.append({
            "en": f"SIMD: {title['en']}, the same loops on one thread with a fused multiply-add in either, is "
            f"{_between(one)} as fast with vector instructions.",
            "jp": f"SIMD:{title['jp']} は、同じループ(1 スレッド、どちらも積和命令を使用)がベクトル命令で {_between(one)} 速くなります。",
        })  # fmt: skip
    return found


def _builds(view: View) -> list[Text | None]:
    """Not SIMD alone: on x86-64 the scalar build has to do without a fused multiply-add."""
    called = view["machine"]["architecture"] in ("x86_64", "AMD64")
    english = ", whose fused multiply-add is a function of the C library" if called else ""
    japanese = "(積和演算は C ライブラリの関数)" if called else ""
    found: list[Text | None] = []
    for one in _factors(view, "build"):
        title, threads = _title(view, one["case"]), one["slow"]["threads"]
        plural = "s" if threads > 1 else ""
        found.append({
            "en": f"Kernel builds: {title['en']} on {threads} thread{plural} is {_between(one)} as fast by the vector build as "
            f"by the scalar build{english}.",
            "jp": f"カーネルのビルド:{title['jp']}({threads} スレッド)は、ベクトル版がスカラー版{japanese}の {_between(one)} の速さです。",
        })  # fmt: skip
    return found


def _blocking(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for one in _factors(view, "blocking"):
        title = _title(view, one["case"])
        found.append({
            "en": f"Blocking: {title['en']} on one thread is {_between(one)} as fast blocked for registers and caches "
            "as vectorised alone.",
            "jp": f"ブロック化:{title['jp']}(1 スレッド)は、レジスタとキャッシュ向けのブロック化で {_between(one)} 速くなります。",
        })  # fmt: skip
    return found


def _path(view: View) -> Text | None:
    whole = view["path"]
    if whole is None:
        return None
    title = _title(view, whole["case"])
    language, total = _named(whole["slow"]["language"]), _between(whole)
    start, end = units.time(whole["slow_seconds"]), units.time(whole["fast_seconds"])
    return {
        "en": f"{title['en']} goes from {start} in plain {language} loops to {end}: {total}.",
        "jp": f"{title['jp']} は {language} の素朴なループの {start} から {end} になり、{total} 速くなります。",
    }


def _library(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for language in ("python", "rust", "go"):
        said = _against(view, language, "library")
        if said is None:
            continue
        mean, count, least, where, most, there = said
        found.append({
            "en": f"From {_named(language)}, one thread each, the shared kernels are {mean} as fast as its usual library "
            f"(geometric mean of {count}; {least} on {where['en']}, {most} on {there['en']}).",
            "jp": f"{_named(language)} では、どちらも 1 スレッドで、共有カーネルは定番ライブラリの {mean} の速さです({count} 演算の幾何平均、"
            f"{where['jp']} で {least}、{there['jp']} で {most})。",
        })  # fmt: skip
    return found


PEERS = {"peer-torch": "python", "peer-jax": "python", "peer-candle": "rust", "peer-llamacpp": "python"}
"""Row: the language from which a peer is called."""


def _peers(view: View) -> list[Text | None]:
    found: list[Text | None] = []
    for row, language in PEERS.items():
        said = _against(view, language, row)
        if said is None:
            continue
        mean, count, least, where, most, there = said
        name = titles.ROWS[row][0]
        found.append({
            "en": f"Beside {name}, one thread each on the same processor, the shared kernels are {mean} as fast (geometric "
            f"mean of {count}; {least} on {where['en']}, {most} on {there['en']}).",
            "jp": f"同じプロセッサの {name} に対して、どちらも 1 スレッドで、共有カーネルは {mean} の速さです({count} 演算の幾何平均、"
            f"{where['jp']} で {least}、{there['jp']} で {most})。",
        })  # fmt: skip
    return [*found, *_peer_models(view)]


def _peer_models(view: View) -> list[Text | None]:
    """Whole models of a peer beside those of the language that calls it, at all threads."""
    found: list[Text | None] = []
    for row, language in PEERS.items():
        english, japanese = [], []
        for one in view["against"]:
            if (one["factor"], one["language"], one["threads"]) == (row, language, view["threads"]) and (
                one["group"] == "model"
            ):
                title = _title(view, one["case"])
                english.append(f"{_between(one)} as fast on {title['en']}")
                japanese.append(f"{title['jp']} で {_between(one)}")
        if english:
            name = titles.ROWS[row][0]
            threads = view["threads"]
            found.append({
                "en": f"Beside {name}, {threads} thread{'s' if threads > 1 else ''} each, the model is {_join(english)}.",
                "jp": f"{name} に対して、どちらも {threads} スレッドで、モデルは {'、'.join(japanese)} の速さです。",
            })  # fmt: skip
    return found


def _against(view: View, language: str, row: str) -> tuple[str, int, str, Text, str, Text] | None:
    """How many times as fast the shared kernels are as another row of a language over the operations, on one thread
    each: geometric mean, count, the least with its title, the most with its title."""
    ratios = [(one["value"], one["case"]) for one in view["against"]
              if one["group"] == "operation" and one["language"] == language and one["factor"] == row
              and one["threads"] == 1]  # fmt: skip
    if not ratios:
        return None
    (least, where), (most, there) = min(ratios), max(ratios)
    mean = units.factor(geometric_mean([ratio for ratio, _ in ratios]))
    return mean, len(ratios), units.factor(least), _title(view, where), units.factor(most), _title(view, there)


def _limit(view: View) -> Text | None:
    shares = []
    for case in view["cases"]:
        for row in case["rows"]:
            if row["row"] == "cpu" and row["threads"] == view["threads"] and row["of_limit"] and case["bound"] == "fma":
                shares.append((row["of_limit"], case["name"]))
    if not shares:
        return None
    share, name = max(shares)
    title = _title(view, name)
    return {
        "en": f"Nearest to the machine's arithmetic limit is {title['en']}, at {units.percent(share)}.",
        "jp": f"演算性能の上限に最も近いのは {title['jp']} で、{units.percent(share)} です。",
    }


def _threads(view: View) -> Text | None:
    gains = [(point["speedup"], one["case"]) for one in view["scaling"] if one["row"] == "cpu"
             for point in one["points"] if point["threads"] == view["threads"]]  # fmt: skip
    if not gains:
        return None
    mean = units.factor(geometric_mean([gain for gain, _ in gains]))
    least, where = min(gains)
    return {
        "en": f"{view['threads']} threads are {mean} as fast as one (geometric mean of {len(gains)} rows; least "
        f"{units.factor(least)}, {_title(view, where)['en']}).",
        "jp": f"{view['threads']} スレッドは 1 スレッドの {mean} の速さです({len(gains)} 行の幾何平均、最小は "
        f"{_title(view, where)['jp']} の {units.factor(least)})。",
    }


def _processes(view: View, prefix: str) -> tuple[Text, list[View]] | None:
    for case in view["cases"]:
        if case["group"] == "process" and case["name"].startswith(prefix) and len(case["rows"]) > 1:
            return case["title"], case["rows"]
    return None


def _startup(view: View) -> Text | None:
    found = _processes(view, "startup")
    if found is None:
        return None
    title, rows = found
    said = [f"{_named(row['language'])} {units.time(row['median'])}" for row in rows]
    return {"en": f"{title['en']}: {', '.join(said)}.", "jp": f"{title['jp']}:{'、'.join(said)}。"}


def _memory(view: View) -> Text | None:
    found = _processes(view, "memory") or _processes(view, "startup")
    if found is None:
        return None
    title, rows = found
    said = [f"{_named(row['language'])} {units.size(row['peak_rss_bytes'])}" for row in rows]
    return {
        "en": f"{title['en']} needs at most {', '.join(said)} of memory.",
        "jp": f"{title['jp']} の最大メモリは {'、'.join(said)} です。",
    }


def _collector(view: View) -> Text | None:
    for name in ("small_train_8x256", "tiny_train_2x32"):
        rows = [row for row in _rows(view, name) if row["row"] == "cpu" and row["threads"] == view["threads"]
                and row["allocations"] is not None]  # fmt: skip
        if rows:
            title = _title(view, name)
            english = [
                f"{_named(row['language'])} {units.digits(row['allocations'])}" + _collected(row, "en") for row in rows
            ]
            japanese = [
                f"{_named(row['language'])} {units.digits(row['allocations'])}" + _collected(row, "jp") for row in rows
            ]
            return {
                "en": f"Allocations of the language in one {title['en'][0].lower()}{title['en'][1:]}: {', '.join(english)}.",
                "jp": f"{title['jp']} 1 回あたりの言語側のメモリ割り当て回数:{'、'.join(japanese)}。",
            }
    return None


def _collected(row: View, language: str) -> str:
    if row["gc_share"] is None:
        return ""
    share = units.percent(row["gc_share"])
    if language == "en":
        return f" (collector: {share} of the processor time)"
    return f"(GC はプロセッサ時間の {share})"
