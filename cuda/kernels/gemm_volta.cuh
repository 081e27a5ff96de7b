// The matrix product on the tensor cores of sm_70: f16 operands, f32 accumulators.
//
// mma.m8n8k4 is four products of 8 x 8 x 4, one for each quad pair: lanes 4q to 4q + 3 and 4q + 16 to 4q + 19. The quad pairs of
// a warp stand two by two, so that one instruction makes 16 x 16 of its tile. It takes either order of either operand, so
// tiles lie in shared memory in the layout they have in memory, and a lane's fragment is four neighbours, 8 bytes, there.
// There is neither ldmatrix nor cp.async: a stage is on its way in registers while the one before it is used.
//
// An element's bits depend on k and its operands alone: mma steps of 4 terms from the tile's first k on, in order. Rows,
// columns and terms beyond the problem are zeros.
#pragma once
#include "gemm_mma.cuh"

namespace cunn::cuda {

constexpr int kVoltaDepth = 32;  // terms of a stage, in every tile: zeros behind the last term are as many, too

template <int kRows_, int kCols_, int kWarpRows_, int kWarpCols_>
struct VoltaTile {
  static constexpr int kRows = kRows_, kCols = kCols_;                  // of the block
  static constexpr int kWarpRows = kWarpRows_, kWarpCols = kWarpCols_;  // of a warp
  static constexpr int kThreads = 32 * (kRows / kWarpRows) * (kCols / kWarpCols);
  static_assert(kWarpRows % 16 == 0 && kWarpCols % 16 == 0, "an instruction makes 16 x 16");
};

// One operand's tile: lines (rows of A, columns of B) by kVoltaDepth, [line][k] or [k][line], in pieces of 16 bytes.
// The 16 fragments that a warp reads at once are 8 bytes each: by k, of 16 lines, which a pitch of 18 banks spreads over all 32
// banks; else of 4 terms, which a pitch of 8 banks more than a multiple of 32 does (tiles of 64 lines and more).
template <int kThreads, int kLines, bool kByK>
struct VoltaStage {
  static constexpr int kOuter = kByK ? kLines : kVoltaDepth;
  static constexpr int kInner = kByK ? kVoltaDepth : kLines;
  static constexpr int kPitch = kInner + (kByK ? 4 : 16);
  static constexpr int kElements = kOuter * kPitch;
  static constexpr int kInnerPieces = kInner / 8, kPieces = kOuter * kInnerPieces;
  static constexpr int kPerThread = (kPieces + kThreads - 1) / kThreads;

  uint4 piece[kPerThread];  // of this thread, on their way

  static __device__ __forceinline__ uint4 load(const MmaPiece<__half>& p) {
    if (p.there == 8) return *reinterpret_cast<const uint4*>(p.from);
    uint32_t word[4] = {0, 0, 0, 0};
    CUNN_UNROLL
    for (int e = 0; e < 8; ++e) word[e / 2] |= (e < p.there ? uint32_t(__half_as_ushort(p.from[e])) : 0u) << (16 * (e % 2));
    return make_uint4(word[0], word[1], word[2], word[3]);
  }

  // The arguments are those of piece_at. A small tile has fewer pieces than threads; the others see no terms.
  template <class Lines>
  __device__ __forceinline__ void fetch(const __half* data, const __half* up, int64_t stride, const int32_t* gather, int64_t line,
                                        int64_t line_end, int64_t k, int64_t k_end) {
    CUNN_UNROLL
    for (int p = 0; p < kPerThread; ++p) {
      const int i = int(threadIdx.x) + p * kThreads;
      const int64_t end = i < kPieces ? k_end : k;
      piece[p] = load(piece_at<kByK, Lines>(i / kInnerPieces, i % kInnerPieces * 8, data, up, stride, gather, line, line_end, k, end));
    }
  }

  __device__ __forceinline__ void put(__half* stage) const {
    CUNN_UNROLL
    for (int p = 0; p < kPerThread; ++p) {
      const int i = int(threadIdx.x) + p * kThreads;
      uint2* const to = reinterpret_cast<uint2*>(stage + i / kInnerPieces * kPitch + i % kInnerPieces * 8);
      if (i < kPieces) {
        to[0] = make_uint2(piece[p].x, piece[p].y);
        to[1] = make_uint2(piece[p].z, piece[p].w);
      }
    }
  }

