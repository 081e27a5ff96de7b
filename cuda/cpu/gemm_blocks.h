// Rows of q8 or q4 blocks as columns of sixteen lanes: what each_column does for the block dtypes.
//
// A block begins wherever its row is, and not always on a word of it. Two of them fill whole 32-bit words: 68 bytes of q8,
// 36 of q4; that is a step. Its first word comes alone and the rest in chunks of four words, which are transposed so that
// lane r of a word holds four bytes of row r. An element is
//
//   x = float(q) d,
//
// an exact product (8 bits of q, 11 of d), hence the same bits as dequantize on every instruction set.
#pragma once

#include "lanes.h"

namespace cunn::cpu::CUNN_ISA_NS {

constexpr bool is_blocks(DType t) { return t == DType::q8 || t == DType::q4; }
constexpr int64_t block_pair_bytes(DType t) { return 2 * (t == DType::q8 ? kQ8BlockBytes : kQ4BlockBytes); }

#if CUNN_ISA_LEVEL > 0

CUNN_INLINE __m128i load_chunk(const char *p) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)); }

// Four rows' chunks in each 128-bit part; lane r of word[w] is word w of the chunk at row[r] + at. With `few` only the
// first eight lanes are wanted.
template <bool few> CUNN_INLINE void load_words(const char *const *row, int64_t at, IVec16 (&word)[4]) {
  auto pair = [&](int r) __attribute__((always_inline)) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_chunk(row[r] + at)), load_chunk(row[r + 4] + at), 1);
  };
#if CUNN_ISA_LEVEL == 2
  __m512i x[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[i] = _mm512_castsi256_si512(pair(i));
    if (!few) x[i] = _mm512_inserti64x4(x[i], pair(i + 8), 1);
  }
  const __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpacklo_epi32(x[2], x[3]);
  const __m512i c = _mm512_unpackhi_epi32(x[0], x[1]), d = _mm512_unpackhi_epi32(x[2], x[3]);
  word[0].v = _mm512_unpacklo_epi64(a, b);
  word[1].v = _mm512_unpackhi_epi64(a, b);
  word[2].v = _mm512_unpacklo_epi64(c, d);
  word[3].v = _mm512_unpackhi_epi64(c, d);
#else
  auto half = [&](int r, __m256i (&w)[4]) __attribute__((always_inline)) {
    __m256i x[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) x[i] = pair(r + i);
    const __m256i a = _mm256_unpacklo_epi32(x[0], x[1]), b = _mm256_unpacklo_epi32(x[2], x[3]);
    const __m256i c = _mm256_unpackhi_epi32(x[0], x[1]), d = _mm256_unpackhi_epi32(x[2], x[3]);
    w[0] = _mm256_unpacklo_epi64(a, b);
    w[1] = _mm256_unpackhi_epi64(a, b);
    w[2] = _mm256_unpacklo_epi64(c, d);
    w[3] = _mm256_unpackhi_epi64(c, d);
  };
  __m256i lo[4], hi[4] = {};
  half(0, lo);
  if (!few) half(8, hi);
#pragma GCC unroll 4
  for (int w = 0; w < 4; ++w) word[w] = {lo[w], hi[w]};
#endif
}

// Lane r is the word at row[r] + at.
CUNN_INLINE IVec16 load_word(const char *const *row, int64_t at) {
  auto four = [&](int r) __attribute__((always_inline)) {
    auto one = [&](int i) __attribute__((always_inline)) { return _mm_loadu_si32(row[r + i] + at); };
    return _mm_unpacklo_epi64(_mm_unpacklo_epi32(one(0), one(1)), _mm_unpacklo_epi32(one(2), one(3)));
  };
  auto eight = [&](int r) __attribute__((always_inline)) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(four(r)), four(r + 4), 1);
  };
#if CUNN_ISA_LEVEL == 2
  return {_mm512_inserti64x4(_mm512_castsi256_si512(eight(0)), eight(8), 1)};
#else
  return {eight(0), eight(8)};
#endif
}

// The f16 in the lower half of each word.
CUNN_INLINE Vec16 low_halves(IVec16 w) {
#if CUNN_ISA_LEVEL == 2
  return {_mm512_cvtph_ps(_mm512_cvtepi32_epi16(w.v))};
#else
  auto widen = [](__m256i x) __attribute__((always_inline)) {
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
  };
  return {widen(w.lo), widen(w.hi)};
#endif
}

// Which level of a byte: all of it (q8), its lower or its upper nibble (q4).
enum class Level { byte, lower, upper };
template <Level level> struct Nibble { static constexpr Level value = level; };

// q of byte j, 0 or 1, of each word as f32. Its bits are put under an exponent for which one of them counts 1, and the
// offset is taken away: three steps on any port of the processor, where a conversion would want the bits moved first.
// 0 comes out as +0.
template <Level level, int j> CUNN_INLINE Vec16 level_of(IVec16 w) {
  constexpr int at = 8 * j + (level == Level::upper ? 4 : 0), exponent = 23 - at;
  constexpr int offset = level == Level::byte ? 128 : 8;
  // int8 plus 128 is int8 with its sign bit flipped; a nibble of q4 has its 8 already.
  constexpr int32_t mask = (2 * offset - 1) << at, flip = level == Level::byte ? offset << at : 0;
  const IVec16 bits = (w & iset1(mask)) ^ iset1((127 + exponent) << 23 | flip);
  return as_float(bits) - set1((float)((1 << exponent) + offset));
}

