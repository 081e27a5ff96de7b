package model

import "github.com/cuda-nn/cuda-nn/go/tensor"

// PageSize is the tokens of a page.
const PageSize = 64

// KVCache is the paged key/value cache, what decoding keeps of the tokens it has seen: pages [n_pages, page_size,
// n_kv_heads, head_dim] of keys and of values per layer, for Batch sequences.
//
// Sequence b holds Positions[b] tokens. The block table is the identity: page p of sequence b is page
// b PagesPerSequence + p. Lengths is set while sequences bring different numbers of new tokens.
type KVCache struct {
	Batch            int
	PageSize         int
	PagesPerSequence int
	NPages           int
	Capacity         int
	K, V             []tensor.Buffer
	BlockTable       tensor.Buffer
	Positions        tensor.Buffer
	Lengths          tensor.Buffer
}

// NewKVCache makes an empty cache that holds at least capacity tokens of each sequence.
func NewKVCache(backend tensor.Backend, c MoEConfig, dtype tensor.DType, batch, capacity int) (*KVCache, error) {
	pages := (capacity + PageSize - 1) / PageSize
	cache := &KVCache{
		Batch: batch, PageSize: PageSize, PagesPerSequence: pages, NPages: batch * pages, Capacity: pages * PageSize,
	}
	count := cache.NPages * PageSize * c.NKVHeads * c.HeadDim
	for _, side := range []*[]tensor.Buffer{&cache.K, &cache.V} {
		for range c.NLayers {
			buffer, err := backend.Buffer(dtype, count)
			if err != nil {
				return nil, tensor.First(err, cache.Close())
			}
			*side = append(*side, buffer)
		}
	}
	var err error
	if cache.Positions, err = backend.Buffer(tensor.I32, batch); err != nil {
		return nil, tensor.First(err, cache.Close())
	}
	return cache, nil
}

// Close releases the pages.
func (c *KVCache) Close() error {
	return tensor.CloseAll(append(append([]tensor.Buffer{c.Positions}, c.K...), c.V...)...)
}
