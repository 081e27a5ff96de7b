/* The function table of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py. */
#ifndef NN_CUDA_TABLE_H
#define NN_CUDA_TABLE_H

#include <stdint.h>

enum { CUNN_ABI_VERSION = 1 };
enum { CUNN_OK = 0 };
enum { CUNN_INVALID_ARGUMENT = 1 };
enum { CUNN_OUT_OF_MEMORY = 2 };
enum { CUNN_UNSUPPORTED = 3 };
enum { CUNN_BUSY = 4 };
enum { CUNN_DEVICE = 5 };
enum { CUNN_INTERNAL = 6 };
enum { CUNN_CPU = 0 };
enum { CUNN_CUDA = 1 };
enum { CUNN_SIMT = 2 };
enum { CUNN_F32 = 0 };
enum { CUNN_BF16 = 1 };
enum { CUNN_F16 = 2 };
enum { CUNN_I32 = 3 };
enum { CUNN_I64 = 4 };
enum { CUNN_U8 = 5 };
enum { CUNN_Q8 = 6 };
enum { CUNN_Q4 = 7 };
enum { CUNN_STREAM_INIT = 0 };
enum { CUNN_STREAM_DATA = 1 };
enum { CUNN_STREAM_SAMPLING = 2 };
enum { CUNN_STREAM_ROUNDING = 3 };

typedef int64_t cunn_context;
typedef int64_t cunn_buffer;
typedef int64_t cunn_event;
typedef int64_t cunn_graph;

struct nn_table {
  int32_t (*abi_version)(void);
  const char *(*version)(void);
  const char *(*build_info)(void);
  const char *(*status_name)(int32_t);
  int32_t (*device_count)(int32_t *, int32_t);
  const char *(*device_name)(int32_t, int32_t);
  const char *(*device_note)(int32_t);
  int32_t (*device_memory)(int64_t *, int64_t *, int32_t, int32_t);
  int32_t (*context_create)(cunn_context *, int32_t, int32_t, int32_t, const char *);
  int32_t (*context_destroy)(cunn_context);
  const char *(*context_error)(cunn_context);
  const char *(*context_isa)(cunn_context);
  int32_t (*context_threads)(cunn_context, int32_t *);
  int32_t (*context_memory)(cunn_context, int64_t *, int64_t *);
  int32_t (*context_synchronize)(cunn_context);
  int32_t (*buffer_create)(cunn_context, cunn_buffer *, int32_t, int64_t);
  int32_t (*buffer_wrap)(cunn_context, cunn_buffer *, int32_t, int64_t, void *);
  int32_t (*buffer_view)(cunn_context, cunn_buffer *, cunn_buffer, int64_t, int64_t);
  int32_t (*buffer_destroy)(cunn_context, cunn_buffer);
  int32_t (*buffer_info)(cunn_context, int32_t *, int64_t *, int64_t *, cunn_buffer);
  int32_t (*buffer_upload)(cunn_context, cunn_buffer, int64_t, int64_t, const void *);
  int32_t (*buffer_download)(cunn_context, void *, cunn_buffer, int64_t, int64_t);
  int32_t (*event_create)(cunn_context, cunn_event *);
  int32_t (*event_destroy)(cunn_context, cunn_event);
  int32_t (*event_record)(cunn_context, cunn_event);
  int32_t (*event_wait)(cunn_context, cunn_event);
  int32_t (*event_elapsed)(cunn_context, double *, cunn_event, cunn_event);
  int32_t (*graph_begin)(cunn_context);
  int32_t (*graph_end)(cunn_context, cunn_graph *);
  int32_t (*graph_launch)(cunn_context, cunn_graph);
  int32_t (*graph_destroy)(cunn_context, cunn_graph);
  int32_t (*graph_dump)(cunn_context, void *, int64_t *, cunn_graph, int64_t);
  int32_t (*add_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*mul_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*mul_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*scale_forward)(cunn_context, cunn_buffer, cunn_buffer, int64_t, double);
  int32_t (*silu_forward)(cunn_context, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*silu_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*swiglu_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*swiglu_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*fill)(cunn_context, cunn_buffer, int64_t, double);
  int32_t (*softmax_forward)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t);
  int32_t (*softmax_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*top_k_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t);
  int32_t (*top_k_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t);
  int32_t (*softmax_top_k_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t);
  int32_t (*softmax_top_k_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t);
  int32_t (*rmsnorm_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, double);
  int32_t (*rmsnorm_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t);
  int32_t (*rmsnorm_residual_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, double);
  int32_t (*rmsnorm_residual_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t);
  int32_t (*gemm)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int32_t, int32_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, double);
  int32_t (*gemm_batched)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int32_t, int32_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double, double);
  int32_t (*gemm_grouped_rows)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int32_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*gemm_grouped_inner)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*gemm_grouped_swiglu_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*gemm_grouped_swiglu_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*rope_frequencies)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t, double, double);
  int32_t (*rope_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*rope_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*attention_scores_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*attention_scores_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*attention_output_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*attention_output_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*attention_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*attention_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*cache_append)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*attention_cached_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, double);
  int32_t (*embedding_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*embedding_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_route_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_route_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_dispatch_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_dispatch_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_combine_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_combine_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_balance_loss_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*moe_balance_loss_backward)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t, double);
  int32_t (*moe_z_loss_forward)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t);
  int32_t (*moe_z_loss_backward)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t, double);
  int32_t (*cross_entropy_count)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t);
  int32_t (*cross_entropy_forward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*cross_entropy_backward)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*sum_of_squares)(cunn_context, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*clip_scale)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, double);
  int32_t (*adamw_step)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, double, double, double, double);
  int32_t (*argmax)(cunn_context, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*sample)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t, int64_t);
  int32_t (*decode_advance)(cunn_context, cunn_buffer, cunn_buffer, cunn_buffer, int64_t, int64_t);
  int32_t (*random_init)(cunn_context, cunn_buffer, int64_t, int64_t, int64_t, int64_t);
  int32_t (*random_uniform)(cunn_context, cunn_buffer, int64_t, int64_t, int64_t, int32_t, int64_t);
  int32_t (*copy)(cunn_context, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*cast)(cunn_context, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*pack)(cunn_context, cunn_buffer, cunn_buffer, int32_t, int64_t, int64_t, int64_t, int64_t);
  int32_t (*quantize)(cunn_context, cunn_buffer, cunn_buffer, int64_t);
  int32_t (*dequantize)(cunn_context, cunn_buffer, cunn_buffer, int64_t);
};

