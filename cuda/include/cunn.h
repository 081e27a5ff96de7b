/* cunn.h - the ABI of cuda-nn: one kernel library behind plain C.
 *
 * A Mixture-of-Experts Transformer, its gradients and its training step, as operations on typed flat
 * buffers. This file is the only place where a function of the library is declared by hand: the bindings
 * of Python, Rust and Go are read from the text between the two markers below.
 *
 *   token ids -> embedding -> [ rmsnorm -> q,k,v -> rope -> attention -> o -> + residual
 *                               rmsnorm -> route -> dispatch -> experts (swiglu) -> combine + residual ] x n_layers
 *             -> rmsnorm -> lm head -> logits -> cross entropy
 *
 * Grammar       cunn_<op>_<forward|backward>(context, outputs, inputs, dims, scalars). An op that is its own
 *               inverse, or has no gradient, carries no suffix. A gradient is called d<name>.
 * Gradients     Activation gradients are overwritten; parameter gradients are accumulated (+=).
 * Aliasing      Outputs never overlap inputs or one another unless the op's comment says "may alias".
 * Matrices      Row-major. A leading dimension ld counts elements between rows. q, k, v carry the number of
 *               elements between tokens and between heads.
 * Types         Every argument is an opaque handle, int32_t, int64_t, double, const char*, void* (host memory)
 *               or an out-pointer. A handle of 0 means "none" where the comment says "or 0".
 * dtypes        Unless stated otherwise activations and gradients are f32, ids and offsets i32, and "any float"
 *               is f32, bf16 or f16. Arithmetic is f32; 16-bit values are rounded to nearest even when stored.
 * Asynchrony    Ops are ordered by their context and may still run when the call returns. Whatever changes
 *               between steps (learning rate, step, seeds, positions, lengths, sampling parameters) lives in
 *               buffers, so that a recorded step can be launched again unchanged.
 * Errors        Every int32_t function returns a status. The sentence is cunn_context_error(context), valid until
 *               that context's next call. Values that live on the device (ids, offsets, positions) are checked
 *               there: a bad one touches nothing out of range and is reported by the next synchronize or download
 *               as CUNN_DEVICE. A failed call has no effect on its outputs.
 * Threads       A context is used by one thread at a time; a second caller gets CUNN_BUSY. Different contexts are
 *               independent. After a fork every call in the child fails with CUNN_DEVICE if a context was made before.
 * Determinism   Same device, same inputs: same bits, at any thread count. What a row, token or sequence gets never
 *               depends on its neighbours. On cpu, f32 results are the same on every instruction set.
 * Collectives   Ranks are one more handle and one more op family, working on the same buffers; none exist yet.
 */
#ifndef CUNN_H
#define CUNN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cunn-abi-begin */

/* ---------------------------------------------------------------- constants */

enum { CUNN_ABI_VERSION = 1 };

/* status */
enum {
  CUNN_OK = 0,
  CUNN_INVALID_ARGUMENT = 1, /* a null, stale or foreign handle, a wrong size, dtype or device, forbidden aliasing */
  CUNN_OUT_OF_MEMORY = 2,
  CUNN_UNSUPPORTED = 3,      /* a valid request that this device or build does not serve */
  CUNN_BUSY = 4,             /* the context is in use by another thread */
  CUNN_DEVICE = 5,           /* the device reported a bad value or failed */
  CUNN_INTERNAL = 6          /* a defect of the library; CUNN_TEST_FAULT=<op> in the environment pretends one */
};

/* device */
enum { CUNN_CPU = 0, CUNN_CUDA = 1, CUNN_SIMT = 2 };

/* dtype. q8 and q4 hold blocks of 32 elements: an f16 scale d, then 32 int8 (34 bytes) or 16 bytes of
 * nibbles (18 bytes, element i in the low and element i+16 in the high nibble of byte i, offset by 8). */
enum {
  CUNN_F32 = 0,
  CUNN_BF16 = 1,
  CUNN_F16 = 2,
  CUNN_I32 = 3,
  CUNN_I64 = 4,
  CUNN_U8 = 5,
  CUNN_Q8 = 6,
  CUNN_Q4 = 7
};

/* random stream: the third word of the Philox counter */
enum { CUNN_STREAM_INIT = 0, CUNN_STREAM_DATA = 1, CUNN_STREAM_SAMPLING = 2, CUNN_STREAM_ROUNDING = 3 };

/* Handles: an index, a generation, a kind and the number of the library in its process, looked up at every call. Use
 * after destroy, double destroy, handles of another library in the process and foreign values are
 * CUNN_INVALID_ARGUMENT, never undefined behaviour. */
typedef int64_t cunn_context;
typedef int64_t cunn_buffer;
typedef int64_t cunn_event;
typedef int64_t cunn_graph;

/* ---------------------------------------------------------------- library and devices */

/* The ABI this library speaks; a binding compares it with CUNN_ABI_VERSION before any other call. */
int32_t cunn_abi_version(void);

/* Release of the library, for example "0.1.0"; static text. */
const char *cunn_version(void);

