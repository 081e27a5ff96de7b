//! The reference backend's operations as the trait, generated from cuda/include/cunn.h by cuda/tools/bindings.py.
//!
//! Each is the method of the same name in one of the modules beside this one.

use super::ReferenceBackend;
use crate::tensor::{Buffer, Ops, TensorResult};

#[deny(unconditional_recursion)]
impl Ops for ReferenceBackend {
    // ---------------- elementwise

    fn add_forward(&self, y: &Buffer, a: &Buffer, b: &Buffer, n: usize) -> TensorResult<()> {
        Self::add_forward(self, y, a, b, n)
    }

    fn mul_forward(&self, y: &Buffer, a: &Buffer, b: &Buffer, n: usize) -> TensorResult<()> {
        Self::mul_forward(self, y, a, b, n)
    }

    fn mul_backward(
        &self,
        da: &Buffer,
        db: &Buffer,
        dy: &Buffer,
        a: &Buffer,
        b: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        Self::mul_backward(self, da, db, dy, a, b, n)
    }

    fn scale_forward(&self, y: &Buffer, x: &Buffer, n: usize, alpha: f64) -> TensorResult<()> {
        Self::scale_forward(self, y, x, n, alpha)
    }

    fn silu_forward(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::silu_forward(self, y, x, n)
    }

    fn silu_backward(&self, dx: &Buffer, dy: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::silu_backward(self, dx, dy, x, n)
    }

    fn swiglu_forward(&self, y: &Buffer, gate: &Buffer, up: &Buffer, n: usize) -> TensorResult<()> {
        Self::swiglu_forward(self, y, gate, up, n)
    }

    fn swiglu_backward(
        &self,
        dgate: &Buffer,
        dup: &Buffer,
        dy: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        n: usize,
    ) -> TensorResult<()> {
        Self::swiglu_backward(self, dgate, dup, dy, gate, up, n)
    }

    fn fill(&self, y: &Buffer, n: usize, value: f64) -> TensorResult<()> {
        Self::fill(self, y, n, value)
    }

    // ---------------- softmax and top-k over the columns of a matrix

    fn softmax_forward(
        &self,
        y: &Buffer,
        x: &Buffer,
        rows: usize,
        cols: usize,
        ldy: usize,
        ldx: usize,
    ) -> TensorResult<()> {
        Self::softmax_forward(self, y, x, rows, cols, ldy, ldx)
    }

