/* Harness of the ABI's test: the functions as a run-time loader sees them, and checks that count. */
#ifndef CUNN_ABI_TEST_H
#define CUNN_ABI_TEST_H

#include <stdio.h>
#include <string.h>

#include "cunn.h"

/* Every function of cunn.h. */
#define FUNCTIONS(X)                                                                                                 \
  X(abi_version) X(version) X(build_info) X(status_name) X(device_count) X(device_name) X(device_note)               \
  X(device_memory) X(context_create) X(context_destroy) X(context_error) X(context_isa) X(context_threads)           \
  X(context_memory) X(context_synchronize) X(buffer_create) X(buffer_wrap) X(buffer_view) X(buffer_destroy)          \
  X(buffer_info) X(buffer_upload) X(buffer_download) X(event_create) X(event_destroy) X(event_record) X(event_wait)  \
  X(event_elapsed) X(graph_begin) X(graph_end) X(graph_launch) X(graph_destroy) X(graph_dump) X(add_forward)         \
  X(mul_forward) X(mul_backward) X(scale_forward) X(silu_forward) X(silu_backward) X(swiglu_forward)                 \
  X(swiglu_backward) X(fill) X(softmax_forward) X(softmax_backward) X(top_k_forward) X(top_k_backward)               \
  X(softmax_top_k_forward) X(softmax_top_k_backward) X(rmsnorm_forward) X(rmsnorm_backward)                          \
  X(rmsnorm_residual_forward) X(rmsnorm_residual_backward) X(gemm) X(gemm_batched) X(gemm_grouped_rows)              \
  X(gemm_grouped_inner) X(gemm_grouped_swiglu_forward) X(gemm_grouped_swiglu_backward) X(rope_frequencies)           \
  X(rope_forward) X(rope_backward) X(attention_scores_forward) X(attention_scores_backward)                          \
  X(attention_output_forward) X(attention_output_backward) X(attention_forward) X(attention_backward)                \
  X(cache_append) X(attention_cached_forward) X(embedding_forward) X(embedding_backward) X(moe_route_forward)        \
  X(moe_route_backward) X(moe_dispatch_forward) X(moe_dispatch_backward) X(moe_combine_forward)                      \
  X(moe_combine_backward) X(moe_balance_loss_forward) X(moe_balance_loss_backward) X(moe_z_loss_forward)             \
  X(moe_z_loss_backward) X(cross_entropy_count) X(cross_entropy_forward) X(cross_entropy_backward) X(sum_of_squares) \
  X(clip_scale) X(adamw_step) X(argmax) X(sample) X(decode_advance) X(random_init) X(random_uniform) X(copy) X(cast) \
  X(pack) X(quantize) X(dequantize)

/* __typeof__ reads the header's own declarations, so nothing is declared twice. */
#define X(name) __typeof__(cunn_##name) *name;
struct library {
  FUNCTIONS(X)
};
#undef X
extern struct library cunn;

void check(int holds, const char *what, const char *file, int line);
void check_int(long long got, long long want, const char *what, const char *file, int line);
void check_text(const char *got, const char *want, const char *what, const char *file, int line);

#define CHECK(condition) check((condition) != 0, #condition, __FILE__, __LINE__)
#define EQUAL(got, want) check_int((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define TEXT(got, want) check_text((got), (want), #got, __FILE__, __LINE__)
#define OK(call) check_int((call), CUNN_OK, #call, __FILE__, __LINE__)

/* The call fails with this status and leaves this sentence. */
#define FAILS(context, call, status, sentence)                                      \
  do {                                                                              \
    check_int((call), (status), #call, __FILE__, __LINE__);                         \
    check_text(cunn.context_error(context), (sentence), #call, __FILE__, __LINE__); \
  } while (0)
#define INVALID(context, call, sentence) FAILS(context, call, CUNN_INVALID_ARGUMENT, sentence)

cunn_context open_cpu(int threads);
cunn_buffer make(cunn_context context, int32_t dtype, int64_t count);
cunn_buffer make_f32(cunn_context context, const float *values, int64_t count);
cunn_buffer make_i32(cunn_context context, const int32_t *values, int64_t count);

/* The other library is a copy of the first, opened beside it. */
void test_two_libraries(const struct library *other);
void test_library(void);
void test_contexts(void);
void test_buffers(void);
void test_events(void);
void test_handles(void);
void test_arguments(void);
void test_every_op_checks_its_buffers(void);
void test_aliasing(void);
void test_empty_problems(void);
void test_values_on_the_device(void);
void test_graphs(void);
void test_busy(void);
void test_destroy_in_use(void);
void test_internal(void);
void test_float_environment(void);
void test_fork(void);

#endif
