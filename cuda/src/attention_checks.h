// The shape that the attention ops share, checked, and the extents that follow from it.
#pragma once

#include "call.h"

namespace cunn {

struct AttentionExtents {
  AttentionShape shape;
  Extent q, kv, out, lse, scores;

  AttentionExtents(Call &c, const AttentionShape &s, const char *seq_name = "seq_len") : shape(s) {
    c.dims({{"batch", s.batch}, {seq_name, s.seq_len}, {"n_heads", s.n_heads}, {"n_kv_heads", s.n_kv_heads},
            {"head_dim", s.head_dim}, {"q_token_stride", s.q_token_stride}, {"q_head_stride", s.q_head_stride},
            {"kv_token_stride", s.kv_token_stride}, {"kv_head_stride", s.kv_head_stride}});
    c.nothing_when(s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0);
    if (s.n_heads != 0) c.at_least("n_kv_heads", s.n_kv_heads, 1);
    c.require(s.n_kv_heads == 0 || s.n_heads % s.n_kv_heads == 0,
              "n_heads is %lld, expected a multiple of n_kv_heads = %lld", static_cast<long long>(s.n_heads),
              static_cast<long long>(s.n_kv_heads));
    c.fits_i32(seq_name, s.seq_len);  // lengths and positions are i32
    const int64_t tokens = c.product("the number of tokens", s.batch, s.seq_len);
    q = strided(s.head_dim, {tokens, s.q_token_stride}, {s.n_heads, s.q_head_stride});
    kv = strided(s.head_dim, {tokens, s.kv_token_stride}, {s.n_kv_heads, s.kv_head_stride});
    out = dense(tokens, s.n_heads, s.head_dim);
    lse = dense(tokens, s.n_heads);
    scores = dense(s.batch, s.n_heads, s.seq_len, s.seq_len);
  }
};

}  // namespace cunn
