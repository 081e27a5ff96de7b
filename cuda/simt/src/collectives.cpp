// Combine functions of the warp operations: called once per operation, by the last lane to arrive.
#include <cstring>

#include "../include/simt/tensor_core.h"
#include "../include/simt/warp.h"
#include "../include/simt/half_bits.h"

namespace simt {
namespace {

template <class F>
void for_each_lane(unsigned mask, F f) {
  for (; mask; mask &= mask - 1) f(__builtin_ctz(mask));
}

template <class F>
void combine_votes(void* const* payload, unsigned mask, unsigned initial, F f) {
  unsigned result = initial;
  for_each_lane(mask, [&](int l) { result = f(result, static_cast<VotePayload*>(payload[l])->key, l); });
  for_each_lane(mask, [&](int l) { static_cast<VotePayload*>(payload[l])->result = result; });
}

}  // namespace

void combine_nothing(void* const*, unsigned) {}

void combine_shuffle(void* const* payload, unsigned mask) {
  constexpr uint64_t kUndefined = 0x7fc0dead7fc0deadull;  // NaN as one f64 or two f32
  for_each_lane(mask, [&](int l) {
    ShufflePayload* const p = static_cast<ShufflePayload*>(payload[l]);
    const bool named = p->source_lane >= 0 && p->source_lane < 32 && (mask >> p->source_lane & 1);
    const ShufflePayload* const source = named ? static_cast<ShufflePayload*>(payload[p->source_lane]) : nullptr;
    p->result[0] = source ? source->value[0] : kUndefined;
    p->result[1] = source ? source->value[1] : kUndefined;
  });
}

void combine_ballot(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0, [](unsigned r, uint64_t key, int l) { return r | (key ? 1u << l : 0u); });
}

void combine_match_any(void* const* payload, unsigned mask) {
  for_each_lane(mask, [&](int l) {
    VotePayload* const p = static_cast<VotePayload*>(payload[l]);
    p->result = 0;
    for_each_lane(mask, [&](int other) {
      if (static_cast<VotePayload*>(payload[other])->key == p->key) p->result |= 1u << other;
    });
  });
}

void combine_add(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0, [](unsigned r, uint64_t key, int) { return r + unsigned(key); });
}
void combine_min_unsigned(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, ~0u, [](unsigned r, uint64_t key, int) { return unsigned(key) < r ? unsigned(key) : r; });
}
void combine_max_unsigned(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0, [](unsigned r, uint64_t key, int) { return unsigned(key) > r ? unsigned(key) : r; });
}
void combine_min_signed(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0x7fffffffu, [](unsigned r, uint64_t key, int) { return int(key) < int(r) ? unsigned(key) : r; });
}
void combine_max_signed(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0x80000000u, [](unsigned r, uint64_t key, int) { return int(key) > int(r) ? unsigned(key) : r; });
}
void combine_and(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, ~0u, [](unsigned r, uint64_t key, int) { return r & unsigned(key); });
}
void combine_or(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0, [](unsigned r, uint64_t key, int) { return r | unsigned(key); });
}
void combine_xor(void* const* payload, unsigned mask) {
  combine_votes(payload, mask, 0, [](unsigned r, uint64_t key, int) { return r ^ unsigned(key); });
}

// Fragments of mma.m16n8k16 (PTX manual): lane = 4 * group + t; a register holds two 16-bit values, the lower column
// (A) or row (B) in the low half.
//   A: registers 0..3 are rows group, group+8, group, group+8 and columns 2t, 2t, 2t+8, 2t+8
//   B: registers 0, 1 are rows 2t, 2t+8 of column group
//   D: accumulators 0, 1 are columns 2t, 2t+1 of row group; 2, 3 of row group+8
template <class ToFloat>
static void combine_mma(void* const* payload, ToFloat to_float) {
  float a[16][16], b[16][8];
  for (int l = 0; l < 32; ++l) {
    const MmaPayload& p = *static_cast<MmaPayload*>(payload[l]);
    const int group = l >> 2, t = l & 3;
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < 4; ++r)
        a[group + (r & 1) * 8][2 * t + (r >> 1) * 8 + half] = to_float(uint16_t(p.a[r] >> (16 * half)));
      for (int r = 0; r < 2; ++r) b[2 * t + r * 8 + half][group] = to_float(uint16_t(p.b[r] >> (16 * half)));
    }
  }
  float d[16][8];
  for (int l = 0; l < 32; ++l)
    for (int e = 0; e < 4; ++e)
      d[(l >> 2) + (e >> 1) * 8][2 * (l & 3) + (e & 1)] = static_cast<MmaPayload*>(payload[l])->d[e];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
  for (int l = 0; l < 32; ++l)
    for (int e = 0; e < 4; ++e)
      static_cast<MmaPayload*>(payload[l])->d[e] = d[(l >> 2) + (e >> 1) * 8][2 * (l & 3) + (e & 1)];
}
void combine_mma_bf16(void* const* payload, unsigned) { combine_mma(payload, bf16_bits_to_float); }
void combine_mma_f16(void* const* payload, unsigned) { combine_mma(payload, f16_bits_to_float); }

