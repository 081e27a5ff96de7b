package model

import (
	"fmt"

	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Weights is the flat buffers behind a model: every weight in Values [Layout.Total] in the model's dtype and, in
// training, every gradient at the same place in Gradients [Layout.Total] f32. In a quantized model Blocks
// [Layout.NQuantized] q8 or q4 holds the tensors that are quantized.
//
// One buffer makes the norm of all gradients, their zeroing and the optimizer's update one call each.
type Weights struct {
	Backend   tensor.Backend
	Config    MoEConfig
	DType     tensor.DType
	Layout    *ParameterLayout
	Specs     []ParameterSpec
	Values    tensor.Buffer
	Blocks    tensor.Buffer
	Gradients tensor.Buffer
	specs     map[string]ParameterSpec
	views     []tensor.Buffer
}

// NewWeights makes zeros.
func NewWeights(backend tensor.Backend, config MoEConfig, dtype tensor.DType, training bool) (*Weights, error) {
	w := &Weights{
		Backend: backend, Config: config, DType: dtype,
		Layout: NewParameterLayout(config), Specs: ParameterSpecs(config), specs: map[string]ParameterSpec{},
	}
	for _, spec := range w.Specs {
		w.specs[spec.Name] = spec
	}
	var err error
	if w.Values, err = backend.Buffer(dtype, w.Layout.Total); err != nil {
		return nil, err
	}
	if config.isQuantized() {
		blocks, _ := tensor.DTypeOf(config.Quantization)
		if w.Blocks, err = backend.Buffer(blocks, w.Layout.NQuantized); err != nil {
			return nil, tensor.First(err, w.Close())
		}
	}
	if training {
		if w.Gradients, err = backend.Buffer(tensor.F32, w.Layout.Total); err != nil {
			return nil, tensor.First(err, w.Close())
		}
	}
	return w, nil
}

// Initialise: norms 1; every other element close to normal with deviation 0.02, from (seed, tensor number, element).
func (w *Weights) Initialise(seed int64) error {
	for _, spec := range w.Specs {
		view, err := w.place(spec)
		if err != nil {
			return err
		}
		switch {
		case spec.Kind == "norm":
			err = w.Backend.Fill(view, spec.Size(), 1)
		case spec.Quantized:
			err = w.initialiseBlocks(view, spec, seed)
		default:
			err = w.Backend.RandomInit(view, spec.Size(), 0, seed, spec.Number)
		}
		if err := tensor.First(err, view.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *Weights) initialiseBlocks(view tensor.Buffer, spec ParameterSpec, seed int64) error {
	fresh, err := w.Backend.Buffer(tensor.F32, spec.Size())
	if err != nil {
		return err
	}
	return tensor.First(
		w.Backend.RandomInit(fresh, spec.Size(), 0, seed, spec.Number),
		w.Backend.Quantize(view, fresh, spec.Size()),
		fresh.Close(),
	)
}

// Parameter is the tensor with this checkpoint name.
func (w *Weights) Parameter(name string) (*layer.Parameter, error) {
	spec := w.specs[name]
	return w.at(name, w.home(spec), w.Layout.Offsets[name], spec.Shape)
}

// Experts is the stacks (w1, w3, w2) of a layer: [n_experts, ffn_size, hidden_size] twice and its transpose.
func (w *Weights) Experts(index int) (w1, w3, w2 *layer.Parameter, err error) {
	c, name := w.Config, fmt.Sprintf("model.layers.%d.block_sparse_moe.experts", index)
	wide := tensor.Shape{c.NExperts, c.FFNSize, c.HiddenSize}
	narrow := tensor.Shape{c.NExperts, c.HiddenSize, c.FFNSize}
	home := w.Values
	if w.Blocks != nil {
		home = w.Blocks
	}
	w1, err1 := w.at(name+".w1", home, w.Layout.W1Stack[index], wide)
	w3, err3 := w.at(name+".w3", home, w.Layout.W3Stack[index], wide)
	w2, err2 := w.at(name+".w2", home, w.Layout.W2Stack[index], narrow)
	return w1, w3, w2, tensor.First(err1, err3, err2)
}

// Load takes every tensor of an open checkpoint, converted to DType: widened exactly, or rounded to nearest even. Blocks
// stay as they are.
func (w *Weights) Load(checkpoint *Checkpoint) error {
	for _, spec := range w.Specs {
		storage, err := checkpoint.Array(spec.Name)
		if !spec.Quantized {
			storage, err = checkpoint.converted(spec.Name, w.DType)
		}
		if err != nil {
			return err
		}
		view, err := w.place(spec)
		if err != nil {
			return err
		}
		if err := tensor.First(w.Backend.Upload(view, 0, storage), view.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Fetch is the values of a tensor as a checkpoint stores them: elements, or rows of blocks.
func (w *Weights) Fetch(name string) ([]byte, error) { return w.FetchFrom(w.home(w.specs[name]), name) }

// FetchFrom is what stands at a tensor's place in a buffer of this layout: values, blocks, gradients, a moment.
func (w *Weights) FetchFrom(flat tensor.Buffer, name string) ([]byte, error) {
	storage := make([]byte, flat.DType().Bytes(w.specs[name].Size()))
	return storage, w.Backend.Download(storage, flat, w.Layout.Offsets[name])
}

// Close releases the buffers and the parameters' views of them.
func (w *Weights) Close() error {
	return tensor.First(tensor.CloseAll(w.views...), tensor.CloseAll(w.Values, w.Gradients, w.Blocks))
}

// home is the buffer that a tensor lives in, place its view there.
func (w *Weights) home(spec ParameterSpec) tensor.Buffer {
	if spec.Quantized {
		return w.Blocks
	}
	return w.Values
}

func (w *Weights) place(spec ParameterSpec) (tensor.Buffer, error) {
	return w.Backend.View(w.home(spec), w.Layout.Offsets[spec.Name], spec.Size())
}

func (w *Weights) at(name string, home tensor.Buffer, offset int, shape tensor.Shape) (*layer.Parameter, error) {
	p := &layer.Parameter{Name: name, Shape: shape}
	var err error
	if p.Weight, err = w.view(home, offset, shape); err != nil {
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
