"""What goes wrong, each with the key of its sentence in cuda/tools/messages.json: a row is a line."""

# ruff: noqa: E501  rows of a table

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from spoil import (
    Bad,
    Place,
    Spoil,
    both,
    config,
    cut,
    deep,
    entry,
    fields,
    folder_instead,
    index,
    link_to_itself,
    patch,
    remove,
    rename,
    sharded,
    tensors,
    write,
)

FIRST, SHARD = "model.embed_tokens.weight", "model-00001-of-00002.safetensors"
NORM = "model.norm.weight"
LOGITS = "logits --model {model} --ids 1,2 --out {out}"
GENERATE = "generate --model {model} --prompt x --max-new-tokens 1"
EVAL = "eval --model {model} --data {data}"
RESUME = "train --resume --data {data} --out {model} --quiet"
TRAIN = "train --data {data} --out {out} --config {model} --steps 1 --batch 1 --seq 4 --quiet"
INIT = "init --config {model} --out {out} --quiet"
PREPARE = "prepare --data {texts} --out {out} --quiet"
BENCH = "bench --cases {home}/cases.json --out {out} --quiet"
NO_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
CASES = '{"version": 1, "warmup": 0, "samples": 1, "seconds": 0.1, "cases": [%s]}'
SILU = '{"name": "a", "kind": "silu", "n": 8}'


def pipe(place: Place) -> None:
    os.mkfifo(place.home / "pipe")


def cut_off_save(place: Place) -> None:
    """A run's folder after a crash behind the moment of saving: what it saved is not moved up yet."""
    aside = place.home / "out" / ".complete"
    aside.mkdir(parents=True)
    shutil.copy(place.home / "model" / "trainer_state.json", aside)


