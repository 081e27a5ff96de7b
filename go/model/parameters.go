package model

import (
	"fmt"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Alignment, in elements: a tensor, and a stack of expert matrices, begins at a multiple of this.
const Alignment = 16

// ParameterSpec is one tensor. Number is its tensor number for Philox; a "matrix" decays in AdamW, a "norm" does not.
//
// Quantized: held and stored as blocks of 32 along its rows. In a quantized model these are all matrices but the
// embedding, of which a token reads one row, and the routers, whose choices tip on small differences.
type ParameterSpec struct {
	Name      string
	Shape     tensor.Shape
	Number    int
	Kind      string
	Quantized bool
}

// Size is the number of elements.
func (s ParameterSpec) Size() int { return s.Shape.Size() }

// ParameterLayout is offsets in elements of the flat buffer: matrices in [0, NMatrix), norms in [NMatrix, Total); those of a
// quantized tensor count elements of a second buffer, [0, NQuantized).
//
// Elements between tensors are padding and stay zero; between quantized ones there are none.
type ParameterLayout struct {
	Offsets map[string]int
	// W1Stack is per layer the start of [n_experts, ffn_size, hidden_size]: the experts' w1, one behind the other.
	W1Stack []int
	// W3Stack is per layer the start of [n_experts, ffn_size, hidden_size].
	W3Stack []int
	// W2Stack is per layer the start of [n_experts, hidden_size, ffn_size].
	W2Stack    []int
	NMatrix    int
	Total      int
	NQuantized int
}

// ParameterSpecs returns all tensors under their Hugging Face names, in the order of their tensor numbers: embedding;
// per layer input norm, q, k, v, o, post-attention norm, router, then per expert w1, w2, w3; final norm; LM head.
//
// A weight [out, in] maps x to x W^T.
func ParameterSpecs(c MoEConfig) []ParameterSpec {
	h, f := c.HiddenSize, c.FFNSize
	q, kv := c.NHeads*c.HeadDim, c.NKVHeads*c.HeadDim
	var specs []ParameterSpec
	add := func(name string, shape ...int) {
		kind := "matrix"
		if len(shape) == 1 {
			kind = "norm"
		}
		kept := kind == "norm" || name == "model.embed_tokens.weight" || strings.HasSuffix(name, ".block_sparse_moe.gate.weight")
		specs = append(specs, ParameterSpec{name, shape, len(specs), kind, c.isQuantized() && !kept})
	}
	add("model.embed_tokens.weight", c.VocabSize, h)
	for layer := range c.NLayers {
		at := fmt.Sprintf("model.layers.%d.", layer)
		add(at+"input_layernorm.weight", h)
		add(at+"self_attn.q_proj.weight", q, h)
		add(at+"self_attn.k_proj.weight", kv, h)
		add(at+"self_attn.v_proj.weight", kv, h)
		add(at+"self_attn.o_proj.weight", h, q)
		add(at+"post_attention_layernorm.weight", h)
		add(at+"block_sparse_moe.gate.weight", c.NExperts, h)
		for expert := range c.NExperts {
			add(ExpertName(layer, expert, "w1"), f, h)
			add(ExpertName(layer, expert, "w2"), h, f)
			add(ExpertName(layer, expert, "w3"), f, h)
		}
	}
	add("model.norm.weight", h)
	add("lm_head.weight", c.VocabSize, h)
	return specs
}

// ExpertName is a matrix's name; matrix is w1, w2 or w3.
func ExpertName(layer, expert int, matrix string) string {
	return fmt.Sprintf("model.layers.%d.block_sparse_moe.experts.%d.%s.weight", layer, expert, matrix)
}

// NewParameterLayout places the tensors. Order of the matrices: embedding; per layer q, k, v, o, router, w1 stack, w3
// stack, w2 stack; LM head. Then the norms: per layer input and post-attention; final. NMatrix and Total are aligned
// too.
func NewParameterLayout(c MoEConfig) *ParameterLayout {
	specs := map[string]ParameterSpec{}
	for _, spec := range ParameterSpecs(c) {
		specs[spec.Name] = spec
	}
	l := &ParameterLayout{Offsets: make(map[string]int, len(specs))}
	at := 0
	// placeAtOnce stands right behind the tensor placed before it, place at the next aligned element.
	placeAtOnce := func(name string) {
		into := &at
		if specs[name].Quantized {
			into = &l.NQuantized
		}
		l.Offsets[name] = *into
		*into += specs[name].Size()
	}
	place := func(name string) {
		if !specs[name].Quantized {
			at = aligned(at)
		}
		placeAtOnce(name)
	}
	place("model.embed_tokens.weight")
	for layer := range c.NLayers {
		prefix := fmt.Sprintf("model.layers.%d.", layer)
		for _, projection := range []string{"q", "k", "v", "o"} {
			place(prefix + "self_attn." + projection + "_proj.weight")
		}
		place(prefix + "block_sparse_moe.gate.weight")
		for _, stack := range []struct {
			matrix string
			starts *[]int
		}{{"w1", &l.W1Stack}, {"w3", &l.W3Stack}, {"w2", &l.W2Stack}} {
			first := ExpertName(layer, 0, stack.matrix)
			place(first)
			for expert := 1; expert < c.NExperts; expert++ {
				placeAtOnce(ExpertName(layer, expert, stack.matrix))
			}
			*stack.starts = append(*stack.starts, l.Offsets[first])
		}
	}
	place("lm_head.weight")
	at = aligned(at)
	l.NMatrix = at
	for layer := range c.NLayers {
		place(fmt.Sprintf("model.layers.%d.input_layernorm.weight", layer))
		place(fmt.Sprintf("model.layers.%d.post_attention_layernorm.weight", layer))
	}
	place("model.norm.weight")
	l.Total = aligned(at)
	return l
}

// aligned is the next multiple of Alignment.
func aligned(offset int) int { return (offset + Alignment - 1) / Alignment * Alignment }
