// Operands of the matrix product and how their elements become the f32 panels the micro-kernel reads.
#pragma once

#include "gemm_blocks.h"
#include "lanes.h"
#include "tasks.h"
#include "transpose.h"

namespace cunn::cpu::CUNN_ISA_NS {

// A matrix stored row by row, seen along the product: k is the summed index, x the other one (i of A, j of B).
// With k_rows the stored rows are the k (element (x, k) at k * ld + x), else the x (x * ld + k). Row r is row
// gather[r] of `data` where there is a gather. Blocks lie along k (not k_rows), and rows begin with one.
struct Operand {
  const void *data;
  DType dtype;
  int64_t ld;
  bool k_rows;
  const int32_t *gather;
};

// What happens to an element between memory and panel: times alpha (f32), then rounded to the product's type.
struct Transform {
  float alpha;
  DType type;
};

// The product's type: of the operands' types the one with fewer bits of significand (f32 24, f16 11, bf16 8). What comes
// out of blocks is f32.
CUNN_INLINE DType narrower(DType a, DType b) {
  if (a == DType::bf16 || b == DType::bf16) return DType::bf16;
  return a == DType::f16 || b == DType::f16 ? DType::f16 : DType::f32;
}

// The element (row, column) as stored.
CUNN_INLINE const char *element(const Operand &o, int64_t row, int64_t column) {
  int64_t r = o.gather ? o.gather[row] : row;
  return static_cast<const char *>(o.data) + bytes_of(o.dtype, r * o.ld + column);
}

// Sixteen vectors are registers only where an index into them is a constant; the scalar build keeps its loops.
#if CUNN_ISA_LEVEL > 0
#define CUNN_UNROLL _Pragma("GCC unroll 16")
#else
#define CUNN_UNROLL
#endif

// ---- steps: a line of the cache of each of sixteen rows, or a few bytes more of blocks ----

constexpr int64_t line_bytes = 64;

constexpr int64_t step_bytes(DType t) { return is_blocks(t) ? block_pair_bytes(t) : line_bytes; }
constexpr int64_t step_elements(DType t) { return is_blocks(t) ? 2 * kQuantBlock : t == DType::f32 ? 16 : 32; }

// They may hold 16-bit floats and stand at any address.
CUNN_INLINE Vec16 load_line(const char *p) {
#if CUNN_ISA_LEVEL > 0
  return load(reinterpret_cast<const float *>(p));
#else
  Vec16 v;
  memcpy(&v, p, sizeof v);
  return v;
#endif
}

// The two 16-bit floats of each lane, the one at the lower address first.
template <DType t> CUNN_INLINE void widen_pairs(Vec16 pairs, Vec16 *even, Vec16 *odd) {
  if constexpr (t == DType::bf16) {
    *even = as_float(shl<16>(as_int(pairs)));
    *odd = as_float(as_int(pairs) & iset1((int32_t)0xffff0000u));
  } else {
#if CUNN_ISA_LEVEL == 2
    __m512i p = _mm512_castps_si512(pairs.v);
    even->v = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(p));
    odd->v = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(p, 16)));
#elif CUNN_ISA_LEVEL == 1
    const __m256i low = _mm256_set1_epi32(0xffff), lo = _mm256_castps_si256(pairs.lo), hi = _mm256_castps_si256(pairs.hi);
    auto widen = [](__m256i x) { return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1))); };
    *even = {widen(_mm256_and_si256(lo, low)), widen(_mm256_and_si256(hi, low))};
    *odd = {widen(_mm256_srli_epi32(lo, 16)), widen(_mm256_srli_epi32(hi, 16))};
#else
    int32_t bits[16];
    uint16_t low[16], high[16];
    istore(bits, as_int(pairs));
    for (int i = 0; i < 16; ++i) {
      low[i] = (uint16_t)bits[i];
      high[i] = (uint16_t)((uint32_t)bits[i] >> 16);
    }
    *even = load_f16(low);
    *odd = load_f16(high);
