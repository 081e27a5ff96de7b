//! The operations of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py.
//!
//! Every call is sound for any argument: the library looks handles up and checks sizes, so the only
//! condition of a call is a table that was loaded from a libcunn of this ABI.

use nn_core::tensor::{Buffer, Ops, TensorResult};

use crate::Context;

#[allow(clippy::too_many_arguments)]
impl Ops for Context {
    // ---------------- elementwise

    fn add_forward(&self, y: &Buffer, a: &Buffer, b: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_add_forward)(
                    context,
                    self.handle(y),
                    self.handle(a),
                    self.handle(b),
                    n as i64,
                )
            }
        })
    }

    fn mul_forward(&self, y: &Buffer, a: &Buffer, b: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_mul_forward)(
                    context,
                    self.handle(y),
                    self.handle(a),
                    self.handle(b),
                    n as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_mul_backward)(
                    context,
                    self.handle(da),
                    self.handle(db),
                    self.handle(dy),
                    self.handle(a),
                    self.handle(b),
                    n as i64,
                )
            }
        })
    }

    fn scale_forward(&self, y: &Buffer, x: &Buffer, n: usize, alpha: f64) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_scale_forward)(context, self.handle(y), self.handle(x), n as i64, alpha) }
        })
    }

    fn silu_forward(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_silu_forward)(context, self.handle(y), self.handle(x), n as i64) }
        })
    }

    fn silu_backward(&self, dx: &Buffer, dy: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_silu_backward)(
                    context,
                    self.handle(dx),
                    self.handle(dy),
                    self.handle(x),
                    n as i64,
                )
            }
        })
    }

    fn swiglu_forward(&self, y: &Buffer, gate: &Buffer, up: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_swiglu_forward)(
                    context,
                    self.handle(y),
                    self.handle(gate),
                    self.handle(up),
                    n as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_swiglu_backward)(
                    context,
                    self.handle(dgate),
                    self.handle(dup),
                    self.handle(dy),
                    self.handle(gate),
                    self.handle(up),
                    n as i64,
                )
            }
        })
    }

    fn fill(&self, y: &Buffer, n: usize, value: f64) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_fill)(context, self.handle(y), n as i64, value) }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_softmax_forward)(
                    context,
                    self.handle(y),
                    self.handle(x),
                    rows as i64,
                    cols as i64,
                    ldy as i64,
                    ldx as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_softmax_backward)(
                    context,
                    self.handle(dx),
                    self.handle(dy),
                    self.handle(y),
                    rows as i64,
                    cols as i64,
                    ld as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_top_k_forward)(
                    context,
                    self.handle(values),
                    self.handle(indices),
                    self.handle(x),
                    rows as i64,
                    cols as i64,
                    ldx as i64,
                    k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_top_k_backward)(
                    context,
                    self.handle(dx),
                    self.handle(dvalues),
                    self.handle(indices),
                    rows as i64,
                    cols as i64,
                    ldx as i64,
                    k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_softmax_top_k_forward)(
                    context,
                    self.handle(probs),
                    self.handle(values),
                    self.handle(indices),
                    self.handle(x),
                    rows as i64,
                    cols as i64,
                    ldx as i64,
                    k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_softmax_top_k_backward)(
                    context,
                    self.handle(dx),
                    self.handle(dvalues),
                    self.handle(indices),
                    self.handle(probs),
                    rows as i64,
                    cols as i64,
                    ldx as i64,
                    k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rmsnorm_forward)(
                    context,
                    self.handle(y),
                    self.handle(rstd),
                    self.handle(x),
                    self.handle(w),
                    rows as i64,
                    cols as i64,
                    eps,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rmsnorm_backward)(
                    context,
                    self.handle(dx),
                    self.handle(dw),
                    self.handle(dy),
                    self.handle(x),
                    self.handle(w),
                    self.handle(rstd),
                    rows as i64,
                    cols as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rmsnorm_residual_forward)(
                    context,
                    self.handle(y),
                    self.handle(h),
                    self.handle(rstd),
                    self.handle(x),
                    self.handle(residual),
                    self.handle(w),
                    rows as i64,
                    cols as i64,
                    eps,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rmsnorm_residual_backward)(
                    context,
                    self.handle(dx),
                    self.handle(dw),
                    self.handle(dy),
                    self.handle(dh),
                    self.handle(h),
                    self.handle(w),
                    self.handle(rstd),
                    rows as i64,
                    cols as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_gemm)(
                    context,
                    self.handle(c),
                    self.handle(a),
                    self.handle(b),
                    i32::from(trans_a),
                    i32::from(trans_b),
                    m as i64,
                    n as i64,
                    k as i64,
                    ldc as i64,
                    lda as i64,
                    ldb as i64,
                    alpha,
                    beta,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_gemm_batched)(
                    context,
                    self.handle(c),
                    self.handle(a),
                    self.handle(b),
                    i32::from(trans_a),
                    i32::from(trans_b),
                    batch as i64,
                    m as i64,
                    n as i64,
                    k as i64,
                    ldc as i64,
                    lda as i64,
                    ldb as i64,
                    stride_c as i64,
                    stride_a as i64,
                    stride_b as i64,
                    alpha,
                    beta,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_gemm_grouped_rows)(
                    context,
                    self.handle(c),
                    self.handle(a),
                    self.handle(b),
                    self.handle(offsets),
                    a_rows.map_or(0, |a_rows| self.handle(a_rows)),
                    i32::from(trans_b),
                    groups as i64,
                    m as i64,
                    n as i64,
                    k as i64,
                    a_row_count as i64,
                    ldc as i64,
                    lda as i64,
                    ldb as i64,
                    stride_b as i64,
                    beta,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_gemm_grouped_inner)(
                    context,
                    self.handle(c),
                    self.handle(a),
                    self.handle(b),
                    self.handle(offsets),
                    b_rows.map_or(0, |b_rows| self.handle(b_rows)),
                    groups as i64,
                    m as i64,
                    n as i64,
                    k as i64,
                    b_row_count as i64,
                    ldc as i64,
                    lda as i64,
                    ldb as i64,
                    stride_c as i64,
                    beta,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_gemm_grouped_swiglu_forward)(
                    context,
                    self.handle(y),
                    gate.map_or(0, |gate| self.handle(gate)),
                    up.map_or(0, |up| self.handle(up)),
                    self.handle(a),
                    self.handle(w_gate),
                    self.handle(w_up),
                    self.handle(offsets),
                    a_rows.map_or(0, |a_rows| self.handle(a_rows)),
                    groups as i64,
                    m as i64,
                    n as i64,
                    k as i64,
                    a_row_count as i64,
                    ldc as i64,
                    lda as i64,
                    ldb as i64,
                    stride_b as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_gemm_grouped_swiglu_backward)(
                    context,
                    self.handle(dgate),
                    self.handle(dup),
                    self.handle(a),
                    self.handle(w_down),
                    self.handle(offsets),
                    self.handle(gate),
                    self.handle(up),
                    groups as i64,
                    m as i64,
                    n as i64,
                    k as i64,
                    ldc as i64,
                    lda as i64,
                    ldb as i64,
                    stride_b as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rope_frequencies)(
                    context,
                    self.handle(cos),
                    self.handle(sin),
                    positions as i64,
                    head_dim as i64,
                    theta,
                    ntk_alpha,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rope_forward)(
                    context,
                    self.handle(q_out),
                    self.handle(k_out),
                    self.handle(q),
                    self.handle(k),
                    self.handle(cos),
                    self.handle(sin),
                    self.handle(positions),
                    tokens as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    table_positions as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    k_token_stride as i64,
                    k_head_stride as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_rope_backward)(
                    context,
                    self.handle(dq),
                    self.handle(dk),
                    self.handle(dq_out),
                    self.handle(dk_out),
                    self.handle(cos),
                    self.handle(sin),
                    self.handle(positions),
                    tokens as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    table_positions as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    k_token_stride as i64,
                    k_head_stride as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_scores_forward)(
                    context,
                    self.handle(scores),
                    self.handle(q),
                    self.handle(k),
                    batch as i64,
                    seq_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                    scale,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_scores_backward)(
                    context,
                    self.handle(dq),
                    self.handle(dk),
                    self.handle(dscores),
                    self.handle(q),
                    self.handle(k),
                    batch as i64,
                    seq_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                    scale,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_output_forward)(
                    context,
                    self.handle(out),
                    self.handle(probs),
                    self.handle(v),
                    batch as i64,
                    seq_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_output_backward)(
                    context,
                    self.handle(dprobs),
                    self.handle(dv),
                    self.handle(dout),
                    self.handle(probs),
                    self.handle(v),
                    batch as i64,
                    seq_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_forward)(
                    context,
                    self.handle(out),
                    self.handle(lse),
                    self.handle(q),
                    self.handle(k),
                    self.handle(v),
                    lengths.map_or(0, |lengths| self.handle(lengths)),
                    batch as i64,
                    seq_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                    scale,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_backward)(
                    context,
                    self.handle(dq),
                    self.handle(dk),
                    self.handle(dv),
                    self.handle(dout),
                    self.handle(q),
                    self.handle(k),
                    self.handle(v),
                    self.handle(out),
                    self.handle(lse),
                    lengths.map_or(0, |lengths| self.handle(lengths)),
                    batch as i64,
                    seq_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                    scale,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_cache_append)(
                    context,
                    self.handle(k_cache),
                    self.handle(v_cache),
                    self.handle(k),
                    self.handle(v),
                    block_table.map_or(0, |block_table| self.handle(block_table)),
                    self.handle(positions),
                    lengths.map_or(0, |lengths| self.handle(lengths)),
                    batch as i64,
                    new_len as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    page_size as i64,
                    pages_per_sequence as i64,
                    n_pages as i64,
                    kv_token_stride as i64,
                    kv_head_stride as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_attention_cached_forward)(
                    context,
                    self.handle(out),
                    self.handle(q),
                    self.handle(k_cache),
                    self.handle(v_cache),
                    block_table.map_or(0, |block_table| self.handle(block_table)),
                    self.handle(positions),
                    lengths.map_or(0, |lengths| self.handle(lengths)),
                    batch as i64,
                    new_len as i64,
                    n_heads as i64,
                    n_kv_heads as i64,
                    head_dim as i64,
                    page_size as i64,
                    pages_per_sequence as i64,
                    n_pages as i64,
                    q_token_stride as i64,
                    q_head_stride as i64,
                    scale,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_embedding_forward)(
                    context,
                    self.handle(y),
                    self.handle(ids),
                    self.handle(w),
                    tokens as i64,
                    vocab as i64,
                    hidden as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_embedding_backward)(
                    context,
                    self.handle(dw),
                    self.handle(dy),
                    self.handle(ids),
                    tokens as i64,
                    vocab as i64,
                    hidden as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_route_forward)(
                    context,
                    self.handle(probs),
                    self.handle(experts),
                    self.handle(weights),
                    self.handle(logits),
                    tokens as i64,
                    n_experts as i64,
                    top_k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_route_backward)(
                    context,
                    self.handle(dlogits),
                    self.handle(dweights),
                    dprobs.map_or(0, |dprobs| self.handle(dprobs)),
                    dlogits_z.map_or(0, |dlogits_z| self.handle(dlogits_z)),
                    self.handle(probs),
                    self.handle(experts),
                    self.handle(weights),
                    tokens as i64,
                    n_experts as i64,
                    top_k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_dispatch_forward)(
                    context,
                    self.handle(offsets),
                    self.handle(row_token),
                    self.handle(token_row),
                    self.handle(experts),
                    tokens as i64,
                    n_experts as i64,
                    top_k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_dispatch_backward)(
                    context,
                    self.handle(dx),
                    self.handle(drows),
                    self.handle(token_row),
                    tokens as i64,
                    top_k as i64,
                    hidden as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_combine_forward)(
                    context,
                    self.handle(y),
                    residual.map_or(0, |residual| self.handle(residual)),
                    self.handle(rows),
                    self.handle(weights),
                    self.handle(token_row),
                    tokens as i64,
                    top_k as i64,
                    hidden as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_combine_backward)(
                    context,
                    self.handle(drows),
                    self.handle(dweights),
                    self.handle(dy),
                    self.handle(rows),
                    self.handle(weights),
                    self.handle(token_row),
                    tokens as i64,
                    top_k as i64,
                    hidden as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_balance_loss_forward)(
                    context,
                    self.handle(loss),
                    self.handle(fractions),
                    self.handle(probs),
                    self.handle(experts),
                    tokens as i64,
                    n_experts as i64,
                    top_k as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_balance_loss_backward)(
                    context,
                    self.handle(dprobs),
                    self.handle(fractions),
                    tokens as i64,
                    n_experts as i64,
                    top_k as i64,
                    coef,
                )
            }
        })
    }

    fn moe_z_loss_forward(
        &self,
        loss: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
    ) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_z_loss_forward)(
                    context,
                    self.handle(loss),
                    self.handle(logits),
                    tokens as i64,
                    n_experts as i64,
                )
            }
        })
    }

    fn moe_z_loss_backward(
        &self,
        dlogits: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
        coef: f64,
    ) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_moe_z_loss_backward)(
                    context,
                    self.handle(dlogits),
                    self.handle(logits),
                    tokens as i64,
                    n_experts as i64,
                    coef,
                )
            }
        })
    }

    // ---------------- cross entropy

    fn cross_entropy_count(
        &self,
        count: &Buffer,
        targets: &Buffer,
        rows: usize,
        vocab: usize,
    ) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_cross_entropy_count)(
                    context,
                    self.handle(count),
                    self.handle(targets),
                    rows as i64,
                    vocab as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_cross_entropy_forward)(
                    context,
                    self.handle(loss),
                    self.handle(losses),
                    self.handle(lse),
                    self.handle(logits),
                    self.handle(targets),
                    rows as i64,
                    vocab as i64,
                    ld as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_cross_entropy_backward)(
                    context,
                    self.handle(dlogits),
                    self.handle(logits),
                    self.handle(lse),
                    self.handle(targets),
                    self.handle(count),
                    rows as i64,
                    vocab as i64,
                    ld as i64,
                )
            }
        })
    }

    // ---------------- optimizer

    fn sum_of_squares(&self, sum: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_sum_of_squares)(context, self.handle(sum), self.handle(x), n as i64) }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_clip_scale)(
                    context,
                    self.handle(scale),
                    self.handle(norm),
                    self.handle(nonfinite),
                    self.handle(applied),
                    self.handle(sum),
                    max_norm,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_adamw_step)(
                    context,
                    self.handle(param),
                    master.map_or(0, |master| self.handle(master)),
                    self.handle(m),
                    self.handle(v),
                    self.handle(grad),
                    self.handle(lr),
                    self.handle(scale),
                    self.handle(nonfinite),
                    self.handle(applied),
                    seed.map_or(0, |seed| self.handle(seed)),
                    n as i64,
                    start as i64,
                    beta1,
                    beta2,
                    eps,
                    weight_decay,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_argmax)(
                    context,
                    self.handle(ids),
                    self.handle(logits),
                    rows as i64,
                    cols as i64,
                    ld as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_sample)(
                    context,
                    self.handle(ids),
                    self.handle(logits),
                    self.handle(temperature),
                    self.handle(top_k),
                    self.handle(top_p),
                    self.handle(samples),
                    self.handle(positions),
                    self.handle(seed),
                    rows as i64,
                    cols as i64,
                    ld as i64,
                )
            }
        })
    }

    fn decode_advance(
        &self,
        positions: &Buffer,
        finished: &Buffer,
        ids: &Buffer,
        batch: usize,
        eos_id: i64,
    ) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_decode_advance)(
                    context,
                    self.handle(positions),
                    self.handle(finished),
                    self.handle(ids),
                    batch as i64,
                    eos_id,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_random_init)(
                    context,
                    self.handle(y),
                    n as i64,
                    start as i64,
                    seed,
                    tensor as i64,
                )
            }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_random_uniform)(
                    context,
                    self.handle(y),
                    n as i64,
                    start as i64,
                    seed,
                    stream,
                    sub as i64,
                )
            }
        })
    }

    // ---------------- conversion and layout

    fn copy(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_copy)(context, self.handle(y), self.handle(x), n as i64) }
        })
    }

    fn cast(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_cast)(context, self.handle(y), self.handle(x), n as i64) }
        })
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
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe {
                (table.cunn_pack)(
                    context,
                    self.handle(y),
                    self.handle(x),
                    i32::from(transpose),
                    rows as i64,
                    cols as i64,
                    ldy as i64,
                    ldx as i64,
                )
            }
        })
    }

    fn quantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_quantize)(context, self.handle(y), self.handle(x), n as i64) }
        })
    }

    fn dequantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        self.call(|table, context| {
            // SAFETY: the table is of this ABI; the library checks its arguments.
            unsafe { (table.cunn_dequantize)(context, self.handle(y), self.handle(x), n as i64) }
        })
    }
}
