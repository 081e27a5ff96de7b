package model

import (
	"fmt"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Weights is the flat buffers behind a model: every weight in Values [Layout.Total] in the model's dtype and, in
// training, every gradient at the same place in Gradients [Layout.Total] f32.
//
// One buffer makes the norm of all gradients, their zeroing and the optimizer's update one call each.
type Weights struct {
	Backend   tensor.Backend
	Config    MoEConfig
	DType     tensor.DType
	Layout    *ParameterLayout
	Specs     []ParameterSpec
	Values    tensor.Buffer
	Gradients tensor.Buffer
	shapes    map[string]tensor.Shape
	views     []tensor.Buffer
}

// NewWeights makes zeros.
func NewWeights(backend tensor.Backend, config MoEConfig, dtype tensor.DType, training bool) (*Weights, error) {
	w := &Weights{
		Backend: backend, Config: config, DType: dtype,
		Layout: NewParameterLayout(config), Specs: ParameterSpecs(config), shapes: map[string]tensor.Shape{},
	}
	for _, spec := range w.Specs {
		w.shapes[spec.Name] = spec.Shape
	}
	var err error
	if w.Values, err = backend.Buffer(dtype, w.Layout.Total); err != nil {
		return nil, err
	}
	if training {
		if w.Gradients, err = backend.Buffer(tensor.F32, w.Layout.Total); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Initialise: norms 1; every other element close to normal with deviation 0.02, from (seed, tensor number, element).
func (w *Weights) Initialise(seed int64) error {
	for _, spec := range w.Specs {
		view, err := w.Backend.View(w.Values, w.Layout.Offsets[spec.Name], spec.Size())
		if err != nil {
			return err
		}
		if spec.Kind == "norm" {
			err = w.Backend.Fill(view, spec.Size(), 1)
		} else {
			err = w.Backend.RandomInit(view, spec.Size(), 0, seed, spec.Number)
		}
		if err := tensor.First(err, view.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Parameter is the tensor with this checkpoint name.
func (w *Weights) Parameter(name string) (*layer.Parameter, error) {
	return w.at(name, w.Layout.Offsets[name], w.shapes[name])
}

// Experts is the stacks (w1, w3, w2) of a layer: [n_experts, ffn_size, hidden_size] twice and its transpose.
func (w *Weights) Experts(index int) (w1, w3, w2 *layer.Parameter, err error) {
	c, name := w.Config, fmt.Sprintf("model.layers.%d.block_sparse_moe.experts", index)
	wide := tensor.Shape{c.NExperts, c.FFNSize, c.HiddenSize}
	narrow := tensor.Shape{c.NExperts, c.HiddenSize, c.FFNSize}
	w1, err1 := w.at(name+".w1", w.Layout.W1Stack[index], wide)
	w3, err3 := w.at(name+".w3", w.Layout.W3Stack[index], wide)
	w2, err2 := w.at(name+".w2", w.Layout.W2Stack[index], narrow)
	return w1, w3, w2, tensor.First(err1, err3, err2)
}

// Load takes every tensor of an open checkpoint, converted to DType: widened exactly, or rounded to nearest even.
func (w *Weights) Load(checkpoint *Checkpoint) error {
	for _, spec := range w.Specs {
		storage, err := w.converted(checkpoint, spec.Name)
		if err != nil {
			return err
		}
		view, err := w.Backend.View(w.Values, w.Layout.Offsets[spec.Name], spec.Size())
		if err != nil {
			return err
		}
		if err := tensor.First(w.Backend.Upload(view, 0, storage), view.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *Weights) converted(checkpoint *Checkpoint, name string) ([]byte, error) {
	if strings.ToLower(checkpoint.DTypes[name]) == w.DType.Label() {
		return checkpoint.Array(name)
	}
	values, err := checkpoint.F32(name)
	if err != nil || w.DType == tensor.F32 {
		return tensor.Bytes(values), err
	}
	halves := make([]uint16, len(values))
	for i, value := range values {
		if w.DType == tensor.BF16 {
			halves[i] = tensor.BF16FromF32(value)
		} else {
			halves[i] = tensor.F16FromF32(value)
		}
	}
	return tensor.Bytes(halves), nil
}

// Fetch is the values of a tensor, as they are stored.
func (w *Weights) Fetch(name string) ([]byte, error) { return w.FetchFrom(w.Values, name) }

// FetchFrom is what stands at a tensor's place in a buffer of this layout: values, gradients, a moment.
func (w *Weights) FetchFrom(flat tensor.Buffer, name string) ([]byte, error) {
	storage := make([]byte, flat.DType().Bytes(w.shapes[name].Size()))
	return storage, w.Backend.Download(storage, flat, w.Layout.Offsets[name])
}

// Close releases both buffers and the parameters' views of them.
func (w *Weights) Close() error {
	err := w.Values.Close()
	for _, view := range w.views {
		err = tensor.First(err, view.Close())
	}
	if w.Gradients != nil {
		err = tensor.First(err, w.Gradients.Close())
	}
	return err
}

func (w *Weights) at(name string, offset int, shape tensor.Shape) (*layer.Parameter, error) {
	p := &layer.Parameter{Name: name, Shape: shape}
	var err error
	if p.Weight, err = w.view(w.Values, offset, shape); err != nil {
		return nil, err
	}
	if w.Gradients != nil {
		p.Grad, err = w.view(w.Gradients, offset, shape)
	}
	return p, err
}

func (w *Weights) view(flat tensor.Buffer, offset int, shape tensor.Shape) (tensor.Buffer, error) {
	view, err := w.Backend.View(flat, offset, shape.Size())
	if err == nil {
		w.views = append(w.views, view)
	}
	return view, err
}
