package train

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Recorded steps on simt, the CUDA kernels executed on the host: the losses and tokens of the cpu device, as Python's
// test_simt_steps.py has it.

const (
	simtBatch = 2
	simtSeq   = 16
	simtSteps = 4
)

func requireSimt(t *testing.T) {
	t.Helper()
	testdevices.Require(t)
	for _, device := range []string{"cpu", "simt"} {
		if why := cuda.WhyNot(device); why != "" {
			t.Skip(why)
		}
	}
	if testing.Short() {
		t.Skip("simt takes its time under the race detector")
	}
}

func tinyOn(t *testing.T, device string, dtype tensor.DType, training bool) *model.MoETransformer {
	t.Helper()
	backend := testdevices.Open(t, device, cuda.Options{})
	m, err := model.NewMoETransformer(model.TinyMoEConfig(), backend, model.Options{DType: dtype, Training: training, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// trainTiny is losses and gradient norms of some steps; the first runs, the second is recorded, the rest are launches.
func trainTiny(t *testing.T, device string, dtype tensor.DType) [][4]float64 {
	t.Helper()
	m := tinyOn(t, device, dtype, true)
	trainer, err := NewGpuTrainer(m, simtBatch, simtSeq, GpuTrainerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trainer.Close(); err != nil {
			t.Error(err)
		}
	})
	rows := make([][4]float64, simtSteps)
	for step := range rows {
		ids, targets := make([]int32, simtBatch*simtSeq), make([]int32, simtBatch*simtSeq)
		for i := range ids {
			ids[i] = int32((i*i*37 + 11*step + 5) % m.Config.VocabSize)
		}
		for i := range targets {
			row := i / simtSeq * simtSeq
			targets[i] = ids[row+(i-row+1)%simtSeq]
		}
		loss, err := trainer.Step(ids, targets, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		norm, err := trainer.GradNorm()
		if err != nil {
			t.Fatal(err)
		}
		rows[step] = [4]float64{loss.CrossEntropy, loss.Balance, loss.Z, norm}
	}
	return rows
}

func TestSimtTrainsTinyToTheBitsOfCpuInF32(t *testing.T) {
	requireSimt(t)
	if simt, cpu := trainTiny(t, "simt", tensor.F32), trainTiny(t, "cpu", tensor.F32); !slices.Equal(simt, cpu) {
		t.Errorf("simt %v, cpu %v", simt, cpu)
	}
}

// Products of 16-bit operands have their device's order, so the losses differ by rounding.
//
// A rounding to bf16 moves a value by at most u = 2^-8 of itself, u/sqrt(3) in the root mean square. Both operands of a
// product are rounded in each of the 2 n_layers + 3 stages from embedding to logits, so a logit moves by
// sqrt(2 (2 n_layers + 3)) of that; logits of a fresh model have the root mean square 0.02 sqrt(hidden_size). A token's
// loss moves with its target's logit, the mean over N tokens by 1/sqrt(N) of that. c = 4.
func TestSimtTrainsTinyToTheLossesOfCpuInBF16(t *testing.T) {
	requireSimt(t)
	config := model.TinyMoEConfig()
	roundings := 2 * (2*float64(config.NLayers) + 3)
	logit := 0.02 * math.Sqrt(float64(config.HiddenSize))
	bound := 4 * math.Sqrt(roundings/(simtBatch*simtSeq)) * logit / 256 / math.Sqrt(3)
	simt, cpu := trainTiny(t, "simt", tensor.BF16), trainTiny(t, "cpu", tensor.BF16)
	for step := range simt {
		if off := math.Abs(simt[step][0] - cpu[step][0]); !(off <= bound) {
			t.Errorf("step %d: losses %v and %v differ by %.3g, allowed %.3g", step, simt[step][0], cpu[step][0], off, bound)
		}
	}
}

// The decode step is one recorded graph from the second token on.
func TestSimtDecodesTheTokensOfCpu(t *testing.T) {
	requireSimt(t)
	prompts := [][]int{{1, 5, 9, 4, 7}, {1, 8}, {1, 3, 2, 2}}
	for _, sampling := range []model.Sampling{model.Greedy, {Temperature: 0.8, TopK: 50, TopP: 0.9, Seed: 11}} {
		var tokens [2][][]int
		for i, device := range []string{"simt", "cpu"} {
			var err error
			options := model.GeneratorOptions{IgnoreEos: true}
			tokens[i], err = model.Generate(context.Background(), tinyOn(t, device, tensor.F32, false), prompts, 6, sampling, options)
			if err != nil {
				t.Fatal(err)
			}
		}
		for b, row := range tokens[0] {
			if len(row) != 6 || !slices.Equal(row, tokens[1][b]) {
				t.Errorf("sequence %d: simt %v, cpu %v", b, row, tokens[1][b])
			}
		}
	}
}
