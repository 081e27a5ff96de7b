// What the attention kernels share: which rows a tile of queries has, how queries, keys and values come into scratch.
//
// One order of operations everywhere (forward, backward, prefill, chunks, decode), so that a row's bits are the same:
//   q' = scale q, rounded once;  s_ij = sum over head_dim ascending of q'_i k_j, one accumulator, one fma a term;
//   keys in blocks of 64 anchored at position 0. Keys are laid across lanes, which is why K blocks are transposed.
// A tile's rows are all query heads of one key/value head, token by token: row r is token r / group, head r % group.
#pragma once

#include "../src/error_word.h"
#include "../src/ops.h"
#include "../src/thread_pool.h"
#include "lanes.h"
#include "product.h"
#include "tasks.h"
#include "transpose.h"

namespace cunn::cpu::CUNN_ISA_NS {

constexpr int64_t kBlock = 64;      // keys
constexpr int64_t kSpan = 512;      // keys with one running maximum and sum
constexpr int64_t kTileRows = 192;  // query rows that share a transposed block of keys
constexpr int64_t kGroupRows = 48;  // rows whose scores stand in scratch at once

CUNN_INLINE int64_t padded(int64_t head_dim) { return ceil_div(head_dim, 16) * 16; }

// Elements i, i + 1, ... as lanes, `count` of them (16 or more: all).
template <DType type> CUNN_INLINE Vec16 load_some(const void *data, int64_t i, int64_t count = 16) {
  return count >= 16 ? Row<type>(data).at(i, Whole{}) : Row<type>(data).at(i, Part{count});
}
template <DType type> CUNN_INLINE void store_some(void *data, int64_t i, Vec16 x, int64_t count) {
  count >= 16 ? OutRow<type>(data).put(i, x, Whole{}) : OutRow<type>(data).put(i, x, Part{count});
}

CUNN_INLINE int64_t *scratch_int64(Exec &exec, int64_t count) {
  return static_cast<int64_t *>(exec.scratch->bytes((size_t)count * sizeof(int64_t)));
}

// The keys and values of one head of one sequence: row j stands row_stride elements after row j - 1 within a page.
struct KeyValues {
  const void *k, *v;
  DType dtype;
  int64_t row_stride;
  const int32_t *pages;  // null: one page without end
  int64_t page_size;

  // Element where the row of position j starts; a block of 64 never crosses a page.
  int64_t at(int64_t j) const {
    if (pages == nullptr) return j * row_stride;
    return (pages[j / page_size] * page_size + j % page_size) * row_stride;
  }
};

// y[r, :] = factor x[row0 + r, :], r < rows, for rows of tokens that stand token_stride and heads that stand
// head_stride elements apart; y [rows, ld], columns beyond head_dim 0.
[[maybe_unused]] static void pack_rows(float *y, int64_t ld, const float *x, int64_t row0, int64_t rows,
                                       int64_t group, int64_t token_stride, int64_t head_stride, int64_t head_dim,
                                       float factor) {
  int64_t token = row0 / group, head = row0 % group;
  for (int64_t r = 0; r < rows; ++r, y += ld) {
    const float *from = x + token * token_stride + head * head_stride;
    for (int64_t d = 0; d < head_dim; d += 16)
      store(y + d, load(from + d, head_dim - d) * set1(factor));
    if (++head == group) {
      head = 0;
      ++token;
    }
  }
}

// y[d, j] = x[j, d] for the count rows at x, j < 64, d < head_dim; columns from count on are 0.
template <DType type> static void transpose_block_of(float *y, const void *x, int64_t at, int64_t row_stride,
                                                     int64_t count, int64_t head_dim) {
  for (int64_t d = 0; d < head_dim; d += 16) {
    int64_t width = least(16, head_dim - d);
    for (int64_t j = 0; j < kBlock; j += 16) {
      Vec16 r[16];
      if (j + 16 <= count && width == 16) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i)
          r[i] = load_some<type>(x, at + (j + i) * row_stride + d);
      } else {
        for (int i = 0; i < 16; ++i)
          r[i] = j + i < count ? load_some<type>(x, at + (j + i) * row_stride + d, width) : zero();
      }
      transpose16(r);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        if (i < width) store(y + (d + i) * kBlock + j, r[i]);
    }
  }
}

[[maybe_unused]] static void transpose_block(float *y, const void *x, DType dtype, int64_t at, int64_t row_stride,
                                             int64_t count, int64_t head_dim) {
  with_float(dtype, [&](auto type) { transpose_block_of<type.value>(y, x, at, row_stride, count, head_dim); });
}

// The count rows at x as f32 rows that can be read in whole vectors: x itself where it is that already, else y.
struct RowBlock {
  const float *data;
  int64_t ld;
};
[[maybe_unused]] static RowBlock row_block(float *y, const void *x, DType dtype, int64_t at, int64_t row_stride,
                                           int64_t count, int64_t head_dim) {
  if (dtype == DType::f32 && head_dim % 16 == 0) return {static_cast<const float *>(x) + at, row_stride};
  int64_t ld = padded(head_dim);
  with_float(dtype, [&](auto type) {
    for (int64_t j = 0; j < count; ++j)
      for (int64_t d = 0; d < head_dim; d += 16)
        store(y + j * ld + d, load_some<type.value>(x, at + j * row_stride + d, head_dim - d));
  });
  return {y, ld};
}

// Number of keys of the block that each of rows row0 .. row0 + rows - 1 sees, clamped to 0 .. 64: ascending. The
// row's token stands at position start + token.
[[maybe_unused]] static void keys_seen(int32_t *seen, int64_t row0, int64_t rows, int64_t group, int64_t start,
                                       int64_t block) {
  int64_t token = row0 / group, head = row0 % group;
  for (int64_t r = 0; r < rows; ++r) {
    seen[r] = (int32_t)most(0, least(kBlock, start + token + 1 - block * kBlock));
    if (++head == group) {
      head = 0;
      ++token;
    }
  }
}

// First row whose token stands at position j or later: the first that sees key j.
CUNN_INLINE int64_t first_row_seeing(int64_t j, int64_t start, int64_t group) {
  return j > start ? (j - start) * group : 0;
}

// lengths[b], limit where there is none; a value outside 0 .. limit is reported and counts as 0.
[[maybe_unused]] static int64_t checked_length(Exec &exec, OpId op, const int32_t *lengths, int64_t b,
                                               int64_t limit) {
  if (lengths == nullptr) return limit;
  int64_t length = lengths[b];
  if (length >= 0 && length <= limit) return length;
  report_fault(exec, op, DeviceFault::length_out_of_range, b, length, limit + 1);
  return 0;
}

// Whether pages first_page ... of sequence b up to the one of position end - 1 exist; the first that does not is
// reported.
[[maybe_unused]] static bool check_pages(Exec &exec, OpId op, const int32_t *block_table, const CacheShape &cache,
                                         int64_t b, int64_t first_page, int64_t end) {
  if (block_table == nullptr) return true;
  for (int64_t p = first_page; p < ceil_div(end, cache.page_size); ++p) {
    int64_t at = b * cache.pages_per_sequence + p;
    if (block_table[at] >= 0 && block_table[at] < cache.n_pages) continue;
    report_fault(exec, op, DeviceFault::page_out_of_range, at, block_table[at], cache.n_pages);
    return false;
  }
  return true;
}

}  // namespace cunn::cpu::CUNN_ISA_NS
