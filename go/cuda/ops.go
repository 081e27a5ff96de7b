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
	return context.check(C.nn_add_forward(context.table, context.raw, handleOf(y), handleOf(a), handleOf(b), C.int64_t(n)))
}

// MulForward is documented at tensor.Ops.
func (context *Context) MulForward(y, a, b tensor.Buffer, n int) error {
	return context.check(C.nn_mul_forward(context.table, context.raw, handleOf(y), handleOf(a), handleOf(b), C.int64_t(n)))
}

// MulBackward is documented at tensor.Ops.
func (context *Context) MulBackward(da, db, dy, a, b tensor.Buffer, n int) error {
	return context.check(C.nn_mul_backward(context.table, context.raw, handleOf(da), handleOf(db), handleOf(dy), handleOf(a), handleOf(b), C.int64_t(n)))
}

// ScaleForward is documented at tensor.Ops.
func (context *Context) ScaleForward(y, x tensor.Buffer, n int, alpha float64) error {
	return context.check(C.nn_scale_forward(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(n), C.double(alpha)))
}

// SiLUForward is documented at tensor.Ops.
func (context *Context) SiLUForward(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_silu_forward(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(n)))
}

// SiLUBackward is documented at tensor.Ops.
func (context *Context) SiLUBackward(dx, dy, x tensor.Buffer, n int) error {
	return context.check(C.nn_silu_backward(context.table, context.raw, handleOf(dx), handleOf(dy), handleOf(x), C.int64_t(n)))
}

// SwiGLUForward is documented at tensor.Ops.
func (context *Context) SwiGLUForward(y, gate, up tensor.Buffer, n int) error {
	return context.check(C.nn_swiglu_forward(context.table, context.raw, handleOf(y), handleOf(gate), handleOf(up), C.int64_t(n)))
}

// SwiGLUBackward is documented at tensor.Ops.
func (context *Context) SwiGLUBackward(dgate, dup, dy, gate, up tensor.Buffer, n int) error {
	return context.check(C.nn_swiglu_backward(context.table, context.raw, handleOf(dgate), handleOf(dup), handleOf(dy), handleOf(gate), handleOf(up), C.int64_t(n)))
}

// Fill is documented at tensor.Ops.
func (context *Context) Fill(y tensor.Buffer, n int, value float64) error {
	return context.check(C.nn_fill(context.table, context.raw, handleOf(y), C.int64_t(n), C.double(value)))
}

// ---------------- softmax and top-k over the columns of a matrix

// SoftmaxForward is documented at tensor.Ops.
func (context *Context) SoftmaxForward(y, x tensor.Buffer, rows, cols, ldy, ldx int) error {
	return context.check(C.nn_softmax_forward(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldy), C.int64_t(ldx)))
}

// SoftmaxBackward is documented at tensor.Ops.
func (context *Context) SoftmaxBackward(dx, dy, y tensor.Buffer, rows, cols, ld int) error {
	return context.check(C.nn_softmax_backward(context.table, context.raw, handleOf(dx), handleOf(dy), handleOf(y), C.int64_t(rows), C.int64_t(cols), C.int64_t(ld)))
}

