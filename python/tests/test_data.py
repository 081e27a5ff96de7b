"""Preparing text, opening what was prepared, and the order of batches."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn.errors import NNError
from nn.tensor.philox import STREAM_DATA, draw_u64
from nn.tokenizer import Tokenizer
from nn.train import prepare as module
from nn.train.data import IGNORED, Tokens, is_prepared, load_data, tokens_of_text
from nn.train.prepare import find_texts, not_text_at, prepare, split_texts


def write_texts(folder: Path, count: int) -> list[str]:
    """Files whose order by path is not that of their numbers."""
    for number in range(count):
        path = folder / f"d{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text number {number}\nwith é\n")
    return sorted((str(path) for path in folder.rglob("*.txt")), key=os.fsencode)


def error_of(call: Callable[[], Any]) -> NNError:
    with pytest.raises(NNError) as caught:
        call()
    return caught.value


def test_texts_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    paths = write_texts(tmp_path, 12)
    assert find_texts([str(tmp_path)]).paths == paths
    assert find_texts([str(tmp_path) + "/"]).paths == paths
    assert find_texts([paths[5], str(tmp_path), paths[0]]).paths == paths
    named = [str(tmp_path / name) for name in ("é", "z", "Z", "a.b", "a", "a/")]
    for path in named[:4]:
        Path(path).write_text("x")
    assert find_texts(named[:4]).paths == sorted(named[:4], key=os.fsencode)


def test_what_is_passed_over(tmp_path: Path) -> None:
    paths = write_texts(tmp_path, 2)
    (tmp_path / "binary").write_bytes(b"\x80abc")
    (tmp_path / "nul").write_bytes(b"a\0b")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x").write_text("x")
    (tmp_path / "link").symlink_to(paths[0])
    (tmp_path / "loop").symlink_to(tmp_path)
    texts = find_texts([str(tmp_path)])
    assert (texts.paths, texts.skipped) == (paths, 3)
    assert find_texts([str(tmp_path / "link")]).paths == [str(tmp_path / "link")]
    assert find_texts([str(tmp_path / "loop")]).paths == [path.replace(str(tmp_path), str(tmp_path / "loop"))
                                                          for path in paths]  # fmt: skip


def test_named_files_must_be_text(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"ab\xff")
    assert str(error_of(lambda: find_texts([str(path)]))) == (f"{path}: not text at byte 2, expected UTF-8 without NUL")
    path.write_bytes(b"")
    assert str(error_of(lambda: find_texts([str(path)]))) == (
        f"{path}: no text, expected UTF-8 files or folders of them"
    )
    missing = str(tmp_path / "missing")
    assert str(error_of(lambda: find_texts([missing]))) == f"{missing}: cannot be read: no such file or folder"
    (tmp_path / "folder").mkdir()
    assert error_of(lambda: find_texts([str(tmp_path / "folder")])).key == "data_no_files"


def test_not_text_at() -> None:
    assert [not_text_at(data) for data in (b"", b"ab\xc3\xa9", b"a\0", b"\xff\0", b"a\0\xff", b"a\xc3")] == [
        -1, -1, 1, 0, 1, 1,
    ]  # fmt: skip


@given(st.integers(1, 200))
def test_every_twentieth_is_held_out(count: int) -> None:
    paths = [f"{n:04d}" for n in range(count)]
    train, heldout = split_texts(paths)
    assert sorted(train + heldout) == paths
    if count >= 20:
        assert heldout == paths[19::20]
    else:
        assert heldout == (paths[-1:] if count > 1 else [])


@pytest.mark.parametrize(("tokenizer", "together"), [(None, 100), ("bytes", 1 << 20)])
def test_prepared_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: str | None, together: int) -> None:
    monkeypatch.setattr(module, "_ENCODED_TOGETHER", together)
    paths = write_texts(tmp_path / "in", 43)
    out = tmp_path / "out"
    reports: list[tuple[str, int, int]] = []
    meta = prepare([str(tmp_path / "in")], out, 280, tokenizer, lambda *report: reports.append(report))
    assert sorted(os.listdir(out)) == ["data.json", "heldout.bin", "tokenizer.json", "train.bin"]
    assert json.loads((out / "data.json").read_text()) == meta
    assert reports[-1] == ("encode", 43, 43)
    assert is_prepared(out) and not is_prepared(tmp_path)
    data = load_data(out)
    chosen = Tokenizer.load(data.tokenizer_path())
    assert (data.vocab_size, data.bos_id, data.eos_id) == (280 if tokenizer is None else 259, 1, 2)
    for tokens, part in ((data.train, [p for i, p in enumerate(paths) if i not in (19, 39)]),
                         (data.heldout, [paths[19], paths[39]])):  # fmt: skip
        texts = [Path(path).read_text() for path in part]
        expected = [id for text in texts for id in [*chosen.encode(text).tolist(), 2]]
        assert tokens.ids.tolist() == expected
        assert tokens.bytes == sum(len(text.encode()) for text in texts)
    assert data.split("heldout") is data.heldout
    raw = tokens_of_text([paths[19], paths[39]], chosen)
    assert raw.ids.tolist() == data.heldout.ids.tolist() and raw.bytes == data.heldout.bytes


def test_the_held_out_text_teaches_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("aaaa aaaa aaaa")
    (tmp_path / "b").write_text("zzzz zzzz zzzz")
    prepare([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "out", 270)
    vocabulary = (tmp_path / "out" / "tokenizer.json").read_text()
    assert '"aaaa"' in vocabulary and '"zz"' not in vocabulary


def test_prepared_again_is_the_same(tmp_path: Path) -> None:
    write_texts(tmp_path / "in", 25)
    prepare([str(tmp_path / "in")], tmp_path / "one", 300)
    prepare([str(tmp_path / "in")], tmp_path / "two", 300)
    prepare([str(tmp_path / "in")], tmp_path / "three", 0, str(tmp_path / "one" / "tokenizer.json"))
    prepare([str(tmp_path / "in")], tmp_path / "three", 0, str(tmp_path / "one" / "tokenizer.json"))
    for name in os.listdir(tmp_path / "one"):
        content = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "two" / name).read_bytes() == content
        assert (tmp_path / "three" / name).read_bytes() == content


def test_a_failed_prepare_leaves_nothing(tmp_path: Path) -> None:
    paths = write_texts(tmp_path / "in", 2)
    out = tmp_path / "out"
    assert error_of(lambda: prepare(paths, out, 100)).key == "vocab_too_small"
    assert error_of(lambda: prepare(paths, out, 300, str(tmp_path / "no"))).key == "tokenizer_missing"
    foreign = json.loads(Tokenizer.bytes().json)
    foreign["added_tokens"] = []
    del foreign["model"]["vocab"]["</s>"]
    (tmp_path / "t.json").write_text(json.dumps(foreign))
    assert error_of(lambda: prepare(paths, out, 300, str(tmp_path / "t.json"))).key == "tokenizer_no_eos"
    assert sorted(os.listdir(tmp_path)) == ["in", "t.json"]


def ready(tmp_path: Path) -> Path:
    write_texts(tmp_path / "in", 1)
    prepare([str(tmp_path / "in")], tmp_path / "out", 300)
    return tmp_path / "out"


def edit(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "data.json").read_text())
    content.update(changes)
    (folder / "data.json").write_text(json.dumps(content))


def test_bad_folders(tmp_path: Path) -> None:
    out = ready(tmp_path)
    data = load_data(out)
    assert str(error_of(lambda: data.split("heldout"))).startswith(
        f"{out}: the heldout split is empty, expected tokens"
    )
    n = len(data.train.ids)
    assert str(error_of(lambda: data.train.batch(0, 0, 1, 0, 2, n))) == (
        f"{out / 'train.bin'}: {n} tokens are too few for sequences of {n}, expected at least {n + 1}"
    )
    assert error_of(lambda: load_data(tmp_path / "no")).key == "folder_missing"
    assert str(error_of(lambda: load_data(tmp_path / "in"))) == (
        f"{tmp_path / 'in'}: no data.json, expected a folder written by prepare"
    )
    tokens = np.array(data.train.ids)
    tokens[3] = 300
    (out / "train.bin").write_bytes(tokens.tobytes())
    assert str(error_of(lambda: load_data(out))) == (
        f"{out / 'train.bin'}: token 300 at position 3, expected less than {data.vocab_size}"
    )
    (out / "train.bin").write_bytes(tokens.tobytes()[:-3])
    assert str(error_of(lambda: load_data(out))) == (
        f"{out / 'train.bin'}: {4 * n - 3} bytes, expected {4 * n} for {n} tokens"
    )
    (out / "train.bin").unlink()
    assert error_of(lambda: load_data(out)).key == "file_missing"
    edit(out, train={"tokens": "x"})
    assert str(error_of(lambda: load_data(out))) == (
        f'{out / "data.json"}: train: field "tokens" is "x", expected an integer'
    )
    edit(out, version=2)
    assert error_of(lambda: load_data(out)).key == "config_bad_value"
    (out / "data.json").write_text("{")
    assert error_of(lambda: load_data(out)).key == "json_syntax"


def counting(n: int) -> Tokens:
    return Tokens("t", np.arange(n, dtype=np.uint32), n)


@given(st.integers(0, 2**64 - 1), st.integers(0, 1000), st.integers(1, 4), st.integers(1, 5), st.integers(1, 40),
       st.integers(1, 60))  # fmt: skip
def test_batches_follow_the_formula(seed: int, step: int, a: int, rows: int, seq_len: int, spare: int) -> None:
    n = seq_len + spare
    tokens = counting(n)
    for micro in range(a):
        inputs, targets = tokens.batch(seed, step, a, micro, rows, seq_len)
        assert inputs.dtype == targets.dtype == np.int32
        for row in range(rows):
            draw = draw_u64(seed, STREAM_DATA, (step * a + micro) * rows + row)
            start = draw * (n - seq_len) >> 64
            assert inputs[row].tolist() == list(range(start, start + seq_len))
            assert targets[row].tolist() == list(range(start + 1, start + seq_len + 1))


def test_every_start_is_drawn() -> None:
    """n - T places, the last of which still has its target."""
    tokens = counting(13)
    inputs, targets = tokens.batch(5, 0, 1, 0, 400, 8)
    assert set(inputs[:, 0].tolist()) == {0, 1, 2, 3, 4}
    assert targets.max() == 12


def test_accumulation_reads_the_rows_of_one_large_batch() -> None:
    tokens = counting(100)
    whole, _ = tokens.batch(3, 7, 1, 0, 6, 10)
    parts = [tokens.batch(3, 7, 3, micro, 2, 10)[0] for micro in range(3)]
    assert np.array_equal(np.concatenate(parts), whole)


@given(st.integers(0, 50), st.integers(1, 12), st.integers(1, 4))
def test_windows_count_every_target_once(n: int, seq_len: int, rows: int) -> None:
    tokens = counting(n)
    seen: list[int] = []
    windows = tokens.n_windows(seq_len)
    for first in range(0, windows, rows):
        inputs, targets = tokens.windows(range(first, min(first + rows, windows)), rows, seq_len)
        counted = targets != IGNORED
        assert np.array_equal(inputs[counted] + 1, targets[counted])
        seen += targets[counted].tolist()
    assert seen == list(range(1, n))