// use(k, column) for bytes [first, last) of a word of V vectors.
template <Level level, int first, int last, int V, class Use>
CUNN_INLINE void use_word(const IVec16 (&word)[V], const Vec16 (&scale)[V], int64_t k, Use use) {
  IVec16 upper[V];
  Vec16 column[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) upper[v] = shr<16>(word[v]);
#define CUNN_USE_BYTE(j)                                                                                   \
  if constexpr (first <= j && j < last) {                                                                  \
    _Pragma("GCC unroll 2")                                                                                \
    for (int v = 0; v < V; ++v) column[v] = level_of<level, j % 2>(j < 2 ? word[v] : upper[v]) * scale[v]; \
    use(k + j - first, column);                                                                            \
  }
  CUNN_USE_BYTE(0)
  CUNN_USE_BYTE(1)
  CUNN_USE_BYTE(2)
  CUNN_USE_BYTE(3)
#undef CUNN_USE_BYTE
}

// each_column of blocks.
template <DType t, int V, bool few, class Use>
CUNN_INLINE void each_block_column(const char *const *row, int64_t at, Use use) {
  IVec16 head[V], even[4][V], odd[4][V];
  Vec16 scale[V];
  auto load_chunk_of = [&](IVec16 (&word)[4][V], int chunk) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      IVec16 w[4];
      load_words<few>(row + 16 * v, at + 4 + 16 * chunk, w);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) word[i][v] = w[i];
    }
  };
  auto scale_from = [&](const IVec16 (&word)[V], bool upper) __attribute__((always_inline)) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) scale[v] = low_halves(upper ? shr<16>(word[v]) : word[v]);
  };
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) head[v] = load_word(row + 16 * v, at);
  load_chunk_of(even, 0);
  scale_from(head, false);
  load_chunk_of(odd, 1);
  if constexpr (t == DType::q8) {
    constexpr Level q = Level::byte;
    use_word<q, 2, 4>(head, scale, 0, use);
    use_word<q, 0, 4>(even[0], scale, 2, use);
    use_word<q, 0, 4>(even[1], scale, 6, use);
    use_word<q, 0, 4>(even[2], scale, 10, use);
    use_word<q, 0, 4>(even[3], scale, 14, use);
    load_chunk_of(even, 2);
    use_word<q, 0, 4>(odd[0], scale, 18, use);
    use_word<q, 0, 4>(odd[1], scale, 22, use);
    use_word<q, 0, 4>(odd[2], scale, 26, use);
    use_word<q, 0, 2>(odd[3], scale, 30, use);
    scale_from(odd[3], true);
    load_chunk_of(odd, 3);
    use_word<q, 0, 4>(even[0], scale, 32, use);
    use_word<q, 0, 4>(even[1], scale, 36, use);
    use_word<q, 0, 4>(even[2], scale, 40, use);
    use_word<q, 0, 4>(even[3], scale, 44, use);
    use_word<q, 0, 4>(odd[0], scale, 48, use);
    use_word<q, 0, 4>(odd[1], scale, 52, use);
    use_word<q, 0, 4>(odd[2], scale, 56, use);
    use_word<q, 0, 4>(odd[3], scale, 60, use);
  } else {
    auto use_even = [&](auto level, int64_t k) __attribute__((always_inline)) {
      constexpr Level q = decltype(level)::value;
      use_word<q, 2, 4>(head, scale, k, use);
      use_word<q, 0, 4>(even[0], scale, k + 2, use);
      use_word<q, 0, 4>(even[1], scale, k + 6, use);
      use_word<q, 0, 4>(even[2], scale, k + 10, use);
      use_word<q, 0, 2>(even[3], scale, k + 14, use);
    };
    auto use_odd = [&](auto level, int64_t k) __attribute__((always_inline)) {
      constexpr Level q = decltype(level)::value;
      use_word<q, 0, 4>(odd[0], scale, k, use);
      use_word<q, 0, 4>(odd[1], scale, k + 4, use);
      use_word<q, 0, 4>(odd[2], scale, k + 8, use);
      use_word<q, 0, 4>(odd[3], scale, k + 12, use);
    };
    use_even(Nibble<Level::lower>{}, 0);
    use_even(Nibble<Level::upper>{}, 16);
    scale_from(even[3], true);
    use_odd(Nibble<Level::lower>{}, 32);
    use_odd(Nibble<Level::upper>{}, 48);
  }
}

#else

template <DType t, int V, bool few, class Use>
CUNN_INLINE void each_block_column(const char *const *row, int64_t at, Use use) {
  for (int block = 0; block < 2; ++block, at += block_pair_bytes(t) / 2) {
    for (int i = 0; i < 32; ++i) {
      Vec16 column[V];
      for (int r = 0; r < 16 * V; ++r) {
        uint16_t half;
        memcpy(&half, row[r] + at, sizeof half);
        const uint8_t byte = (uint8_t)row[r][at + 2 + (t == DType::q8 ? i : i % 16)];
        const int q = t == DType::q8 ? (int8_t)byte : (i < 16 ? byte & 15 : byte >> 4) - 8;
        column[r / 16].v[r % 16] = (float)q * f16_to_float(half);
      }
      use(block * 32 + i, column);
    }
  }
}

#endif

}  // namespace cunn::cpu::CUNN_ISA_NS
