// The matrix product by fused multiply-adds in f32: any dtypes and strides, and B in blocks.
//
// A block of 256 threads makes a kRows x kCols tile; thread (ty, tx) holds kTm x kTn of it in registers, in groups of
// four rows and columns so that shared memory is read in 16-byte pieces. Tiles of A and B are staged through shared memory
// kDepth deep, twice: the next pair is on its way in registers while this one is used.
#pragma once
#include "blocks.cuh"
#include "gemm_epilogue.cuh"

namespace cunn::cuda {

constexpr int kFmaThreads = 256;
constexpr int kFmaDepth = 8;

template <int kRows_, int kCols_, int kTm_, int kTn_>
struct FmaTile {
  static constexpr int kRows = kRows_, kCols = kCols_, kTm = kTm_, kTn = kTn_;
  static constexpr int kThreadCols = kCols / kTn;
  static_assert((kRows / kTm) * kThreadCols == kFmaThreads, "one thread for each register tile");
};

// Elements a thread brings in of a tile of `extent` lines (rows of A, columns of B) by kFmaDepth.
template <int kExtent>
struct FmaStage {
  static constexpr int kPerThread = (kExtent * kFmaDepth + kFmaThreads - 1) / kFmaThreads;
  float value[kPerThread];

  // Element e of the tile: neighbours along k where k is contiguous in memory, else along the lines.
  static __device__ __forceinline__ void split(int e, bool k_is_contiguous, int* line, int* depth) {
    *line = k_is_contiguous ? e / kFmaDepth : e % kExtent;
    *depth = k_is_contiguous ? e % kFmaDepth : e / kExtent;
  }
};

// What the operands are: f32 with alpha 1 and an f32 C, any floats, or any floats times blocks along k. Blocks become f32
// as the tile is read.
enum class FmaForm { plain, floats, blocks };

template <bool kPlain>
static __device__ __forceinline__ float transformed(float x, float alpha, DType type) {
  if (kPlain) return x;
  if (alpha != 1.0f) x = x * alpha;
  if (type == DType::bf16) return to_float(from_float<__nv_bfloat16>(x));
  if (type == DType::f16) return to_float(from_float<__half>(x));
  return x;
}

template <FmaForm kForm>
static __device__ __forceinline__ float load_b(const void* b, DType dtype, int64_t i) {
  if (kForm == FmaForm::plain) return static_cast<const float*>(b)[i];
  if (kForm == FmaForm::floats) return load_float(b, dtype, i);
  const uint8_t* const data = static_cast<const uint8_t*>(b);
  return dtype == DType::q8 ? dequantized<true>(data, i) : dequantized<false>(data, i);
}

// Columns of C in a tile, of which a thread holds kRuns times kRun neighbours.
template <class Tile, Epilogue kEpilogue>
struct FmaColumns : TileColumns<kEpilogue, Tile::kCols, Tile::kTn == 8 ? Tile::kCols / 2 : Tile::kTn / 2> {
  static constexpr int kOfThread = kEpilogue == Epilogue::swiglu ? Tile::kTn / 2 : Tile::kTn;
  static constexpr int kRun = kOfThread < 4 ? kOfThread : 4, kRuns = kOfThread / kRun;
};

template <class Tile, FmaForm kForm, Epilogue kEpilogue>
__global__ void __launch_bounds__(kFmaThreads, 1) gemm_fma_kernel(Gemm g) {
  constexpr bool kPlain = kForm == FmaForm::plain;
  constexpr int kRows = Tile::kRows, kCols = Tile::kCols, kTm = Tile::kTm, kTn = Tile::kTn;
  using Columns = FmaColumns<Tile, kEpilogue>;
  CUNN_SHARED(float, as, [2][kFmaDepth][kRows + 4]);
  CUNN_SHARED(float, bs, [2][kFmaDepth][kCols + 4]);
  GemmTile tile;
  if (!find_tile(g, kRows, Columns::kCount, &tile)) return;

  const int t = int(threadIdx.x), tx = t % Tile::kThreadCols, ty = t / Tile::kThreadCols;
  // Register element i of kTm is row (i / 4) (4 kRows / kTm) + 4 ty + i % 4 of the tile; columns likewise.
  const auto tile_row = [&](int i) { return kTm >= 4 ? i / 4 * (4 * kRows / kTm) + 4 * ty + i % 4 : ty * kTm + i; };
  const auto tile_col = [&](int j) { return kTn >= 4 ? j / 4 * (4 * kCols / kTn) + 4 * tx + j % 4 : tx * kTn + j; };

  const bool a_by_k = g.a.col_stride == 1, b_by_k = g.b.row_stride == 1 && !g.b.gather;
  FmaStage<kRows> stage_a;
  FmaStage<kCols> stage_b;
  const auto fetch = [&](int64_t k0) {
    CUNN_UNROLL
    for (int i = 0; i < stage_a.kPerThread; ++i) {
      int line, depth;
      stage_a.split(t + i * kFmaThreads, a_by_k, &line, &depth);
      const int64_t row = tile.row + line, k = k0 + depth;
      float x = 0.0f;
      if (line < kRows && depth < kFmaDepth && row < tile.row_end && k < tile.k_end) {
        const int64_t from = g.a.gather ? g.a.gather[row] : row;
        x = transformed<kPlain>(load_float(g.a.data, kPlain ? DType::f32 : g.a.dtype,
                                           tile.a_offset + from * g.a.row_stride + k * g.a.col_stride),
                                g.alpha, g.type);
      }
      stage_a.value[i] = x;
    }
    CUNN_UNROLL
    for (int i = 0; i < stage_b.kPerThread; ++i) {
      int line, depth;
      stage_b.split(t + i * kFmaThreads, b_by_k, &line, &depth);
      const int64_t col = tile.col + Columns::column(line), k = k0 + depth;
      float x = 0.0f;
      if (line < kCols && depth < kFmaDepth && col < g.n && k < tile.k_end) {
        const int64_t from = g.b.gather ? g.b.gather[k] : k;
        const void* const b = Columns::of_up(line) ? g.swiglu.b_up : g.b.data;
        x = transformed<kPlain>(load_b<kForm>(b, g.b.dtype, tile.b_offset + from * g.b.row_stride + col * g.b.col_stride), 1.0f, g.type);
      }
      stage_b.value[i] = x;
    }
  };
  const auto put = [&](int half) {
    CUNN_UNROLL
    for (int i = 0; i < stage_a.kPerThread; ++i) {
      int line, depth;
      stage_a.split(t + i * kFmaThreads, a_by_k, &line, &depth);
      if (line < kRows && depth < kFmaDepth) as[half][depth][line] = stage_a.value[i];
    }
    CUNN_UNROLL
    for (int i = 0; i < stage_b.kPerThread; ++i) {
      int line, depth;
      stage_b.split(t + i * kFmaThreads, b_by_k, &line, &depth);
      if (line < kCols && depth < kFmaDepth) bs[half][depth][line] = stage_b.value[i];
    }
  };

  float acc[kTm][kTn];
  CUNN_UNROLL
  for (int i = 0; i < kTm; ++i)
    CUNN_UNROLL
    for (int j = 0; j < kTn; ++j) {
      const int64_t row = tile.row + tile_row(i), col = tile.col + tile_col(j);
      const bool starts_from_c = kEpilogue == Epilogue::store && row < tile.row_end && col < g.n;
      acc[i][j] = starts_from_c ? beta_c(g, tile.c_offset + row * g.ldc + col) : 0.0f;
    }

  if (tile.k < tile.k_end) {
    fetch(tile.k);
    put(0);
  }
  __syncthreads();
  int half = 0;
  for (int64_t k0 = tile.k; k0 < tile.k_end; k0 += kFmaDepth, half ^= 1) {
    const bool more = k0 + kFmaDepth < tile.k_end;
    if (more) fetch(k0 + kFmaDepth);
    // A term beyond k_end would add 0 * 0 to the accumulator and turn -0 into 0: take only those that exist.
    const int depths = tile.k_end - k0 < kFmaDepth ? int(tile.k_end - k0) : kFmaDepth;
    const auto multiply = [&](int depth) {
      float a[kTm], b[kTn];
      CUNN_UNROLL
      for (int i = 0; i < kTm; ++i) a[i] = as[half][depth][tile_row(i)];
      CUNN_UNROLL
      for (int j = 0; j < kTn; ++j) b[j] = bs[half][depth][tile_col(j)];
      CUNN_UNROLL
      for (int i = 0; i < kTm; ++i)
        CUNN_UNROLL
        for (int j = 0; j < kTn; ++j) acc[i][j] = fmaf(a[i], b[j], acc[i][j]);
    };
    if (depths == kFmaDepth) {
      CUNN_UNROLL
      for (int depth = 0; depth < kFmaDepth; ++depth) multiply(depth);
    } else {
      for (int depth = 0; depth < depths; ++depth) multiply(depth);
    }
    if (more) put(half ^ 1);
    __syncthreads();
  }

  constexpr int kRun = Columns::kRun, kRuns = Columns::kRuns;
  const auto column = [&](int r) { return tile.col + Columns::column(tile_col(r * kRun)); };
  CUNN_UNROLL
  for (int i = 0; i < kTm; ++i) {
    float first[kRuns][kRun], second[kRuns][kRun];
    CUNN_UNROLL
    for (int j = 0; j < kRuns * kRun; ++j) {
      first[j / kRun][j % kRun] = acc[i][j];
      second[j / kRun][j % kRun] = Columns::kTwo ? acc[i][kTn / 2 + j % (kTn / 2)] : 0.0f;
    }
    const int64_t row = tile.row + tile_row(i);
    const DType c_dtype = kPlain ? DType::f32 : g.c_dtype;
    if (row < tile.row_end) finish_row<kEpilogue>(g, c_dtype, tile.c_offset + row * g.ldc, column, first, second);
  }
}

template <class Tile, Epilogue kEpilogue>
void run_gemm_fma_tile(Exec& exec, Gemm g) {
  g.runs_aligned = runs_are_aligned(g, FmaColumns<Tile, kEpilogue>::kRun);
  const bool plain = g.a.dtype == DType::f32 && g.b.dtype == DType::f32 && g.c_dtype == DType::f32 && g.alpha == 1.0f;
  const dim3 grid = gemm_grid(g, Tile::kRows, FmaColumns<Tile, kEpilogue>::kCount);
  if (plain) {
    CUNN_RUN(exec, (gemm_fma_kernel<Tile, FmaForm::plain, kEpilogue>), grid, kFmaThreads, 0, g);
    return;
  }
  if constexpr (kEpilogue != Epilogue::swiglu_gradient) {  // whose matrices are trained, and not in blocks
    if (is_quantized(g.b.dtype)) {
      CUNN_RUN(exec, (gemm_fma_kernel<Tile, FmaForm::blocks, kEpilogue>), grid, kFmaThreads, 0, g);
      return;
    }
  }
  CUNN_RUN(exec, (gemm_fma_kernel<Tile, FmaForm::floats, kEpilogue>), grid, kFmaThreads, 0, g);
}

// Large tiles where they fill the card, small ones else; the choice changes no bits.
template <Epilogue kEpilogue>
void run_gemm_fma(Exec& exec, const Gemm& g) {
  const int64_t batches = g.grouping == Grouping::rows ? 1 : g.groups;
  const int64_t columns_of_b = kEpilogue == Epilogue::swiglu ? 2 * g.n : g.n;
  const int64_t large = ceil_div(g.m, 128) * ceil_div(columns_of_b, 128) * batches;
  if (g.m <= 16)
    run_gemm_fma_tile<FmaTile<16, 64, 2, 2>, kEpilogue>(exec, g);
  else if (g.m > 64 && columns_of_b > 64 && large >= cuda_exec(exec).multiprocessors)
    run_gemm_fma_tile<FmaTile<128, 128, 8, 8>, kEpilogue>(exec, g);
  else
    run_gemm_fma_tile<FmaTile<64, 64, 4, 4>, kEpilogue>(exec, g);
}

}  // namespace cunn::cuda
