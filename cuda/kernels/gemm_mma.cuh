// The matrix product on tensor cores: bf16 or f16 operands, f32 accumulators.
//
// Tiles of A and B come through a ring of Tile::kStages in dynamic shared memory by cp.async, 16 bytes a copy, in the layout
// they have in memory; ldmatrix transposes where the fragment needs it. Shared rows are 8 elements longer than a tile's,
// an odd number of 16-byte pieces, so that the eight rows of an ldmatrix fall into different banks. Rows, columns and
// terms beyond the problem are zeros.
//
// An element's bits depend on k and its operands alone: mma steps of 16 terms from the tile's first k on, in order.
#pragma once
#include "gemm_epilogue.cuh"
#include "ptx.cuh"

namespace cunn::cuda {

constexpr int kMmaDepth = 32;  // terms of a stage
constexpr int kMmaPad = 8;

template <int kRows_, int kCols_, int kWarpRows_, int kWarpCols_, int kStages_>
struct MmaTile {
  static constexpr int kRows = kRows_, kCols = kCols_;                    // of the block
  static constexpr int kWarpRows = kWarpRows_, kWarpCols = kWarpCols_;    // of a warp
  static constexpr int kStages = kStages_;  // all but one of them on their way
  static constexpr int kThreads = 32 * (kRows / kWarpRows) * (kCols / kWarpCols);
  static_assert(kWarpRows % 16 == 0 && kWarpCols % 16 == 0, "fragments are 16 x 16 of A and 16 x 8 of B, B loaded two at a time");
};

// One operand's tile in a stage: lines (rows of A, columns of B) by kMmaDepth, k-contiguous [line][k] or [k][line].
template <int kLines, bool kByK>
struct MmaStage {
  static constexpr int kOuter = kByK ? kLines : kMmaDepth;
  static constexpr int kInner = kByK ? kMmaDepth : kLines;
  static constexpr int kPitch = kInner + kMmaPad;
  static constexpr int kElements = kOuter * kPitch;
};

// Columns of C in a tile: a warp has the fragments of p first, those of q second.
template <class Tile, Epilogue kEpilogue>
using MmaColumns = TileColumns<kEpilogue, Tile::kCols, Tile::kWarpCols / 2>;

constexpr int kMmaRun = 2;  // neighbours among a thread's accumulators

// Lines of A: one behind the other, of one matrix.
struct OneMatrix {
  static constexpr bool kTwo = false;
  static __device__ __forceinline__ int column(int line) { return line; }
};

// Eight neighbours of one operand and how many of them exist.
template <class T>
struct MmaPiece {
  const T* from;
  int there;
};

// The piece at [outer][inner] of a stage. Lines exist below line_end, terms below k_end; stride is that of the outer dimension, which
// gather maps: lines where k is contiguous, and terms where lines are. `up` is the second matrix where Lines says that there are two.
template <bool kByK, class Lines, class T>
static __device__ __forceinline__ MmaPiece<T> piece_at(int outer, int inner, const T* data, const T* up, int64_t stride, const int32_t* gather,
                                                       int64_t line, int64_t line_end, int64_t k, int64_t k_end) {
  static_assert(kByK || !Lines::kTwo, "a piece is of one matrix");
  const int64_t at_outer = kByK ? line + Lines::column(outer) : k + outer, outer_end = kByK ? line_end : k_end;
  const int64_t at_inner = (kByK ? k : line) + inner, inner_end = kByK ? k_end : line_end;
  int64_t there = inner_end - at_inner;
  there = at_outer >= outer_end || there < 0 ? 0 : there > 8 ? 8 : there;
  const T* from = data;
  if constexpr (Lines::kTwo) from = Lines::of_up(outer) ? up : data;
  if (there > 0) from += (gather ? gather[at_outer] : at_outer) * stride + at_inner;
  return {from, int(there)};
}

// Brings a stage of one operand in.
template <int kThreads, int kLines, bool kByK, class Lines, class T>
static __device__ __forceinline__ void fetch_stage(T* stage, const T* data, const T* up, int64_t stride, const int32_t* gather,
                                                   int64_t line, int64_t line_end, int64_t k, int64_t k_end) {
  using Stage = MmaStage<kLines, kByK>;
  constexpr int kPieces = Stage::kInner / 8;  // of 16 bytes
  CUNN_UNROLL
  for (int i = int(threadIdx.x); i < Stage::kOuter * kPieces; i += kThreads) {
    const int outer = i / kPieces, inner = i % kPieces * 8;
    const MmaPiece<T> piece = piece_at<kByK, Lines>(outer, inner, data, up, stride, gather, line, line_end, k, k_end);
    cp_async_16(stage + outer * Stage::kPitch + inner, piece.from, piece.there * 2);
  }
}

template <class T, class Tile, bool kAByK, bool kBByK, Epilogue kEpilogue>
__global__ void __launch_bounds__(Tile::kThreads, 1) gemm_mma_kernel(Gemm g) {
  using StageA = MmaStage<Tile::kRows, kAByK>;
  using StageB = MmaStage<Tile::kCols, kBByK>;
  using Columns = MmaColumns<Tile, kEpilogue>;
  constexpr int kFragRows = Tile::kWarpRows / 16, kFragCols = Tile::kWarpCols / 8;
  CUNN_DYNAMIC_SHARED(T, shared);
  T* const shared_a = shared;
  T* const shared_b = shared + Tile::kStages * StageA::kElements;
  GemmTile tile;
  if (!find_tile(g, Tile::kRows, Columns::kCount, &tile)) return;

  const T* const a = static_cast<const T*>(g.a.data) + tile.a_offset;
  const T* const b = static_cast<const T*>(g.b.data) + tile.b_offset;
  const T* const up = Columns::kTwo ? static_cast<const T*>(g.swiglu.b_up) + tile.b_offset : nullptr;
  const int64_t a_stride = kAByK ? g.a.row_stride : g.a.col_stride, b_stride = kBByK ? g.b.col_stride : g.b.row_stride;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32;
  const int warp_row = warp / (Tile::kCols / Tile::kWarpCols) * Tile::kWarpRows;
  const int warp_col = warp % (Tile::kCols / Tile::kWarpCols) * Tile::kWarpCols;

  // Accumulators 0, 1 of a fragment are columns 2 (lane % 4), + 1 of row lane / 4; 2, 3 the same of row + 8.
  const auto row_of = [&](int fr, int e) { return tile.row + warp_row + fr * 16 + lane / 4 + e / 2 * 8; };
  const auto col_of = [&](int fc, int e) { return tile.col + warp_col + fc * 8 + 2 * (lane % 4) + e % 2; };
  float acc[kFragRows][kFragCols][4];
  CUNN_UNROLL
  for (int fr = 0; fr < kFragRows; ++fr)
    CUNN_UNROLL
    for (int fc = 0; fc < kFragCols; ++fc)
      CUNN_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int64_t row = row_of(fr, e), col = col_of(fc, e);
        const bool starts_from_c = kEpilogue == Epilogue::store && g.beta != 0.0f && row < tile.row_end && col < g.n;
        acc[fr][fc][e] = starts_from_c ? beta_c(g, tile.c_offset + row * g.ldc + col) : 0.0f;
      }