USAGE = [
    Bad("no such command", "usage_unknown_command", "fly"),
    Bad("a quote in a command", "usage_unknown_command", ("it's",)),
    Bad("a command in capitals", "usage_unknown_command", "Train"),
    Bad("empty command", "usage_unknown_command", ("",)),
    Bad("no such command, asked for help", "usage_unknown_command", "fly --help"),
    Bad("no such command after --", "usage_unknown_command", "-- fly"),
    Bad("command after options", "usage_unknown_option", "--json info"),
    Bad("a dash for a command", "usage_unknown_command", "- --version"),
    Bad("no such option behind --version", "usage_unknown_option", "--version --foo info"),
    Bad("no such option behind --help", "usage_unknown_option", "--help --foo"),
    Bad("no such option before --version", "usage_unknown_option", "-v --version"),
    Bad("--version with a value", "usage_flag_value", "--version=0"),
    Bad("--help with a value", "usage_flag_value", "--help=1 train"),
    Bad("--help of a command with a value", "usage_flag_value", "train --help=1"),
    Bad("no such option", "usage_unknown_option", LOGITS + " --foo"),
    Bad("no such short option", "usage_unknown_option", "info -x"),
    Bad("abbreviated option", "usage_unknown_option", "info --js"),
    Bad("one dash", "usage_unknown_option", "info -json"),
    Bad("option of another command", "usage_unknown_option", "info --seed 1"),
    Bad("missing --out", "usage_missing_option", "init --config tiny"),
    Bad("missing everything", "usage_missing_option", "train"),
    Bad("missing the second", "usage_missing_option", "generate --model {model}"),
    Bad("no value at the end", "usage_missing_value", "init --config tiny --out"),
    Bad("flag with a value", "usage_flag_value", "info --json=1"),
    Bad("flag with an empty value", "usage_flag_value", ("info", "--json=")),
    Bad("flag with true", "usage_flag_value", RESUME + " --recompute=true"),
    Bad("an argument", "usage_extra_argument", "info more"),
    Bad("two arguments", "usage_extra_argument", "info more words"),
    Bad("argument behind --", "usage_extra_argument", "info -- --json"),
    Bad("empty argument", "usage_extra_argument", ("info", "")),
    Bad("letters for an integer", "usage_bad_value", INIT + " --seed many"),
    Bad("underscore in an integer", "usage_bad_value", INIT + " --seed 1_0"),
    Bad("other digits", "usage_bad_value", INIT + " --seed ١٢"),
    Bad("beyond 64 bits", "usage_bad_value", INIT + " --seed 9223372036854775808"),
    Bad("far beyond 64 bits", "usage_bad_value", INIT + " --threads " + "9" * 40),
    Bad("hexadecimal", "usage_bad_value", INIT + " --seed 0x10"),
    Bad("a float for an integer", "usage_bad_value", INIT + " --threads 1.0"),
    Bad("space before an integer", "usage_bad_value", (*INIT.split(" "), "--seed", " 1")),
    Bad("empty integer", "usage_bad_value", (*INIT.split(" "), "--seed", "")),
    Bad("negative seed", "usage_bad_value", INIT + " --seed -1"),
    Bad("negative threads", "usage_bad_value", INIT + " --threads -1"),
    Bad("too many threads", "usage_bad_value", INIT + " --threads 1025"),
    Bad("not a number", "usage_bad_value", INIT + " --ntk-alpha nan"),
    Bad("infinite", "usage_bad_value", INIT + " --ntk-alpha inf"),
    Bad("hexadecimal float", "usage_bad_value", INIT + " --ntk-alpha 0x1p3"),
    Bad("comma in a number", "usage_bad_value", INIT + " --ntk-alpha 1,5"),
    Bad("lone exponent", "usage_bad_value", INIT + " --ntk-alpha e5"),
    Bad("lone dot", "usage_bad_value", INIT + " --ntk-alpha ."),
    Bad("empty path", "usage_bad_value", ("init", "--config", "tiny", "--out", "")),
    Bad("empty path with =", "usage_bad_value", ("init", "--config", "tiny", "--out=")),
    Bad("dtype", "usage_bad_value", INIT + " --dtype f64"),
    Bad("dtype in capitals", "usage_bad_value", INIT + " --dtype F32"),
    Bad("dtype of train", "usage_bad_value", TRAIN + " --dtype f16"),
    Bad("prompt that is not UTF-8", "usage_bad_value", ("generate", "--model", "{model}", "--prompt", b"\xff\xfe")),
    Bad("device that is not UTF-8", "usage_bad_value", ("init", "--config", "tiny", "--out", "{out}", "--device", b"\x80")),
    Bad("ids with letters", "usage_bad_value", "logits --model {model} --ids 1,b --out {out}"),
    Bad("ids with a sign", "usage_bad_value", "logits --model {model} --ids 1,-2 --out {out}"),
    Bad("ids with a hole", "usage_bad_value", "logits --model {model} --ids 1,,2 --out {out}"),
    Bad("ids too long", "usage_bad_value", "logits --model {model} --ids 12345678901 --out {out}"),
    Bad("other digits in ids", "usage_bad_value", "logits --model {model} --ids ١ --out {out}"),
    Bad("no ids", "no_ids", ("logits", "--model", "{model}", "--ids", "", "--out", "{out}")),
    Bad("only commas", "no_ids", ("logits", "--model", "{model}", "--ids", ",, ,", "--out", "{out}")),
    Bad("empty prompt", "empty_prompt", ("generate", "--model", "{model}", "--prompt", "")),
    Bad("empty prompt to inspect", "empty_prompt", ("inspect", "--model", "{model}", "--prompt", "")),
    Bad("no new tokens", "usage_bad_value", "generate --model {model} --prompt x --max-new-tokens 0"),
    Bad("negative temperature", "usage_bad_value", GENERATE + " --temperature -1"),
    Bad("infinite temperature", "usage_bad_value", GENERATE + " --temperature 1e400"),
    Bad("negative top-k", "usage_bad_value", GENERATE + " --top-k -1"),
    Bad("top-p of 0", "usage_bad_value", GENERATE + " --top-p 0"),
    Bad("top-p above 1", "usage_bad_value", GENERATE + " --top-p 1.5"),
    Bad("batch of eval", "usage_bad_value", EVAL + " --batch 0"),
    Bad("seq of eval", "usage_bad_value", EVAL + " --seq -1"),
    Bad("steps", "usage_bad_value", TRAIN + " --batch 2147483648"),
    Bad("accumulate", "usage_bad_value", TRAIN + " --accumulate 0"),
    Bad("eval-every", "usage_bad_value", TRAIN + " --eval-every -1"),
    Bad("save-every", "usage_bad_value", TRAIN + " --save-every -5"),
    Bad("keep", "usage_bad_value", TRAIN + " --keep -1"),
    Bad("lr", "usage_bad_value", TRAIN + " --lr -0.5"),
    Bad("lr that overflows", "usage_bad_value", TRAIN + " --lr 1e400"),
    Bad("lr-min", "usage_bad_value", TRAIN + " --lr-min 1000001"),
    Bad("warmup", "usage_bad_value", TRAIN + " --warmup 1.01"),
    Bad("weight-decay", "usage_bad_value", TRAIN + " --weight-decay -1e-9"),
    Bad("max-norm", "usage_bad_value", TRAIN + " --max-norm 1e31"),
    Bad("minutes of 0", "usage_bad_value", "train --data {data} --out {out} --minutes 0"),
    Bad("steps and minutes", "usage_conflict", TRAIN + " --minutes 1"),
    Bad("resume and lr", "usage_conflict", RESUME + " --lr 1"),
    Bad("resume and two more", "usage_conflict", RESUME + " --warmup 0.1 --batch 2"),
    Bad("resume and seed", "usage_conflict", RESUME + " --seed 0"),
    Bad("resume and recompute", "usage_conflict", RESUME + " --recompute"),
    Bad("device", "device_unknown", INIT + " --device tpu"),
    Bad("device in capitals", "device_unknown", INIT + " --device CPU"),
    Bad("empty device", "device_unknown", (*INIT.split(" "), "--device", "")),
    Bad("preset", "unknown_preset", "init --config giant --out {out}"),
    Bad("preset in capitals", "unknown_preset", "init --config Tiny --out {out}"),
    Bad("preset of train", "unknown_preset", "train --data {data} --out {out} --config no/such.json"),
    Bad("vocabulary", "vocab_too_small", PREPARE + " --vocab-size 258", without="go"),
    Bad("negative vocabulary", "vocab_too_small", PREPARE + " --vocab-size -1", without="go"),
    Bad("huge vocabulary", "usage_bad_value", PREPARE + " --vocab-size 1048577", without="go"),
]  # fmt: skip

