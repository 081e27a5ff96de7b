package tensor

// Mixture of experts: choosing, sorting by expert and back, and the two auxiliary losses.

func routing(op string, tokens, nExperts, topK int) *call {
	c := newCall(op)
	c.dims(named{"tokens", tokens}, named{"n_experts", nExperts}, named{"top_k", topK})
	c.atLeast("top_k", topK, 1)
	c.atMost("top_k", topK, nExperts, "n_experts")
	c.fitsI32("n_experts", nExperts)
	c.routed(tokens, topK)
	c.nothing = tokens == 0
	return c
}

// routed checks the number of routed rows.
func (c *call) routed(tokens, topK int) {
	if c.err == nil {
		rows, _ := multiply(tokens, topK) // beyond 63 bits it is the largest number they hold
		c.fitsI32("tokens x top_k", rows)
	}
}

func routedRows(op string, tokens, topK, hidden int) *call {
	c := newCall(op)
	c.dims(named{"tokens", tokens}, named{"top_k", topK}, named{"hidden", hidden})
	c.atLeast("top_k", topK, 1)
	c.routed(tokens, topK)
	c.nothing = tokens == 0 || hidden == 0
	return c
}

func routerLogits(op string, tokens, nExperts int) *call {
	c := newCall(op)
	c.dims(named{"tokens", tokens}, named{"n_experts", nExperts})
	c.atLeast("n_experts", nExperts, 1)
	c.nothing = tokens == 0
	return c
}

// MoERouteForward is documented at Ops.
func (r *Reference) MoERouteForward(probs, experts, weights, logits Buffer, tokens, nExperts, top int) error {
	c := routing("moe_route_forward", tokens, nExperts, top)
	toProbs := c.out("probs", probs, dense(tokens, nExperts), onlyF32)
	toExperts := c.out("experts", experts, dense(tokens, top), onlyI32)
	toWeights := c.out("weights", weights, dense(tokens, top), onlyF32)
	scores := c.in("logits", logits, dense(tokens, nExperts), onlyF32)
	return r.submit(c, func() {
		chosen := toExperts.i32s(tokens * top)
		for t := range tokens {
			p := softmax(scores.row(t*nExperts, nExperts))
			toProbs.setRow(t*nExperts, p)
			best := topK(p, top)
			sum := 0.0
			for _, expert := range best {
				sum += float64(p[expert])
			}
			for j, expert := range best {
				chosen[t*top+j] = int32(expert)
				toWeights.set(t*top+j, float32(float64(p[expert])/sum))
			}
		}
	})
}

// MoERouteBackward is documented at Ops.
func (r *Reference) MoERouteBackward(
	dlogits, dweights, dprobs, dlogitsZ, probs, experts, weights Buffer, tokens, nExperts, top int,
) error {
	c := routing("moe_route_backward", tokens, nExperts, top)
	to := c.out("dlogits", dlogits, dense(tokens, nExperts), onlyF32)
	grad := c.in("dweights", dweights, dense(tokens, top), onlyF32)
	gradProbs := c.inOrNone("dprobs", dprobs, dense(tokens, nExperts), onlyF32)
	gradZ := c.inOrNone("dlogits_z", dlogitsZ, dense(tokens, nExperts), onlyF32, "dlogits")
	p := c.in("probs", probs, dense(tokens, nExperts), onlyF32)
	chosen := c.in("experts", experts, dense(tokens, top), onlyI32)
	kept := c.in("weights", weights, dense(tokens, top), onlyF32)
	return r.submit(c, func() {
		index := chosen.i32s(tokens * top)
		if !r.good(c.op, "experts", index, 0, nExperts) {
			return
		}
		for t := range tokens {
			row := p.row(t*nExperts, nExperts)
			dw := grad.row(t*top, top)
			a, total := dot(dw, kept.row(t*top, top)), 0.0
			for _, expert := range index[t*top : (t+1)*top] {
				total += float64(row[expert])
			}
			g := make([]float32, nExperts)
			if gradProbs != nil {
				g = gradProbs.row(t*nExperts, nExperts)
			}
			for j, expert := range index[t*top : (t+1)*top] {
				g[expert] += float32((float64(dw[j]) - a) / total)
			}
			for i, d := range softmaxGradient(g, row) {
				if gradZ != nil {
					d += gradZ.at(t*nExperts + i)
				}
				to.set(t*nExperts+i, d)
			}
		}
	})
}