/* Opens a library and fills a new table once its ABI version is CUNN_ABI_VERSION; both stay for good. Returns 0;
 * or 1 with the reason in text; or 2 with the library's ABI version in *version. A failed call leaves nothing. */
int nn_table_open(struct nn_table **table, const char *path, char *text, int capacity, int32_t *version);

/* One call each: cgo cannot call through a pointer. */
static inline int32_t nn_abi_version(const struct nn_table *table) {
  return table->abi_version();
}
static inline const char *nn_version(const struct nn_table *table) {
  return table->version();
}
static inline const char *nn_build_info(const struct nn_table *table) {
  return table->build_info();
}
static inline const char *nn_status_name(const struct nn_table *table, int32_t status) {
  return table->status_name(status);
}
static inline int32_t nn_device_count(const struct nn_table *table, int32_t *count, int32_t device) {
  return table->device_count(count, device);
}
static inline const char *nn_device_name(const struct nn_table *table, int32_t device, int32_t ordinal) {
  return table->device_name(device, ordinal);
}
static inline const char *nn_device_note(const struct nn_table *table, int32_t device) {
  return table->device_note(device);
}
static inline int32_t nn_device_memory(const struct nn_table *table, int64_t *total, int64_t *available, int32_t device, int32_t ordinal) {
  return table->device_memory(total, available, device, ordinal);
}
static inline int32_t nn_context_create(const struct nn_table *table, cunn_context *context, int32_t device, int32_t ordinal, int32_t threads, const char *isa) {
  return table->context_create(context, device, ordinal, threads, isa);
}
static inline int32_t nn_context_destroy(const struct nn_table *table, cunn_context context) {
  return table->context_destroy(context);
}
static inline const char *nn_context_error(const struct nn_table *table, cunn_context context) {
  return table->context_error(context);
}
static inline const char *nn_context_isa(const struct nn_table *table, cunn_context context) {
  return table->context_isa(context);
}
static inline int32_t nn_context_threads(const struct nn_table *table, cunn_context context, int32_t *threads) {
  return table->context_threads(context, threads);
}
static inline int32_t nn_context_memory(const struct nn_table *table, cunn_context context, int64_t *bytes, int64_t *peak) {
  return table->context_memory(context, bytes, peak);
}
static inline int32_t nn_context_synchronize(const struct nn_table *table, cunn_context context) {
  return table->context_synchronize(context);
}
static inline int32_t nn_buffer_create(const struct nn_table *table, cunn_context context, cunn_buffer *buffer, int32_t dtype, int64_t count) {
  return table->buffer_create(context, buffer, dtype, count);
}
static inline int32_t nn_buffer_wrap(const struct nn_table *table, cunn_context context, cunn_buffer *buffer, int32_t dtype, int64_t count, void *host) {
  return table->buffer_wrap(context, buffer, dtype, count, host);
}
static inline int32_t nn_buffer_view(const struct nn_table *table, cunn_context context, cunn_buffer *view, cunn_buffer buffer, int64_t offset, int64_t count) {
  return table->buffer_view(context, view, buffer, offset, count);
}
static inline int32_t nn_buffer_destroy(const struct nn_table *table, cunn_context context, cunn_buffer buffer) {
  return table->buffer_destroy(context, buffer);
}
static inline int32_t nn_buffer_info(const struct nn_table *table, cunn_context context, int32_t *dtype, int64_t *count, int64_t *bytes, cunn_buffer buffer) {
  return table->buffer_info(context, dtype, count, bytes, buffer);
}
static inline int32_t nn_buffer_upload(const struct nn_table *table, cunn_context context, cunn_buffer buffer, int64_t offset, int64_t count, const void *host) {
  return table->buffer_upload(context, buffer, offset, count, host);
}
static inline int32_t nn_buffer_download(const struct nn_table *table, cunn_context context, void *host, cunn_buffer buffer, int64_t offset, int64_t count) {
  return table->buffer_download(context, host, buffer, offset, count);
}
static inline int32_t nn_event_create(const struct nn_table *table, cunn_context context, cunn_event *event) {
  return table->event_create(context, event);
}
static inline int32_t nn_event_destroy(const struct nn_table *table, cunn_context context, cunn_event event) {
  return table->event_destroy(context, event);
}
static inline int32_t nn_event_record(const struct nn_table *table, cunn_context context, cunn_event event) {
  return table->event_record(context, event);
}
static inline int32_t nn_event_wait(const struct nn_table *table, cunn_context context, cunn_event event) {
  return table->event_wait(context, event);
}
static inline int32_t nn_event_elapsed(const struct nn_table *table, cunn_context context, double *milliseconds, cunn_event start, cunn_event end) {
  return table->event_elapsed(context, milliseconds, start, end);
}
static inline int32_t nn_graph_begin(const struct nn_table *table, cunn_context context) {
  return table->graph_begin(context);
}
static inline int32_t nn_graph_end(const struct nn_table *table, cunn_context context, cunn_graph *graph) {
  return table->graph_end(context, graph);
}
static inline int32_t nn_graph_launch(const struct nn_table *table, cunn_context context, cunn_graph graph) {
  return table->graph_launch(context, graph);
}
static inline int32_t nn_graph_destroy(const struct nn_table *table, cunn_context context, cunn_graph graph) {
  return table->graph_destroy(context, graph);
}
static inline int32_t nn_graph_dump(const struct nn_table *table, cunn_context context, void *text, int64_t *length, cunn_graph graph, int64_t capacity) {
  return table->graph_dump(context, text, length, graph, capacity);
}
static inline int32_t nn_add_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer a, cunn_buffer b, int64_t n) {
  return table->add_forward(context, y, a, b, n);
}
static inline int32_t nn_mul_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer a, cunn_buffer b, int64_t n) {
  return table->mul_forward(context, y, a, b, n);
}
static inline int32_t nn_mul_backward(const struct nn_table *table, cunn_context context, cunn_buffer da, cunn_buffer db, cunn_buffer dy, cunn_buffer a, cunn_buffer b, int64_t n) {
  return table->mul_backward(context, da, db, dy, a, b, n);
}
static inline int32_t nn_scale_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n, double alpha) {
  return table->scale_forward(context, y, x, n, alpha);
}
static inline int32_t nn_silu_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return table->silu_forward(context, y, x, n);
}
static inline int32_t nn_silu_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer dy, cunn_buffer x, int64_t n) {
  return table->silu_backward(context, dx, dy, x, n);
}
static inline int32_t nn_swiglu_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer gate, cunn_buffer up, int64_t n) {
  return table->swiglu_forward(context, y, gate, up, n);
}
static inline int32_t nn_swiglu_backward(const struct nn_table *table, cunn_context context, cunn_buffer dgate, cunn_buffer dup, cunn_buffer dy, cunn_buffer gate, cunn_buffer up, int64_t n) {
  return table->swiglu_backward(context, dgate, dup, dy, gate, up, n);
}
static inline int32_t nn_fill(const struct nn_table *table, cunn_context context, cunn_buffer y, int64_t n, double value) {
  return table->fill(context, y, n, value);
}
static inline int32_t nn_softmax_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t rows, int64_t cols, int64_t ldy, int64_t ldx) {
  return table->softmax_forward(context, y, x, rows, cols, ldy, ldx);
}
static inline int32_t nn_softmax_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer dy, cunn_buffer y, int64_t rows, int64_t cols, int64_t ld) {
  return table->softmax_backward(context, dx, dy, y, rows, cols, ld);
}
static inline int32_t nn_top_k_forward(const struct nn_table *table, cunn_context context, cunn_buffer values, cunn_buffer indices, cunn_buffer x, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return table->top_k_forward(context, values, indices, x, rows, cols, ldx, k);
}
static inline int32_t nn_top_k_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer dvalues, cunn_buffer indices, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return table->top_k_backward(context, dx, dvalues, indices, rows, cols, ldx, k);
}
static inline int32_t nn_softmax_top_k_forward(const struct nn_table *table, cunn_context context, cunn_buffer probs, cunn_buffer values, cunn_buffer indices, cunn_buffer x, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return table->softmax_top_k_forward(context, probs, values, indices, x, rows, cols, ldx, k);
}
static inline int32_t nn_softmax_top_k_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer dvalues, cunn_buffer indices, cunn_buffer probs, int64_t rows, int64_t cols, int64_t ldx, int64_t k) {
  return table->softmax_top_k_backward(context, dx, dvalues, indices, probs, rows, cols, ldx, k);
}
static inline int32_t nn_rmsnorm_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer rstd, cunn_buffer x, cunn_buffer w, int64_t rows, int64_t cols, double eps) {
  return table->rmsnorm_forward(context, y, rstd, x, w, rows, cols, eps);
}
static inline int32_t nn_rmsnorm_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer dw, cunn_buffer dy, cunn_buffer x, cunn_buffer w, cunn_buffer rstd, int64_t rows, int64_t cols) {
  return table->rmsnorm_backward(context, dx, dw, dy, x, w, rstd, rows, cols);
}
static inline int32_t nn_rmsnorm_residual_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer h, cunn_buffer rstd, cunn_buffer x, cunn_buffer residual, cunn_buffer w, int64_t rows, int64_t cols, double eps) {
  return table->rmsnorm_residual_forward(context, y, h, rstd, x, residual, w, rows, cols, eps);
}
static inline int32_t nn_rmsnorm_residual_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer dw, cunn_buffer dy, cunn_buffer dh, cunn_buffer h, cunn_buffer w, cunn_buffer rstd, int64_t rows, int64_t cols) {
  return table->rmsnorm_residual_backward(context, dx, dw, dy, dh, h, w, rstd, rows, cols);
}
static inline int32_t nn_gemm(const struct nn_table *table, cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, int32_t trans_a, int32_t trans_b, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda, int64_t ldb, double alpha, double beta) {
  return table->gemm(context, c, a, b, trans_a, trans_b, m, n, k, ldc, lda, ldb, alpha, beta);
}
static inline int32_t nn_gemm_batched(const struct nn_table *table, cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, int32_t trans_a, int32_t trans_b, int64_t batch, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_c, int64_t stride_a, int64_t stride_b, double alpha, double beta) {
  return table->gemm_batched(context, c, a, b, trans_a, trans_b, batch, m, n, k, ldc, lda, ldb, stride_c, stride_a, stride_b, alpha, beta);
}
static inline int32_t nn_gemm_grouped_rows(const struct nn_table *table, cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, cunn_buffer offsets, cunn_buffer a_rows, int32_t trans_b, int64_t groups, int64_t m, int64_t n, int64_t k, int64_t a_row_count, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b, double beta) {
  return table->gemm_grouped_rows(context, c, a, b, offsets, a_rows, trans_b, groups, m, n, k, a_row_count, ldc, lda, ldb, stride_b, beta);
}
static inline int32_t nn_gemm_grouped_inner(const struct nn_table *table, cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, cunn_buffer offsets, cunn_buffer b_rows, int64_t groups, int64_t m, int64_t n, int64_t k, int64_t b_row_count, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_c, double beta) {
  return table->gemm_grouped_inner(context, c, a, b, offsets, b_rows, groups, m, n, k, b_row_count, ldc, lda, ldb, stride_c, beta);
}
static inline int32_t nn_gemm_grouped_swiglu_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer gate, cunn_buffer up, cunn_buffer a, cunn_buffer w_gate, cunn_buffer w_up, cunn_buffer offsets, cunn_buffer a_rows, int64_t groups, int64_t m, int64_t n, int64_t k, int64_t a_row_count, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b) {
  return table->gemm_grouped_swiglu_forward(context, y, gate, up, a, w_gate, w_up, offsets, a_rows, groups, m, n, k, a_row_count, ldc, lda, ldb, stride_b);
}
static inline int32_t nn_gemm_grouped_swiglu_backward(const struct nn_table *table, cunn_context context, cunn_buffer dgate, cunn_buffer dup, cunn_buffer a, cunn_buffer w_down, cunn_buffer offsets, cunn_buffer gate, cunn_buffer up, int64_t groups, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b) {
  return table->gemm_grouped_swiglu_backward(context, dgate, dup, a, w_down, offsets, gate, up, groups, m, n, k, ldc, lda, ldb, stride_b);
}
static inline int32_t nn_rope_frequencies(const struct nn_table *table, cunn_context context, cunn_buffer cos, cunn_buffer sin, int64_t positions, int64_t head_dim, double theta, double ntk_alpha) {
  return table->rope_frequencies(context, cos, sin, positions, head_dim, theta, ntk_alpha);
}
static inline int32_t nn_rope_forward(const struct nn_table *table, cunn_context context, cunn_buffer q_out, cunn_buffer k_out, cunn_buffer q, cunn_buffer k, cunn_buffer cos, cunn_buffer sin, cunn_buffer positions, int64_t tokens, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t table_positions, int64_t q_token_stride, int64_t q_head_stride, int64_t k_token_stride, int64_t k_head_stride) {
  return table->rope_forward(context, q_out, k_out, q, k, cos, sin, positions, tokens, n_heads, n_kv_heads, head_dim, table_positions, q_token_stride, q_head_stride, k_token_stride, k_head_stride);
}
static inline int32_t nn_rope_backward(const struct nn_table *table, cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dq_out, cunn_buffer dk_out, cunn_buffer cos, cunn_buffer sin, cunn_buffer positions, int64_t tokens, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t table_positions, int64_t q_token_stride, int64_t q_head_stride, int64_t k_token_stride, int64_t k_head_stride) {
  return table->rope_backward(context, dq, dk, dq_out, dk_out, cos, sin, positions, tokens, n_heads, n_kv_heads, head_dim, table_positions, q_token_stride, q_head_stride, k_token_stride, k_head_stride);
}
static inline int32_t nn_attention_scores_forward(const struct nn_table *table, cunn_context context, cunn_buffer scores, cunn_buffer q, cunn_buffer k, int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride, double scale) {
  return table->attention_scores_forward(context, scores, q, k, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale);
}
static inline int32_t nn_attention_scores_backward(const struct nn_table *table, cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dscores, cunn_buffer q, cunn_buffer k, int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride, double scale) {
  return table->attention_scores_backward(context, dq, dk, dscores, q, k, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale);
}
static inline int32_t nn_attention_output_forward(const struct nn_table *table, cunn_context context, cunn_buffer out, cunn_buffer probs, cunn_buffer v, int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t kv_token_stride, int64_t kv_head_stride) {
  return table->attention_output_forward(context, out, probs, v, batch, seq_len, n_heads, n_kv_heads, head_dim, kv_token_stride, kv_head_stride);
}
static inline int32_t nn_attention_output_backward(const struct nn_table *table, cunn_context context, cunn_buffer dprobs, cunn_buffer dv, cunn_buffer dout, cunn_buffer probs, cunn_buffer v, int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t kv_token_stride, int64_t kv_head_stride) {
  return table->attention_output_backward(context, dprobs, dv, dout, probs, v, batch, seq_len, n_heads, n_kv_heads, head_dim, kv_token_stride, kv_head_stride);
}
static inline int32_t nn_attention_forward(const struct nn_table *table, cunn_context context, cunn_buffer out, cunn_buffer lse, cunn_buffer q, cunn_buffer k, cunn_buffer v, cunn_buffer lengths, int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride, double scale) {
  return table->attention_forward(context, out, lse, q, k, v, lengths, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale);
}
static inline int32_t nn_attention_backward(const struct nn_table *table, cunn_context context, cunn_buffer dq, cunn_buffer dk, cunn_buffer dv, cunn_buffer dout, cunn_buffer q, cunn_buffer k, cunn_buffer v, cunn_buffer out, cunn_buffer lse, cunn_buffer lengths, int64_t batch, int64_t seq_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t q_token_stride, int64_t q_head_stride, int64_t kv_token_stride, int64_t kv_head_stride, double scale) {
  return table->attention_backward(context, dq, dk, dv, dout, q, k, v, out, lse, lengths, batch, seq_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride, scale);
}
static inline int32_t nn_cache_append(const struct nn_table *table, cunn_context context, cunn_buffer k_cache, cunn_buffer v_cache, cunn_buffer k, cunn_buffer v, cunn_buffer block_table, cunn_buffer positions, cunn_buffer lengths, int64_t batch, int64_t new_len, int64_t n_kv_heads, int64_t head_dim, int64_t page_size, int64_t pages_per_sequence, int64_t n_pages, int64_t kv_token_stride, int64_t kv_head_stride) {
  return table->cache_append(context, k_cache, v_cache, k, v, block_table, positions, lengths, batch, new_len, n_kv_heads, head_dim, page_size, pages_per_sequence, n_pages, kv_token_stride, kv_head_stride);
}
static inline int32_t nn_attention_cached_forward(const struct nn_table *table, cunn_context context, cunn_buffer out, cunn_buffer q, cunn_buffer k_cache, cunn_buffer v_cache, cunn_buffer block_table, cunn_buffer positions, cunn_buffer lengths, int64_t batch, int64_t new_len, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, int64_t page_size, int64_t pages_per_sequence, int64_t n_pages, int64_t q_token_stride, int64_t q_head_stride, double scale) {
  return table->attention_cached_forward(context, out, q, k_cache, v_cache, block_table, positions, lengths, batch, new_len, n_heads, n_kv_heads, head_dim, page_size, pages_per_sequence, n_pages, q_token_stride, q_head_stride, scale);
}
static inline int32_t nn_embedding_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer ids, cunn_buffer w, int64_t tokens, int64_t vocab, int64_t hidden) {
  return table->embedding_forward(context, y, ids, w, tokens, vocab, hidden);
}
static inline int32_t nn_embedding_backward(const struct nn_table *table, cunn_context context, cunn_buffer dw, cunn_buffer dy, cunn_buffer ids, int64_t tokens, int64_t vocab, int64_t hidden) {
  return table->embedding_backward(context, dw, dy, ids, tokens, vocab, hidden);
}
static inline int32_t nn_moe_route_forward(const struct nn_table *table, cunn_context context, cunn_buffer probs, cunn_buffer experts, cunn_buffer weights, cunn_buffer logits, int64_t tokens, int64_t n_experts, int64_t top_k) {
  return table->moe_route_forward(context, probs, experts, weights, logits, tokens, n_experts, top_k);
}
static inline int32_t nn_moe_route_backward(const struct nn_table *table, cunn_context context, cunn_buffer dlogits, cunn_buffer dweights, cunn_buffer dprobs, cunn_buffer dlogits_z, cunn_buffer probs, cunn_buffer experts, cunn_buffer weights, int64_t tokens, int64_t n_experts, int64_t top_k) {
  return table->moe_route_backward(context, dlogits, dweights, dprobs, dlogits_z, probs, experts, weights, tokens, n_experts, top_k);
}
static inline int32_t nn_moe_dispatch_forward(const struct nn_table *table, cunn_context context, cunn_buffer offsets, cunn_buffer row_token, cunn_buffer token_row, cunn_buffer experts, int64_t tokens, int64_t n_experts, int64_t top_k) {
  return table->moe_dispatch_forward(context, offsets, row_token, token_row, experts, tokens, n_experts, top_k);
}
static inline int32_t nn_moe_dispatch_backward(const struct nn_table *table, cunn_context context, cunn_buffer dx, cunn_buffer drows, cunn_buffer token_row, int64_t tokens, int64_t top_k, int64_t hidden) {
  return table->moe_dispatch_backward(context, dx, drows, token_row, tokens, top_k, hidden);
}
static inline int32_t nn_moe_combine_forward(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer residual, cunn_buffer rows, cunn_buffer weights, cunn_buffer token_row, int64_t tokens, int64_t top_k, int64_t hidden) {
  return table->moe_combine_forward(context, y, residual, rows, weights, token_row, tokens, top_k, hidden);
}
static inline int32_t nn_moe_combine_backward(const struct nn_table *table, cunn_context context, cunn_buffer drows, cunn_buffer dweights, cunn_buffer dy, cunn_buffer rows, cunn_buffer weights, cunn_buffer token_row, int64_t tokens, int64_t top_k, int64_t hidden) {
  return table->moe_combine_backward(context, drows, dweights, dy, rows, weights, token_row, tokens, top_k, hidden);
}
static inline int32_t nn_moe_balance_loss_forward(const struct nn_table *table, cunn_context context, cunn_buffer loss, cunn_buffer fractions, cunn_buffer probs, cunn_buffer experts, int64_t tokens, int64_t n_experts, int64_t top_k) {
  return table->moe_balance_loss_forward(context, loss, fractions, probs, experts, tokens, n_experts, top_k);
}
static inline int32_t nn_moe_balance_loss_backward(const struct nn_table *table, cunn_context context, cunn_buffer dprobs, cunn_buffer fractions, int64_t tokens, int64_t n_experts, int64_t top_k, double coef) {
  return table->moe_balance_loss_backward(context, dprobs, fractions, tokens, n_experts, top_k, coef);
}
static inline int32_t nn_moe_z_loss_forward(const struct nn_table *table, cunn_context context, cunn_buffer loss, cunn_buffer logits, int64_t tokens, int64_t n_experts) {
  return table->moe_z_loss_forward(context, loss, logits, tokens, n_experts);
}
static inline int32_t nn_moe_z_loss_backward(const struct nn_table *table, cunn_context context, cunn_buffer dlogits, cunn_buffer logits, int64_t tokens, int64_t n_experts, double coef) {
  return table->moe_z_loss_backward(context, dlogits, logits, tokens, n_experts, coef);
}
static inline int32_t nn_cross_entropy_count(const struct nn_table *table, cunn_context context, cunn_buffer count, cunn_buffer targets, int64_t rows, int64_t vocab) {
  return table->cross_entropy_count(context, count, targets, rows, vocab);
}
static inline int32_t nn_cross_entropy_forward(const struct nn_table *table, cunn_context context, cunn_buffer loss, cunn_buffer losses, cunn_buffer lse, cunn_buffer logits, cunn_buffer targets, int64_t rows, int64_t vocab, int64_t ld) {
  return table->cross_entropy_forward(context, loss, losses, lse, logits, targets, rows, vocab, ld);
}
static inline int32_t nn_cross_entropy_backward(const struct nn_table *table, cunn_context context, cunn_buffer dlogits, cunn_buffer logits, cunn_buffer lse, cunn_buffer targets, cunn_buffer count, int64_t rows, int64_t vocab, int64_t ld) {
  return table->cross_entropy_backward(context, dlogits, logits, lse, targets, count, rows, vocab, ld);
}
static inline int32_t nn_sum_of_squares(const struct nn_table *table, cunn_context context, cunn_buffer sum, cunn_buffer x, int64_t n) {
  return table->sum_of_squares(context, sum, x, n);
}
static inline int32_t nn_clip_scale(const struct nn_table *table, cunn_context context, cunn_buffer scale, cunn_buffer norm, cunn_buffer nonfinite, cunn_buffer applied, cunn_buffer sum, double max_norm) {
  return table->clip_scale(context, scale, norm, nonfinite, applied, sum, max_norm);
}
static inline int32_t nn_adamw_step(const struct nn_table *table, cunn_context context, cunn_buffer param, cunn_buffer master, cunn_buffer m, cunn_buffer v, cunn_buffer grad, cunn_buffer lr, cunn_buffer scale, cunn_buffer nonfinite, cunn_buffer applied, cunn_buffer seed, int64_t n, int64_t start, double beta1, double beta2, double eps, double weight_decay) {
  return table->adamw_step(context, param, master, m, v, grad, lr, scale, nonfinite, applied, seed, n, start, beta1, beta2, eps, weight_decay);
}
static inline int32_t nn_argmax(const struct nn_table *table, cunn_context context, cunn_buffer ids, cunn_buffer logits, int64_t rows, int64_t cols, int64_t ld) {
  return table->argmax(context, ids, logits, rows, cols, ld);
}
static inline int32_t nn_sample(const struct nn_table *table, cunn_context context, cunn_buffer ids, cunn_buffer logits, cunn_buffer temperature, cunn_buffer top_k, cunn_buffer top_p, cunn_buffer samples, cunn_buffer positions, cunn_buffer seed, int64_t rows, int64_t cols, int64_t ld) {
  return table->sample(context, ids, logits, temperature, top_k, top_p, samples, positions, seed, rows, cols, ld);
}
static inline int32_t nn_decode_advance(const struct nn_table *table, cunn_context context, cunn_buffer positions, cunn_buffer finished, cunn_buffer ids, int64_t batch, int64_t eos_id) {
  return table->decode_advance(context, positions, finished, ids, batch, eos_id);
}
static inline int32_t nn_random_init(const struct nn_table *table, cunn_context context, cunn_buffer y, int64_t n, int64_t start, int64_t seed, int64_t tensor) {
  return table->random_init(context, y, n, start, seed, tensor);
}
static inline int32_t nn_random_uniform(const struct nn_table *table, cunn_context context, cunn_buffer y, int64_t n, int64_t start, int64_t seed, int32_t stream, int64_t sub) {
  return table->random_uniform(context, y, n, start, seed, stream, sub);
}
static inline int32_t nn_copy(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return table->copy(context, y, x, n);
}
static inline int32_t nn_cast(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return table->cast(context, y, x, n);
}
static inline int32_t nn_pack(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int32_t transpose, int64_t rows, int64_t cols, int64_t ldy, int64_t ldx) {
  return table->pack(context, y, x, transpose, rows, cols, ldy, ldx);
}
static inline int32_t nn_quantize(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return table->quantize(context, y, x, n);
}
static inline int32_t nn_dequantize(const struct nn_table *table, cunn_context context, cunn_buffer y, cunn_buffer x, int64_t n) {
  return table->dequantize(context, y, x, n);
}

#endif