/* How the library was built: compiler, instruction sets, CUDA architectures; static text. */
const char *cunn_build_info(void);

/* Short name of a status, for example "invalid argument"; static text. */
const char *cunn_status_name(int32_t status);

/* Number of devices of a kind; 0 when there is no driver or the build lacks it. */
int32_t cunn_device_count(int32_t *count, int32_t device);

/* Name of a device, for example the card's; "" when there is none; static text. */
const char *cunn_device_name(int32_t device, int32_t ordinal);

/* Why a kind has no device here and what would change that; "" when it has one; static text. */
const char *cunn_device_note(int32_t device);

/* Total and free memory of a device in bytes. */
int32_t cunn_device_memory(int64_t *total, int64_t *available, int32_t device, int32_t ordinal);

/* ---------------------------------------------------------------- context: device + stream + threads + scratch */

/* threads: cpu threads including the caller, 0 for all this process may use. isa: "scalar", "avx2", "avx512" to
 * force an instruction set on cpu, or null for the best. On failure *context is still valid for
 * cunn_context_error and cunn_context_destroy, and for nothing else. Where the process has no number left for this
 * library (about a thousand libraries can be opened in its life, closed ones among them) the status is CUNN_UNSUPPORTED
 * and *context is 0, for which cunn_context_error has the sentence. */
int32_t cunn_context_create(cunn_context *context, int32_t device, int32_t ordinal, int32_t threads, const char *isa);
int32_t cunn_context_destroy(cunn_context context);

/* The sentence of this context's last failed call, "" after a successful one. For a stale context a static text. */
const char *cunn_context_error(cunn_context context);

/* The instruction set in use ("avx512", "sm_90", ...); "" for a stale context. */
const char *cunn_context_isa(cunn_context context);
int32_t cunn_context_threads(cunn_context context, int32_t *threads);

/* Bytes of buffers and scratch that belong to this context now, and at most so far. Borrowed memory does not count. */
int32_t cunn_context_memory(cunn_context context, int64_t *bytes, int64_t *peak);

/* Waits for all work of the context; reports and clears the device error word. */
int32_t cunn_context_synchronize(cunn_context context);

/* ---------------------------------------------------------------- buffer: typed, flat, on one device */

/* count elements (a multiple of 32 for q8, q4), zero-filled. Usable by every context of the same device. */
int32_t cunn_buffer_create(cunn_context context, cunn_buffer *buffer, int32_t dtype, int64_t count);

/* Borrows count elements of host memory, which must outlive the buffer and be aligned to its dtype. cpu only. */
int32_t cunn_buffer_wrap(cunn_context context, cunn_buffer *buffer, int32_t dtype, int64_t count, void *host);

/* A slice [offset, offset + count) of a buffer as a buffer of its own; the memory lives until the last of them goes. */
int32_t cunn_buffer_view(cunn_context context, cunn_buffer *view, cunn_buffer buffer, int64_t offset, int64_t count);

/* The handle dies now, the memory when the work submitted before is done. */
int32_t cunn_buffer_destroy(cunn_context context, cunn_buffer buffer);
int32_t cunn_buffer_info(cunn_context context, int32_t *dtype, int64_t *count, int64_t *bytes, cunn_buffer buffer);

/* Elements [offset, offset + count) from or to host memory, in the buffer's dtype. For q8 and q4 both are multiples
 * of 32. Upload has consumed the host memory on return; download synchronizes. */
int32_t cunn_buffer_upload(cunn_context context, cunn_buffer buffer, int64_t offset, int64_t count, const void *host);
int32_t cunn_buffer_download(cunn_context context, void *host, cunn_buffer buffer, int64_t offset, int64_t count);

/* ---------------------------------------------------------------- event: order and time between contexts */

int32_t cunn_event_create(cunn_context context, cunn_event *event);
int32_t cunn_event_destroy(cunn_context context, cunn_event event);

/* Marks the work submitted so far; wait makes later work of this context run after the mark, which must exist. */
int32_t cunn_event_record(cunn_context context, cunn_event event);
int32_t cunn_event_wait(cunn_context context, cunn_event event);

/* Milliseconds of device time between two recorded events. */
int32_t cunn_event_elapsed(cunn_context context, double *milliseconds, cunn_event start, cunn_event end);

/* ---------------------------------------------------------------- graph: a recorded step */

/* Between begin and end ops are checked and recorded and nothing executes, on any device; upload, download,
 * allocation, events and synchronize are errors. A failed call is not recorded and does not end the recording. A
 * recorded buffer that was destroyed makes launch an error. A graph belongs to its context and dies with it. */
int32_t cunn_graph_begin(cunn_context context);
int32_t cunn_graph_end(cunn_context context, cunn_graph *graph);
int32_t cunn_graph_launch(cunn_context context, cunn_graph graph);
int32_t cunn_graph_destroy(cunn_context context, cunn_graph graph);

/* One line of text per recorded op into host memory of capacity bytes (ended by 0, cut if too small); *length is
 * the length of the whole text. */
int32_t cunn_graph_dump(cunn_context context, void *text, int64_t *length, cunn_graph graph, int64_t capacity);

