package tensor

import "math"

// AdamW (Loshchilov and Hutter 2019), gradient clipping, and the sums they need.

// power is base^exponent by binary powering: only products, so every device and language gets the same bits.
func power(base float64, exponent int64) float64 {
	result, square := 1.0, base
	for ; exponent > 0; exponent >>= 1 {
		if exponent&1 == 1 {
			result *= square
		}
		square *= square
	}
	return result
}

// stochasticallyRounded is an f32 value that dtype holds, one of the two neighbours there, the nearer the likelier.
//
// The upper bits of the random word, as many as the narrower significand lacks (bf16 16, f16 13), are added below the last
// kept bit, and what is below it is dropped. A value below f16's normal range is cut to a multiple of 2^-24 and moved up
// one where the rest exceeds the word's uniform number. NaN and infinity stay.
func stochasticallyRounded(value float32, dtype DType, word uint32) float32 {
	if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
		return value
	}
	lacking := 16
	if dtype == F16 {
		lacking = 13
		if size := math.Abs(float64(value)); size < 0x1p-14 {
			scaled := size * 0x1p24
			whole := math.Floor(scaled)
			if scaled-whole > float64(float32(word>>8)*0x1p-24) {
				whole++
			}
			return float32(math.Copysign(whole*0x1p-24, float64(value)))
		}
	}
	bits := math.Float32bits(value) + word>>(32-lacking)
	return math.Float32frombits(bits >> lacking << lacking)
}

// SumOfSquares is documented at Ops.
func (r *Reference) SumOfSquares(sum, x Buffer, n int) error {
	c := newCall("sum_of_squares")
	c.dims(named{"n", n})
	to := c.out("sum", sum, dense(1), onlyF32)
	values := c.in("x", x, dense(n), floats)
	return r.submit(c, func() {
		total := 0.0
		for i := range n {
			value := float64(values.at(i))
			total += value * value
		}
		to.set(0, float32(total))
	})
}

// ClipScale is documented at Ops.
func (r *Reference) ClipScale(scale, norm, nonfinite, applied, sum Buffer, maxNorm float64) error {
	c := newCall("clip_scale")
	toScale, toNorm := c.out("scale", scale, dense(1), onlyF32), c.out("norm", norm, dense(1), onlyF32)
	toFlag, toApplied := c.out("nonfinite", nonfinite, dense(1), onlyI32), c.out("applied", applied, dense(1), onlyI64)
	total := c.in("sum", sum, dense(1), onlyF32)
	c.real("max_norm", maxNorm, 0)
	return r.submit(c, func() {
		length := float32(math.Sqrt(float64(total.at(0))))
		finite := !math.IsNaN(float64(length)) && !math.IsInf(float64(length), 0)
		clip := 1.0
		if maxNorm != 0 && finite {
			clip = min(1, maxNorm/(float64(length)+1e-6))
		}
		toNorm.set(0, length)
		toScale.set(0, float32(clip))
		toFlag.i32s(1)[0] = 1
		if finite {
			toFlag.i32s(1)[0] = 0
			toApplied.i64s(1)[0]++
		}
	})
}

// AdamWStep is documented at Ops.
func (r *Reference) AdamWStep(
	param, master, m, v, grad, lr, scale, nonfinite, applied, seed Buffer,
	n, start int, beta1, beta2, eps, weightDecay float64,
) error {
	c := newCall("adamw_step")
	c.dims(named{"n", n}, named{"start", start})
	c.nothing = n == 0
	c.numbered("start", start, n)
	narrow := []DType{F32, BF16}
	to := c.out("param", param, dense(n), floats)
	var toMaster *referenceBuffer
	if master != nil {
		toMaster = c.out("master", master, dense(n), onlyF32)
	}
	toM, toV := c.out("m", m, dense(n), narrow), c.out("v", v, dense(n), narrow)
	gradient := c.in("grad", grad, dense(n), narrow)
	rate, factor := c.in("lr", lr, dense(1), onlyF32), c.in("scale", scale, dense(1), onlyF32)
	skip, steps := c.in("nonfinite", nonfinite, dense(1), onlyI32), c.in("applied", applied, dense(1), onlyI64)
	key := c.inOrNone("seed", seed, dense(1), onlyI64)
	c.sameDType("v", toV, "m", toM)
	rounds := toM.dtype != F32 || toMaster == nil && to.dtype != F32
	c.require(key != nil || !rounds, "seed is 0, expected a buffer (16-bit values are rounded stochastically)")
	c.real("beta1", beta1, 0)
	c.real("beta2", beta2, 0)
	c.require(beta1 < 1, "beta1 is %s, expected less than 1", formatG(beta1, 6))
	c.require(beta2 < 1, "beta2 is %s, expected less than 1", formatG(beta2, 6))
	c.real("eps", eps, 0)
	c.real("weight_decay", weightDecay, 0)
	return r.submit(c, func() {
		if skip.i32s(1)[0] != 0 {
			return
		}
		t := steps.i64s(1)[0]
		if t < 1 {
			r.report("%s: applied[0] is %d, expected at least 1 (clip_scale counts the step)", c.op, t)
			return
		}
		draw := uint64(0)
		if key != nil {
			draw = uint64(key.i64s(1)[0])
		}
		// Stores f32 as it is, anything narrower rounded stochastically by word `which` of the element's block.
		keep := func(to *referenceBuffer, i int, value float32, which int) {
			if to.dtype != F32 {
				block := Philox(draw, uint64(start+i), StreamRounding, uint32(t))
				value = stochasticallyRounded(value, to.dtype, block[which])
			}
			to.set(i, value)
		}
		step := float64(rate.at(0))
		decay := float32(1 - step*weightDecay)
		size := float32(step / (1 - power(beta1, t)))
		root := float32(math.Sqrt(1 - power(beta2, t)))
		for i := range n {
			g := factor.at(0) * gradient.at(i)
			newM := float32(beta1)*toM.at(i) + float32(1-beta1)*g
			newV := float32(beta2)*toV.at(i) + float32(1-beta2)*(g*g)
			old := to
			if toMaster != nil {
				old = toMaster
			}
			p := old.at(i) * decay
			p -= size * newM / (float32(math.Sqrt(float64(newV)))/root + float32(eps))
			if toMaster != nil {
				toMaster.set(i, p)
				to.set(i, p)
			} else {
				keep(to, i, p, 0)
			}
			keep(toM, i, newM, 1)
			keep(toV, i, newV, 2)
		}
	})
}
