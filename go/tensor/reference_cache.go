package tensor

// The paged KV cache: appending new tokens, and attention of new tokens over it.

const pageMultiple = 64

// pages is how a call's cache is divided.
type pages struct{ size, perSequence, count int }

func (p pages) check(c *call, s heads, table Buffer) {
	c.dims(named{"page_size", p.size}, named{"pages_per_sequence", p.perSequence}, named{"n_pages", p.count})
	c.require(p.size > 0 && p.size%pageMultiple == 0, "page_size is %d, expected a multiple of %d", p.size, pageMultiple)
	capacity := c.product("page_size x pages_per_sequence", p.size, p.perSequence)
	c.fitsI32("page_size x pages_per_sequence", capacity)
	c.atMost("new_len", s.seqLen, capacity, "page_size x pages_per_sequence")
	if table == nil {
		c.atLeast("n_pages", p.count, c.product("batch x pages_per_sequence", s.batch, p.perSequence))
	}
	c.fitsI32("n_pages", p.count)
}

func (p pages) extent(s heads) extent { return dense(p.count, p.size, s.nKVHeads, s.headDim) }

// places is where each sequence's new tokens begin, how many there are, and the page of each of its pages.
type places struct {
	pages
	starts, counts []int
	table          []int32
}

// at is where the head of a key at a position begins.
func (p places) at(s heads, b, position, g int) int {
	page := int(p.table[b*p.perSequence+position/p.size])
	return ((page*p.size+position%p.size)*s.nKVHeads + g) * s.headDim
}

// places checks the values of a call; nil after a bad one. readsAll: the pages of all keys are needed, not only those of
// the new ones. A sequence without new tokens is not looked at.
func (r *Reference) places(op string, s heads, p pages, table, at, limits *referenceBuffer, readsAll bool) *places {
	counts := r.lengthsOf(op, limits, s.batch, s.seqLen)
	if counts == nil {
		return nil
	}
	found := &places{pages: p, counts: counts, starts: make([]int, s.batch)}
	if table != nil {
		found.table = table.i32s(s.batch * p.perSequence)
	} else {
		found.table = make([]int32, s.batch*p.perSequence)
		for i := range found.table {
			found.table[i] = int32(i)
		}
	}
	for b, position := range at.i32s(s.batch) {
		start, count := int(position), counts[b]
		found.starts[b] = start
		if count == 0 {
			continue
		}
		if room := p.size*p.perSequence - count; start < 0 || room < start {
			r.report("%s: positions[%d] is %d, expected 0 to %d", op, b, start, room)
			return nil
		}
		first := start / p.size
		if readsAll {
			first = 0
		}
		for page := first; page*p.size < start+count; page++ {
			index := b*p.perSequence + page
			if entry := int(found.table[index]); entry < 0 || p.count <= entry {
				r.report("%s: block_table[%d] is %d, expected 0 to %d", op, index, entry, p.count-1)
				return nil
			}
		}
	}
	return found
}

// CacheAppend is documented at Ops.
func (r *Reference) CacheAppend(
	kCache, vCache, k, v, blockTable, positions, lengths Buffer,
	batch, newLen, nKVHeads, headDim, pageSize, pagesPerSequence, nPages, kvTokenStride, kvHeadStride int,
) error {
	c := newCall("cache_append")
	s := heads{batch, newLen, nKVHeads, nKVHeads, headDim, level{}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "new_len")
	p := pages{pageSize, pagesPerSequence, nPages}
	p.check(c, s, blockTable)
	toK, toV := c.out("k_cache", kCache, p.extent(s), floats), c.out("v_cache", vCache, p.extent(s), floats)
	keys, values := c.in("k", k, s.kvExtent(), onlyF32), c.in("v", v, s.kvExtent(), onlyF32)
	table := c.inOrNone("block_table", blockTable, dense(batch, pagesPerSequence), onlyI32)
	at := c.in("positions", positions, dense(batch), onlyI32)
	limits := c.inOrNone("lengths", lengths, dense(batch), onlyI32)
	c.sameDType("v_cache", toV, "k_cache", toK)
	return r.submit(c, func() {
		found := r.places(c.op, s, p, table, at, limits, false)
		if found == nil {
			return
		}
		for b, count := range found.counts {
			for t := range count {
				for g := range nKVHeads {
					to, from := found.at(s, b, found.starts[b]+t, g), s.kvAt(b, t, g)
					for i := range headDim {
						toK.set(to+i, keys.at(from+i))
						toV.set(to+i, values.at(from+i))
					}
				}
			}
		}
	})
}

// AttentionCachedForward is documented at Ops.
func (r *Reference) AttentionCachedForward(
	out, q, kCache, vCache, blockTable, positions, lengths Buffer,
	batch, newLen, nHeads, nKVHeads, headDim, pageSize, pagesPerSequence, nPages, qTokenStride, qHeadStride int,
	scale float64,
) error {
	c := newCall("attention_cached_forward")
	s := heads{batch, newLen, nHeads, nKVHeads, headDim, level{qTokenStride, qHeadStride}, level{}}
	s.check(c, "new_len")
	p := pages{pageSize, pagesPerSequence, nPages}
	p.check(c, s, blockTable)
	to := c.out("out", out, s.outExtent(), floats)
	queries := c.in("q", q, s.qExtent(), onlyF32)
	keys, values := c.in("k_cache", kCache, p.extent(s), floats), c.in("v_cache", vCache, p.extent(s), floats)
	table := c.inOrNone("block_table", blockTable, dense(batch, pagesPerSequence), onlyI32)
	at := c.in("positions", positions, dense(batch), onlyI32)
	limits := c.inOrNone("lengths", lengths, dense(batch), onlyI32)
	factor := c.real32("scale", scale, anyReal)
	c.sameDType("v_cache", values, "k_cache", keys)
	return r.submit(c, func() {
		found := r.places(c.op, s, p, table, at, limits, true)
		if found == nil {
			return
		}
		s.eachHead(func(b, h, g int) {
			for i := range newLen {
				result := make([]float64, headDim)
				if i < found.counts[b] {
					kvAt := func(j int) int { return found.at(s, b, j, g) }
					n := found.starts[b] + i + 1
					result, _ = attend(queries, s.qAt(b, i, h), n, headDim, keys, values, kvAt, factor)
				}
				storeHead(to, s.outAt(b, i, h), result)
			}
		})
	})
}
