package model

import (
	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Routing is one forward's decisions. N tokens, E experts, K chosen, R = N K routed rows sorted by expert.
type Routing struct {
	Logits    tensor.Buffer // [N, E]
	Probs     tensor.Buffer // [N, E]
	Experts   tensor.Buffer // [N, K] i32, best first
	Weights   tensor.Buffer // [N, K], summing to 1 per token
	Offsets   tensor.Buffer // [E + 1] i32
	RowToken  tensor.Buffer // [R] i32
	TokenRow  tensor.Buffer // [N, K] i32
	Fractions tensor.Buffer // [E], written when the losses are
}

// Router says which experts a token visits, with what weight, and has the two losses that keep it balanced.
//
// probs = softmax(x Wr^T) in f32; the K largest, renormalised; rows counted and sorted on the device.
// balance = E/K sum_i f_i P_i and z = mean(logsumexp(logits)^2), each a mean over the layer's tokens.
type Router struct {
	Backend        tensor.Backend
	Gate           *layer.Linear
	NExperts       int
	TopK           int
	Saved, Scratch *layer.Workspace
}

// NewRouter makes one over its gate.
func NewRouter(backend tensor.Backend, c MoEConfig, gate *layer.Linear, saved, scratch *layer.Workspace) *Router {
	return &Router{backend, gate, c.NExperts, c.TopK, saved, scratch}
}

// Forward routes x [tokens, hidden_size].
func (r *Router) Forward(x tensor.Buffer, tokens int) (Routing, error) {
	be, e, k, h := r.Backend, r.NExperts, r.TopK, r.Gate.InFeatures
	s := r.Routing(tokens)
	weight, err := r.weight()
	return s, tensor.First(
		r.Saved.Err(),
		err,
		be.GEMM(s.Logits, x, weight, false, true, tokens, e, h, e, h, h, 1, 0),
		be.MoERouteForward(s.Probs, s.Experts, s.Weights, s.Logits, tokens, e, k),
		be.MoEDispatchForward(s.Offsets, s.RowToken, s.TokenRow, s.Experts, tokens, e, k),
	)
}

// Losses: balance[0] and z[0] += this layer's losses.
func (r *Router) Losses(balance, z tensor.Buffer, tokens int) error {
	s := r.Routing(tokens)
	return tensor.First(
		r.Saved.Err(),
		r.Backend.MoEBalanceLossForward(balance, s.Fractions, s.Probs, s.Experts, tokens, r.NExperts, r.TopK),
		r.Backend.MoEZLossForward(z, s.Logits, tokens, r.NExperts),
	)
}

// Fractions restores what the balance loss's backward needs after a recomputed forward, adding to no loss.
func (r *Router) Fractions(tokens int) error {
	ignored := r.Scratch.Get("router.ignored", 1)
	s := r.Routing(tokens)
	return tensor.First(
		r.Saved.Err(),
		r.Scratch.Err(),
		r.Backend.MoEBalanceLossForward(ignored, s.Fractions, s.Probs, s.Experts, tokens, r.NExperts, r.TopK),
	)
}

// Backward: dx += the gradient through the router, of the chosen weights and of the two losses; dWr is accumulated.
func (r *Router) Backward(dx, dweights, x tensor.Buffer, tokens int, balanceCoef, zCoef float64) error {
	be, e, k, h := r.Backend, r.NExperts, r.TopK, r.Gate.InFeatures
	s := r.Routing(tokens)
	dprobs := r.Scratch.Get("router.dprobs", tokens*e)
	dlogits := r.Scratch.Get("router.dlogits", tokens*e)
	grad, err := r.Gate.Weight.Gradient()
	if err != nil {
		return err
	}
	if err := tensor.First(
		r.Saved.Err(),
		r.Scratch.Err(),
		be.MoEBalanceLossBackward(dprobs, s.Fractions, tokens, e, k, balanceCoef),
		be.MoEZLossBackward(dlogits, s.Logits, tokens, e, zCoef),
		be.MoERouteBackward(dlogits, dweights, dprobs, dlogits, s.Probs, s.Experts, s.Weights, tokens, e, k),
		be.GEMM(grad, dlogits, x, true, false, e, h, tokens, h, e, h, 1, 1),
	); err != nil {
		return err
	}
	weight, err := r.weight()
	if err != nil {
		return err
	}
	return be.GEMM(dx, dlogits, weight, false, false, tokens, h, e, h, e, h, 1, 1)
}

// Routing is the buffers of the last forward.
func (r *Router) Routing(tokens int) Routing {
	s, n, rows := r.Saved, tokens*r.NExperts, tokens*r.TopK
	return Routing{
		Logits:    s.Get("router.logits", n),
		Probs:     s.Get("router.probs", n),
		Experts:   s.Get("router.experts", rows, tensor.I32),
		Weights:   s.Get("router.weights", rows),
		Offsets:   s.Get("router.offsets", r.NExperts+1, tensor.I32),
		RowToken:  s.Get("router.row_token", rows, tensor.I32),
		TokenRow:  s.Get("router.token_row", rows, tensor.I32),
		Fractions: s.Get("router.fractions", r.NExperts),
	}
}

// weight is the gate in f32: the router stays in f32 whatever the weights are stored in.
func (r *Router) weight() (tensor.Buffer, error) {
	weight := r.Gate.Weight.Weight
	if weight.DType() == tensor.F32 {
		return weight, nil
	}
	count := r.NExperts * r.Gate.InFeatures
	wide := r.Scratch.Get("router.weight", count)
	return wide, tensor.First(r.Scratch.Err(), r.Backend.Cast(wide, weight, count))
}