// MoEDispatchForward is documented at Ops.
func (r *Reference) MoEDispatchForward(offsets, rowToken, tokenRow, experts Buffer, tokens, nExperts, top int) error {
	c := routing("moe_dispatch_forward", tokens, nExperts, top)
	c.nothing = false // without rows the offsets are still written
	toOffsets := c.out("offsets", offsets, dense(nExperts+1), onlyI32)
	toToken := c.out("row_token", rowToken, dense(tokens, top), onlyI32)
	toRow := c.out("token_row", tokenRow, dense(tokens, top), onlyI32)
	chosen := c.in("experts", experts, dense(tokens, top), onlyI32)
	return r.submit(c, func() {
		index := chosen.i32s(tokens * top)
		if !r.good(c.op, "experts", index, 0, nExperts) {
			return
		}
		ends, rowTokens, tokenRows := toOffsets.i32s(nExperts+1), toToken.i32s(tokens*top), toRow.i32s(tokens*top)
		row := int32(0)
		for expert := range nExperts {
			ends[expert] = row
			for i, choice := range index { // by expert, then token, then choice
				if int(choice) == expert {
					rowTokens[row], tokenRows[i] = int32(i/top), row
					row++
				}
			}
		}
		ends[nExperts] = row
	})
}

// MoEDispatchBackward is documented at Ops.
func (r *Reference) MoEDispatchBackward(dx, drows, tokenRow Buffer, tokens, top, hidden int) error {
	c := routedRows("moe_dispatch_backward", tokens, top, hidden)
	to := c.out("dx", dx, dense(tokens, hidden), onlyF32)
	grad := c.in("drows", drows, dense(tokens, top, hidden), onlyF32)
	places := c.in("token_row", tokenRow, dense(tokens, top), onlyI32)
	return r.submit(c, func() {
		index := places.i32s(tokens * top)
		if !r.good(c.op, "token_row", index, 0, tokens*top) {
			return
		}
		for t := range tokens {
			for i := range hidden {
				sum := float32(0)
				for _, row := range index[t*top : (t+1)*top] {
					sum += grad.at(int(row)*hidden + i)
				}
				to.set(t*hidden+i, sum)
			}
		}
	})
}

// MoECombineForward is documented at Ops.
func (r *Reference) MoECombineForward(y, residual, rows, weights, tokenRow Buffer, tokens, top, hidden int) error {
	c := routedRows("moe_combine_forward", tokens, top, hidden)
	to := c.out("y", y, dense(tokens, hidden), onlyF32)
	stream := c.inOrNone("residual", residual, dense(tokens, hidden), onlyF32, "y")
	values := c.in("rows", rows, dense(tokens, top, hidden), onlyF32)
	kept := c.in("weights", weights, dense(tokens, top), onlyF32)
	places := c.in("token_row", tokenRow, dense(tokens, top), onlyI32)
	return r.submit(c, func() {
		index := places.i32s(tokens * top)
		if !r.good(c.op, "token_row", index, 0, tokens*top) {
			return
		}
		for t := range tokens {
			for i := range hidden {
				sum := 0.0
				for j := t * top; j < (t+1)*top; j++ {
					sum += float64(kept.at(j)) * float64(values.at(int(index[j])*hidden+i))
				}
				if stream != nil {
					sum += float64(stream.at(t*hidden + i))
				}
				to.set(t*hidden+i, float32(sum))
			}
		}
	})
}

