package train

import (
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// AdamWConfig: decay acts on matrices only.
type AdamWConfig struct {
	Beta1       float64
	Beta2       float64
	Eps         float64
	WeightDecay float64
	MaxNorm     float64
}

// DefaultAdamW is the constants of the design.
var DefaultAdamW = AdamWConfig{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, MaxNorm: 1}

// AdamW (Loshchilov and Hutter 2019) over the flat buffers, with clipping by the global norm:
// p *= 1 - lr wd;  p -= (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps),  bc = 1 - beta^applied.
//
// Moments M, V f32 [layout.total]; with 16-bit weights an f32 Master of the same size holds the value that is updated.
// The learning rate and the number of applied steps live in device buffers. A step whose gradient norm is not finite
// changes nothing and does not count as applied.
type AdamW struct {
	Backend   tensor.Backend
	Weights   *model.Weights
	Gradients tensor.Buffer
	Config    AdamWConfig
	M         tensor.Buffer
	V         tensor.Buffer
	Master    tensor.Buffer
	LR        tensor.Buffer
	Scale     tensor.Buffer
	Norm      tensor.Buffer
	Sum       tensor.Buffer
	Nonfinite tensor.Buffer
	Applied   tensor.Buffer
	parts     []*part
}

// NewAdamW makes an optimizer that has taken no step. Errors: not_training.
func NewAdamW(backend tensor.Backend, weights *model.Weights, config AdamWConfig) (*AdamW, error) {
	if weights.Gradients == nil {
		return nil, messages.NotTraining()
	}
	a := &AdamW{Backend: backend, Weights: weights, Gradients: weights.Gradients, Config: config}
	if err := a.build(); err != nil {
		return nil, tensor.First(err, a.Close())
	}
	return a, nil
}

func (a *AdamW) build() (err error) {
	backend, weights := a.Backend, a.Weights
	total := weights.Layout.Total
	for _, wanted := range []struct {
		into  *tensor.Buffer
		dtype tensor.DType
		count int
	}{
		{&a.M, tensor.F32, total}, {&a.V, tensor.F32, total}, {&a.LR, tensor.F32, 1}, {&a.Scale, tensor.F32, 1},
		{&a.Norm, tensor.F32, 1}, {&a.Sum, tensor.F32, 1}, {&a.Nonfinite, tensor.I32, 1}, {&a.Applied, tensor.I64, 1},
	} {
		if *wanted.into, err = backend.Buffer(wanted.dtype, wanted.count); err != nil {
			return err
		}
	}
	if weights.DType != tensor.F32 {
		if a.Master, err = backend.Buffer(tensor.F32, total); err != nil {
			return err
		}
		if err := backend.Cast(a.Master, weights.Values, total); err != nil {
			return err
		}
	}
	n := weights.Layout.NMatrix
	return tensor.First(a.part(0, n, a.Config.WeightDecay), a.part(n, total-n, 0))
}

// ZeroGrad: all gradients to 0.
func (a *AdamW) ZeroGrad() error { return a.Backend.Fill(a.Gradients, a.Weights.Layout.Total, 0) }

// Step is one update from the accumulated gradients, at the learning rate that stands in LR.
func (a *AdamW) Step() error {
	be, c := a.Backend, a.Config
	err := tensor.First(
		be.SumOfSquares(a.Sum, a.Gradients, a.Weights.Layout.Total),
		be.ClipScale(a.Scale, a.Norm, a.Nonfinite, a.Applied, a.Sum, c.MaxNorm),
	)
	for _, p := range a.parts {
		err = tensor.First(err, be.AdamWStep(
			p.param, p.master, p.m, p.v, p.grad, a.LR, a.Scale, a.Nonfinite, a.Applied, nil, p.count, p.start,
			c.Beta1, c.Beta2, c.Eps, p.weightDecay))
	}
	return err
}

// Moment is what a checkpoint keeps of the optimizer under the prefix Kind of its tensors' names.
type Moment struct {
	Kind   string
	Buffer tensor.Buffer
}

// State is m, v, and master if any.
func (a *AdamW) State() []Moment {
	state := []Moment{{"m", a.M}, {"v", a.V}}
	if a.Master != nil {
		state = append(state, Moment{"master", a.Master})
	}
	return state
}

// Close releases the device memory.
func (a *AdamW) Close() error {
	buffers := []tensor.Buffer{a.M, a.V, a.LR, a.Scale, a.Norm, a.Sum, a.Nonfinite, a.Applied, a.Master}
	for _, p := range a.parts {
		buffers = append(buffers, p.param, p.master, p.m, p.v, p.grad)
	}
	return tensor.CloseAll(buffers...)
}

// part is a range of the flat buffers with one decay.
type part struct {
	param, master, m, v, grad tensor.Buffer
	start, count              int
	weightDecay               float64
}

func (a *AdamW) part(start, count int, weightDecay float64) error {
	p := &part{start: start, count: count, weightDecay: weightDecay}
	a.parts = append(a.parts, p)
	for _, slice := range []struct {
		into *tensor.Buffer
		of   tensor.Buffer
	}{{&p.param, a.Weights.Values}, {&p.master, a.Master}, {&p.m, a.M}, {&p.v, a.V}, {&p.grad, a.Gradients}} {
		if slice.of == nil {
			continue
		}
		var err error
		if *slice.into, err = a.Backend.View(slice.of, start, count); err != nil {
			return err
		}
	}
	return nil
}
