package layer

import "github.com/cuda-nn/cuda-nn/go/tensor"

// SwiGLU is the experts' feed-forward network (Shazeer 2020), run as grouped products over rows sorted by expert:
// rows_e = (silu(x W1_e^T) * (x W3_e^T)) W2_e^T for the routed rows of each expert e.
//
// W1, W3 [n_experts, ffn_size, hidden_size], W2 [n_experts, hidden_size, ffn_size]. Row r of expert e
// (offsets[e] <= r < offsets[e+1]) reads x[row_token[r],:], so the routed copy of x is never made.
type SwiGLU struct {
	Backend        tensor.Backend
	W1, W3, W2     *Parameter
	Saved, Scratch *Workspace
	NExperts       int
	FFNSize        int
	HiddenSize     int
}

// NewSwiGLU makes one over its stacks of weights.
func NewSwiGLU(backend tensor.Backend, w1, w3, w2 *Parameter, saved, scratch *Workspace) *SwiGLU {
	return &SwiGLU{backend, w1, w3, w2, saved, scratch, w1.Shape[0], w1.Shape[1], w1.Shape[2]}
}

// Forward: [rows, hidden_size], rows = tokens top_k.
func (g *SwiGLU) Forward(x, offsets, rowToken tensor.Buffer, rows, tokens int) (tensor.Buffer, error) {
	be, e, f, h := g.Backend, g.NExperts, g.FFNSize, g.HiddenSize
	w1, w3 := g.W1.Weight, g.W3.Weight
	var gate, up tensor.Buffer
	if g.W1.Grad != nil {
		gate, up = g.gateAndUp(rows)
	}
	s := g.Saved.Get("swiglu.s", rows*f)
	out := g.Saved.Get("swiglu.out", rows*h)
	return out, tensor.First(
		g.Saved.Err(),
		be.GEMMGroupedSwiGLUForward(s, gate, up, x, w1, w3, offsets, rowToken, e, rows, f, h, tokens, f, h, h, f*h),
		be.GEMMGroupedRows(out, s, g.W2.Weight, offsets, nil, true, e, rows, h, f, rows, h, f, f, h*f, 0),
	)
}

// Backward: the gradient of each routed row's input [rows, hidden_size]; dW1, dW3, dW2 are accumulated.
func (g *SwiGLU) Backward(drows, x, offsets, rowToken tensor.Buffer, rows, tokens int) (tensor.Buffer, error) {
	be, e, f, h := g.Backend, g.NExperts, g.FFNSize, g.HiddenSize
	gate, up := g.gateAndUp(rows)
	s := g.Saved.Get("swiglu.s", rows*f)
	dx := g.Scratch.Get("swiglu.dx", rows*h)
	dw1, err := g.W1.Gradient()
	if err != nil {
		return nil, err
	}
	dw2, dw3 := g.W2.Grad, g.W3.Grad
	return dx, tensor.First(
		g.Saved.Err(),
		g.Scratch.Err(),
		be.GEMMGroupedInner(dw2, drows, s, offsets, nil, e, h, f, rows, rows, f, h, f, h*f, 1),
		be.GEMMGroupedSwiGLUBackward(gate, up, drows, g.W2.Weight, offsets, gate, up, e, rows, f, h, f, h, f, h*f),
		be.GEMMGroupedInner(dw1, gate, x, offsets, rowToken, e, f, h, rows, tokens, h, f, h, f*h, 1),
		be.GEMMGroupedInner(dw3, up, x, offsets, rowToken, e, f, h, rows, tokens, h, f, h, f*h, 1),
		be.GEMMGroupedRows(dx, gate, g.W1.Weight, offsets, nil, false, e, rows, h, f, rows, h, f, h, f*h, 0),
		be.GEMMGroupedRows(dx, up, g.W3.Weight, offsets, nil, false, e, rows, h, f, rows, h, f, h, f*h, 1),
	)
}

// gateAndUp are what backward needs of forward; without a backward nobody keeps them.
func (g *SwiGLU) gateAndUp(rows int) (gate, up tensor.Buffer) {
	count := rows * g.FFNSize
	return g.Saved.Get("swiglu.gate", count), g.Saved.Get("swiglu.up", count)
}
