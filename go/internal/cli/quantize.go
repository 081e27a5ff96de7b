package cli

import (
	"github.com/spf13/cobra"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
)

func (a *app) quantize() *cobra.Command {
	var c common
	var folder, out, kind string
	command := &cobra.Command{
		Use: "quantize", Short: "Write a model with quantized matrices: generate, eval, logits and inspect take it as it is.",
	}
	path(command, &folder, "model", "", "a checkpoint folder")
	path(command, &out, "out", "", "the folder to write")
	text(command, &kind, "type", "", "q8 or q4")
	c.add(command, "device", "threads", "json", "quiet")
	needs(command, "model out type")
	command.RunE = func(*cobra.Command, []string) error {
		if kind != "q8" && kind != "q4" {
			return messages.UsageBadValue("--type", kind, "q8 or q4")
		}
		checkpoint, err := model.LoadCheckpoint(folder)
		if err != nil {
			return err
		}
		defer checkpoint.Close()
		if err := checkpoint.Config.RequireFloat(folder); err != nil {
			return err
		}
		if err := model.RequireElsewhere(checkpoint, out); err != nil {
			return err
		}
		config, err := checkpoint.Config.WithQuantization(kind)
		if err != nil {
			return err
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		specs, parameters := model.ParameterSpecs(config), 0
		for _, spec := range specs {
			if spec.Quantized {
				parameters += spec.Size()
			}
		}
		bar := a.progress("quantize", len(specs), c.quiet)
		defer bar.close()
		ctx, stop := a.interrupts.until()
		defer stop()
		_, err = model.QuantizeCheckpoint(checkpoint, out, kind, backend, func(count int) error {
			bar.update(count, "")
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		return a.print(jsonstrict.NewObject(
			"out", out,
			"type", kind,
			"parameters", config.NParameters(),
			"quantized_parameters", parameters,
			"bytes", model.StoredBytes(config),
		), c.json)
	}
	return command
}
