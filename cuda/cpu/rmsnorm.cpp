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

// y = (h rstd) w for one row.
template <DType y_type, DType w_type>
CUNN_INLINE void normalize(OutRow<y_type> y, const float *h, Row<w_type> w, float rstd, int64_t cols) {
  Vec16 scale = set1(rstd);
  each_vector(0, cols, [&](int64_t i, auto part) { y.put(i, load(h + i, part) * scale * w.at(i, part), part); });
}

// dx = rstd (g - xh mean(g xh)) + dh, g = dy w, xh = x rstd; dw[c] += dy xh for the chunk's partial sum.
template <DType w_type, bool residual>
CUNN_INLINE void backward_row(float *dx, float *dw, const float *dy, const float *dh, const float *x, Row<w_type> w,
                              float rstd, int64_t cols) {
  Vec16 scale = set1(rstd), sum = zero();
  each_vector(0, cols, [&](int64_t i, auto part) {
    sum = fma(load(dy + i, part) * w.at(i, part), load(x + i, part) * scale, sum);
  });
  Vec16 mean = set1(reduce_sum(sum) / (float)cols);
  each_vector(0, cols, [&](int64_t i, auto part) {
    Vec16 d = load(dy + i, part), xh = load(x + i, part) * scale;
    store(dw + i, fma(d, xh, load(dw + i, part)), part);
    Vec16 out = (d * w.at(i, part) - xh * mean) * scale;
    if constexpr (residual) out = out + load(dh + i, part);
    store(dx + i, out, part);
  });
}

template <bool residual>
void backward(Exec &exec, float *dx, float *dw, const float *dy, const float *dh, const float *x, ConstFloats w,
              const float *rstd, int64_t rows, int64_t cols) {
  if (rows <= 0 || cols <= 0) return;
  int64_t chunks = ceil_div(rows, kChunkRows);
  float *partial = scratch_floats(exec, least(chunks, kChunksAtOnce) * cols);
  float *total = scratch_floats(exec, cols);
  memset(total, 0, (size_t)cols * sizeof(float));
  for (int64_t first_chunk = 0; first_chunk < chunks; first_chunk += kChunksAtOnce) {
    int64_t first_row = first_chunk * kChunkRows;
    int64_t n = least(kChunksAtOnce * kChunkRows, rows - first_row);
    with_float(w.dtype, [&](auto t) {
      constexpr DType w_type = decltype(t)::value;
      for_chunks(exec, n, kChunkRows, n * cols, kMoveGrain, [&](int64_t chunk, int64_t begin, int64_t end) {
        float *sum = partial + chunk * cols;
        memset(sum, 0, (size_t)cols * sizeof(float));
        for (int64_t r = first_row + begin; r < first_row + end; ++r) {
          backward_row<w_type, residual>(dx + r * cols, sum, dy + r * cols, dh + r * cols, x + r * cols,
                                         Row<w_type>(w.data), rstd[r], cols);
        }
      });
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
  const int64_t cols = op.cols;
  if (cols <= 0) return;
  with_float(op.y.dtype, [&](auto yt) {
    with_float(op.w.dtype, [&](auto wt) {
      constexpr DType y_type = decltype(yt)::value, w_type = decltype(wt)::value;
      split_rows(exec, op.rows, cols, kMoveGrain, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const float *x = op.x + r * cols;
          Vec16 sum = zero();
          each_vector(0, cols, [&](int64_t i, auto part) {
            Vec16 v = load(x + i, part);
            sum = fma(v, v, sum);
          });
          float rstd = rstd_of(sum, cols, op.eps);
          op.rstd[r] = rstd;
          normalize(OutRow<y_type>(op.y.data, r * cols), x, Row<w_type>(op.w.data), rstd, cols);
        }
      });
    });
  });
}

void rmsnorm_backward(Exec &exec, const RmsnormBackward &op) {
  backward<false>(exec, op.dx, op.dw, op.dy, op.dy, op.x, op.w, op.rstd, op.rows, op.cols);
}

void rmsnorm_residual_forward(Exec &exec, const RmsnormResidualForward &op) {
  const int64_t cols = op.cols;
  if (cols <= 0) return;
  with_float(op.y.dtype, [&](auto yt) {
    with_float(op.w.dtype, [&](auto wt) {
      constexpr DType y_type = decltype(yt)::value, w_type = decltype(wt)::value;
      split_rows(exec, op.rows, cols, kMoveGrain, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const float *x = op.x + r * cols, *residual = op.residual + r * cols;
          float *h = op.h + r * cols;
          Vec16 sum = zero();
          each_vector(0, cols, [&](int64_t i, auto part) {
            Vec16 v = load(x + i, part) + load(residual + i, part);
            store(h + i, v, part);
            sum = fma(v, v, sum);
          });
          float rstd = rstd_of(sum, cols, op.eps);
          op.rstd[r] = rstd;
          normalize(OutRow<y_type>(op.y.data, r * cols), h, Row<w_type>(op.w.data), rstd, cols);
        }
      });
    });
  });
}

void rmsnorm_residual_backward(Exec &exec, const RmsnormResidualBackward &op) {
  backward<true>(exec, op.dx, op.dw, op.dy, op.dh, op.h, op.w, op.rstd, op.rows, op.cols);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
