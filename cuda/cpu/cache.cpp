// The paged KV cache: new keys and values of each sequence rounded to the cache's dtype and put at their positions.
#include "attention_tile.h"
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

// One token's keys or values: cache[0 .. n_kv_heads head_dim) at element `to` = heads of x.
template <DType type> void append_token(void *cache, int64_t to, const float *x, int64_t n_kv_heads, int64_t head_dim,
                                        int64_t head_stride) {
  for (int64_t h = 0; h < n_kv_heads; ++h)
    for (int64_t d = 0; d < head_dim; d += 16)
      store_some<type>(cache, to + h * head_dim + d, load(x + h * head_stride + d, head_dim - d), head_dim - d);
}

}  // namespace

void cache_append(Exec &exec, const CacheAppend &a) {
  const AttentionShape &s = a.s;
  if (s.batch == 0 || s.seq_len == 0 || s.n_kv_heads == 0 || s.head_dim == 0) return;
  const int64_t row = s.n_kv_heads * s.head_dim, capacity = a.c.page_size * a.c.pages_per_sequence;
  int64_t *lengths = scratch_int64(exec, s.batch);
  for (int64_t b = 0; b < s.batch; ++b) {
    int64_t length = checked_length(exec, OpId::cache_append, a.lengths, b, s.seq_len), start = a.positions[b];
    if (length > 0 && (start < 0 || start + length > capacity)) {
      report_fault(exec, OpId::cache_append, DeviceFault::position_out_of_range, b, start, capacity - length + 1);
      length = 0;
    }
    if (length > 0 &&
        !check_pages(exec, OpId::cache_append, a.block_table, a.c, b, start / a.c.page_size, start + length))
      length = 0;
    lengths[b] = length;
  }
  auto append = [&](int64_t token, int) {
    int64_t b = token / s.seq_len, t = token % s.seq_len;
    if (t >= lengths[b]) return;
    int64_t position = a.positions[b] + t, page = position / a.c.page_size;
    int64_t at = b * a.c.pages_per_sequence + page;
    if (a.block_table != nullptr) at = a.block_table[at];
    int64_t to = (at * a.c.page_size + position % a.c.page_size) * row;
    with_float(a.k_cache.dtype, [&](auto type) {
      append_token<type.value>(a.k_cache.data, to, a.k + token * s.kv_token_stride, s.n_kv_heads, s.head_dim,
                               s.kv_head_stride);
      append_token<type.value>(a.v_cache.data, to, a.v + token * s.kv_token_stride, s.n_kv_heads, s.head_dim,
                               s.kv_head_stride);
    });
  };
  const int64_t tokens = s.batch * s.seq_len;
  constexpr int64_t kElementsPerTask = 1 << 14;
  const int64_t per_task = most(1, kElementsPerTask / row), n = ceil_div(tokens, per_task);
  exec.pool->parallel_for(n, [&](int64_t task, int worker) {
    for (int64_t t = task * per_task; t < least(tokens, (task + 1) * per_task); ++t)
      append(t, worker);
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