  const int64_t steps = (tile.k_end - tile.k + kMmaDepth - 1) / kMmaDepth;
  const auto fetch = [&](int64_t step) {
    if (step < steps) {
      const int slot = int(step % Tile::kStages);
      const int64_t k = tile.k + step * kMmaDepth;
      fetch_stage<Tile::kThreads, Tile::kRows, kAByK, OneMatrix>(shared_a + slot * StageA::kElements, a, a, a_stride, g.a.gather,
                                                                 tile.row, tile.row_end, k, tile.k_end);
      fetch_stage<Tile::kThreads, Tile::kCols, kBByK, Columns>(shared_b + slot * StageB::kElements, b, up, b_stride, g.b.gather,
                                                               tile.col, g.n, k, tile.k_end);
    }
    cp_async_commit();  // an empty group keeps the count of groups in step
  };
  CUNN_UNROLL
  for (int s = 0; s < Tile::kStages - 1; ++s) fetch(s);

  for (int64_t step = 0; step < steps; ++step) {
    cp_async_wait<Tile::kStages - 2>();
    __syncthreads();  // this stage has landed for everybody, and everybody is done with the one fetched over next
    fetch(step + Tile::kStages - 1);
    const T* const sa = shared_a + int(step % Tile::kStages) * StageA::kElements;
    const T* const sb = shared_b + int(step % Tile::kStages) * StageB::kElements;
    CUNN_UNROLL
    for (int k = 0; k < kMmaDepth; k += 16) {
      uint32_t fa[kFragRows][4], fb[kFragCols][2];
      CUNN_UNROLL
      for (int fr = 0; fr < kFragRows; ++fr) {
        const int row = warp_row + fr * 16;
        if (kAByK)  // matrices: rows 0-7 and 8-15 of k 0-7, then of k 8-15
          ldmatrix_x4(fa[fr], sa + (row + lane % 16) * StageA::kPitch + k + lane / 16 * 8);
        else  // stored [k][row]: the same four, each transposed
          ldmatrix_x4_transposed(fa[fr], sa + (k + lane % 8 + lane / 16 * 8) * StageA::kPitch + row + lane / 8 % 2 * 8);
      }
      CUNN_UNROLL
      for (int fc = 0; fc < kFragCols; fc += 2) {  // two fragments of 8 columns at once
        const int col = warp_col + fc * 8;
        uint32_t both[4];
        if (kBByK)
          ldmatrix_x4(both, sb + (col + lane % 8 + lane / 16 * 8) * StageB::kPitch + k + lane / 8 % 2 * 8);
        else
          ldmatrix_x4_transposed(both, sb + (k + lane % 16) * StageB::kPitch + col + lane / 16 * 8);
        fb[fc][0] = both[0];
        fb[fc][1] = both[1];
        fb[fc + 1][0] = both[2];
        fb[fc + 1][1] = both[3];
      }
      CUNN_UNROLL
      for (int fr = 0; fr < kFragRows; ++fr)
        CUNN_UNROLL
        for (int fc = 0; fc < kFragCols; ++fc) mma_m16n8k16<T>(acc[fr][fc], fa[fr], fb[fc]);
    }
  }

