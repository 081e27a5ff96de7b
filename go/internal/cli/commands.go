package cli

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	nn "github.com/cuda-nn/cuda-nn/go"
	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
	"github.com/cuda-nn/cuda-nn/go/train"
)

// ---------------- info

func machine() string {
	names := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	name := names[runtime.GOARCH]
	if name == "" {
		name = runtime.GOARCH
	}
	return fmt.Sprintf("%s, %d processors", name, runtime.NumCPU())
}

func language() string { return "Go " + strings.TrimPrefix(runtime.Version(), "go") }

func (a *app) info() *cobra.Command {
	var c common
	command := &cobra.Command{Use: "info", Short: "Versions, devices, instruction set, threads."}
	c.add(command, "json")
	command.RunE = func(*cobra.Command, []string) error {
		result := jsonstrict.NewObject("version", nn.Version, "language", language(), "machine", machine())
		if found, err := cuda.OpenLibrary("cpu"); err == nil {
			result.Set("library", found.Path)
			result.Set("library_version", found.Version)
			result.Set("library_build", found.BuildInfo)
			result.Set("abi", found.ABI)
		} else {
			result.Set("library", nil)
			result.Set("missing", err.Error())
		}
		available := []jsonstrict.Value{}
		for _, device := range append(append([]string{}, cuda.DeviceKinds...), "reference") {
			if reason := cuda.WhyNot(device); reason != "" {
				result.Set(device, reason)
				continue
			}
			available = append(available, device)
			described, err := describe(device)
			if err != nil {
				return err
			}
			result.Set(device, described)
		}
		result.Set("devices", available)
		return a.print(result, c.json)
	}
	return command
}

func describe(device string) (*jsonstrict.Object, error) {
	backend, err := cuda.OpenBackend(device)
	if err != nil {
		return nil, err
	}
	name := "Go"
	if library, err := cuda.OpenLibrary(device); err == nil && device != "reference" {
		name = library.DeviceName(device, 0)
	}
	described := jsonstrict.NewObject("name", name, "isa", backend.ISA(), "threads", backend.Threads())
	return described, backend.Close()
}

// ---------------- init

