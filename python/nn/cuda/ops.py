"""The operations of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from nn.errors import NNError
from nn.tensor.buffer import Buffer

NOT_OWN = -1
"""What stands for a buffer of another library, whose handles coincide with this one's: no buffer has it."""


class NativeOps(ABC):
    """Each operation is one call into the library; nn.tensor.ops.Ops documents it."""

    _lib: Any
    _context: int

    @abstractmethod
    def _failure(self, status: int) -> NNError:
        """The error of the call that has just failed."""

    # ---------------- elementwise

    def add_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_add_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
            n,
        )
        if status:
            raise self._failure(status)

    def mul_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_mul_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
            n,
        )
        if status:
            raise self._failure(status)

    def mul_backward(self, da: Buffer, db: Buffer, dy: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_mul_backward(
            self._context,
            da.handle if da.lib is lib else NOT_OWN,
            db.handle if db.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
            n,
        )
        if status:
            raise self._failure(status)

    def scale_forward(self, y: Buffer, x: Buffer, n: int, alpha: float) -> None:
        lib = self._lib
        status = lib.cunn_scale_forward(
            self._context, y.handle if y.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n, alpha
        )
        if status:
            raise self._failure(status)

    def silu_forward(self, y: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_silu_forward(
            self._context, y.handle if y.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n
        )
        if status:
            raise self._failure(status)

    def silu_backward(self, dx: Buffer, dy: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_silu_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            n,
        )
        if status:
            raise self._failure(status)

    def swiglu_forward(self, y: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_swiglu_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            gate.handle if gate.lib is lib else NOT_OWN,
            up.handle if up.lib is lib else NOT_OWN,
            n,
        )
        if status:
            raise self._failure(status)

    def swiglu_backward(self, dgate: Buffer, dup: Buffer, dy: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_swiglu_backward(
            self._context,
            dgate.handle if dgate.lib is lib else NOT_OWN,
            dup.handle if dup.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            gate.handle if gate.lib is lib else NOT_OWN,
            up.handle if up.lib is lib else NOT_OWN,
            n,
        )
        if status:
            raise self._failure(status)

    def fill(self, y: Buffer, n: int, value: float) -> None:
        lib = self._lib
        status = lib.cunn_fill(self._context, y.handle if y.lib is lib else NOT_OWN, n, value)
        if status:
            raise self._failure(status)

    # ---------------- softmax and top-k over the columns of a matrix

    def softmax_forward(self, y: Buffer, x: Buffer, rows: int, cols: int, ldy: int, ldx: int) -> None:
        lib = self._lib
        status = lib.cunn_softmax_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            rows,
            cols,
            ldy,
            ldx,
        )
        if status:
            raise self._failure(status)

    def softmax_backward(self, dx: Buffer, dy: Buffer, y: Buffer, rows: int, cols: int, ld: int) -> None:
        lib = self._lib
        status = lib.cunn_softmax_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            y.handle if y.lib is lib else NOT_OWN,
            rows,
            cols,
            ld,
        )
        if status:
            raise self._failure(status)

    def top_k_forward(self, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int) -> None:
        lib = self._lib
        status = lib.cunn_top_k_forward(
            self._context,
            values.handle if values.lib is lib else NOT_OWN,
            indices.handle if indices.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            rows,
            cols,
            ldx,
            k,
        )
        if status:
            raise self._failure(status)

    def top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_top_k_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            dvalues.handle if dvalues.lib is lib else NOT_OWN,
            indices.handle if indices.lib is lib else NOT_OWN,
            rows,
            cols,
            ldx,
            k,
        )
        if status:
            raise self._failure(status)

    def softmax_top_k_forward(
        self, probs: Buffer, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_softmax_top_k_forward(
            self._context,
            probs.handle if probs.lib is lib else NOT_OWN,
            values.handle if values.lib is lib else NOT_OWN,
            indices.handle if indices.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            rows,
            cols,
            ldx,
            k,
        )
        if status:
            raise self._failure(status)

    def softmax_top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, probs: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_softmax_top_k_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            dvalues.handle if dvalues.lib is lib else NOT_OWN,
            indices.handle if indices.lib is lib else NOT_OWN,
            probs.handle if probs.lib is lib else NOT_OWN,
            rows,
            cols,
            ldx,
            k,
        )
        if status:
            raise self._failure(status)

    # ---------------- rmsnorm (Zhang and Sennrich 2019)

    def rmsnorm_forward(self, y: Buffer, rstd: Buffer, x: Buffer, w: Buffer, rows: int, cols: int, eps: float) -> None:
        lib = self._lib
        status = lib.cunn_rmsnorm_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            rstd.handle if rstd.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            w.handle if w.lib is lib else NOT_OWN,
            rows,
            cols,
            eps,
        )
        if status:
            raise self._failure(status)

    def rmsnorm_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, x: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_rmsnorm_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            dw.handle if dw.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            w.handle if w.lib is lib else NOT_OWN,
            rstd.handle if rstd.lib is lib else NOT_OWN,
            rows,
            cols,
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
        lib = self._lib
        status = lib.cunn_rmsnorm_residual_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            h.handle if h.lib is lib else NOT_OWN,
            rstd.handle if rstd.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            residual.handle if residual.lib is lib else NOT_OWN,
            w.handle if w.lib is lib else NOT_OWN,
            rows,
            cols,
            eps,
        )
        if status:
            raise self._failure(status)

    def rmsnorm_residual_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, dh: Buffer, h: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_rmsnorm_residual_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            dw.handle if dw.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            dh.handle if dh.lib is lib else NOT_OWN,
            h.handle if h.lib is lib else NOT_OWN,
            w.handle if w.lib is lib else NOT_OWN,
            rstd.handle if rstd.lib is lib else NOT_OWN,
            rows,
            cols,
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
        lib = self._lib
        status = lib.cunn_gemm(
            self._context,
            c.handle if c.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
            trans_a,
            trans_b,
            m,
            n,
            k,
            ldc,
            lda,
            ldb,
            alpha,
            beta,
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
        lib = self._lib
        status = lib.cunn_gemm_batched(
            self._context,
            c.handle if c.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_gemm_grouped_rows(
            self._context,
            c.handle if c.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
            offsets.handle if offsets.lib is lib else NOT_OWN,
            0 if a_rows is None else a_rows.handle if a_rows.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_gemm_grouped_inner(
            self._context,
            c.handle if c.lib is lib else NOT_OWN,
            a.handle if a.lib is lib else NOT_OWN,
            b.handle if b.lib is lib else NOT_OWN,
            offsets.handle if offsets.lib is lib else NOT_OWN,
            0 if b_rows is None else b_rows.handle if b_rows.lib is lib else NOT_OWN,
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

    # ---------------- rope (Su et al. 2021), half-split form

    def rope_frequencies(
        self, cos: Buffer, sin: Buffer, positions: int, head_dim: int, theta: float, ntk_alpha: float
    ) -> None:
        lib = self._lib
        status = lib.cunn_rope_frequencies(
            self._context,
            cos.handle if cos.lib is lib else NOT_OWN,
            sin.handle if sin.lib is lib else NOT_OWN,
            positions,
            head_dim,
            theta,
            ntk_alpha,
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
        lib = self._lib
        status = lib.cunn_rope_forward(
            self._context,
            q_out.handle if q_out.lib is lib else NOT_OWN,
            k_out.handle if k_out.lib is lib else NOT_OWN,
            q.handle if q.lib is lib else NOT_OWN,
            k.handle if k.lib is lib else NOT_OWN,
            cos.handle if cos.lib is lib else NOT_OWN,
            sin.handle if sin.lib is lib else NOT_OWN,
            positions.handle if positions.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_rope_backward(
            self._context,
            dq.handle if dq.lib is lib else NOT_OWN,
            dk.handle if dk.lib is lib else NOT_OWN,
            dq_out.handle if dq_out.lib is lib else NOT_OWN,
            dk_out.handle if dk_out.lib is lib else NOT_OWN,
            cos.handle if cos.lib is lib else NOT_OWN,
            sin.handle if sin.lib is lib else NOT_OWN,
            positions.handle if positions.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_scores_forward(
            self._context,
            scores.handle if scores.lib is lib else NOT_OWN,
            q.handle if q.lib is lib else NOT_OWN,
            k.handle if k.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_scores_backward(
            self._context,
            dq.handle if dq.lib is lib else NOT_OWN,
            dk.handle if dk.lib is lib else NOT_OWN,
            dscores.handle if dscores.lib is lib else NOT_OWN,
            q.handle if q.lib is lib else NOT_OWN,
            k.handle if k.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_output_forward(
            self._context,
            out.handle if out.lib is lib else NOT_OWN,
            probs.handle if probs.lib is lib else NOT_OWN,
            v.handle if v.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_output_backward(
            self._context,
            dprobs.handle if dprobs.lib is lib else NOT_OWN,
            dv.handle if dv.lib is lib else NOT_OWN,
            dout.handle if dout.lib is lib else NOT_OWN,
            probs.handle if probs.lib is lib else NOT_OWN,
            v.handle if v.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_forward(
            self._context,
            out.handle if out.lib is lib else NOT_OWN,
            lse.handle if lse.lib is lib else NOT_OWN,
            q.handle if q.lib is lib else NOT_OWN,
            k.handle if k.lib is lib else NOT_OWN,
            v.handle if v.lib is lib else NOT_OWN,
            0 if lengths is None else lengths.handle if lengths.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_backward(
            self._context,
            dq.handle if dq.lib is lib else NOT_OWN,
            dk.handle if dk.lib is lib else NOT_OWN,
            dv.handle if dv.lib is lib else NOT_OWN,
            dout.handle if dout.lib is lib else NOT_OWN,
            q.handle if q.lib is lib else NOT_OWN,
            k.handle if k.lib is lib else NOT_OWN,
            v.handle if v.lib is lib else NOT_OWN,
            out.handle if out.lib is lib else NOT_OWN,
            lse.handle if lse.lib is lib else NOT_OWN,
            0 if lengths is None else lengths.handle if lengths.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_cache_append(
            self._context,
            k_cache.handle if k_cache.lib is lib else NOT_OWN,
            v_cache.handle if v_cache.lib is lib else NOT_OWN,
            k.handle if k.lib is lib else NOT_OWN,
            v.handle if v.lib is lib else NOT_OWN,
            0 if block_table is None else block_table.handle if block_table.lib is lib else NOT_OWN,
            positions.handle if positions.lib is lib else NOT_OWN,
            0 if lengths is None else lengths.handle if lengths.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_attention_cached_forward(
            self._context,
            out.handle if out.lib is lib else NOT_OWN,
            q.handle if q.lib is lib else NOT_OWN,
            k_cache.handle if k_cache.lib is lib else NOT_OWN,
            v_cache.handle if v_cache.lib is lib else NOT_OWN,
            0 if block_table is None else block_table.handle if block_table.lib is lib else NOT_OWN,
            positions.handle if positions.lib is lib else NOT_OWN,
            0 if lengths is None else lengths.handle if lengths.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_embedding_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            ids.handle if ids.lib is lib else NOT_OWN,
            w.handle if w.lib is lib else NOT_OWN,
            tokens,
            vocab,
            hidden,
        )
        if status:
            raise self._failure(status)

    def embedding_backward(self, dw: Buffer, dy: Buffer, ids: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        lib = self._lib
        status = lib.cunn_embedding_backward(
            self._context,
            dw.handle if dw.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            ids.handle if ids.lib is lib else NOT_OWN,
            tokens,
            vocab,
            hidden,
        )
        if status:
            raise self._failure(status)

    # ---------------- mixture of experts

    def moe_route_forward(
        self, probs: Buffer, experts: Buffer, weights: Buffer, logits: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_moe_route_forward(
            self._context,
            probs.handle if probs.lib is lib else NOT_OWN,
            experts.handle if experts.lib is lib else NOT_OWN,
            weights.handle if weights.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            tokens,
            n_experts,
            top_k,
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
        lib = self._lib
        status = lib.cunn_moe_route_backward(
            self._context,
            dlogits.handle if dlogits.lib is lib else NOT_OWN,
            dweights.handle if dweights.lib is lib else NOT_OWN,
            0 if dprobs is None else dprobs.handle if dprobs.lib is lib else NOT_OWN,
            0 if dlogits_z is None else dlogits_z.handle if dlogits_z.lib is lib else NOT_OWN,
            probs.handle if probs.lib is lib else NOT_OWN,
            experts.handle if experts.lib is lib else NOT_OWN,
            weights.handle if weights.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_moe_dispatch_forward(
            self._context,
            offsets.handle if offsets.lib is lib else NOT_OWN,
            row_token.handle if row_token.lib is lib else NOT_OWN,
            token_row.handle if token_row.lib is lib else NOT_OWN,
            experts.handle if experts.lib is lib else NOT_OWN,
            tokens,
            n_experts,
            top_k,
        )
        if status:
            raise self._failure(status)

    def moe_dispatch_backward(
        self, dx: Buffer, drows: Buffer, token_row: Buffer, tokens: int, top_k: int, hidden: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_moe_dispatch_backward(
            self._context,
            dx.handle if dx.lib is lib else NOT_OWN,
            drows.handle if drows.lib is lib else NOT_OWN,
            token_row.handle if token_row.lib is lib else NOT_OWN,
            tokens,
            top_k,
            hidden,
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
        lib = self._lib
        status = lib.cunn_moe_combine_forward(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            0 if residual is None else residual.handle if residual.lib is lib else NOT_OWN,
            rows.handle if rows.lib is lib else NOT_OWN,
            weights.handle if weights.lib is lib else NOT_OWN,
            token_row.handle if token_row.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_moe_combine_backward(
            self._context,
            drows.handle if drows.lib is lib else NOT_OWN,
            dweights.handle if dweights.lib is lib else NOT_OWN,
            dy.handle if dy.lib is lib else NOT_OWN,
            rows.handle if rows.lib is lib else NOT_OWN,
            weights.handle if weights.lib is lib else NOT_OWN,
            token_row.handle if token_row.lib is lib else NOT_OWN,
            tokens,
            top_k,
            hidden,
        )
        if status:
            raise self._failure(status)

    def moe_balance_loss_forward(
        self, loss: Buffer, fractions: Buffer, probs: Buffer, experts: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_moe_balance_loss_forward(
            self._context,
            loss.handle if loss.lib is lib else NOT_OWN,
            fractions.handle if fractions.lib is lib else NOT_OWN,
            probs.handle if probs.lib is lib else NOT_OWN,
            experts.handle if experts.lib is lib else NOT_OWN,
            tokens,
            n_experts,
            top_k,
        )
        if status:
            raise self._failure(status)

    def moe_balance_loss_backward(
        self, dprobs: Buffer, fractions: Buffer, tokens: int, n_experts: int, top_k: int, coef: float
    ) -> None:
        lib = self._lib
        status = lib.cunn_moe_balance_loss_backward(
            self._context,
            dprobs.handle if dprobs.lib is lib else NOT_OWN,
            fractions.handle if fractions.lib is lib else NOT_OWN,
            tokens,
            n_experts,
            top_k,
            coef,
        )
        if status:
            raise self._failure(status)

    def moe_z_loss_forward(self, loss: Buffer, logits: Buffer, tokens: int, n_experts: int) -> None:
        lib = self._lib
        status = lib.cunn_moe_z_loss_forward(
            self._context,
            loss.handle if loss.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            tokens,
            n_experts,
        )
        if status:
            raise self._failure(status)

    def moe_z_loss_backward(self, dlogits: Buffer, logits: Buffer, tokens: int, n_experts: int, coef: float) -> None:
        lib = self._lib
        status = lib.cunn_moe_z_loss_backward(
            self._context,
            dlogits.handle if dlogits.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            tokens,
            n_experts,
            coef,
        )
        if status:
            raise self._failure(status)

    # ---------------- cross entropy

    def cross_entropy_count(self, count: Buffer, targets: Buffer, rows: int, vocab: int) -> None:
        lib = self._lib
        status = lib.cunn_cross_entropy_count(
            self._context,
            count.handle if count.lib is lib else NOT_OWN,
            targets.handle if targets.lib is lib else NOT_OWN,
            rows,
            vocab,
        )
        if status:
            raise self._failure(status)

    def cross_entropy_forward(
        self, loss: Buffer, losses: Buffer, lse: Buffer, logits: Buffer, targets: Buffer, rows: int, vocab: int, ld: int
    ) -> None:
        lib = self._lib
        status = lib.cunn_cross_entropy_forward(
            self._context,
            loss.handle if loss.lib is lib else NOT_OWN,
            losses.handle if losses.lib is lib else NOT_OWN,
            lse.handle if lse.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            targets.handle if targets.lib is lib else NOT_OWN,
            rows,
            vocab,
            ld,
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
        lib = self._lib
        status = lib.cunn_cross_entropy_backward(
            self._context,
            dlogits.handle if dlogits.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            lse.handle if lse.lib is lib else NOT_OWN,
            targets.handle if targets.lib is lib else NOT_OWN,
            count.handle if count.lib is lib else NOT_OWN,
            rows,
            vocab,
            ld,
        )
        if status:
            raise self._failure(status)

    # ---------------- optimizer

    def sum_of_squares(self, sum: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_sum_of_squares(
            self._context, sum.handle if sum.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n
        )
        if status:
            raise self._failure(status)

    def clip_scale(
        self, scale: Buffer, norm: Buffer, nonfinite: Buffer, applied: Buffer, sum: Buffer, max_norm: float
    ) -> None:
        lib = self._lib
        status = lib.cunn_clip_scale(
            self._context,
            scale.handle if scale.lib is lib else NOT_OWN,
            norm.handle if norm.lib is lib else NOT_OWN,
            nonfinite.handle if nonfinite.lib is lib else NOT_OWN,
            applied.handle if applied.lib is lib else NOT_OWN,
            sum.handle if sum.lib is lib else NOT_OWN,
            max_norm,
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
        lib = self._lib
        status = lib.cunn_adamw_step(
            self._context,
            param.handle if param.lib is lib else NOT_OWN,
            0 if master is None else master.handle if master.lib is lib else NOT_OWN,
            m.handle if m.lib is lib else NOT_OWN,
            v.handle if v.lib is lib else NOT_OWN,
            grad.handle if grad.lib is lib else NOT_OWN,
            lr.handle if lr.lib is lib else NOT_OWN,
            scale.handle if scale.lib is lib else NOT_OWN,
            nonfinite.handle if nonfinite.lib is lib else NOT_OWN,
            applied.handle if applied.lib is lib else NOT_OWN,
            0 if seed is None else seed.handle if seed.lib is lib else NOT_OWN,
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
        lib = self._lib
        status = lib.cunn_argmax(
            self._context,
            ids.handle if ids.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            rows,
            cols,
            ld,
        )
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
        lib = self._lib
        status = lib.cunn_sample(
            self._context,
            ids.handle if ids.lib is lib else NOT_OWN,
            logits.handle if logits.lib is lib else NOT_OWN,
            temperature.handle if temperature.lib is lib else NOT_OWN,
            top_k.handle if top_k.lib is lib else NOT_OWN,
            top_p.handle if top_p.lib is lib else NOT_OWN,
            samples.handle if samples.lib is lib else NOT_OWN,
            positions.handle if positions.lib is lib else NOT_OWN,
            seed.handle if seed.lib is lib else NOT_OWN,
            rows,
            cols,
            ld,
        )
        if status:
            raise self._failure(status)

    def decode_advance(self, positions: Buffer, finished: Buffer, ids: Buffer, batch: int, eos_id: int) -> None:
        lib = self._lib
        status = lib.cunn_decode_advance(
            self._context,
            positions.handle if positions.lib is lib else NOT_OWN,
            finished.handle if finished.lib is lib else NOT_OWN,
            ids.handle if ids.lib is lib else NOT_OWN,
            batch,
            eos_id,
        )
        if status:
            raise self._failure(status)

    # ---------------- random: Philox4x32-10 (Salmon et al. 2011)

    def random_init(self, y: Buffer, n: int, start: int, seed: int, tensor: int) -> None:
        lib = self._lib
        status = lib.cunn_random_init(self._context, y.handle if y.lib is lib else NOT_OWN, n, start, seed, tensor)
        if status:
            raise self._failure(status)

    def random_uniform(self, y: Buffer, n: int, start: int, seed: int, stream: int, sub: int) -> None:
        lib = self._lib
        status = lib.cunn_random_uniform(
            self._context, y.handle if y.lib is lib else NOT_OWN, n, start, seed, stream, sub
        )
        if status:
            raise self._failure(status)

    # ---------------- conversion and layout

    def copy(self, y: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_copy(
            self._context, y.handle if y.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n
        )
        if status:
            raise self._failure(status)

    def cast(self, y: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_cast(
            self._context, y.handle if y.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n
        )
        if status:
            raise self._failure(status)

    def pack(self, y: Buffer, x: Buffer, transpose: bool, rows: int, cols: int, ldy: int, ldx: int) -> None:
        lib = self._lib
        status = lib.cunn_pack(
            self._context,
            y.handle if y.lib is lib else NOT_OWN,
            x.handle if x.lib is lib else NOT_OWN,
            transpose,
            rows,
            cols,
            ldy,
            ldx,
        )
        if status:
            raise self._failure(status)

    def quantize(self, y: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_quantize(
            self._context, y.handle if y.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n
        )
        if status:
            raise self._failure(status)

    def dequantize(self, y: Buffer, x: Buffer, n: int) -> None:
        lib = self._lib
        status = lib.cunn_dequantize(
            self._context, y.handle if y.lib is lib else NOT_OWN, x.handle if x.lib is lib else NOT_OWN, n
        )
        if status:
            raise self._failure(status)
