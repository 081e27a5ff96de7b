// Random numbers that depend on (seed, stream, tensor, index) and nothing else: the same in any split and language.
#include "lanes.h"
#include "ops_decl.h"
#include "philox.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr uint32_t kStreamInit = 0;             // CUNN_STREAM_INIT
constexpr double kInitScale = 0.02 / 53509.92;  // 53509.92: deviation of the sum of eight 16-bit uniforms
constexpr int32_t kInitMean = 262140;           // 8 * 65535 / 2

CUNN_INLINE IVec16 halves(IVec16 word) { return (word & iset1(0xffff)) + shr<16>(word); }

// (sum of the eight halves - mean) * scale: product in f64, rounded once to f32.
CUNN_INLINE Vec16 init_value(const PhiloxBlocks &b) {
  int32_t n[16];
  istore(n, halves(b.w[0]) + halves(b.w[1]) + halves(b.w[2]) + halves(b.w[3]) - iset1(kInitMean));
  float y[16];
  for (int i = 0; i < 16; ++i)
    y[i] = (float)((double)n[i] * kInitScale);
  return load(y);
}

constexpr int64_t kGrain = 2048;  // ten rounds an element

}  // namespace

void random_init(Exec &exec, const RandomInit &a) {
  with_float(a.y.dtype, [&](auto type) {
    split(exec, a.n, kGrain, 16, [&](int64_t begin, int64_t end) {
      OutRow<type.value> y(a.y.data);
      each_vector(begin, end, [&](int64_t i, auto part) {
        y.put(i, init_value(philox((uint64_t)a.start + (uint64_t)i, kStreamInit, a.tensor, a.seed)), part);
      });
    });
  });
}

void random_uniform(Exec &exec, const RandomUniform &a) {
  split(exec, a.n, kGrain, 16, [&](int64_t begin, int64_t end) {
    each_vector(begin, end, [&](int64_t i, auto part) {
      store(a.y + i, uniform(philox((uint64_t)a.start + (uint64_t)i, a.stream, a.sub, a.seed).w[0]), part);
    });
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
