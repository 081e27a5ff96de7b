"""The operations of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nn.errors import NNError
from nn.tensor.buffer import Buffer


class NativeOps(ABC):
    """Each operation is one call into the library; nn.tensor.ops.Ops documents it."""

    _lib: Any
    _context: int

    @abstractmethod
    def _failure(self, status: int) -> NNError:
        """The error of the call that has just failed."""

    # ---------------- elementwise

    def add_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        status = self._lib.cunn_add_forward(self._context, y.handle, a.handle, b.handle, n)
        if status:
            raise self._failure(status)

    def mul_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        status = self._lib.cunn_mul_forward(self._context, y.handle, a.handle, b.handle, n)
        if status:
            raise self._failure(status)

    def mul_backward(self, da: Buffer, db: Buffer, dy: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        status = self._lib.cunn_mul_backward(self._context, da.handle, db.handle, dy.handle, a.handle, b.handle, n)
        if status:
            raise self._failure(status)

    def scale_forward(self, y: Buffer, x: Buffer, n: int, alpha: float) -> None:
        status = self._lib.cunn_scale_forward(self._context, y.handle, x.handle, n, alpha)
        if status:
            raise self._failure(status)

    def silu_forward(self, y: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_silu_forward(self._context, y.handle, x.handle, n)
        if status:
            raise self._failure(status)

    def silu_backward(self, dx: Buffer, dy: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_silu_backward(self._context, dx.handle, dy.handle, x.handle, n)
        if status:
            raise self._failure(status)

    def swiglu_forward(self, y: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        status = self._lib.cunn_swiglu_forward(self._context, y.handle, gate.handle, up.handle, n)
        if status:
            raise self._failure(status)

    def swiglu_backward(self, dgate: Buffer, dup: Buffer, dy: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        status = self._lib.cunn_swiglu_backward(
            self._context, dgate.handle, dup.handle, dy.handle, gate.handle, up.handle, n
        )
        if status:
            raise self._failure(status)

    def fill(self, y: Buffer, n: int, value: float) -> None:
        status = self._lib.cunn_fill(self._context, y.handle, n, value)
        if status:
            raise self._failure(status)

    # ---------------- softmax and top-k over the columns of a matrix

    def softmax_forward(self, y: Buffer, x: Buffer, rows: int, cols: int, ldy: int, ldx: int) -> None:
        status = self._lib.cunn_softmax_forward(self._context, y.handle, x.handle, rows, cols, ldy, ldx)
        if status:
            raise self._failure(status)

    def softmax_backward(self, dx: Buffer, dy: Buffer, y: Buffer, rows: int, cols: int, ld: int) -> None:
        status = self._lib.cunn_softmax_backward(self._context, dx.handle, dy.handle, y.handle, rows, cols, ld)
        if status:
            raise self._failure(status)

    def top_k_forward(self, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int) -> None:
        status = self._lib.cunn_top_k_forward(
            self._context, values.handle, indices.handle, x.handle, rows, cols, ldx, k
        )
        if status:
            raise self._failure(status)

    def top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        status = self._lib.cunn_top_k_backward(
            self._context, dx.handle, dvalues.handle, indices.handle, rows, cols, ldx, k
        )
        if status:
            raise self._failure(status)

    def softmax_top_k_forward(
        self, probs: Buffer, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        status = self._lib.cunn_softmax_top_k_forward(
            self._context, probs.handle, values.handle, indices.handle, x.handle, rows, cols, ldx, k
        )
        if status:
            raise self._failure(status)

    def softmax_top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, probs: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        status = self._lib.cunn_softmax_top_k_backward(
            self._context, dx.handle, dvalues.handle, indices.handle, probs.handle, rows, cols, ldx, k
        )
        if status:
            raise self._failure(status)

    # ---------------- rmsnorm (Zhang and Sennrich 2019)

    def rmsnorm_forward(self, y: Buffer, rstd: Buffer, x: Buffer, w: Buffer, rows: int, cols: int, eps: float) -> None:
        status = self._lib.cunn_rmsnorm_forward(
            self._context, y.handle, rstd.handle, x.handle, w.handle, rows, cols, eps
        )
        if status:
            raise self._failure(status)

    def rmsnorm_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, x: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        status = self._lib.cunn_rmsnorm_backward(
            self._context, dx.handle, dw.handle, dy.handle, x.handle, w.handle, rstd.handle, rows, cols
        )
        if status:
            raise self._failure(status)

    def rmsnorm_residual_forward(
        self,
        y: Buffer,
        h: Buffer,
        rstd: Buffer,
        x: Buffer,
        residual: Buffer,
        w: Buffer,
        rows: int,
        cols: int,
        eps: float,
    ) -> None:
        status = self._lib.cunn_rmsnorm_residual_forward(
            self._context, y.handle, h.handle, rstd.handle, x.handle, residual.handle, w.handle, rows, cols, eps
        )
        if status:
            raise self._failure(status)

    def rmsnorm_residual_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, dh: Buffer, h: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        status = self._lib.cunn_rmsnorm_residual_backward(
            self._context, dx.handle, dw.handle, dy.handle, dh.handle, h.handle, w.handle, rstd.handle, rows, cols
        )
        if status:
            raise self._failure(status)

    # ---------------- gemm

    def gemm(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        trans_a: bool,
        trans_b: bool,
        m: int,
        n: int,
        k: int,
        ldc: int,
        lda: int,
        ldb: int,
        alpha: float,
        beta: float,
    ) -> None:
        status = self._lib.cunn_gemm(
            self._context, c.handle, a.handle, b.handle, trans_a, trans_b, m, n, k, ldc, lda, ldb, alpha, beta
        )
        if status:
            raise self._failure(status)

    def gemm_batched(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        trans_a: bool,
        trans_b: bool,
        batch: int,
        m: int,
        n: int,
        k: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_c: int,
        stride_a: int,
        stride_b: int,
        alpha: float,
        beta: float,
    ) -> None:
        status = self._lib.cunn_gemm_batched(
            self._context,
            c.handle,
            a.handle,
            b.handle,
            trans_a,
            trans_b,
            batch,
            m,
            n,
            k,
            ldc,
            lda,
            ldb,
            stride_c,
            stride_a,
            stride_b,
            alpha,
            beta,
        )
        if status:
            raise self._failure(status)

    def gemm_grouped_rows(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        offsets: Buffer,
        a_rows: Buffer | None,
        trans_b: bool,
        groups: int,
        m: int,
        n: int,
        k: int,
        a_row_count: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_b: int,
        beta: float,
    ) -> None:
        status = self._lib.cunn_gemm_grouped_rows(
            self._context,
            c.handle,
            a.handle,
            b.handle,
            offsets.handle,
            0 if a_rows is None else a_rows.handle,
            trans_b,
            groups,
            m,
            n,
            k,
            a_row_count,
            ldc,
            lda,
            ldb,
            stride_b,
            beta,
        )
        if status:
            raise self._failure(status)

    def gemm_grouped_inner(
        self,
        c: Buffer,
        a: Buffer,
        b: Buffer,
        offsets: Buffer,
        b_rows: Buffer | None,
        groups: int,
        m: int,
        n: int,
        k: int,
        b_row_count: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_c: int,
        beta: float,
    ) -> None:
        status = self._lib.cunn_gemm_grouped_inner(
            self._context,
            c.handle,
            a.handle,
            b.handle,
            offsets.handle,
            0 if b_rows is None else b_rows.handle,
            groups,
            m,
            n,
            k,
            b_row_count,
            ldc,
            lda,
            ldb,
            stride_c,
            beta,
        )
        if status:
            raise self._failure(status)

    def gemm_grouped_swiglu_forward(
        self,
        y: Buffer,
        gate: Buffer | None,
        up: Buffer | None,
        a: Buffer,
        w_gate: Buffer,
        w_up: Buffer,
        offsets: Buffer,
        a_rows: Buffer | None,
        groups: int,
        m: int,
        n: int,
        k: int,
        a_row_count: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_b: int,
    ) -> None:
        status = self._lib.cunn_gemm_grouped_swiglu_forward(
            self._context,
            y.handle,
            0 if gate is None else gate.handle,
            0 if up is None else up.handle,
            a.handle,
            w_gate.handle,
            w_up.handle,
            offsets.handle,
            0 if a_rows is None else a_rows.handle,
            groups,
            m,
            n,
            k,
            a_row_count,
            ldc,
            lda,
            ldb,
            stride_b,
        )
        if status:
            raise self._failure(status)

    def gemm_grouped_swiglu_backward(
        self,
        dgate: Buffer,
        dup: Buffer,
        a: Buffer,
        w_down: Buffer,
        offsets: Buffer,
        gate: Buffer,
        up: Buffer,
        groups: int,
        m: int,
        n: int,
        k: int,
        ldc: int,
        lda: int,
        ldb: int,
        stride_b: int,
    ) -> None:
        status = self._lib.cunn_gemm_grouped_swiglu_backward(
            self._context,
            dgate.handle,
            dup.handle,
            a.handle,
            w_down.handle,
            offsets.handle,
            gate.handle,
            up.handle,
            groups,
            m,
            n,
            k,
            ldc,
            lda,
            ldb,
            stride_b,
        )
        if status:
            raise self._failure(status)

    # ---------------- rope (Su et al. 2021), half-split form

    def rope_frequencies(
        self, cos: Buffer, sin: Buffer, positions: int, head_dim: int, theta: float, ntk_alpha: float
    ) -> None:
        status = self._lib.cunn_rope_frequencies(
            self._context, cos.handle, sin.handle, positions, head_dim, theta, ntk_alpha
        )
        if status:
            raise self._failure(status)

    def rope_forward(
        self,
        q_out: Buffer,
        k_out: Buffer,
        q: Buffer,
        k: Buffer,
        cos: Buffer,
        sin: Buffer,
        positions: Buffer,
        tokens: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        table_positions: int,
        q_token_stride: int,
        q_head_stride: int,
        k_token_stride: int,
        k_head_stride: int,
    ) -> None:
        status = self._lib.cunn_rope_forward(
            self._context,
            q_out.handle,
            k_out.handle,
            q.handle,
            k.handle,
            cos.handle,
            sin.handle,
            positions.handle,
            tokens,
            n_heads,
            n_kv_heads,
            head_dim,
            table_positions,
            q_token_stride,
            q_head_stride,
            k_token_stride,
            k_head_stride,
        )
        if status:
            raise self._failure(status)

    def rope_backward(
        self,
        dq: Buffer,
        dk: Buffer,
        dq_out: Buffer,
        dk_out: Buffer,
        cos: Buffer,
        sin: Buffer,
        positions: Buffer,
        tokens: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        table_positions: int,
        q_token_stride: int,
        q_head_stride: int,
        k_token_stride: int,
        k_head_stride: int,
    ) -> None:
        status = self._lib.cunn_rope_backward(
            self._context,
            dq.handle,
            dk.handle,
            dq_out.handle,
            dk_out.handle,
            cos.handle,
            sin.handle,
            positions.handle,
            tokens,
            n_heads,
            n_kv_heads,
            head_dim,
            table_positions,
            q_token_stride,
            q_head_stride,
            k_token_stride,
            k_head_stride,
        )
        if status:
            raise self._failure(status)

    # ---------------- attention, causal, MQA and GQA

    def attention_scores_forward(
        self,
        scores: Buffer,
        q: Buffer,
        k: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        status = self._lib.cunn_attention_scores_forward(
            self._context,
            scores.handle,
            q.handle,
            k.handle,
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            q_token_stride,
            q_head_stride,
            kv_token_stride,
            kv_head_stride,
            scale,
        )
        if status:
            raise self._failure(status)

    def attention_scores_backward(
        self,
        dq: Buffer,
        dk: Buffer,
        dscores: Buffer,
        q: Buffer,
        k: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        status = self._lib.cunn_attention_scores_backward(
            self._context,
            dq.handle,
            dk.handle,
            dscores.handle,
            q.handle,
            k.handle,
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            q_token_stride,
            q_head_stride,
            kv_token_stride,
            kv_head_stride,
            scale,
        )
        if status:
            raise self._failure(status)

    def attention_output_forward(
        self,
        out: Buffer,
        probs: Buffer,
        v: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        kv_token_stride: int,
        kv_head_stride: int,
    ) -> None:
        status = self._lib.cunn_attention_output_forward(
            self._context,
            out.handle,
            probs.handle,
            v.handle,
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            kv_token_stride,
            kv_head_stride,
        )
        if status:
            raise self._failure(status)

    def attention_output_backward(
        self,
        dprobs: Buffer,
        dv: Buffer,
        dout: Buffer,
        probs: Buffer,
        v: Buffer,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        kv_token_stride: int,
        kv_head_stride: int,
    ) -> None:
        status = self._lib.cunn_attention_output_backward(
            self._context,
            dprobs.handle,
            dv.handle,
            dout.handle,
            probs.handle,
            v.handle,
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            kv_token_stride,
            kv_head_stride,
        )
        if status:
            raise self._failure(status)

    def attention_forward(
        self,
        out: Buffer,
        lse: Buffer,
        q: Buffer,
        k: Buffer,
        v: Buffer,
        lengths: Buffer | None,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        status = self._lib.cunn_attention_forward(
            self._context,
            out.handle,
            lse.handle,
            q.handle,
            k.handle,
            v.handle,
            0 if lengths is None else lengths.handle,
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            q_token_stride,
            q_head_stride,
            kv_token_stride,
            kv_head_stride,
            scale,
        )
        if status:
            raise self._failure(status)

    def attention_backward(
        self,
        dq: Buffer,
        dk: Buffer,
        dv: Buffer,
        dout: Buffer,
        q: Buffer,
        k: Buffer,
        v: Buffer,
        out: Buffer,
        lse: Buffer,
        lengths: Buffer | None,
        batch: int,
        seq_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        q_token_stride: int,
        q_head_stride: int,
        kv_token_stride: int,
        kv_head_stride: int,
        scale: float,
    ) -> None:
        status = self._lib.cunn_attention_backward(
            self._context,
            dq.handle,
            dk.handle,
            dv.handle,
            dout.handle,
            q.handle,
            k.handle,
            v.handle,
            out.handle,
            lse.handle,
            0 if lengths is None else lengths.handle,
            batch,
            seq_len,
            n_heads,
            n_kv_heads,
            head_dim,
            q_token_stride,
            q_head_stride,
            kv_token_stride,
            kv_head_stride,
            scale,
        )
        if status:
            raise self._failure(status)

    def cache_append(
        self,
        k_cache: Buffer,
        v_cache: Buffer,
        k: Buffer,
        v: Buffer,
        block_table: Buffer | None,
        positions: Buffer,
        lengths: Buffer | None,
        batch: int,
        new_len: int,
        n_kv_heads: int,
        head_dim: int,
        page_size: int,
        pages_per_sequence: int,
        n_pages: int,
        kv_token_stride: int,
        kv_head_stride: int,
    ) -> None:
        status = self._lib.cunn_cache_append(
            self._context,
            k_cache.handle,
            v_cache.handle,
            k.handle,
            v.handle,
            0 if block_table is None else block_table.handle,
            positions.handle,
            0 if lengths is None else lengths.handle,
            batch,
            new_len,
            n_kv_heads,
            head_dim,
            page_size,
            pages_per_sequence,
            n_pages,
            kv_token_stride,
            kv_head_stride,
        )
        if status:
            raise self._failure(status)

    def attention_cached_forward(
        self,
        out: Buffer,
        q: Buffer,
        k_cache: Buffer,
        v_cache: Buffer,
        block_table: Buffer | None,
        positions: Buffer,
        lengths: Buffer | None,
        batch: int,
        new_len: int,
        n_heads: int,
        n_kv_heads: int,
        head_dim: int,
        page_size: int,
        pages_per_sequence: int,
        n_pages: int,
        q_token_stride: int,
        q_head_stride: int,
        scale: float,
    ) -> None:
        status = self._lib.cunn_attention_cached_forward(
            self._context,
            out.handle,
            q.handle,
            k_cache.handle,
            v_cache.handle,
            0 if block_table is None else block_table.handle,
            positions.handle,
            0 if lengths is None else lengths.handle,
            batch,
            new_len,
            n_heads,
            n_kv_heads,
            head_dim,
            page_size,
            pages_per_sequence,
            n_pages,
            q_token_stride,
            q_head_stride,
            scale,
        )
        if status:
            raise self._failure(status)

    # ---------------- embedding

    def embedding_forward(self, y: Buffer, ids: Buffer, w: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        status = self._lib.cunn_embedding_forward(self._context, y.handle, ids.handle, w.handle, tokens, vocab, hidden)
        if status:
            raise self._failure(status)

    def embedding_backward(self, dw: Buffer, dy: Buffer, ids: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        status = self._lib.cunn_embedding_backward(
            self._context, dw.handle, dy.handle, ids.handle, tokens, vocab, hidden
        )
        if status:
            raise self._failure(status)

    # ---------------- mixture of experts

    def moe_route_forward(
        self, probs: Buffer, experts: Buffer, weights: Buffer, logits: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        status = self._lib.cunn_moe_route_forward(
            self._context, probs.handle, experts.handle, weights.handle, logits.handle, tokens, n_experts, top_k
        )
        if status:
            raise self._failure(status)

    def moe_route_backward(
        self,
        dlogits: Buffer,
        dweights: Buffer,
        dprobs: Buffer | None,
        dlogits_z: Buffer | None,
        probs: Buffer,
        experts: Buffer,
        weights: Buffer,
        tokens: int,
        n_experts: int,
        top_k: int,
    ) -> None:
        status = self._lib.cunn_moe_route_backward(
            self._context,
            dlogits.handle,
            dweights.handle,
            0 if dprobs is None else dprobs.handle,
            0 if dlogits_z is None else dlogits_z.handle,
            probs.handle,
            experts.handle,
            weights.handle,
            tokens,
            n_experts,
            top_k,
        )
        if status:
            raise self._failure(status)

    def moe_dispatch_forward(
        self,
        offsets: Buffer,
        row_token: Buffer,
        token_row: Buffer,
        experts: Buffer,
        tokens: int,
        n_experts: int,
        top_k: int,
    ) -> None:
        status = self._lib.cunn_moe_dispatch_forward(
            self._context, offsets.handle, row_token.handle, token_row.handle, experts.handle, tokens, n_experts, top_k
        )
        if status:
            raise self._failure(status)

    def moe_dispatch_backward(
        self, dx: Buffer, drows: Buffer, token_row: Buffer, tokens: int, top_k: int, hidden: int
    ) -> None:
        status = self._lib.cunn_moe_dispatch_backward(
            self._context, dx.handle, drows.handle, token_row.handle, tokens, top_k, hidden
        )
        if status:
            raise self._failure(status)

    def moe_combine_forward(
        self,
        y: Buffer,
        residual: Buffer | None,
        rows: Buffer,
        weights: Buffer,
        token_row: Buffer,
        tokens: int,
        top_k: int,
        hidden: int,
    ) -> None:
        status = self._lib.cunn_moe_combine_forward(
            self._context,
            y.handle,
            0 if residual is None else residual.handle,
            rows.handle,
            weights.handle,
            token_row.handle,
            tokens,
            top_k,
            hidden,
        )
        if status:
            raise self._failure(status)

    def moe_combine_backward(
        self,
        drows: Buffer,
        dweights: Buffer,
        dy: Buffer,
        rows: Buffer,
        weights: Buffer,
        token_row: Buffer,
        tokens: int,
        top_k: int,
        hidden: int,
    ) -> None:
        status = self._lib.cunn_moe_combine_backward(
            self._context,
            drows.handle,
            dweights.handle,
            dy.handle,
            rows.handle,
            weights.handle,
            token_row.handle,
            tokens,
            top_k,
            hidden,
        )
        if status:
            raise self._failure(status)

    def moe_balance_loss_forward(
        self, loss: Buffer, fractions: Buffer, probs: Buffer, experts: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        status = self._lib.cunn_moe_balance_loss_forward(
            self._context, loss.handle, fractions.handle, probs.handle, experts.handle, tokens, n_experts, top_k
        )
        if status:
            raise self._failure(status)

    def moe_balance_loss_backward(
        self, dprobs: Buffer, fractions: Buffer, tokens: int, n_experts: int, top_k: int, coef: float
    ) -> None:
        status = self._lib.cunn_moe_balance_loss_backward(
            self._context, dprobs.handle, fractions.handle, tokens, n_experts, top_k, coef
        )
        if status:
            raise self._failure(status)

    def moe_z_loss_forward(self, loss: Buffer, logits: Buffer, tokens: int, n_experts: int) -> None:
        status = self._lib.cunn_moe_z_loss_forward(self._context, loss.handle, logits.handle, tokens, n_experts)
        if status:
            raise self._failure(status)

    def moe_z_loss_backward(self, dlogits: Buffer, logits: Buffer, tokens: int, n_experts: int, coef: float) -> None:
        status = self._lib.cunn_moe_z_loss_backward(
            self._context, dlogits.handle, logits.handle, tokens, n_experts, coef
        )
        if status:
            raise self._failure(status)

    # ---------------- cross entropy

    def cross_entropy_count(self, count: Buffer, targets: Buffer, rows: int, vocab: int) -> None:
        status = self._lib.cunn_cross_entropy_count(self._context, count.handle, targets.handle, rows, vocab)
        if status:
            raise self._failure(status)

    def cross_entropy_forward(
        self, loss: Buffer, losses: Buffer, lse: Buffer, logits: Buffer, targets: Buffer, rows: int, vocab: int, ld: int
    ) -> None:
        status = self._lib.cunn_cross_entropy_forward(
            self._context, loss.handle, losses.handle, lse.handle, logits.handle, targets.handle, rows, vocab, ld
        )
        if status:
            raise self._failure(status)

    def cross_entropy_backward(
        self,
        dlogits: Buffer,
        logits: Buffer,
        lse: Buffer,
        targets: Buffer,
        count: Buffer,
        rows: int,
        vocab: int,
        ld: int,
    ) -> None:
        status = self._lib.cunn_cross_entropy_backward(
            self._context, dlogits.handle, logits.handle, lse.handle, targets.handle, count.handle, rows, vocab, ld
        )
        if status:
            raise self._failure(status)

    # ---------------- optimizer

    def sum_of_squares(self, sum: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_sum_of_squares(self._context, sum.handle, x.handle, n)
        if status:
            raise self._failure(status)

    def clip_scale(
        self, scale: Buffer, norm: Buffer, nonfinite: Buffer, applied: Buffer, sum: Buffer, max_norm: float
    ) -> None:
        status = self._lib.cunn_clip_scale(
            self._context, scale.handle, norm.handle, nonfinite.handle, applied.handle, sum.handle, max_norm
        )
        if status:
            raise self._failure(status)

    def adamw_step(
        self,
        param: Buffer,
        master: Buffer | None,
        m: Buffer,
        v: Buffer,
        grad: Buffer,
        lr: Buffer,
        scale: Buffer,
        nonfinite: Buffer,
        applied: Buffer,
        seed: Buffer | None,
        n: int,
        start: int,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        status = self._lib.cunn_adamw_step(
            self._context,
            param.handle,
            0 if master is None else master.handle,
            m.handle,
            v.handle,
            grad.handle,
            lr.handle,
            scale.handle,
            nonfinite.handle,
            applied.handle,
            0 if seed is None else seed.handle,
            n,
            start,
            beta1,
            beta2,
            eps,
            weight_decay,
        )
        if status:
            raise self._failure(status)

    # ---------------- decode

    def argmax(self, ids: Buffer, logits: Buffer, rows: int, cols: int, ld: int) -> None:
        status = self._lib.cunn_argmax(self._context, ids.handle, logits.handle, rows, cols, ld)
        if status:
            raise self._failure(status)

    def sample(
        self,
        ids: Buffer,
        logits: Buffer,
        temperature: Buffer,
        top_k: Buffer,
        top_p: Buffer,
        samples: Buffer,
        positions: Buffer,
        seed: Buffer,
        rows: int,
        cols: int,
        ld: int,
    ) -> None:
        status = self._lib.cunn_sample(
            self._context,
            ids.handle,
            logits.handle,
            temperature.handle,
            top_k.handle,
            top_p.handle,
            samples.handle,
            positions.handle,
            seed.handle,
            rows,
            cols,
            ld,
        )
        if status:
            raise self._failure(status)

    def decode_advance(self, positions: Buffer, finished: Buffer, ids: Buffer, batch: int, eos_id: int) -> None:
        status = self._lib.cunn_decode_advance(
            self._context, positions.handle, finished.handle, ids.handle, batch, eos_id
        )
        if status:
            raise self._failure(status)

    # ---------------- random: Philox4x32-10 (Salmon et al. 2011)

    def random_init(self, y: Buffer, n: int, start: int, seed: int, tensor: int) -> None:
        status = self._lib.cunn_random_init(self._context, y.handle, n, start, seed, tensor)
        if status:
            raise self._failure(status)

    def random_uniform(self, y: Buffer, n: int, start: int, seed: int, stream: int, sub: int) -> None:
        status = self._lib.cunn_random_uniform(self._context, y.handle, n, start, seed, stream, sub)
        if status:
            raise self._failure(status)

    # ---------------- conversion and layout

    def copy(self, y: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_copy(self._context, y.handle, x.handle, n)
        if status:
            raise self._failure(status)

    def cast(self, y: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_cast(self._context, y.handle, x.handle, n)
        if status:
            raise self._failure(status)

    def pack(self, y: Buffer, x: Buffer, transpose: bool, rows: int, cols: int, ldy: int, ldx: int) -> None:
        status = self._lib.cunn_pack(self._context, y.handle, x.handle, transpose, rows, cols, ldy, ldx)
        if status:
            raise self._failure(status)

    def quantize(self, y: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_quantize(self._context, y.handle, x.handle, n)
        if status:
            raise self._failure(status)

    def dequantize(self, y: Buffer, x: Buffer, n: int) -> None:
        status = self._lib.cunn_dequantize(self._context, y.handle, x.handle, n)
        if status:
            raise self._failure(status)
