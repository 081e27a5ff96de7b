package model

import (
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

func itself(backend tensor.Backend) tensor.Backend { return backend }

// Wherever the device fails while a model or a generator is made, nothing of it is left there.
func TestAFailedModelLeavesNothing(t *testing.T) {
	config := TinyMoEConfig()
	for name, options := range map[string]Options{"inference": {Zeros: true}, "training": {Training: true, Zeros: true}} {
		t.Run(name, func(t *testing.T) {
			testdevices.LeavesNothing(t, itself, func(backend tensor.Backend) (func() error, error) {
				m, err := NewMoETransformer(config, backend, options)
				return m.Close, err
			})
		})
	}
}

func TestAFailedGeneratorLeavesNothing(t *testing.T) {
	prepare := func(backend tensor.Backend) *MoETransformer {
		return must[*MoETransformer](t)(NewMoETransformer(TinyMoEConfig(), backend, Options{Zeros: true}))
	}
	testdevices.LeavesNothing(t, prepare, func(m *MoETransformer) (func() error, error) {
		g, err := NewGenerator(m, [][]int{{1, 2, 3}, {4}}, 2, Greedy, GeneratorOptions{})
		if err != nil && g != nil {
			t.Error("an error and a generator")
		}
		return g.Close, err
	})
}
