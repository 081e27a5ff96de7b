// Operands of the matrix product and how their elements become the f32 panels the micro-kernel reads.
#pragma once

#include "lanes.h"

namespace cunn::cpu::CUNN_ISA_NS {

// A matrix stored row by row, seen along the product: k is the summed index, x the other one (i of A, j of B).
// With k_rows the stored rows are the k (element (x, k) at k * ld + x), else the x (x * ld + k). Row r is row
// gather[r] of `data` where there is a gather.
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

// The product's type: of the operands' types the one with fewer bits of significand (f32 24, f16 11, bf16 8).
CUNN_INLINE DType narrower(DType a, DType b) {
  if (a == DType::bf16 || b == DType::bf16) return DType::bf16;
  return a == DType::f16 || b == DType::f16 ? DType::f16 : DType::f32;
}

CUNN_INLINE int64_t float_bytes(DType t) { return t == DType::f32 ? 4 : 2; }

// The element (row, column) as stored.
CUNN_INLINE const char *element(const Operand &o, int64_t row, int64_t column) {
  int64_t r = o.gather ? o.gather[row] : row;
  return static_cast<const char *>(o.data) + (r * o.ld + column) * float_bytes(o.dtype);
}

// Four consecutive elements; of a partial group only the first `count`, the others 0.
#if CUNN_ISA_LEVEL > 0
using Quad = __m128;
template <DType t> CUNN_INLINE Quad load_quad(const char *p) {
  if constexpr (t == DType::f32) return _mm_loadu_ps(reinterpret_cast<const float *>(p));
  else if constexpr (t == DType::bf16)
    return _mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p))), 16));
  else return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)));
}
#else
struct Quad { float v[4]; };
template <DType t> CUNN_INLINE Quad load_quad(const char *p) {
  Quad q;
  for (int i = 0; i < 4; ++i) {
    if constexpr (t == DType::f32) memcpy(&q.v[i], p + 4 * i, 4);
    else {
      uint16_t h;
      memcpy(&h, p + 2 * i, 2);
      q.v[i] = t == DType::bf16 ? bf16_to_float(h) : f16_to_float(h);
    }
  }
  return q;
}
#endif
template <DType t> CUNN_INLINE Quad load_quad(const char *p, int64_t count) {
  constexpr int64_t size = t == DType::f32 ? 4 : 2;
  char copy[16] = {};
  for (int64_t i = 0; i < count * size && i < 16; ++i) copy[i] = p[i];
  return load_quad<t>(copy);
}

// Four columns of sixteen rows: column[c] lane r is element c of row r. With few rows (at most 8) the upper lanes
// may hold anything.
template <class LoadQuad> CUNN_INLINE void load_columns(Vec16 column[4], bool few, LoadQuad quad) {
#if CUNN_ISA_LEVEL == 2
  (void)few;
  // 128-bit lane q of register s holds row 4q + s; then each lane transposes its own 4 x 4.
  __m512 row[4];
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    __m512 r = _mm512_castps128_ps512(quad(s));
    r = _mm512_insertf32x4(r, quad(s + 4), 1);
    r = _mm512_insertf32x4(r, quad(s + 8), 2);
    row[s] = _mm512_insertf32x4(r, quad(s + 12), 3);
  }
  __m512d t0 = _mm512_castps_pd(_mm512_unpacklo_ps(row[0], row[1])), t1 = _mm512_castps_pd(_mm512_unpackhi_ps(row[0], row[1]));
  __m512d t2 = _mm512_castps_pd(_mm512_unpacklo_ps(row[2], row[3])), t3 = _mm512_castps_pd(_mm512_unpackhi_ps(row[2], row[3]));
  column[0].v = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
  column[1].v = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
  column[2].v = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
  column[3].v = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
#elif CUNN_ISA_LEVEL == 1
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    if (half == 1 && few) {
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) column[c].hi = _mm256_setzero_ps();
      break;
    }
    __m256 row[4];
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) row[s] = _mm256_insertf128_ps(_mm256_castps128_ps256(quad(8 * half + s)), quad(8 * half + s + 4), 1);
    __m256d t0 = _mm256_castps_pd(_mm256_unpacklo_ps(row[0], row[1])), t1 = _mm256_castps_pd(_mm256_unpackhi_ps(row[0], row[1]));
    __m256d t2 = _mm256_castps_pd(_mm256_unpacklo_ps(row[2], row[3])), t3 = _mm256_castps_pd(_mm256_unpackhi_ps(row[2], row[3]));
    __m256 c0 = _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2)), c1 = _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2));
    __m256 c2 = _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3)), c3 = _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3));
    if (half == 0) column[0].lo = c0, column[1].lo = c1, column[2].lo = c2, column[3].lo = c3;
    else column[0].hi = c0, column[1].hi = c1, column[2].hi = c2, column[3].hi = c3;
  }
