// What the forms of the matrix product share: a problem as the kernels see it, and which tile of C a block computes.
//
// Each element of C has one f32 accumulator that starts from beta C (0 when beta is 0) and takes k ascending. Which tile,
// block or neighbour it is computed with, and what becomes of it there, therefore does not change its bits. The f32 path
// (gemm_fma.cuh) takes one fused multiply-add a term; the 16-bit path (gemm_mma.cuh) one mma.sync for 16 terms, or for 4 on
// sm_70 (gemm_volta.cuh).
#pragma once
#include "launch.cuh"

namespace cunn::cuda {

// Element (row, col) stands at data[row' row_stride + col col_stride], row' = gather[row] where there is a gather.
struct Matrix {
  const void* data;
  DType dtype;
  int64_t row_stride, col_stride;
  const int32_t* gather;
  int64_t batch_stride;
  int64_t gathered = 0;  // rows that there are to gather from
};

enum class Grouping : int32_t {
  none,   // batch problems, one for each blockIdx.z
  rows,   // rows offsets[g] .. offsets[g+1] of A and C belong to matrix g of B
  inner,  // k runs over offsets[g] .. offsets[g+1] for matrix g of C
};

// What becomes of the finished sums (gemm_epilogue.cuh).
enum class Epilogue : int32_t {
  store,            // C is the sum
  swiglu,           // C = silu(p) q of the sums p with B and q with a second matrix
  swiglu_gradient,  // the sum is the gradient of silu(p) q: C is that of p, another matrix that of q
};

// Matrices that an epilogue knows beside B and C, laid out like those.
struct SwigluBuffers {
  const void* b_up = nullptr;                    // swiglu: q's B
  float *gate_out = nullptr, *up_out = nullptr;  // swiglu: p and q, or both null
  const float *gate = nullptr, *up = nullptr;    // swiglu_gradient: p and q
  float* dup = nullptr;                          // swiglu_gradient: q's gradient
};

// C [m, n] = sum over k of A [m, k] B [k, n] + beta C.
struct Gemm {
  Matrix a, b;
  void* c;
  DType c_dtype;
  int64_t ldc, c_batch_stride;
  int64_t m, n, k;
  float alpha, beta;
  DType type;  // of the product: the narrower of the operands'
  Grouping grouping;
  int64_t groups;  // of batches or of offsets
  const int32_t* offsets;
  const int32_t* valid;  // 0 when an offset or a gathered row is out of range: then nothing is written
  SwigluBuffers swiglu = {};
  bool runs_aligned = false;  // of neighbours that the epilogue takes at once; each kernel's launch finds out
};

// The part of a problem that a block works on.
struct GemmTile {
  int64_t row, row_end;  // rows of C; of A before its gather
  int64_t col;
  int64_t k, k_end;
  int64_t b_offset, c_offset, a_offset;  // elements to the matrices of this batch or group
};

static __device__ __forceinline__ const void* at_element(const void* data, DType dtype, int64_t offset) {
  return static_cast<const char*>(data) + offset * (dtype == DType::f32 ? 4 : 2);
}

// Block (x, y, z) works on columns of tile x and rows of tile y. With grouped rows, y counts the tiles of all groups in
// order. False: there is nothing to do.
static __device__ __forceinline__ bool find_tile(const Gemm& g, int tile_rows, int tile_cols, GemmTile* tile) {
  if (g.valid && *g.valid == 0) return false;
  const int64_t z = blockIdx.z;
  *tile = {int64_t(blockIdx.y) * tile_rows, g.m, int64_t(blockIdx.x) * tile_cols, 0, g.k, z * g.b.batch_stride, z * g.c_batch_stride,
           z * g.a.batch_stride};
  if (g.grouping == Grouping::inner) {
    tile->k = g.offsets[z];
    tile->k_end = g.offsets[z + 1];
    tile->a_offset = tile->b_offset = 0;
  } else if (g.grouping == Grouping::rows) {
    int64_t y = blockIdx.y, begin = 0, end = 0, group = 0;
    for (; group < g.groups; ++group) {
      begin = g.offsets[group];
      end = g.offsets[group + 1];
      const int64_t tiles = (end - begin + tile_rows - 1) / tile_rows;
      if (y < tiles) break;
      y -= tiles;
    }
    if (group == g.groups) return false;
    tile->row = begin + y * tile_rows;
    tile->row_end = end;
    tile->b_offset = group * g.b.batch_stride;
    tile->a_offset = tile->c_offset = 0;
  }
  return tile->row < tile->row_end && tile->col < g.n;
}

// The grid that covers the problem with such tiles.
inline dim3 gemm_grid(const Gemm& g, int tile_rows, int tile_cols) {
  const int64_t extra = g.grouping == Grouping::rows ? g.groups : 0;  // the last tile of each group may be a partial one
  return dim3(unsigned(ceil_div(g.n, tile_cols)), unsigned(ceil_div(g.m, tile_rows) + extra),
              unsigned(g.grouping == Grouping::rows ? 1 : g.groups));
}

static __device__ __forceinline__ float load_float(const void* data, DType dtype, int64_t i) {
  if (dtype == DType::f32) return static_cast<const float*>(data)[i];
  if (dtype == DType::bf16) return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
  return to_float(static_cast<const __half*>(data)[i]);
}
static __device__ __forceinline__ void store_float(void* data, DType dtype, int64_t i, float v) {
  if (dtype == DType::f32)
    static_cast<float*>(data)[i] = v;
  else if (dtype == DType::bf16)
    static_cast<__nv_bfloat16*>(data)[i] = from_float<__nv_bfloat16>(v);
  else
    static_cast<__half*>(data)[i] = from_float<__half>(v);
}

static __device__ __forceinline__ float beta_c(const Gemm& g, int64_t i) {
  return g.beta == 0.0f ? 0.0f : g.beta * load_float(g.c, g.c_dtype, i);
}

}  // namespace cunn::cuda
