"""The operations that every backend has, generated from cuda/include/cunn.h by cuda/tools/bindings.py.

Equations, shapes and dtypes are the header's; where it offers 0 for a buffer, None is meant here.
"""

from __future__ import annotations

from typing import Protocol

from nn.tensor.buffer import Buffer


class Ops(Protocol):
    """Operations on buffers: outputs, inputs, dims, scalars. Each raises BackendError."""

    # ---------------- elementwise

    def add_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        """y[i] = a[i] + b[i]; y may alias a or b. f32."""

    def mul_forward(self, y: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        """y[i] = a[i] b[i]; y may alias a or b. f32."""

    def mul_backward(self, da: Buffer, db: Buffer, dy: Buffer, a: Buffer, b: Buffer, n: int) -> None:
        """da[i] = dy[i] b[i], db[i] = dy[i] a[i]."""

    def scale_forward(self, y: Buffer, x: Buffer, n: int, alpha: float) -> None:
        """y[i] = alpha x[i]; y may alias x. The backward is the same op on dy."""

    def silu_forward(self, y: Buffer, x: Buffer, n: int) -> None:
        """y[i] = x[i] / (1 + exp(-x[i])); y may alias x."""

    def silu_backward(self, dx: Buffer, dy: Buffer, x: Buffer, n: int) -> None:
        """dx[i] = dy[i] s (1 + x[i] (1 - s)), s = 1 / (1 + exp(-x[i])); dx may alias dy."""

    def swiglu_forward(self, y: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        """y[i] = silu(gate[i]) up[i] (Shazeer 2020, GLU variants); y any float; y may alias gate or up of the same
        dtype.
        """

    def swiglu_backward(self, dgate: Buffer, dup: Buffer, dy: Buffer, gate: Buffer, up: Buffer, n: int) -> None:
        """dgate[i] = dy[i] up[i] silu'(gate[i]), dup[i] = dy[i] silu(gate[i]); dgate may alias gate, dup may alias
        up.
        """

    def fill(self, y: Buffer, n: int, value: float) -> None:
        """y[i] = value, any dtype but q8 and q4."""

    # ---------------- softmax and top-k over the columns of a matrix

    def softmax_forward(self, y: Buffer, x: Buffer, rows: int, cols: int, ldy: int, ldx: int) -> None:
        """y[r,c] = exp(x[r,c] - m_r) / sum_c exp(x[r,c] - m_r), m_r = max_c x[r,c]; y may alias x when ldy = ldx."""

    def softmax_backward(self, dx: Buffer, dy: Buffer, y: Buffer, rows: int, cols: int, ld: int) -> None:
        """dx[r,c] = y[r,c] (dy[r,c] - sum_j dy[r,j] y[r,j]); dx may alias dy. One ld for all three."""

    def top_k_forward(self, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int) -> None:
        """values[r,j], indices[r,j], j < k: the k largest of row r in descending order, ties to the lower index.
        values [rows,k] f32, indices [rows,k] i32, x [rows,cols]. NaN orders below every number. k <= cols, k <=
        1024.
        """

    def top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        """dx[r,indices[r,j]] = dvalues[r,j], 0 elsewhere."""

    def softmax_top_k_forward(
        self, probs: Buffer, values: Buffer, indices: Buffer, x: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        """probs = softmax(x) [rows,cols], then top-k of probs into values and indices, not renormalised."""

    def softmax_top_k_backward(
        self, dx: Buffer, dvalues: Buffer, indices: Buffer, probs: Buffer, rows: int, cols: int, ldx: int, k: int
    ) -> None:
        """dx = softmax backward of the gradient that is dvalues at indices and 0 elsewhere; dx has leading dimension
        ldx.
        """

    # ---------------- rmsnorm (Zhang and Sennrich 2019)

    def rmsnorm_forward(self, y: Buffer, rstd: Buffer, x: Buffer, w: Buffer, rows: int, cols: int, eps: float) -> None:
        """rstd[r] = 1 / sqrt(mean_c x[r,c]^2 + eps), y[r,c] = x[r,c] rstd[r] w[c]. y and w any float; rstd [rows]
        f32.
        """

    def rmsnorm_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, x: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        """With g = dy w and xh = x rstd: dx[r,c] = rstd (g - xh mean_c(g xh)), dw[c] += sum_r dy[r,c] xh[r,c]. dx
        may alias dy. dw f32.
        """

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
        """h = x + residual, then y and rstd are the rmsnorm of h. h may alias x or residual."""

    def rmsnorm_residual_backward(
        self, dx: Buffer, dw: Buffer, dy: Buffer, dh: Buffer, h: Buffer, w: Buffer, rstd: Buffer, rows: int, cols: int
    ) -> None:
        """dx = dh + (rmsnorm backward of dy at h): the gradient of both x and residual. dx may alias dh or dy."""

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
        """C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C. trans_a: A is stored [k,m]; trans_b: B is stored [n,k]. A,
        B, C any float. Operands of different dtypes are both read as the narrower one. Each element has one f32
        accumulator that starts from beta C (from 0 when beta is 0: C is not read) and takes k ascending, one
        fused multiply-add a term; alpha multiplies A as it is read. With trans_b B may also be q8 or q4, its
        blocks along k, and k, ldb and stride_b multiples of 32: the bits are those of the same call with B
        dequantized to f32.
        """

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
        """The same for batch problems whose matrices stand stride elements apart; stride_a or stride_b may be 0."""

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
        """Rows grouped: for g < groups and offsets[g] <= r < offsets[g+1]:
          C[r,:] = A[a_rows[r],:] op(B_g) + beta C[r,:],  B_g at b + g stride_b, [k,n] or, with trans_b, [n,k].
        offsets [groups+1] i32 ascending from 0 to at most m; a_rows [m] i32 rows of A below a_row_count, or 0 for
        a_rows[r] = r. Rows of C at and beyond offsets[groups] are untouched.
        """

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
        """Inner dimension grouped, the weight gradient of the op above: for g < groups
          C_g[m,n] = sum over offsets[g] <= r < offsets[g+1] of A[r,m] B[b_rows[r],n] + beta C_g,  C_g at c + g
          stride_c.
        k is the row capacity of A; b_rows [k] i32 rows of B below b_row_count, or 0.
        """

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
        """The gate and up products of SwiGLU experts (Shazeer 2020) with the activation in their epilogue: for g <
        groups, offsets[g] <= r < offsets[g+1] and j < n, with x = A[a_rows[r],:],
          gate[r,j] = w_gate_g[j,:] x,  up[r,j] = w_up_g[j,:] x,  y[r,j] = silu(gate[r,j]) up[r,j].
        w_gate and w_up [groups,n,k] of one dtype, as B of cunn_gemm with trans_b, group g at g stride_b; y any
        float; gate and up f32, or 0 both: only the gradient needs them. offsets and a_rows as in
        cunn_gemm_grouped_rows. The bits of y are those of two calls of it and cunn_swiglu_forward, where w_gate
        and w_up are aligned alike.
        """

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
        """With dy[r,j] = A[r,:] w_down_g[:,j], which is not stored: dgate[r,j] = dy[r,j] up[r,j] silu'(gate[r,j])
        and dup[r,j] = dy[r,j] silu(gate[r,j]). A is the gradient of what the experts return; w_down [groups,k,n]
        any float, group g at g stride_b. gate, up, dgate and dup f32, all with ldc; dgate may alias gate, dup may
        alias up.
        """

    # ---------------- rope (Su et al. 2021), half-split form

    def rope_frequencies(
        self, cos: Buffer, sin: Buffer, positions: int, head_dim: int, theta: float, ntk_alpha: float
    ) -> None:
        """cos[p,i], sin[p,i], i < head_dim/2, of the angle p theta'^(-2i/head_dim), theta' = theta
        ntk_alpha^(head_dim/(head_dim-2)). Angles in f64, tables [positions, head_dim/2] f32. head_dim even, above
        2 unless ntk_alpha is 1.
        """

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
        """For token t, each head of q and of k, i < head_dim/2, with (c, s) = tables at positions[t]:
          out[i] = x[i] c - x[i+head_dim/2] s,   out[i+head_dim/2] = x[i+head_dim/2] c + x[i] s.
        q_out, k_out any float, q, k f32; q_out may alias q, k_out may alias k when the dtypes are equal.
        positions [tokens] i32 below table_positions. Head h of token t starts at t token_stride + h head_stride,
        the same for output and input.
        """

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
        """The rotation by the negative angle: dq from dq_out, dk from dk_out; each may alias. f32."""

    # ---------------- attention, causal, MQA and GQA
    # Query head h reads key/value head h / (n_heads / n_kv_heads). Sequence b holds tokens b seq_len + t, of which the
    # first lengths[b] exist (lengths [batch] i32, or 0 for all). Head h of token t of q starts at t q_token_stride + h
    # q_head_stride; k and v share kv_token_stride and kv_head_stride. out and dout are [batch seq_len, n_heads
    # head_dim]. Rows that do not exist are 0 in every output and are never read.

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
        """scores[b,h,i,j] = scale q_i . k_j for j <= i, -inf for j > i; [batch, n_heads, seq_len, seq_len]. The
        readable path: scores, softmax, output; the T x T matrix is what cunn_attention_forward never stores.
        """

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
        """dq_i = scale sum_j<=i dscores_ij k_j, dk_j = scale sum over heads of the group and i >= j of dscores_ij
        q_i.
        """

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
        """out_i = sum_j<=i probs_ij v_j."""

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
        """dprobs_ij = dout_i . v_j for j <= i, 0 above; dv_j = sum over heads of the group and i >= j of probs_ij
        dout_i.
        """

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
        """out_i = sum_j<=i p_ij v_j, p_ij = exp(scale q_i . k_j - lse_i), lse_i = log sum_j<=i exp(scale q_i . k_j),
        without the T x T matrix (Dao et al. 2022). Keys are taken in blocks of 64 from position 0, running
        maximum and sum within spans of 512 keys, spans combined in order. q f32; k, v any one float; out any
        float; lse [batch seq_len, n_heads]. With 16-bit k, v a device may round q and p to that dtype.
        """

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
        """With D_i = dout_i . out_i and dS_ij = p_ij (dout_i . v_j - D_i):
          dq_i = scale sum_j dS_ij k_j, dk_j = scale sum_i dS_ij q_i, dv_j = sum_i p_ij dout_i, the last two also
          summed over
        the heads of the group. p is recomputed from lse. dq, dk, dv f32 with the strides of q, k, v; out f32.
        """

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
        """The paged KV cache: k_cache, v_cache [n_pages, page_size, n_kv_heads, head_dim], any one float, page_size
        a multiple of 64. Page p of sequence b is block_table[b, p] ([batch, pages_per_sequence] i32, entries
        below n_pages), or b pages_per_sequence + p when block_table is 0. Sequence b brings lengths[b] <= new_len
        new tokens (0 for: new_len) which stand at positions[b], positions[b] + 1, ...; positions [batch] i32.
        Rounds k, v (f32, [batch new_len] tokens) to the cache's dtype and stores them.
        """

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
        """cunn_attention_forward for new tokens over the cache that already holds them: the query at position p
        reads keys 0 .. p. Same blocks, spans and order, hence the same bits as the full forward.
        """

    # ---------------- embedding

    def embedding_forward(self, y: Buffer, ids: Buffer, w: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        """y[t,:] = w[ids[t],:]; w any float [vocab, hidden], ids [tokens] i32 below vocab."""

    def embedding_backward(self, dw: Buffer, dy: Buffer, ids: Buffer, tokens: int, vocab: int, hidden: int) -> None:
        """dw[ids[t],:] += dy[t,:], tokens of one id in ascending order (a deterministic scatter-add)."""

    # ---------------- mixture of experts
    # tokens T, n_experts E, top_k K. A routed row is one (token, choice) pair; there are exactly T K, sorted by expert,
    # then by token, then by choice; none is dropped.

    def moe_route_forward(
        self, probs: Buffer, experts: Buffer, weights: Buffer, logits: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        """probs = softmax(logits) [T,E]; experts [T,K] i32 the K largest in descending order, ties to the lower
        index; weights[t,j] = probs[t,experts[t,j]] / sum_j probs[t,experts[t,j]]. K <= E.
        """

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
        """With S_t = sum_j probs[t,experts[t,j]] and a_t = sum_j dweights[t,j] weights[t,j], the gradient of probs
        is g[t,experts[t,j]] = (dweights[t,j] - a_t) / S_t plus dprobs[t,:] (or 0), and dlogits[t,i] = probs[t,i]
        (g[t,i] - sum_e g[t,e] probs[t,e]) + dlogits_z[t,i] (or 0). dlogits may alias dlogits_z.
        """

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
        """offsets [E+1]: expert e owns routed rows offsets[e] .. offsets[e+1]-1; row_token [T K]: the token of each
        row; token_row [T,K]: the row of each (token, choice).
        """

    def moe_dispatch_backward(
        self, dx: Buffer, drows: Buffer, token_row: Buffer, tokens: int, top_k: int, hidden: int
    ) -> None:
        """dx[t,:] = sum_j drows[token_row[t,j],:], choices in order."""

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
        """y[t,:] = residual[t,:] (or 0) + sum_j weights[t,j] rows[token_row[t,j],:]: the sum over choices in order,
        starting from 0, one fused multiply-add a term, then the residual. y may alias residual.
        """

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
        """drows[token_row[t,j],:] = weights[t,j] dy[t,:], dweights[t,j] = dy[t,:] . rows[token_row[t,j],:]. drows
        may alias rows. The residual's gradient is dy itself.
        """

    def moe_balance_loss_forward(
        self, loss: Buffer, fractions: Buffer, probs: Buffer, experts: Buffer, tokens: int, n_experts: int, top_k: int
    ) -> None:
        """fractions[i] = (1/T) #{(t,j): experts[t,j] = i}, P_i = mean_t probs[t,i], loss[0] += E/K sum_i
        fractions[i] P_i (Shazeer et al. 2017, Fedus et al. 2021; 1 when the load is even).
        """

    def moe_balance_loss_backward(
        self, dprobs: Buffer, fractions: Buffer, tokens: int, n_experts: int, top_k: int, coef: float
    ) -> None:
        """dprobs[t,i] = coef E fractions[i] / (K T). The fractions are counts and carry no gradient."""

    def moe_z_loss_forward(self, loss: Buffer, logits: Buffer, tokens: int, n_experts: int) -> None:
        """loss[0] += mean_t lse_t^2, lse_t = logsumexp_i logits[t,i] (Zoph et al. 2022)."""

    def moe_z_loss_backward(self, dlogits: Buffer, logits: Buffer, tokens: int, n_experts: int, coef: float) -> None:
        """dlogits[t,i] = coef 2 lse_t softmax(logits)[t,i] / T."""

    # ---------------- cross entropy
    # targets [rows] i32: below vocab, or -1 for a row that does not count.

    def cross_entropy_count(self, count: Buffer, targets: Buffer, rows: int, vocab: int) -> None:
        """count[0] += number of rows that count; count i64."""

    def cross_entropy_forward(
        self, loss: Buffer, losses: Buffer, lse: Buffer, logits: Buffer, targets: Buffer, rows: int, vocab: int, ld: int
    ) -> None:
        """lse[r] = logsumexp_c logits[r,c], losses[r] = lse[r] - logits[r,targets[r]] (0 where it does not count),
        loss[0] += sum_r losses[r].
        """

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
        """dlogits[r,c] = (exp(logits[r,c] - lse[r]) - [c = targets[r]]) / count[0], 0 where the row does not count
        or count is 0; count i64, of the whole accumulated step. dlogits may alias logits.
        """

    # ---------------- optimizer

    def sum_of_squares(self, sum: Buffer, x: Buffer, n: int) -> None:
        """sum[0] = sum_i x[i]^2; x any float, sum f32. Chunks of 4096 elements, combined in order in f64."""

    def clip_scale(
        self, scale: Buffer, norm: Buffer, nonfinite: Buffer, applied: Buffer, sum: Buffer, max_norm: float
    ) -> None:
        """norm[0] = sqrt(sum[0]), scale[0] = min(1, max_norm / (norm + 1e-6)) (1 when max_norm is 0), nonfinite[0] =
        1 when norm is not finite, else 0 and applied[0] += 1. nonfinite i32, applied i64: the number of applied
        steps, this one included.
        """

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
        """AdamW (Loshchilov and Hutter 2019). With g = scale[0] grad, t = applied[0], bc = 1 - beta^t (f64, by
        binary powering):
          m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
          p *= 1 - lr wd;  p -= (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps).
        Nothing changes when nonfinite[0] is 1. param any float; master f32 (the value that is updated, param its
        rounding) or 0; m, v f32, or bf16 for 8 bytes a parameter; grad f32 or bf16. Without a master a 16-bit
        param, and 16-bit m and v always, are rounded stochastically by Philox(seed[0]; index start + i, rounding,
        t): the upper 16 bits (bf16; the upper 13 for f16) of word 0 for param, 1 for m, 2 for v are added below
        the bits that are kept, and the rest is cut off. lr f32, seed i64, or 0 where nothing is rounded so.
        """

    # ---------------- decode

    def argmax(self, ids: Buffer, logits: Buffer, rows: int, cols: int, ld: int) -> None:
        """ids[r] = the index of the largest of row r, ties to the lower index; NaN orders below every number. ids
        i32.
        """

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
        """ids[r] drawn from softmax(logits[r,:] / temperature[r]) restricted first to the top_k[r] largest (0: all),
        then to the smallest leading set whose probability reaches top_p[r] (1: all), renormalised; the argmax
        when temperature[r] is 0. Ties to the lower index. The kept ids are walked by ascending index: the first
        whose running sum exceeds the draw times the total is taken. One draw Philox(seed[0]; index samples[r],
        sampling, positions[r]), so a draw belongs to a sample and a position, never to a slot. temperature, top_p
        f32; top_k, positions i32; samples, seed i64.
        """

    def decode_advance(self, positions: Buffer, finished: Buffer, ids: Buffer, batch: int, eos_id: int) -> None:
        """positions[b] += 1 unless finished[b]; finished[b] = 1 once ids[b] is eos_id (-1: never). All i32 [batch]."""

    # ---------------- random: Philox4x32-10 (Salmon et al. 2011)
    # Key: the 64-bit seed, low word first. Counter: (index low, index high, stream, sub).

    def random_init(self, y: Buffer, n: int, start: int, seed: int, tensor: int) -> None:
        """y[i] = (sum of the eight 16-bit halves of the block (start + i, init, tensor) - 262140) 0.02/53509.92, in
        f64, rounded once to f32, then to y's dtype: close to normal with deviation 0.02. y any float.
        """

    def random_uniform(self, y: Buffer, n: int, start: int, seed: int, stream: int, sub: int) -> None:
        """y[i] = word 0 of the block (start + i, stream, sub), its upper 24 bits times 2^-24: uniform in [0, 1).
        f32.
        """

    # ---------------- conversion and layout

    def copy(self, y: Buffer, x: Buffer, n: int) -> None:
        """y[i] = x[i], equal dtypes."""

    def cast(self, y: Buffer, x: Buffer, n: int) -> None:
        """y[i] = x[i] between f32, bf16 and f16, or between i32 and i64 (a value that does not fit is a device
        error).
        """

    def pack(self, y: Buffer, x: Buffer, transpose: bool, rows: int, cols: int, ldy: int, ldx: int) -> None:
        """y[r,c] = x[r,c], or x[c,r] with transpose; y [rows, cols]; equal dtypes, not q8 or q4."""

    def quantize(self, y: Buffer, x: Buffer, n: int) -> None:
        """y q8 or q4 from x any float, n a multiple of 32. For each block, d = the f16 rounding of max|x| / 127
        (q8), or of the element of largest magnitude / -8 (q4); q = x / d rounded to nearest even and clamped to
        the range.
        """

    def dequantize(self, y: Buffer, x: Buffer, n: int) -> None:
        """y[i] = d q[i]; y any float, x q8 or q4."""
