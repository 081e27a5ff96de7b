package layer

import "github.com/cuda-nn/cuda-nn/go/tensor"

// Embedding is a row of the table per id: y[t,:] = weight[ids[t],:], weight [vocab_size, hidden_size].
type Embedding struct {
	Backend    tensor.Backend
	Weight     *Parameter
	VocabSize  int
	HiddenSize int
}

// NewEmbedding makes one over its table.
func NewEmbedding(backend tensor.Backend, weight *Parameter) *Embedding {
	return &Embedding{backend, weight, weight.Shape[0], weight.Shape[1]}
}

// Forward: y [tokens, hidden_size] f32 from ids [tokens] i32.
func (e *Embedding) Forward(y, ids tensor.Buffer, tokens int) error {
	return e.Backend.EmbeddingForward(y, ids, e.Weight.Weight, tokens, e.VocabSize, e.HiddenSize)
}

// Backward: dweight[ids[t],:] += dy[t,:].
func (e *Embedding) Backward(dy, ids tensor.Buffer, tokens int) error {
	grad, err := e.Weight.Gradient()
	if err != nil {
		return err
	}
	return e.Backend.EmbeddingBackward(grad, dy, ids, tokens, e.VocabSize, e.HiddenSize)
}
