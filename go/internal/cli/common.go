package cli

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

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
	flags := command.Flags()
	for _, name := range names {
		switch name {
		case "device":
			flags.StringVar(&c.device, name, "auto", "auto, cpu, cuda, simt or reference")
		case "threads":
			integer(command, &c.threads, name, 0, "host threads, 0 for all")
		case "seed":
			integer(command, &c.seed, name, 0, "seed of everything random")
		case "ntk-alpha":
			number(command, &c.ntkAlpha, name, 0, "serve alpha times the trained context")
		case "json":
			flags.BoolVar(&c.json, name, false, "print the result as one JSON object")
		case "quiet":
			flags.BoolVar(&c.quiet, name, false, "no progress")
		}
	}
}

// decimal and real are flags that read numbers as the other languages do: 010 is ten, 0x10 is nothing.
type decimal struct{ into *int }

func (d decimal) String() string { return strconv.Itoa(*d.into) }
func (d decimal) Type() string   { return "int" }
func (d decimal) Set(text string) (err error) {
	*d.into, err = strconv.Atoi(text)
	return err
}

type real struct{ into *float64 }

func (r real) String() string { return strconv.FormatFloat(*r.into, 'g', -1, 64) }
func (r real) Type() string   { return "float" }
func (r real) Set(text string) (err error) {
	if strings.ContainsAny(text, "xX_pP") {
		return strconv.ErrSyntax
	}
	*r.into, err = strconv.ParseFloat(text, 64)
	if math.IsInf(*r.into, 0) {
		err = nil // beyond the range is infinite, which the checks refuse
	}
	return err
}

func integer(command *cobra.Command, into *int, name string, value int, usage string) {
	*into = value
	command.Flags().Var(decimal{into}, name, usage)
}

func number(command *cobra.Command, into *float64, name string, value float64, usage string) {
	*into = value
	command.Flags().Var(real{into}, name, usage)
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
	if command.Flags().Changed("ntk-alpha") && c.ntkAlpha == 0 {
		return nil, messages.ConfigBadValue("config", "ntk_alpha", "0.0", "1 to 65536")
	}
	return model.LoadMoETransformer(folder, backend, model.LoadOptions{NTKAlpha: c.ntkAlpha})
}

// readConfig is a preset by its name, or a config.json (or a folder that has one) by its path. Errors: unknown_preset and
// those of MoEConfigFromJSON.
func (c *common) readConfig(command *cobra.Command, name string) (model.MoEConfig, error) {
	path := name
	if files.IsFolder(path) {
		path = filepath.Join(path, "config.json")
	}
	var config model.MoEConfig
	var err error
	if files.IsFile(path) {
		var data []byte
		if data, err = files.ReadBytes(path, "checkpoint folder"); err == nil {
			config, err = model.MoEConfigFromJSON(data, path)
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
	return tokenizer.Load(filepath.Join(folder, "tokenizer.json"))
}

// print writes one JSON object, or a line "name: value" for each field.
func (a *app) print(result *jsonstrict.Object, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprint(a.out, jsonstrict.Dumps(result))
		return err
	}
	for _, name := range result.Keys() {
		if _, err := fmt.Fprintf(a.out, "%s: %s\n", name, readable(result.Get(name))); err != nil {
			return err
		}
	}
	return nil
}

// finite is a number as JSON has it: null where it is not finite.
func finite(value float64) jsonstrict.Value {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return value
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
