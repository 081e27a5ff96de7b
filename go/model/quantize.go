package model

import (
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// QuantizeCheckpoint writes the folder path with the matrices that ParameterSpec.Quantized names as kind ("q8" or "q4"),
// one tensor in memory at a time, and returns its config.
//
// A block of 32 elements of a row becomes a scale and levels, as cunn_quantize says: x about d q, off by at most half of d
// (by d where q4 would need a level 8, which it has not) and the rounding of d. Everything else is in Config.DType;
// tokenizer.json comes along. written, unless nil, hears how many tensors are done; what it returns ends the work. Errors:
// quantized_weights, quantize_replaces, those of MoEConfig.Validate and of SaveCheckpoint, and the device's where an element
// is not finite.
func QuantizeCheckpoint(
	checkpoint *Checkpoint, path, kind string, backend tensor.Backend, written func(count int) error,
) (MoEConfig, error) {
	if err := checkpoint.Config.RequireFloat(checkpoint.Path); err != nil {
		return MoEConfig{}, err
	}
	if err := RequireElsewhere(checkpoint, path); err != nil {
		return MoEConfig{}, err
	}
	config, err := checkpoint.Config.WithQuantization(kind)
	if err != nil {
		return MoEConfig{}, err
	}
	var options SaveOptions
	if tokenizer := checkpoint.TokenizerPath(); files.Exists(tokenizer) {
		if options.Tokenizer, err = files.ReadBytes(tokenizer, checkpointKind); err != nil {
			return MoEConfig{}, err
		}
	}
	specs := map[string]ParameterSpec{}
	for _, spec := range ParameterSpecs(config) {
		specs[spec.Name] = spec
	}
	dtype, _ := tensor.DTypeOf(config.DType)
	done := 0
	fetch := func(name string) (storage []byte, err error) {
		if specs[name].Quantized {
			storage, err = quantized(checkpoint, backend, specs[name], kind)
		} else {
			storage, err = checkpoint.converted(name, dtype)
		}
		done++
		if err == nil && written != nil {
			err = written(done)
		}
		return storage, err
	}
	return config, SaveCheckpoint(path, config, fetch, options)
}

// RequireElsewhere: Errors: quantize_replaces where path is the checkpoint's own folder or holds a run to resume.
func RequireElsewhere(checkpoint *Checkpoint, path string) error {
	if files.Exists(files.Join(path, "trainer_state.json")) || files.Same(path, checkpoint.Path) {
		return messages.QuantizeReplaces(files.Plain(path))
	}
	return nil
}

// quantized is the blocks of a tensor.
func quantized(checkpoint *Checkpoint, backend tensor.Backend, spec ParameterSpec, kind string) ([]byte, error) {
	data, err := checkpoint.Array(spec.Name)
	if err != nil {
		return nil, err
	}
	from, _ := tensor.DTypeOf(strings.ToLower(checkpoint.DTypes[spec.Name]))
	to, _ := tensor.DTypeOf(kind)
	values, err := backend.Buffer(from, spec.Size())
	if err != nil {
		return nil, err
	}
	blocks, err := backend.Buffer(to, spec.Size())
	if err != nil {
		return nil, tensor.First(err, values.Close())
	}
	storage := make([]byte, to.Bytes(spec.Size()))
	err = tensor.First(
		backend.Upload(values, 0, data),
		backend.Quantize(blocks, values, spec.Size()),
		backend.Download(storage, blocks, 0),
	)
	return storage, tensor.First(err, values.Close(), blocks.Close())
}

// StoredBytes is the bytes of all tensors of a checkpoint.
func StoredBytes(config MoEConfig) int {
	total := 0
	for _, entry := range CheckpointEntries(config) {
		total += entry.NBytes()
	}
	return total
}
