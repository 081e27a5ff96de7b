package tensor

import "math"

// Cross entropy of logits against target ids; a target of -1 does not count.

func crossEntropy(op string, rows, vocab int, more ...named) *call {
	c := newCall(op)
	c.dims(named{"rows", rows}, named{"vocab", vocab})
	c.dims(more...)
	c.nothing = rows == 0
	c.atLeast("vocab", vocab, 1)
	return c
}

// CrossEntropyCount is documented at Ops.
func (r *Reference) CrossEntropyCount(count, targets Buffer, rows, vocab int) error {
	c := crossEntropy("cross_entropy_count", rows, vocab)
	to := c.out("count", count, dense(1), onlyI64)
	wanted := c.in("targets", targets, dense(rows), onlyI32)
	return r.submit(c, func() {
		ids := wanted.i32s(rows)
		if !r.good(c.op, "targets", ids, -1, vocab) {
			return
		}
		for _, id := range ids {
			if id >= 0 {
				to.i64s(1)[0]++
			}
		}
	})
}

// CrossEntropyForward is documented at Ops.
func (r *Reference) CrossEntropyForward(loss, losses, lse, logits, targets Buffer, rows, vocab, ld int) error {
	c := crossEntropy("cross_entropy_forward", rows, vocab, named{"ld", ld})
	to, toRows := c.out("loss", loss, dense(1), onlyF32), c.out("losses", losses, dense(rows), onlyF32)
	toLse := c.out("lse", lse, dense(rows), onlyF32)
	scores := c.in("logits", logits, c.matrix(rows, vocab, "ld", ld), onlyF32)
	wanted := c.in("targets", targets, dense(rows), onlyI32)
	return r.submit(c, func() {
		ids := wanted.i32s(rows)
		if !r.good(c.op, "targets", ids, -1, vocab) {
			return
		}
		sum := 0.0
		for row, id := range ids {
			x := scores.row(row*ld, vocab)
			norm, each := logsumexp(x), float32(0)
			if id >= 0 {
				each = norm - x[id]
			}
			toLse.set(row, norm)
			toRows.set(row, each)
			sum += float64(each)
		}
		to.set(0, float32(float64(to.at(0))+sum))
	})
}

// CrossEntropyBackward is documented at Ops.
func (r *Reference) CrossEntropyBackward(dlogits, logits, lse, targets, count Buffer, rows, vocab, ld int) error {
	c := crossEntropy("cross_entropy_backward", rows, vocab, named{"ld", ld})
	to := c.out("dlogits", dlogits, c.matrix(rows, vocab, "ld", ld), onlyF32)
	scores := c.in("logits", logits, c.matrix(rows, vocab, "ld", ld), onlyF32, "dlogits")
	norms := c.in("lse", lse, dense(rows), onlyF32)
	wanted := c.in("targets", targets, dense(rows), onlyI32)
	total := c.in("count", count, dense(1), onlyI64)
	return r.submit(c, func() {
		ids := wanted.i32s(rows)
		if !r.good(c.op, "targets", ids, -1, vocab) {
			return
		}
		n := total.i64s(1)[0]
		for row, id := range ids {
			for column := range vocab {
				at, d := row*ld+column, 0.0
				if id >= 0 && n != 0 {
					d = math.Exp(float64(scores.at(at)) - float64(norms.at(row)))
					if int(id) == column {
						d--
					}
					d /= float64(n)
				}
				to.set(at, float32(d))
			}
		}
	})
}