FILES = [
    Bad("no folder", "folder_missing", "logits --model {home}/none --ids 1 --out {out}"),
    Bad("a folder that is a file", "not_a_folder", "logits --model {model}/config.json --ids 1 --out {out}"),
    Bad("over a run", "train_replaces", TRAIN.replace("{out}", "{model}")),
    Bad("over a run on no device", "train_replaces", "train --data {home}/none --out {model}/ --device cuda --config {home}/x"),
    Bad("over a run cut off while it saved", "train_replaces", TRAIN, cut_off_save),
    Bad("no folder to resume", "folder_missing", "train --resume --data {data} --out {home}/none"),
    Bad("no config.json", "file_missing", LOGITS, remove("model/config.json")),
    Bad("no config.json in the folder of --config", "file_missing", "init --config {data} --out {out}"),
    Bad("no weights", "checkpoint_no_weights", LOGITS, remove("model/model.safetensors")),
    Bad("no tokenizer", "tokenizer_missing", GENERATE, remove("model/tokenizer.json")),
    Bad("no tokenizer for eval", "tokenizer_missing", "eval --model {model} --data {texts}", remove("model/tokenizer.json")),
    Bad("no tokenizer for prepare", "tokenizer_missing", PREPARE + " --tokenizer {home}/none"),
    Bad("no tokenizer for init", "tokenizer_missing", INIT + " --tokenizer {home}/none"),
    Bad("no trainer_state.json", "checkpoint_no_training_state", RESUME, remove("model/trainer_state.json")),
    Bad("no optimizer", "checkpoint_no_training_state", RESUME, remove("model/optimizer.safetensors")),
    Bad("no text", "cannot_read", "prepare --tokenizer bytes --data {home}/none --out {out}"),
    Bad("empty folder", "data_no_files", "prepare --tokenizer bytes --data {home}/empty --out {out}", lambda p: (p.home / "empty").mkdir()),
    Bad("two empty folders", "data_no_files", "prepare --tokenizer bytes --data {home}/a --data {home}/b --out {out}",
        lambda p: list(map(Path.mkdir, (p.home / "a", p.home / "b")))),
    Bad("only hidden files", "data_no_files", PREPARE + " --tokenizer bytes", both(remove("texts"), lambda p: (p.texts / ".git").mkdir(parents=True),
        write("texts/.hidden", "x"))),
    Bad("only an empty file", "data_no_files", "prepare --tokenizer bytes --data {home}/x --out {out}", write("x", "")),
    Bad("a pipe", "data_no_files", "prepare --tokenizer bytes --data {home}/pipe --out {out}", pipe),
    Bad("cases.json missing", "file_missing", BENCH),
    Bad("cannot read config.json", "cannot_read", LOGITS, folder_instead("model/config.json")),
    Bad("cannot read weights", "cannot_read", LOGITS, folder_instead("model/model.safetensors")),
    Bad("cannot read the tokenizer", "cannot_read", GENERATE, folder_instead("model/tokenizer.json")),
    Bad("links in a circle", "cannot_read", LOGITS, link_to_itself("model/config.json")),
    Bad("text links in a circle", "cannot_read", "prepare --tokenizer bytes --data {home}/x --out {out}", link_to_itself("x")),
    Bad("a file is no folder of text", "cannot_read", "prepare --tokenizer bytes --data {texts}/00.txt/x --out {out}"),
    Bad("too long a name", "cannot_read", "prepare --tokenizer bytes --data {home}/" + "n" * 300 + " --out {out}"),
    Bad("out is a file", "cannot_write", INIT, write("out", "x")),
    Bad("out is below a file", "cannot_write", "init --config tiny --out {texts}/00.txt/model --quiet"),
    Bad("out has too long a name", "cannot_write", "init --config tiny --quiet --out {home}/" + "n" * 300),
    Bad("out of logits is a folder", "cannot_write", LOGITS, lambda p: p.out.mkdir()),
    Bad("out of logits has no folder", "cannot_write", "logits --model {model} --ids 1 --out {home}/none/x"),
    Bad("out of prepare is a file", "cannot_write", PREPARE + " --tokenizer bytes", write("out", "x")),
    Bad("out of train is a file", "cannot_write", TRAIN, write("out", "x")),
    Bad("out of logits is a pipe", "cannot_write", "logits --model {model} --ids 1 --out {home}/pipe", pipe),
    Bad("html is a pipe", "cannot_write", "inspect --model {model} --prompt x --html {home}/pipe", pipe),
    Bad("out of bench is a pipe", "cannot_write", "bench --cases {home}/cases.json --out {home}/pipe --quiet",
        both(pipe, write("cases.json", CASES % SILU))),
    Bad("html has no folder", "cannot_write", "inspect --model {model} --prompt x --html {home}/none/x.html"),
    Bad("out of bench has no folder", "cannot_write", "bench --cases {home}/cases.json --out {home}/none/x --quiet",
        write("cases.json", CASES % SILU)),
]  # fmt: skip