// TopKForward is documented at tensor.Ops.
func (context *Context) TopKForward(values, indices, x tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_top_k_forward(context.table, context.raw, handleOf(values), handleOf(indices), handleOf(x), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// TopKBackward is documented at tensor.Ops.
func (context *Context) TopKBackward(dx, dvalues, indices tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_top_k_backward(context.table, context.raw, handleOf(dx), handleOf(dvalues), handleOf(indices), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// SoftmaxTopKForward is documented at tensor.Ops.
func (context *Context) SoftmaxTopKForward(probs, values, indices, x tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_softmax_top_k_forward(context.table, context.raw, handleOf(probs), handleOf(values), handleOf(indices), handleOf(x), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// SoftmaxTopKBackward is documented at tensor.Ops.
func (context *Context) SoftmaxTopKBackward(dx, dvalues, indices, probs tensor.Buffer, rows, cols, ldx, k int) error {
	return context.check(C.nn_softmax_top_k_backward(context.table, context.raw, handleOf(dx), handleOf(dvalues), handleOf(indices), handleOf(probs), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldx), C.int64_t(k)))
}

// ---------------- rmsnorm (Zhang and Sennrich 2019)

// RMSNormForward is documented at tensor.Ops.
func (context *Context) RMSNormForward(y, rstd, x, w tensor.Buffer, rows, cols int, eps float64) error {
	return context.check(C.nn_rmsnorm_forward(context.table, context.raw, handleOf(y), handleOf(rstd), handleOf(x), handleOf(w), C.int64_t(rows), C.int64_t(cols), C.double(eps)))
}

// RMSNormBackward is documented at tensor.Ops.
func (context *Context) RMSNormBackward(dx, dw, dy, x, w, rstd tensor.Buffer, rows, cols int) error {
	return context.check(C.nn_rmsnorm_backward(context.table, context.raw, handleOf(dx), handleOf(dw), handleOf(dy), handleOf(x), handleOf(w), handleOf(rstd), C.int64_t(rows), C.int64_t(cols)))
}

// RMSNormResidualForward is documented at tensor.Ops.
func (context *Context) RMSNormResidualForward(y, h, rstd, x, residual, w tensor.Buffer, rows, cols int, eps float64) error {
	return context.check(C.nn_rmsnorm_residual_forward(context.table, context.raw, handleOf(y), handleOf(h), handleOf(rstd), handleOf(x), handleOf(residual), handleOf(w), C.int64_t(rows), C.int64_t(cols), C.double(eps)))
}

// RMSNormResidualBackward is documented at tensor.Ops.
func (context *Context) RMSNormResidualBackward(dx, dw, dy, dh, h, w, rstd tensor.Buffer, rows, cols int) error {
	return context.check(C.nn_rmsnorm_residual_backward(context.table, context.raw, handleOf(dx), handleOf(dw), handleOf(dy), handleOf(dh), handleOf(h), handleOf(w), handleOf(rstd), C.int64_t(rows), C.int64_t(cols)))
}

// ---------------- gemm

// GEMM is documented at tensor.Ops.
func (context *Context) GEMM(c, a, b tensor.Buffer, transA, transB bool, m, n, k, ldc, lda, ldb int, alpha, beta float64) error {
	return context.check(C.nn_gemm(context.table, context.raw, handleOf(c), handleOf(a), handleOf(b), flag(transA), flag(transB), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.double(alpha), C.double(beta)))
}

// GEMMBatched is documented at tensor.Ops.
func (context *Context) GEMMBatched(c, a, b tensor.Buffer, transA, transB bool, batch, m, n, k, ldc, lda, ldb, strideC, strideA, strideB int, alpha, beta float64) error {
	return context.check(C.nn_gemm_batched(context.table, context.raw, handleOf(c), handleOf(a), handleOf(b), flag(transA), flag(transB), C.int64_t(batch), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideC), C.int64_t(strideA), C.int64_t(strideB), C.double(alpha), C.double(beta)))
}

// GEMMGroupedRows is documented at tensor.Ops.
func (context *Context) GEMMGroupedRows(c, a, b, offsets, aRows tensor.Buffer, transB bool, groups, m, n, k, aRowCount, ldc, lda, ldb, strideB int, beta float64) error {
	return context.check(C.nn_gemm_grouped_rows(context.table, context.raw, handleOf(c), handleOf(a), handleOf(b), handleOf(offsets), handleOf(aRows), flag(transB), C.int64_t(groups), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(aRowCount), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideB), C.double(beta)))
}

// GEMMGroupedInner is documented at tensor.Ops.
func (context *Context) GEMMGroupedInner(c, a, b, offsets, bRows tensor.Buffer, groups, m, n, k, bRowCount, ldc, lda, ldb, strideC int, beta float64) error {
	return context.check(C.nn_gemm_grouped_inner(context.table, context.raw, handleOf(c), handleOf(a), handleOf(b), handleOf(offsets), handleOf(bRows), C.int64_t(groups), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(bRowCount), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideC), C.double(beta)))
}

// GEMMGroupedSwiGLUForward is documented at tensor.Ops.
func (context *Context) GEMMGroupedSwiGLUForward(y, gate, up, a, wGate, wUp, offsets, aRows tensor.Buffer, groups, m, n, k, aRowCount, ldc, lda, ldb, strideB int) error {
	return context.check(C.nn_gemm_grouped_swiglu_forward(context.table, context.raw, handleOf(y), handleOf(gate), handleOf(up), handleOf(a), handleOf(wGate), handleOf(wUp), handleOf(offsets), handleOf(aRows), C.int64_t(groups), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(aRowCount), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideB)))
}

// GEMMGroupedSwiGLUBackward is documented at tensor.Ops.
func (context *Context) GEMMGroupedSwiGLUBackward(dgate, dup, a, wDown, offsets, gate, up tensor.Buffer, groups, m, n, k, ldc, lda, ldb, strideB int) error {
	return context.check(C.nn_gemm_grouped_swiglu_backward(context.table, context.raw, handleOf(dgate), handleOf(dup), handleOf(a), handleOf(wDown), handleOf(offsets), handleOf(gate), handleOf(up), C.int64_t(groups), C.int64_t(m), C.int64_t(n), C.int64_t(k), C.int64_t(ldc), C.int64_t(lda), C.int64_t(ldb), C.int64_t(strideB)))
}

// ---------------- rope (Su et al. 2021), half-split form

// RoPEFrequencies is documented at tensor.Ops.
func (context *Context) RoPEFrequencies(cos, sin tensor.Buffer, positions, headDim int, theta, ntkAlpha float64) error {
	return context.check(C.nn_rope_frequencies(context.table, context.raw, handleOf(cos), handleOf(sin), C.int64_t(positions), C.int64_t(headDim), C.double(theta), C.double(ntkAlpha)))
}

// RoPEForward is documented at tensor.Ops.
func (context *Context) RoPEForward(qOut, kOut, q, k, cos, sin, positions tensor.Buffer, tokens, nHeads, nKVHeads, headDim, tablePositions, qTokenStride, qHeadStride, kTokenStride, kHeadStride int) error {
	return context.check(C.nn_rope_forward(context.table, context.raw, handleOf(qOut), handleOf(kOut), handleOf(q), handleOf(k), handleOf(cos), handleOf(sin), handleOf(positions), C.int64_t(tokens), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(tablePositions), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kTokenStride), C.int64_t(kHeadStride)))
}

