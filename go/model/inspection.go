package model

import (
	"github.com/cuda-nn/cuda-nn/go/internal/elementary"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// LayerRouting is what a layer's router did with a text of T tokens: Experts, Weights [T, top_k], best first; Entropy
// [T] in nats, at most ln n_experts; Load [n_experts]: the share of the T top_k routed rows that each expert got.
type LayerRouting struct {
	TopK    int
	Experts []int32
	Weights []float32
	Entropy []float64
	Load    []float64
}

// Entropy is -sum_i p_i ln p_i in nats, summed in the order of i in f64; a probability of 0 adds nothing.
func Entropy(probs []float32) float64 {
	total := 0.0
	for _, p := range probs {
		if p != 0 {
			total -= float64(float64(p) * elementary.NaturalLog(float64(p)))
		}
	}
	return total
}

// InspectRouting is the routing of every layer for one sequence. Errors: those of MoETransformer.ForwardIDs.
func InspectRouting(m *MoETransformer, ids []int) ([]LayerRouting, error) {
	if err := m.CheckIDs(ids, 1, len(ids)); err != nil {
		return nil, err
	}
	tokens, e, k := len(ids), m.Config.NExperts, m.Config.TopK
	var layers []LayerRouting
	observe := func(_ int, routing Routing) error {
		probs, errProbs := tensor.Read[float32](m.Backend, routing.Probs, 0, tokens*e)
		experts, errExperts := tensor.Read[int32](m.Backend, routing.Experts, 0, tokens*k)
		weights, errWeights := tensor.Read[float32](m.Backend, routing.Weights, 0, tokens*k)
		if err := tensor.First(errProbs, errExperts, errWeights); err != nil {
			return err
		}
		entropies := make([]float64, tokens)
		for token := range entropies {
			entropies[token] = Entropy(probs[token*e : (token+1)*e])
		}
		load := make([]float64, e)
		for _, expert := range experts {
			load[expert]++
		}
		for expert := range load {
			load[expert] /= float64(tokens * k)
		}
		layers = append(layers, LayerRouting{k, experts, weights, entropies, load})
		return nil
	}
	buffer, err := tensor.BufferOf(m.Backend, tensor.I32, int32s(ids))
	if err != nil {
		return nil, err
	}
	_, err = m.Forward(buffer, 1, tokens, observe)
	return layers, tensor.First(err, m.Backend.Synchronize(), buffer.Close())
}
