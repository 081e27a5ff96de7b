package tensor

import "math"

// Causal attention with grouped key/value heads: the readable path, and the one without the T x T matrix stored. Sums run
// over the keys or queries that the mask leaves, so that a NaN beyond it reaches nothing; they are kept in f64.

// heads is the dims and strides of one call: batch sequences of seqLen tokens, query heads in groups over kv heads.
// Strides are (between tokens, between heads).
type heads struct {
	batch, seqLen, nHeads, nKVHeads, headDim int
	q, kv                                    level
}

func (s heads) check(c *call, seqName string) {
	c.dims(named{"batch", s.batch}, named{seqName, s.seqLen}, named{"n_heads", s.nHeads}, named{"n_kv_heads", s.nKVHeads})
	c.dims(named{"head_dim", s.headDim})
	c.dims(named{"q_token_stride", s.q.count}, named{"q_head_stride", s.q.step})
	c.dims(named{"kv_token_stride", s.kv.count}, named{"kv_head_stride", s.kv.step})
	c.nothing = s.batch == 0 || s.seqLen == 0 || s.nHeads == 0 || s.headDim == 0
	if s.nHeads != 0 {
		c.atLeast("n_kv_heads", s.nKVHeads, 1)
	}
	c.require(s.nKVHeads <= 0 || s.nHeads%s.nKVHeads == 0,
		"n_heads is %d, expected a multiple of n_kv_heads = %d", s.nHeads, s.nKVHeads)
	c.fitsI32(seqName, s.seqLen)
	c.product("the number of tokens", s.batch, s.seqLen)
}

func (s heads) tokens() int { return s.batch * s.seqLen }

func (s heads) qExtent() extent {
	return strided(s.headDim, level{s.tokens(), s.q.count}, level{s.nHeads, s.q.step})
}

func (s heads) kvExtent() extent {
	return strided(s.headDim, level{s.tokens(), s.kv.count}, level{s.nKVHeads, s.kv.step})
}

func (s heads) outExtent() extent { return dense(s.tokens(), s.nHeads, s.headDim) }

func (s heads) matrixExtent() extent { return dense(s.batch, s.nHeads, s.seqLen, s.seqLen) }

// Where the head_dim elements of a head begin: of q and k, v with the call's strides, of out contiguous; and where row i
// of a T x T matrix does.
func (s heads) qAt(b, t, h int) int      { return (b*s.seqLen+t)*s.q.count + h*s.q.step }
func (s heads) kvAt(b, t, g int) int     { return (b*s.seqLen+t)*s.kv.count + g*s.kv.step }
func (s heads) outAt(b, t, h int) int    { return ((b*s.seqLen+t)*s.nHeads + h) * s.headDim }
func (s heads) matrixAt(b, h, i int) int { return ((b*s.nHeads+h)*s.seqLen + i) * s.seqLen }

// eachHead visits every (sequence, query head, the kv head it reads).
func (s heads) eachHead(visit func(b, h, g int)) {
	for b := range s.batch {
		for h := range s.nHeads {
			visit(b, h, h/(s.nHeads/s.nKVHeads))
		}
	}
}

// inner is the product of two heads.
func inner(a *referenceBuffer, atA int, b *referenceBuffer, atB, headDim int) float64 {
	sum := 0.0
	for i := range headDim {
		sum += float64(a.at(atA+i)) * float64(b.at(atB+i))
	}
	return sum
}

// addScaled: sum += scale x, a head.
func addScaled(sum []float64, scale float64, x *referenceBuffer, at int) {
	for i := range sum {
		sum[i] += scale * float64(x.at(at+i))
	}
}

// storeHead stores a head, rounded.
func storeHead(to *referenceBuffer, at int, values []float64) {
	for i, value := range values {
		to.set(at+i, float32(value))
	}
}

// gradient of the keys or values: f64 sums over the query heads of a group, [batch, seq_len, n_kv_heads, head_dim].
type gradient struct {
	heads
	sums []float64
}

func newGradient(s heads) gradient {
	return gradient{s, make([]float64, s.tokens()*s.nKVHeads*s.headDim)}
}

func (g gradient) head(b, t, kv int) []float64 {
	at := ((b*g.seqLen+t)*g.nKVHeads + kv) * g.headDim
	return g.sums[at : at+g.headDim]
}

func (g gradient) store(to *referenceBuffer) {
	for b := range g.batch {
		for t := range g.seqLen {
			for kv := range g.nKVHeads {
				storeHead(to, g.kvAt(b, t, kv), g.head(b, t, kv))
			}
		}
	}
}

