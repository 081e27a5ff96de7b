"""Builds the three command lines once, and makes the runs that the tests compare once each."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus import write_texts
from languages import NAMES, ROOT, Language, PythonServer, build, everywhere

ODD = {
    "model_type": "mixtral", "vocab_size": 331, "hidden_size": 42, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 3, "head_dim": 10, "num_local_experts": 5, "num_experts_per_tok": 3, "intermediate_size": 37,
    "max_position_embeddings": 40, "rms_norm_eps": 2e-6, "rope_theta": 5000.0, "aux_coef": 0.02, "z_coef": 0.003,
    "tie_word_embeddings": False,
}  # fmt: skip
"""Nothing is a multiple of a block: three kv heads of two queries each, heads that do not make up the hidden size."""

RUNS: dict[str, tuple[str, ...]] = {
    "tiny": (
        "--config", "tiny", "--steps", "6", "--save-every", "3", "--batch", "3", "--seq", "33", "--accumulate", "2",
        "--eval-every", "2", "--seed", "7",
    ),
    "odd": (
        "--config", "{odd}", "--steps", "6", "--save-every", "3", "--batch", "2", "--seq", "61", "--recompute",
        "--ntk-alpha", "2", "--lr", "3e-3", "--lr-min", "2e-5", "--warmup", "0.3", "--max-norm", "0.5",
        "--weight-decay", "0.3", "--seed", "9223372036854775807",
    ),
    "odd-bf16": (
        "--config", "{odd}", "--steps", "4", "--save-every", "2", "--batch", "5", "--seq", "7", "--accumulate", "3",
        "--max-norm", "0", "--dtype", "bf16",
    ),
    "small": ("--config", "small", "--steps", "2", "--save-every", "1", "--batch", "2", "--seq", "64"),
}  # fmt: skip
"""name -> options of a training run whose first half is kept; `{odd}` stands for the path of the odd config."""


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in NAMES:
        parser.addoption(f"--{name}-root", type=Path, default=ROOT, help=f"the tree whose {name} sources are tested")


@pytest.fixture(scope="session")
def languages(request: pytest.FixtureRequest) -> list[Language]:
    if not (ROOT / "build" / "libcunn.so").is_file():
        pytest.fail("build/libcunn.so is missing: build it with nox -s build")
    return [build(name, request.config.getoption(f"--{name}-root")) for name in NAMES]


@pytest.fixture(scope="session")
def quick(languages: list[Language], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Language]]:
    """The three command lines, Python's without its start-up."""
    server = PythonServer.start(languages[0], tmp_path_factory.mktemp("server"))
    yield [server, *languages[1:]]
    server.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's texts, data and runs lie."""
    return tmp_path_factory.mktemp("cross")


@pytest.fixture(scope="session")
def texts(home: Path) -> Path:
    return write_texts(home / "texts")


@pytest.fixture(scope="session")
def prepared(languages: list[Language], home: Path, texts: Path) -> dict[str, dict[str, Path]]:
    """kind of tokenizer -> language -> the folder that its `prepare` wrote. Go learns no BPE: it reads Python's."""
    folders: dict[str, dict[str, Path]] = {"bpe": {}, "bytes": {}}

    def prepare(language: Language) -> None:
        out = home / "bpe" / language.name
        learn = ("--tokenizer", home / "bpe" / "python" / "tokenizer.json") if language.name == "go" else ()
        language.succeed("prepare", "--data", texts, "--out", out, "--vocab-size", 1000, "--quiet", *learn)
        folders["bpe"][language.name] = out
        plain = home / "bytes" / language.name
        language.succeed("prepare", "--data", texts, "--out", plain, "--tokenizer", "bytes", "--quiet")
        folders["bytes"][language.name] = plain

    for language in languages:  # in order: Go needs what Python learned
        prepare(language)
    return folders


@pytest.fixture(scope="session")
def odd_config(home: Path) -> Path:
    path = home / "odd" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(ODD))
    return path


class Runs:
    """Training runs, each made in the three languages when a test first asks for it."""

    def __init__(self, languages: list[Language], home: Path, data: dict[str, Path], odd: Path) -> None:
        self.languages = languages
        self.home = home
        self._data = data
        self._odd = odd
        self._printed: dict[str, dict[str, bytes]] = {}
        self._making = threading.Lock()

    def data(self, name: str) -> Path:
        """The tokens that run `name` learns from."""
        return self._data["bytes" if name.startswith("odd") else "bpe"]

    def folder(self, name: str, language: str) -> Path:
        """The checkpoint at the end of run `name`; what it was halfway is in `half`."""
        self.printed(name)
        return self.home / "runs" / name / language

    def half(self, name: str, language: str) -> Path:
        folder = self.folder(name, language)
        (first, _) = sorted(folder.glob("step-*"))
        return first

    def printed(self, name: str) -> dict[str, bytes]:
        """language -> what `train --json` printed."""
        options = [word.format(odd=self._odd) for word in RUNS[name]]

        def train(language: Language) -> bytes:
            return language.succeed(
                "train", "--data", self.data(name), "--out", self.home / "runs" / name / language.name, *options,
                "--keep", 2, "--device", "cpu", "--threads", 1, "--quiet", "--json",
            )  # fmt: skip

        with self._making:
            if name not in self._printed:
                self._printed[name] = everywhere(self.languages, train)
            return self._printed[name]

    def resumed(self, name: str, writer: str, reader: Language, out: Path) -> Path:
        """What `reader` makes of the second half of run `name` that `writer` began."""
        shutil.copytree(self.half(name, writer), out)
        reader.succeed(
            "train", "--resume", "--data", self.data(name), "--out", out, "--device", "cpu", "--threads", 1, "--quiet"
        )
        return out


@pytest.fixture(scope="session")
def runs(languages: list[Language], home: Path, prepared: dict[str, dict[str, Path]], odd_config: Path) -> Runs:
    return Runs(languages, home, {kind: folders["python"] for kind, folders in prepared.items()}, odd_config)
