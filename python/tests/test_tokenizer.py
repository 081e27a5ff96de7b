"""Text to ids and back."""

import collections
import itertools
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from nn import tokenizer as module
from nn.errors import NNError
from nn.tokenizer import Tokenizer, _interruptibly, byte_character

TEXT = "def hello(name):\n    return f'hello {name}'\n\n\nhello hello\tworld </s> <s>\n" * 5
TRAINED = Tokenizer.train([TEXT], 280)
BYTES = Tokenizer.bytes()
ANY_TEXT = st.text(st.characters(codec="utf-8"))


@pytest.mark.parametrize("tokenizer", [TRAINED, BYTES])
def test_special_ids(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token(id) for id in range(3)] == ["<unk>", "<s>", "</s>"]
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    assert TRAINED.vocab_size == 280
    assert BYTES.vocab_size == 259
    assert BYTES.token(259) == ""


@given(ANY_TEXT)
def test_any_text_comes_back(text: str) -> None:
    for tokenizer in (TRAINED, BYTES):
        assert tokenizer.decode(tokenizer.encode(text).tolist()) == text
    assert BYTES.encode(text).tolist() == [3 + byte for byte in text.encode()]


def test_special_tokens_in_text_are_text() -> None:
    ids = TRAINED.encode("a</s>b<s>").tolist()
    assert not {0, 1, 2} & set(ids)
    assert TRAINED.decode([1, *ids, 2]) == "a</s>b<s>"


def test_training_is_the_same_every_time() -> None:
    assert Tokenizer.train([TEXT], 280).json == TRAINED.json
    assert Tokenizer(TRAINED.json, "x").encode(TEXT).tolist() == TRAINED.encode(TEXT).tolist()
    assert len(TRAINED.encode(TEXT)) < len(TEXT) / 2


def test_a_short_text_learns_fewer_tokens() -> None:
    assert 259 < Tokenizer.train(["aaa aaa aaa"], 5000).vocab_size < 300


def test_the_byte_tokenizer_is_the_library_s_form() -> None:
    inner = tokenizers.Tokenizer.from_str(BYTES.json.decode())
    assert inner.to_str(pretty=True) + "\n" == BYTES.json.decode()
    assert sorted(map(byte_character, range(256))) == sorted(pre_tokenizers.ByteLevel.alphabet())


LINES = st.lists(
    st.sampled_from(["ab", " x", "\n", "\n\n", " \n ", "\t", "é", "'s", "1", " ", "\u200b", "end.\n", "\r\n"])
)


@given(LINES)
def test_cutting_a_long_text_changes_no_token(parts: list[str]) -> None:
    text = "".join(parts)
    whole = Tokenizer(TRAINED.json, "x")
    whole._cuts = False
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(module, "_PIECE", 3)
    try:
        pieces = list(module._pieces(text))
        cut = TRAINED.encode(text).tolist()
    finally:
        monkeypatch.undo()
    assert "".join(pieces) == text
    assert cut == whole.encode(text).tolist()


def test_a_long_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRAINED._cuts
    monkeypatch.setattr(module, "_PIECE", 20)
    assert len(list(module._pieces(TEXT))) > 5


def test_a_foreign_tokenizer_is_not_cut() -> None:
    inner = tokenizers.Tokenizer.from_str(TRAINED.json.decode())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    assert not Tokenizer(inner.to_str().encode(), "x")._cuts


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[1]", TRAINED.json[:1000]])
def test_not_a_tokenizer(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(data)
    with pytest.raises(NNError) as caught:
        Tokenizer.load(path)
    assert str(caught.value) == f"{path}: not a tokenizer, expected the tokenizer.json of the tokenizers library"


def test_no_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(NNError) as caught:
        Tokenizer.load(tmp_path / "t.json")
    assert str(caught.value) == f"{tmp_path / 't.json'}: no such file, expected a tokenizer.json"


def test_too_small_a_vocabulary() -> None:
    with pytest.raises(NNError) as caught:
        Tokenizer.train([TEXT], 258)
    assert caught.value.exit_code == 2
    assert str(caught.value) == "vocabulary size is 258, expected at least 259 (256 bytes and 3 special tokens)"
    assert Tokenizer.train([TEXT], 259).vocab_size == 259


def test_many_texts_at_once() -> None:
    texts = ["", TEXT, "x", TEXT * 2]
    assert [ids.tolist() for ids in TRAINED.encode_all(texts)] == [TRAINED.encode(text).tolist() for text in texts]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt even where the suite was started with the signal ignored, as by nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_wait_for_a_vocabulary() -> None:
    """While texts are read the reading stops; behind that nobody waits for the library."""
    released = threading.Event()

    def compute(texts: Iterator[str]) -> None:
        assert list(texts) == ["a", "b"]
        signal.raise_signal(signal.SIGINT)
        released.wait(60)

    with pytest.raises(KeyboardInterrupt):
        _interruptibly(compute, ["a", "b"])
    released.set()

    seen = []

    def endless() -> Iterator[str]:
        signal.raise_signal(signal.SIGINT)
        for number in itertools.count():
            seen.append(number)
            time.sleep(0.001)
            yield "a"

    with pytest.raises(KeyboardInterrupt):
        _interruptibly(lambda texts: collections.deque(texts, 0), endless())
    count = len(seen)
    time.sleep(0.01)
    assert len(seen) == count


def test_what_goes_wrong_while_a_vocabulary_is_learned_is_passed_on() -> None:
    def texts() -> Iterator[str]:
        raise OSError("unreadable")
        yield ""

    with pytest.raises(OSError, match="unreadable"):
        Tokenizer.train(texts(), 300)
