// Code generated from cuda/include/cunn.h by cuda/tools/bindings.py. DO NOT EDIT.

package cuda

// #include "table.h"
import "C"

import "github.com/cuda-nn/cuda-nn/go/tensor"

func flag(value bool) C.int32_t {
	if value {
		return 1
	}
	return 0
}

// ---------------- elementwise

// AddForward is documented at tensor.Ops.
func (context *Context) AddForward(y, a, b tensor.Buffer, n int) error {
	return context.check(C.nn_add_forward(context.table, context.raw, context.own(y), context.own(a), context.own(b), C.int64_t(n)))
}

// MulForward is documented at tensor.Ops.
func (context *Context) MulForward(y, a, b tensor.Buffer, n int) error {
	return context.check(C.nn_mul_forward(context.table, context.raw, context.own(y), context.own(a), context.own(b), C.int64_t(n)))
}

// MulBackward is documented at tensor.Ops.
func (context *Context) MulBackward(da, db, dy, a, b tensor.Buffer, n int) error {
	return context.check(C.nn_mul_backward(context.table, context.raw, context.own(da), context.own(db), context.own(dy), context.own(a), context.own(b), C.int64_t(n)))
}

// ScaleForward is documented at tensor.Ops.
func (context *Context) ScaleForward(y, x tensor.Buffer, n int, alpha float64) error {
	return context.check(C.nn_scale_forward(context.table, context.raw, context.own(y), context.own(x), C.int64_t(n), C.double(alpha)))
}

// SiLUForward is documented at tensor.Ops.
func (context *Context) SiLUForward(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_silu_forward(context.table, context.raw, context.own(y), context.own(x), C.int64_t(n)))
}

// SiLUBackward is documented at tensor.Ops.
func (context *Context) SiLUBackward(dx, dy, x tensor.Buffer, n int) error {
	return context.check(C.nn_silu_backward(context.table, context.raw, context.own(dx), context.own(dy), context.own(x), C.int64_t(n)))
}

// SwiGLUForward is documented at tensor.Ops.
func (context *Context) SwiGLUForward(y, gate, up tensor.Buffer, n int) error {
	return context.check(C.nn_swiglu_forward(context.table, context.raw, context.own(y), context.own(gate), context.own(up), C.int64_t(n)))
}

// SwiGLUBackward is documented at tensor.Ops.
func (context *Context) SwiGLUBackward(dgate, dup, dy, gate, up tensor.Buffer, n int) error {
	return context.check(C.nn_swiglu_backward(context.table, context.raw, context.own(dgate), context.own(dup), context.own(dy), context.own(gate), context.own(up), C.int64_t(n)))
}

// Fill is documented at tensor.Ops.
func (context *Context) Fill(y tensor.Buffer, n int, value float64) error {
	return context.check(C.nn_fill(context.table, context.raw, context.own(y), C.int64_t(n), C.double(value)))
}

// ---------------- softmax and top-k over the columns of a matrix

// SoftmaxForward is documented at tensor.Ops.
func (context *Context) SoftmaxForward(y, x tensor.Buffer, rows, cols, ldy, ldx int) error {
	return context.check(C.nn_softmax_forward(context.table, context.raw, context.own(y), context.own(x), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldy), C.int64_t(ldx)))
}

// SoftmaxBackward is documented at tensor.Ops.
func (context *Context) SoftmaxBackward(dx, dy, y tensor.Buffer, rows, cols, ld int) error {
	return context.check(C.nn_softmax_backward(context.table, context.raw, context.own(dx), context.own(dy), context.own(y), C.int64_t(rows), C.int64_t(cols), C.int64_t(ld)))
}