JSON = [
    Bad("empty config", "json_syntax", LOGITS, write("model/config.json", "")),
    Bad("a word", "json_syntax", LOGITS, write("model/config.json", "hello")),
    Bad("comma at the end", "json_syntax", LOGITS, write("model/config.json", '{"a": 1,\n}')),
    Bad("two values", "json_syntax", LOGITS, write("model/config.json", "{} {}")),
    Bad("byte order mark", "json_syntax", LOGITS, write("model/config.json", b"\xef\xbb\xbf{}")),
    Bad("not UTF-8", "json_syntax", LOGITS, write("model/config.json", b'{"a": "\xff"}')),
    Bad("lone surrogate", "json_syntax", LOGITS, write("model/config.json", r'{"a": "\ud800"}')),
    Bad("control character", "json_syntax", LOGITS, write("model/config.json", '{"a": "\t"}')),
    Bad("leading zero", "json_syntax", LOGITS, write("model/config.json", '{"a": 01}')),
    Bad("NaN", "json_syntax", LOGITS, write("model/config.json", '{"a": NaN}')),
    Bad("single quotes", "json_syntax", LOGITS, write("model/config.json", "{'a': 1}")),
    Bad("columns count characters", "json_syntax", LOGITS, write("model/config.json", '{"言語": "é", x}')),
    Bad("truncated", "json_syntax", LOGITS, cut("model/config.json", 100)),
    Bad("key twice", "json_duplicate_key", LOGITS, write("model/config.json", '{"a": 1, "b": {"c": 1, "c": 2}}')),
    Bad("integer too large", "json_number_range", LOGITS, write("model/config.json", '{"a": 9223372036854775808}')),
    Bad("float too large", "json_number_range", LOGITS, write("model/config.json", '{"a": 1e999}')),
    Bad("a level too deep", "json_too_deep", LOGITS, write("model/config.json", '{"a": ' + deep(64) + "}")),
    Bad("as deep as may be", "config_unsupported", LOGITS, write("model/config.json", '{"a": ' + deep(63) + "}")),
    Bad("far too deep", "json_too_deep", LOGITS, write("model/config.json", '{"a": ' + deep(2000) + "}")),
    Bad("an array", "json_not_object", LOGITS, write("model/config.json", "[1]")),
    Bad("null", "json_not_object", LOGITS, write("model/config.json", "null")),
    Bad("trainer_state.json", "json_syntax", RESUME, write("model/trainer_state.json", "{")),
    Bad("data.json", "json_syntax", EVAL, write("data/data.json", '{"version"}')),
    Bad("index", "json_not_object", LOGITS, both(sharded, write("model/model.safetensors.index.json", "3"))),
    Bad("metrics.jsonl", "json_syntax", RESUME, write("model/metrics.jsonl", '{"step": 1}\n{"step"\n')),
    Bad("cases.json", "json_duplicate_key", BENCH, write("cases.json", '{"version": 1, "version": 1}')),
]  # fmt: skip