// AttentionScoresForward is documented at Ops.
func (r *Reference) AttentionScoresForward(
	scores, q, k Buffer, batch, seqLen, nHeads, nKVHeads, headDim,
	qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64,
) error {
	c := newCall("attention_scores_forward")
	s := heads{batch, seqLen, nHeads, nKVHeads, headDim, level{qTokenStride, qHeadStride}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "seq_len")
	to := c.out("scores", scores, s.matrixExtent(), onlyF32)
	queries := c.in("q", q, s.qExtent(), onlyF32)
	keys := c.in("k", k, s.kvExtent(), onlyF32)
	factor := c.real32("scale", scale, anyReal)
	return r.submit(c, func() {
		s.eachHead(func(b, h, g int) {
			for i := range seqLen {
				for j := range seqLen {
					x := float32(math.Inf(-1))
					if j <= i {
						x = float32(float64(factor) * inner(queries, s.qAt(b, i, h), keys, s.kvAt(b, j, g), headDim))
					}
					to.set(s.matrixAt(b, h, i)+j, x)
				}
			}
		})
	})
}

// AttentionScoresBackward is documented at Ops.
func (r *Reference) AttentionScoresBackward(
	dq, dk, dscores, q, k Buffer, batch, seqLen, nHeads, nKVHeads, headDim,
	qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64,
) error {
	c := newCall("attention_scores_backward")
	s := heads{batch, seqLen, nHeads, nKVHeads, headDim, level{qTokenStride, qHeadStride}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "seq_len")
	toQ, toK := c.out("dq", dq, s.qExtent(), onlyF32), c.out("dk", dk, s.kvExtent(), onlyF32)
	grad := c.in("dscores", dscores, s.matrixExtent(), onlyF32)
	queries := c.in("q", q, s.qExtent(), onlyF32)
	keys := c.in("k", k, s.kvExtent(), onlyF32)
	factor := float64(c.real32("scale", scale, anyReal))
	return r.submit(c, func() {
		newK := newGradient(s)
		s.eachHead(func(b, h, g int) {
			for i := range seqLen {
				newQ := make([]float64, headDim)
				for j := range i + 1 {
					d := factor * float64(grad.at(s.matrixAt(b, h, i)+j))
					addScaled(newQ, d, keys, s.kvAt(b, j, g))
					addScaled(newK.head(b, j, g), d, queries, s.qAt(b, i, h))
				}
				storeHead(toQ, s.qAt(b, i, h), newQ)
			}
		})
		newK.store(toK)
	})
}

// AttentionOutputForward is documented at Ops.
func (r *Reference) AttentionOutputForward(
	out, probs, v Buffer, batch, seqLen, nHeads, nKVHeads, headDim, kvTokenStride, kvHeadStride int,
) error {
	c := newCall("attention_output_forward")
	s := heads{batch, seqLen, nHeads, nKVHeads, headDim, level{}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "seq_len")
	to := c.out("out", out, s.outExtent(), onlyF32)
	weights := c.in("probs", probs, s.matrixExtent(), onlyF32)
	values := c.in("v", v, s.kvExtent(), onlyF32)
	return r.submit(c, func() {
		s.eachHead(func(b, h, g int) {
			for i := range seqLen {
				sum := make([]float64, headDim)
				for j := range i + 1 {
					addScaled(sum, float64(weights.at(s.matrixAt(b, h, i)+j)), values, s.kvAt(b, j, g))
				}
				storeHead(to, s.outAt(b, i, h), sum)
			}
		})
	})
}

// AttentionOutputBackward is documented at Ops.
func (r *Reference) AttentionOutputBackward(
	dprobs, dv, dout, probs, v Buffer, batch, seqLen, nHeads, nKVHeads, headDim, kvTokenStride, kvHeadStride int,
) error {
	c := newCall("attention_output_backward")
	s := heads{batch, seqLen, nHeads, nKVHeads, headDim, level{}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "seq_len")
	toP, toV := c.out("dprobs", dprobs, s.matrixExtent(), onlyF32), c.out("dv", dv, s.kvExtent(), onlyF32)
	grad := c.in("dout", dout, s.outExtent(), onlyF32)
	weights := c.in("probs", probs, s.matrixExtent(), onlyF32)
	values := c.in("v", v, s.kvExtent(), onlyF32)
	return r.submit(c, func() {
		newV := newGradient(s)
		s.eachHead(func(b, h, g int) {
			for i := range seqLen {
				for j := range seqLen {
					at, dp := s.matrixAt(b, h, i)+j, 0.0
					if j <= i {
						dp = inner(grad, s.outAt(b, i, h), values, s.kvAt(b, j, g), headDim)
						addScaled(newV.head(b, j, g), float64(weights.at(at)), grad, s.outAt(b, i, h))
					}
					toP.set(at, float32(dp))
				}
			}
		})
		newV.store(toV)
	})
}

