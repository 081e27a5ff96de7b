"""Text to token ids and back, by the `tokenizers` library. The file is a tokenizer.json of that library.

Ours are byte-level: any text can be encoded, and decodes to itself. Ids 0, 1, 2 are <unk>, <s>, </s>.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, pre_tokenizers, trainers

from nn import files, messages
from nn.json_strict import Json, dumps

SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"]
MINIMUM_VOCAB = 256 + len(SPECIAL_TOKENS)
_BOS = ("<s>",)
_EOS = ("</s>", "<|endoftext|>")
_PIECE = 1 << 18


class Tokenizer:
    """`json` is the content of its tokenizer.json; `vocab_size` is the largest id plus one; an id of -1 is none."""

    def __init__(self, data: bytes, where: str) -> None:
        """Errors: tokenizer_bad."""
        try:
            inner = tokenizers.Tokenizer.from_str(data.decode("utf-8"))
        except Exception:  # the library raises plain Exception for whatever is wrong with the file
            raise messages.tokenizer_bad(path=where) from None
        # Text that happens to contain "</s>" is text: special tokens enter by their ids alone.
        inner.encode_special_tokens = True
        inner.no_truncation()
        inner.no_padding()
        self.json = data
        self.where = where
        self._inner = inner
        ids = inner.get_vocab(with_added_tokens=True).values()
        if not ids:
            raise messages.tokenizer_bad(path=where)
        self.vocab_size = max(ids) + 1
        self.bos_id = self._first_of(_BOS)
        self.eos_id = self._first_of(_EOS)
        self._cuts = _is_plain_byte_level(inner)

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """Errors: tokenizer_missing, cannot_read, tokenizer_bad."""
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise messages.tokenizer_missing(path=str(path)) from None
        except OSError as error:
            raise files.cannot_read(path, error) from None
        return Tokenizer(data, str(path))

    @staticmethod
    def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """A byte-level BPE (Sennrich et al. 2016) of at most `vocab_size` tokens, fewer when the text has no more
        pairs. Errors: vocab_too_small."""
        if vocab_size < MINIMUM_VOCAB:
            raise messages.vocab_too_small(found=vocab_size, minimum=MINIMUM_VOCAB)
        inner = tokenizers.Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[tokenizers.AddedToken(token, special=True) for token in SPECIAL_TOKENS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        _interruptibly(lambda read: inner.train_from_iterator(read, trainer), texts)
        return Tokenizer(inner.to_str(pretty=True).encode() + b"\n", "tokenizer.json")

    @staticmethod
    def bytes() -> Tokenizer:
        """One token per byte: id = 3 + byte."""
        return Tokenizer(dumps(_bytes_json()).encode(), "tokenizer.json")

    def encode(self, text: str) -> NDArray[np.uint32]:
        """The ids of `text`, without special tokens."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """`encode` of each text, in parallel."""
        pieces = [list(_pieces(text)) if self._cuts else [text] for text in texts]
        flat = [piece for part in pieces for piece in part]
        encodings = iter(self._inner.encode_batch_fast(flat, add_special_tokens=False))
        return [np.concatenate([np.array(next(encodings).ids, np.uint32) for _ in part]) for part in pieces]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids` without special tokens; bytes that are not UTF-8 become U+FFFD."""
        return self._inner.decode(list(ids), skip_special_tokens=True)

    def token(self, id: int) -> str:
        """The token as the vocabulary spells it, "" for an id that it lacks."""
        return self._inner.id_to_token(id) or ""

    def _first_of(self, tokens: Iterable[str]) -> int:
        for token in tokens:
            id = self._inner.token_to_id(token)
            if id is not None:
                return id
        return -1


class _Stopped(Exception):  # noqa: N818  ends the reading of texts in the other thread
    pass


def _interruptibly(work: Callable[[Iterator[str]], object], texts: Iterable[str]) -> None:
    """`work(texts)`, with Ctrl-C ending the wait for it: the library looks at no signal while it computes.

    It runs in a thread that is left behind on Ctrl-C, but only once it needs no more texts: before that it holds the
    interpreter, which could not exit.
    """
    failure: list[BaseException] = []
    stop, read = threading.Event(), threading.Event()

    def until_stopped() -> Iterator[str]:
        for text in texts:
            if stop.is_set():
                raise _Stopped
            yield text
        read.set()

    def run() -> None:
        try:
            work(until_stopped())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    except KeyboardInterrupt:
        stop.set()
        while thread.is_alive() and not read.is_set():
            thread.join(0.1)
        raise
    if failure:
        raise failure[0]


def _is_plain_byte_level(inner: tokenizers.Tokenizer) -> bool:
    """Whether nothing but GPT-2's byte-level splitting stands before the model; see `_pieces`."""
    pre = inner.pre_tokenizer
    return (
        isinstance(pre, pre_tokenizers.ByteLevel)
        and pre.use_regex
        and not pre.add_prefix_space
        and inner.normalizer is None
        and all(added.special for added in inner.get_added_tokens_decoder().values())
    )


def _pieces(text: str) -> Iterator[str]:
    """Cuts a long text where GPT-2's splitting always cuts, before a line end that follows a visible character: the
    tokens are those of the whole text, and the pieces are encoded in parallel with bounded memory."""
    start = 0
    while len(text) - start > _PIECE:
        cut = text.find("\n", start + _PIECE)
        while cut != -1 and not "!" <= text[cut - 1] <= "~":
            cut = text.find("\n", cut + 1)
        if cut == -1:
            break
        yield text[start:cut]
        start = cut
    yield text[start:]


def byte_character(byte: int) -> str:
    """The visible character that stands for a byte in byte-level vocabularies (GPT-2): itself where it is printable
    Latin-1 and not a space, else U+0100 + its rank among those that are not."""
    if _is_visible(byte):
        return chr(byte)
    return chr(0x100 + sum(not _is_visible(other) for other in range(byte)))


def _is_visible(byte: int) -> bool:
    return 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte <= 0xFF


def _bytes_json() -> Json:
    """The form in which the library writes a tokenizer, without merges."""
    vocab: dict[str, Json] = {token: id for id, token in enumerate(SPECIAL_TOKENS)}
    for byte in range(256):
        vocab[byte_character(byte)] = len(SPECIAL_TOKENS) + byte
    added: list[Json] = [
        {
            "id": id,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for id, token in enumerate(SPECIAL_TOKENS)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [],
        },
    }
