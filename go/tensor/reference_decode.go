package tensor

import (
	"math"
	"slices"
)

// Choosing the next token: argmax, sampling, and moving sequences on.

// sampled is a token of softmax(row / temperature) restricted to the top_k largest, then to top_p, by a draw in [0, 1).
//
// p[c] = exp((row[c] - max) / temperature), 0 for NaN. The kept tokens are a prefix of the order (logit descending, index
// ascending). The token is the first kept one, by ascending index, at which the running sum of p exceeds draw times the
// whole sum; sums in f64.
func sampled(row []float32, temperature float32, top int, topP, draw float32) int {
	order := topK(row, len(row))
	most := row[order[0]]
	if temperature == 0 || !(float64(most) > math.Inf(-1)) {
		return order[0]
	}
	p := make([]float64, len(row))
	for i, x := range row {
		switch {
		case x == most:
			p[i] = 1
		case x == x:
			p[i] = float64(exp32((x - most) / temperature))
		}
	}
	kept := order
	if top > 0 && top < len(kept) {
		kept = kept[:top]
	}
	if topP < 1 {
		enough := float64(topP) * sumOf(p, slices.Sorted(slices.Values(kept)))
		running := 0.0
		for i, token := range kept {
			if running += p[token]; running >= enough {
				kept = kept[:i+1]
				break
			}
		}
	}
	ascending := slices.Sorted(slices.Values(kept))
	target := float64(draw) * sumOf(p, ascending)
	running := 0.0
	for _, token := range ascending {
		if running += p[token]; running > target {
			return token
		}
	}
	return ascending[len(ascending)-1]
}

func sumOf(p []float64, tokens []int) float64 {
	sum := 0.0
	for _, token := range tokens {
		sum += p[token]
	}
	return sum
}

func decode(op string, rows, cols, ld int) *call {
	c := newCall(op)
	c.dims(named{"rows", rows}, named{"cols", cols}, named{"ld", ld})
	c.nothing = rows == 0
	c.atLeast("cols", cols, 1)
	c.fitsI32("cols", cols)
	c.atLeast("ld", ld, cols)
	return c
}

// Argmax is documented at Ops.
func (r *Reference) Argmax(ids, logits Buffer, rows, cols, ld int) error {
	c := decode("argmax", rows, cols, ld)
	to := c.out("ids", ids, dense(rows), onlyI32)
	scores := c.in("logits", logits, c.matrix(rows, cols, "ld", ld), onlyF32)
	return r.submit(c, func() {
		for row := range rows {
			to.i32s(rows)[row] = int32(topK(scores.row(row*ld, cols), 1)[0])
		}
	})
}

// Sample is documented at Ops.
func (r *Reference) Sample(
	ids, logits, temperature, top, topP, samples, positions, seed Buffer, rows, cols, ld int,
) error {
	c := decode("sample", rows, cols, ld)
	to := c.out("ids", ids, dense(rows), onlyI32)
	scores := c.in("logits", logits, c.matrix(rows, cols, "ld", ld), onlyF32)
	heat := c.in("temperature", temperature, dense(rows), onlyF32)
	most := c.in("top_k", top, dense(rows), onlyI32)
	share := c.in("top_p", topP, dense(rows), onlyF32)
	numbers := c.in("samples", samples, dense(rows), onlyI64)
	places := c.in("positions", positions, dense(rows), onlyI32)
	key := c.in("seed", seed, dense(1), onlyI64)
	return r.submit(c, func() {
		for row := range rows {
			if !r.goodParameters(c.op, row, heat.at(row), most.i32s(rows)[row], share.at(row), cols) {
				return
			}
		}
		for row := range rows {
			draw := Uniform(uint64(key.i64s(1)[0]), uint64(numbers.i64s(rows)[row]), StreamSampling, uint32(places.i32s(rows)[row]))
			token := sampled(scores.row(row*ld, cols), heat.at(row), int(most.i32s(rows)[row]), share.at(row), draw)
			to.i32s(rows)[row] = int32(token)
		}
	})
}

// goodParameters: temperature finite and not negative, top_k not negative, top_p in [0, 1]; reported rounded towards 0.
func (r *Reference) goodParameters(op string, row int, temperature float32, top int32, topP float32, cols int) bool {
	for _, each := range []struct {
		value float64
		fits  bool
		most  int64
	}{
		{float64(temperature), temperature >= 0 && !math.IsInf(float64(temperature), 1), 1<<63 - 2},
		{float64(top), top >= 0, int64(cols)},
		{float64(topP), 0 <= topP && topP <= 1, 1},
	} {
		if each.fits {
			continue
		}
		shown := int64(-1)
		if -9e18 < each.value && each.value < 9e18 {
			shown = int64(each.value)
		}
		r.report("%s: value[%d] is %d, expected 0 to %d", op, row, shown, each.most)
		return false
	}
	return true
}

// DecodeAdvance is documented at Ops.
func (r *Reference) DecodeAdvance(positions, finished, ids Buffer, batch, eosID int) error {
	c := newCall("decode_advance")
	c.dims(named{"batch", batch})
	c.nothing = batch == 0
	c.atLeast("eos_id", eosID, -1)
	at, done := c.out("positions", positions, dense(batch), onlyI32), c.out("finished", finished, dense(batch), onlyI32)
	tokens := c.in("ids", ids, dense(batch), onlyI32)
	return r.submit(c, func() {
		for b, id := range tokens.i32s(batch) {
			if done.i32s(batch)[b] == 0 {
				at.i32s(batch)[b]++
			}
			if eosID >= 0 && int(id) == eosID {
				done.i32s(batch)[b] = 1
			}
		}
	})
}
