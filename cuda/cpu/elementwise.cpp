// add, mul, scale, silu, swiglu, fill: y[i] = f(inputs at i). An element depends on its own inputs only, so any cut into
// tasks gives the same bits.
#include "activation.h"
#include "lanes.h"
#include "ops_decl.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

// y[i] = f(i, Whole{} or Part{n}).
template <class F> CUNN_INLINE void map(Exec &exec, float *y, int64_t n, int64_t grain, bool past_caches, F &&f) {
  if (past_caches) {
    split(exec, n, grain, 16, [&](int64_t begin, int64_t end) { stream_vectors(y, begin, end, f); });
  } else {
    split(exec, n, grain, 16, [&](int64_t begin, int64_t end) {
      each_vector(begin, end, [&](int64_t i, auto part) { store(y + i, f(i, part), part); });
    });
  }
}

// Whether n f32 elements of this many buffers are more than the caches hold.
bool large(int64_t n, int64_t buffers) { return n >= kStreamBytes / (int64_t)sizeof(float) / buffers; }

}  // namespace

void add_forward(Exec &exec, const AddForward &op) {
  const float *a = op.a, *b = op.b;
  bool stream = op.y != a && op.y != b && large(op.n, 3);
  map(exec, op.y, op.n, kMoveGrain, stream, [=](int64_t i, auto part) { return load(a + i, part) + load(b + i, part); });
}

void mul_forward(Exec &exec, const MulForward &op) {
  const float *a = op.a, *b = op.b;
  bool stream = op.y != a && op.y != b && large(op.n, 3);
  map(exec, op.y, op.n, kMoveGrain, stream, [=](int64_t i, auto part) { return load(a + i, part) * load(b + i, part); });
}

void mul_backward(Exec &exec, const MulBackward &op) {
  split(exec, op.n, kMoveGrain, 16, [&](int64_t begin, int64_t end) {
    each_vector(begin, end, [&](int64_t i, auto part) {
      Vec16 dy = load(op.dy + i, part), a = load(op.a + i, part), b = load(op.b + i, part);
      store(op.da + i, dy * b, part);
      store(op.db + i, dy * a, part);
    });
  });
}

void scale_forward(Exec &exec, const ScaleForward &op) {
  const float *x = op.x;
  Vec16 alpha = set1(op.alpha);
  map(exec, op.y, op.n, kMoveGrain, op.y != x && large(op.n, 2),
      [=](int64_t i, auto part) { return alpha * load(x + i, part); });
}

void silu_forward(Exec &exec, const SiluForward &op) {
  const float *x = op.x;
  map(exec, op.y, op.n, kExpGrain, op.y != x && large(op.n, 2),
      [=](int64_t i, auto part) { return silu(load(x + i, part)); });
}

void silu_backward(Exec &exec, const SiluBackward &op) {
  const float *dy = op.dy, *x = op.x;
  map(exec, op.dx, op.n, kExpGrain, op.dx != dy && large(op.n, 3), [=](int64_t i, auto part) {
    const Vec16 v = load(x + i, part);
    return load(dy + i, part) * silu_slope(v, sigmoid(v));
  });
}

void swiglu_forward(Exec &exec, const SwigluForward &op) {
  const float *gate = op.gate, *up = op.up;
  auto f = [=](int64_t i, auto part) { return swiglu(load(gate + i, part), load(up + i, part)); };
  if (op.y.dtype == DType::f32) {
    bool stream = op.y.data != gate && op.y.data != up && large(op.n, 3);
    return map(exec, static_cast<float *>(op.y.data), op.n, kExpGrain, stream, f);
  }
  with_float(op.y.dtype, [&](auto t) {
    OutRow<decltype(t)::value> y(op.y.data);
    split(exec, op.n, kExpGrain, 16, [&](int64_t begin, int64_t end) {
      each_vector(begin, end, [&](int64_t i, auto part) { y.put(i, f(i, part), part); });
    });
  });
}

void swiglu_backward(Exec &exec, const SwigluBackward &op) {
  split(exec, op.n, kExpGrain, 16, [&](int64_t begin, int64_t end) {
    each_vector(begin, end, [&](int64_t i, auto part) {
      const SwigluGradient d = swiglu_gradient(load(op.dy + i, part), load(op.gate + i, part), load(op.up + i, part));
      store(op.dgate + i, d.dgate, part);
      store(op.dup + i, d.dup, part);
    });
  });
}

// ---- fill

namespace {

// Nearest representable integer towards zero; NaN gives 0.
int64_t to_integer(double value, int64_t low, int64_t high) {
  if (!(value == value)) return 0;
  if (value <= (double)low) return low;
  if (value >= (double)high) return high;
  return (int64_t)value;
}

// The bytes of one element of the dtype.
int64_t element_of(DType dtype, double value, unsigned char *bytes) {
  switch (dtype) {
    case DType::f32: {
      float v = (float)value;
      memcpy(bytes, &v, sizeof v);
      return sizeof v;
    }
    case DType::bf16: {
      uint16_t v;
      store_bf16(&v, set1((float)value), 1);
      memcpy(bytes, &v, sizeof v);
      return sizeof v;
    }
    case DType::f16: {
      uint16_t v;
      store_f16(&v, set1((float)value), 1);
      memcpy(bytes, &v, sizeof v);
      return sizeof v;
    }
    case DType::i32: {
      int32_t v = (int32_t)to_integer(value, INT32_MIN, INT32_MAX);
      memcpy(bytes, &v, sizeof v);
      return sizeof v;
    }
    case DType::i64: {
      int64_t v = to_integer(value, INT64_MIN, INT64_MAX);
      memcpy(bytes, &v, sizeof v);
      return sizeof v;
    }
    case DType::u8: {
      bytes[0] = (unsigned char)to_integer(value, 0, 255);
      return 1;
    }
    case DType::q8: case DType::q4: break;
  }
  return 0;
}

}  // namespace

void fill(Exec &exec, const Fill &op) {
  unsigned char pattern[64];
  int64_t size = element_of(op.dtype, op.value, pattern);
  if (size == 0 || op.n <= 0) return;
  for (int64_t i = size; i < 64; ++i) pattern[i] = pattern[i - size];
  unsigned char *y = static_cast<unsigned char *>(op.y);
  int64_t bytes = op.n * size;
  bool past_caches = bytes >= kStreamBytes;
  float lanes[16];
  memcpy(lanes, pattern, sizeof lanes);
  Vec16 v = load(lanes);  // moved as bits only
  split(exec, bytes, kMoveGrain * 4, 64, [&](int64_t begin, int64_t end) {
    // Ranges are multiples of 64 bytes from y, hence of an element; a vector is too.
    int64_t i = begin;
    if (past_caches) {
      int64_t head = least((int64_t)((64 - reinterpret_cast<uintptr_t>(y + i) % 64) % 64), end - i);
      memcpy(y + i, pattern, (size_t)head);
      for (i += head; i + 64 <= end; i += 64) stream(reinterpret_cast<float *>(y + i), v);
      stream_fence();
    } else {
      for (; i + 64 <= end; i += 64) memcpy(y + i, pattern, 64);
    }
    memcpy(y + i, pattern, (size_t)(end - i));
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