CONFIG = [
    Bad("size missing", "field_missing", LOGITS, config(_drop=("hidden_size",))),
    Bad("size is text", "field_wrong_type", LOGITS, config(hidden_size="42")),
    Bad("size is a fraction", "field_wrong_type", LOGITS, config(hidden_size=42.0)),
    Bad("size is true", "field_wrong_type", LOGITS, config(num_hidden_layers=True)),
    Bad("size is null", "field_wrong_type", LOGITS, config(vocab_size=None)),
    Bad("number is text", "field_wrong_type", LOGITS, config(rms_norm_eps="1e-6")),
    Bad("object is a number", "field_wrong_type", LOGITS, config(rope_parameters=3)),
    Bad("two end ids", "field_wrong_type", LOGITS, config(eos_token_id=[1, 2])),
    Bad("size 0", "config_bad_value", LOGITS, config(intermediate_size=0)),
    Bad("size negative", "config_bad_value", LOGITS, config(num_hidden_layers=-3)),
    Bad("size beyond 31 bits", "config_bad_value", LOGITS, config(vocab_size=2**31)),
    Bad("too many experts", "config_bad_value", LOGITS, config(num_local_experts=1025)),
    Bad("head_dim too large", "config_bad_value", LOGITS, config(head_dim=65538)),
    Bad("eps 0", "config_bad_value", LOGITS, config(rms_norm_eps=0.0)),
    Bad("eps negative", "config_bad_value", LOGITS, config(rms_norm_eps=-1e-7)),
    Bad("alpha below 1", "config_bad_value", LOGITS, config(ntk_alpha=0.5)),
    Bad("alpha of the command line", "config_bad_value", LOGITS + " --ntk-alpha 0.25"),
    Bad("alpha too large", "config_bad_value", INIT + " --ntk-alpha 65537"),
    Bad("context too large", "config_bad_value", "init --config 6.9b --out {out} --ntk-alpha 65536.0"),
    Bad("end id beyond the vocabulary", "config_bad_value", LOGITS, config(eos_token_id=331)),
    Bad("aux_coef negative", "config_bad_value", LOGITS, config(aux_coef=-0.01)),
    Bad("theta overflows", "config_bad_value", INIT + " --ntk-alpha 65536", config(
        head_dim=4, hidden_size=24, ntk_base_theta=1e300, ntk_alpha=1.0, ntk_base_positions=40, max_position_embeddings=40,
        rope_theta=1e300, rope_parameters={"rope_theta": 1e300})),
    Bad("more chosen than there are", "config_experts_per_token", LOGITS, config(num_experts_per_tok=6)),
    Bad("hidden not divisible", "config_hidden_not_divisible", LOGITS, config(_drop=("head_dim",), num_attention_heads=5)),
    Bad("heads not divisible", "config_heads_not_divisible", LOGITS, config(num_key_value_heads=4)),
    Bad("odd head", "config_odd_head_dim", LOGITS, config(head_dim=9)),
    Bad("too many parameters", "config_too_large", LOGITS, config(hidden_size=2**24, intermediate_size=2**24)),
    Bad("another model", "config_unsupported", LOGITS, config(model_type="llama")),
    Bad("no model type", "config_unsupported", LOGITS, config(_drop=("model_type",))),
    Bad("architecture", "config_unsupported", LOGITS, config(architectures=["LlamaForCausalLM"])),
    Bad("activation", "config_unsupported", LOGITS, config(hidden_act="gelu")),
    Bad("window", "config_unsupported", LOGITS, config(sliding_window=4096)),
    Bad("tied", "config_unsupported", LOGITS, config(tie_word_embeddings=True)),
    Bad("rope type", "config_unsupported", LOGITS, config(rope_parameters={"rope_type": "yarn"})),
    Bad("partial rope", "config_unsupported", LOGITS, config(rope_parameters={"partial_rotary_factor": 0.5})),
    Bad("dtype", "config_unsupported", LOGITS, config(dtype="float64")),
    Bad("theta does not follow", "config_ntk_mismatch", LOGITS, config(rope_parameters={"rope_theta": 1.5e4})),
    Bad("context does not follow", "config_ntk_mismatch", LOGITS, config(max_position_embeddings=81)),
]  # fmt: skip

