package cli

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
)

func nnGo(t *testing.T, arguments ...string) (out, stderr string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(arguments, &o, &e)
	return o.String(), e.String(), code
}

// The sentences of nn-py, word for word.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		arguments string
		code      int
		sentence  string
	}{
		{"nope", 2, `unknown command "nope", expected one of bench, eval, generate, info, init, inspect, logits, prepare, quantize, train`},
		{"--nope", 2, "unknown option --nope of nn-go, see nn-go --help"},
		{"train -x", 2, "unknown option -x of train, see train --help"},
		{"train", 2, "train needs --data, see train --help"},
		{"train --data d", 2, "train needs --out, see train --help"},
		{"train --data", 2, "--data needs a value, expected one"},
		{"train --data d --out x y", 2, `unexpected argument "y", see train --help`},
		{"train --data d --out x --steps abc", 2, `--steps is "abc", expected an integer`},
		{"train --steps abc --nope", 2, "unknown option --nope of train, see train --help"},
		{"train --steps abc --steps 5", 2, "train needs --data, see train --help"},
		{"train --lr abc --data= x --steps q", 2, `--lr is "abc", expected a number`},
		{"train --data= --data d --lr q", 2, `--data is "", expected a path`},
		{"train x", 2, "train needs --data, see train --help"},
		{"train --data d --out x --steps 0x10", 2, `--steps is "0x10", expected an integer`},
		{"train --data d --out x --steps 00000000000000000000", 2, `--steps is "0", expected an integer of at least 1`},
		{"train --data d --out x --steps 000000000000000000005", 2, `--steps is "000000000000000000005", expected an integer`},
		{"train --data d --out x --seed -9223372036854775808", 2, `--seed is "-9223372036854775808", expected an integer from 0 to 2^63 - 1`},
		{"train --data d --out x --steps 0", 2, `--steps is "0", expected an integer of at least 1`},
		{"train --data d --out x --lr abc", 2, `--lr is "abc", expected a number`},
		{"train --data d --out x --lr nan", 2, `--lr is "nan", expected a number`},
		{"train --data d --out x --lr 1e999", 2, `--lr is "inf", expected a number from 0 to 1e+06`},
		{"train --data d --out x --json=1", 2, "--json has a value, expected none"},
		{"train --data d --out=", 2, `--out is "", expected a path`},
		{"generate --model m --prompt \xff\xfea", 2, `--prompt is "??a", expected UTF-8 text`},
		{"generate --model m --prompt \xff\ufffd\xe2\x82a", 2, "--prompt is \"?\ufffd??a\", expected UTF-8 text"},
		{"train --data d --out x --warmup 2", 2, `--warmup is "2.0", expected a number from 0 to 1`},
		{"train --data d --out x --minutes 0", 2, `--minutes is "0.0", expected a number above 0`},
		{"train --data d --out x --minutes 1 --steps 2", 2, "--steps and --minutes exclude each other, expected one of them"},
		{"train --data d --out x --resume --eval-every 1 --batch 2", 2, "--resume and --batch exclude each other, expected one of them"},
		{"train --data d --out x --dtype f16", 2, `--dtype is "f16", expected f32 or bf16`},
		{"train --data d --out x --seed -1", 2, `--seed is "-1", expected an integer from 0 to 2^63 - 1`},
		{"train --data d --out x --device gpu", 2, `unknown device "gpu", expected one of auto, cpu, cuda, simt, reference`},
		{"train --data d --out x --threads 2000", 2, `--threads is "2000", expected an integer from 0 to 1024`},
		{"train --data d --out x --config nope --device reference", 2, `unknown preset "nope", expected one of tiny, small, 6.9b, or a config.json`},
		{"train --data /none --out x --config tiny --device reference", 1, "/none: cannot be read: no such file or folder"},
		{"prepare --data d --out x", 2, "prepare needs --tokenizer, see prepare --help"},
		{"prepare --data /none --out x --tokenizer bytes", 1, "/none: cannot be read: no such file or folder"},
		{"generate --model /none --prompt hi", 1, "/none/tokenizer.json: no such file, expected a tokenizer.json"},
		{"generate --model m --prompt hi --top-p 0", 2, `--top-p is "0.0", expected a number above 0 and at most 1 (1: all)`},
		{"logits --model m --ids , --out f", 2, "no token ids, expected at least one"},
		{"logits --model m --ids 1,x --out f", 2, `--ids is "1,x", expected ids such as 1,2,3`},
		{"logits --model /none --ids 1 --out f --device reference", 1, "/none: no such folder, expected a checkpoint folder"},
		{"logits --model m --ids 1 --out \xff", 2, `--out is "?", expected a path`},
		{"logits --model cli_test.go --ids 1 --out f --ntk-alpha -0 --device reference", 1, "cli_test.go: not a folder, expected a checkpoint folder"},
		{"init --config tiny --out cli_test.go/model --device reference --quiet", 1, "cli_test.go/model: cannot be written: a file is in the way"},
		{"init --config tiny --out cli_test.go/a/model --device reference --quiet", 1, "cli_test.go/a/model: cannot be written: a part of the path is not a folder"},
		{"init --config tiny --out f --ntk-alpha -0", 1, "config: ntk_alpha is -0.0, expected 1 to 65536"},
		{"inspect --model ..//./none/../x/ --prompt a", 1, "../none/../x/tokenizer.json: no such file, expected a tokenizer.json"},
		{"quantize --model m --out x", 2, "quantize needs --type, see quantize --help"},
		{"quantize --model m --out x --type q5", 2, `--type is "q5", expected q8 or q4`},
		{"quantize --model /none --out x --type q8", 1, "/none: no such folder, expected a checkpoint folder"},
		{"eval --model m --data d --batch 0", 2, `--batch is "0", expected an integer of at least 1`},
	} {
		out, stderr, code := nnGo(t, strings.Fields(c.arguments)...)
		if stderr != "error: "+c.sentence+"\n" || code != c.code || out != "" {
			t.Errorf("%s:\ngot  %d %s%s\nwant %d error: %s", c.arguments, code, stderr, out, c.code, c.sentence)
		}
	}
	if _, stderr, code := nnGo(t, "generate", "--model", "m", "--prompt", ""); code != 2 || stderr != "error: the prompt is empty, expected at least one character\n" {
		t.Errorf("got %d %s", code, stderr)
	}
}