// RoPEBackward is documented at tensor.Ops.
func (context *Context) RoPEBackward(dq, dk, dqOut, dkOut, cos, sin, positions tensor.Buffer, tokens, nHeads, nKVHeads, headDim, tablePositions, qTokenStride, qHeadStride, kTokenStride, kHeadStride int) error {
	return context.check(C.nn_rope_backward(context.table, context.raw, handleOf(dq), handleOf(dk), handleOf(dqOut), handleOf(dkOut), handleOf(cos), handleOf(sin), handleOf(positions), C.int64_t(tokens), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(tablePositions), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kTokenStride), C.int64_t(kHeadStride)))
}

// ---------------- attention, causal, MQA and GQA

// AttentionScoresForward is documented at tensor.Ops.
func (context *Context) AttentionScoresForward(scores, q, k tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_scores_forward(context.table, context.raw, handleOf(scores), handleOf(q), handleOf(k), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// AttentionScoresBackward is documented at tensor.Ops.
func (context *Context) AttentionScoresBackward(dq, dk, dscores, q, k tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_scores_backward(context.table, context.raw, handleOf(dq), handleOf(dk), handleOf(dscores), handleOf(q), handleOf(k), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// AttentionOutputForward is documented at tensor.Ops.
func (context *Context) AttentionOutputForward(out, probs, v tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, kvTokenStride, kvHeadStride int) error {
	return context.check(C.nn_attention_output_forward(context.table, context.raw, handleOf(out), handleOf(probs), handleOf(v), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride)))
}

// AttentionOutputBackward is documented at tensor.Ops.
func (context *Context) AttentionOutputBackward(dprobs, dv, dout, probs, v tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, kvTokenStride, kvHeadStride int) error {
	return context.check(C.nn_attention_output_backward(context.table, context.raw, handleOf(dprobs), handleOf(dv), handleOf(dout), handleOf(probs), handleOf(v), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride)))
}

// AttentionForward is documented at tensor.Ops.
func (context *Context) AttentionForward(out, lse, q, k, v, lengths tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_forward(context.table, context.raw, handleOf(out), handleOf(lse), handleOf(q), handleOf(k), handleOf(v), handleOf(lengths), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// AttentionBackward is documented at tensor.Ops.
func (context *Context) AttentionBackward(dq, dk, dv, dout, q, k, v, out, lse, lengths tensor.Buffer, batch, seqLen, nHeads, nKVHeads, headDim, qTokenStride, qHeadStride, kvTokenStride, kvHeadStride int, scale float64) error {
	return context.check(C.nn_attention_backward(context.table, context.raw, handleOf(dq), handleOf(dk), handleOf(dv), handleOf(dout), handleOf(q), handleOf(k), handleOf(v), handleOf(out), handleOf(lse), handleOf(lengths), C.int64_t(batch), C.int64_t(seqLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride), C.double(scale)))
}

// CacheAppend is documented at tensor.Ops.
func (context *Context) CacheAppend(kCache, vCache, k, v, blockTable, positions, lengths tensor.Buffer, batch, newLen, nKVHeads, headDim, pageSize, pagesPerSequence, nPages, kvTokenStride, kvHeadStride int) error {
	return context.check(C.nn_cache_append(context.table, context.raw, handleOf(kCache), handleOf(vCache), handleOf(k), handleOf(v), handleOf(blockTable), handleOf(positions), handleOf(lengths), C.int64_t(batch), C.int64_t(newLen), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(pageSize), C.int64_t(pagesPerSequence), C.int64_t(nPages), C.int64_t(kvTokenStride), C.int64_t(kvHeadStride)))
}

// AttentionCachedForward is documented at tensor.Ops.
func (context *Context) AttentionCachedForward(out, q, kCache, vCache, blockTable, positions, lengths tensor.Buffer, batch, newLen, nHeads, nKVHeads, headDim, pageSize, pagesPerSequence, nPages, qTokenStride, qHeadStride int, scale float64) error {
	return context.check(C.nn_attention_cached_forward(context.table, context.raw, handleOf(out), handleOf(q), handleOf(kCache), handleOf(vCache), handleOf(blockTable), handleOf(positions), handleOf(lengths), C.int64_t(batch), C.int64_t(newLen), C.int64_t(nHeads), C.int64_t(nKVHeads), C.int64_t(headDim), C.int64_t(pageSize), C.int64_t(pagesPerSequence), C.int64_t(nPages), C.int64_t(qTokenStride), C.int64_t(qHeadStride), C.double(scale)))
}

// ---------------- embedding

// EmbeddingForward is documented at tensor.Ops.
func (context *Context) EmbeddingForward(y, ids, w tensor.Buffer, tokens, vocab, hidden int) error {
	return context.check(C.nn_embedding_forward(context.table, context.raw, handleOf(y), handleOf(ids), handleOf(w), C.int64_t(tokens), C.int64_t(vocab), C.int64_t(hidden)))
}

// EmbeddingBackward is documented at tensor.Ops.
func (context *Context) EmbeddingBackward(dw, dy, ids tensor.Buffer, tokens, vocab, hidden int) error {
	return context.check(C.nn_embedding_backward(context.table, context.raw, handleOf(dw), handleOf(dy), handleOf(ids), C.int64_t(tokens), C.int64_t(vocab), C.int64_t(hidden)))
}

// ---------------- mixture of experts

// MoERouteForward is documented at tensor.Ops.
func (context *Context) MoERouteForward(probs, experts, weights, logits tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_route_forward(context.table, context.raw, handleOf(probs), handleOf(experts), handleOf(weights), handleOf(logits), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoERouteBackward is documented at tensor.Ops.
func (context *Context) MoERouteBackward(dlogits, dweights, dprobs, dlogitsZ, probs, experts, weights tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_route_backward(context.table, context.raw, handleOf(dlogits), handleOf(dweights), handleOf(dprobs), handleOf(dlogitsZ), handleOf(probs), handleOf(experts), handleOf(weights), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoEDispatchForward is documented at tensor.Ops.
func (context *Context) MoEDispatchForward(offsets, rowToken, tokenRow, experts tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_dispatch_forward(context.table, context.raw, handleOf(offsets), handleOf(rowToken), handleOf(tokenRow), handleOf(experts), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoEDispatchBackward is documented at tensor.Ops.
func (context *Context) MoEDispatchBackward(dx, drows, tokenRow tensor.Buffer, tokens, topK, hidden int) error {
	return context.check(C.nn_moe_dispatch_backward(context.table, context.raw, handleOf(dx), handleOf(drows), handleOf(tokenRow), C.int64_t(tokens), C.int64_t(topK), C.int64_t(hidden)))
}

// MoECombineForward is documented at tensor.Ops.
func (context *Context) MoECombineForward(y, residual, rows, weights, tokenRow tensor.Buffer, tokens, topK, hidden int) error {
	return context.check(C.nn_moe_combine_forward(context.table, context.raw, handleOf(y), handleOf(residual), handleOf(rows), handleOf(weights), handleOf(tokenRow), C.int64_t(tokens), C.int64_t(topK), C.int64_t(hidden)))
}

// MoECombineBackward is documented at tensor.Ops.
func (context *Context) MoECombineBackward(drows, dweights, dy, rows, weights, tokenRow tensor.Buffer, tokens, topK, hidden int) error {
	return context.check(C.nn_moe_combine_backward(context.table, context.raw, handleOf(drows), handleOf(dweights), handleOf(dy), handleOf(rows), handleOf(weights), handleOf(tokenRow), C.int64_t(tokens), C.int64_t(topK), C.int64_t(hidden)))
}

// MoEBalanceLossForward is documented at tensor.Ops.
func (context *Context) MoEBalanceLossForward(loss, fractions, probs, experts tensor.Buffer, tokens, nExperts, topK int) error {
	return context.check(C.nn_moe_balance_loss_forward(context.table, context.raw, handleOf(loss), handleOf(fractions), handleOf(probs), handleOf(experts), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK)))
}

// MoEBalanceLossBackward is documented at tensor.Ops.
func (context *Context) MoEBalanceLossBackward(dprobs, fractions tensor.Buffer, tokens, nExperts, topK int, coef float64) error {
	return context.check(C.nn_moe_balance_loss_backward(context.table, context.raw, handleOf(dprobs), handleOf(fractions), C.int64_t(tokens), C.int64_t(nExperts), C.int64_t(topK), C.double(coef)))
}

// MoEZLossForward is documented at tensor.Ops.
func (context *Context) MoEZLossForward(loss, logits tensor.Buffer, tokens, nExperts int) error {
	return context.check(C.nn_moe_z_loss_forward(context.table, context.raw, handleOf(loss), handleOf(logits), C.int64_t(tokens), C.int64_t(nExperts)))
}

// MoEZLossBackward is documented at tensor.Ops.
func (context *Context) MoEZLossBackward(dlogits, logits tensor.Buffer, tokens, nExperts int, coef float64) error {
	return context.check(C.nn_moe_z_loss_backward(context.table, context.raw, handleOf(dlogits), handleOf(logits), C.int64_t(tokens), C.int64_t(nExperts), C.double(coef)))
}

// ---------------- cross entropy

// CrossEntropyCount is documented at tensor.Ops.
func (context *Context) CrossEntropyCount(count, targets tensor.Buffer, rows, vocab int) error {
	return context.check(C.nn_cross_entropy_count(context.table, context.raw, handleOf(count), handleOf(targets), C.int64_t(rows), C.int64_t(vocab)))
}

// CrossEntropyForward is documented at tensor.Ops.
func (context *Context) CrossEntropyForward(loss, losses, lse, logits, targets tensor.Buffer, rows, vocab, ld int) error {
	return context.check(C.nn_cross_entropy_forward(context.table, context.raw, handleOf(loss), handleOf(losses), handleOf(lse), handleOf(logits), handleOf(targets), C.int64_t(rows), C.int64_t(vocab), C.int64_t(ld)))
}

// CrossEntropyBackward is documented at tensor.Ops.
func (context *Context) CrossEntropyBackward(dlogits, logits, lse, targets, count tensor.Buffer, rows, vocab, ld int) error {
	return context.check(C.nn_cross_entropy_backward(context.table, context.raw, handleOf(dlogits), handleOf(logits), handleOf(lse), handleOf(targets), handleOf(count), C.int64_t(rows), C.int64_t(vocab), C.int64_t(ld)))
}

// ---------------- optimizer

// SumOfSquares is documented at tensor.Ops.
func (context *Context) SumOfSquares(sum, x tensor.Buffer, n int) error {
	return context.check(C.nn_sum_of_squares(context.table, context.raw, handleOf(sum), handleOf(x), C.int64_t(n)))
}

// ClipScale is documented at tensor.Ops.
func (context *Context) ClipScale(scale, norm, nonfinite, applied, sum tensor.Buffer, maxNorm float64) error {
	return context.check(C.nn_clip_scale(context.table, context.raw, handleOf(scale), handleOf(norm), handleOf(nonfinite), handleOf(applied), handleOf(sum), C.double(maxNorm)))
}

// AdamWStep is documented at tensor.Ops.
func (context *Context) AdamWStep(param, master, m, v, grad, lr, scale, nonfinite, applied, seed tensor.Buffer, n, start int, beta1, beta2, eps, weightDecay float64) error {
	return context.check(C.nn_adamw_step(context.table, context.raw, handleOf(param), handleOf(master), handleOf(m), handleOf(v), handleOf(grad), handleOf(lr), handleOf(scale), handleOf(nonfinite), handleOf(applied), handleOf(seed), C.int64_t(n), C.int64_t(start), C.double(beta1), C.double(beta2), C.double(eps), C.double(weightDecay)))
}

// ---------------- decode

// Argmax is documented at tensor.Ops.
func (context *Context) Argmax(ids, logits tensor.Buffer, rows, cols, ld int) error {
	return context.check(C.nn_argmax(context.table, context.raw, handleOf(ids), handleOf(logits), C.int64_t(rows), C.int64_t(cols), C.int64_t(ld)))
}

// Sample is documented at tensor.Ops.
func (context *Context) Sample(ids, logits, temperature, topK, topP, samples, positions, seed tensor.Buffer, rows, cols, ld int) error {
	return context.check(C.nn_sample(context.table, context.raw, handleOf(ids), handleOf(logits), handleOf(temperature), handleOf(topK), handleOf(topP), handleOf(samples), handleOf(positions), handleOf(seed), C.int64_t(rows), C.int64_t(cols), C.int64_t(ld)))
}

// DecodeAdvance is documented at tensor.Ops.
func (context *Context) DecodeAdvance(positions, finished, ids tensor.Buffer, batch, eosID int) error {
	return context.check(C.nn_decode_advance(context.table, context.raw, handleOf(positions), handleOf(finished), handleOf(ids), C.int64_t(batch), C.int64_t(eosID)))
}

// ---------------- random: Philox4x32-10 (Salmon et al. 2011)

// RandomInit is documented at tensor.Ops.
func (context *Context) RandomInit(y tensor.Buffer, n, start int, seed int64, tensor int) error {
	return context.check(C.nn_random_init(context.table, context.raw, handleOf(y), C.int64_t(n), C.int64_t(start), C.int64_t(seed), C.int64_t(tensor)))
}

// RandomUniform is documented at tensor.Ops.
func (context *Context) RandomUniform(y tensor.Buffer, n, start int, seed int64, stream int32, sub int) error {
	return context.check(C.nn_random_uniform(context.table, context.raw, handleOf(y), C.int64_t(n), C.int64_t(start), C.int64_t(seed), C.int32_t(stream), C.int64_t(sub)))
}

// ---------------- conversion and layout

// Copy is documented at tensor.Ops.
func (context *Context) Copy(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_copy(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(n)))
}

// Cast is documented at tensor.Ops.
func (context *Context) Cast(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_cast(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(n)))
}

// Pack is documented at tensor.Ops.
func (context *Context) Pack(y, x tensor.Buffer, transpose bool, rows, cols, ldy, ldx int) error {
	return context.check(C.nn_pack(context.table, context.raw, handleOf(y), handleOf(x), flag(transpose), C.int64_t(rows), C.int64_t(cols), C.int64_t(ldy), C.int64_t(ldx)))
}

// Quantize is documented at tensor.Ops.
func (context *Context) Quantize(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_quantize(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(n)))
}

// Dequantize is documented at tensor.Ops.
func (context *Context) Dequantize(y, x tensor.Buffer, n int) error {
	return context.check(C.nn_dequantize(context.table, context.raw, handleOf(y), handleOf(x), C.int64_t(n)))
}
