// What a block does with the sums of its tile: stores them, or SwiGLU (Shazeer 2020) or its gradient on the way out, so
// that neither p = x W_gate^T and q = x W_up^T nor the gradient of silu(p) q makes a trip through memory for it.
//
// A tile of B that holds columns of both W_gate and W_up has them in turns, a group of columns of one, then the same columns
// of the other, so wide that p and q of an element of C come to the same thread, in its register and the one half a row of
// registers on.
#pragma once
#include "gemm.cuh"
#include "math.cuh"

namespace cunn::cuda {

// Where the lines of a tile of kLines columns of B stand, kGroup of one matrix and kGroup of the other in turn when there are two.
template <Epilogue kEpilogue, int kLines, int kGroup>
struct TileColumns {
  static constexpr bool kTwo = kEpilogue == Epilogue::swiglu;
  static constexpr int kCount = kTwo ? kLines / 2 : kLines;  // columns of C
  static_assert(!kTwo || kLines % (2 * kGroup) == 0, "whole groups of both");
  static __device__ __forceinline__ bool of_up(int line) { return kTwo && line / kGroup % 2 == 1; }
  static __device__ __forceinline__ int column(int line) { return kTwo ? line / (2 * kGroup) * kGroup + line % kGroup : line; }
};

// kWidth neighbours, brought and taken in one access.
template <class T, int kWidth>
struct alignas(kWidth * sizeof(T)) Run {
  T at[kWidth];
};

// Elements as bits of a word of 2, 4 or 8 bytes. A run is stored in words: element by element the compiler would make one out of the
// two branches of store_run, in narrow stores.
template <int kBytes>
struct Word {
  using type = unsigned long long;
};
template <>
struct Word<4> {
  using type = uint32_t;
};
template <>
struct Word<2> {
  using type = uint16_t;
};
static __device__ __forceinline__ uint32_t bits_of(float x) { return __float_as_uint(x); }
static __device__ __forceinline__ uint32_t bits_of(__nv_bfloat16 x) { return __bfloat16_as_ushort(x); }
static __device__ __forceinline__ uint32_t bits_of(__half x) { return __half_as_ushort(x); }

// Elements i, i + 1, ... of which `count` exist; `whole`: all of them do and the first one is aligned for a single access.
template <class T, int kWidth>
static __device__ __forceinline__ void store_run(T* data, int64_t i, const float (&v)[kWidth], int count, bool whole) {
  constexpr int kBytes = kWidth * int(sizeof(T)) < 8 ? kWidth * int(sizeof(T)) : 8, kElements = kBytes / int(sizeof(T));
  using W = typename Word<kBytes>::type;
  if (whole) {
    Run<W, kWidth / kElements> run;
    CUNN_UNROLL
    for (int w = 0; w < kWidth / kElements; ++w) {
      run.at[w] = 0;
      CUNN_UNROLL
      for (int j = 0; j < kElements; ++j) run.at[w] |= W(bits_of(from_float<T>(v[w * kElements + j]))) << (8 * int(sizeof(T)) * j);
    }
    *reinterpret_cast<Run<W, kWidth / kElements>*>(data + i) = run;
  } else {
    CUNN_UNROLL
    for (int j = 0; j < kWidth; ++j)
      if (j < count) data[i + j] = from_float<T>(v[j]);
  }
}
template <int kWidth>
static __device__ __forceinline__ void store_run(void* data, DType dtype, int64_t i, const float (&v)[kWidth], int count, bool whole) {
  if (dtype == DType::f32)
    store_run(static_cast<float*>(data), i, v, count, whole);
  else if (dtype == DType::bf16)
    store_run(static_cast<__nv_bfloat16*>(data), i, v, count, whole);
  else
    store_run(static_cast<__half*>(data), i, v, count, whole);
}
template <int kWidth>
static __device__ __forceinline__ void load_run(float (&v)[kWidth], const float* data, int64_t i, int count, bool whole) {
  if (whole) {
    const Run<float, kWidth> run = *reinterpret_cast<const Run<float, kWidth>*>(data + i);
    CUNN_UNROLL
    for (int j = 0; j < kWidth; ++j) v[j] = run.at[j];
  } else {
    CUNN_UNROLL
    for (int j = 0; j < kWidth; ++j) v[j] = j < count ? data[i + j] : 0.0f;
  }
}

// Whether runs of `width` elements that start at multiples of it in a row are aligned in every matrix that is written or read
// by an epilogue.
inline bool runs_are_aligned(const Gemm& g, int width) {
  const auto aligned = [&](const void* data, DType dtype) {
    return reinterpret_cast<uintptr_t>(data) % uintptr_t(bytes_of(dtype, width)) == 0;
  };
  const float* const beside[] = {g.swiglu.gate_out, g.swiglu.up_out, g.swiglu.gate, g.swiglu.up, g.swiglu.dup};
  for (const float* data : beside)
    if (!aligned(data, DType::f32)) return false;
  return g.ldc % width == 0 && g.c_batch_stride % width == 0 && aligned(g.c, g.c_dtype);
}

// Columns of one row that a thread holds: kRuns runs of kWidth neighbours, column(r) the first of run r, sums of the same element in
// first and second, of which store and swiglu_gradient use first alone. What is read is read for all runs before the first
// write, which may go to the same buffer: a load at a time would wait for memory once for each.
template <Epilogue kEpilogue, int kRuns, int kWidth, class Column>
static __device__ __forceinline__ void finish_row(const Gemm& g, DType c_dtype, int64_t row_offset, const Column& column,
                                                  const float (&first)[kRuns][kWidth], const float (&second)[kRuns][kWidth]) {
  const auto exist = [&](int r) {
    const int64_t left = g.n - column(r);
    return left < kWidth ? int(left) : kWidth;
  };
  const auto whole = [&](int r) { return g.runs_aligned && exist(r) == kWidth; };
  float p[kRuns][kWidth], q[kRuns][kWidth];
  if constexpr (kEpilogue == Epilogue::swiglu_gradient) {
    CUNN_UNROLL
    for (int r = 0; r < kRuns; ++r) {
      load_run(p[r], g.swiglu.gate, row_offset + column(r), exist(r), whole(r));
      load_run(q[r], g.swiglu.up, row_offset + column(r), exist(r), whole(r));
    }
  }
  CUNN_UNROLL
  for (int r = 0; r < kRuns; ++r) {
    const int64_t i = row_offset + column(r);
    if constexpr (kEpilogue == Epilogue::store) {
      store_run(g.c, c_dtype, i, first[r], exist(r), whole(r));
    } else if constexpr (kEpilogue == Epilogue::swiglu) {
      float y[kWidth];
      CUNN_UNROLL
      for (int j = 0; j < kWidth; ++j) y[j] = silu(first[r][j]) * second[r][j];
      store_run(g.c, c_dtype, i, y, exist(r), whole(r));
      if (g.swiglu.gate_out) {
        store_run(g.swiglu.gate_out, i, first[r], exist(r), whole(r));
        store_run(g.swiglu.up_out, i, second[r], exist(r), whole(r));
      }
    } else {
      float dp[kWidth], dq[kWidth];
      CUNN_UNROLL
      for (int j = 0; j < kWidth; ++j) {
        const float2 d = swiglu_gradient(first[r][j], p[r][j], q[r][j]);
        dp[j] = d.x;
        dq[j] = d.y;
      }
      store_run(static_cast<float*>(g.c), i, dp, exist(r), whole(r));
      store_run(g.swiglu.dup, i, dq, exist(r), whole(r));
    }
  }
}

}  // namespace cunn::cuda