// result runs a command with --json and reads what it prints.
func result(t *testing.T, arguments ...string) *jsonstrict.Object {
	t.Helper()
	out, stderr, code := nnGo(t, append(arguments, "--json")...)
	if code != 0 {
		t.Fatalf("%v: %d %s", arguments, code, stderr)
	}
	object, err := jsonstrict.LoadsObject([]byte(out), "stdout")
	if err != nil {
		t.Fatal(err)
	}
	return object
}

func requireFields(t *testing.T, object *jsonstrict.Object, names ...string) {
	t.Helper()
	if !slices.Equal(object.Keys(), names) {
		t.Errorf("fields are %v, expected %v", object.Keys(), names)
	}
}

// The whole way on the reference device: prepare, train, resume, eval, generate, inspect, logits, quantize, bench.
func TestTheWholeWay(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	for i := range 3 {
		text := strings.Repeat(fmt.Sprintf("the quick brown fox %d\n", i), 30)
		if err := os.WriteFile(at(fmt.Sprintf("%d.txt", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	requireFields(t, result(t, "prepare", "--data", at("0.txt"), "--data", at("1.txt"), "--data", at("2.txt"), "--out", at("data"), "--tokenizer", "bytes", "--quiet"),
		"out", "bos_id", "eos_id", "heldout", "skipped", "train", "version", "vocab_size")
	trained := result(t, "train", "--data", at("data"), "--out", at("model"), "--config", "tiny", "--steps", "3", "--batch", "1", "--seq", "8",
		"--save-every", "1", "--keep", "2", "--device", "reference", "--quiet")
	requireFields(t, trained, "out", "device", "steps", "complete", "loss", "heldout_loss", "bits_per_byte", "tokens", "seconds")
	if trained.Get("complete") != true || trained.Get("steps") != 3 || trained.Get("tokens") != 24 {
		t.Errorf("trained %s", jsonstrict.DumpsCompact(trained))
	}
	for _, name := range []string{"loss.png", "metrics.jsonl", "step-00000002", "step-00000003"} {
		if _, err := os.Stat(filepath.Join(at("model"), name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(at("model"), "step-00000001")); err == nil {
		t.Error("three checkpoints were kept of two")
	}
	resumed := result(t, "train", "--data", at("data"), "--out", filepath.Join(at("model"), "step-00000002"), "--resume", "--device", "reference", "--quiet")
	if resumed.Get("loss") != trained.Get("loss") {
		t.Errorf("resumed to %v, trained to %v", resumed.Get("loss"), trained.Get("loss"))
	}
	with := func(command string, more ...string) []string {
		return append([]string{command, "--model", at("model"), "--device", "reference"}, more...)
	}
	requireFields(t, result(t, with("eval", "--data", at("data"), "--seq", "8")...),
		"loss", "perplexity", "bits_per_byte", "tokens", "bytes", "tokens_per_second")
	requireFields(t, result(t, with("eval", "--data", at("0.txt"), "--seq", "8")...),
		"loss", "perplexity", "bits_per_byte", "tokens", "bytes", "tokens_per_second")
	generated := result(t, with("generate", "--prompt", "the ", "--max-new-tokens", "5", "--seed", "1")...)
	requireFields(t, generated, "prompt", "text", "ids", "tokens", "tokens_per_second")
	again := result(t, with("generate", "--prompt", "the ", "--max-new-tokens", "5", "--seed", "1")...)
	if again.Get("text") != generated.Get("text") {
		t.Errorf("generated %q, then %q", generated.Get("text"), again.Get("text"))
	}
	requireFields(t, result(t, with("inspect", "--prompt", "it's", "--html", at("page.html"))...), "prompt", "ids", "tokens", "layers")
	page, err := os.ReadFile(at("page.html"))
	if err != nil || !bytes.Contains(page, []byte("<code>&quot;&#x27;&quot;</code>")) {
		t.Errorf("the page does not show the apostrophe (%v)", err)
	}
	if out, _, code := nnGo(t, with("inspect", "--prompt", "it's")...); code != 0 || !strings.Contains(out, "layer 0: entropy ") {
		t.Errorf("got %d %s", code, out)
	}
	requireFields(t, result(t, with("logits", "--ids", "1,2,3", "--out", at("logits.safetensors"))...), "out", "shape")
	if _, stderr, code := nnGo(t, with("logits", "--ids", "1", "--out", at("."))...); code != 1 ||
		stderr != "error: "+at("")+": cannot be written: it is a folder\n" {
		t.Errorf("got %d %s", code, stderr)
	}
	requireFields(t, result(t, "init", "--config", "tiny", "--out", at("fresh"), "--seed", "3", "--dtype", "bf16", "--device", "reference", "--quiet"),
		"out", "parameters", "active_parameters", "dtype", "seed")
	for _, kind := range []string{"q8", "q4"} {
		blocks := at(kind)
		made := result(t, with("quantize", "--out", blocks, "--type", kind, "--quiet")...)
		requireFields(t, made, "out", "type", "parameters", "quantized_parameters", "bytes")
		generated := result(t, "generate", "--model", blocks, "--prompt", "the ", "--max-new-tokens", "5", "--device", "reference")
		if made.Get("type") != kind || generated.Get("tokens") == 0 {
			t.Errorf("%s: %s, %s", kind, jsonstrict.DumpsCompact(made), jsonstrict.DumpsCompact(generated))
		}
		refused := ": the weights are quantized (" + kind + "), expected f32, bf16 or f16\n"
		for _, c := range [][]string{
			{blocks, "quantize", "--model", blocks, "--out", at("again"), "--type", "q8"},
			{blocks, "train", "--data", at("data"), "--out", blocks, "--resume", "--device", "reference"},
			{blocks + "/config.json", "train", "--data", at("data"), "--out", at("x"), "--config", blocks, "--device", "reference"},
			{blocks + "/config.json", "init", "--config", blocks + "/config.json", "--out", at("x")},
		} {
			if _, stderr, code := nnGo(t, c[1:]...); code != 1 || stderr != "error: "+c[0]+refused {
				t.Errorf("%v: got %d %s", c[1:], code, stderr)
			}
		}
	}
	cases := `{"version": 1, "warmup": 1, "samples": 3, "seconds": 1, "cases": [{"name": "silu", "kind": "silu", "n": 16},
		{"name": "train", "kind": "train", "config": "tiny", "batch": 1, "seq": 4}]}`
	if err := os.WriteFile(at("cases.json"), []byte(cases), 0o600); err != nil {
		t.Fatal(err)
	}
	timed := result(t, "bench", "--cases", at("cases.json"), "--out", at("bench.json"), "--device", "reference", "--quiet")
	requireFields(t, timed, "version", "language", "runtime", "release", "machine", "device", "isa", "threads", "cases")
	for _, row := range timed.Get("cases").([]jsonstrict.Value) {
		requireFields(t, row.(*jsonstrict.Object), "name", "samples", "median", "low", "high", "rate", "unit")
	}
	if info := result(t, "info"); info.Get("version") != "0.1.0" || info.Get("reference") == nil {
		t.Errorf("info is %s", jsonstrict.DumpsCompact(info))
	}
}

// A flag without a value has none in the help either.
func TestHelp(t *testing.T) {
	out, stderr, code := nnGo(t, "train", "--help")
	if code != 0 || stderr != "" || strings.ContainsRune(out, 0) {
		t.Errorf("got %d %s%s", code, stderr, out)
	}
	for _, line := range []string{
		"      --data paths           a prepared folder (see prepare)",
		"      --steps int            optimizer steps (default 1000)",
		"      --json                 print the result as one JSON object",
		"  -h, --help                 show this message and exit",
	} {
		if !strings.Contains(out, "\n"+line+"\n") {
			t.Errorf("the help lacks %q:\n%s", line, out)
		}
	}
}

// What is not finite is null in JSON and named in words.
func TestNotFinite(t *testing.T) {
	object := jsonstrict.NewObject("a", math.NaN(), "b", []jsonstrict.Value{math.Inf(1), 1.5}, "c", math.Inf(-1))
	for asJSON, want := range map[bool]string{
		true:  "{\n  \"a\": null,\n  \"b\": [\n    null,\n    1.5\n  ],\n  \"c\": null\n}\n",
		false: "a: nan\nb: inf, 1.5\nc: -inf\n",
	} {
		var out bytes.Buffer
		if err := (&app{out: &out}).print(object, asJSON); err != nil || out.String() != want {
			t.Errorf("got %s (%v)", out.String(), err)
		}
	}
}

func TestPythonQuote(t *testing.T) {
	for text, want := range map[string]string{
		"a": "'a'", "it's": `"it's"`, `"it's"`: `'"it\'s"'`, "\n\t\r\\": `'\n\t\r\\'`, "\x00\u00a0é日\u2028": `'\x00\xa0é日\u2028'`,
	} {
		if got := pythonQuote(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
