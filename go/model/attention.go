package model

import (
	"math"

	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// MQAttention is multi-query attention (Shazeer 2019): many query heads, few key/value heads, rotary positions, causal.
//
// o = softmax(scale rope(x Wq^T) rope(x Wk^T)^T + causal mask) (x Wv^T) Wo^T, scale = 1/sqrt(head_dim). Keys and values
// are rounded to KVDType before any use, with or without a cache, so that both give the same bits.
type MQAttention struct {
	Backend        tensor.Backend
	NHeads         int
	NKVHeads       int
	HeadDim        int
	Q, K, V, O     *layer.Linear
	Rope           *RopeTables
	KVDType        tensor.DType
	Saved, Scratch *layer.Workspace
	Scale          float64
}

// NewMQAttention makes one over its four maps.
func NewMQAttention(
	backend tensor.Backend, c MoEConfig, q, k, v, o *layer.Linear, rope *RopeTables, kvDType tensor.DType,
	saved, scratch *layer.Workspace,
) *MQAttention {
	return &MQAttention{
		backend, c.NHeads, c.NKVHeads, c.HeadDim, q, k, v, o, rope, kvDType, saved, scratch,
		1 / math.Sqrt(float64(c.HeadDim)),
	}
}

func (a *MQAttention) widths() (d, qw, kw int) {
	return a.HeadDim, a.NHeads * a.HeadDim, a.NKVHeads * a.HeadDim
}

// Forward: [batch seq_len, hidden_size] from x of the same shape; positions [batch seq_len] i32.
func (a *MQAttention) Forward(x, positions tensor.Buffer, batch, seqLen int) (tensor.Buffer, error) {
	tokens := batch * seqLen
	d, qw, kw := a.widths()
	q, k, v, err := a.project(x, positions, tokens)
	if err != nil {
		return nil, err
	}
	out := a.Saved.Get("attention.out", tokens*qw)
	lse := a.Saved.Get("attention.lse", tokens*a.NHeads)
	if err := tensor.First(
		a.Saved.Err(),
		a.Backend.AttentionForward(
			out, lse, q, k, v, nil, batch, seqLen, a.NHeads, a.NKVHeads, d, qw, d, kw, d, a.Scale),
	); err != nil {
		return nil, err
	}
	return a.output(out, tokens)
}

// ForwardCached: the same for newLen new tokens of each of the cache's sequences, which it appends to the cache first.
func (a *MQAttention) ForwardCached(
	x, positions tensor.Buffer, cache *KVCache, index, newLen int,
) (tensor.Buffer, error) {
	tokens := cache.Batch * newLen
	d, qw, kw := a.widths()
	q := a.Saved.Get("attention.q", tokens*qw)
	k := a.Saved.Get("attention.k", tokens*kw)
	v := a.Saved.Get("attention.v", tokens*kw)
	out := a.Saved.Get("attention.out", tokens*qw)
	if err := tensor.First(
		a.Saved.Err(),
		a.Q.Forward(q, x, tokens),
		a.K.Forward(k, x, tokens),
		a.V.Forward(v, x, tokens),
		a.Rope.Forward(q, k, q, k, positions, tokens, a.NHeads, a.NKVHeads),
		a.Backend.CacheAppend(
			cache.K[index], cache.V[index], k, v, cache.BlockTable, cache.Positions, cache.Lengths, cache.Batch, newLen,
			a.NKVHeads, d, cache.PageSize, cache.PagesPerSequence, cache.NPages, kw, d),
		a.Backend.AttentionCachedForward(
			out, q, cache.K[index], cache.V[index], cache.BlockTable, cache.Positions, cache.Lengths, cache.Batch, newLen,
			a.NHeads, a.NKVHeads, d, cache.PageSize, cache.PagesPerSequence, cache.NPages, qw, d, a.Scale),
	); err != nil {
		return nil, err
	}
	return a.output(out, tokens)
}

// Backward: dx [batch seq_len, hidden_size] from dy; the four weight gradients are accumulated.
func (a *MQAttention) Backward(dy, x, positions tensor.Buffer, batch, seqLen int) (tensor.Buffer, error) {
	tokens := batch * seqLen
	d, qw, kw := a.widths()
	q, k, v := a.savedQKV(tokens)
	out := a.Saved.Get("attention.out", tokens*qw)
	lse := a.Saved.Get("attention.lse", tokens*a.NHeads)
	dout := a.Scratch.Get("attention.dout", tokens*qw)
	dq := a.Scratch.Get("attention.dq", tokens*qw)
	dk := a.Scratch.Get("attention.dk", tokens*kw)
	dv := a.Scratch.Get("attention.dv", tokens*kw)
	dx := a.Scratch.Get("attention.dx", tokens*a.Q.InFeatures)
	return dx, tensor.First(
		a.Saved.Err(),
		a.Scratch.Err(),
		a.O.Backward(dout, dy, out, tokens, false),
		a.Backend.AttentionBackward(
			dq, dk, dv, dout, q, k, v, out, lse, nil, batch, seqLen, a.NHeads, a.NKVHeads, d, qw, d, kw, d, a.Scale),
		a.Rope.Backward(dq, dk, positions, tokens, a.NHeads, a.NKVHeads),
		a.Q.Backward(dx, dq, x, tokens, false),
		a.K.Backward(dx, dk, x, tokens, true),
		a.V.Backward(dx, dv, x, tokens, true),
	)
}

// project gives rotated q, and k and v as the cache would hold them.
func (a *MQAttention) project(x, positions tensor.Buffer, tokens int) (q, k, v tensor.Buffer, err error) {
	_, qw, kw := a.widths()
	q = a.Saved.Get("attention.q", tokens*qw)
	k = a.Saved.Get("attention.k", tokens*kw)
	v = a.Saved.Get("attention.v", tokens*kw)
	err = tensor.First(
		a.Saved.Err(),
		a.Q.Forward(q, x, tokens),
		a.K.Forward(k, x, tokens),
		a.V.Forward(v, x, tokens),
	)
	if err != nil || a.KVDType == tensor.F32 {
		return q, k, v, tensor.First(err, a.Rope.Forward(q, k, q, k, positions, tokens, a.NHeads, a.NKVHeads))
	}
	kLow := a.Saved.Get("attention.k_low", tokens*kw, a.KVDType)
	vLow := a.Saved.Get("attention.v_low", tokens*kw, a.KVDType)
	return q, kLow, vLow, tensor.First(
		a.Saved.Err(),
		a.Rope.Forward(q, kLow, q, k, positions, tokens, a.NHeads, a.NKVHeads),
		a.Backend.Cast(vLow, v, tokens*kw),
	)
}

func (a *MQAttention) savedQKV(tokens int) (q, k, v tensor.Buffer) {
	_, qw, kw := a.widths()
	q = a.Saved.Get("attention.q", tokens*qw)
	if a.KVDType == tensor.F32 {
		return q, a.Saved.Get("attention.k", tokens*kw), a.Saved.Get("attention.v", tokens*kw)
	}
	return q, a.Saved.Get("attention.k_low", tokens*kw, a.KVDType), a.Saved.Get("attention.v_low", tokens*kw, a.KVDType)
}

func (a *MQAttention) output(out tensor.Buffer, tokens int) (tensor.Buffer, error) {
	y := a.Scratch.Get("attention.y", tokens*a.O.OutFeatures)
	return y, tensor.First(a.Scratch.Err(), a.O.Forward(y, out, tokens))
}
