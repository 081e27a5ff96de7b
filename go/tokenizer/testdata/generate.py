#!/usr/bin/env python3
"""Writes corpus.json and tokenizer.json: hard texts with the ids and texts that the tokenizers library gives them.

    pip install tokenizers && python generate.py
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
SOURCES = [
    "def forward(self, x):\n    return self.norm(x) + self.weight  # it's what we've said, isn't it?\n",
    "The quick brown fox jumps over the lazy dog. They'll say I'd be 1,234.56 metres away!\n",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n",
    "for i in range(100):\n        if i % 15 == 0:\n            print('FizzBuzz')\n",
    "Größe, naïve café, Ελληνικά, Русский, العربية, हिन्दी, 한국어\n",
]
TEXTS = [
    "", " ", "  ", "   x", "x   ", "a  b   c    d", "\n", "\r\n", "a\r\nb\r\n\r\nc", "\t\tx\t", " \n \n x", "x \n", "\u00a0x\u3000y\u2003 z",
    "吾輩は猫である。名前はまだ無い。", "日本語 と English の混在 123 テスト", "ｶﾞｷﾞｸﾞ ガギグ が", "𠮷野家で𩸽を食べる",
    "👨‍👩‍👧‍👦 family", "👩🏽‍💻👍🏿🇯🇵🏳️‍🌈", "e\u0301 é a\u0308\u0323 ñ n\u0303", "\u200bzero\u200dwidth\ufeff",
    "it's IT'S they'll we've I'm you're he'd don't 's 'x ''s", "'", "''ll", "x's's", "1234567890", "½ ² Ⅷ ٣ ४", "a1b2c3", "3.14e-10", "x_y__z",
    " " * 1000, "a" + " " * 300 + "b", "a" * 2000, "ab" * 700, "\n" * 50, "!" * 100, "!?.,;:" * 20, "</s>", "<s> text </s><unk>", "x</s>y",
    "\x00\x01\x1f\x7f", "\u0085\u2028\u2029x", "Ω≈ç√∫˜µ≤≥÷", "مرحبا بالعالم", "नमस्ते दुनिया", "안녕하세요", "ไทยไม่มีช่องว่าง", "a\u1c8ab \u2eff\U0002ebf0x \U00010d40\U00010d41 1\U00011de1", "def f(x):\n    return x\n\n\n    # end",
    *SOURCES,
]  # fmt: skip
BROKEN = ["ff", "61ff62", "e38182e381", "f09f98", "eda080", "c080", "e3818261e3", "f4908080", "80808080", "e38020f09f"]


# Added tokens behind those of the file: (id as the file claims it, content, whether it is special).
ADDED = [
    [(9000, "<a>", False), (10, "<b>", False)],
    [(9000, "", False), (11, "<a>", False), (12, "<a>", True), (13, "<b>", True)],
    [(7, "the", False), (9, "</s>", False), (9000, "<a>", False)],
]


def main() -> None:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=[AddedToken(token, special=True) for token in ("<unk>", "<s>", "</s>")],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(SOURCES * 3 + ["aaaa aaaaaaaa    " * 3, "ab" * 20, "!!!! ....", "\n\n\n\n"], trainer)
    (HERE / "tokenizer.json").write_text(inner.to_str(pretty=True) + "\n", encoding="utf-8")
    inner.encode_special_tokens = True
    vocab = inner.get_vocab()
    byte_ids = [vocab[character] for character in byte_characters()]
    cases = [{"text": text, "ids": inner.encode(text, add_special_tokens=False).ids} for text in TEXTS]
    for case in cases:
        case["decoded"] = inner.decode(case["ids"], skip_special_tokens=True)
    broken = [
        {"hex": data, "ids": (ids := [byte_ids[b] for b in bytes.fromhex(data)]), "decoded": inner.decode(ids)}
        for data in BROKEN
    ]
    added = [added_case(json.loads(inner.to_str()), entries) for entries in ADDED]
    text = json.dumps({"cases": cases, "broken": broken, "added": added}, ensure_ascii=True, separators=(",", ":"))
    (HERE / "corpus.json").write_text(text + "\n", encoding="utf-8")


def added_case(file: dict, entries: list[tuple[int, str, bool]]) -> dict:
    """What a text with these tokens in it becomes, and the vocabulary's largest id."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    more = [{"id": id, "content": content, **flags, "special": special} for id, content, special in entries]
    file["added_tokens"] += more
    inner = Tokenizer.from_str(json.dumps(file))
    inner.encode_special_tokens = True
    text = "x<a>y<b> the </s>z"
    ids = inner.encode(text, add_special_tokens=False).ids
    largest = max(inner.get_vocab(with_added_tokens=True).values())
    decoded = inner.decode([*range(largest - 3, largest + 1)], skip_special_tokens=True)
    return {"entries": more, "text": text, "ids": ids, "largest": largest, "last_decoded": decoded}


def byte_characters() -> list[str]:
    """The character that stands for each byte."""
    out, hidden = [], 0
    for byte in range(256):
        if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte <= 0xFF:
            out.append(chr(byte))
        else:
            out.append(chr(0x100 + hidden))
            hidden += 1
    return out


if __name__ == "__main__":
    main()