// Fragments of mma.m8n8k4 with f16 (PTX manual): lane = 16 * upper + 4 * quad_pair + t, a product for each quad pair; two
// registers hold four values, i = 0..3 from the low half of the first on.
//   A, B by k (row-major, column-major): line t + 4 upper, k = i; else k = t, line i + 4 upper
//   D: accumulator i is row (t & 1) + (i & 2) + 4 upper, column (i & 4) + (t & 2) + (i & 1)
template <bool kAByK, bool kBByK>
void combine_mma_m8n8k4(void* const* payload, unsigned) {
  for (int quad_pair = 0; quad_pair < 4; ++quad_pair) {
    const auto member = [&](int upper, int t) -> const MmaPayload& {
      return *static_cast<MmaPayload*>(payload[16 * upper + 4 * quad_pair + t]);
    };
    const auto place = [](int i, int upper, int t, auto accept) {
      accept((t & 1) + (i & 2) + 4 * upper, (i & 4) + (t & 2) + (i & 1));
    };
    float a[8][4], b[8][4], d[8][8];  // [line][k], [row][column]
    for (int upper = 0; upper < 2; ++upper)
      for (int t = 0; t < 4; ++t) {
        const MmaPayload& p = member(upper, t);
        for (int i = 0; i < 4; ++i) {
          const auto value = [&](const uint32_t* registers) { return f16_bits_to_float(uint16_t(registers[i / 2] >> (16 * (i % 2)))); };
          (kAByK ? a[t + 4 * upper][i] : a[i + 4 * upper][t]) = value(p.a);
          (kBByK ? b[t + 4 * upper][i] : b[i + 4 * upper][t]) = value(p.b);
        }
        for (int i = 0; i < 8; ++i) place(i, upper, t, [&](int row, int column) { d[row][column] = p.d[i]; });
      }
    for (int row = 0; row < 8; ++row)
      for (int column = 0; column < 8; ++column)
        for (int k = 0; k < 4; ++k) d[row][column] += a[row][k] * b[column][k];
    for (int upper = 0; upper < 2; ++upper)
      for (int t = 0; t < 4; ++t)
        for (int i = 0; i < 8; ++i) place(i, upper, t, [&](int row, int column) { member(upper, t).d[i] = d[row][column]; });
  }
}
template void combine_mma_m8n8k4<true, true>(void* const*, unsigned);
template void combine_mma_m8n8k4<true, false>(void* const*, unsigned);
template void combine_mma_m8n8k4<false, true>(void* const*, unsigned);
template void combine_mma_m8n8k4<false, false>(void* const*, unsigned);

// Row i of matrix j comes from lane 8j+i. Lane l receives columns 2(l%4), 2(l%4)+1 of row l/4, or of the transpose.
static void spread_ldmatrix(void* const* payload, bool transposed) {
  for (int l = 0; l < 32; ++l) {
    LdmatrixPayload& to = *static_cast<LdmatrixPayload*>(payload[l]);
    for (int j = 0; j < 4; ++j) {
      uint32_t word = 0;
      for (int half = 0; half < 2; ++half) {
        const int row = transposed ? 2 * (l & 3) + half : l >> 2;
        const int column = transposed ? l >> 2 : 2 * (l & 3) + half;
        word |= uint32_t(static_cast<LdmatrixPayload*>(payload[8 * j + row])->row[column]) << (16 * half);
      }
      to.result[j] = word;
    }
  }
}
void combine_ldmatrix(void* const* payload, unsigned) { spread_ldmatrix(payload, false); }
void combine_ldmatrix_transposed(void* const* payload, unsigned) { spread_ldmatrix(payload, true); }

}  // namespace simt