WEIGHTS = [
    Bad("empty file", "safetensors_truncated", LOGITS, write("model/model.safetensors", b"")),
    Bad("five bytes", "safetensors_truncated", LOGITS, cut("model/model.safetensors", 5)),
    Bad("half a header", "safetensors_truncated", LOGITS, cut("model/model.safetensors", 300)),
    Bad("one byte short", "safetensors_out_of_file", LOGITS, cut("model/model.safetensors", -1)),
    Bad("header of all ones", "safetensors_header_too_large", LOGITS, patch("model/model.safetensors", 0, b"\xff" * 8)),
    Bad("header is no JSON", "json_syntax", LOGITS, patch("model/model.safetensors", 8, b"}")),
    Bad("metadata", "safetensors_bad_metadata", LOGITS, tensors("model/model.safetensors",
        lambda header, data: header.update(__metadata__={"format": 1}))),
    Bad("entry", "safetensors_bad_entry", LOGITS, entry(NORM, more=1)),
    Bad("dtype", "safetensors_bad_dtype", LOGITS, entry(NORM, dtype="F33")),
    Bad("dtype is a number", "safetensors_bad_dtype", LOGITS, entry(NORM, dtype=3)),
    Bad("negative extent", "safetensors_bad_shape", LOGITS, entry(NORM, shape=[-42])),
    Bad("nine dimensions", "safetensors_bad_shape", LOGITS, entry(NORM, shape=[1] * 8 + [42])),
    Bad("extent is a fraction", "safetensors_bad_shape", LOGITS, entry(NORM, shape=[42.0])),
    Bad("overflow", "safetensors_shape_overflow", LOGITS, entry(NORM, shape=[2**62, 2**62])),
    Bad("offsets", "safetensors_bad_offsets", LOGITS, entry(NORM, data_offsets=[8, 4])),
    Bad("one offset", "safetensors_bad_offsets", LOGITS, entry(NORM, data_offsets=[8])),
    Bad("beyond the end", "safetensors_out_of_file", LOGITS, entry(NORM, data_offsets=[0, 2**40])),
    Bad("size", "safetensors_wrong_size", LOGITS, entry(NORM, shape=[41])),
    Bad("hole", "safetensors_not_contiguous", LOGITS, tensors("model/model.safetensors",
        lambda header, data: header.pop(FIRST) and None)),
    Bad("trailing bytes", "safetensors_trailing", LOGITS, tensors("model/model.safetensors", lambda header, data: data + b"\0")),
    Bad("tensor missing", "checkpoint_missing_tensor", LOGITS, rename(NORM, "model.other.weight")),
    Bad("tensor too many", "checkpoint_unexpected_tensor", LOGITS, tensors("model/model.safetensors",
        lambda header, data: header.update(zz={"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}))),
    Bad("quote and newline in a name", "checkpoint_unexpected_tensor", LOGITS, tensors("model/model.safetensors",
        lambda header, data: header.update({'z"\n言': {"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2}}))),
    Bad("shape", "checkpoint_wrong_shape", LOGITS, entry(FIRST, shape=[42, 331])),
    Bad("scalar", "checkpoint_wrong_shape", LOGITS, config(hidden_size=44)),
    Bad("integers", "checkpoint_wrong_dtype", LOGITS, entry(NORM, dtype="I32")),
    Bad("shard beyond the folder", "checkpoint_index_file", LOGITS, index(weight_map={FIRST: "../x.safetensors"})),
    Bad("shard is a number", "checkpoint_index_file", LOGITS, index(weight_map={FIRST: 3})),
    Bad("shard of another kind", "checkpoint_index_file", LOGITS, index(weight_map={FIRST: "x.bin"})),
    Bad("shard missing", "file_missing", LOGITS, both(sharded, remove("model/" + SHARD))),
    Bad("tensor not in its shard", "checkpoint_index_missing", LOGITS, both(sharded,
        rename(FIRST, "other", "model/" + SHARD))),
    Bad("tensor not in the index", "checkpoint_index_extra", LOGITS, both(sharded, tensors("model/" + SHARD,
        lambda header, data: header.update(zz={"dtype": "F32", "shape": [0], "data_offsets": [len(data)] * 2})))),
    Bad("index without weights", "checkpoint_missing_tensor", LOGITS, index(weight_map={})),
    Bad("weight_map missing", "field_missing", LOGITS, both(sharded, fields("model/model.safetensors.index.json", ("weight_map",)))),
    Bad("weight_map is an array", "field_wrong_type", LOGITS, index(weight_map=[])),
]  # fmt: skip

STATE = [
    Bad("version", "config_bad_value", RESUME, fields("model/trainer_state.json", version=2)),
    Bad("step missing", "field_missing", RESUME, fields("model/trainer_state.json", ("step",))),
    Bad("step beyond the run", "config_bad_value", RESUME, fields("model/trainer_state.json", step=7)),
    Bad("step negative", "config_bad_value", RESUME, fields("model/trainer_state.json", step=-1)),
    Bad("applied beyond the step", "config_bad_value", RESUME, fields("model/trainer_state.json", applied_steps=4)),
    Bad("other data", "config_bad_value", RESUME, fields("model/trainer_state.json", train_tokens=17)),
    Bad("option missing", "field_missing", RESUME, fields("model/trainer_state.json", options={"steps": 6})),
    Bad("option of another type", "field_wrong_type", RESUME, fields("model/trainer_state.json", options__lr="fast")),
    Bad("flag of another type", "field_wrong_type", RESUME, fields("model/trainer_state.json", options__recompute=1)),
    Bad("option out of range", "usage_bad_value", RESUME, fields("model/trainer_state.json", options__batch=0)),
    Bad("options are an array", "field_wrong_type", RESUME, fields("model/trainer_state.json", options=[])),
    Bad("moment missing", "checkpoint_missing_tensor", RESUME, rename("m." + NORM, "x", "model/optimizer.safetensors")),
    Bad("moment in bf16", "checkpoint_wrong_dtype", RESUME, tensors("model/optimizer.safetensors",
        lambda header, data: header["v." + NORM].update(dtype="I32"))),
    Bad("moment of another shape", "checkpoint_wrong_shape", RESUME, tensors("model/optimizer.safetensors",
        lambda header, data: header["v." + NORM].update(shape=[6, 7]))),
    Bad("optimizer cut off", "safetensors_out_of_file", RESUME, cut("model/optimizer.safetensors", -4)),
]  # fmt: skip

DATA = [
    Bad("text with a bad byte", "data_not_text", "prepare --tokenizer bytes --data {home}/x --out {out}", write("x", b"ab\xff")),
    Bad("text with NUL", "data_not_text", "prepare --tokenizer bytes --data {home}/x --out {out}", write("x", b"a\0b")),
    Bad("text of eval", "data_not_text", "eval --model {model} --data {home}/x", write("x", b"\xed\xa0\x80")),
    Bad("prepared and text", "data_prepared_not_alone", EVAL + " --data {texts}"),
    Bad("version", "config_bad_value", EVAL, fields("data/data.json", version=2)),
    Bad("split missing", "field_missing", EVAL, fields("data/data.json", ("heldout",))),
    Bad("tokens are text", "field_wrong_type", EVAL, fields("data/data.json", train__tokens="5")),
    Bad("nothing held out", "data_empty_split", EVAL, both(fields("data/data.json", heldout__tokens=0), write("data/heldout.bin", b""))),
    Bad("nothing to train on", "data_empty_split", TRAIN, both(fields("data/data.json", train__tokens=0), write("data/train.bin", b""))),
    Bad("tokens cut off", "data_wrong_size", EVAL, cut("data/heldout.bin", -2)),
    Bad("tokens missing", "file_missing", EVAL, remove("data/heldout.bin")),
    Bad("token beyond the vocabulary", "data_bad_token", EVAL, patch("data/heldout.bin", 8, struct.pack("<I", 259))),
    Bad("token of all ones", "data_bad_token", TRAIN, patch("data/train.bin", 40, b"\xff" * 4)),
    Bad("too few tokens", "data_too_short", TRAIN, both(fields("data/data.json", train__tokens=4), cut("data/train.bin", 16))),
    Bad("longer than the context", "sequence_too_long", TRAIN + " --seq 81"),
    Bad("eval longer than the context", "sequence_too_long", EVAL + " --seq 81"),
    Bad("prompt longer than the context", "sequence_too_long", "generate --model {model} --prompt " + "x" * 81),
    Bad("prompt and new tokens", "sequence_too_long", "generate --model {model} --prompt xy --max-new-tokens 80"),
    Bad("ids longer than the context", "sequence_too_long", "logits --model {model} --out {out} --ids " + ",".join("1" * 81)),
    Bad("prompt to inspect", "sequence_too_long", "inspect --model {model} --prompt " + "x" * 81),
    Bad("id beyond the vocabulary", "id_out_of_range", "logits --model {model} --ids 1,331 --out {out}"),
    Bad("id of ten digits", "id_out_of_range", "logits --model {model} --ids 9999999999 --out {out}"),
    Bad("tokenizer of another model", "tokenizer_too_large", "eval --model {model} --data {texts}", fields("model/tokenizer.json",
        added_tokens=[{"id": id, "content": f"<{id}>", "special": True, **NO_FLAGS} for id in range(259, 332)])),
    Bad("data of another model", "tokenizer_too_large", "train --data {data} --out {out} --config {home}/x --steps 1",
        lambda p: [shutil.copytree(p.model, p.home / "x"), fields("x/config.json", vocab_size=258)(p)]),
    Bad("tokenizer for init too large", "tokenizer_too_large", INIT + " --tokenizer {data}/tokenizer.json", config(vocab_size=258)),
]  # fmt: skip

TOKENIZERS = [
    Bad("empty", "tokenizer_bad", GENERATE, write("model/tokenizer.json", "")),
    Bad("no JSON", "tokenizer_bad", GENERATE, write("model/tokenizer.json", "hello")),
    Bad("an empty object", "tokenizer_bad", GENERATE, write("model/tokenizer.json", "{}")),
    Bad("not UTF-8", "tokenizer_bad", GENERATE, write("model/tokenizer.json", b"\xff")),
    Bad("of prepare", "tokenizer_bad", PREPARE + " --tokenizer {texts}/00.txt"),
    Bad("of init", "tokenizer_bad", INIT + " --tokenizer {texts}/00.txt"),
    Bad("no model", "tokenizer_bad", GENERATE, fields("model/tokenizer.json", ("model",))),
    Bad("merge of unknown tokens", "tokenizer_bad", GENERATE, fields("model/tokenizer.json", model__merges=[["zz", "yy"]])),
    Bad("no end of text", "tokenizer_no_eos", PREPARE + " --tokenizer {model}/tokenizer.json",
        fields("model/tokenizer.json", added_tokens=[], model__vocab={chr(c): c - 33 for c in range(33, 127)})),
]  # fmt: skip

LIBRARY = [
    Bad("not there", "library_missing", LOGITS + " --device cpu", environment=(("CUNN_LIBRARY", "/no/such/libcunn.so"),)),
    Bad("not a library", "library_unreadable", LOGITS + " --device cpu", write("lib.so", "text"), (("CUNN_LIBRARY", "{home}/lib.so"),)),
    Bad("no cuda device", "device_missing", LOGITS + " --device cuda"),
]  # fmt: skip

BENCHMARKS = [
    Bad("version", "config_bad_value", BENCH, write("cases.json", (CASES % "").replace("1", "2", 1))),
    Bad("cases missing", "field_wrong_type", BENCH, write("cases.json", '{"version": 1, "warmup": 0, "samples": 1, "seconds": 1.0}')),
    Bad("a case is a number", "field_wrong_type", BENCH, write("cases.json", CASES % "3")),
    Bad("no name", "field_missing", BENCH, write("cases.json", CASES % '{"kind": "silu", "n": 1}')),
    Bad("kind", "config_bad_value", BENCH, write("cases.json", CASES % '{"name": "a", "kind": "juggle", "n": 1}')),
    Bad("size missing", "field_missing", BENCH, write("cases.json", CASES % '{"name": "a", "kind": "matmul", "m": 1, "n": 1}')),
    Bad("size 0", "config_bad_value", BENCH, write("cases.json", CASES % '{"name": "a", "kind": "silu", "n": 0}')),
    Bad("samples", "config_bad_value", BENCH, write("cases.json", (CASES % SILU).replace('"samples": 1', '"samples": 0'))),
    Bad("preset", "unknown_preset", BENCH, write("cases.json", CASES
        % '{"name": "a", "kind": "forward", "config": "huge", "batch": 1, "seq": 1}')),
]  # fmt: skip

QUANT = "quantize --model {model} --out {out} --type q8 --quiet"
"""The odd config's rows are no whole blocks: BLOCKED changes what config.json says, which is looked at first."""
BLOCKED = config(hidden_size=64, num_attention_heads=16, num_key_value_heads=4, intermediate_size=32)


def quantized(**values: object) -> Spoil:
    return both(BLOCKED, config(quantization_config={"quant_method": "cunn", "type": "q8", **values}))


QUANTIZED = [
    Bad("type", "usage_bad_value", "quantize --model {model} --out {out} --type q5"),
    Bad("no type", "usage_missing_option", "quantize --model {model} --out {out}"),
    Bad("no model", "folder_missing", "quantize --model {home}/none --out {out} --type q4"),
    Bad("over the weights themselves", "quantize_replaces", "quantize --model {model} --out {model} --type q8"),
    Bad("rows of no whole blocks", "config_bad_value", QUANT),
    Bad("quantized already", "quantized_weights", INIT, quantized()),
    Bad("training quantized weights", "quantized_weights", TRAIN, quantized()),
    Bad("method of others", "config_unsupported", LOGITS, quantized(quant_method="gptq")),
    Bad("no type in config.json", "field_missing", LOGITS, config(quantization_config={"quant_method": "cunn"})),
    Bad("type of config.json", "config_unsupported", LOGITS, quantized(type="q2")),
    Bad("type is a number", "field_wrong_type", LOGITS, quantized(type=8)),
    Bad("floats where blocks are said to be", "checkpoint_wrong_shape", LOGITS, quantized()),
    Bad("rows of config.json are no whole blocks", "config_bad_value", LOGITS, config(
        quantization_config={"quant_method": "cunn", "type": "q8"})),
]  # fmt: skip

GROUPS = {
    "usage": USAGE, "files": FILES, "json": JSON, "config": CONFIG, "weights": WEIGHTS, "state": STATE, "data": DATA,
    "tokenizers": TOKENIZERS, "library": LIBRARY, "bench": BENCHMARKS, "quantized": QUANTIZED,
}  # fmt: skip
TABLE = {f"{group}: {bad.name}": bad for group, rows in GROUPS.items() for bad in rows}
