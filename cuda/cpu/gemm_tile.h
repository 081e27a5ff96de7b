// One task of the matrix product: a tile of C, all of k.
#pragma once

#include "gemm.h"
#include "gemm_kernel.h"
#include "gemm_stream.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

// A worker's memory: a few panels of A, the panels of B for the tile's columns, an f32 tile of C when C is narrower.
struct Workspace {
  float *a, *b, *c;
};

// Panels of A packed at a time: their rows of k are then read in pieces of some length.
constexpr int64_t panels_of_a = 4;

// k of one pass over a tile: a panel of A then stays in the first-level cache while the panels of B go by.
constexpr int64_t k_block = 384;

// f32 rows that need no change are read where they are, as long as they are not read so often that a dense, aligned
// copy pays.
CUNN_INLINE bool in_place(const Operand &o, const Transform &t, int64_t passes) {
  return o.k_rows && !o.gather && o.dtype == DType::f32 && !changes(DType::f32, t) &&
         (passes <= 2 || o.ld <= 4 * tile_cols);
}
// A single row of A is a panel as it stands.
CUNN_INLINE bool is_panel(const Operand &o, const Transform &t, int64_t rows) {
  return !o.k_rows && rows == 1 && o.dtype == DType::f32 && !changes(DType::f32, t);
}

// C as the micro-kernel will find it: times beta, f32. With beta 0 it is not read and nothing is prepared.
static void begin_tile(const ProductCall &call, const Problem &p, int64_t i0, int64_t j0, int64_t rows, int64_t cols,
                       float *tile, int64_t ld) {
  if (call.beta == 0.0f || (call.beta == 1.0f && call.c_dtype == DType::f32)) return;
  const Vec16 beta = set1(call.beta);
  with_float(call.c_dtype, [&](auto type) {
    for (int64_t i = 0; i < rows; ++i) {
      const Row<type.value> from(p.c, (i0 + i) * p.ldc + j0);
      float *to = tile + i * ld;
      each_vector(0, cols, [&](int64_t j, auto lanes) { store(to + j, from.at(j, lanes) * beta, lanes); });
    }
  });
}

static void end_tile(const ProductCall &call, const Problem &p, int64_t i0, int64_t j0, int64_t rows, int64_t cols,
                     const float *tile, int64_t ld) {
  with_float(call.c_dtype, [&](auto type) {
    for (int64_t i = 0; i < rows; ++i) {
      const OutRow<type.value> to(p.c, (i0 + i) * p.ldc + j0);
      const float *from = tile + i * ld;
      each_vector(0, cols, [&](int64_t j, auto lanes) { to.put(j, load(from + j, lanes), lanes); });
    }
  });
}

static void clear_tile(int64_t rows, int64_t cols, float *tile, int64_t ld) {
  for (int64_t i = 0; i < rows; ++i)
    each_vector(0, cols, [&](int64_t j, auto lanes) { store(tile + i * ld + j, zero(), lanes); });
}

// Whether B is read row by row into registers instead of being packed.
CUNN_INLINE bool streams(const ProductCall &call, const Problem &p, int64_t rows) {
  return rows <= most_stream_rows(p.b.dtype) && !p.b.k_rows && !changes(p.b.dtype, {1.0f, call.type});
}

static void stream_tile(const ProductCall &call, const Problem &p, const Workspace &space, int64_t i0, int64_t j0,
                        int64_t rows, int64_t cols, float *c, int64_t ldc) {
  const Transform of_a{call.alpha, call.type};
  const float *a = space.a;
  int64_t a_step = rows;
  if (is_panel(p.a, of_a, rows)) {
    a = reinterpret_cast<const float *>(element(p.a, i0, 0));
    a_step = 1;
  } else {
    pack(space.a, rows, p.a, {i0, rows, i0 + rows, 0, p.k}, of_a);
  }
  stream_table[rows - 1](p.k, a, a_step, p.b, j0, cols, c, ldc, call.beta != 0.0f);
}

