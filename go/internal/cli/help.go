package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func init() { cobra.AddTemplateFunc("options", options) }

// helpOf has a command list its options as nn-py does: a flag without a value has none in the help either, and --help is
// such a flag.
func helpOf(command *cobra.Command) {
	command.Flags().VarP(flagOnly{new(bool)}, "help", "h", "show this message and exit")
	command.Flags().Lookup("help").NoOptDefVal = alone
	listed := command.UsageTemplate()
	for _, of := range []string{"LocalFlags", "InheritedFlags"} {
		listed = strings.ReplaceAll(listed, "."+of+".FlagUsages", "options ."+of)
	}
	command.SetUsageTemplate(listed)
}

func options(set *pflag.FlagSet) string {
	var names, words []string
	width := 0
	set.VisitAll(func(flag *pflag.Flag) {
		name := "      --" + flag.Name
		if flag.Shorthand != "" {
			name = "  -" + flag.Shorthand + ", --" + flag.Name
		}
		usage := flag.Usage
		if flag.Value.Type() != "bool" {
			name += " " + flag.Value.Type()
			if flag.DefValue != "" && flag.DefValue != "0" {
				usage += " (default " + flag.DefValue + ")"
			}
		}
		names, words, width = append(names, name), append(words, usage), max(width, len(name))
	})
	var out strings.Builder
	for i, name := range names {
		fmt.Fprintf(&out, "%-*s   %s\n", width, name, words[i])
	}
	return out.String()
}
