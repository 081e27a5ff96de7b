// Copies, casts, matrices packed or transposed, and blocks of 32 elements with one f16 scale.
#include "blocks.cuh"
#include "launch.cuh"
#include "math.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

void copy_bytes(Exec& exec, void* y, const void* x, int64_t bytes) {
  if (bytes > 0) check(cudaMemcpyAsync(y, x, size_t(bytes), cudaMemcpyDeviceToDevice, static_cast<cudaStream_t>(exec.stream)), "copy");
}

// ---- cast

template <class To, class From>
struct CastFloat {
  To* y;
  const From* x;
  __device__ To at(int64_t i) const { return from_float<To>(to_float(x[i])); }
  __device__ void put(int64_t i, To v) const { y[i] = v; }
};
struct Widen {
  int64_t* y;
  const int32_t* x;
  __device__ int64_t at(int64_t i) const { return x[i]; }
  __device__ void put(int64_t i, int64_t v) const { y[i] = v; }
};
// A value that does not fit leaves its element as it was; the lowest such index stays in first_bad.
struct Narrow {
  int32_t* y;
  const int64_t* x;
  unsigned long long* first_bad;
  __device__ int64_t at(int64_t i) const { return x[i]; }
  __device__ void put(int64_t i, int64_t v) const {
    if (v >= INT32_MIN && v <= INT32_MAX)
      y[i] = int32_t(v);
    else
      atomicMin(first_bad, (unsigned long long)i);
  }
};

__global__ void set_kernel(unsigned long long* x, unsigned long long value) { *x = value; }

// Reports element first_bad * scale, if there is one, with its value in x (or -1 where x is null).
__global__ void report_first_kernel(ErrorWord* error, OpId op, const unsigned long long* first_bad, int64_t scale, const int64_t* x, int64_t limit) {
  if (*first_bad == ~0ull) return;
  const int64_t index = int64_t(*first_bad) * scale;
  report_fault(error, op, DeviceFault::value_out_of_range, index, x ? x[index] : -1, limit);
}

unsigned long long* no_bad_element(Exec& exec) {
  unsigned long long* const first_bad = cuda_exec(exec).memory.array<unsigned long long>(1);
  CUNN_RUN(exec, set_kernel, 1, 1, 0, first_bad, ~0ull);
  return first_bad;
}

// ---- pack

constexpr int kTile = 32, kTileRows = 8;

template <class T>
__global__ void __launch_bounds__(kTile * kTileRows) transpose_kernel(T* y, const T* x, int64_t rows, int64_t cols, int64_t ldy, int64_t ldx) {
  CUNN_SHARED(T, tile, [kTile][kTile + 1]);
  const int64_t r0 = int64_t(blockIdx.y) * kTile, c0 = int64_t(blockIdx.x) * kTile;
  const int tx = int(threadIdx.x), ty = int(threadIdx.y);
  for (int i = ty; i < kTile; i += kTileRows)
    if (c0 + i < cols && r0 + tx < rows) tile[i][tx] = x[(c0 + i) * ldx + r0 + tx];
  __syncthreads();
  for (int i = ty; i < kTile; i += kTileRows)
    if (r0 + i < rows && c0 + tx < cols) y[(r0 + i) * ldy + c0 + tx] = tile[tx][i];
}

template <class T>
void transpose(Exec& exec, const Pack& op) {
  // Row blocks go over blockIdx.y, of which there are at most 65535.
  constexpr int64_t kRowsAtOnce = int64_t(65535) * kTile;
  for (int64_t row = 0; row < op.rows; row += kRowsAtOnce) {
    const int64_t rows = op.rows - row < kRowsAtOnce ? op.rows - row : kRowsAtOnce;
    CUNN_RUN(exec, transpose_kernel<T>, dim3(unsigned(ceil_div(op.cols, kTile)), unsigned(ceil_div(rows, kTile))), dim3(kTile, kTileRows), 0,
             static_cast<T*>(op.y) + row * op.ldy, static_cast<const T*>(op.x) + row, rows, op.cols, op.ldy, op.ldx);
  }
}

template <class T>
struct PackRow {
  T* y;
  const T* x;
  int64_t cols, ldy, ldx;
  __device__ T at(int64_t i) const { return x[i / cols * ldx + i % cols]; }
  __device__ void put(int64_t i, T v) const { y[i / cols * ldy + i % cols] = v; }
};

template <class T>
void pack_as(Exec& exec, const Pack& op) {
  if (op.transpose)
    transpose<T>(exec, op);
  else
    map(exec, PackRow<T>{static_cast<T*>(op.y), static_cast<const T*>(op.x), op.cols, op.ldy, op.ldx}, op.rows * op.cols);
}

// ---- quantize: a warp a block, a lane an element

constexpr int kQuantThreads = 128;

static __device__ int level(float x, float d, float low, float high) {
  if (d == 0.0f) return 0;
  float q = x / d;
  q = q > low ? q : low;
  q = q < high ? q : high;
  return __float2int_rn(q);
}

