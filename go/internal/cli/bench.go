package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	nn "github.com/cuda-nn/cuda-nn/go"
	"github.com/cuda-nn/cuda-nn/go/bench"
	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
)

func (a *app) bench() *cobra.Command {
	var c common
	var casesPath, out string
	command := &cobra.Command{Use: "bench", Short: "Time the kernels and the model: medians with a bootstrap 95% interval."}
	path(command, &casesPath, "cases", "", "the description of what is measured: benchmarks/cases.json")
	path(command, &out, "out", "", "the JSON file to write, every sample in it")
	c.add(command, "device", "threads", "json", "quiet")
	needs(command, "cases out")
	command.RunE = func(*cobra.Command, []string) error {
		cases, err := bench.ReadCases(casesPath)
		if err != nil {
			return err
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		bar := a.progress("bench", cases.Len(), c.quiet)
		defer bar.close()
		var rows []bench.Measured
		entries := []jsonstrict.Value{}
		for number := range cases.Len() {
			entry, err := cases.At(number)
			if err != nil {
				return err
			}
			row, err := bench.Measure(backend, entry, cases.Protocol)
			if err != nil {
				return err
			}
			rows, entries = append(rows, row), append(entries, row.ToJSON())
			bar.update(number+1, row.Name)
		}
		result := jsonstrict.NewObject(
			"version", 1,
			"language", "go",
			"runtime", language(),
			"release", nn.Version,
			"machine", machine(),
			"device", backend.Name(),
			"isa", backend.ISA(),
			"threads", backend.Threads(),
			"cases", entries,
		)
		if err := files.WriteFile(out, files.Content(jsonstrict.Dumps(result))); err != nil {
			return err
		}
		if c.json {
			return a.print(result, true)
		}
		for _, row := range rows {
			if _, err := fmt.Fprintf(a.out, "%-28s %10.4f ms  [%10.4f, %10.4f]  %s %s\n",
				row.Name, row.Median*1e3, row.Low*1e3, row.High*1e3, readable(row.Rate), row.Unit); err != nil {
				return err
			}
		}
		return nil
	}
	return command
}
