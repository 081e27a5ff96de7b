"""Text for the tests: ordinary files to learn from, and strings that tokenizers disagree on."""

from __future__ import annotations

import random
from pathlib import Path

_SENTENCES = """the kernel library gives one result in every language because each sum has one order
def forward self x return router experts top_k weights 言語 モデル 学習 専門家 ça était größer naïve
0 1 2 42 3.14 1e-6 ( ) [ ] { } , . : ; == -> \\ " ' #"""
_WORDS = [*_SENTENCES.split(), "\t"]


def write_texts(folder: Path, files: int = 23) -> Path:
    """More than twenty files, so that the rule of every twentieth one holds out some and the rest is learned from."""
    words = random.Random(5)
    folder.mkdir(parents=True)
    for number in range(files):
        lines = [" ".join(words.choices(_WORDS, k=words.randrange(1, 14))) for _ in range(40)]
        (folder / f"{number:02d}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


HARD = {
    "spaces": "a b  c   d    e" + " " * 97 + "f \t \t\t g",
    "spaces at both ends": "   begins and ends   ",
    "only spaces": " " * 33,
    "crlf": "one\r\ntwo\r\n\r\nthree\rfour\n\r five\r\n",
    "line ends": "\n\n\n a \n b\n\n\n",
    "other spaces": "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g\u200bh\ufeffi\x0bj\x0ck\x1cl\x1fm",
    "japanese": "吾輩は猫である。名前はまだ無い。ﾊﾝｶｸ㌔㍿゛が が",
    "emoji": "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇯🇵🇩🇪 1️⃣ ☺️☺ 🫠🫨",
    "combining": "e\u0301e\u0301 a\u030a\u0327 Z̸̢̛͓a̶l̵g̴o ก็ กำ षि हिन्दी Å Å",
    "contractions": "I'm you're we'll he'd they've it's don't 'S 'T I'M You'Re ''s 's 'sx 'llama 'l 'r 'v'",
    "digits": "0 12 345 6789 ½ ² Ⅷ ٣٤ ४५ 𝟘𝟙 ①② 1e-06 0x1F 1_000 3.14.15",
    "letters": "ǅ ß ſ ı İ ﬀ ª º ʰ Ω ℌ 𝔉𝔯𝔞𝔨 ᏣᎳᎩ ꙮ ⴰⵎ",
    "punctuation": "!?!?...---___***``` «» “” ‘’ ¿¡ — – ‐ ´ ¨ ^~|\\/",
    "symbols": "€ £ ¥ ₿ ∑ √ ∞ ≠ ← ⇔ █ ░ ✓ ♥ ♫ © ® ™ ° ± µ ¶ §",
    "special tokens as text": "</s><s><unk><|endoftext|> a</s>b <s >",
    "control": "a\x01b\x02c\x1b[31mred\x1b[0m\x7f",
    "right to left": "שלום \u200fעולם\u200e السلام عليكم \u202eabc\u202c",
    "private and unassigned": "\ue000\uf8ff\U000f0000\U0010fffd\u0378\U0001fbff\U000e0041",
    "surrogate neighbours": "\ud7ff\ue000\ufffd\ufffe\uffff\U00010000\U0010ffff",
    "variation": "A\ufe0fB\U000e0100C\u20e3",
    "long word": "a" * 1000 + "あ" * 300 + "9" * 500,
    "code": "for i in range(10):\n\tif x[i] != y_:\n        print(f'{i:>4}')  # ok\n",
    "replacement": "\ufffd\ufffd a\ufffdb",
    "one": "x",
    "hangul": "한국어 각각 \u1112\u1161\u11ab",
}
"""name -> text that is UTF-8 without NUL."""


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of code points from all planes, of the letters and spaces that splitting rules look at, and of both."""
    draw = random.Random(seed)
    special = " \t\n\r'sStTmMdDlLrReEvV\u00a0\u3000\u0301\u200d1²½_-.!aあ\U0001f468"
    texts = []
    for _ in range(count):
        share = draw.choice((0.0, 0.5, 0.9, 1.0))
        length = draw.randrange(1, 60)
        texts.append("".join(draw.choice(special) if draw.random() < share else _point(draw) for _ in range(length)))
    return texts


def _point(draw: random.Random) -> str:
    high = draw.choice((0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x110000))
    while True:
        point = draw.randrange(1, high)
        if not 0xD800 <= point < 0xE000:
            return chr(point)


INVALID = {
    "lone continuation": b"ok \x80 no",
    "overlong": b"\xc0\xaf",
    "surrogate": b"ab\xed\xa0\x80",
    "beyond unicode": b"abc\xf4\x90\x80\x80",
    "truncated": b"abcd\xe3\x81",
    "truncated four": b"\xf0\x9f\x91",
    "bad second byte": b"abcde\xe3\x28\x81",
    "latin1": "café".encode("latin-1"),
    "utf16": "ab".encode("utf-16"),
    "nul": b"a\x00b",
    "nul before bad": b"a\x00\xff",
    "bad before nul": b"a\xff\x00",
    "five byte form": b"\xf8\x88\x80\x80\x80",
}
"""name -> bytes that are not text."""
