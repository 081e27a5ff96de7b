package tensor

// Rows of a table by id, and the scatter-add that is its gradient.

func embedding(op string, tokens, vocab, hidden int) *call {
	c := newCall(op)
	c.dims(named{"tokens", tokens}, named{"vocab", vocab}, named{"hidden", hidden})
	c.nothing = tokens == 0 || hidden == 0
	return c
}

// EmbeddingForward is documented at Ops.
func (r *Reference) EmbeddingForward(y, ids, w Buffer, tokens, vocab, hidden int) error {
	c := embedding("embedding_forward", tokens, vocab, hidden)
	to := c.out("y", y, dense(tokens, hidden), onlyF32)
	rows := c.in("ids", ids, dense(tokens), onlyI32)
	table := c.in("w", w, dense(vocab, hidden), floats)
	return r.submit(c, func() {
		index := rows.i32s(tokens)
		if !r.good(c.op, "ids", index, 0, vocab) {
			return
		}
		for t, id := range index {
			to.setRow(t*hidden, table.row(int(id)*hidden, hidden))
		}
	})
}

// EmbeddingBackward is documented at Ops.
func (r *Reference) EmbeddingBackward(dw, dy, ids Buffer, tokens, vocab, hidden int) error {
	c := embedding("embedding_backward", tokens, vocab, hidden)
	to := c.out("dw", dw, dense(vocab, hidden), onlyF32)
	grad := c.in("dy", dy, dense(tokens, hidden), onlyF32)
	rows := c.in("ids", ids, dense(tokens), onlyI32)
	return r.submit(c, func() {
		index := rows.i32s(tokens)
		if !r.good(c.op, "ids", index, 0, vocab) {
			return
		}
		for t, id := range index {
			for i := range hidden {
				at := int(id)*hidden + i
				to.set(at, to.at(at)+grad.at(t*hidden+i))
			}
		}
	})
}