/* ---------------------------------------------------------------- elementwise */

/* y[i] = a[i] + b[i]; y may alias a or b. f32. */
int32_t cunn_add_forward(cunn_context context, cunn_buffer y, cunn_buffer a, cunn_buffer b, int64_t n);

/* y[i] = a[i] b[i]; y may alias a or b. f32. */
int32_t cunn_mul_forward(cunn_context context, cunn_buffer y, cunn_buffer a, cunn_buffer b, int64_t n);

/* da[i] = dy[i] b[i], db[i] = dy[i] a[i]. */
int32_t cunn_mul_backward(cunn_context context, cunn_buffer da, cunn_buffer db, cunn_buffer dy, cunn_buffer a,
                          cunn_buffer b, int64_t n);

/* y[i] = alpha x[i]; y may alias x. The backward is the same op on dy. */
int32_t cunn_scale_forward(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n, double alpha);

/* y[i] = x[i] / (1 + exp(-x[i])); y may alias x. */
int32_t cunn_silu_forward(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n);

/* dx[i] = dy[i] s (1 + x[i] (1 - s)), s = 1 / (1 + exp(-x[i])); dx may alias dy. */
int32_t cunn_silu_backward(cunn_context context, cunn_buffer dx, cunn_buffer dy, cunn_buffer x, int64_t n);

/* y[i] = silu(gate[i]) up[i] (Shazeer 2020, GLU variants); y any float; y may alias gate or up of the same dtype. */
int32_t cunn_swiglu_forward(cunn_context context, cunn_buffer y, cunn_buffer gate, cunn_buffer up, int64_t n);

/* dgate[i] = dy[i] up[i] silu'(gate[i]), dup[i] = dy[i] silu(gate[i]); dgate may alias gate, dup may alias up. */
int32_t cunn_swiglu_backward(cunn_context context, cunn_buffer dgate, cunn_buffer dup, cunn_buffer dy,
                             cunn_buffer gate, cunn_buffer up, int64_t n);

/* y[i] = value, any dtype but q8 and q4. */
int32_t cunn_fill(cunn_context context, cunn_buffer y, int64_t n, double value);

/* ---------------------------------------------------------------- softmax and top-k over the columns of a matrix */

/* y[r,c] = exp(x[r,c] - m_r) / sum_c exp(x[r,c] - m_r), m_r = max_c x[r,c]; y may alias x when ldy = ldx. */
int32_t cunn_softmax_forward(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t rows, int64_t cols,
                             int64_t ldy, int64_t ldx);

/* dx[r,c] = y[r,c] (dy[r,c] - sum_j dy[r,j] y[r,j]); dx may alias dy. One ld for all three. */
int32_t cunn_softmax_backward(cunn_context context, cunn_buffer dx, cunn_buffer dy, cunn_buffer y, int64_t rows,
                              int64_t cols, int64_t ld);

/* values[r,j], indices[r,j], j < k: the k largest of row r in descending order, ties to the lower index.
 * values [rows,k] f32, indices [rows,k] i32, x [rows,cols]. NaN orders below every number. k <= cols, k <= 1024. */
int32_t cunn_top_k_forward(cunn_context context, cunn_buffer values, cunn_buffer indices, cunn_buffer x, int64_t rows,
                           int64_t cols, int64_t ldx, int64_t k);

/* dx[r,indices[r,j]] = dvalues[r,j], 0 elsewhere. */
int32_t cunn_top_k_backward(cunn_context context, cunn_buffer dx, cunn_buffer dvalues, cunn_buffer indices,
                            int64_t rows, int64_t cols, int64_t ldx, int64_t k);

/* probs = softmax(x) [rows,cols], then top-k of probs into values and indices, not renormalised. */
int32_t cunn_softmax_top_k_forward(cunn_context context, cunn_buffer probs, cunn_buffer values, cunn_buffer indices,
                                   cunn_buffer x, int64_t rows, int64_t cols, int64_t ldx, int64_t k);

/* dx = softmax backward of the gradient that is dvalues at indices and 0 elsewhere; dx has leading dimension ldx. */
int32_t cunn_softmax_top_k_backward(cunn_context context, cunn_buffer dx, cunn_buffer dvalues, cunn_buffer indices,
                                    cunn_buffer probs, int64_t rows, int64_t cols, int64_t ldx, int64_t k);

/* ---------------------------------------------------------------- rmsnorm (Zhang and Sennrich 2019) */

/* rstd[r] = 1 / sqrt(mean_c x[r,c]^2 + eps), y[r,c] = x[r,c] rstd[r] w[c]. y and w any float; rstd [rows] f32. */
int32_t cunn_rmsnorm_forward(cunn_context context, cunn_buffer y, cunn_buffer rstd, cunn_buffer x, cunn_buffer w,
                             int64_t rows, int64_t cols, double eps);

/* With g = dy w and xh = x rstd: dx[r,c] = rstd (g - xh mean_c(g xh)), dw[c] += sum_r dy[r,c] xh[r,c].
 * dx may alias dy. dw f32. */