// MoECombineBackward is documented at Ops.
func (r *Reference) MoECombineBackward(drows, dweights, dy, rows, weights, tokenRow Buffer, tokens, top, hidden int) error {
	c := routedRows("moe_combine_backward", tokens, top, hidden)
	toRows := c.out("drows", drows, dense(tokens, top, hidden), onlyF32)
	toWeights := c.out("dweights", dweights, dense(tokens, top), onlyF32)
	grad := c.in("dy", dy, dense(tokens, hidden), onlyF32)
	values := c.in("rows", rows, dense(tokens, top, hidden), onlyF32, "drows")
	kept := c.in("weights", weights, dense(tokens, top), onlyF32)
	places := c.in("token_row", tokenRow, dense(tokens, top), onlyI32)
	return r.submit(c, func() {
		index := places.i32s(tokens * top)
		if !r.good(c.op, "token_row", index, 0, tokens*top) {
			return
		}
		dots := make([]float32, tokens*top)
		for j, row := range index { // before drows may overwrite rows
			dots[j] = float32(dot(grad.row(j/top*hidden, hidden), values.row(int(row)*hidden, hidden)))
		}
		for j, row := range index {
			for i := range hidden {
				toRows.set(int(row)*hidden+i, kept.at(j)*grad.at(j/top*hidden+i))
			}
		}
		toWeights.setRow(0, dots)
	})
}

// MoEBalanceLossForward is documented at Ops.
func (r *Reference) MoEBalanceLossForward(loss, fractions, probs, experts Buffer, tokens, nExperts, top int) error {
	c := routing("moe_balance_loss_forward", tokens, nExperts, top)
	to, toFractions := c.out("loss", loss, dense(1), onlyF32), c.out("fractions", fractions, dense(nExperts), onlyF32)
	p := c.in("probs", probs, dense(tokens, nExperts), onlyF32)
	chosen := c.in("experts", experts, dense(tokens, top), onlyI32)
	return r.submit(c, func() {
		index := chosen.i32s(tokens * top)
		if !r.good(c.op, "experts", index, 0, nExperts) {
			return
		}
		counts := make([]int, nExperts)
		for _, expert := range index {
			counts[expert]++
		}
		sum := 0.0
		for expert, count := range counts {
			share := float64(count) / float64(tokens)
			toFractions.set(expert, float32(share))
			mean := 0.0
			for t := range tokens {
				mean += float64(p.at(t*nExperts + expert))
			}
			sum += share * mean / float64(tokens)
		}
		to.set(0, float32(float64(to.at(0))+float64(nExperts)/float64(top)*sum))
	})
}

// MoEBalanceLossBackward is documented at Ops.
func (r *Reference) MoEBalanceLossBackward(dprobs, fractions Buffer, tokens, nExperts, top int, coef float64) error {
	c := routing("moe_balance_loss_backward", tokens, nExperts, top)
	to := c.out("dprobs", dprobs, dense(tokens, nExperts), onlyF32)
	share := c.in("fractions", fractions, dense(nExperts), onlyF32)
	c.real("coef", coef, anyReal)
	return r.submit(c, func() {
		factor := coef * float64(nExperts) / float64(top*tokens)
		for t := range tokens {
			for i := range nExperts {
				to.set(t*nExperts+i, float32(factor*float64(share.at(i))))
			}
		}
	})
}

// MoEZLossForward is documented at Ops.
func (r *Reference) MoEZLossForward(loss, logits Buffer, tokens, nExperts int) error {
	c := routerLogits("moe_z_loss_forward", tokens, nExperts)
	to := c.out("loss", loss, dense(1), onlyF32)
	scores := c.in("logits", logits, dense(tokens, nExperts), onlyF32)
	return r.submit(c, func() {
		sum := 0.0
		for t := range tokens {
			lse := float64(logsumexp(scores.row(t*nExperts, nExperts)))
			sum += lse * lse
		}
		to.set(0, float32(float64(to.at(0))+sum/float64(tokens)))
	})
}

// MoEZLossBackward is documented at Ops.
func (r *Reference) MoEZLossBackward(dlogits, logits Buffer, tokens, nExperts int, coef float64) error {
	c := routerLogits("moe_z_loss_backward", tokens, nExperts)
	to := c.out("dlogits", dlogits, dense(tokens, nExperts), onlyF32)
	scores := c.in("logits", logits, dense(tokens, nExperts), onlyF32)
	c.real("coef", coef, anyReal)
	return r.submit(c, func() {
		for t := range tokens {
			x := scores.row(t*nExperts, nExperts)
			factor := 2 * coef / float64(tokens) * float64(logsumexp(x))
			for i, p := range softmax(x) {
				to.set(t*nExperts+i, float32(factor*float64(p)))
			}
		}
	})
}