  // This lane's part of lines [line, line + 8) and terms [k, k + 4).
  static __device__ __forceinline__ void fragment(uint32_t (&f)[2], const __half* stage, int line, int k, int lane) {
    const int of_lane = lane % 4, upper = lane / 16 * 4;
    const __half* const at = kByK ? stage + (line + of_lane + upper) * kPitch + k : stage + (k + of_lane) * kPitch + line + upper;
    const uint2 both = *reinterpret_cast<const uint2*>(at);
    f[0] = both.x;
    f[1] = both.y;
  }
};

// Columns of C in a tile: a lane's accumulators e and e + 4 are of lines 4 apart, p's and q's.
template <class Tile, Epilogue kEpilogue>
using VoltaColumns = TileColumns<kEpilogue, Tile::kCols, 4>;

constexpr int kVoltaRun = 2;  // neighbours among a lane's accumulators

template <class Tile, bool kAByK, bool kBByK, Epilogue kEpilogue>
__global__ void __launch_bounds__(Tile::kThreads, 1) gemm_volta_kernel(Gemm g) {
  using StageA = VoltaStage<Tile::kThreads, Tile::kRows, kAByK>;
  using StageB = VoltaStage<Tile::kThreads, Tile::kCols, kBByK>;
  using Columns = VoltaColumns<Tile, kEpilogue>;
  constexpr int kFragRows = Tile::kWarpRows / 16, kFragCols = Tile::kWarpCols / 16;
  CUNN_SHARED(__half, shared_a, [2][StageA::kElements]);
  CUNN_SHARED(__half, shared_b, [2][StageB::kElements]);
  GemmTile tile;
  if (!find_tile(g, Tile::kRows, Columns::kCount, &tile)) return;

  const __half* const a = static_cast<const __half*>(g.a.data) + tile.a_offset;
  const __half* const b = static_cast<const __half*>(g.b.data) + tile.b_offset;
  const __half* const up = Columns::kTwo ? static_cast<const __half*>(g.swiglu.b_up) + tile.b_offset : nullptr;
  const int64_t a_stride = kAByK ? g.a.row_stride : g.a.col_stride, b_stride = kBByK ? g.b.col_stride : g.b.row_stride;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, quad_pair = lane / 4 % 4;
  // Of the first fragment of this lane's quad pair; the next one is 16 lines on.
  const int first_row = warp / (Tile::kCols / Tile::kWarpCols) * Tile::kWarpRows + quad_pair / 2 * 8;
  const int first_col = warp % (Tile::kCols / Tile::kWarpCols) * Tile::kWarpCols + quad_pair % 2 * 8;

  // Accumulators e of a fragment: rows lane % 2 (+ 4 in the upper half of the warp) and, for e & 2, two on; columns lane & 2, for e & 4
  // four on, for e & 1 one.
  const auto row_of = [&](int fr, int e) { return tile.row + first_row + fr * 16 + lane / 16 * 4 + lane % 2 + (e & 2); };
  const auto line_of = [&](int fc, int e) { return first_col + fc * 16 + (e & 4) + (lane & 2) + (e & 1); };
  float acc[kFragRows][kFragCols][8];
  CUNN_UNROLL
  for (int fr = 0; fr < kFragRows; ++fr)
    CUNN_UNROLL
    for (int fc = 0; fc < kFragCols; ++fc)
      CUNN_UNROLL
      for (int e = 0; e < 8; ++e) {
        const int64_t row = row_of(fr, e), col = tile.col + line_of(fc, e);
        const bool starts_from_c = kEpilogue == Epilogue::store && g.beta != 0.0f && row < tile.row_end && col < g.n;
        acc[fr][fc][e] = starts_from_c ? beta_c(g, tile.c_offset + row * g.ldc + col) : 0.0f;
      }

  StageA stage_a;
  StageB stage_b;
  const auto fetch = [&](int64_t k) {
    stage_a.template fetch<OneMatrix>(a, a, a_stride, g.a.gather, tile.row, tile.row_end, k, tile.k_end);
    stage_b.template fetch<Columns>(b, up, b_stride, g.b.gather, tile.col, g.n, k, tile.k_end);
  };
  const auto put = [&](int half) {
    stage_a.put(shared_a[half]);
    stage_b.put(shared_b[half]);
  };
  fetch(tile.k);
  put(0);
  __syncthreads();
  int half = 0;
  for (int64_t k0 = tile.k; k0 < tile.k_end; k0 += kVoltaDepth, half ^= 1) {
    const bool more = k0 + kVoltaDepth < tile.k_end;
    if (more) fetch(k0 + kVoltaDepth);
    CUNN_UNROLL
    for (int k = 0; k < kVoltaDepth; k += 4) {
      uint32_t fa[kFragRows][2], fb[kFragCols][2];
      CUNN_UNROLL
      for (int fr = 0; fr < kFragRows; ++fr) StageA::fragment(fa[fr], shared_a[half], first_row + fr * 16, k, lane);
      CUNN_UNROLL
      for (int fc = 0; fc < kFragCols; ++fc) StageB::fragment(fb[fc], shared_b[half], first_col + fc * 16, k, lane);
      CUNN_UNROLL
      for (int fr = 0; fr < kFragRows; ++fr)
        CUNN_UNROLL
        for (int fc = 0; fc < kFragCols; ++fc) mma_m8n8k4<kAByK, kBByK>(acc[fr][fc], fa[fr], fb[fc]);
    }
    if (more) put(half ^ 1);
    __syncthreads();
  }

  // Run r: the lane's two neighbours of fragment r with SwiGLU, where those 4 lines on are q; else both pairs of each.
  constexpr int kPairs = Columns::kTwo ? 1 : 2, kRuns = kFragCols * kPairs;
  const auto column = [&](int r) { return tile.col + Columns::column(line_of(r / kPairs, r % kPairs * 4)); };
  CUNN_UNROLL
  for (int fr = 0; fr < kFragRows; ++fr)
    CUNN_UNROLL
    for (int e = 0; e < 4; e += kVoltaRun) {
      float first[kRuns][kVoltaRun], second[kRuns][kVoltaRun];
      CUNN_UNROLL
      for (int r = 0; r < kRuns; ++r)
        CUNN_UNROLL
        for (int j = 0; j < kVoltaRun; ++j) {
          first[r][j] = acc[fr][r / kPairs][r % kPairs * 4 + e + j];
          second[r][j] = Columns::kTwo ? acc[fr][r / kPairs][4 + e + j] : 0.0f;
        }
      const int64_t row = row_of(fr, e);
      if (row < tile.row_end) finish_row<kEpilogue>(g, g.c_dtype, tile.c_offset + row * g.ldc, column, first, second);
    }
}

template <class Tile, bool kAByK, bool kBByK, Epilogue kEpilogue>
void run_gemm_volta_layout(Exec& exec, Gemm g) {
  g.runs_aligned = runs_are_aligned(g, kVoltaRun);
  CUNN_RUN(exec, (gemm_volta_kernel<Tile, kAByK, kBByK, kEpilogue>), gemm_grid(g, Tile::kRows, VoltaColumns<Tile, kEpilogue>::kCount),
           Tile::kThreads, 0, g);
}

template <class Tile, Epilogue kEpilogue>
void run_gemm_volta_tile(Exec& exec, const Gemm& g) {
  with_layout<kEpilogue>(g, [&](auto a_by_k, auto b_by_k) {
    run_gemm_volta_layout<Tile, decltype(a_by_k)::value, decltype(b_by_k)::value, kEpilogue>(exec, g);
  });
}

// Tiles as large as on the later cards (run_gemm_mma).
template <Epilogue kEpilogue>
void run_gemm_volta(Exec& exec, const Gemm& g) {
  const int rows = rows_of_tile<kEpilogue>(exec, g);
  if (rows == 16)
    run_gemm_volta_tile<VoltaTile<16, 64, 16, 16>, kEpilogue>(exec, g);
  else if (rows == 64)
    run_gemm_volta_tile<VoltaTile<64, 64, 32, 32>, kEpilogue>(exec, g);
  else
    run_gemm_volta_tile<VoltaTile<128, 128, 64, 32>, kEpilogue>(exec, g);
}

}  // namespace cunn::cuda
