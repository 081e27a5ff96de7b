// Blocks of 32 elements with one f16 scale d: q8 as 32 signed bytes, q4 as 16 bytes of nibbles offset by 8 (element i
// low, element i + 16 high). x = d q.
//
// The f16 scale is applied as it is stored, so the rounding of d is not an error of q.
#include "lanes.h"
#include "ops_decl.h"
#include "tasks.h"
#include "../src/error_word.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kBlocksPerTask = 512;

float scale_from(uint16_t half) {
  uint16_t h[16] = {half};
  float x[16];
  store(x, load_f16(h));
  return x[0];
}

uint16_t scale_to(float d) {
  uint16_t h[16];
  store_f16(h, set1(d));
  return h[0];
}

// q = x / d to nearest even, clamped to [low, high]; 0 where d is 0. A quotient may lie outside because d was
// rounded.
CUNN_INLINE IVec16 levels(Vec16 x, float d, float low, float high) {
  if (d == 0.0f) return izero();
  return to_int(min(max(x / set1(d), set1(low)), set1(high)));
}

// d of a block; not finite where an element is NaN or infinite, or the block exceeds what an f16 scale can hold.
CUNN_INLINE uint16_t scale_q8(Vec16 a, Vec16 b) {
  const Mask16 nan = unordered(a, a) | unordered(b, b);
  return any(nan) ? (uint16_t)0x7e00 : scale_to(reduce_max(max(abs(a), abs(b))) / 127.0f);
}
CUNN_INLINE uint16_t scale_q4(Vec16 a, Vec16 b) {
  const Mask16 nan = unordered(a, a) | unordered(b, b);
  if (any(nan)) return 0x7e00;
  const Vec16 largest = set1(reduce_max(max(abs(a), abs(b))));
  float x[32];
  store(x, a);
  store(x + 16, b);
  const uint32_t hits = bits(eq(abs(a), largest)) | bits(eq(abs(b), largest)) << 16;  // the first of equals
  return scale_to(x[__builtin_ctz(hits)] / -8.0f);
}

CUNN_INLINE void put_q8(uint8_t *y, Vec16 a, Vec16 b, uint16_t half) {
  const float d = scale_from(half);
  int32_t q[32];
  istore(q, levels(a, d, -128.0f, 127.0f));
  istore(q + 16, levels(b, d, -128.0f, 127.0f));
  memcpy(y, &half, 2);
  for (int i = 0; i < 32; ++i)
    y[2 + i] = (uint8_t)q[i];
}
CUNN_INLINE void put_q4(uint8_t *y, Vec16 a, Vec16 b, uint16_t half) {
  const float d = scale_from(half);
  int32_t low[16], high[16];
  istore(low, levels(a, d, -8.0f, 7.0f));
  istore(high, levels(b, d, -8.0f, 7.0f));
  memcpy(y, &half, 2);
  for (int i = 0; i < 16; ++i)
    y[2 + i] = (uint8_t)((low[i] + 8) | (high[i] + 8) << 4);
}

CUNN_INLINE void get_q8(Vec16 *a, Vec16 *b, const uint8_t *x, float d) {
  int32_t q[32];
  for (int i = 0; i < 32; ++i)
    q[i] = (int8_t)x[2 + i];
  *a = to_float(iload(q)) * set1(d);
  *b = to_float(iload(q + 16)) * set1(d);
}
CUNN_INLINE void get_q4(Vec16 *a, Vec16 *b, const uint8_t *x, float d) {
  int32_t low[16], high[16];
  for (int i = 0; i < 16; ++i) {
    low[i] = (x[2 + i] & 15) - 8;
    high[i] = (x[2 + i] >> 4) - 8;
  }
  *a = to_float(iload(low)) * set1(d);
  *b = to_float(iload(high)) * set1(d);
}

bool is_finite_half(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

}  // namespace

void quantize(Exec &exec, const Quantize &a) {
  const int64_t blocks = a.n / kQuantBlock, tasks = ceil_div(blocks, kBlocksPerTask);
  const bool q8 = a.y_dtype == DType::q8;
  const int64_t size = q8 ? kQ8BlockBytes : kQ4BlockBytes;
  auto *bad = static_cast<int64_t *>(exec.scratch->bytes(sizeof(int64_t) * (size_t)most(tasks, 1)));
  with_float(a.x.dtype, [&](auto type) {
    Row<type.value> x(a.x.data);
    for_chunks(exec, blocks, kBlocksPerTask, a.n, kMoveGrain, [&](int64_t task, int64_t begin, int64_t end) {
      bad[task] = -1;
      for (int64_t i = begin; i < end; ++i) {
        const Vec16 lower = x.at(i * kQuantBlock, Whole{}), upper = x.at(i * kQuantBlock + 16, Whole{});
        uint16_t half = q8 ? scale_q8(lower, upper) : scale_q4(lower, upper);
        if (!is_finite_half(half)) {  // the block becomes 0
          if (bad[task] < 0) bad[task] = i;
          half = 0;
        }
        uint8_t *y = static_cast<uint8_t *>(a.y) + i * size;
        if (q8)
          put_q8(y, lower, upper, half);
        else
          put_q4(y, lower, upper, half);
      }
    });
  });
  for (int64_t task = 0; task < tasks; ++task) {
    if (bad[task] < 0) continue;
    // The first element of the first block that has no finite scale; the limit is that of f16 times the levels.
    return report_fault(exec, OpId::quantize, DeviceFault::value_out_of_range, bad[task] * kQuantBlock, -1,
                        65504 * (q8 ? 127 : 8));
  }
}

void dequantize(Exec &exec, const Dequantize &a) {
  const bool q8 = a.x_dtype == DType::q8;
  const int64_t size = q8 ? kQ8BlockBytes : kQ4BlockBytes;
  with_float(a.y.dtype, [&](auto type) {
    OutRow<type.value> y(a.y.data);
    split(exec, a.n / kQuantBlock, kBlocksPerTask, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const uint8_t *x = static_cast<const uint8_t *>(a.x) + i * size;
        uint16_t half;
        memcpy(&half, x, 2);
        Vec16 lower, upper;
        if (q8)
          get_q8(&lower, &upper, x, scale_from(half));
        else
          get_q4(&lower, &upper, x, scale_from(half));
        y.put(i * kQuantBlock, lower, Whole{});
        y.put(i * kQuantBlock + 16, upper, Whole{});
      }
    });
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
