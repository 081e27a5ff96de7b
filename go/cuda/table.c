/* The loader of libcunn, generated from cuda/include/cunn.h by cuda/tools/bindings.py. */
//go:build cgo

#include "table.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

struct nn_table nn_table;

static const struct {
  const char *name;
  void **slot;
} symbols[] = {
    {"cunn_abi_version", (void **)&nn_table.abi_version},
    {"cunn_version", (void **)&nn_table.version},
    {"cunn_build_info", (void **)&nn_table.build_info},
    {"cunn_status_name", (void **)&nn_table.status_name},
    {"cunn_device_count", (void **)&nn_table.device_count},
    {"cunn_device_name", (void **)&nn_table.device_name},
    {"cunn_device_note", (void **)&nn_table.device_note},
    {"cunn_device_memory", (void **)&nn_table.device_memory},
    {"cunn_context_create", (void **)&nn_table.context_create},
    {"cunn_context_destroy", (void **)&nn_table.context_destroy},
    {"cunn_context_error", (void **)&nn_table.context_error},
    {"cunn_context_isa", (void **)&nn_table.context_isa},
    {"cunn_context_threads", (void **)&nn_table.context_threads},
    {"cunn_context_memory", (void **)&nn_table.context_memory},
    {"cunn_context_synchronize", (void **)&nn_table.context_synchronize},
    {"cunn_buffer_create", (void **)&nn_table.buffer_create},
    {"cunn_buffer_wrap", (void **)&nn_table.buffer_wrap},
    {"cunn_buffer_view", (void **)&nn_table.buffer_view},
    {"cunn_buffer_destroy", (void **)&nn_table.buffer_destroy},
    {"cunn_buffer_info", (void **)&nn_table.buffer_info},
    {"cunn_buffer_upload", (void **)&nn_table.buffer_upload},
    {"cunn_buffer_download", (void **)&nn_table.buffer_download},
    {"cunn_event_create", (void **)&nn_table.event_create},
    {"cunn_event_destroy", (void **)&nn_table.event_destroy},
    {"cunn_event_record", (void **)&nn_table.event_record},
    {"cunn_event_wait", (void **)&nn_table.event_wait},
    {"cunn_event_elapsed", (void **)&nn_table.event_elapsed},
    {"cunn_graph_begin", (void **)&nn_table.graph_begin},
    {"cunn_graph_end", (void **)&nn_table.graph_end},
    {"cunn_graph_launch", (void **)&nn_table.graph_launch},
    {"cunn_graph_destroy", (void **)&nn_table.graph_destroy},
    {"cunn_graph_dump", (void **)&nn_table.graph_dump},
    {"cunn_add_forward", (void **)&nn_table.add_forward},
    {"cunn_mul_forward", (void **)&nn_table.mul_forward},
    {"cunn_mul_backward", (void **)&nn_table.mul_backward},
    {"cunn_scale_forward", (void **)&nn_table.scale_forward},
    {"cunn_silu_forward", (void **)&nn_table.silu_forward},
    {"cunn_silu_backward", (void **)&nn_table.silu_backward},
    {"cunn_swiglu_forward", (void **)&nn_table.swiglu_forward},
    {"cunn_swiglu_backward", (void **)&nn_table.swiglu_backward},
    {"cunn_fill", (void **)&nn_table.fill},
    {"cunn_softmax_forward", (void **)&nn_table.softmax_forward},
    {"cunn_softmax_backward", (void **)&nn_table.softmax_backward},
    {"cunn_top_k_forward", (void **)&nn_table.top_k_forward},
    {"cunn_top_k_backward", (void **)&nn_table.top_k_backward},
    {"cunn_softmax_top_k_forward", (void **)&nn_table.softmax_top_k_forward},
    {"cunn_softmax_top_k_backward", (void **)&nn_table.softmax_top_k_backward},
    {"cunn_rmsnorm_forward", (void **)&nn_table.rmsnorm_forward},
    {"cunn_rmsnorm_backward", (void **)&nn_table.rmsnorm_backward},
    {"cunn_rmsnorm_residual_forward", (void **)&nn_table.rmsnorm_residual_forward},
    {"cunn_rmsnorm_residual_backward", (void **)&nn_table.rmsnorm_residual_backward},
    {"cunn_gemm", (void **)&nn_table.gemm},
    {"cunn_gemm_batched", (void **)&nn_table.gemm_batched},
    {"cunn_gemm_grouped_rows", (void **)&nn_table.gemm_grouped_rows},
    {"cunn_gemm_grouped_inner", (void **)&nn_table.gemm_grouped_inner},
    {"cunn_rope_frequencies", (void **)&nn_table.rope_frequencies},
    {"cunn_rope_forward", (void **)&nn_table.rope_forward},
    {"cunn_rope_backward", (void **)&nn_table.rope_backward},
    {"cunn_attention_scores_forward", (void **)&nn_table.attention_scores_forward},
    {"cunn_attention_scores_backward", (void **)&nn_table.attention_scores_backward},
    {"cunn_attention_output_forward", (void **)&nn_table.attention_output_forward},
    {"cunn_attention_output_backward", (void **)&nn_table.attention_output_backward},
    {"cunn_attention_forward", (void **)&nn_table.attention_forward},
    {"cunn_attention_backward", (void **)&nn_table.attention_backward},
    {"cunn_cache_append", (void **)&nn_table.cache_append},
    {"cunn_attention_cached_forward", (void **)&nn_table.attention_cached_forward},
    {"cunn_embedding_forward", (void **)&nn_table.embedding_forward},
    {"cunn_embedding_backward", (void **)&nn_table.embedding_backward},
    {"cunn_moe_route_forward", (void **)&nn_table.moe_route_forward},
    {"cunn_moe_route_backward", (void **)&nn_table.moe_route_backward},
    {"cunn_moe_dispatch_forward", (void **)&nn_table.moe_dispatch_forward},
    {"cunn_moe_dispatch_backward", (void **)&nn_table.moe_dispatch_backward},
    {"cunn_moe_combine_forward", (void **)&nn_table.moe_combine_forward},
    {"cunn_moe_combine_backward", (void **)&nn_table.moe_combine_backward},
    {"cunn_moe_balance_loss_forward", (void **)&nn_table.moe_balance_loss_forward},
    {"cunn_moe_balance_loss_backward", (void **)&nn_table.moe_balance_loss_backward},
    {"cunn_moe_z_loss_forward", (void **)&nn_table.moe_z_loss_forward},
    {"cunn_moe_z_loss_backward", (void **)&nn_table.moe_z_loss_backward},
    {"cunn_cross_entropy_count", (void **)&nn_table.cross_entropy_count},
    {"cunn_cross_entropy_forward", (void **)&nn_table.cross_entropy_forward},
    {"cunn_cross_entropy_backward", (void **)&nn_table.cross_entropy_backward},
    {"cunn_sum_of_squares", (void **)&nn_table.sum_of_squares},
    {"cunn_clip_scale", (void **)&nn_table.clip_scale},
    {"cunn_adamw_step", (void **)&nn_table.adamw_step},
    {"cunn_argmax", (void **)&nn_table.argmax},
    {"cunn_sample", (void **)&nn_table.sample},
    {"cunn_decode_advance", (void **)&nn_table.decode_advance},
    {"cunn_random_init", (void **)&nn_table.random_init},
    {"cunn_random_uniform", (void **)&nn_table.random_uniform},
    {"cunn_copy", (void **)&nn_table.copy},
    {"cunn_cast", (void **)&nn_table.cast},
    {"cunn_pack", (void **)&nn_table.pack},
    {"cunn_quantize", (void **)&nn_table.quantize},
    {"cunn_dequantize", (void **)&nn_table.dequantize},
};

int nn_table_open(const char *path, char *text, int capacity, int32_t *version) {
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
  for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
    *symbols[i].slot = dlsym(library, symbols[i].name);
    if (*symbols[i].slot == NULL) {
      snprintf(text, (size_t)capacity, "it has no %s", symbols[i].name);
      memset(&nn_table, 0, sizeof nn_table);
      dlclose(library);
      return 1;
    }
  }
  return 0;
}
