// RMSNorm and its fused residual form. A row is worked on by one thread: 16 partial sums, lane = column mod 16.
//
// dw sums over rows. Its order is fixed by the row index alone: rows in chunks of 64, in a chunk one fused multiply-add
// a row in ascending order starting from 0, then the chunks added in order starting from 0, then that sum added to dw.
#include "lanes.h"
#include "ops_decl.h"
#include "tasks.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kChunkRows = 64;
constexpr int64_t kChunksAtOnce = 256;  // bounds the scratch memory: 256 partial sums of dw

float rstd_of(Vec16 sum_of_squares, int64_t cols, float eps) {
  return 1.0f / __builtin_sqrtf(reduce_sum(sum_of_squares) / (float)cols + eps);
}

// The weight as f32: itself, or widened once for all rows.
const float *widen(Exec &exec, ConstFloats w, int64_t cols) {
  if (w.dtype == DType::f32) return static_cast<const float *>(w.data);
  float *wide = scratch_floats(exec, cols);
  with_float(w.dtype, [&](auto t) {
    Row<decltype(t)::value> row(w.data);
    each_vector(0, cols, [&](int64_t i, auto part) { store(wide + i, row.at(i, part), part); });
  });
  return wide;
}

// y = (h rstd) w for one row.
template <DType y_type>
CUNN_INLINE void normalize(OutRow<y_type> y, const float *h, const float *w, float rstd, int64_t cols) {
  Vec16 scale = set1(rstd);
  each_vector(0, cols, [&](int64_t i, auto part) { y.put(i, load(h + i, part) * scale * load(w + i, part), part); });
}

// h = x + residual, or x itself; rstd = 1 / sqrt(mean(h^2) + eps); y = (h rstd) w.
template <bool residual>
void forward(Exec &exec, Floats y, float *h, float *rstd, const float *x, const float *residual_in, ConstFloats weight,
             int64_t rows, int64_t cols, float eps) {
  if (cols <= 0) return;
  const float *w = widen(exec, weight, cols);
  with_float(y.dtype, [&](auto t) {
    split_rows(exec, rows, cols, kMoveGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float *row = x + r * cols;
        Vec16 sum = zero();
        each_vector(0, cols, [&](int64_t i, auto part) {
          Vec16 v = load(row + i, part);
          if constexpr (residual) {
            v = v + load(residual_in + r * cols + i, part);
            store(h + r * cols + i, v, part);
          }
          sum = fma(v, v, sum);
        });
        rstd[r] = rstd_of(sum, cols, eps);
        normalize(OutRow<decltype(t)::value>(y.data, r * cols), residual ? h + r * cols : row, w, rstd[r], cols);
      }
    });
  });
}

// dx = rstd (g - xh mean(g xh)) + dh, g = dy w, xh = x rstd; dw[c] += dy xh for the chunk's partial sum.
template <bool residual>
CUNN_INLINE void backward_row(float *dx, float *dw, const float *dy, const float *dh, const float *x, const float *w,
                              float rstd, int64_t cols) {
  Vec16 scale = set1(rstd), sum = zero();
  each_vector(0, cols, [&](int64_t i, auto part) {
    sum = fma(load(dy + i, part) * load(w + i, part), load(x + i, part) * scale, sum);
  });
  Vec16 mean = set1(reduce_sum(sum) / (float)cols);
  each_vector(0, cols, [&](int64_t i, auto part) {
    Vec16 d = load(dy + i, part), xh = load(x + i, part) * scale;
    store(dw + i, fma(d, xh, load(dw + i, part)), part);
    Vec16 out = (d * load(w + i, part) - xh * mean) * scale;
    if constexpr (residual) out = out + load(dh + i, part);
    store(dx + i, out, part);
  });
}

template <bool residual>
void backward(Exec &exec, float *dx, float *dw, const float *dy, const float *dh, const float *x, ConstFloats weight,
              const float *rstd, int64_t rows, int64_t cols) {
  if (rows <= 0 || cols <= 0) return;
  const float *w = widen(exec, weight, cols);
  int64_t chunks = ceil_div(rows, kChunkRows);
  float *partial = scratch_floats(exec, least(chunks, kChunksAtOnce) * cols);
  float *total = scratch_floats(exec, cols);
  memset(total, 0, (size_t)cols * sizeof(float));
  for (int64_t first_chunk = 0; first_chunk < chunks; first_chunk += kChunksAtOnce) {
    int64_t first_row = first_chunk * kChunkRows;
    int64_t n = least(kChunksAtOnce * kChunkRows, rows - first_row);
    for_chunks(exec, n, kChunkRows, n * cols, kMoveGrain, [&](int64_t chunk, int64_t begin, int64_t end) {
      float *sum = partial + chunk * cols;
      memset(sum, 0, (size_t)cols * sizeof(float));
      for (int64_t r = first_row + begin; r < first_row + end; ++r)
        backward_row<residual>(dx + r * cols, sum, dy + r * cols, dh + r * cols, x + r * cols, w, rstd[r], cols);
    });
    int64_t partials = ceil_div(n, kChunkRows);
    split(exec, cols, most(16, kMoveGrain / partials), 16, [&](int64_t begin, int64_t end) {
      for (int64_t chunk = 0; chunk < partials; ++chunk) {
        const float *sum = partial + chunk * cols;
        each_vector(begin, end, [&](int64_t i, auto part) {
          store(total + i, load(total + i, part) + load(sum + i, part), part);
        });
      }
    });
  }
  each_vector(0, cols, [&](int64_t i, auto part) { store(dw + i, load(dw + i, part) + load(total + i, part), part); });
}

}  // namespace

void rmsnorm_forward(Exec &exec, const RmsnormForward &op) {
  forward<false>(exec, op.y, nullptr, op.rstd, op.x, nullptr, op.w, op.rows, op.cols, op.eps);
}

void rmsnorm_backward(Exec &exec, const RmsnormBackward &op) {
  backward<false>(exec, op.dx, op.dw, op.dy, op.dy, op.x, op.w, op.rstd, op.rows, op.cols);
}

void rmsnorm_residual_forward(Exec &exec, const RmsnormResidualForward &op) {
  forward<true>(exec, op.y, op.h, op.rstd, op.x, op.residual, op.w, op.rows, op.cols, op.eps);
}

void rmsnorm_residual_backward(Exec &exec, const RmsnormResidualBackward &op) {
  backward<true>(exec, op.dx, op.dw, op.dy, op.dh, op.h, op.w, op.rstd, op.rows, op.cols);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
