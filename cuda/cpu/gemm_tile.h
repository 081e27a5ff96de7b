// One task of the matrix product: a tile of C, all of k.
#pragma once

#include "gemm_epilogue.h"
#include "gemm_kernel.h"
#include "gemm_stream.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

// A worker's memory: a few panels of A, the panels of B for the tile's columns, the sums where C is not their place.
struct Workspace {
  float *a, *b, *sums;
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

// Whether B is read row by row into registers instead of being packed.
CUNN_INLINE bool streams(const ProductCall &call, const Problem &p, int64_t rows) {
  return rows <= most_stream_rows(p.b.dtype) && !p.b.k_rows && !changes(p.b.dtype, {1.0f, call.type});
}

// The matrices of B that share A.
CUNN_INLINE const Operand &b_of(const Problem &p, int64_t product) { return product == 0 ? p.b : p.b_up; }

static void stream_tile(const ProductCall &call, const Problem &p, const Workspace &space, const Tile &t,
                        const Sums &sums) {
  const Transform of_a{call.alpha, call.type};
  const float *a = space.a;
  int64_t a_step = t.rows;
  if (is_panel(p.a, of_a, t.rows)) {
    a = reinterpret_cast<const float *>(element(p.a, t.i0, 0));
    a_step = 1;
  } else {
    pack(space.a, t.rows, p.a, {t.i0, t.rows, t.i0 + t.rows, 0, p.k}, of_a);
  }
  const int products = products_of(call.epilogue);
  for (int product = 0; product < products; ++product)
    stream_table[t.rows - 1](p.k, a, a_step, b_of(p, product), t.j0, t.cols, sums.of[product], sums.ld,
                             call.beta != 0.0f, product + 1 < products ? element(p.b_up, t.j0, 0) : nullptr);
}

// An element takes k in ascending order in each pass and each pass continues from the C that the one before left, so
// no result depends on the length of a pass nor on the tile an element is in. A panel of rows is ended when its last sums are
// done: a tile may be larger than what the cache still holds of it then.
static void pack_and_run_tile(const ProductCall &call, const Problem &p, const Workspace &space, const Tile &t,
                              const Sums &sums) {
  const Transform of_a{call.alpha, call.type}, of_b{1.0f, call.type};
  // Panels of equal height: 16 rows as 8 + 8, not 14 + 2.
  const int64_t row_panels = ceil_div(t.rows, tile_rows), panel_rows = ceil_div(t.rows, row_panels);
  // Panels of B: those of the columns, once for each matrix.
  const int64_t across = ceil_div(t.cols, tile_cols), panels = products_of(call.epilogue) * across;
  const bool a_is_panel = is_panel(p.a, of_a, t.rows);
  const bool a_in_place = a_is_panel || in_place(p.a, of_a, panels);
  const bool b_in_place = in_place(p.b, of_b, row_panels);
  const int64_t unit = is_quantized(p.b.dtype) ? step_elements(p.b.dtype) : 4;  // no step of blocks is cut in two
  const int64_t step = ceil_div(ceil_div(p.k, ceil_div(p.k, k_block)), unit) * unit;
  const int64_t a_step = a_is_panel ? 1 : a_in_place ? p.a.ld : panel_rows, b_step = b_in_place ? p.b.ld : tile_cols;
  // All panels of B are packed before A goes by, or, when all of A is at hand, each is used while it is still warm.
  const int64_t group = row_panels <= panels_of_a ? 1 : panels, packed = least(group, across);
  bool from_c = call.beta != 0.0f;

  for (int64_t k0 = 0; k0 < p.k; k0 += step, from_c = true) {
    const int64_t kc = least(step, p.k - k0);
    for (int64_t g = 0; g < panels; g += group) {
      for (int64_t q = g; !b_in_place && q < g + group; q += packed) {
        const int64_t product = q >= across, j = (q - product * across) * tile_cols;
        pack(space.b + (q - g) * panel_floats(tile_cols, kc), tile_cols, b_of(p, product),
             {t.j0 + j, least(packed * tile_cols, t.cols - j), t.j0 + t.cols, k0, kc}, of_b);
      }
      for (int64_t i = 0; i < t.rows; i += panel_rows) {
        const int64_t panel = i / panel_rows % panels_of_a;
        if (!a_in_place && panel == 0 && g == 0)
          pack(space.a, panel_rows, p.a,
               {t.i0 + i, least(panels_of_a * panel_rows, t.rows - i), t.i0 + t.rows, k0, kc}, of_a);
        const float *a = a_is_panel   ? reinterpret_cast<const float *>(element(p.a, t.i0, k0))
                         : a_in_place ? reinterpret_cast<const float *>(element(p.a, k0, t.i0 + i))
                                      : space.a + panel * panel_floats(panel_rows, kc);
        const int64_t height = least(panel_rows, t.rows - i);
        for (int64_t q = g; q < g + group; ++q) {
          const int64_t product = q >= across, j = (q - product * across) * tile_cols;
          const int64_t width = least(tile_cols, t.cols - j);
          const float *b = b_in_place ? reinterpret_cast<const float *>(element(b_of(p, product), k0, t.j0 + j))
                                      : space.b + (q - g) * panel_floats(tile_cols, kc);
          kernel_for(height, width)(kc, a, a_step, b, b_step, sums.of[product] + i * sums.ld + j, sums.ld, width, from_c);
        }
        if (k0 + kc == p.k && g + group == panels) end_tile(call, p, rows_of(t, i, height), rows_of(sums, i));
      }
    }
  }
}

static void run_tile(const ProductCall &call, const Problem &p, const Workspace &space, const Tile &t) {
  const Sums sums = sums_of(call, p, t, space.sums);
  begin_tile(call, p, t, sums);
  if (p.k == 0) {
    for (int product = 0; call.beta == 0.0f && product < products_of(call.epilogue); ++product)
      clear_tile(t, sums.of[product], sums.ld);
  } else if (streams(call, p, t.rows)) {
    stream_tile(call, p, space, t, sums);
  } else {
    return pack_and_run_tile(call, p, space, t, sums);
  }
  end_tile(call, p, t, sums);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
