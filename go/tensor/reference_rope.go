package tensor

import "math"

// Rotary position embedding (Su et al. 2021), half-split form: pairs are (i, i + head_dim/2).

// RoPEFrequencies is documented at Ops.
func (r *Reference) RoPEFrequencies(cos, sin Buffer, positions, headDim int, theta, ntkAlpha float64) error {
	c := newCall("rope_frequencies")
	c.dims(named{"positions", positions}, named{"head_dim", headDim})
	c.even(headDim)
	c.nothing = positions == 0 || headDim == 0
	half := headDim / 2
	toCos, toSin := c.out("cos", cos, dense(positions, half), onlyF32), c.out("sin", sin, dense(positions, half), onlyF32)
	for _, number := range []struct {
		name  string
		value float64
	}{{"theta", theta}, {"ntk_alpha", ntkAlpha}} {
		value := c.real(number.name, number.value, anyReal)
		c.require(value > 0, "%s is %s, expected a positive number", number.name, formatG(value, 6))
	}
	c.require(ntkAlpha == 1 || headDim != 2, "head_dim is 2, expected more for ntk_alpha other than 1")
	return r.submit(c, func() {
		base := theta
		if ntkAlpha != 1 {
			base *= math.Pow(ntkAlpha, float64(headDim)/float64(headDim-2))
		}
		for i := range half {
			frequency := math.Pow(base, -2*float64(i)/float64(headDim))
			for p := range positions {
				sine, cosine := math.Sincos(float64(p) * frequency)
				toCos.set(p*half+i, float32(cosine))
				toSin.set(p*half+i, float32(sine))
			}
		}
	})
}

func (c *call) even(headDim int) {
	c.require(headDim%2 == 0, "head_dim is %d, expected an even number", headDim)
}

// RoPEForward is documented at Ops.
func (r *Reference) RoPEForward(
	qOut, kOut, q, k, cos, sin, positions Buffer,
	tokens, nHeads, nKVHeads, headDim, tablePositions, qTokenStride, qHeadStride, kTokenStride, kHeadStride int,
) error {
	return r.rope(newCall("rope_forward"), [4]string{"q_out", "k_out", "q", "k"}, [4]Buffer{qOut, kOut, q, k},
		cos, sin, positions, tokens, nHeads, nKVHeads, headDim, tablePositions,
		level{qTokenStride, qHeadStride}, level{kTokenStride, kHeadStride}, floats, 1)
}

// RoPEBackward is documented at Ops.
func (r *Reference) RoPEBackward(
	dq, dk, dqOut, dkOut, cos, sin, positions Buffer,
	tokens, nHeads, nKVHeads, headDim, tablePositions, qTokenStride, qHeadStride, kTokenStride, kHeadStride int,
) error {
	return r.rope(newCall("rope_backward"), [4]string{"dq", "dk", "dq_out", "dk_out"}, [4]Buffer{dq, dk, dqOut, dkOut},
		cos, sin, positions, tokens, nHeads, nKVHeads, headDim, tablePositions,
		level{qTokenStride, qHeadStride}, level{kTokenStride, kHeadStride}, onlyF32, -1)
}

// rope: the strides of q and k are (between tokens, between heads).
func (r *Reference) rope(
	c *call, names [4]string, buffers [4]Buffer, cosTable, sinTable, positions Buffer,
	tokens, nHeads, nKVHeads, headDim, tablePositions int, qStrides, kStrides level, outputs []DType, sign float32,
) error {
	c.dims(named{"tokens", tokens}, named{"n_heads", nHeads}, named{"n_kv_heads", nKVHeads}, named{"head_dim", headDim})
	c.dims(named{"table_positions", tablePositions})
	c.dims(named{"q_token_stride", qStrides.count}, named{"q_head_stride", qStrides.step})
	c.dims(named{"k_token_stride", kStrides.count}, named{"k_head_stride", kStrides.step})
	c.even(headDim)
	c.nothing = tokens == 0 || headDim == 0 || nHeads == 0 && nKVHeads == 0
	half := headDim / 2
	qExtent := strided(headDim, level{tokens, qStrides.count}, level{nHeads, qStrides.step})
	kExtent := strided(headDim, level{tokens, kStrides.count}, level{nKVHeads, kStrides.step})
	toQ, toK := c.out(names[0], buffers[0], qExtent, outputs), c.out(names[1], buffers[1], kExtent, outputs)
	fromQ := c.in(names[2], buffers[2], qExtent, onlyF32, names[0])
	fromK := c.in(names[3], buffers[3], kExtent, onlyF32, names[1])
	cos := c.in("cos", cosTable, dense(tablePositions, half), onlyF32)
	sin := c.in("sin", sinTable, dense(tablePositions, half), onlyF32)
	at := c.in("positions", positions, dense(tokens), onlyI32)
	return r.submit(c, func() {
		index := at.i32s(tokens)
		if !r.good(c.op, "positions", index, 0, tablePositions) {
			return
		}
		for _, side := range []struct {
			to, from *referenceBuffer
			heads    int
			strides  level
		}{{toQ, fromQ, nHeads, qStrides}, {toK, fromK, nKVHeads, kStrides}} {
			for t, position := range index {
				for head := range side.heads {
					start := t*side.strides.count + head*side.strides.step
					for i := range half {
						cosine, sine := cos.at(int(position)*half+i), sign*sin.at(int(position)*half+i)
						first, second := side.from.at(start+i), side.from.at(start+half+i)
						side.to.set(start+i, first*cosine-second*sine)
						side.to.set(start+half+i, second*cosine+first*sine)
					}
				}
			}
		}
	})
}