func (a *app) initialise() *cobra.Command {
	var c common
	var config, out, dtype, tokenizerPath string
	command := &cobra.Command{Use: "init", Short: "Write a model with fresh weights, one tensor in memory at a time."}
	path(command, &config, "config", "", "a preset (tiny, small, 6.9b) or a config.json")
	path(command, &out, "out", "", "the folder to write")
	text(command, &dtype, "dtype", "f32", "f32 or bf16")
	path(command, &tokenizerPath, "tokenizer", "", "a tokenizer.json to put beside")
	c.add(command, "device", "threads", "seed", "ntk-alpha", "json", "quiet")
	needs(command, "config out")
	command.RunE = func(*cobra.Command, []string) error {
		kind, err := train.TrainingDType(dtype)
		if err != nil {
			return err
		}
		if err := c.checkSeed(); err != nil {
			return err
		}
		made, err := c.readConfig(command, config)
		if err != nil {
			return err
		}
		if made, err = made.WithDType(dtype); err != nil {
			return err
		}
		var options model.SaveOptions
		if command.Flags().Changed("tokenizer") {
			tok, err := tokenizer.Load(tokenizerPath)
			if err != nil {
				return err
			}
			if tok.VocabSize > made.VocabSize {
				return messages.TokenizerTooLarge(tokenizerPath, tok.VocabSize, made.VocabSize)
			}
			options.Tokenizer = tok.JSON
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		specs := map[string]model.ParameterSpec{}
		for _, spec := range model.ParameterSpecs(made) {
			specs[spec.Name] = spec
		}
		bar := a.progress("init", len(specs), c.quiet)
		defer bar.close()
		written := 0
		ctx, stop := a.interrupts.until()
		defer stop()
		fetch := func(name string) ([]byte, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			data, err := freshTensor(backend, specs[name], kind, int64(c.seed))
			written++
			bar.update(written, "")
			return data, err
		}
		if err := model.SaveCheckpoint(out, made, fetch, options); err != nil {
			return err
		}
		return a.print(jsonstrict.NewObject(
			"out", out,
			"parameters", made.NParameters(),
			"active_parameters", made.NActiveParameters(),
			"dtype", dtype,
			"seed", c.seed,
		), c.json)
	}
	return command
}

func freshTensor(backend tensor.Backend, spec model.ParameterSpec, dtype tensor.DType, seed int64) ([]byte, error) {
	buffer, err := backend.Buffer(dtype, spec.Size())
	if err != nil {
		return nil, err
	}
	if spec.Kind == "norm" {
		err = backend.Fill(buffer, spec.Size(), 1)
	} else {
		err = backend.RandomInit(buffer, spec.Size(), 0, seed, spec.Number)
	}
	data := make([]byte, dtype.Bytes(spec.Size()))
	return data, tensor.First(err, backend.Download(data, buffer, 0), buffer.Close())
}

// ---------------- prepare

func (a *app) prepare() *cobra.Command {
	var c common
	var data []string
	var out, tokenizerPath string
	var vocabSize int
	command := &cobra.Command{
		Use: "prepare", Short: "Turn text into tokens: tokenizer.json, train.bin, heldout.bin, data.json.",
		Long: "Turn text into tokens: tokenizer.json, train.bin, heldout.bin, data.json.\n\n" +
			"A vocabulary is learned by nn-py prepare or nn-rs prepare; nn-go takes it by --tokenizer.",
	}
	paths(command, &data, "data", "a file or folder of text; may be repeated")
	path(command, &out, "out", "", "the folder to write")
	integer(command, &vocabSize, "vocab-size", 4096, "tokens of a BPE, where one is learned")
	path(command, &tokenizerPath, "tokenizer", "", "a tokenizer.json, or bytes")
	c.add(command, "json", "quiet")
	needs(command, "data out tokenizer")
	command.RunE = func(*cobra.Command, []string) error {
		tok := tokenizer.Bytes()
		if tokenizerPath != "bytes" {
			var err error
			if tok, err = tokenizer.Load(tokenizerPath); err != nil {
				return err
			}
		}
		bar := a.progress("prepare", 0, c.quiet)
		defer bar.close()
		ctx, stop := a.interrupts.until()
		defer stop()
		described, err := train.Prepare(ctx, data, out, tok, bar.report)
		if err != nil {
			return err
		}
		result := jsonstrict.NewObject("out", out)
		for _, name := range described.Keys() {
			result.Set(name, described.Get(name))
		}
		return a.print(result, c.json)
	}
	return command
}

// ---------------- eval

func (a *app) eval() *cobra.Command {
	var c common
	var folder string
	var data []string
	var batch, seq int
	command := &cobra.Command{Use: "eval", Short: "Measure a model on text it has not seen."}
	path(command, &folder, "model", "", "a checkpoint folder")
	paths(command, &data, "data", "a prepared folder (its held-out split), or text")
	integer(command, &batch, "batch", 8, "sequences at once")
	integer(command, &seq, "seq", 0, "tokens of a sequence, 0: 128 or the context if shorter")
	c.add(command, "device", "threads", "ntk-alpha", "json", "quiet")
	needs(command, "model data")
	command.RunE = func(*cobra.Command, []string) error {
		if batch < 1 {
			return messages.UsageBadValue("--batch", strconv.Itoa(batch), "an integer of at least 1")
		}
		if seq < 0 {
			return messages.UsageBadValue("--seq", strconv.Itoa(seq), "an integer of at least 0")
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		loaded, err := c.load(command, folder, backend)
		if err != nil {
			return err
		}
		tokens, done, err := evalTokens(folder, data, loaded.Config.VocabSize)
		if err != nil {
			return err
		}
		defer done()
		if seq == 0 {
			seq = min(128, loaded.Config.Context())
		}
		if seq > loaded.Config.Context() {
			return messages.SequenceTooLong(seq, loaded.Config.Context())
		}
		ctx, stop := a.interrupts.until()
		defer stop()
		bar := a.progress("eval", tokens.NWindows(seq), c.quiet)
		defer bar.close()
		start := time.Now()
		result, err := train.Evaluate(ctx, loaded, tokens, batch, seq, 0, func(done, _ int) { bar.update(done, "") })
		if err != nil {
			return err
		}
		seconds := time.Since(start).Seconds()
		return a.print(jsonstrict.NewObject(
			"loss", result.Loss,
			"perplexity", result.Perplexity,
			"bits_per_byte", result.BitsPerByte,
			"tokens", result.Tokens,
			"bytes", tokens.Bytes,
			"tokens_per_second", float64(result.Tokens)/max(seconds, 1e-9),
		), c.json)
	}
	return command
}

func evalTokens(folder string, data []string, vocabSize int) (tokens *train.Tokens, done func() error, err error) {
	folderOfTokens, err := train.PreparedOf(data)
	if err != nil {
		return nil, nil, err
	}
	if folderOfTokens != "" {
		prepared, err := train.LoadData(folderOfTokens)
		if err != nil {
			return nil, nil, err
		}
		if prepared.VocabSize > vocabSize {
			return nil, nil, messages.TokenizerTooLarge(prepared.TokenizerPath(), prepared.VocabSize, vocabSize)
		}
		tokens, err := prepared.Split("heldout")
		return tokens, prepared.Close, err
	}
	tok, err := modelTokenizer(folder)
	if err != nil {
		return nil, nil, err
	}
	if tok.VocabSize > vocabSize {
		return nil, nil, messages.TokenizerTooLarge(folder+"/tokenizer.json", tok.VocabSize, vocabSize)
	}
	tokens, err = train.TokensOfText(data, tok)
	return tokens, func() error { return nil }, err
}

// ---------------- logits

func (a *app) logits() *cobra.Command {
	var c common
	var folder, ids, out string
	command := &cobra.Command{Use: "logits", Short: "Write the logits of a sequence of ids."}
	path(command, &folder, "model", "", "a checkpoint folder")
	text(command, &ids, "ids", "", "token ids, for example 1,2,3")
	path(command, &out, "out", "", `the .safetensors file to write: "logits" [1, T, V] f32`)
	c.add(command, "device", "threads", "ntk-alpha", "json")
	needs(command, "model ids out")
	command.RunE = func(*cobra.Command, []string) error {
		parsed, err := parseIDs(ids)
		if err != nil {
			return err
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		loaded, err := c.load(command, folder, backend)
		if err != nil {
			return err
		}
		logits, err := loaded.ForwardIDs(parsed, 1, len(parsed))
		if err != nil {
			return err
		}
		shape := tensor.Shape{1, len(parsed), loaded.Config.VocabSize}
		entries := []model.TensorEntry{{Name: "logits", DType: "F32", Shape: shape}}
		fetch := func(string) ([]byte, error) { return tensor.Bytes(logits), nil }
		if err := model.SaveFile(out, entries, fetch); err != nil {
			return err
		}
		return a.print(jsonstrict.NewObject(
			"out", out, "shape", []jsonstrict.Value{shape[0], shape[1], shape[2]}), c.json)
	}
	return command
}

// parseIDs: Errors: no_ids, usage_bad_value.
func parseIDs(text string) ([]int, error) {
	if strings.Trim(text, ", \t\n\r\v\f") == "" {
		return nil, messages.NoIds()
	}
	var ids []int
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" || len(part) > 10 || strings.Trim(part, "0123456789") != "" {
			return nil, messages.UsageBadValue("--ids", text, "ids such as 1,2,3")
		}
		id, err := strconv.Atoi(part)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