int32_t cunn_rmsnorm_backward(cunn_context context, cunn_buffer dx, cunn_buffer dw, cunn_buffer dy, cunn_buffer x,
                              cunn_buffer w, cunn_buffer rstd, int64_t rows, int64_t cols);

/* h = x + residual, then y and rstd are the rmsnorm of h. h may alias x or residual. */
int32_t cunn_rmsnorm_residual_forward(cunn_context context, cunn_buffer y, cunn_buffer h, cunn_buffer rstd,
                                      cunn_buffer x, cunn_buffer residual, cunn_buffer w, int64_t rows, int64_t cols,
                                      double eps);

/* dx = dh + (rmsnorm backward of dy at h): the gradient of both x and residual. dx may alias dh or dy. */
int32_t cunn_rmsnorm_residual_backward(cunn_context context, cunn_buffer dx, cunn_buffer dw, cunn_buffer dy,
                                       cunn_buffer dh, cunn_buffer h, cunn_buffer w, cunn_buffer rstd, int64_t rows,
                                       int64_t cols);

/* ---------------------------------------------------------------- gemm */

/* C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C. trans_a: A is stored [k,m]; trans_b: B is stored [n,k].
 * A, B, C any float. Operands of different dtypes are both read as the narrower one. Each element has one f32
 * accumulator that starts from beta C (from 0 when beta is 0: C is not read) and takes k ascending, one fused
 * multiply-add a term; alpha multiplies A as it is read. With trans_b B may also be q8 or q4, its blocks along k, and
 * k, ldb and stride_b multiples of 32: the bits are those of the same call with B dequantized to f32. */
int32_t cunn_gemm(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, int32_t trans_a, int32_t trans_b,
                  int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda, int64_t ldb, double alpha, double beta);

/* The same for batch problems whose matrices stand stride elements apart; stride_a or stride_b may be 0. */
int32_t cunn_gemm_batched(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, int32_t trans_a,
                          int32_t trans_b, int64_t batch, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda,
                          int64_t ldb, int64_t stride_c, int64_t stride_a, int64_t stride_b, double alpha,
                          double beta);

/* Rows grouped: for g < groups and offsets[g] <= r < offsets[g+1]:
 *   C[r,:] = A[a_rows[r],:] op(B_g) + beta C[r,:],  B_g at b + g stride_b, [k,n] or, with trans_b, [n,k].
 * offsets [groups+1] i32 ascending from 0 to at most m; a_rows [m] i32 rows of A below a_row_count, or 0 for
 * a_rows[r] = r. Rows of C at and beyond offsets[groups] are untouched. */
int32_t cunn_gemm_grouped_rows(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, cunn_buffer offsets,
                               cunn_buffer a_rows, int32_t trans_b, int64_t groups, int64_t m, int64_t n, int64_t k,
                               int64_t a_row_count, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b,
                               double beta);

/* Inner dimension grouped, the weight gradient of the op above: for g < groups
 *   C_g[m,n] = sum over offsets[g] <= r < offsets[g+1] of A[r,m] B[b_rows[r],n] + beta C_g,  C_g at c + g stride_c.
 * k is the row capacity of A; b_rows [k] i32 rows of B below b_row_count, or 0. */
int32_t cunn_gemm_grouped_inner(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b,
                                cunn_buffer offsets, cunn_buffer b_rows, int64_t groups, int64_t m, int64_t n,
                                int64_t k, int64_t b_row_count, int64_t ldc, int64_t lda, int64_t ldb,
                                int64_t stride_c, double beta);

/* The gate and up products of SwiGLU experts (Shazeer 2020) with the activation in their epilogue: for g < groups,
 * offsets[g] <= r < offsets[g+1] and j < n, with x = A[a_rows[r],:],
 *   gate[r,j] = w_gate_g[j,:] x,  up[r,j] = w_up_g[j,:] x,  y[r,j] = silu(gate[r,j]) up[r,j].
 * w_gate and w_up [groups,n,k] of one dtype, as B of cunn_gemm with trans_b, group g at g stride_b; y any float; gate and
 * up f32, or 0 both: only the gradient needs them. offsets and a_rows as in cunn_gemm_grouped_rows. The bits of y are
 * those of two calls of it and cunn_swiglu_forward, where w_gate and w_up are aligned alike. */
int32_t cunn_gemm_grouped_swiglu_forward(cunn_context context, cunn_buffer y, cunn_buffer gate, cunn_buffer up,
                                         cunn_buffer a, cunn_buffer w_gate, cunn_buffer w_up, cunn_buffer offsets,
                                         cunn_buffer a_rows, int64_t groups, int64_t m, int64_t n, int64_t k,
                                         int64_t a_row_count, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b);

/* With dy[r,j] = A[r,:] w_down_g[:,j], which is not stored: dgate[r,j] = dy[r,j] up[r,j] silu'(gate[r,j]) and
 * dup[r,j] = dy[r,j] silu(gate[r,j]). A is the gradient of what the experts return; w_down [groups,k,n] any float, group g at
 * g stride_b. gate, up, dgate and dup f32, all with ldc; dgate may alias gate, dup may alias up. */
