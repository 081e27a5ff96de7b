package model

import (
	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// MoELayer is a mixture of experts: route, run the chosen experts, and sum what they say.
//
// y[t] = residual[t] + sum_j weights[t,j] expert_{experts[t,j]}(x[t]), choices in rank order, none dropped.
type MoELayer struct {
	Backend        tensor.Backend
	Router         *Router
	Experts        *layer.SwiGLU
	HiddenSize     int
	TopK           int
	Saved, Scratch *layer.Workspace
}

// NewMoELayer makes one of its router and experts.
func NewMoELayer(
	backend tensor.Backend, c MoEConfig, router *Router, experts *layer.SwiGLU, saved, scratch *layer.Workspace,
) *MoELayer {
	return &MoELayer{backend, router, experts, c.HiddenSize, c.TopK, saved, scratch}
}

// Forward: y [tokens, hidden_size] from x and residual of the same shape.
func (m *MoELayer) Forward(y, x, residual tensor.Buffer, tokens int) error {
	r, err := m.Router.Forward(x, tokens)
	if err != nil {
		return err
	}
	rows, err := m.Experts.Forward(x, r.Offsets, r.RowToken, tokens*m.TopK, tokens)
	if err != nil {
		return err
	}
	return m.Backend.MoECombineForward(y, residual, rows, r.Weights, r.TokenRow, tokens, m.TopK, m.HiddenSize)
}

// Backward: dx [tokens, hidden_size]; the gradient of the residual is dy itself. Weight gradients are accumulated.
func (m *MoELayer) Backward(dy, x tensor.Buffer, tokens int, balanceCoef, zCoef float64) (tensor.Buffer, error) {
	be, k, h := m.Backend, m.TopK, m.HiddenSize
	r := m.Router.Routing(tokens)
	rows := m.Saved.Get("swiglu.out", tokens*k*h)
	dweights := m.Scratch.Get("moe.dweights", tokens*k)
	dx := m.Scratch.Get("moe.dx", tokens*h)
	if err := tensor.First(
		m.Saved.Err(),
		m.Scratch.Err(),
		be.MoECombineBackward(rows, dweights, dy, rows, r.Weights, r.TokenRow, tokens, k, h),
	); err != nil {
		return nil, err
	}
	drows, err := m.Experts.Backward(rows, x, r.Offsets, r.RowToken, tokens*k, tokens)
	if err != nil {
		return nil, err
	}
	return dx, tensor.First(
		be.MoEDispatchBackward(dx, drows, r.TokenRow, tokens, k, h),
		m.Router.Backward(dx, dweights, x, tokens, balanceCoef, zCoef),
	)
}
