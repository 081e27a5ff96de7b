package train

import (
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Wherever the device fails while a trainer is made, nothing of it is left there; bf16 has master weights too.
func TestAFailedTrainerLeavesNothing(t *testing.T) {
	for _, dtype := range []tensor.DType{tensor.F32, tensor.BF16} {
		prepare := func(backend tensor.Backend) *model.MoETransformer {
			options := model.Options{DType: dtype, Training: true, Zeros: true}
			m, err := model.NewMoETransformer(model.TinyMoEConfig(), backend, options)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		testdevices.LeavesNothing(t, prepare, func(m *model.MoETransformer) (func() error, error) {
			trainer, err := NewGpuTrainer(m, 2, 4, GpuTrainerOptions{MicroBatches: 2})
			return trainer.Close, err
		})
	}
}
