package cli

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

// common is the options that subcommands share.
type common struct {
	device   string
	threads  int
	seed     int
	ntkAlpha float64
	json     bool
	quiet    bool
}

// add registers those of the common options that a subcommand takes.
func (c *common) add(command *cobra.Command, names ...string) {
	for _, name := range names {
		switch name {
		case "device":
			text(command, &c.device, name, "auto", "auto, cpu, cuda, simt or reference")
		case "threads":
			integer(command, &c.threads, name, 0, "host threads, 0 for all")
		case "seed":
			integer(command, &c.seed, name, 0, "seed of everything random")
		case "ntk-alpha":
			number(command, &c.ntkAlpha, name, 0, "serve alpha times the trained context")
		case "json":
			flag(command, &c.json, name, "print the result as one JSON object")
		case "quiet":
			flag(command, &c.quiet, name, "no progress")
		}
	}
}

// The types of options, spelled the same in three languages; expected is what a sentence says of each.
var expected = map[string]string{
	"int": "an integer", "float": "a number", "text": "UTF-8 text", "path": "a path", "paths": "a path",
}

var decimalNumber = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// word is a value as it was given. The line is taken apart first and its values are judged after, of an option that comes
// twice the last one: then fault says that it is bad.
type word struct {
	text string
	bad  bool
}

func (w *word) fault() (string, bool) { return w.text, w.bad }

func (w *word) judge(text string, good bool) { w.text, w.bad = text, !good }

// longestInteger is the characters of -9223372036854775808; zeros that make it longer are no number anybody meant.
const longestInteger = 20

// decimal is ASCII digits that make a 64-bit integer in at most 20 characters: 010 is ten, 0x10 is nothing.
type decimal struct {
	word
	into *int
}

func (d *decimal) String() string { return strconv.Itoa(*d.into) }
func (d *decimal) Type() string   { return "int" }
func (d *decimal) Set(text string) error {
	value, err := strconv.Atoi(text)
	*d.into = value
	d.judge(text, err == nil && len(text) <= longestInteger)
	return nil
}

// real is a decimal number; neither nan nor inf is one. Beyond the range it is infinite, which the checks refuse.
type real struct {
	word
	into *float64
}

func (r *real) String() string { return strconv.FormatFloat(*r.into, 'g', -1, 64) }
func (r *real) Type() string   { return "float" }
func (r *real) Set(text string) error {
	value, err := strconv.ParseFloat(text, 64)
	*r.into = value
	r.judge(text, decimalNumber.MatchString(text) && (err == nil || math.IsInf(value, 0)))
	return nil
}

// plainText is UTF-8, which the bytes of a command line need not be.
type plainText struct {
	word
	into *string
}

func (p *plainText) String() string { return *p.into }
func (p *plainText) Type() string   { return "text" }
func (p *plainText) Set(text string) error {
	*p.into = text
	p.judge(text, utf8.ValidString(text))
	return nil
}

// place is a file or folder, which an empty word cannot name, nor bytes that are not UTF-8; places is some.
type place struct {
	word
	into *string
}

func (p *place) String() string { return *p.into }
func (p *place) Type() string   { return "path" }
func (p *place) Set(path string) error {
	*p.into = path
	p.judge(path, path != "" && utf8.ValidString(path))
	return nil
}

type places struct {
	word
	into *[]string
}

func (p *places) String() string { return strings.Join(*p.into, ", ") }
func (p *places) Type() string   { return "paths" }
func (p *places) Set(path string) error {
	*p.into = append(*p.into, path)
	if !p.bad {
		p.judge(path, path != "" && utf8.ValidString(path))
	}
	return nil
}

// flagOnly is a flag that takes no value.
type flagOnly struct{ into *bool }

func (f flagOnly) String() string   { return strconv.FormatBool(*f.into) }
func (f flagOnly) Type() string     { return "bool" }
func (f flagOnly) IsBoolFlag() bool { return true }
func (f flagOnly) Set(text string) error {
	if text != alone {
		return strconv.ErrSyntax
	}
	*f.into = true
	return nil
}

// alone is what the flag parser gives a flag without a value; no command line spells it.
const alone = "\x00"

// oneMarkEach is a word with a question mark for each byte that is not UTF-8.
func oneMarkEach(word string) string {
	var out strings.Builder
	for len(word) > 0 {
		r, width := utf8.DecodeRuneInString(word)
		if r == utf8.RuneError && width == 1 { // U+FFFD itself, of three bytes, stays
			r = '?'
		}
		out.WriteRune(r)
		word = word[width:]
	}
	return out.String()
}

