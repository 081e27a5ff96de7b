package layer

import (
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Parameter is a trainable tensor: a view of the flat parameter buffer and, in training, of the flat gradient buffer.
//
// Weight is in the model's dtype or in blocks, Grad f32 or nil outside training, both holding Shape row-major.
type Parameter struct {
	Name   string
	Shape  tensor.Shape
	Weight tensor.Buffer
	Grad   tensor.Buffer
}

// Gradient is the gradient buffer. Errors: not_training when the model was not made for training.
func (p *Parameter) Gradient() (tensor.Buffer, error) {
	if p.Grad == nil {
		return nil, messages.NotTraining()
	}
	return p.Grad, nil
}
