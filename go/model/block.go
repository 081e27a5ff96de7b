package model

import (
	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// TransformerBlock is one block: attention, then experts, each normed before and added after.
//
// h = x + attention(norm(x));  y = h + moe(norm(h)).
type TransformerBlock struct {
	InputNorm         *layer.RMSNorm
	Attention         *MQAttention
	PostAttentionNorm *layer.RMSNorm
	MoE               *MoELayer
}

// Forward: y [batch seq_len, hidden_size] from x of the same shape.
func (b *TransformerBlock) Forward(y, x, positions tensor.Buffer, batch, seqLen int) error {
	tokens := batch * seqLen
	a, err := b.InputNorm.Forward(x, tokens)
	if err != nil {
		return err
	}
	o, err := b.Attention.Forward(a, positions, batch, seqLen)
	if err != nil {
		return err
	}
	return b.finish(y, o, x, tokens)
}

// ForwardCached: the same for new tokens of the cache's sequences.
func (b *TransformerBlock) ForwardCached(y, x, positions tensor.Buffer, cache *KVCache, index, newLen int) error {
	tokens := cache.Batch * newLen
	a, err := b.InputNorm.Forward(x, tokens)
	if err != nil {
		return err
	}
	o, err := b.Attention.ForwardCached(a, positions, cache, index, newLen)
	if err != nil {
		return err
	}
	return b.finish(y, o, x, tokens)
}

func (b *TransformerBlock) finish(y, o, x tensor.Buffer, tokens int) error {
	h, normed, err := b.PostAttentionNorm.ForwardResidual(o, x, tokens)
	if err != nil {
		return err
	}
	return b.MoE.Forward(y, normed, h, tokens)
}

// Backward: dx from dy after a forward of x; dx may be dy. Weight gradients are accumulated.
func (b *TransformerBlock) Backward(
	dx, dy, x, positions tensor.Buffer, batch, seqLen int, balanceCoef, zCoef float64,
) error {
	tokens := batch * seqLen
	size := tokens * b.InputNorm.HiddenSize
	a := b.InputNorm.Saved.Get(b.InputNorm.Name+".y", size)
	h := b.PostAttentionNorm.Saved.Get(b.PostAttentionNorm.Name+".h", size)
	normed := b.PostAttentionNorm.Saved.Get(b.PostAttentionNorm.Name+".y", size)
	if err := b.InputNorm.Saved.Err(); err != nil {
		return err
	}
	db, err := b.MoE.Backward(dy, normed, tokens, balanceCoef, zCoef)
	if err != nil {
		return err
	}
	if err := b.PostAttentionNorm.BackwardResidual(dy, db, dy, h, tokens); err != nil {
		return err
	}
	da, err := b.Attention.Backward(dy, a, positions, batch, seqLen)
	if err != nil {
		return err
	}
	return b.InputNorm.BackwardResidual(dx, da, dy, x, tokens)
}