#endif
  }
}

// use(k, column) for each k of the steps at row[r] + at, ascending: lane r of column[v] is element k of row 16 v + r. With
// `few` only the first eight rows are there and lanes 8 to 15 hold anything.
template <DType t, int V, bool few, class Use> CUNN_INLINE void each_column(const char *const *row, int64_t at, Use use) {
  if constexpr (is_blocks(t)) {
    each_block_column<t, V, few>(row, at, use);
  } else {
    Vec16 line[V][16];
    CUNN_UNROLL
    for (int v = 0; v < V; ++v) {
      CUNN_UNROLL
      for (int r = 0; r < 16; ++r) line[v][r] = few && r >= 8 ? zero() : load_line(row[16 * v + r] + at);
      transpose16(line[v]);
    }
    CUNN_UNROLL
    for (int s = 0; s < 16; ++s) {
      Vec16 column[V], odd[V];
      CUNN_UNROLL
      for (int v = 0; v < V; ++v) {
        if constexpr (t == DType::f32) column[v] = line[v][s];
        else widen_pairs<t>(line[v][s], &column[v], &odd[v]);
      }
      if constexpr (t == DType::f32) {
        use(s, column);
      } else {
        use(2 * s, column);
        use(2 * s + 1, odd);
      }
    }
  }
}

// The columns of a last step that is not full: nothing is read past the `bytes` that each row still has.
template <DType t, int V> struct LastColumns {
  alignas(64) float column[step_elements(t)][16 * V];
  __attribute__((noinline)) LastColumns(const char *const *row, int64_t at, int64_t bytes) {
    alignas(64) char step[16 * V][step_bytes(t)] = {};
    const char *copy[16 * V];
    for (int r = 0; r < 16 * V; ++r) {
      memcpy(step[r], row[r] + at, (size_t)bytes);
      copy[r] = step[r];
    }
    each_column<t, V, false>(copy, 0, [&](int64_t k, const Vec16 (&c)[V]) __attribute__((always_inline)) {
      for (int v = 0; v < V; ++v) store(column[k] + 16 * v, c[v]);
    });
  }
};

// with_float for what may be stored in blocks.
template <class F> CUNN_INLINE void with_stored(DType t, F &&body) {
  if (t == DType::q8) body(Type<DType::q8>{});
  else if (t == DType::q4) body(Type<DType::q4>{});
  else with_float(t, body);
}

// ---- panels ----

CUNN_INLINE bool changes(DType stored, const Transform &t) {
  return t.alpha != 1.0f || (stored != t.type && t.type != DType::f32);
}
[[maybe_unused]] static __attribute__((noinline)) Vec16 change(Vec16 x, const Transform &t) {
  x = x * set1(t.alpha);
  return t.type == DType::bf16 ? round_bf16(x) : t.type == DType::f16 ? round_f16(x) : x;
}

// What is packed: x in [x0, x0 + count), k in [k0, k0 + kc). x below x_end may be packed next.
struct Span {
  int64_t x0, count, x_end, k0, kc;
};

// Panels hold `width` x each, element (x, k) at panel[k * width + x]; one begins panel_floats after the other. Whole
// vectors are written, ascending in k: what a step leaves behind its width the next one overwrites, and the last one
// spills into the sixteen floats between panels.
CUNN_INLINE int64_t panel_floats(int64_t width, int64_t kc) { return width * kc + 16; }

// The first eight lanes.
CUNN_INLINE void store_low(float *p, Vec16 v) {
#if CUNN_ISA_LEVEL == 1
  _mm256_storeu_ps(p, v.lo);
#else
  store(p, v, 8);
#endif
}

// Rows of k far apart in memory are asked for this many steps before they are read.
constexpr int64_t rows_ahead = 8;

