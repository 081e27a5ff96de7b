// The paged KV cache: checks.
#include "attention_checks.h"

using namespace cunn;

namespace {

constexpr int64_t kKeyBlock = 64;  // keys of one block of the flash attention, which never straddles a page

// The pages, the block table's extent, and that a sequence can hold what it brings.
struct CacheExtents {
  CacheShape shape;
  Extent cache, table, batch;

  CacheExtents(Call &c, const CacheShape &s, const AttentionShape &a, cunn_buffer block_table) : shape(s) {
    c.dims({{"page_size", s.page_size}, {"pages_per_sequence", s.pages_per_sequence}, {"n_pages", s.n_pages}});
    c.require(s.page_size > 0 && s.page_size % kKeyBlock == 0, "page_size is %lld, expected a multiple of 64",
              static_cast<long long>(s.page_size));
    const int64_t capacity = c.product("page_size x pages_per_sequence", s.page_size, s.pages_per_sequence);
    c.fits_i32("page_size x pages_per_sequence", capacity);
    c.at_most("new_len", a.seq_len, capacity, "page_size x pages_per_sequence");
    if (block_table == 0)
      c.at_least("n_pages", s.n_pages,
                 c.product("batch x pages_per_sequence", a.batch, s.pages_per_sequence));
    c.fits_i32("n_pages", s.n_pages);
    cache = dense(s.n_pages, s.page_size, a.n_kv_heads, a.head_dim);
    table = dense(a.batch, s.pages_per_sequence);
    batch = dense(a.batch);
  }
};

}  // namespace

int32_t cunn_cache_append(cunn_context context, cunn_buffer k_cache, cunn_buffer v_cache, cunn_buffer k, cunn_buffer v,
                          cunn_buffer block_table, cunn_buffer positions, cunn_buffer lengths, int64_t batch,
                          int64_t new_len, int64_t n_kv_heads, int64_t head_dim, int64_t page_size,
                          int64_t pages_per_sequence, int64_t n_pages, int64_t kv_token_stride,
                          int64_t kv_head_stride) {
  return run_op<OpId::cache_append>(context, [&](Call &c) {
    // An append has no query heads; one per key head keeps the shared shape whole.
    const AttentionExtents e(
        c, {batch, new_len, n_kv_heads, n_kv_heads, head_dim, 0, 0, kv_token_stride, kv_head_stride}, "new_len");
    const CacheExtents p(c, {page_size, pages_per_sequence, n_pages}, e.shape, block_table);
    const CacheAppend args{c.out_floats("k_cache", k_cache, p.cache),
                           c.out_floats("v_cache", v_cache, p.cache),
                           c.in<float>("k", k, e.kv),
                           c.in<float>("v", v, e.kv),
                           c.in_or_none<int32_t>("block_table", block_table, p.table),
                           c.in<int32_t>("positions", positions, p.batch),
                           c.in_or_none<int32_t>("lengths", lengths, p.batch),
                           e.shape,
                           p.shape};
    c.same_dtype("v_cache", args.v_cache.dtype, "k_cache", args.k_cache.dtype);
    return args;
  });
}

int32_t cunn_attention_cached_forward(cunn_context context, cunn_buffer out, cunn_buffer q, cunn_buffer k_cache,
                                      cunn_buffer v_cache, cunn_buffer block_table, cunn_buffer positions,
                                      cunn_buffer lengths, int64_t batch, int64_t new_len, int64_t n_heads,
                                      int64_t n_kv_heads, int64_t head_dim, int64_t page_size,
                                      int64_t pages_per_sequence, int64_t n_pages, int64_t q_token_stride,
                                      int64_t q_head_stride, double scale) {
  return run_op<OpId::attention_cached_forward>(context, [&](Call &c) {
    const AttentionExtents e(
        c, {batch, new_len, n_heads, n_kv_heads, head_dim, q_token_stride, q_head_stride, 0, 0}, "new_len");
    const CacheExtents p(c, {page_size, pages_per_sequence, n_pages}, e.shape, block_table);
    const AttentionCachedForward args{c.out_floats("out", out, e.out),
                                      c.in<float>("q", q, e.q),
                                      c.in_floats("k_cache", k_cache, p.cache),
                                      c.in_floats("v_cache", v_cache, p.cache),
                                      c.in_or_none<int32_t>("block_table", block_table, p.table),
                                      c.in<int32_t>("positions", positions, p.batch),
                                      c.in_or_none<int32_t>("lengths", lengths, p.batch),
                                      e.shape,
                                      p.shape,
                                      c.real32("scale", scale)};
    c.same_dtype("v_cache", args.v_cache.dtype, "k_cache", args.k_cache.dtype);
    return args;
  });
}