#else
  (void)few;
  for (int r = 0; r < 16; ++r) {
    Quad q = quad(r);
    for (int c = 0; c < 4; ++c) column[c].v[r] = q.v[c];
  }
#endif
}

// ---- panels ----

enum class Step { none, scale, scale_bf16, scale_f16 };

CUNN_INLINE Step step_of(DType stored, const Transform &t) {
  if (t.alpha == 1.0f && (stored == t.type || t.type == DType::f32)) return Step::none;
  return t.type == DType::bf16 ? Step::scale_bf16 : t.type == DType::f16 ? Step::scale_f16 : Step::scale;
}

template <Step step> CUNN_INLINE Vec16 apply(Vec16 x, Vec16 alpha) {
  if constexpr (step == Step::none) return x;
  x = x * alpha;
  if constexpr (step == Step::scale_bf16) x = round_bf16(x);
  if constexpr (step == Step::scale_f16) x = round_f16(x);
  return x;
}

// Writes panel[k * width + x - x0] for x in [x0, x0 + count), k in [k0, k0 + kc). Whole vectors are written, so what
// stands after `count` in a step is undefined until the next step overwrites it, and 16 floats after the panel are
// clobbered: panels have that much room behind them.
template <DType t, Step step>
void pack_panel_as(float *panel, int64_t width, const Operand &o, int64_t x0, int64_t count, int64_t k0, int64_t kc,
                   float alpha_value) {
  const Vec16 alpha = set1(alpha_value);
  constexpr int64_t size = t == DType::f32 ? 4 : 2;
  if (o.k_rows) {
    for (int64_t k = 0; k < kc; ++k) {
      const Row<t> from(element(o, k0 + k, x0));
      float *to = panel + k * width;
      int64_t x = 0;
      for (; x + 16 <= count; x += 16) store(to + x, apply<step>(from.at(x, Whole{}), alpha));
      if (x < count) store(to + x, apply<step>(from.at(x, Part{count - x}), alpha));
    }
    return;
  }
  // Groups of sixteen rows; the last group first repeats its last row so that nothing outside is read. A narrow panel
  // is one group, and two groups lie side by side, each step's sixteen floats in ascending order of k.
  for (int64_t x = 0; x < count; x += 16) {
    const char *row[16];
    for (int64_t r = 0; r < 16; ++r) row[r] = element(o, x0 + (x + r < count ? x + r : count - 1), k0);
    const bool few = count - x <= 8;
    float *to = panel + x;
    int64_t k = 0;
    for (; k + 4 <= kc; k += 4) {
      Vec16 column[4];
      load_columns(column, few, [&](int r) { return load_quad<t>(row[r] + k * size); });
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) store(to + (k + c) * width, apply<step>(column[c], alpha));
    }
    if (k < kc) {
      Vec16 column[4];
      load_columns(column, few, [&](int r) { return load_quad<t>(row[r] + k * size, kc - k); });
      for (int64_t c = 0; c < kc - k; ++c) store(to + (k + c) * width, apply<step>(column[c], alpha));
    }
  }
}

template <DType t>
void pack_panel_of(float *panel, int64_t width, const Operand &o, int64_t x0, int64_t count, int64_t k0, int64_t kc,
                   const Transform &transform) {
  switch (step_of(t, transform)) {
    case Step::none: return pack_panel_as<t, Step::none>(panel, width, o, x0, count, k0, kc, transform.alpha);
    case Step::scale: return pack_panel_as<t, Step::scale>(panel, width, o, x0, count, k0, kc, transform.alpha);
    case Step::scale_bf16: return pack_panel_as<t, Step::scale_bf16>(panel, width, o, x0, count, k0, kc, transform.alpha);
    case Step::scale_f16: return pack_panel_as<t, Step::scale_f16>(panel, width, o, x0, count, k0, kc, transform.alpha);
  }
}

CUNN_INLINE void pack_panel(float *panel, int64_t width, const Operand &o, int64_t x0, int64_t count, int64_t k0,
                            int64_t kc, const Transform &transform) {
  switch (o.dtype) {
    case DType::bf16: return pack_panel_of<DType::bf16>(panel, width, o, x0, count, k0, kc, transform);
    case DType::f16: return pack_panel_of<DType::f16>(panel, width, o, x0, count, k0, kc, transform);
    default: return pack_panel_of<DType::f32>(panel, width, o, x0, count, k0, kc, transform);
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