  constexpr int kRuns = Columns::kTwo ? kFragCols / 2 : kFragCols;
  const auto column = [&](int r) { return tile.col + Columns::column(warp_col + r * 8 + 2 * (lane % 4)); };
  CUNN_UNROLL
  for (int fr = 0; fr < kFragRows; ++fr)
    CUNN_UNROLL
    for (int e = 0; e < 4; e += kMmaRun) {
      float first[kRuns][kMmaRun], second[kRuns][kMmaRun];
      CUNN_UNROLL
      for (int r = 0; r < kRuns; ++r)
        CUNN_UNROLL
        for (int j = 0; j < kMmaRun; ++j) {
          first[r][j] = acc[fr][r][e + j];
          second[r][j] = Columns::kTwo ? acc[fr][kFragCols / 2 + r % (kFragCols / 2)][e + j] : 0.0f;
        }
      const int64_t row = row_of(fr, e);
      if (row < tile.row_end) finish_row<kEpilogue>(g, g.c_dtype, tile.c_offset + row * g.ldc, column, first, second);
    }
}

template <class T, class Tile, bool kAByK, bool kBByK, Epilogue kEpilogue>
void run_gemm_mma_layout(Exec& exec, Gemm g) {
  g.runs_aligned = runs_are_aligned(g, kMmaRun);
  constexpr size_t kShared = sizeof(T) * Tile::kStages * (MmaStage<Tile::kRows, kAByK>::kElements + MmaStage<Tile::kCols, kBByK>::kElements);
  allow_shared(gemm_mma_kernel<T, Tile, kAByK, kBByK, kEpilogue>, kShared);
  CUNN_RUN(exec, (gemm_mma_kernel<T, Tile, kAByK, kBByK, kEpilogue>), gemm_grid(g, Tile::kRows, MmaColumns<Tile, kEpilogue>::kCount),
           Tile::kThreads, kShared, g);
}

