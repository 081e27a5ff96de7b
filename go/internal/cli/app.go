// Package cli is the command line nn-go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	nn "github.com/cuda-nn/cuda-nn/go"
	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

const program = "nn-go"

// errInterrupted is Ctrl-C, after what had to be saved was saved.
var errInterrupted = errors.New("interrupted")

// app is one run of the program.
type app struct {
	out, err   io.Writer
	interrupts *interrupts
}

// Main runs the command line and returns its exit code: 2 for usage, 1 for a failure, 130 for Ctrl-C.
func Main(arguments []string, out, stderr io.Writer) (code int) {
	printed := &output{to: out}
	a := &app{printed, stderr, watchInterrupts()}
	defer a.interrupts.stop()
	defer func() {
		if fault := recover(); fault != nil {
			what := messages.Internal(strings.Join(strings.Fields(fmt.Sprint(fault)), " "))
			code = a.fail(what.Text, what.ExitCode)
		}
	}()
	root := a.root()
	// A first word "--" ends the options of the program, which has come to none.
	if len(arguments) > 0 && arguments[0] == "--" {
		arguments = arguments[1:]
	}
	if asked := ofProgram(arguments); asked != "" {
		arguments = []string{asked}
	}
	if len(arguments) == 0 {
		_ = root.Help() // what it could not print, the program does not say either
		return 2
	}
	root.SetArgs(arguments)
	err := unknownCommand(root, arguments[0])
	if err == nil {
		err = root.Execute()
	}
	if err == nil {
		err = printed.err
	}
	var own *nn.Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted) || errors.Is(err, context.Canceled):
		return 130
	case errors.Is(err, syscall.EPIPE): // whoever read our output has gone
		return 1
	case errors.As(err, &own):
		return a.fail(own.Text, own.ExitCode)
	case printed.err != nil:
		full := messages.CannotWrite("stdout", files.Reason(printed.err))
		return a.fail(full.Text, full.ExitCode)
	}
	internal := messages.Internal(err.Error())
	return a.fail(internal.Text, internal.ExitCode)
}

// ofProgram is what counts of a line that begins with options of the program: of --version and --help the first, whatever
// command follows, unless an option among them is none of the program's. The flag parser would read on behind them, and
// prefer --help.
func ofProgram(arguments []string) string {
	var first string
	for _, word := range arguments {
		if len(word) < 2 || word[0] != '-' || word == "--" {
			break
		}
		if word != "--version" && word != "--help" && word != "-h" {
			return word
		}
		if first == "" {
			first = word
		}
	}
	return first
}

// output is the program's, and the first error of writing to it, which help and version do not report.
type output struct {
	to  io.Writer
	err error
}

func (o *output) Write(text []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	var written int
	written, o.err = o.to.Write(text)
	return written, o.err
}

func (a *app) fail(sentence string, code int) int {
	fmt.Fprintf(a.err, "error: %s\n", sentence)
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: program, Short: "A Mixture-of-Experts Transformer to train, sample and inspect.", Version: nn.Version,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(*cobra.Command, []string) error { return nil },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true, Use: "no-help"})
	root.SetVersionTemplate(program + ", version {{.Version}}\n")
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	flag(root, new(bool), "version", "show the version and exit")
	helpOf(root)
	commands := []*cobra.Command{
		a.bench(), a.eval(), a.generate(), a.info(), a.initialise(), a.inspect(), a.logits(), a.prepare(), a.quantize(), a.train(),
	}
	for _, command := range commands {
		checked(command)
		helpOf(command)
		command.Flags().SortFlags = false
		root.AddCommand(command)
	}
	root.RunE = func(root *cobra.Command, arguments []string) error { return unknownCommand(root, arguments[0]) }
	return root
}

// unknownCommand is the error when a line's first word is none of the commands. Asked before --help is obeyed.
func unknownCommand(root *cobra.Command, word string) error {
	if strings.HasPrefix(word, "-") && word != "-" {
		return nil
	}
	var known []string
	for _, command := range root.Commands() {
		if command.Name() == word {
			return nil
		}
		if !command.Hidden {
			known = append(known, command.Name())
		}
	}
	return messages.UsageUnknownCommand(word, strings.Join(known, ", "))
}

// checked has a command refuse, before it runs, what is wrong with its line: values in the order in which their options
// were first given, then options that are missing, then words too many.
func checked(command *cobra.Command) {
	run := command.RunE
	command.Args = cobra.ArbitraryArgs
	command.RunE = func(command *cobra.Command, arguments []string) error {
		var bad error
		command.Flags().Visit(func(flag *pflag.Flag) {
			value, judged := flag.Value.(interface{ fault() (string, bool) })
			if !judged || bad != nil {
				return
			}
			if text, isBad := value.fault(); isBad {
				bad = messages.UsageBadValue("--"+flag.Name, oneMarkEach(text), expected[flag.Value.Type()])
			}
		})
		if bad != nil {
			return bad
		}
		for option := range strings.FieldsSeq(command.Annotations[required]) {
			if !command.Flags().Changed(option) {
				return messages.UsageMissingOption(command.Name(), "--"+option)
			}
		}
		if len(arguments) > 0 {
			return messages.UsageExtraArgument(strings.Join(arguments, " "), command.Name())
		}
		return run(command, arguments)
	}
}

// required is the annotation of a command that names the options that must be given.
const required = "required"

func needs(command *cobra.Command, options string) {
	command.Annotations = map[string]string{required: options}
}

// flagError is the flag parser's complaint in our words.
func flagError(command *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		option := "--" + unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			option = "-" + unknown.GetSpecifiedName()
		}
		return messages.UsageUnknownOption(option, command.Name())
	case errors.As(err, &valueless):
		return messages.UsageMissingValue("--"+valueless.GetFlag().Name, "one")
	case errors.As(err, &invalid): // of the types here only a flag without a value refuses at once
		return messages.UsageFlagValue("--" + invalid.GetFlag().Name)
	}
	return messages.UsageUnknownOption(strings.TrimPrefix(err.Error(), "bad flag syntax: "), command.Name())
}

// given is the options that were named, in the order of their spelling with underscores.
func given(command *cobra.Command) []string {
	var names []string
	command.Flags().Visit(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, "-", "_"), strings.ReplaceAll(b, "-", "_"))
	})
	return names
}
