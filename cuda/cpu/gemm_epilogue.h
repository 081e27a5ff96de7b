// What a tile of C begins and ends with: where its sums are made, and what is written from them.
#pragma once

#include "activation.h"
#include "gemm.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Rows [i0, i0 + rows) and columns [j0, j0 + cols) of C.
struct Tile {
  int64_t i0, j0, rows, cols;
};

// The sums of a tile, f32, of one product or of two.
struct Sums {
  float *of[2];
  int64_t ld;
};

// Whether they are made where they are to stand, not in the worker's memory.
CUNN_INLINE bool sums_in_place(const ProductCall &call, const Problem &p) {
  return call.epilogue == Epilogue::store ? call.c_dtype == DType::f32
                                          : call.epilogue == Epilogue::swiglu && p.gate_out != nullptr;
}
// The worker's memory for them otherwise.
CUNN_INLINE int64_t sums_ld(int64_t cols) { return ceil_div(cols, 16) * 16; }
CUNN_INLINE int64_t sums_floats(const ProductCall &call, const Problem &p, int64_t rows, int64_t cols) {
  return sums_in_place(call, p) ? 0 : products_of(call.epilogue) * rows * sums_ld(cols);
}

static Sums sums_of(const ProductCall &call, const Problem &p, const Tile &t, float *own) {
  const int64_t at = t.i0 * p.ldc + t.j0, ld = sums_ld(t.cols);
  if (!sums_in_place(call, p)) return {{own, products_of(call.epilogue) == 2 ? own + t.rows * ld : nullptr}, ld};
  if (call.epilogue == Epilogue::swiglu) return {{p.gate_out + at, p.up_out + at}, p.ldc};
  return {{reinterpret_cast<float *>(p.c) + at, nullptr}, p.ldc};
}

// What the sums start from: beta C, f32. With beta 0 C is not read and nothing is prepared.
static void begin_tile(const ProductCall &call, const Problem &p, const Tile &t, const Sums &sums) {
  if (call.beta == 0.0f || (call.beta == 1.0f && call.c_dtype == DType::f32)) return;
  const Vec16 beta = set1(call.beta);
  with_float(call.c_dtype, [&](auto type) {
    for (int64_t i = 0; i < t.rows; ++i) {
      const Row<type.value> from(p.c, (t.i0 + i) * p.ldc + t.j0);
      float *to = sums.of[0] + i * sums.ld;
      each_vector(0, t.cols, [&](int64_t j, auto lanes) { store(to + j, from.at(j, lanes) * beta, lanes); });
    }
  });
}

static void clear_tile(const Tile &t, float *sums, int64_t ld) {
  for (int64_t i = 0; i < t.rows; ++i)
    each_vector(0, t.cols, [&](int64_t j, auto lanes) { store(sums + i * ld + j, zero(), lanes); });
}

// C[i, j] = f(i, j, lanes) of the tile, in the dtype of C.
template <class F>
CUNN_INLINE void write_tile(const ProductCall &call, const Problem &p, const Tile &t, F &&f) {
  with_float(call.c_dtype, [&](auto type) {
    for (int64_t i = 0; i < t.rows; ++i) {
      const OutRow<type.value> to(p.c, (t.i0 + i) * p.ldc + t.j0);
      each_vector(0, t.cols, [&](int64_t j, auto lanes) { to.put(j, f(i, j, lanes), lanes); });
    }
  });
}

// Rows [i, i + rows) of a tile, and their sums.
CUNN_INLINE Tile rows_of(const Tile &t, int64_t i, int64_t rows) { return {t.i0 + i, t.j0, rows, t.cols}; }
CUNN_INLINE Sums rows_of(const Sums &sums, int64_t i) {
  return {{sums.of[0] + i * sums.ld, sums.of[1] ? sums.of[1] + i * sums.ld : nullptr}, sums.ld};
}

static void end_tile(const ProductCall &call, const Problem &p, const Tile &t, const Sums &sums) {
  const float *first = sums.of[0], *second = sums.of[1];
  switch (call.epilogue) {
    case Epilogue::store:
      if (sums_in_place(call, p)) return;
      return write_tile(call, p, t,
                        [&](int64_t i, int64_t j, auto lanes) { return load(first + i * sums.ld + j, lanes); });
    case Epilogue::swiglu:
      return write_tile(call, p, t, [&](int64_t i, int64_t j, auto lanes) {
        return swiglu(load(first + i * sums.ld + j, lanes), load(second + i * sums.ld + j, lanes));
      });
    case Epilogue::swiglu_backward:
      for (int64_t i = 0; i < t.rows; ++i) {
        const int64_t row = (t.i0 + i) * p.ldc + t.j0;
        each_vector(0, t.cols, [&](int64_t j, auto lanes) {
          const SwigluGradient d = swiglu_gradient(load(first + i * sums.ld + j, lanes),
                                                   load(p.gate + row + j, lanes), load(p.up + row + j, lanes));
          store(p.gate_out + row + j, d.dgate, lanes);
          store(p.up_out + row + j, d.dup, lanes);
        });
      }
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