// run(a_by_k, b_by_k), two constants, for the layout at hand; the fused ops have one each.
template <bool kValue>
struct Constant {
  static constexpr bool value = kValue;
};
template <Epilogue kEpilogue, class Run>
void with_layout(const Gemm& g, const Run& run) {
  const Constant<true> by_k{};
  const Constant<false> by_lines{};
  const bool a_by_k = g.a.col_stride == 1, b_by_k = g.b.row_stride == 1;
  if constexpr (kEpilogue == Epilogue::swiglu)
    run(by_k, by_k);
  else if constexpr (kEpilogue == Epilogue::swiglu_gradient)
    run(by_k, by_lines);
  else if (a_by_k && b_by_k)
    run(by_k, by_k);
  else if (a_by_k)
    run(by_k, by_lines);
  else if (b_by_k)
    run(by_lines, by_k);
  else
    run(by_lines, by_lines);
}

// Rows of the tile: 16 where everything is reading of B, 128 where such tiles fill the card.
template <Epilogue kEpilogue>
int rows_of_tile(Exec& exec, const Gemm& g) {
  const int64_t batches = g.grouping == Grouping::rows ? 1 : g.groups;
  const int64_t columns_of_b = kEpilogue == Epilogue::swiglu ? 2 * g.n : g.n;
  if (g.m <= 32) return 16;
  return g.m <= 64 || ceil_div(g.m, 128) * ceil_div(columns_of_b, 128) * batches < cuda_exec(exec).multiprocessors ? 64 : 128;
}

template <class T, class Tile, Epilogue kEpilogue>
void run_gemm_mma_tile(Exec& exec, const Gemm& g) {
  with_layout<kEpilogue>(g, [&](auto a_by_k, auto b_by_k) {
    run_gemm_mma_layout<T, Tile, decltype(a_by_k)::value, decltype(b_by_k)::value, kEpilogue>(exec, g);
  });
}

// Whether cp.async can fetch the operand: lines and terms start at multiples of 16 bytes. Depends on the layout, never on
// the number of rows, so a row takes the same path in any batch.
inline bool mma_can_read(const Matrix& x) {
  const int64_t stride = x.row_stride == 1 ? x.col_stride : x.row_stride;
  return (x.row_stride == 1 || x.col_stride == 1) && stride % 8 == 0 && x.batch_stride % 8 == 0 &&
         reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
}

// A few rows are all reading of B: what is on its way has to cover the memory's latency. On an H100 that is about 3.3 TB/s
// times 0.6 us = 2 MB, 15 KB a multiprocessor; six stages of 64 columns on their way are 24 KB of B in a block, and all seven stay
// below the 48 KiB that a launch may take unasked. (An sm_75 copies at once and gains nothing by them.) Large tiles read each
// byte for many rows, and their three stages fit an sm_75's 64 KiB, and twice a multiprocessor of sm_80 and sm_90.
template <class T, Epilogue kEpilogue>
void run_gemm_mma(Exec& exec, const Gemm& g) {
  const int rows = rows_of_tile<kEpilogue>(exec, g);
  if (rows == 16)
    run_gemm_mma_tile<T, MmaTile<16, 64, 16, 16, 7>, kEpilogue>(exec, g);
  else if (rows == 64)
    run_gemm_mma_tile<T, MmaTile<64, 64, 32, 32, 4>, kEpilogue>(exec, g);
  else
    run_gemm_mma_tile<T, MmaTile<128, 128, 64, 32, 3>, kEpilogue>(exec, g);
}

}  // namespace cunn::cuda
