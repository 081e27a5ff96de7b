package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	nn "github.com/cuda-nn/cuda-nn/go"
	"github.com/cuda-nn/cuda-nn/go/internal/bench"
	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

func (a *app) bench() *cobra.Command {
	var c common
	var cases, out string
	command := &cobra.Command{Use: "bench", Short: "Time the kernels and the model: medians with a bootstrap 95% interval."}
	path(command, &cases, "cases", "", "the description of what is measured: benchmarks/cases.json")
	path(command, &out, "out", "", "the JSON file to write, every sample in it")
	c.add(command, "device", "threads", "json", "quiet")
	command.RunE = func(*cobra.Command, []string) error {
		if err := require(command, "cases", "out"); err != nil {
			return err
		}
		data, err := files.ReadBytes(cases, "checkout")
		if err != nil {
			return err
		}
		object, err := jsonstrict.LoadsObject(data, cases)
		if err != nil {
			return err
		}
		described := jsonstrict.NewFields(object, cases)
		how, err := bench.ReadProtocol(described)
		if err != nil {
			return err
		}
		listed, ok := object.Get("cases").([]jsonstrict.Value)
		if !ok {
			return messages.FieldWrongType(cases, "cases", jsonstrict.Describe(object.Get("cases")), "an array")
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		bar := a.progress("bench", len(listed), c.quiet)
		defer bar.close()
		rows := []jsonstrict.Value{}
		for number, entry := range listed {
			object, ok := entry.(*jsonstrict.Object)
			if !ok {
				field := fmt.Sprintf("cases[%d]", number)
				return messages.FieldWrongType(cases, field, jsonstrict.Describe(entry), "an object")
			}
			row, err := bench.Measure(backend, jsonstrict.NewFields(object, fmt.Sprintf("%s: cases[%d]", cases, number)), how)
			if err != nil {
				return err
			}
			rows = append(rows, row)
			bar.update(number+1, row.Get("name").(string))
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
			"cases", rows,
		)
		if err := files.WriteFile(out, files.Content(jsonstrict.Dumps(result))); err != nil {
			return err
		}
		if c.json {
			return a.print(result, true)
		}
		for _, entry := range rows {
			row := entry.(*jsonstrict.Object)
			_, err := fmt.Fprintf(a.out, "%-28s %s ms  [%s, %s]  %s %s\n", row.Get("name"),
				milliseconds(row.Get("median")), milliseconds(row.Get("low")), milliseconds(row.Get("high")),
				readable(row.Get("rate")), row.Get("unit"))
			if err != nil {
				return err
			}
		}
		return nil
	}
	return command
}

func milliseconds(value jsonstrict.Value) string { return fmt.Sprintf("%10.4f", value.(float64)*1e3) }
