// The activation of the experts, of one op by itself and of the epilogue of their products: one formula, the same bits.
#pragma once

#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

CUNN_INLINE Vec16 sigmoid(Vec16 x) { return set1(1.0f) / (set1(1.0f) + exp(-x)); }
CUNN_INLINE Vec16 silu(Vec16 x) { return x / (set1(1.0f) + exp(-x)); }
// silu'(x) = s (1 + x (1 - s)), s = sigmoid(x).
CUNN_INLINE Vec16 silu_slope(Vec16 x, Vec16 s) { return s * fma(x, set1(1.0f) - s, set1(1.0f)); }

CUNN_INLINE Vec16 swiglu(Vec16 gate, Vec16 up) { return silu(gate) * up; }

struct SwigluGradient {
  Vec16 dgate, dup;
};
CUNN_INLINE SwigluGradient swiglu_gradient(Vec16 dy, Vec16 gate, Vec16 up) {
  const Vec16 s = sigmoid(gate);
  return {dy * up * silu_slope(gate, s), dy * (gate * s)};
}

}  // namespace cunn::cpu::CUNN_ISA_NS