    fn softmax_backward(
        &self,
        dx: &Buffer,
        dy: &Buffer,
        y: &Buffer,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> TensorResult<()> {
        Self::softmax_backward(self, dx, dy, y, rows, cols, ld)
    }

    fn top_k_forward(
        &self,
        values: &Buffer,
        indices: &Buffer,
        x: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        Self::top_k_forward(self, values, indices, x, rows, cols, ldx, k)
    }

    fn top_k_backward(
        &self,
        dx: &Buffer,
        dvalues: &Buffer,
        indices: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        Self::top_k_backward(self, dx, dvalues, indices, rows, cols, ldx, k)
    }

    fn softmax_top_k_forward(
        &self,
        probs: &Buffer,
        values: &Buffer,
        indices: &Buffer,
        x: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        Self::softmax_top_k_forward(self, probs, values, indices, x, rows, cols, ldx, k)
    }

    fn softmax_top_k_backward(
        &self,
        dx: &Buffer,
        dvalues: &Buffer,
        indices: &Buffer,
        probs: &Buffer,
        rows: usize,
        cols: usize,
        ldx: usize,
        k: usize,
    ) -> TensorResult<()> {
        Self::softmax_top_k_backward(self, dx, dvalues, indices, probs, rows, cols, ldx, k)
    }

    // ---------------- rmsnorm (Zhang and Sennrich 2019)

    fn rmsnorm_forward(
        &self,
        y: &Buffer,
        rstd: &Buffer,
        x: &Buffer,
        w: &Buffer,
        rows: usize,
        cols: usize,
        eps: f64,
    ) -> TensorResult<()> {
        Self::rmsnorm_forward(self, y, rstd, x, w, rows, cols, eps)
    }

    fn rmsnorm_backward(
        &self,
        dx: &Buffer,
        dw: &Buffer,
        dy: &Buffer,
        x: &Buffer,
        w: &Buffer,
        rstd: &Buffer,
        rows: usize,
        cols: usize,
    ) -> TensorResult<()> {
        Self::rmsnorm_backward(self, dx, dw, dy, x, w, rstd, rows, cols)
    }

    fn rmsnorm_residual_forward(
        &self,
        y: &Buffer,
        h: &Buffer,
        rstd: &Buffer,
        x: &Buffer,
        residual: &Buffer,
        w: &Buffer,
        rows: usize,
        cols: usize,
        eps: f64,
    ) -> TensorResult<()> {
        Self::rmsnorm_residual_forward(self, y, h, rstd, x, residual, w, rows, cols, eps)
    }

    fn rmsnorm_residual_backward(
        &self,
        dx: &Buffer,
        dw: &Buffer,
        dy: &Buffer,
        dh: &Buffer,
        h: &Buffer,
        w: &Buffer,
        rstd: &Buffer,
        rows: usize,
        cols: usize,
    ) -> TensorResult<()> {
        Self::rmsnorm_residual_backward(self, dx, dw, dy, dh, h, w, rstd, rows, cols)
    }

    // ---------------- gemm

    fn gemm(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        trans_a: bool,
        trans_b: bool,
        m: usize,
        n: usize,
        k: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        alpha: f64,
        beta: f64,
    ) -> TensorResult<()> {
        Self::gemm(self, c, a, b, trans_a, trans_b, m, n, k, ldc, lda, ldb, alpha, beta)
    }

    fn gemm_batched(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        trans_a: bool,
        trans_b: bool,
        batch: usize,
        m: usize,
        n: usize,
        k: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_c: usize,
        stride_a: usize,
        stride_b: usize,
        alpha: f64,
        beta: f64,
    ) -> TensorResult<()> {
        Self::gemm_batched(self, c, a, b, trans_a, trans_b, batch, m, n, k, ldc, lda, ldb, stride_c, stride_a, stride_b, alpha, beta)
    }

    fn gemm_grouped_rows(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        offsets: &Buffer,
        a_rows: Option<&Buffer>,
        trans_b: bool,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        a_row_count: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_b: usize,
        beta: f64,
    ) -> TensorResult<()> {
        Self::gemm_grouped_rows(self, c, a, b, offsets, a_rows, trans_b, groups, m, n, k, a_row_count, ldc, lda, ldb, stride_b, beta)
    }

    fn gemm_grouped_inner(
        &self,
        c: &Buffer,
        a: &Buffer,
        b: &Buffer,
        offsets: &Buffer,
        b_rows: Option<&Buffer>,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        b_row_count: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_c: usize,
        beta: f64,
    ) -> TensorResult<()> {
        Self::gemm_grouped_inner(self, c, a, b, offsets, b_rows, groups, m, n, k, b_row_count, ldc, lda, ldb, stride_c, beta)
    }

    fn gemm_grouped_swiglu_forward(
        &self,
        y: &Buffer,
        gate: Option<&Buffer>,
        up: Option<&Buffer>,
        a: &Buffer,
        w_gate: &Buffer,
        w_up: &Buffer,
        offsets: &Buffer,
        a_rows: Option<&Buffer>,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        a_row_count: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_b: usize,
    ) -> TensorResult<()> {
        Self::gemm_grouped_swiglu_forward(self, y, gate, up, a, w_gate, w_up, offsets, a_rows, groups, m, n, k, a_row_count, ldc, lda, ldb, stride_b)
    }

    fn gemm_grouped_swiglu_backward(
        &self,
        dgate: &Buffer,
        dup: &Buffer,
        a: &Buffer,
        w_down: &Buffer,
        offsets: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        groups: usize,
        m: usize,
        n: usize,
        k: usize,
        ldc: usize,
        lda: usize,
        ldb: usize,
        stride_b: usize,
    ) -> TensorResult<()> {
        Self::gemm_grouped_swiglu_backward(self, dgate, dup, a, w_down, offsets, gate, up, groups, m, n, k, ldc, lda, ldb, stride_b)
    }

    // ---------------- rope (Su et al. 2021), half-split form

    fn rope_frequencies(
        &self,
        cos: &Buffer,
        sin: &Buffer,
        positions: usize,
        head_dim: usize,
        theta: f64,
        ntk_alpha: f64,
    ) -> TensorResult<()> {
        Self::rope_frequencies(self, cos, sin, positions, head_dim, theta, ntk_alpha)
    }

    fn rope_forward(
        &self,
        q_out: &Buffer,
        k_out: &Buffer,
        q: &Buffer,
        k: &Buffer,
        cos: &Buffer,
        sin: &Buffer,
        positions: &Buffer,
        tokens: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        table_positions: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        k_token_stride: usize,
        k_head_stride: usize,
    ) -> TensorResult<()> {
        Self::rope_forward(self, q_out, k_out, q, k, cos, sin, positions, tokens, n_heads, n_kv_heads, head_dim, table_positions, q_token_stride, q_head_stride, k_token_stride, k_head_stride)
    }

    fn rope_backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        dq_out: &Buffer,
        dk_out: &Buffer,
        cos: &Buffer,
        sin: &Buffer,
        positions: &Buffer,
        tokens: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        table_positions: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        k_token_stride: usize,
        k_head_stride: usize,
    ) -> TensorResult<()> {
        Self::rope_backward(self, dq, dk, dq_out, dk_out, cos, sin, positions, tokens, n_heads, n_kv_heads, head_dim, table_positions, q_token_stride, q_head_stride, k_token_stride, k_head_stride)
    }