func text(command *cobra.Command, into *string, name, value, usage string) {
	*into = value
	command.Flags().Var(&plainText{into: into}, name, usage)
}

func path(command *cobra.Command, into *string, name, value, usage string) {
	*into = value
	command.Flags().Var(&place{into: into}, name, usage)
}

func paths(command *cobra.Command, into *[]string, name, usage string) {
	command.Flags().Var(&places{into: into}, name, usage)
}

func flag(command *cobra.Command, into *bool, name, usage string) {
	command.Flags().Var(flagOnly{into}, name, usage)
	command.Flags().Lookup(name).NoOptDefVal = alone
}

func integer(command *cobra.Command, into *int, name string, value int, usage string) {
	*into = value
	command.Flags().Var(&decimal{into: into}, name, usage)
}

func number(command *cobra.Command, into *float64, name string, value float64, usage string) {
	*into = value
	command.Flags().Var(&real{into: into}, name, usage)
}

// openDevice: Errors: device_unknown, device_missing, usage_bad_value.
func (c *common) openDevice() (tensor.Backend, error) {
	if c.threads < 0 || 1024 < c.threads {
		return nil, messages.UsageBadValue("--threads", strconv.Itoa(c.threads), "an integer from 0 to 1024")
	}
	return cuda.OpenBackend(c.device, cuda.Options{Threads: c.threads})
}

// checkSeed: Errors: usage_bad_value.
func (c *common) checkSeed() error {
	if c.seed < 0 {
		return messages.UsageBadValue("--seed", strconv.Itoa(c.seed), "an integer from 0 to 2^63 - 1")
	}
	return nil
}

// load opens the model of --model with its stored dtype.
func (c *common) load(command *cobra.Command, folder string, backend tensor.Backend) (*model.MoETransformer, error) {
	var options model.LoadOptions
	if command.Flags().Changed("ntk-alpha") {
		options.NTKAlpha = &c.ntkAlpha
	}
	return model.LoadMoETransformer(folder, backend, options)
}

// readConfig is a preset by its name, or a config.json (or a folder that has one) by its path, for fresh weights. Errors:
// unknown_preset, quantized_weights and those of MoEConfigFromJSON.
func (c *common) readConfig(command *cobra.Command, name string) (model.MoEConfig, error) {
	path := name
	if files.IsFolder(path) {
		path = strings.TrimSuffix(path, "/") + "/config.json"
	}
	var config model.MoEConfig
	var err error
	if path != name || files.IsFile(path) {
		var data []byte
		if data, err = files.ReadBytes(path, "checkpoint folder"); err == nil {
			config, err = model.MoEConfigFromJSON(data, path)
		}
		if err == nil {
			err = config.RequireFloat(path)
		}
	} else {
		config, err = model.Preset(name)
	}
	if err != nil || !command.Flags().Changed("ntk-alpha") {
		return config, err
	}
	return config.WithNTKAlpha(c.ntkAlpha)
}

// modelTokenizer is the tokenizer of a checkpoint. Errors: tokenizer_missing, tokenizer_bad.
func modelTokenizer(folder string) (*tokenizer.Tokenizer, error) {
	return tokenizer.Load(files.Join(folder, "tokenizer.json"))
}

// print writes one JSON object, in which what is not finite is null, or a line "name: value" for each field.
func (a *app) print(result *jsonstrict.Object, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprint(a.out, jsonstrict.Dumps(jsonstrict.Finite(result)))
		return err
	}
	for _, name := range result.Keys() {
		if _, err := fmt.Fprintf(a.out, "%s: %s\n", name, readable(result.Get(name))); err != nil {
			return err
		}
	}
	return nil
}

// readable is a value as a person reads it.
func readable(value jsonstrict.Value) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return jsonstrict.FormatNumber(v)
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	case []jsonstrict.Value:
		words := make([]string, len(v))
		for i, item := range v {
			words[i] = readable(item)
		}
		if len(words) == 0 {
			return "none"
		}
		return strings.Join(words, ", ")
	case *jsonstrict.Object:
		var words []string
		for _, name := range v.Keys() {
			words = append(words, name+" "+readable(v.Get(name)))
		}
		return strings.Join(words, ", ")
	case nil:
		return "none"
	}
	return fmt.Sprint(value)
}
