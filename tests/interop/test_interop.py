"""transformers opens what each language wrote and computes the same; what it trained on opens here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CONFIGS
from languages import NAMES, Language
from numpy.typing import NDArray
from transformers import MixtralForCausalLM, PreTrainedTokenizerFast

from nn.model.safetensors import SafetensorsFile

CPU = ("--device", "cpu", "--threads", 1)
PROMPT = "def forward(self) 言語"
IDS = [3, 141, 59, 26, 253, 58, 97, 93, 238, 46, 26, 43, 38, 32, 79, 50, 28, 84, 19, 71, 69, 39, 93, 75, 10, 58]
NEW = 12


def opened(folder: Path) -> MixtralForCausalLM:
    """In float32, with every tensor of the file used and none missing. "eager": their grouped products want rows of
    whole 16 bytes, which the odd config has not."""
    model, report = MixtralForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
        output_loading_info=True,
    )  # fmt: skip
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[problem], f"{problem}: {report[problem]}"
    return model.eval()


def theirs(model: MixtralForCausalLM, ids: list[int]) -> NDArray[np.float32]:
    with torch.no_grad():
        logits: NDArray[np.float32] = model(torch.tensor([ids])).logits[0].numpy()
    return logits


def ours(language: Language, folder: Path, out: Path) -> NDArray[np.float32]:
    language.succeed("logits", "--model", folder, "--ids", ",".join(map(str, IDS)), "--out", out, *CPU)
    logits: NDArray[np.float32] = SafetensorsFile(out).f32("logits")[0]
    return logits


def close(what: str, got: NDArray[np.float32], want: NDArray[np.float32]) -> None:
    error, limit = float(np.abs(got - want).max()), 2e-5 * float(np.abs(want).max())
    assert got.shape == want.shape and error <= limit, f"{what}: off by {error}, at most {limit}"


def greedy_here(language: Language, folder: Path) -> list[int]:
    printed = language.succeed(
        "generate", "--model", folder, "--prompt", PROMPT, "--max-new-tokens", NEW, "--temperature", 0, "--json", *CPU
    )
    ids: list[int] = json.loads(printed)["ids"]
    return ids


def greedy_there(model: MixtralForCausalLM, prompt: list[int]) -> list[int]:
    """New ids, without the one that ends the text."""
    made = model.generate(torch.tensor([prompt]), max_new_tokens=NEW, do_sample=False, pad_token_id=0)[0]
    ids: list[int] = made[len(prompt) :].tolist()
    return ids[:-1] if ids and ids[-1] == model.generation_config.eos_token_id else ids


def float_copy(folder: Path, config: str, home: Path) -> Path:
    """bf16 weights compute in bf16 here: what transformers computes in float32 is compared with the same weights
    widened to float32, as transformers saves them."""
    if config != "bf16":
        return folder
    model = opened(folder)
    copy = home / "widened"
    model.save_pretrained(copy)
    shutil.copyfile(folder / "tokenizer.json", copy / "tokenizer.json")
    return copy


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("config", CONFIGS)
def test_they_open_ours(
    languages: dict[str, Language], folders: dict[tuple[str, str], Path], config: str, name: str, tmp_path: Path
) -> None:
    folder = folders[config, name]
    model = opened(folder)
    here = float_copy(folder, config, tmp_path)
    close(f"{name}, {config}", ours(languages[name], here, tmp_path / "logits"), theirs(model, IDS))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    inspected = languages[name].succeed("inspect", "--model", folder, "--prompt", PROMPT, "--json", *CPU)
    assert json.loads(inspected)["ids"] == prompt
    assert greedy_here(languages[name], here) == greedy_there(model, prompt)


@pytest.mark.parametrize("shard_size", ["10GB", "60KB"])
@pytest.mark.parametrize("config", ["tiny", "several kv heads, NTK"])
def test_we_open_what_they_trained_on(
    languages: dict[str, Language], folders: dict[tuple[str, str], Path], config: str, shard_size: str, tmp_path: Path
) -> None:
    """Eight steps of their AdamW, their save, in one file and in shards; then the three languages: the same bytes of
    logits as one another, and theirs within 2e-5."""
    model = opened(folders[config, "python"])
    before = theirs(model, IDS)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    batch = torch.tensor([IDS, IDS[::-1]])
    losses = []
    for _ in range(8):
        loss = model(batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    model.eval()
    folder = tmp_path / "theirs"
    model.save_pretrained(folder, max_shard_size=shard_size)
    assert (folder / "model.safetensors.index.json").is_file() == (shard_size == "60KB")
    shutil.copyfile(folders[config, "python"] / "tokenizer.json", folder / "tokenizer.json")
    want = theirs(model, IDS)
    assert np.abs(want - before).max() > 1e-2, "training changed nothing"
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    greedy = greedy_there(model, tokenizer.encode(PROMPT, add_special_tokens=False))
    files = {}
    for name, language in languages.items():
        close(f"{name}, {config}", ours(language, folder, tmp_path / name), want)
        files[name] = (tmp_path / name).read_bytes()
        assert greedy_here(language, folder) == greedy, name
    assert files["rust"] == files["python"] and files["go"] == files["python"]


def test_our_losses_are_theirs(
    languages: dict[str, Language], folders: dict[tuple[str, str], Path], data: Path
) -> None:
    """`eval` of each language on the held-out tokens, window by window, against their cross entropy."""
    model = opened(folders["tiny", "python"])
    ids = np.frombuffer((data / "heldout.bin").read_bytes(), "<u4").astype(np.int64)
    total = 0.0
    for start in range(0, len(ids) - 1, 64):
        part = torch.tensor(ids[start : start + 65][None])
        with torch.no_grad():
            logits = model(part[:, :-1]).logits[0].double()
        total += float(torch.nn.functional.cross_entropy(logits, part[0, 1:], reduction="sum"))
    want = total / (len(ids) - 1)
    for name, language in languages.items():
        folder = folders["tiny", name]
        printed = language.succeed("eval", "--model", folder, "--data", data, "--seq", 64, "--json", "--quiet", *CPU)
        assert json.loads(printed)["loss"] == pytest.approx(want, rel=2e-5), name