// TopKForward is documented at tensor.Ops.
func (context *Context) TopKForward(values, indices, x tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_top_k_forward(context.table, context.raw, context.own(values), context.own(indices), context.own(x), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// TopKBackward is documented at tensor.Ops.
func (context *Context) TopKBackward(dx, dvalues, indices tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_top_k_backward(context.table, context.raw, context.own(dx), context.own(dvalues), context.own(indices), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// SoftmaxTopKForward is documented at tensor.Ops.
func (context *Context) SoftmaxTopKForward(probs, values, indices, x tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_softmax_top_k_forward(context.table, context.raw, context.own(probs), context.own(values), context.own(indices), context.own(x), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// SoftmaxTopKBackward is documented at tensor.Ops.
func (context *Context) SoftmaxTopKBackward(dx, dvalues, indices, probs tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_softmax_top_k_backward(context.table, context.raw, context.own(dx), context.own(dvalues), context.own(indices), context.own(probs), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// ---------------- rmsnorm (Zhang and Sennrich 2019)

// RMSNormForward is documented at tensor.Ops.
func (context *Context) RMSNormForward(y, rstd, x, w tensor.Buffer, rows, cols int, eps float64) error {
	return context.check(C.nn_rmsnorm_forward(context.table, context.raw, context.own(y), context.own(rstd), context.own(x), context.own(w), C.int64_t(rows), C.int64_t(cols), C.double(eps)))
}

// RMSNormBackward is documented at tensor.Ops.
func (context *Context) RMSNormBackward(dx, dw, dy, x, w, rstd tensor.Buffer, rows, cols int) error {
	return context.check(C.nn_rmsnorm_backward(context.table, context.raw, context.own(dx), context.own(dw), context.own(dy), context.own(x), context.own(w), context.own(rstd), C.int64_t(rows), C.int64_t(cols)))
}

// RMSNormResidualForward is documented at tensor.Ops.
func (context *Context) RMSNormResidualForward(y, h, rstd, x, residual, w tensor.Buffer, rows, cols int, eps float64) error {
	return context.check(C.nn_rmsnorm_residual_forward(context.table, context.raw, context.own(y), context.own(h), context.own(rstd), context.own(x), context.own(residual), context.own(w), C.int64_t(rows), C.int64_t(cols), C.double(eps)))
}

// RMSNormResidualBackward is documented at tensor.Ops.
func (context *Context) RMSNormResidualBackward(dx, dw, dy, dh, h, w, rstd tensor.Buffer, rows, cols int) error {
	return context.check(C.nn_rmsnorm_residual_backward(context.table, context.raw, context.own(dx), context.own(dw), context.own(dy), context.own(dh), context.own(h), context.own(w), context.own(rstd), C.int64_t(rows), C.int64_t(cols)))
}

// ---------------- gemm

// GEMM is documented at tensor.Ops.
func (context *Context) GEMM(c, a, b tensor.Buffer, transA, transB bool, m, n, k, ldc, lda, ldb int, alpha, beta float64) error {
	return context.check(C.nn_gemm(context.table, context.raw, context.own(c), context.own(a), context.own(b), flag(transA), flag(transB), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.double(alpha), C.double(beta)))
}

// GEMMBatched is documented at tensor.Ops.
func (context *Context) GEMMBatched(c, a, b tensor.Buffer, transA, transB bool, batch, m, n, k, ldc, lda, ldb, strideC, strideA, strideB int, alpha, beta float64) error {
	return context.check(C.nn_gemm_batched(context.table, context.raw, context.own(c), context.own(a), context.own(b), flag(transA), flag(transB), C.int64_t(batch), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideC), C.int64_t(strideA), C.int64_t(strideB), C.double(alpha), C.double(beta)))
}

// GEMMGroupedRows is documented at tensor.Ops.
func (context *Context) GEMMGroupedRows(c, a, b, offsets, aRows tensor.Buffer, transB bool, groups, m, n, k, aRowCount, ldc, lda, ldb, strideB int, beta float64) error {
	return context.check(C.nn_gemm_grouped_rows(context.table, context.raw, context.own(c), context.own(a), context.own(b), context.own(offsets), context.own(aRows), flag(transB), C.int64_t(groups), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(aRowCount), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideB), C.double(beta)))
}

// GEMMGroupedInner is documented at tensor.Ops.
func (context *Context) GEMMGroupedInner(c, a, b, offsets, bRows tensor.Buffer, groups, m, n, k, bRowCount, ldc, lda, ldb, strideC int, beta float64) error {
	return context.check(C.nn_gemm_grouped_inner(context.table, context.raw, context.own(c), context.own(a), context.own(b), context.own(offsets), context.own(bRows), C.int64_t(groups), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(bRowCount), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideC), C.double(beta)))
}

// ---------------- rope (Su et al. 2021), half-split form

// RoPEFrequencies is documented at tensor.Ops.
func (context *Context) RoPEFrequencies(cos, sin tensor.Buffer, positions, headDim int, theta, ntkAlpha float64) error {
	return context.check(C.nn_rope_frequencies(context.table, context.raw, context.own(cos), context.own(sin), C.int64_t(positions), C.int64_t(headDim), C.double(theta), C.double(ntkAlpha)))
}

// RoPEForward is documented at tensor.Ops.
func (context *Context) RoPEForward(qOut, kOut, q, k, cos, sin, positions tensor.Buffer, tokens, nHeads, nKVHeads, headDim, tablePositions, qTokenStride, qHeadStride, kTokenStride, kHeadStride int) error {
	return context.check(C.nn_rope_forward(context.table, context.raw, context.own(qOut), context.own(kOut), context.own(q), context.own(k), context.own(cos), context.own(sin), context.own(positions), C.int64_t(tokens), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(tablePositions), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kTokenStride), C.int64_t(kHeadStride)))
}

// RoPEBackward is documented at tensor.Ops.
func (context *Context) RoPEBackward(dq, dk, dqOut, dkOut, cos, sin, positions tensor.Buffer, tokens, nHeads, nKVHeads, headDim, tablePositions, qTokenStride, qHeadStride, kTokenStride, kHeadStride int) error {
	return context.check(C.nn_rope_backward(context.table, context.raw, context.own(dq), context.own(dk), context.own(dqOut), context.own(dkOut), context.own(cos), context.own(sin), context.own(positions), C.int64_t(tokens), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(tablePositions), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kTokenStride), C.int64_t(kHeadStride)))
}

// ---------------- attention, causal, MQA and GQA

// AttentionScoresForward is documented at tensor.Ops.
func (context *Context) AttentionScoresForward(scores, q, k tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_scores_forward(context.table, context.raw, context.own(scores), context.own(q), context.own(k), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// AttentionScoresBackward is documented at tensor.Ops.
func (context *Context) AttentionScoresBackward(dq, dk, dscores, q, k tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_scores_backward(context.table, context.raw, context.own(dq), context.own(dk), context.own(dscores), context.own(q), context.own(k), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// AttentionOutputForward is documented at tensor.Ops.
func (context *Context) AttentionOutputForward(out, probs, v tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, kvTokenStride, kvHeadStride int) error {
	return context.check(C.nn_attention_output_forward(context.table, context.raw, context.own(out), context.own(probs), context.own(v), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride)))
}

// AttentionOutputBackward is documented at tensor.Ops.
func (context *Context) AttentionOutputBackward(dprobs, dv, dout, probs, v tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, kvTokenStride, kvHeadStride int) error {
	return context.check(C.nn_attention_output_backward(context.table, context.raw, context.own(dprobs), context.own(dv), context.own(dout), context.own(probs), context.own(v), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride)))
}

// AttentionForward is documented at tensor.Ops.
func (context *Context) AttentionForward(out, lse, q, k, v, lengths tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_forward(context.table, context.raw, context.own(out), context.own(lse), context.own(q), context.own(k), context.own(v), context.own(lengths), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// AttentionBackward is documented at tensor.Ops.
func (context *Context) AttentionBackward(dq, dk, dv, dout, q, k, v, out, lse, lengths tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_backward(context.table, context.raw, context.own(dq), context.own(dk), context.own(dv), context.own(dout), context.own(q), context.own(k), context.own(v), context.own(out), context.own(lse), context.own(lengths), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// CacheAppend is documented at tensor.Ops.
func (context *Context) CacheAppend(kCache, vCache, k, v, blockTable, positions, lengths tensor.Buffer, batch, newLen, nKVHeads, headDim, pageSize, pagesPerSequence, nPages, kvTokenStride, kvHeadStride int) error {
	return context.check(C.nn_cache_append(context.table, context.raw, context.own(kCache), context.own(vCache), context.own(k), context.own(v), context.own(blockTable), context.own(positions), context.own(lengths), C.int64_t(batch), C.int64_t(newLen), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(pageSize), C.int64_t(pagesPerSequence), C.int64_t(nPages), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride)))
}

// AttentionCachedForward is documented at tensor.Ops.
func (context *Context) AttentionCachedForward(out, q, kCache, vCache, blockTable, positions, lengths tensor.Buffer, batch, newLen, nHeads, nKVHeads, headDim, pageSize, pagesPerSequence, nPages, qTokenStride, qHeadStride int, scale float64) error {
	return context.check(C.nn_attention_cached_forward(context.table, context.raw, context.own(out), context.own(q), context.own(kCache), context.own(vCache), context.own(blockTable), context.own(positions), context.own(lengths), C.int64_t(batch), C.int64_t(newLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(pageSize), C.int64_t(pagesPerSequence), C.int64_t(nPages), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.double(scale)))
}

// ---------------- embedding

// EmbeddingForward is documented at tensor.Ops.
func (context *Context) EmbeddingForward(y, ids, w tensor.Buffer, tokens, vocab, hidden int) error {
	return context.check(C.nn_embedding_forward(context.table, context.raw, context.own(y), context.own(ids), context.own(w), C.int64_t(tokens), C.int64_t(vocab), C.int64_t(hidden)))
}

// EmbeddingBackward is documented at tensor.Ops.
func (context *Context) EmbeddingBackward(dw, dy, ids tensor.Buffer, tokens, vocab, hidden int) error {
	return context.check(C.nn_embedding_backward(context.table, context.raw, context.own(dw), context.own(dy), context.own(ids), C.int64_t(tokens), C.int64_t(vocab), C.int64_t(hidden)))
}

// ---------------- mixture of experts

// MoERouteForward is documented at tensor.Ops.
func (context *Context) MoERouteForward(probs, experts, weights, logits tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_route_forward(context.table, context.raw, context.own(probs), context.own(experts), context.own(weights), context.own(logits), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoERouteBackward is documented at tensor.Ops.
func (context *Context) MoERouteBackward(dlogits, dweights, dprobs, dlogitsZ, probs, experts, weights tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_route_backward(context.table, context.raw, context.own(dlogits), context.own(dweights), context.own(dprobs), context.own(dlogitsZ), context.own(probs), context.own(experts), context.own(weights), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoEDispatchForward is documented at tensor.Ops.
func (context *Context) MoEDispatchForward(offsets, rowToken, tokenRow, experts tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_dispatch_forward(context.table, context.raw, context.own(offsets), context.own(rowToken), context.own(tokenRow), context.own(experts), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoEDispatchBackward is documented at tensor.Ops.
func (context *Context) MoEDispatchBackward(dx, drows, tokenRow tensor.Buffer, tokens, topK, hidden int) error {
	return context.check(C.nn_moe_dispatch_backward(context.table, context.raw, context.own(dx), context.own(drows), context.own(tokenRow), C.int64_t(tokens), C.int64_t(topK), C.int64_t(hidden)))
}

// MoECombineForward is documented at tensor.Ops.
func (context *Context) MoECombineForward(y, residual, rows, weights, tokenRow tensor.Buffer, tokens, topK, hidden int) error {
	return context.check(C.nn_moe_combine_forward(context.table, context.raw, context.own(y), context.own(residual), context.own(rows), context.own(weights), context.own(tokenRow), C.int64_t(tokens), C.int64_t(topK), C.int64_t(hidden)))
}

// MoECombineBackward is documented at tensor.Ops.
func (context *Context) MoECombineBackward(drows, dweights, dy, rows, weights, tokenRow tensor.Buffer, tokens, topK, hidden int) error {
	return context.check(C.nn_moe_combine_backward(context.table, context.raw, context.own(drows), context.own(dweights), context.own(dy), context.own(rows), context.own(weights), context.own(tokenRow), C.int64_t(tokens), C.int64_t(topK), C.int64_t(hidden)))
}

// MoEBalanceLossForward is documented at tensor.Ops.
func (context *Context) MoEBalanceLossForward(loss, fractions, probs, experts tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_balance_loss_forward(context.table, context.raw, context.own(loss), context.own(fractions), context.own(probs), context.own(experts), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoEBalanceLossBackward is documented at tensor.Ops.
func (context *Context) MoEBalanceLossBackward(dprobs, fractions tensor.Buffer, tokens, nExperts, topK int, coef float64) error {
	return context.check(C.nn_moe_balance_loss_backward(context.table, context.raw, context.own(dprobs), context.own(fractions), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK), C.double(coef)))
}

// MoEZLossForward is documented at tensor.Ops.
func (context *Context) MoEZLossForward(loss, logits tensor.Buffer, tokens, nExperts int) error {
	return context.check(C.nn_moe_z_loss_forward(context.table, context.raw, context.own(loss), context.own(logits), C.int64_t(tokens), C.int64_t(nExperts)))
}

// MoEZLossBackward is documented at tensor.Ops.
func (context *Context) MoEZLossBackward(dlogits, logits tensor.Buffer, tokens, nExperts int, coef float64) error {
	return context.check(C.nn_moe_z_loss_backward(context.table, context.raw, context.own(dlogits), context.own(logits), C.int64_t(tokens), C.int64_t(nExperts), C.double(coef)))
}

// ---------------- cross entropy

// CrossEntropyCount is documented at tensor.Ops.
func (context *Context) CrossEntropyCount(count, targets tensor.Buffer, rows, vocab int) error {
	return context.check(C.nn_cross_entropy_count(context.table, context.raw, context.own(count), context.own(targets), C.int64_t(rows), C.int64_t(vocab)))
}

// CrossEntropyForward is documented at tensor.Ops.
func (context *Context) CrossEntropyForward(loss, losses, lse, logits, targets tensor.Buffer, rows, vocab, ld int) error {
	return context.check(C.nn_cross_entropy_forward(context.table, context.raw, context.own(loss), context.own(losses), context.own(lse), context.own(logits), context.own(targets), C.int64_t(rows), C.int64_t(vocab), C.int64_t(ld)))
}

// CrossEntropyBackward is documented at tensor.Ops.
func (context *Context) CrossEntropyBackward(dlogits, logits, lse, targets, count tensor.Buffer, rows, vocab, ld int) error {
	return context.check(C.nn_cross_entropy_backward(context.table, context.raw, context.own(dlogits), context.own(logits), context.own(lse), context.own(targets), context.own(count), C.int64_t(rows), C.int64_t(vocab), C.int64_t(ld)))
}

// ---------------- optimizer

// SumOfSquares is documented at tensor.Ops.
func (context *Context) SumOfSquares(sum, x tensor.Buffer, n int) error {
	return context.check(C.nn_sum_of_squares(context.table, context.raw, context.own(sum), context.own(x), C.int64_t(n)))
}

// ClipScale is documented at tensor.Ops.
func (context *Context) ClipScale(scale, norm, nonfinite, applied, sum tensor.Buffer, maxNorm float64) error {
	return context.check(C.nn_clip_scale(context.table, context.raw, context.own(scale), context.own(norm), context.own(nonfinite), context.own(applied), context.own(sum), C.double(maxNorm)))
}

// AdamWStep is documented at tensor.Ops.
func (context *Context) AdamWStep(param, master, m, v, grad, lr, scale, nonfinite, applied, seed tensor.Buffer, n, start int, beta1, beta2, eps, weightDecay float64) error {
	return context.check(C.nn_adamw_step(context.table, context.raw, context.own(param), context.own(master), context.own(m), context.own(v), context.own(grad), context.own(lr), context.own(scale), context.own(nonfinite), context.own(applied), context.own(seed), C.int64_t(n), C.int64_t(start), C.double(beta1), C.double(beta2), C.double(eps), C.double(weightDecay)))
}

// ---------------- decode

// Argmax is documented at tensor.Ops.
func (context *Context) Argmax(ids, logits tensor.Buffer, rows, cols, ld int) error {
	return context.check(C.nn_argmax(context.table, context.raw, context.own(ids), context.own(logits), C.int64_t(rows), C.int64_t(cols), C.int64_t(ld)))
}

// Sample is documented at tensor.Ops.
func (context *Context) Sample(ids, logits, temperature, topK, topP, samples, positions, seed tensor.Buffer, rows, cols, ld int) error {
	return context.check(C.nn_sample(context.table, context.raw, context.own(ids), context.own(logits), context.own(temperature), context.own(topK), context.own(topP), context.own(samples), context.own(positions), context.own(seed), C.int64_t(rows), C.int64_t(cols), C.int64_t(ld)))
}

// DecodeAdvance is documented at tensor.Ops.
func (context *Context) DecodeAdvance(positions, finished, ids tensor.Buffer, batch, eosID int) error {
	return context.check(C.nn_decode_advance(context.table, context.raw, context.own(positions), context.own(finished), context.own(ids), C.int64_t(batch), C.int64_t(eosID)))
}

// ---------------- random: Philox4x32-10 (Salmon et al. 2011)

// RandomInit is documented at tensor.Ops.
func (context *Context) RandomInit(y tensor.Buffer, n, start int, seed int64, tensor int) error {
	return context.check(C.nn_random_init(context.table, context.raw, context.own(y), C.int64_t(n), C.int64_t(start), C.int64_t(seed), C.int64_t(tensor)))
}

// RandomUniform is documented at tensor.Ops.
func (context *Context) RandomUniform(y tensor.Buffer, n, start int, seed int64, stream int32, sub int) error {
	return context.check(C.nn_random_uniform(context.table, context.raw, context.own(y), C.int64_t(n), C.int64_t(start), C.int64_t(seed), C.int32_t(stream), C.int64_t(sub)))
}

// ---------------- conversion and layout

// Copy is documented at tensor.Ops.
func (context *Context) Copy(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_copy(context.table, context.raw, context.own(y), context.own(x), C.int64_t(n)))
}

// Cast is documented at tensor.Ops.
func (context *Context) Cast(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_cast(context.table, context.raw, context.own(y), context.own(x), C.int64_t(n)))
}

// Pack is documented at tensor.Ops.
func (context *Context) Pack(y, x tensor.Buffer, transpose bool, rows, cols, ldy, ldx int) error {
	return context.check(C.nn_pack(context.table, context.raw, context.own(y), context.own(x), flag(transpose), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldy), C.int64_t(ldx)))
}

// Quantize is documented at tensor.Ops.
func (context *Context) Quantize(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_quantize(context.table, context.raw, context.own(y), context.own(x), C.int64_t(n)))
}

// Dequantize is documented at tensor.Ops.
func (context *Context) Dequantize(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_dequantize(context.table, context.raw, context.own(y), context.own(x), C.int64_t(n)))
}