    // ---------------- attention, causal, MQA and GQA

    fn attention_scores_forward(
        &self,
        scores: &Buffer,
        q: &Buffer,
        k: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        Self::attention_scores_forward(self, scores, q, k, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale)
    }

    fn attention_scores_backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        dscores: &Buffer,
        q: &Buffer,
        k: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        Self::attention_scores_backward(self, dq, dk, dscores, q, k, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale)
    }

    fn attention_output_forward(
        &self,
        out: &Buffer,
        probs: &Buffer,
        v: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
    ) -> TensorResult<()> {
        Self::attention_output_forward(self, out, probs, v, batch, seq_len, n_heads, n_kv_heads, head_dim, kv_token_stride, kv_head_stride)
    }

    fn attention_output_backward(
        &self,
        dprobs: &Buffer,
        dv: &Buffer,
        dout: &Buffer,
        probs: &Buffer,
        v: &Buffer,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
    ) -> TensorResult<()> {
        Self::attention_output_backward(self, dprobs, dv, dout, probs, v, batch, seq_len, n_heads, n_kv_heads, head_dim, kv_token_stride, kv_head_stride)
    }

    fn attention_forward(
        &self,
        out: &Buffer,
        lse: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        Self::attention_forward(self, out, lse, q, k, v, lengths, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale)
    }

    fn attention_backward(
        &self,
        dq: &Buffer,
        dk: &Buffer,
        dv: &Buffer,
        dout: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        out: &Buffer,
        lse: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        seq_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        Self::attention_backward(self, dq, dk, dv, dout, q, k, v, out, lse, lengths, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale)
    }

    fn cache_append(
        &self,
        k_cache: &Buffer,
        v_cache: &Buffer,
        k: &Buffer,
        v: &Buffer,
        block_table: Option<&Buffer>,
        positions: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        new_len: usize,
        n_kv_heads: usize,
        head_dim: usize,
        page_size: usize,
        pages_per_sequence: usize,
        n_pages: usize,
        kv_token_stride: usize,
        kv_head_stride: usize,
    ) -> TensorResult<()> {
        Self::cache_append(self, k_cache, v_cache, k, v, block_table, positions, lengths, batch, new_len, n_kv_heads, head_dim, page_size, pages_per_sequence, n_pages, kv_token_stride, kv_head_stride)
    }

    fn attention_cached_forward(
        &self,
        out: &Buffer,
        q: &Buffer,
        k_cache: &Buffer,
        v_cache: &Buffer,
        block_table: Option<&Buffer>,
        positions: &Buffer,
        lengths: Option<&Buffer>,
        batch: usize,
        new_len: usize,
        n_heads: usize,
        n_kv_heads: usize,
        head_dim: usize,
        page_size: usize,
        pages_per_sequence: usize,
        n_pages: usize,
        q_token_stride: usize,
        q_head_stride: usize,
        scale: f64,
    ) -> TensorResult<()> {
        Self::attention_cached_forward(self, out, q, k_cache, v_cache, block_table, positions, lengths, batch, new_len, n_heads, n_kv_heads, head_dim, page_size, pages_per_sequence, n_pages, q_token_stride, q_head_stride, scale)
    }

    // ---------------- embedding

    fn embedding_forward(
        &self,
        y: &Buffer,
        ids: &Buffer,
        w: &Buffer,
        tokens: usize,
        vocab: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        Self::embedding_forward(self, y, ids, w, tokens, vocab, hidden)
    }

    fn embedding_backward(
        &self,
        dw: &Buffer,
        dy: &Buffer,
        ids: &Buffer,
        tokens: usize,
        vocab: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        Self::embedding_backward(self, dw, dy, ids, tokens, vocab, hidden)
    }

    // ---------------- mixture of experts

    fn moe_route_forward(
        &self,
        probs: &Buffer,
        experts: &Buffer,
        weights: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        Self::moe_route_forward(self, probs, experts, weights, logits, tokens, n_experts, top_k)
    }

    fn moe_route_backward(
        &self,
        dlogits: &Buffer,
        dweights: &Buffer,
        dprobs: Option<&Buffer>,
        dlogits_z: Option<&Buffer>,
        probs: &Buffer,
        experts: &Buffer,
        weights: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        Self::moe_route_backward(self, dlogits, dweights, dprobs, dlogits_z, probs, experts, weights, tokens, n_experts, top_k)
    }

    fn moe_dispatch_forward(
        &self,
        offsets: &Buffer,
        row_token: &Buffer,
        token_row: &Buffer,
        experts: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        Self::moe_dispatch_forward(self, offsets, row_token, token_row, experts, tokens, n_experts, top_k)
    }

    fn moe_dispatch_backward(
        &self,
        dx: &Buffer,
        drows: &Buffer,
        token_row: &Buffer,
        tokens: usize,
        top_k: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        Self::moe_dispatch_backward(self, dx, drows, token_row, tokens, top_k, hidden)
    }

    fn moe_combine_forward(
        &self,
        y: &Buffer,
        residual: Option<&Buffer>,
        rows: &Buffer,
        weights: &Buffer,
        token_row: &Buffer,
        tokens: usize,
        top_k: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        Self::moe_combine_forward(self, y, residual, rows, weights, token_row, tokens, top_k, hidden)
    }

    fn moe_combine_backward(
        &self,
        drows: &Buffer,
        dweights: &Buffer,
        dy: &Buffer,
        rows: &Buffer,
        weights: &Buffer,
        token_row: &Buffer,
        tokens: usize,
        top_k: usize,
        hidden: usize,
    ) -> TensorResult<()> {
        Self::moe_combine_backward(self, drows, dweights, dy, rows, weights, token_row, tokens, top_k, hidden)
    }

    fn moe_balance_loss_forward(
        &self,
        loss: &Buffer,
        fractions: &Buffer,
        probs: &Buffer,
        experts: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
    ) -> TensorResult<()> {
        Self::moe_balance_loss_forward(self, loss, fractions, probs, experts, tokens, n_experts, top_k)
    }

    fn moe_balance_loss_backward(
        &self,
        dprobs: &Buffer,
        fractions: &Buffer,
        tokens: usize,
        n_experts: usize,
        top_k: usize,
        coef: f64,
    ) -> TensorResult<()> {
        Self::moe_balance_loss_backward(self, dprobs, fractions, tokens, n_experts, top_k, coef)
    }

    fn moe_z_loss_forward(
        &self,
        loss: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
    ) -> TensorResult<()> {
        Self::moe_z_loss_forward(self, loss, logits, tokens, n_experts)
    }

    fn moe_z_loss_backward(
        &self,
        dlogits: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
        coef: f64,
    ) -> TensorResult<()> {
        Self::moe_z_loss_backward(self, dlogits, logits, tokens, n_experts, coef)
    }

    // ---------------- cross entropy

    fn cross_entropy_count(
        &self,
        count: &Buffer,
        targets: &Buffer,
        rows: usize,
        vocab: usize,
    ) -> TensorResult<()> {
        Self::cross_entropy_count(self, count, targets, rows, vocab)
    }

    fn cross_entropy_forward(
        &self,
        loss: &Buffer,
        losses: &Buffer,
        lse: &Buffer,
        logits: &Buffer,
        targets: &Buffer,
        rows: usize,
        vocab: usize,
        ld: usize,
    ) -> TensorResult<()> {
        Self::cross_entropy_forward(self, loss, losses, lse, logits, targets, rows, vocab, ld)
    }

    fn cross_entropy_backward(
        &self,
        dlogits: &Buffer,
        logits: &Buffer,
        lse: &Buffer,
        targets: &Buffer,
        count: &Buffer,
        rows: usize,
        vocab: usize,
        ld: usize,
    ) -> TensorResult<()> {
        Self::cross_entropy_backward(self, dlogits, logits, lse, targets, count, rows, vocab, ld)
    }

    // ---------------- optimizer

    fn sum_of_squares(&self, sum: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::sum_of_squares(self, sum, x, n)
    }

    fn clip_scale(
        &self,
        scale: &Buffer,
        norm: &Buffer,
        nonfinite: &Buffer,
        applied: &Buffer,
        sum: &Buffer,
        max_norm: f64,
    ) -> TensorResult<()> {
        Self::clip_scale(self, scale, norm, nonfinite, applied, sum, max_norm)
    }

    fn adamw_step(
        &self,
        param: &Buffer,
        master: Option<&Buffer>,
        m: &Buffer,
        v: &Buffer,
        grad: &Buffer,
        lr: &Buffer,
        scale: &Buffer,
        nonfinite: &Buffer,
        applied: &Buffer,
        seed: Option<&Buffer>,
        n: usize,
        start: usize,
        beta1: f64,
        beta2: f64,
        eps: f64,
        weight_decay: f64,
    ) -> TensorResult<()> {
        Self::adamw_step(self, param, master, m, v, grad, lr, scale, nonfinite, applied, seed, n, start, beta1, beta2, eps, weight_decay)
    }

    // ---------------- decode

    fn argmax(
        &self,
        ids: &Buffer,
        logits: &Buffer,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> TensorResult<()> {
        Self::argmax(self, ids, logits, rows, cols, ld)
    }

    fn sample(
        &self,
        ids: &Buffer,
        logits: &Buffer,
        temperature: &Buffer,
        top_k: &Buffer,
        top_p: &Buffer,
        samples: &Buffer,
        positions: &Buffer,
        seed: &Buffer,
        rows: usize,
        cols: usize,
        ld: usize,
    ) -> TensorResult<()> {
        Self::sample(self, ids, logits, temperature, top_k, top_p, samples, positions, seed, rows, cols, ld)
    }

    fn decode_advance(
        &self,
        positions: &Buffer,
        finished: &Buffer,
        ids: &Buffer,
        batch: usize,
        eos_id: i64,
    ) -> TensorResult<()> {
        Self::decode_advance(self, positions, finished, ids, batch, eos_id)
    }

    // ---------------- random: Philox4x32-10 (Salmon et al. 2011)

    fn random_init(
        &self,
        y: &Buffer,
        n: usize,
        start: usize,
        seed: i64,
        tensor: usize,
    ) -> TensorResult<()> {
        Self::random_init(self, y, n, start, seed, tensor)
    }

    fn random_uniform(
        &self,
        y: &Buffer,
        n: usize,
        start: usize,
        seed: i64,
        stream: i32,
        sub: usize,
    ) -> TensorResult<()> {
        Self::random_uniform(self, y, n, start, seed, stream, sub)
    }

    // ---------------- conversion and layout

    fn copy(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::copy(self, y, x, n)
    }

    fn cast(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::cast(self, y, x, n)
    }

    fn pack(
        &self,
        y: &Buffer,
        x: &Buffer,
        transpose: bool,
        rows: usize,
        cols: usize,
        ldy: usize,
        ldx: usize,
    ) -> TensorResult<()> {
        Self::pack(self, y, x, transpose, rows, cols, ldy, ldx)
    }

    fn quantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::quantize(self, y, x, n)
    }

    fn dequantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        Self::dequantize(self, y, x, n)
    }
}