int32_t cunn_gemm_grouped_swiglu_backward(cunn_context context, cunn_buffer dgate, cunn_buffer dup, cunn_buffer a,
                                          cunn_buffer w_down, cunn_buffer offsets, cunn_buffer gate, cunn_buffer up,
                                          int64_t groups, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda,
                                          int64_t ldb, int64_t stride_b);

/* ---------------------------------------------------------------- rope (Su et al. 2021), half-split form */

/* cos[p,i], sin[p,i], i < head_dim/2, of the angle p theta'^(-2i/head_dim), theta' = theta
 * ntk_alpha^(head_dim/(head_dim-2)). Angles in f64, tables [positions, head_dim/2] f32. head_dim even, above 2
 * unless ntk_alpha is 1. */
int32_t cunn_rope_frequencies(cunn_context context, cunn_buffer cos, cunn_buffer sin, int64_t positions,
                              int64_t head_dim, double theta, double ntk_alpha);

/* For token t, each head of q and of k, i < head_dim/2, with (c, s) = tables at positions[t]:
 *   out[i] = x[i] c - x[i+head_dim/2] s,   out[i+head_dim/2] = x[i+head_dim/2] c + x[i] s.
 * q_out, k_out any float, q, k f32; q_out may alias q, k_out may alias k when the dtypes are equal. positions [tokens]
 * i32 below table_positions. Head h of token t starts at t token_stride + h head_stride, the same for output and
 * input. */
int32_t cunn_rope_forward(cunn_context context, cunn_buffer q_out, cunn_buffer k_out, cunn_buffer q, cunn_buffer k,
                          cunn_buffer cos, cunn_buffer sin, cunn_buffer positions, int64_t tokens, int64_t n_heads,
                          int64_t n_kv_heads, int64_t head_dim, int64_t table_positions, int64_t q_token_stride,
                          int64_t q_head_stride, int64_t k_token_stride, int64_t k_head_stride);

/* The rotation by the negative angle: dq from dq_out, dk from dk_out; each may alias. f32. */
int32_t cunn_rope_backward(cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dq_out,
                           cunn_buffer dk_out, cunn_buffer cos, cunn_buffer sin, cunn_buffer positions,
                           int64_t tokens, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                           int64_t table_positions, int64_t q_token_stride, int64_t q_head_stride,
                           int64_t k_token_stride, int64_t k_head_stride);

/* ---------------------------------------------------------------- attention, causal, MQA and GQA
 * Query head h reads key/value head h / (n_heads / n_kv_heads). Sequence b holds tokens b seq_len + t, of which the
 * first lengths[b] exist (lengths [batch] i32, or 0 for all). Head h of token t of q starts at
 * t q_token_stride + h q_head_stride; k and v share kv_token_stride and kv_head_stride. out and dout are
 * [batch seq_len, n_heads head_dim]. Rows that do not exist are 0 in every output and are never read. */

/* scores[b,h,i,j] = scale q_i . k_j for j <= i, -inf for j > i; [batch, n_heads, seq_len, seq_len]. The readable path:
 * scores, softmax, output; the T x T matrix is what cunn_attention_forward never stores. */
int32_t cunn_attention_scores_forward(cunn_context context, cunn_buffer scores, cunn_buffer q, cunn_buffer k,
                                      int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads,
                                      int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride,
                                      int64_t kv_token_stride, int64_t kv_head_stride, double scale);

/* dq_i = scale sum_j<=i dscores_ij k_j, dk_j = scale sum over heads of the group and i >= j of dscores_ij q_i. */
int32_t cunn_attention_scores_backward(cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dscores,
                                       cunn_buffer q, cunn_buffer k, int64_t batch, int64_t seq_len, int64_t n_heads,
                                       int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride,
                                       int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride,
                                       double scale);

/* out_i = sum_j<=i probs_ij v_j. */
int32_t cunn_attention_output_forward(cunn_context context, cunn_buffer out, cunn_buffer probs, cunn_buffer v,
                                      int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads,
                                      int64_t head_dim, int64_t kv_token_stride, int64_t kv_head_stride);

/* dprobs_ij = dout_i . v_j for j <= i, 0 above; dv_j = sum over heads of the group and i >= j of probs_ij dout_i. */
int32_t cunn_attention_output_backward(cunn_context context, cunn_buffer dprobs, cunn_buffer dv, cunn_buffer dout,
                                       cunn_buffer probs, cunn_buffer v, int64_t batch, int64_t seq_len,
                                       int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                                       int64_t kv_token_stride, int64_t kv_head_stride);

/* out_i = sum_j<=i p_ij v_j, p_ij = exp(scale q_i . k_j - lse_i), lse_i = log sum_j<=i exp(scale q_i . k_j), without
 * the T x T matrix (Dao et al. 2022). Keys are taken in blocks of 64 from position 0, running maximum and sum within
 * spans of 512 keys, spans combined in order. q f32; k, v any one float; out any float; lse [batch seq_len, n_heads].
 * With 16-bit k, v a device may round q and p to that dtype. */
