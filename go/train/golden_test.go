package train

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// golden is a whole model of cuda/vectors/golden in f32 on a backend, made for training, and its batch.
type golden struct {
	file         *model.SafetensorsFile
	trainer      *GpuTrainer
	model        *model.MoETransformer
	ids, targets []int32
}

func openGolden(t *testing.T, name string, backend tensor.Backend, recompute bool, auxCoef float64) *golden {
	t.Helper()
	folder := testcases.Golden(name)
	file, err := model.OpenSafetensorsFile(filepath.Join(folder, "golden.safetensors"), "golden folder")
	if err != nil {
		t.Fatal(err)
	}
	dtype := tensor.F32
	m, err := model.LoadMoETransformer(folder, backend, model.LoadOptions{DType: &dtype, Training: true, Recompute: recompute})
	if err != nil {
		t.Fatal(err)
	}
	m.Config.AuxCoef, m.Config.ZCoef = auxCoef, 0
	g := &golden{file: file, model: m, ids: int32s(t, file, "input_ids"), targets: int32s(t, file, "target_ids")}
	shape := file.Tensors["input_ids"].Shape
	if g.trainer, err = NewGpuTrainer(m, shape[0], shape[1], GpuTrainerOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tensor.First(g.trainer.Close(), m.Close(), file.Close()); err != nil {
			t.Error(err)
		}
	})
	return g
}

func int32s(t *testing.T, file *model.SafetensorsFile, name string) []int32 {
	t.Helper()
	data, err := file.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]int32, len(data)/4)
	for i := range values {
		values[i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values
}

func (g *golden) truth(t *testing.T, name string) []float64 {
	t.Helper()
	data, err := g.file.Array(name)
	if err != nil {
		t.Fatal(err)
	}
	var values []float64
	if g.file.Tensors[name].DType == "F64" {
		for ; len(data) > 0; data = data[8:] {
			values = append(values, math.Float64frombits(binary.LittleEndian.Uint64(data)))
		}
		return values
	}
	narrow, err := g.file.F32(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range narrow {
		values = append(values, float64(value))
	}
	return values
}

// gradientError is the Frobenius norm of the difference over that of the truth.
func (g *golden) gradientError(t *testing.T, name, key string) float64 {
	t.Helper()
	data, err := g.model.Weights.FetchFrom(g.model.Weights.Gradients, name)
	if err != nil {
		t.Fatal(err)
	}
	off, size := 0.0, 0.0
	for i, want := range g.truth(t, key) {
		got := float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
		off += (got - want) * (got - want)
		size += want * want
	}
	return math.Sqrt(off / size)
}

func eachGolden(t *testing.T, test func(t *testing.T, name string, backend tensor.Backend)) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for _, name := range []string{"tiny", "gqa-top3", "bf16-sharded"} {
			t.Run(name, func(t *testing.T) { test(t, name, backend) })
		}
	})
}

func near(got, want, share float64) bool { return math.Abs(got-want) <= share*math.Abs(want) }

func TestGradients(t *testing.T) {
	eachGolden(t, func(t *testing.T, name string, backend tensor.Backend) {
		for _, recompute := range []bool{false, true} {
			g := openGolden(t, name, backend, recompute, 0)
			if err := tensor.First(g.trainer.Load(g.ids, g.targets), g.trainer.ForwardBackward()); err != nil {
				t.Fatal(err)
			}
			losses, err := g.trainer.Losses()
			if err != nil {
				t.Fatal(err)
			}
			if want := g.truth(t, "loss_ce")[0]; !near(losses.CrossEntropy, want, 1e-5) {
				t.Errorf("cross entropy is %v, expected %v", losses.CrossEntropy, want)
			}
			if want := g.truth(t, "loss_aux")[0]; !near(losses.Balance, want, 1e-5) {
				t.Errorf("balance is %v, expected %v", losses.Balance, want)
			}
			for _, spec := range g.model.Weights.Specs {
				if off := g.gradientError(t, spec.Name, "grad."+spec.Name); !(off <= 1e-4) {
					t.Errorf("recompute %v: gradient of %s is off by %v", recompute, spec.Name, off)
				}
			}
		}
	})
}

func TestAuxiliaryGradients(t *testing.T) {
	eachGolden(t, func(t *testing.T, name string, backend tensor.Backend) {
		g := openGolden(t, name, backend, false, 0.01)
		if err := tensor.First(g.trainer.Load(g.ids, g.targets), g.trainer.ForwardBackward()); err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, spec := range g.model.Weights.Specs {
			if _, there := g.file.Tensors["grad_with_aux."+spec.Name]; !there {
				continue
			}
			checked++
			if off := g.gradientError(t, spec.Name, "grad_with_aux."+spec.Name); !(off <= 1e-4) {
				t.Errorf("gradient of %s is off by %v", spec.Name, off)
			}
		}
		if checked != g.model.Config.NLayers+1 {
			t.Errorf("%d gradients were checked", checked)
		}
	})
}

// trainingRun is the losses before each of six steps, and the gradient norms; with weights moved by about one rounding
// when perturbed.
func trainingRun(t *testing.T, name string, backend tensor.Backend, perturbation uint64) (losses, norms []float64) {
	g := openGolden(t, name, backend, false, 0)
	if perturbation > 0 {
		random := rand.New(rand.NewPCG(perturbation, 0))
		values, err := tensor.Read[float32](backend, g.model.Weights.Values, 0, g.model.Weights.Layout.Total)
		if err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] = float32(float64(values[i]) * (1 + 0x1p-23*random.NormFloat64()))
		}
		if err := backend.Upload(g.model.Weights.Values, 0, tensor.Bytes(values)); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 {
		loss, err := g.trainer.Step(g.ids, g.targets, 1e-3)
		if err != nil {
			t.Fatal(err)
		}
		norm, err := g.trainer.GradNorm()
		if err != nil {
			t.Fatal(err)
		}
		losses, norms = append(losses, loss.CrossEntropy), append(norms, norm)
	}
	return losses, norms
}

// Losses and norms within 1e-5, or within what one rounding of the weights does to them.
//
// AdamW's first steps are lr g / (|g| + eps), so an element whose gradient is near eps moves by a share of lr that the
// last bit decides; a float64 run of the same steps is off from the golden one by as much.
func TestTrainingRun(t *testing.T) {
	eachGolden(t, func(t *testing.T, name string, backend tensor.Backend) {
		if testing.Short() && backend.Name() == "simt" {
			t.Skip("thirty training steps take simt half a minute")
		}
		g := openGolden(t, name, backend, false, 0)
		var runs [2][][]float64
		for perturbation := range uint64(5) {
			losses, norms := trainingRun(t, name, backend, perturbation)
			runs[0], runs[1] = append(runs[0], losses), append(runs[1], norms)
		}
		for what, key := range []string{"train_losses", "train_grad_norms"} {
			for step, truth := range g.truth(t, key) {
				got, spread := runs[what][0][step], 0.0
				for _, other := range runs[what][1:] {
					spread = math.Max(spread, math.Abs(other[step]-got))
				}
				bound := math.Max(1e-5*truth, 2*spread)
				if !(bound <= 2e-3*truth) {
					t.Errorf("%s[%d] is too sensitive to mean anything: %v of %v", key, step, bound, truth)
				}
				if !(math.Abs(got-truth) <= bound) {
					t.Errorf("%s[%d] is %v, expected %v within %v", key, step, got, truth, bound)
				}
			}
		}
	})
}