// attend is one query over keys 0 .. n-1: the weighted values, and lse.
func attend(
	q *referenceBuffer, qAt, n, headDim int, k, v *referenceBuffer, kvAt func(j int) int, scale float32,
) (out []float64, lse float64) {
	x := make([]float64, n)
	most := math.Inf(-1)
	for j := range x {
		x[j] = float64(scale) * inner(q, qAt, k, kvAt(j), headDim)
		most = math.Max(most, x[j])
	}
	sum := 0.0
	for _, each := range x {
		sum += math.Exp(each - most)
	}
	lse = most + math.Log(sum)
	out = make([]float64, headDim)
	for j, each := range x {
		addScaled(out, math.Exp(each-lse), v, kvAt(j))
	}
	return out, lse
}

// AttentionForward is documented at Ops.
func (r *Reference) AttentionForward(
	out, lse, q, k, v, lengths Buffer, batch, seqLen, nHeads, nKVHeads, headDim,
	qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64,
) error {
	c := newCall("attention_forward")
	s := heads{batch, seqLen, nHeads, nKVHeads, headDim, level{qTokenStride, qHeadStride}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "seq_len")
	to, toLse := c.out("out", out, s.outExtent(), floats), c.out("lse", lse, dense(s.tokens(), nHeads), onlyF32)
	queries := c.in("q", q, s.qExtent(), onlyF32)
	keys, values := c.in("k", k, s.kvExtent(), floats), c.in("v", v, s.kvExtent(), floats)
	limits := c.inOrNone("lengths", lengths, dense(batch), onlyI32)
	factor := c.real32("scale", scale, anyReal)
	c.sameDType("v", values, "k", keys)
	return r.submit(c, func() {
		tokens := r.lengthsOf(c.op, limits, batch, seqLen)
		if tokens == nil {
			return
		}
		s.eachHead(func(b, h, g int) {
			for i := range seqLen {
				result, norm := make([]float64, headDim), 0.0
				if i < tokens[b] {
					kvAt := func(j int) int { return s.kvAt(b, j, g) }
					result, norm = attend(queries, s.qAt(b, i, h), i+1, headDim, keys, values, kvAt, factor)
				}
				storeHead(to, s.outAt(b, i, h), result)
				toLse.set((b*seqLen+i)*nHeads+h, float32(norm))
			}
		})
	})
}

// AttentionBackward is documented at Ops.
func (r *Reference) AttentionBackward(
	dq, dk, dv, dout, q, k, v, out, lse, lengths Buffer, batch, seqLen, nHeads, nKVHeads, headDim,
	qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64,
) error {
	c := newCall("attention_backward")
	s := heads{batch, seqLen, nHeads, nKVHeads, headDim, level{qTokenStride, qHeadStride}, level{kvTokenStride, kvHeadStride}}
	s.check(c, "seq_len")
	toQ, toK := c.out("dq", dq, s.qExtent(), onlyF32), c.out("dk", dk, s.kvExtent(), onlyF32)
	toV := c.out("dv", dv, s.kvExtent(), onlyF32)
	grad := c.in("dout", dout, s.outExtent(), onlyF32)
	queries := c.in("q", q, s.qExtent(), onlyF32)
	keys, values := c.in("k", k, s.kvExtent(), floats), c.in("v", v, s.kvExtent(), floats)
	result := c.in("out", out, s.outExtent(), onlyF32)
	norms := c.in("lse", lse, dense(s.tokens(), nHeads), onlyF32)
	limits := c.inOrNone("lengths", lengths, dense(batch), onlyI32)
	factor := float64(c.real32("scale", scale, anyReal))
	c.sameDType("v", values, "k", keys)
	return r.submit(c, func() {
		tokens := r.lengthsOf(c.op, limits, batch, seqLen)
		if tokens == nil {
			return
		}
		newK, newV := newGradient(s), newGradient(s)
		s.eachHead(func(b, h, g int) {
			for i := range seqLen {
				newQ := make([]float64, headDim)
				if i < tokens[b] {
					qAt, outAt := s.qAt(b, i, h), s.outAt(b, i, h)
					norm := float64(norms.at((b*seqLen+i)*nHeads + h))
					d := inner(grad, outAt, result, outAt, headDim)
					for j := range i + 1 {
						kvAt := s.kvAt(b, j, g)
						p := math.Exp(factor*inner(queries, qAt, keys, kvAt, headDim) - norm)
						ds := factor * p * (inner(grad, outAt, values, kvAt, headDim) - d)
						addScaled(newQ, ds, keys, kvAt)
						addScaled(newK.head(b, j, g), ds, queries, qAt)
						addScaled(newV.head(b, j, g), p, grad, outAt)
					}
				}
				storeHead(toQ, s.qAt(b, i, h), newQ)
			}
		})
		newK.store(toK)
		newV.store(toV)
	})
}