int32_t cunn_attention_forward(cunn_context context, cunn_buffer out, cunn_buffer lse, cunn_buffer q, cunn_buffer k,
                               cunn_buffer v, cunn_buffer lengths, int64_t batch, int64_t seq_len, int64_t n_heads,
                               int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride,
                               int64_t kv_token_stride, int64_t kv_head_stride, double scale);

/* With D_i = dout_i . out_i and dS_ij = p_ij (dout_i . v_j - D_i):
 *   dq_i = scale sum_j dS_ij k_j, dk_j = scale sum_i dS_ij q_i, dv_j = sum_i p_ij dout_i, the last two also summed over
 * the heads of the group. p is recomputed from lse. dq, dk, dv f32 with the strides of q, k, v; out f32. */
int32_t cunn_attention_backward(cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dv,
                                cunn_buffer dout, cunn_buffer q, cunn_buffer k, cunn_buffer v, cunn_buffer out,
                                cunn_buffer lse, cunn_buffer lengths, int64_t batch, int64_t seq_len,
                                int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride,
                                int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride,
                                double scale);

/* The paged KV cache: k_cache, v_cache [n_pages, page_size, n_kv_heads, head_dim], any one float, page_size a multiple
 * of 64. Page p of sequence b is block_table[b, p] ([batch, pages_per_sequence] i32, entries below n_pages), or
 * b pages_per_sequence + p when block_table is 0. Sequence b brings lengths[b] <= new_len new tokens (0 for: new_len)
 * which stand at positions[b], positions[b] + 1, ...; positions [batch] i32.
 * Rounds k, v (f32, [batch new_len] tokens) to the cache's dtype and stores them. */
int32_t cunn_cache_append(cunn_context context, cunn_buffer k_cache, cunn_buffer v_cache, cunn_buffer k, cunn_buffer v,
                          cunn_buffer block_table, cunn_buffer positions, cunn_buffer lengths, int64_t batch,
                          int64_t new_len, int64_t n_kv_heads, int64_t head_dim, int64_t page_size,
                          int64_t pages_per_sequence, int64_t n_pages, int64_t kv_token_stride,
                          int64_t kv_head_stride);

/* cunn_attention_forward for new tokens over the cache that already holds them: the query at position p reads keys
 * 0 .. p. Same blocks, spans and order, hence the same bits as the full forward. */
int32_t cunn_attention_cached_forward(cunn_context context, cunn_buffer out, cunn_buffer q, cunn_buffer k_cache,
                                      cunn_buffer v_cache, cunn_buffer block_table, cunn_buffer positions,
                                      cunn_buffer lengths, int64_t batch, int64_t new_len, int64_t n_heads,
                                      int64_t n_kv_heads, int64_t head_dim, int64_t page_size,
                                      int64_t pages_per_sequence, int64_t n_pages, int64_t q_token_stride,
                                      int64_t q_head_stride, double scale);

/* ---------------------------------------------------------------- embedding */

/* y[t,:] = w[ids[t],:]; w any float [vocab, hidden], ids [tokens] i32 below vocab. */
int32_t cunn_embedding_forward(cunn_context context, cunn_buffer y, cunn_buffer ids, cunn_buffer w, int64_t tokens,
                               int64_t vocab, int64_t hidden);

/* dw[ids[t],:] += dy[t,:], tokens of one id in ascending order (a deterministic scatter-add). */
int32_t cunn_embedding_backward(cunn_context context, cunn_buffer dw, cunn_buffer dy, cunn_buffer ids, int64_t tokens,
                                int64_t vocab, int64_t hidden);

/* ---------------------------------------------------------------- mixture of experts
 * tokens T, n_experts E, top_k K. A routed row is one (token, choice) pair; there are exactly T K, sorted by expert,
 * then by token, then by choice; none is dropped. */

/* probs = softmax(logits) [T,E]; experts [T,K] i32 the K largest in descending order, ties to the lower index;
 * weights[t,j] = probs[t,experts[t,j]] / sum_j probs[t,experts[t,j]]. K <= E. */
int32_t cunn_moe_route_forward(cunn_context context, cunn_buffer probs, cunn_buffer experts, cunn_buffer weights,
                               cunn_buffer logits, int64_t tokens, int64_t n_experts, int64_t top_k);

/* With S_t = sum_j probs[t,experts[t,j]] and a_t = sum_j dweights[t,j] weights[t,j], the gradient of probs is
 * g[t,experts[t,j]] = (dweights[t,j] - a_t) / S_t plus dprobs[t,:] (or 0), and
 * dlogits[t,i] = probs[t,i] (g[t,i] - sum_e g[t,e] probs[t,e]) + dlogits_z[t,i] (or 0).
 * dlogits may alias dlogits_z. */
int32_t cunn_moe_route_backward(cunn_context context, cunn_buffer dlogits, cunn_buffer dweights, cunn_buffer dprobs,
                                cunn_buffer dlogits_z, cunn_buffer probs, cunn_buffer experts, cunn_buffer weights,
                                int64_t tokens, int64_t n_experts, int64_t top_k);

