// The training step's last ops: gradient norm, clipping, AdamW.
#include "lanes.h"
#include "ops_decl.h"
#include "../src/error_word.h"
#include "philox.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kChunk = 4096;         // elements of a gradient that one f32 sum covers
constexpr uint32_t kStreamRounding = 3;  // CUNN_STREAM_ROUNDING
constexpr int64_t kAdamwGrain = 8192;

// 16 lanes, one fused multiply-add an element, then the tree of reduce_sum.
template <DType type> float chunk_sum(const void *x, int64_t begin, int64_t end) {
  Row<type> row(x);
  Vec16 sum = zero();
  each_vector(begin, end, [&](int64_t i, auto part) {
    Vec16 v = row.at(i, part);
    sum = fma(v, v, sum);
  });
  return reduce_sum(sum);
}

// b^t in f64: squares of b from the lowest bit of t on, multiplied into 1 in that order.
double power(double b, int64_t t) {
  double y = 1.0;
  for (; t > 0; t >>= 1) {
    if (t & 1) y *= b;
    b *= b;
  }
  return y;
}

// What is the same for every element, f64 rounded once to f32.
struct Constants {
  float beta1, rest1, beta2, rest2;  // rest = 1 - beta
  float decay;                       // 1 - lr wd
  float step;                        // lr / bc1
  float root;                        // sqrt(bc2)
  float eps, scale;
  uint64_t seed;
  uint32_t sub;  // t
};

CUNN_INLINE Vec16 read(DType t, const void *data, int64_t i, int64_t n) {
  Vec16 x = zero();
  with_float(t, [&](auto type) {
    x = n >= 16 ? Row<type.value>(data).at(i, Whole{}) : Row<type.value>(data).at(i, Part{n});
  });
  return x;
}
CUNN_INLINE void write(DType t, void *data, int64_t i, Vec16 x, int64_t n) {
  with_float(t, [&](auto type) {
    n >= 16 ? OutRow<type.value>(data).put(i, x, Whole{}) : OutRow<type.value>(data).put(i, x, Part{n});
  });
}

// x as dtype t can hold it: rounded by the element's own random word where t has 16 bits.
CUNN_INLINE Vec16 round_by(DType t, Vec16 x, IVec16 word) {
  if (t == DType::f32) return x;
  return t == DType::bf16 ? round_stochastic_bf16(x, word) : round_stochastic_f16(x, word);
}

// Elements i .. i + n - 1, n <= 16. The order of operations:
//   g = grad scale;  m = fma(beta1, m, rest1 g);  v = fma(beta2, v, (rest2 g) g);
//   p = p decay - (step m) / (sqrt(v) / root + eps), with m and v before they are rounded to 16 bits.
template <bool all_f32> CUNN_INLINE void step(const AdamwStep &a, const Constants &c, int64_t i, int64_t n) {
  const DType param = all_f32 ? DType::f32 : a.param.dtype, grad = all_f32 ? DType::f32 : a.grad.dtype;
  const DType m_type = all_f32 ? DType::f32 : a.m.dtype, v_type = all_f32 ? DType::f32 : a.v.dtype;
  const bool has_master = !all_f32 && a.master != nullptr;
  Vec16 g = read(grad, a.grad.data, i, n) * set1(c.scale);
  Vec16 m = fma(set1(c.beta1), read(m_type, a.m.data, i, n), set1(c.rest1) * g);
  Vec16 v = fma(set1(c.beta2), read(v_type, a.v.data, i, n), set1(c.rest2) * g * g);
  Vec16 p = has_master ? read(DType::f32, a.master, i, n) : read(param, a.param.data, i, n);
  p = p * set1(c.decay) - (set1(c.step) * m) / (sqrt(v) / set1(c.root) + set1(c.eps));
  // One block an element: word 0 for the parameter, 1 and 2 for m and v.
  PhiloxBlocks random = {{izero(), izero(), izero(), izero()}};
  if (m_type != DType::f32 || v_type != DType::f32 || (param != DType::f32 && !has_master))
    random = philox((uint64_t)a.start + (uint64_t)i, kStreamRounding, c.sub, c.seed);
  write(m_type, a.m.data, i, round_by(m_type, m, random.w[1]), n);
  write(v_type, a.v.data, i, round_by(v_type, v, random.w[2]), n);
  if (has_master) write(DType::f32, a.master, i, p, n);
  write(param, a.param.data, i, has_master ? p : round_by(param, p, random.w[0]), n);
}

template <bool all_f32> void step_range(const AdamwStep &a, const Constants &c, int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + 16 <= end; i += 16)
    step<all_f32>(a, c, i, 16);
  if (i < end) step<all_f32>(a, c, i, end - i);
}

}  // namespace

void sum_of_squares(Exec &exec, const SumOfSquares &a) {
  const int64_t chunks = ceil_div(a.n, kChunk);
  float *sums = scratch_floats(exec, chunks);
  with_float(a.x.dtype, [&](auto type) {
    split(exec, a.n, kMoveGrain, kChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i += kChunk)
        sums[i / kChunk] = chunk_sum<type.value>(a.x.data, i, least(end, i + kChunk));
    });
  });
  double sum = 0;
  for (int64_t i = 0; i < chunks; ++i)
    sum += (double)sums[i];
  a.sum[0] = (float)sum;
}

void clip_scale(Exec &, const ClipScale &a) {
  const float norm = __builtin_sqrtf(a.sum[0]);
  const bool finite = norm < __builtin_inff();  // false for NaN
  a.norm[0] = norm;
  if (a.max_norm == 0) {
    a.scale[0] = 1.0f;
  } else {
    const double scale = a.max_norm / ((double)norm + 1e-6);
    a.scale[0] = scale < 1.0 ? (float)scale : 1.0f;
  }
  a.nonfinite[0] = finite ? 0 : 1;
  if (finite) a.applied[0] += 1;
}

void adamw_step(Exec &exec, const AdamwStep &a) {
  if (a.n == 0 || a.nonfinite[0] != 0) return;
  const int64_t t = a.applied[0];
  if (t < 1) {  // bc would be 0: the step was not counted by clip_scale
    report_fault(exec, OpId::adamw_step, DeviceFault::value_out_of_range, 0, t, INT64_MAX);
    return;
  }
  const double lr = (double)a.lr[0], bc1 = 1.0 - power(a.beta1, t), bc2 = 1.0 - power(a.beta2, t);
  const Constants c{(float)a.beta1,
                    (float)(1.0 - a.beta1),
                    (float)a.beta2,
                    (float)(1.0 - a.beta2),
                    (float)(1.0 - lr * a.weight_decay),
                    (float)(lr / bc1),
                    (float)__builtin_sqrt(bc2),
                    (float)a.eps,
                    a.scale[0],
                    a.seed != nullptr ? (uint64_t)a.seed[0] : 0,
                    (uint32_t)t};
  const bool all_f32 = a.param.dtype == DType::f32 && a.master == nullptr && a.m.dtype == DType::f32 &&
                       a.v.dtype == DType::f32 && a.grad.dtype == DType::f32;
  split(exec, a.n, kAdamwGrain, 16, [&](int64_t begin, int64_t end) {
    if (all_f32)
      step_range<true>(a, c, begin, end);
    else
      step_range<false>(a, c, begin, end);
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
