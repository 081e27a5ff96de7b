/* The loader of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py. */
//go:build cgo

#include "table.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
  const char *name;
  size_t offset;
} symbols[] = {
    {"cunn_abi_version", offsetof(struct nn_table, abi_version)},
    {"cunn_version", offsetof(struct nn_table, version)},
    {"cunn_build_info", offsetof(struct nn_table, build_info)},
    {"cunn_status_name", offsetof(struct nn_table, status_name)},
    {"cunn_device_count", offsetof(struct nn_table, device_count)},
    {"cunn_device_name", offsetof(struct nn_table, device_name)},
    {"cunn_device_note", offsetof(struct nn_table, device_note)},
    {"cunn_device_memory", offsetof(struct nn_table, device_memory)},
    {"cunn_context_create", offsetof(struct nn_table, context_create)},
    {"cunn_context_destroy", offsetof(struct nn_table, context_destroy)},
    {"cunn_context_error", offsetof(struct nn_table, context_error)},
    {"cunn_context_isa", offsetof(struct nn_table, context_isa)},
    {"cunn_context_threads", offsetof(struct nn_table, context_threads)},
    {"cunn_context_memory", offsetof(struct nn_table, context_memory)},
    {"cunn_context_synchronize", offsetof(struct nn_table, context_synchronize)},
    {"cunn_buffer_create", offsetof(struct nn_table, buffer_create)},
    {"cunn_buffer_wrap", offsetof(struct nn_table, buffer_wrap)},
    {"cunn_buffer_view", offsetof(struct nn_table, buffer_view)},
    {"cunn_buffer_destroy", offsetof(struct nn_table, buffer_destroy)},
    {"cunn_buffer_info", offsetof(struct nn_table, buffer_info)},
    {"cunn_buffer_upload", offsetof(struct nn_table, buffer_upload)},
    {"cunn_buffer_download", offsetof(struct nn_table, buffer_download)},
    {"cunn_event_create", offsetof(struct nn_table, event_create)},
    {"cunn_event_destroy", offsetof(struct nn_table, event_destroy)},
    {"cunn_event_record", offsetof(struct nn_table, event_record)},
    {"cunn_event_wait", offsetof(struct nn_table, event_wait)},
    {"cunn_event_elapsed", offsetof(struct nn_table, event_elapsed)},
    {"cunn_graph_begin", offsetof(struct nn_table, graph_begin)},
    {"cunn_graph_end", offsetof(struct nn_table, graph_end)},
    {"cunn_graph_launch", offsetof(struct nn_table, graph_launch)},
    {"cunn_graph_destroy", offsetof(struct nn_table, graph_destroy)},
    {"cunn_graph_dump", offsetof(struct nn_table, graph_dump)},
    {"cunn_add_forward", offsetof(struct nn_table, add_forward)},
    {"cunn_mul_forward", offsetof(struct nn_table, mul_forward)},
    {"cunn_mul_backward", offsetof(struct nn_table, mul_backward)},
    {"cunn_scale_forward", offsetof(struct nn_table, scale_forward)},
    {"cunn_silu_forward", offsetof(struct nn_table, silu_forward)},
    {"cunn_silu_backward", offsetof(struct nn_table, silu_backward)},
    {"cunn_swiglu_forward", offsetof(struct nn_table, swiglu_forward)},
    {"cunn_swiglu_backward", offsetof(struct nn_table, swiglu_backward)},
    {"cunn_fill", offsetof(struct nn_table, fill)},
    {"cunn_softmax_forward", offsetof(struct nn_table, softmax_forward)},
    {"cunn_softmax_backward", offsetof(struct nn_table, softmax_backward)},
    {"cunn_top_k_forward", offsetof(struct nn_table, top_k_forward)},
    {"cunn_top_k_backward", offsetof(struct nn_table, top_k_backward)},
    {"cunn_softmax_top_k_forward", offsetof(struct nn_table, softmax_top_k_forward)},
    {"cunn_softmax_top_k_backward", offsetof(struct nn_table, softmax_top_k_backward)},
    {"cunn_rmsnorm_forward", offsetof(struct nn_table, rmsnorm_forward)},
    {"cunn_rmsnorm_backward", offsetof(struct nn_table, rmsnorm_backward)},
    {"cunn_rmsnorm_residual_forward", offsetof(struct nn_table, rmsnorm_residual_forward)},
    {"cunn_rmsnorm_residual_backward", offsetof(struct nn_table, rmsnorm_residual_backward)},
    {"cunn_gemm", offsetof(struct nn_table, gemm)},
    {"cunn_gemm_batched", offsetof(struct nn_table, gemm_batched)},
    {"cunn_gemm_grouped_rows", offsetof(struct nn_table, gemm_grouped_rows)},
    {"cunn_gemm_grouped_inner", offsetof(struct nn_table, gemm_grouped_inner)},
    {"cunn_gemm_grouped_swiglu_forward", offsetof(struct nn_table, gemm_grouped_swiglu_forward)},
    {"cunn_gemm_grouped_swiglu_backward", offsetof(struct nn_table, gemm_grouped_swiglu_backward)},
    {"cunn_rope_frequencies", offsetof(struct nn_table, rope_frequencies)},
    {"cunn_rope_forward", offsetof(struct nn_table, rope_forward)},
    {"cunn_rope_backward", offsetof(struct nn_table, rope_backward)},
    {"cunn_attention_scores_forward", offsetof(struct nn_table, attention_scores_forward)},
    {"cunn_attention_scores_backward", offsetof(struct nn_table, attention_scores_backward)},
    {"cunn_attention_output_forward", offsetof(struct nn_table, attention_output_forward)},
    {"cunn_attention_output_backward", offsetof(struct nn_table, attention_output_backward)},
    {"cunn_attention_forward", offsetof(struct nn_table, attention_forward)},
    {"cunn_attention_backward", offsetof(struct nn_table, attention_backward)},
    {"cunn_cache_append", offsetof(struct nn_table, cache_append)},
    {"cunn_attention_cached_forward", offsetof(struct nn_table, attention_cached_forward)},
    {"cunn_embedding_forward", offsetof(struct nn_table, embedding_forward)},
    {"cunn_embedding_backward", offsetof(struct nn_table, embedding_backward)},
    {"cunn_moe_route_forward", offsetof(struct nn_table, moe_route_forward)},
    {"cunn_moe_route_backward", offsetof(struct nn_table, moe_route_backward)},
    {"cunn_moe_dispatch_forward", offsetof(struct nn_table, moe_dispatch_forward)},
    {"cunn_moe_dispatch_backward", offsetof(struct nn_table, moe_dispatch_backward)},
    {"cunn_moe_combine_forward", offsetof(struct nn_table, moe_combine_forward)},
    {"cunn_moe_combine_backward", offsetof(struct nn_table, moe_combine_backward)},
    {"cunn_moe_balance_loss_forward", offsetof(struct nn_table, moe_balance_loss_forward)},
    {"cunn_moe_balance_loss_backward", offsetof(struct nn_table, moe_balance_loss_backward)},
    {"cunn_moe_z_loss_forward", offsetof(struct nn_table, moe_z_loss_forward)},
    {"cunn_moe_z_loss_backward", offsetof(struct nn_table, moe_z_loss_backward)},
    {"cunn_cross_entropy_count", offsetof(struct nn_table, cross_entropy_count)},
    {"cunn_cross_entropy_forward", offsetof(struct nn_table, cross_entropy_forward)},
    {"cunn_cross_entropy_backward", offsetof(struct nn_table, cross_entropy_backward)},
    {"cunn_sum_of_squares", offsetof(struct nn_table, sum_of_squares)},
    {"cunn_clip_scale", offsetof(struct nn_table, clip_scale)},
    {"cunn_adamw_step", offsetof(struct nn_table, adamw_step)},
    {"cunn_argmax", offsetof(struct nn_table, argmax)},
    {"cunn_sample", offsetof(struct nn_table, sample)},
    {"cunn_decode_advance", offsetof(struct nn_table, decode_advance)},
    {"cunn_random_init", offsetof(struct nn_table, random_init)},
    {"cunn_random_uniform", offsetof(struct nn_table, random_uniform)},
    {"cunn_copy", offsetof(struct nn_table, copy)},
    {"cunn_cast", offsetof(struct nn_table, cast)},
    {"cunn_pack", offsetof(struct nn_table, pack)},
    {"cunn_quantize", offsetof(struct nn_table, quantize)},
    {"cunn_dequantize", offsetof(struct nn_table, dequantize)},
};

int nn_table_open(struct nn_table **table, const char *path, char *text, int capacity, int32_t *version) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    snprintf(text, (size_t)capacity, "%s", dlerror());
    return 1;
  }
  int32_t (*abi_version)(void) = NULL;
  *(void **)&abi_version = dlsym(library, "cunn_abi_version");
  if (abi_version == NULL) {
    snprintf(text, (size_t)capacity, "it has no cunn_abi_version");
    dlclose(library);
    return 1;
  }
  *version = abi_version();
  if (*version != CUNN_ABI_VERSION) {
    dlclose(library);
    return 2;
  }
  char *slots = calloc(1, sizeof(struct nn_table));
  if (slots == NULL) {
    snprintf(text, (size_t)capacity, "out of memory");
    dlclose(library);
    return 1;
  }
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
    void *function = dlsym(library, symbols[i].name);
    if (function == NULL) {
      snprintf(text, (size_t)capacity, "it has no %s", symbols[i].name);
      free(slots);
      dlclose(library);
      return 1;
    }
    *(void **)(slots + symbols[i].offset) = function;
  }
  *table = (struct nn_table *)slots;
  return 0;
}