// d = the f16 rounding of max|x| / 127 (q8), or of the first element of largest magnitude / -8 (q4). A block with a NaN,
// or whose d is not finite, becomes 0 and is remembered.
template <class T, bool kQ8>
__global__ void __launch_bounds__(kQuantThreads) quantize_kernel(uint8_t* y, const T* x, int64_t blocks, unsigned long long* first_bad) {
  const int64_t block = int64_t(blockIdx.x) * (kQuantThreads / 32) + int(threadIdx.x) / 32;
  if (block >= blocks) return;
  const int lane = int(threadIdx.x) % 32;
  const float v = to_float(x[block * kQuantBlock + lane]);
  const bool nan = __any_sync(kFullWarp, v != v);
  float largest = fabsf(v);
  CUNN_UNROLL
  for (int half = 16; half > 0; half /= 2) {
    const float other = __shfl_xor_sync(kFullWarp, largest, half);
    largest = larger(other, largest);
  }
  float numerator = largest;
  if (!kQ8) {
    const unsigned hits = __ballot_sync(kFullWarp, fabsf(v) == largest);
    numerator = __shfl_sync(kFullWarp, v, hits ? __ffs(int(hits)) - 1 : 0);
  }
  __half d = __float2half_rn(kQ8 ? numerator / 127.0f : numerator / -8.0f);
  unsigned short bits = __half_as_ushort(d);
  if (nan || (bits & 0x7c00u) == 0x7c00u) {
    if (lane == 0) atomicMin(first_bad, (unsigned long long)block);
    bits = 0;
  }
  const float scale = __half2float(__ushort_as_half(bits));
  uint8_t* const out = y + block * (kQ8 ? kQ8BlockBytes : kQ4BlockBytes);
  if (lane < 2) out[lane] = uint8_t(bits >> (8 * lane));
  if (kQ8) {
    out[2 + lane] = uint8_t(level(v, scale, -128.0f, 127.0f));
  } else {
    const int q = level(v, scale, -8.0f, 7.0f) + 8;
    const int high = __shfl_down_sync(kFullWarp, q, 16);
    if (lane < 16) out[2 + lane] = uint8_t(q | high << 4);
  }
}

template <class T, bool kQ8>
struct Dequantized {
  T* y;
  const uint8_t* x;
  __device__ T at(int64_t i) const { return from_float<T>(dequantized<kQ8>(x, i)); }
  __device__ void put(int64_t i, T v) const { y[i] = v; }
};

}  // namespace

void copy(Exec& exec, const Copy& op) { copy_bytes(exec, op.y, op.x, bytes_of(op.dtype, op.n)); }

void cast(Exec& exec, const Cast& op) {
  if (op.n <= 0) return;
  if (op.y_dtype == op.x_dtype) return copy_bytes(exec, op.y, op.x, bytes_of(op.x_dtype, op.n));
  if (op.x_dtype == DType::i64) {
    const int64_t* const x = static_cast<const int64_t*>(op.x);
    unsigned long long* const first_bad = no_bad_element(exec);
    map(exec, Narrow{static_cast<int32_t*>(op.y), x, first_bad}, op.n);
    CUNN_RUN(exec, report_first_kernel, 1, 1, 0, exec.error, OpId::cast, first_bad, int64_t(1), x, int64_t(1) << 31);
    return;
  }
  if (op.x_dtype == DType::i32) return map(exec, Widen{static_cast<int64_t*>(op.y), static_cast<const int32_t*>(op.x)}, op.n);
  with_float(op.y_dtype, [&](auto to) {
    with_float(op.x_dtype, [&](auto from) {
      using To = typename decltype(to)::type;
      using From = typename decltype(from)::type;
      map(exec, CastFloat<To, From>{static_cast<To*>(op.y), static_cast<const From*>(op.x)}, op.n);
    });
  });
}

void pack(Exec& exec, const Pack& op) {
  if (op.rows <= 0 || op.cols <= 0) return;
  switch (element_bytes(op.dtype)) {
    case 1: return pack_as<uint8_t>(exec, op);
    case 2: return pack_as<uint16_t>(exec, op);
    case 4: return pack_as<uint32_t>(exec, op);
    default: return pack_as<uint64_t>(exec, op);
  }
}

void quantize(Exec& exec, const Quantize& op) {
  const int64_t blocks = op.n / kQuantBlock;
  if (blocks <= 0) return;
  const bool q8 = op.y_dtype == DType::q8;
  unsigned long long* const first_bad = no_bad_element(exec);
  const dim3 grid = grid_of(ceil_div(blocks, kQuantThreads / 32));
  with_float(op.x.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if (q8)
      CUNN_RUN(exec, (quantize_kernel<T, true>), grid, kQuantThreads, 0, static_cast<uint8_t*>(op.y), static_cast<const T*>(op.x.data), blocks, first_bad);
    else
      CUNN_RUN(exec, (quantize_kernel<T, false>), grid, kQuantThreads, 0, static_cast<uint8_t*>(op.y), static_cast<const T*>(op.x.data), blocks, first_bad);
  });
  // The limit is that of f16 times the levels.
  CUNN_RUN(exec, report_first_kernel, 1, 1, 0, exec.error, OpId::quantize, first_bad, kQuantBlock, nullptr, int64_t(65504) * (q8 ? 127 : 8));
}

void dequantize(Exec& exec, const Dequantize& op) {
  with_float(op.y.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    if (op.x_dtype == DType::q8)
      map(exec, Dequantized<T, true>{static_cast<T*>(op.y.data), static_cast<const uint8_t*>(op.x)}, op.n);
    else
      map(exec, Dequantized<T, false>{static_cast<T*>(op.y.data), static_cast<const uint8_t*>(op.x)}, op.n);
  });
}

}  // namespace cunn::cuda
