// ldmatrix and mma.sync as warp operations on the fragment layouts of the PTX manual (sections "Matrix fragments for
// mma.m16n8k16", "... mma.m8n8k4 with .f16" and "ldmatrix"). They check this reading of the layout, not the hardware; each product is exact in f32
// and the sum runs over k ascending, where a tensor core's order is unspecified.
#pragma once
#include <cstring>
#include "runtime.h"

namespace simt {

struct MmaPayload {
  const uint32_t* a;  // m16n8k16: 4 registers: 16x16, row-major fragment; m8n8k4: 2 registers: 8x4
  const uint32_t* b;  // 2 registers: 16x8, column-major fragment; 4x8
  float* d;           // 4 accumulators: 16x8; 8 accumulators: 8x8
};
struct LdmatrixPayload {
  uint16_t row[8];      // the row whose address this lane gave
  uint32_t result[4];
};
void combine_mma_bf16(void* const* payload, unsigned mask);
void combine_mma_f16(void* const* payload, unsigned mask);
// m8n8k4 of f16, by k: A in row-major, B in column-major fragments.
template <bool kAByK, bool kBByK>
void combine_mma_m8n8k4(void* const* payload, unsigned mask);
void combine_ldmatrix(void* const* payload, unsigned mask);             // up to four 8x8 matrices, row i of matrix j from lane 8j+i
void combine_ldmatrix_transposed(void* const* payload, unsigned mask);

inline void mma(Combine combine, float* d, const uint32_t* a, const uint32_t* b, const Site* site) {
  MmaPayload p{a, b, d};
  warp_collective(0xffffffffu, combine, &p, false, site);
}
// Only lanes below 8 * matrices give an address; the read happens here, in kernel code, where the sanitizers see it.
inline void ldmatrix(Combine combine, uint32_t* registers, int matrices, const void* row, const Site* site) {
  LdmatrixPayload p{};
  if (int(lane()) < 8 * matrices) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail(site, "row address is not a multiple of 16 bytes");
    std::memcpy(p.row, row, sizeof(p.row));
  }
  warp_collective(0xffffffffu, combine, &p, false, site);
  for (int i = 0; i < matrices; ++i) registers[i] = p.result[i];
}

}  // namespace simt
