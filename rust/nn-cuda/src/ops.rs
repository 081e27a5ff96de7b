//! The operations of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py.
//!
//! Every call is sound for any argument: the library looks handles up and checks sizes, so the only
//! condition of a call is a table that was loaded from a libcunn of this ABI.

use nn_core::tensor::{Ops, TensorResult};

use crate::{Buffer, Context};

#[allow(clippy::too_many_arguments)]
impl Ops for Context {
    type Buffer = Buffer;

    // ---------------- elementwise

    fn add_forward(&self, y: &Buffer, a: &Buffer, b: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_add_forward)(self.raw(), y.raw(), a.raw(), b.raw(), n as i64)
        };
        self.check(status)
    }

    fn mul_forward(&self, y: &Buffer, a: &Buffer, b: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_mul_forward)(self.raw(), y.raw(), a.raw(), b.raw(), n as i64)
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_mul_backward)(
                self.raw(),
                da.raw(),
                db.raw(),
                dy.raw(),
                a.raw(),
                b.raw(),
                n as i64,
            )
        };
        self.check(status)
    }

    fn scale_forward(&self, y: &Buffer, x: &Buffer, n: usize, alpha: f64) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_scale_forward)(self.raw(), y.raw(), x.raw(), n as i64, alpha)
        };
        self.check(status)
    }

    fn silu_forward(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status =
            unsafe { (self.table().cunn_silu_forward)(self.raw(), y.raw(), x.raw(), n as i64) };
        self.check(status)
    }

    fn silu_backward(&self, dx: &Buffer, dy: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_silu_backward)(self.raw(), dx.raw(), dy.raw(), x.raw(), n as i64)
        };
        self.check(status)
    }

    fn swiglu_forward(&self, y: &Buffer, gate: &Buffer, up: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_swiglu_forward)(self.raw(), y.raw(), gate.raw(), up.raw(), n as i64)
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_swiglu_backward)(
                self.raw(),
                dgate.raw(),
                dup.raw(),
                dy.raw(),
                gate.raw(),
                up.raw(),
                n as i64,
            )
        };
        self.check(status)
    }

    fn fill(&self, y: &Buffer, n: usize, value: f64) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe { (self.table().cunn_fill)(self.raw(), y.raw(), n as i64, value) };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_softmax_forward)(
                self.raw(),
                y.raw(),
                x.raw(),
                rows as i64,
                cols as i64,
                ldy as i64,
                ldx as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_softmax_backward)(
                self.raw(),
                dx.raw(),
                dy.raw(),
                y.raw(),
                rows as i64,
                cols as i64,
                ld as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_top_k_forward)(
                self.raw(),
                values.raw(),
                indices.raw(),
                x.raw(),
                rows as i64,
                cols as i64,
                ldx as i64,
                k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_top_k_backward)(
                self.raw(),
                dx.raw(),
                dvalues.raw(),
                indices.raw(),
                rows as i64,
                cols as i64,
                ldx as i64,
                k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_softmax_top_k_forward)(
                self.raw(),
                probs.raw(),
                values.raw(),
                indices.raw(),
                x.raw(),
                rows as i64,
                cols as i64,
                ldx as i64,
                k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_softmax_top_k_backward)(
                self.raw(),
                dx.raw(),
                dvalues.raw(),
                indices.raw(),
                probs.raw(),
                rows as i64,
                cols as i64,
                ldx as i64,
                k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rmsnorm_forward)(
                self.raw(),
                y.raw(),
                rstd.raw(),
                x.raw(),
                w.raw(),
                rows as i64,
                cols as i64,
                eps,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rmsnorm_backward)(
                self.raw(),
                dx.raw(),
                dw.raw(),
                dy.raw(),
                x.raw(),
                w.raw(),
                rstd.raw(),
                rows as i64,
                cols as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rmsnorm_residual_forward)(
                self.raw(),
                y.raw(),
                h.raw(),
                rstd.raw(),
                x.raw(),
                residual.raw(),
                w.raw(),
                rows as i64,
                cols as i64,
                eps,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rmsnorm_residual_backward)(
                self.raw(),
                dx.raw(),
                dw.raw(),
                dy.raw(),
                dh.raw(),
                h.raw(),
                w.raw(),
                rstd.raw(),
                rows as i64,
                cols as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_gemm)(
                self.raw(),
                c.raw(),
                a.raw(),
                b.raw(),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_gemm_batched)(
                self.raw(),
                c.raw(),
                a.raw(),
                b.raw(),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_gemm_grouped_rows)(
                self.raw(),
                c.raw(),
                a.raw(),
                b.raw(),
                offsets.raw(),
                a_rows.map_or(0, Buffer::raw),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_gemm_grouped_inner)(
                self.raw(),
                c.raw(),
                a.raw(),
                b.raw(),
                offsets.raw(),
                b_rows.map_or(0, Buffer::raw),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rope_frequencies)(
                self.raw(),
                cos.raw(),
                sin.raw(),
                positions as i64,
                head_dim as i64,
                theta,
                ntk_alpha,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rope_forward)(
                self.raw(),
                q_out.raw(),
                k_out.raw(),
                q.raw(),
                k.raw(),
                cos.raw(),
                sin.raw(),
                positions.raw(),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_rope_backward)(
                self.raw(),
                dq.raw(),
                dk.raw(),
                dq_out.raw(),
                dk_out.raw(),
                cos.raw(),
                sin.raw(),
                positions.raw(),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_scores_forward)(
                self.raw(),
                scores.raw(),
                q.raw(),
                k.raw(),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_scores_backward)(
                self.raw(),
                dq.raw(),
                dk.raw(),
                dscores.raw(),
                q.raw(),
                k.raw(),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_output_forward)(
                self.raw(),
                out.raw(),
                probs.raw(),
                v.raw(),
                batch as i64,
                seq_len as i64,
                n_heads as i64,
                n_kv_heads as i64,
                head_dim as i64,
                kv_token_stride as i64,
                kv_head_stride as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_output_backward)(
                self.raw(),
                dprobs.raw(),
                dv.raw(),
                dout.raw(),
                probs.raw(),
                v.raw(),
                batch as i64,
                seq_len as i64,
                n_heads as i64,
                n_kv_heads as i64,
                head_dim as i64,
                kv_token_stride as i64,
                kv_head_stride as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_forward)(
                self.raw(),
                out.raw(),
                lse.raw(),
                q.raw(),
                k.raw(),
                v.raw(),
                lengths.map_or(0, Buffer::raw),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_backward)(
                self.raw(),
                dq.raw(),
                dk.raw(),
                dv.raw(),
                dout.raw(),
                q.raw(),
                k.raw(),
                v.raw(),
                out.raw(),
                lse.raw(),
                lengths.map_or(0, Buffer::raw),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_cache_append)(
                self.raw(),
                k_cache.raw(),
                v_cache.raw(),
                k.raw(),
                v.raw(),
                block_table.map_or(0, Buffer::raw),
                positions.raw(),
                lengths.map_or(0, Buffer::raw),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_attention_cached_forward)(
                self.raw(),
                out.raw(),
                q.raw(),
                k_cache.raw(),
                v_cache.raw(),
                block_table.map_or(0, Buffer::raw),
                positions.raw(),
                lengths.map_or(0, Buffer::raw),
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
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_embedding_forward)(
                self.raw(),
                y.raw(),
                ids.raw(),
                w.raw(),
                tokens as i64,
                vocab as i64,
                hidden as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_embedding_backward)(
                self.raw(),
                dw.raw(),
                dy.raw(),
                ids.raw(),
                tokens as i64,
                vocab as i64,
                hidden as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_route_forward)(
                self.raw(),
                probs.raw(),
                experts.raw(),
                weights.raw(),
                logits.raw(),
                tokens as i64,
                n_experts as i64,
                top_k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_route_backward)(
                self.raw(),
                dlogits.raw(),
                dweights.raw(),
                dprobs.map_or(0, Buffer::raw),
                dlogits_z.map_or(0, Buffer::raw),
                probs.raw(),
                experts.raw(),
                weights.raw(),
                tokens as i64,
                n_experts as i64,
                top_k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_dispatch_forward)(
                self.raw(),
                offsets.raw(),
                row_token.raw(),
                token_row.raw(),
                experts.raw(),
                tokens as i64,
                n_experts as i64,
                top_k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_dispatch_backward)(
                self.raw(),
                dx.raw(),
                drows.raw(),
                token_row.raw(),
                tokens as i64,
                top_k as i64,
                hidden as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_combine_forward)(
                self.raw(),
                y.raw(),
                residual.map_or(0, Buffer::raw),
                rows.raw(),
                weights.raw(),
                token_row.raw(),
                tokens as i64,
                top_k as i64,
                hidden as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_combine_backward)(
                self.raw(),
                drows.raw(),
                dweights.raw(),
                dy.raw(),
                rows.raw(),
                weights.raw(),
                token_row.raw(),
                tokens as i64,
                top_k as i64,
                hidden as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_balance_loss_forward)(
                self.raw(),
                loss.raw(),
                fractions.raw(),
                probs.raw(),
                experts.raw(),
                tokens as i64,
                n_experts as i64,
                top_k as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_balance_loss_backward)(
                self.raw(),
                dprobs.raw(),
                fractions.raw(),
                tokens as i64,
                n_experts as i64,
                top_k as i64,
                coef,
            )
        };
        self.check(status)
    }

    fn moe_z_loss_forward(
        &self,
        loss: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
    ) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_z_loss_forward)(
                self.raw(),
                loss.raw(),
                logits.raw(),
                tokens as i64,
                n_experts as i64,
            )
        };
        self.check(status)
    }

    fn moe_z_loss_backward(
        &self,
        dlogits: &Buffer,
        logits: &Buffer,
        tokens: usize,
        n_experts: usize,
        coef: f64,
    ) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_moe_z_loss_backward)(
                self.raw(),
                dlogits.raw(),
                logits.raw(),
                tokens as i64,
                n_experts as i64,
                coef,
            )
        };
        self.check(status)
    }

    // ---------------- cross entropy

    fn cross_entropy_count(
        &self,
        count: &Buffer,
        targets: &Buffer,
        rows: usize,
        vocab: usize,
    ) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_cross_entropy_count)(
                self.raw(),
                count.raw(),
                targets.raw(),
                rows as i64,
                vocab as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_cross_entropy_forward)(
                self.raw(),
                loss.raw(),
                losses.raw(),
                lse.raw(),
                logits.raw(),
                targets.raw(),
                rows as i64,
                vocab as i64,
                ld as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_cross_entropy_backward)(
                self.raw(),
                dlogits.raw(),
                logits.raw(),
                lse.raw(),
                targets.raw(),
                count.raw(),
                rows as i64,
                vocab as i64,
                ld as i64,
            )
        };
        self.check(status)
    }

    // ---------------- optimizer

    fn sum_of_squares(&self, sum: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status =
            unsafe { (self.table().cunn_sum_of_squares)(self.raw(), sum.raw(), x.raw(), n as i64) };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_clip_scale)(
                self.raw(),
                scale.raw(),
                norm.raw(),
                nonfinite.raw(),
                applied.raw(),
                sum.raw(),
                max_norm,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_adamw_step)(
                self.raw(),
                param.raw(),
                master.map_or(0, Buffer::raw),
                m.raw(),
                v.raw(),
                grad.raw(),
                lr.raw(),
                scale.raw(),
                nonfinite.raw(),
                applied.raw(),
                seed.map_or(0, Buffer::raw),
                n as i64,
                start as i64,
                beta1,
                beta2,
                eps,
                weight_decay,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_argmax)(
                self.raw(),
                ids.raw(),
                logits.raw(),
                rows as i64,
                cols as i64,
                ld as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_sample)(
                self.raw(),
                ids.raw(),
                logits.raw(),
                temperature.raw(),
                top_k.raw(),
                top_p.raw(),
                samples.raw(),
                positions.raw(),
                seed.raw(),
                rows as i64,
                cols as i64,
                ld as i64,
            )
        };
        self.check(status)
    }

    fn decode_advance(
        &self,
        positions: &Buffer,
        finished: &Buffer,
        ids: &Buffer,
        batch: usize,
        eos_id: i64,
    ) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_decode_advance)(
                self.raw(),
                positions.raw(),
                finished.raw(),
                ids.raw(),
                batch as i64,
                eos_id,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_random_init)(
                self.raw(),
                y.raw(),
                n as i64,
                start as i64,
                seed,
                tensor as i64,
            )
        };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_random_uniform)(
                self.raw(),
                y.raw(),
                n as i64,
                start as i64,
                seed,
                stream,
                sub as i64,
            )
        };
        self.check(status)
    }

    // ---------------- conversion and layout

    fn copy(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe { (self.table().cunn_copy)(self.raw(), y.raw(), x.raw(), n as i64) };
        self.check(status)
    }

    fn cast(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe { (self.table().cunn_cast)(self.raw(), y.raw(), x.raw(), n as i64) };
        self.check(status)
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
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status = unsafe {
            (self.table().cunn_pack)(
                self.raw(),
                y.raw(),
                x.raw(),
                i32::from(transpose),
                rows as i64,
                cols as i64,
                ldy as i64,
                ldx as i64,
            )
        };
        self.check(status)
    }

    fn quantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status =
            unsafe { (self.table().cunn_quantize)(self.raw(), y.raw(), x.raw(), n as i64) };
        self.check(status)
    }

    fn dequantize(&self, y: &Buffer, x: &Buffer, n: usize) -> TensorResult<()> {
        // SAFETY: the table is of this ABI; the library checks its arguments.
        let status =
            unsafe { (self.table().cunn_dequantize)(self.raw(), y.raw(), x.raw(), n as i64) };
        self.check(status)
    }
}