/* offsets [E+1]: expert e owns routed rows offsets[e] .. offsets[e+1]-1; row_token [T K]: the token of each row;
 * token_row [T,K]: the row of each (token, choice). */
int32_t cunn_moe_dispatch_forward(cunn_context context, cunn_buffer offsets, cunn_buffer row_token,
                                  cunn_buffer token_row, cunn_buffer experts, int64_t tokens, int64_t n_experts,
                                  int64_t top_k);

/* dx[t,:] = sum_j drows[token_row[t,j],:], choices in order. */
int32_t cunn_moe_dispatch_backward(cunn_context context, cunn_buffer dx, cunn_buffer drows, cunn_buffer token_row,
                                   int64_t tokens, int64_t top_k, int64_t hidden);

/* y[t,:] = residual[t,:] (or 0) + sum_j weights[t,j] rows[token_row[t,j],:]: the sum over choices in order, starting
 * from 0, one fused multiply-add a term, then the residual. y may alias residual. */
int32_t cunn_moe_combine_forward(cunn_context context, cunn_buffer y, cunn_buffer residual, cunn_buffer rows,
                                 cunn_buffer weights, cunn_buffer token_row, int64_t tokens, int64_t top_k,
                                 int64_t hidden);

/* drows[token_row[t,j],:] = weights[t,j] dy[t,:], dweights[t,j] = dy[t,:] . rows[token_row[t,j],:]. drows may alias
 * rows. The residual's gradient is dy itself. */
int32_t cunn_moe_combine_backward(cunn_context context, cunn_buffer drows, cunn_buffer dweights, cunn_buffer dy,
                                  cunn_buffer rows, cunn_buffer weights, cunn_buffer token_row, int64_t tokens,
                                  int64_t top_k, int64_t hidden);

/* fractions[i] = (1/T) #{(t,j): experts[t,j] = i}, P_i = mean_t probs[t,i], loss[0] += E/K sum_i fractions[i] P_i
 * (Shazeer et al. 2017, Fedus et al. 2021; 1 when the load is even). */
int32_t cunn_moe_balance_loss_forward(cunn_context context, cunn_buffer loss, cunn_buffer fractions, cunn_buffer probs,
                                      cunn_buffer experts, int64_t tokens, int64_t n_experts, int64_t top_k);

/* dprobs[t,i] = coef E fractions[i] / (K T). The fractions are counts and carry no gradient. */
int32_t cunn_moe_balance_loss_backward(cunn_context context, cunn_buffer dprobs, cunn_buffer fractions, int64_t tokens,
                                       int64_t n_experts, int64_t top_k, double coef);

/* loss[0] += mean_t lse_t^2, lse_t = logsumexp_i logits[t,i] (Zoph et al. 2022). */
int32_t cunn_moe_z_loss_forward(cunn_context context, cunn_buffer loss, cunn_buffer logits, int64_t tokens,
                                int64_t n_experts);

/* dlogits[t,i] = coef 2 lse_t softmax(logits)[t,i] / T. */
int32_t cunn_moe_z_loss_backward(cunn_context context, cunn_buffer dlogits, cunn_buffer logits, int64_t tokens,
                                 int64_t n_experts, double coef);

/* ---------------------------------------------------------------- cross entropy
 * targets [rows] i32: below vocab, or -1 for a row that does not count. */

/* count[0] += number of rows that count; count i64. */
int32_t cunn_cross_entropy_count(cunn_context context, cunn_buffer count, cunn_buffer targets, int64_t rows,
                                 int64_t vocab);

/* lse[r] = logsumexp_c logits[r,c], losses[r] = lse[r] - logits[r,targets[r]] (0 where it does not count),
 * loss[0] += sum_r losses[r]. */
int32_t cunn_cross_entropy_forward(cunn_context context, cunn_buffer loss, cunn_buffer losses, cunn_buffer lse,
                                   cunn_buffer logits, cunn_buffer targets, int64_t rows, int64_t vocab, int64_t ld);

/* dlogits[r,c] = (exp(logits[r,c] - lse[r]) - [c = targets[r]]) / count[0], 0 where the row does not count or count
 * is 0; count i64, of the whole accumulated step. dlogits may alias logits. */
int32_t cunn_cross_entropy_backward(cunn_context context, cunn_buffer dlogits, cunn_buffer logits, cunn_buffer lse,
                                    cunn_buffer targets, cunn_buffer count, int64_t rows, int64_t vocab, int64_t ld);

/* ---------------------------------------------------------------- optimizer */

/* sum[0] = sum_i x[i]^2; x any float, sum f32. Chunks of 4096 elements, combined in order in f64. */
int32_t cunn_sum_of_squares(cunn_context context, cunn_buffer sum, cunn_buffer x, int64_t n);

/* norm[0] = sqrt(sum[0]), scale[0] = min(1, max_norm / (norm + 1e-6)) (1 when max_norm is 0), nonfinite[0] = 1 when
 * norm is not finite, else 0 and applied[0] += 1. nonfinite i32, applied i64: the number of applied steps, this one
 * included. */
