package model

import "github.com/cuda-nn/cuda-nn/go/tensor"

// RopeTables is rotary position embedding (Su et al. 2021): cos and sin of p theta'^(-2i/head_dim), [context,
// head_dim/2] f32, shared by every layer.
//
// theta' = rope_theta ntk_alpha^(head_dim/(head_dim-2)): NTK scaling stretches the low frequencies only.
type RopeTables struct {
	Backend  tensor.Backend
	HeadDim  int
	Context  int
	Cos, Sin tensor.Buffer
}

// NewRopeTables computes the tables.
func NewRopeTables(backend tensor.Backend, c MoEConfig) (*RopeTables, error) {
	r := &RopeTables{Backend: backend, HeadDim: c.HeadDim, Context: c.Context()}
	size := r.Context * (r.HeadDim / 2)
	var errCos, errSin error
	r.Cos, errCos = backend.Buffer(tensor.F32, size)
	r.Sin, errSin = backend.Buffer(tensor.F32, size)
	err := tensor.First(errCos, errSin)
	if err == nil {
		err = backend.RoPEFrequencies(r.Cos, r.Sin, r.Context, c.HeadDim, c.RopeTheta, c.NTKAlpha)
	}
	if err != nil {
		return nil, tensor.First(err, r.Close())
	}
	return r, nil
}

// Forward rotates q [tokens, n_heads, head_dim] and k [tokens, n_kv_heads, head_dim] by their positions.
func (r *RopeTables) Forward(qOut, kOut, q, k, positions tensor.Buffer, tokens, nHeads, nKVHeads int) error {
	d := r.HeadDim
	return r.Backend.RoPEForward(qOut, kOut, q, k, r.Cos, r.Sin, positions,
		tokens, nHeads, nKVHeads, d, r.Context, nHeads*d, d, nKVHeads*d, d)
}

// Backward rotates the gradients back, in place.
func (r *RopeTables) Backward(dq, dk, positions tensor.Buffer, tokens, nHeads, nKVHeads int) error {
	d := r.HeadDim
	return r.Backend.RoPEBackward(dq, dk, dq, dk, r.Cos, r.Sin, positions,
		tokens, nHeads, nKVHeads, d, r.Context, nHeads*d, d, nKVHeads*d, d)
}

// Close releases the tables.
func (r *RopeTables) Close() error { return tensor.CloseAll(r.Cos, r.Sin) }