template <DType t, bool changed>
void pack_k_rows(float *to, int64_t width, const Operand &o, const Span &span, const Transform &transform) {
  const int64_t stride = panel_floats(width, span.kc), row_bytes = span.count * (t == DType::f32 ? 4 : 2);
  for (int64_t k = 0; k < span.kc; ++k) {
    const Row<t> from(element(o, span.k0 + k, span.x0));
    float *panel = to + k * width;
    if (k + rows_ahead < span.kc) {
      const char *later = element(o, span.k0 + k + rows_ahead, span.x0);
      for (int64_t at = 0; at < row_bytes; at += line_bytes) __builtin_prefetch(later + at);
    }
    for (int64_t x = 0; x < span.count; x += width, panel += stride) {
      each_vector(0, least(width, span.count - x), [&](int64_t i, auto lanes) {
        const Vec16 v = from.at(x + i, lanes);
        store(panel + i, changed ? change(v, transform) : v);
      });
    }
  }
}

template <DType t, bool changed, bool few>
void pack_x_rows(float *to, int64_t width, const Operand &o, const Span &span, const Transform &transform) {
  const int64_t stride = panel_floats(width, span.kc);
  for (int64_t x = 0; x < span.count; x += width, to += stride) {
    const int64_t here = least(width, span.count - x);
    for (int64_t g = 0; g < here; g += 16) {
      // Lanes past the last row read it again, so that nothing outside the matrix is read.
      const int64_t rows = least(16, here - g), first = span.x0 + x + g;
      const char *row[16];
      for (int64_t r = 0; r < 16; ++r) row[r] = element(o, first + (r < rows ? r : rows - 1), span.k0);
      // The rows packed next begin a new stream each: ask for them while these are worked on.
      const bool ask_ahead = first + rows < span.x_end;
      const char *next[16];
      for (int64_t r = 0; ask_ahead && r < 16; ++r) next[r] = element(o, least(first + rows + r, span.x_end - 1), span.k0);
      float *panel = to + g;
      auto put = [&](int64_t k, Vec16 column) __attribute__((always_inline)) {
        if constexpr (changed) column = change(column, transform);
        if constexpr (few) store_low(panel + k * width, column);
        else store(panel + k * width, column);
      };
      int64_t k = 0, at = 0;
      for (; k + step_elements(t) <= span.kc; k += step_elements(t), at += step_bytes(t)) {
        if (ask_ahead) {
          CUNN_UNROLL
          for (int r = 0; r < (few ? 8 : 16); ++r) __builtin_prefetch(next[r] + at, 0, 2);
        }
        each_column<t, 1, few>(row, at, [&](int64_t i, const Vec16 (&column)[1]) __attribute__((always_inline)) {
          put(k + i, column[0]);
        });
      }
      if (k < span.kc) {
        const LastColumns<t, 1> rest(row, at, bytes_of(t, span.kc - k));
        for (int64_t i = 0; k + i < span.kc; ++i) put(k + i, load(rest.column[i]));
      }
    }
  }
}

template <DType t, bool changed>
void pack_as(float *to, int64_t width, const Operand &o, const Span &span, const Transform &transform) {
  if constexpr (!is_blocks(t)) {
    if (o.k_rows) return pack_k_rows<t, changed>(to, width, o, span, transform);
  }
  // Where a vector is two registers, one of them saves half of the work.
  if (CUNN_ISA_LEVEL == 1 && width <= 8) pack_x_rows<t, changed, CUNN_ISA_LEVEL == 1>(to, width, o, span, transform);
  else pack_x_rows<t, changed, false>(to, width, o, span, transform);
}

CUNN_INLINE void pack(float *to, int64_t width, const Operand &o, const Span &span, const Transform &transform) {
  with_stored(o.dtype, [&](auto type) {
    if (changes(type.value, transform)) pack_as<type.value, true>(to, width, o, span, transform);
    else pack_as<type.value, false>(to, width, o, span, transform);
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