int32_t cunn_clip_scale(cunn_context context, cunn_buffer scale, cunn_buffer norm, cunn_buffer nonfinite,
                        cunn_buffer applied, cunn_buffer sum, double max_norm);

/* AdamW (Loshchilov and Hutter 2019). With g = scale[0] grad, t = applied[0], bc = 1 - beta^t (f64, by binary powering):
 *   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
 *   p *= 1 - lr wd;  p -= (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps).
 * Nothing changes when nonfinite[0] is 1. param any float; master f32 (the value that is updated, param its rounding)
 * or 0; m, v f32, or bf16 for 8 bytes a parameter; grad f32 or bf16. Without a master a 16-bit param, and 16-bit m and
 * v always, are rounded stochastically by Philox(seed[0]; index start + i, rounding, t): the upper 16 bits (bf16; the
 * upper 13 for f16) of word 0 for param, 1 for m, 2 for v are added below the bits that are kept, and the rest is cut off.
 * lr f32, seed i64, or 0 where nothing is rounded so. */
int32_t cunn_adamw_step(cunn_context context, cunn_buffer param, cunn_buffer master, cunn_buffer m, cunn_buffer v,
                        cunn_buffer grad, cunn_buffer lr, cunn_buffer scale, cunn_buffer nonfinite,
                        cunn_buffer applied, cunn_buffer seed, int64_t n, int64_t start, double beta1, double beta2,
                        double eps, double weight_decay);

/* ---------------------------------------------------------------- decode */

/* ids[r] = the index of the largest of row r, ties to the lower index; NaN orders below every number. ids i32. */
int32_t cunn_argmax(cunn_context context, cunn_buffer ids, cunn_buffer logits, int64_t rows, int64_t cols, int64_t ld);

/* ids[r] drawn from softmax(logits[r,:] / temperature[r]) restricted first to the top_k[r] largest (0: all), then to
 * the smallest leading set whose probability reaches top_p[r] (1: all), renormalised; the argmax when temperature[r] is
 * 0. Ties to the lower index. The kept ids are walked by ascending index: the first whose running sum exceeds the draw
 * times the total is taken. One draw Philox(seed[0]; index samples[r], sampling, positions[r]), so a draw belongs to
 * a sample and a position, never to a slot. temperature, top_p f32; top_k, positions i32; samples, seed i64. */
int32_t cunn_sample(cunn_context context, cunn_buffer ids, cunn_buffer logits, cunn_buffer temperature,
                    cunn_buffer top_k, cunn_buffer top_p, cunn_buffer samples, cunn_buffer positions,
                    cunn_buffer seed, int64_t rows, int64_t cols, int64_t ld);

/* positions[b] += 1 unless finished[b]; finished[b] = 1 once ids[b] is eos_id (-1: never). All i32 [batch]. */
int32_t cunn_decode_advance(cunn_context context, cunn_buffer positions, cunn_buffer finished, cunn_buffer ids,
                            int64_t batch, int64_t eos_id);

/* ---------------------------------------------------------------- random: Philox4x32-10 (Salmon et al. 2011)
 * Key: the 64-bit seed, low word first. Counter: (index low, index high, stream, sub). */

/* y[i] = (sum of the eight 16-bit halves of the block (start + i, init, tensor) - 262140) 0.02/53509.92, in f64,
 * rounded once to f32, then to y's dtype: close to normal with deviation 0.02. y any float. */
int32_t cunn_random_init(cunn_context context, cunn_buffer y, int64_t n, int64_t start, int64_t seed, int64_t tensor);

/* y[i] = word 0 of the block (start + i, stream, sub), its upper 24 bits times 2^-24: uniform in [0, 1). f32. */
int32_t cunn_random_uniform(cunn_context context, cunn_buffer y, int64_t n, int64_t start, int64_t seed,
                            int32_t stream, int64_t sub);

/* ---------------------------------------------------------------- conversion and layout */

/* y[i] = x[i], equal dtypes. */
int32_t cunn_copy(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n);

/* y[i] = x[i] between f32, bf16 and f16, or between i32 and i64 (a value that does not fit is a device error). */
int32_t cunn_cast(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n);

/* y[r,c] = x[r,c], or x[c,r] with transpose; y [rows, cols]; equal dtypes, not q8 or q4. */
int32_t cunn_pack(cunn_context context, cunn_buffer y, cunn_buffer x, int32_t transpose, int64_t rows, int64_t cols,
                  int64_t ldy, int64_t ldx);

/* y q8 or q4 from x any float, n a multiple of 32. For each block, d = the f16 rounding of max|x| / 127 (q8), or of
 * the element of largest magnitude / -8 (q4); q = x / d rounded to nearest even and clamped to the range. */
int32_t cunn_quantize(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n);

/* y[i] = d q[i]; y any float, x q8 or q4. */
int32_t cunn_dequantize(cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n);

/* cunn-abi-end */

#ifdef __cplusplus
}
#endif

#endif /* CUNN_H */