// An element takes k in ascending order in each pass and each pass continues from the C that the one before left, so
// no result depends on the length of a pass nor on the tile an element is in.
static void pack_and_run_tile(const ProductCall &call, const Problem &p, const Workspace &space, int64_t i0, int64_t j0,
                              int64_t rows, int64_t cols, float *c, int64_t ldc) {
  const Transform of_a{call.alpha, call.type}, of_b{1.0f, call.type};
  // Panels of equal height: 16 rows as 8 + 8, not 14 + 2.
  const int64_t row_panels = ceil_div(rows, tile_rows), panel_rows = ceil_div(rows, row_panels);
  const bool a_is_panel = is_panel(p.a, of_a, rows);
  const bool a_in_place = a_is_panel || in_place(p.a, of_a, ceil_div(cols, tile_cols));
  const bool b_in_place = in_place(p.b, of_b, row_panels);
  const int64_t unit = is_quantized(p.b.dtype) ? step_elements(p.b.dtype) : 4;  // no step of blocks is cut in two
  const int64_t step = ceil_div(ceil_div(p.k, ceil_div(p.k, k_block)), unit) * unit;
  const int64_t a_step = a_is_panel ? 1 : a_in_place ? p.a.ld : panel_rows, b_step = b_in_place ? p.b.ld : tile_cols;
  // All panels of B are packed before A goes by, or, when all of A is at hand, each is used while it is still warm.
  const int64_t group = row_panels <= panels_of_a ? tile_cols : cols;
  bool from_c = call.beta != 0.0f;

  for (int64_t k0 = 0; k0 < p.k; k0 += step, from_c = true) {
    const int64_t kc = least(step, p.k - k0);
    for (int64_t g = 0; g < cols; g += group) {
      const int64_t group_end = least(cols, g + group);
      if (!b_in_place) pack(space.b, tile_cols, p.b, {j0 + g, group_end - g, j0 + cols, k0, kc}, of_b);
      for (int64_t i = 0; i < rows; i += panel_rows) {
        const int64_t panel = i / panel_rows % panels_of_a;
        if (!a_in_place && panel == 0 && g == 0)
          pack(space.a, panel_rows, p.a, {i0 + i, least(panels_of_a * panel_rows, rows - i), i0 + rows, k0, kc}, of_a);
        const float *a = a_is_panel   ? reinterpret_cast<const float *>(element(p.a, i0, k0))
                         : a_in_place ? reinterpret_cast<const float *>(element(p.a, k0, i0 + i))
                                      : space.a + panel * panel_floats(panel_rows, kc);
        const int64_t height = least(panel_rows, rows - i);
        for (int64_t j = g; j < group_end; j += tile_cols) {
          const int64_t width = least(tile_cols, cols - j);
          const float *b = b_in_place ? reinterpret_cast<const float *>(element(p.b, k0, j0 + j))
                                      : space.b + (j - g) / tile_cols * panel_floats(tile_cols, kc);
          kernel_for(height, width)(kc, a, a_step, b, b_step, c + i * ldc + j, ldc, width, from_c);
        }
      }
    }
  }
}

// Rows [i0, i0 + rows) and columns [j0, j0 + cols) of C.
static void run_tile(const ProductCall &call, const Problem &p, const Workspace &space, int64_t i0, int64_t j0,
                     int64_t rows, int64_t cols) {
  const bool direct = call.c_dtype == DType::f32;
  float *c = direct ? reinterpret_cast<float *>(p.c) + i0 * p.ldc + j0 : space.c;
  const int64_t ldc = direct ? p.ldc : ceil_div(cols, 16) * 16;
  begin_tile(call, p, i0, j0, rows, cols, c, ldc);
  if (p.k == 0) {
    if (call.beta == 0.0f) clear_tile(rows, cols, c, ldc);
  } else if (streams(call, p, rows)) {
    stream_tile(call, p, space, i0, j0, rows, cols, c, ldc);
  } else {
    pack_and_run_tile(call, p, space, i0, j0, rows, cols, c, ldc);
  }
  if (!direct) end_tile(call, p, i0, j0, rows, cols, c, ldc);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
