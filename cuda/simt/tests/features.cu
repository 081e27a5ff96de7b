// Every feature of the CUDA language and API that simt executes, in correct kernels, against what CUDA defines.
#include <cstdint>
#include <numeric>
#include <vector>

#include "../../kernels/common.cuh"
#include "../../kernels/ptx.cuh"
#include "check.h"
#include "device_array.h"

using namespace cunn;

#define LAUNCH_OK(...)                                     \
  do {                                                     \
    CUNN_LAUNCH(__VA_ARGS__);                              \
    if (!CHECK(cudaGetLastError() == cudaSuccess)) std::printf("%s\n", simt::last_fault()); \
  } while (0)

namespace {

// ---- coordinates

__global__ void write_coordinates(int* out) {
  const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const int n = blockDim.x * blockDim.y * blockDim.z;
  out[block * n + thread] = int(blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z + 1000 * threadIdx.x + 10000 * threadIdx.y +
                                100000 * threadIdx.z);
}

void test_coordinates() {
  DeviceArray<int> out(2 * 3 * 2 * 4 * 2 * 3);
  LAUNCH_OK(write_coordinates, dim3(2, 3, 2), dim3(4, 2, 3), 0, nullptr, out);
  const std::vector<int> got = out.download();
  size_t i = 0;
  bool good = true;
  for (int bz = 0; bz < 2; ++bz)
    for (int by = 0; by < 3; ++by)
      for (int bx = 0; bx < 2; ++bx)
        for (int tz = 0; tz < 3; ++tz)
          for (int ty = 0; ty < 2; ++ty)
            for (int tx = 0; tx < 4; ++tx)
              good = good && got[i++] == bx + 10 * by + 100 * bz + 1000 * tx + 10000 * ty + 100000 * tz;
  CHECK(good);
}

// ---- barriers, static and dynamic shared memory

template <int kThreads>
__global__ void block_sum(const float* x, float* sums, int n) {
  CUNN_SHARED(float, partial, [kThreads]);
  float sum = 0;
  for (int i = int(threadIdx.x); i < n; i += kThreads) sum += x[blockIdx.x * n + i];
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

__global__ void reverse_in_dynamic(int* x) {
  CUNN_DYNAMIC_SHARED(int, copy);
  copy[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  x[blockIdx.x * blockDim.x + threadIdx.x] = copy[blockDim.x - 1 - threadIdx.x];
}

__global__ void barrier_votes(int* out, int limit) {
  const int mine = int(threadIdx.x) < limit;
  const int count = __syncthreads_count(mine), any = __syncthreads_or(mine), all = __syncthreads_and(mine);
  if (threadIdx.x == 0) {
    out[0] = count;
    out[1] = any;
    out[2] = all;
  }
}

__global__ void shared_is_poisoned(int* all_nan) {
  CUNN_SHARED(float, fresh, [64]);
  CUNN_DYNAMIC_SHARED(float, dynamic);
  const int nan = fresh[threadIdx.x] != fresh[threadIdx.x] && dynamic[threadIdx.x] != dynamic[threadIdx.x];
  const int all = __syncthreads_and(nan);
  fresh[threadIdx.x] = dynamic[threadIdx.x] = 1.0f;  // what the next block must not see
  if (threadIdx.x == 0) all_nan[blockIdx.x] = all;
}

void test_block() {
  std::vector<float> x(40 * 1000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = float(i % 7);
  DeviceArray<float> dx(x), sums(40);
  LAUNCH_OK((block_sum<256>), 40, 256, 0, nullptr, dx, sums, 1000);
  const std::vector<float> got = sums.download();
  bool good = true;
  for (int b = 0; b < 40; ++b) good = good && got[b] == std::accumulate(x.begin() + b * 1000, x.begin() + (b + 1) * 1000, 0.0f);
  CHECK(good);

  std::vector<int> v(5 * 96);
  std::iota(v.begin(), v.end(), 0);
  DeviceArray<int> dv(v);
  LAUNCH_OK(reverse_in_dynamic, 5, 96, 96 * sizeof(int), nullptr, dv);
  const std::vector<int> reversed = dv.download();
  good = true;
  for (int i = 0; i < 5 * 96; ++i) good = good && reversed[i] == i / 96 * 96 + 95 - i % 96;
  CHECK(good);

  DeviceArray<int> votes(3);
  for (int limit : {0, 50, 128}) {
    LAUNCH_OK(barrier_votes, 1, 128, 0, nullptr, votes, limit);
    const std::vector<int> r = votes.download();
    CHECK_EQUAL(r[0], limit);
    CHECK_EQUAL(r[1], limit > 0);
    CHECK_EQUAL(r[2], limit == 128);
  }

  DeviceArray<int> nan(6);
  LAUNCH_OK(shared_is_poisoned, 6, 64, 64 * sizeof(float), nullptr, nan);
  for (int all : nan.download()) CHECK_EQUAL(all, 1);
}

// ---- warps

__global__ void shuffles(int* out) {
  const int l = int(threadIdx.x & 31), v = 100 + l;
  int* const o = out + threadIdx.x * 8;
  o[0] = __shfl_sync(kFullWarp, v, 5);
  o[1] = __shfl_sync(kFullWarp, v, 3, 8);
  o[2] = __shfl_up_sync(kFullWarp, v, 2);
  o[3] = __shfl_down_sync(kFullWarp, v, 3, 16);
  o[4] = __shfl_xor_sync(kFullWarp, v, 7);
  o[5] = int(__shfl_xor_sync(kFullWarp, 1e10 + l, 1) - 1e10);  // 8-byte values
  const float4 four = make_float4(float(l), 0, 0, float(2 * l));
  o[6] = int(__shfl_sync(kFullWarp, four, 9).w);
  o[7] = 0;
  if (l < 16) o[7] = __shfl_xor_sync(0xffffu, v, 15);  // half a warp, in a branch
}

__global__ void votes(unsigned* out) {
  const int l = int(threadIdx.x);
  unsigned* const o = out + l * 10;
  o[0] = __ballot_sync(kFullWarp, l % 3 == 0);
  o[1] = unsigned(__any_sync(kFullWarp, l == 9)) * 2u + unsigned(__any_sync(kFullWarp, l == 99));
  o[2] = unsigned(__all_sync(kFullWarp, l < 32)) * 2u + unsigned(__all_sync(kFullWarp, l < 31));
  o[3] = __match_any_sync(kFullWarp, l / 5);
  o[4] = __reduce_add_sync(kFullWarp, unsigned(l));
  o[5] = unsigned(__reduce_min_sync(kFullWarp, l - 10));
  o[6] = __reduce_max_sync(kFullWarp, unsigned(l));
  o[7] = __reduce_or_sync(kFullWarp, 1u << l);
  o[8] = __reduce_and_sync(kFullWarp, ~(1u << l));
  o[9] = __reduce_xor_sync(kFullWarp, unsigned(l));
}

__global__ void neighbours_through_shared(int* out) {
  CUNN_SHARED(int, cell, [64]);
  cell[threadIdx.x] = int(threadIdx.x);
  __syncwarp();
  const int mine = cell[threadIdx.x ^ 1];
  __syncwarp(kFullWarp);
  cell[threadIdx.x] = mine + 1000;
  if ((threadIdx.x & 31) < 8) {
    __syncwarp(0xff);
    out[threadIdx.x] = cell[threadIdx.x ^ 7];
  } else {
    out[threadIdx.x] = mine;
  }
}

void test_warp() {
  DeviceArray<int> out(64 * 8);
  LAUNCH_OK(shuffles, 1, 64, 0, nullptr, out);
  const std::vector<int> s = out.download();
  bool good = true;
  for (int t = 0; t < 64; ++t) {
    const int l = t % 32, *o = &s[t * 8];
    good = good && o[0] == 105 && o[1] == 100 + l / 8 * 8 + 3 && o[2] == 100 + (l < 2 ? l : l - 2) &&
           o[3] == 100 + (l % 16 + 3 > 15 ? l : l + 3) && o[4] == 100 + (l ^ 7) && o[5] == (l ^ 1) && o[6] == 18 &&
           o[7] == (l < 16 ? 100 + (l ^ 15) : 0);
  }
  CHECK(good);

  DeviceArray<unsigned> v(32 * 10);
  LAUNCH_OK(votes, 1, 32, 0, nullptr, v);
  const std::vector<unsigned> r = v.download();
  good = true;
  for (int l = 0; l < 32; ++l) {
    const unsigned* o = &r[l * 10];
    unsigned same = 0, ballot = 0;
    for (int k = 0; k < 32; ++k) {
      same |= k / 5 == l / 5 ? 1u << k : 0u;
      ballot |= k % 3 == 0 ? 1u << k : 0u;
    }
    good = good && o[0] == ballot && o[1] == 2 && o[2] == 2 && o[3] == same && o[4] == 496 && int(o[5]) == -10 && o[6] == 31 &&
           o[7] == ~0u && o[8] == 0 && o[9] == 0;
  }
  CHECK(good);

  DeviceArray<int> n(64);
  LAUNCH_OK(neighbours_through_shared, 1, 64, 0, nullptr, n);
  const std::vector<int> got = n.download();
  good = true;
  for (int t = 0; t < 64; ++t) good = good && got[t] == (t % 32 < 8 ? ((t ^ 7) ^ 1) + 1000 : (t ^ 1));
  CHECK(good);
}

// ---- atomics

__global__ void atomics(int* i, unsigned* u, unsigned long long* l, float* f) {
  const int t = int(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&i[0], 1);
  atomicSub(&i[1], 2);
  atomicMin(&i[2], -t);
  atomicMax(&i[3], t);
  atomicAnd(&u[0], ~(1u << (t % 32)));
  atomicOr(&u[1], 1u << (t % 32));
  atomicXor(&u[2], 1u);
  atomicAdd(&l[0], 1ull << 33);
  atomicAdd(&f[0], 0.5f);
  atomicCAS(&i[4], 0, t + 1);
  atomicExch(&i[5], 7);
}

void test_atomics() {
  DeviceArray<int> i(std::vector<int>(6, 0));
  DeviceArray<unsigned> u(std::vector<unsigned>{~0u, 0, 0});
  DeviceArray<unsigned long long> l(std::vector<unsigned long long>{0});
  DeviceArray<float> f(std::vector<float>{0});
  LAUNCH_OK(atomics, 8, 96, 0, nullptr, i, u, l, f);
  const std::vector<int> ri = i.download();
  const std::vector<unsigned> ru = u.download();
  CHECK_EQUAL(ri[0], 768);
  CHECK_EQUAL(ri[1], -1536);
  CHECK_EQUAL(ri[2], -767);
  CHECK_EQUAL(ri[3], 767);
  CHECK(ri[4] >= 1 && ri[4] <= 768);
  CHECK_EQUAL(ri[5], 7);
  CHECK_EQUAL(ru[0], 0u);
  CHECK_EQUAL(ru[1], ~0u);
  CHECK_EQUAL(ru[2], 0u);
  CHECK_EQUAL(l.download()[0], 768ull << 33);
  CHECK_EQUAL(f.download()[0], 384.0f);
}

// ---- 16-bit types

void test_halves() {
  CHECK_EQUAL(__bfloat16_as_ushort(__float2bfloat16_rn(1.0f)), 0x3f80);
  CHECK_EQUAL(__bfloat16_as_ushort(__float2bfloat16_rn(1.00390625f)), 0x3f80);  // a tie goes to even
  CHECK_EQUAL(__bfloat16_as_ushort(__float2bfloat16_rn(1.01171875f)), 0x3f82);
  CHECK_EQUAL(__bfloat16_as_ushort(__float2bfloat16_rn(NAN)), 0x7fff);
  int wrong = 0;
  for (int bits = 0; bits < 0x10000; ++bits) {  // every f16 survives the way through f32
    const float value = __half2float(__ushort_as_half(uint16_t(bits)));
    const unsigned back = __half_as_ushort(__float2half_rn(value));
    wrong += value != value ? back != 0x7fff : back != unsigned(bits);
  }
  CHECK_EQUAL(wrong, 0);
  for (float f : {65519.0f, 65520.0f, 1e-8f, 2.98e-8f, 3.0e-8f, 6.1e-5f, 6.0975551605224609375e-5f, 0.1f, -2049.0f, 2051.0f})
    CHECK_EQUAL(__half2float(__float2half_rn(f)), float(_Float16(f)));
}

// ---- tensor cores

template <class T, bool kTransposeB>
__global__ void mma_tile(const T* a, const T* b, float* d) {  // a [16][16]; b [16][8], or [8][16] when kTransposeB
  CUNN_SHARED(T, as, [16][24]);
  CUNN_SHARED(T, bs, [16][24]);
  const int l = int(threadIdx.x);
  for (int i = l; i < 256; i += 32) as[i / 16][i % 16] = a[i];
  for (int i = l; i < 128; i += 32) {
    if (kTransposeB)
      bs[i / 16][i % 16] = b[i];
    else
      bs[i / 8][i % 8] = b[i];
  }
  __syncwarp();
  uint32_t fa[4], fb[2], again[4];
  float acc[4] = {1.0f, 2.0f, 3.0f, 4.0f};
  ldmatrix_x4(fa, &as[l % 16][l / 16 * 8]);
  if (kTransposeB) {
    ldmatrix_x2(fb, &bs[l % 8][l / 8 % 2 * 8]);
  } else {
    ldmatrix_x2_transposed(fb, &bs[l % 16][0]);
  }
  ldmatrix_x4_transposed(again, &as[l % 16][l / 16 * 8]);
  uint32_t one[1];
  ldmatrix_x1(one, &as[l % 8][0]);
  if (std::is_same<T, __nv_bfloat16>::value)
    mma_m16n8k16_bf16(acc, fa, fb);
  else
    mma_m16n8k16_f16(acc, fa, fb);
  const int row = l / 4, column = 2 * (l % 4);
  for (int e = 0; e < 4; ++e) d[(row + e / 2 * 8) * 8 + column + e % 2] = acc[e];
  // the transposed load of a, as plain values, behind the product
  for (int j = 0; j < 4; ++j) d[128 + l * 4 + j] = __uint_as_float(again[j]);
  d[256 + l] = one[0] == fa[0] ? 1.0f : 0.0f;
}

template <class T, bool kTransposeB>
void check_mma() {
  std::vector<T> a(256), b(128);
  std::vector<float> fa(256), fb(128);
  for (int i = 0; i < 256; ++i) a[i] = from_float<T>(fa[i] = float((i * 37) % 19 - 9) / 4);
  for (int i = 0; i < 128; ++i) b[i] = from_float<T>(fb[i] = float((i * 53) % 23 - 11) / 8);
  DeviceArray<T> da(a), db(b);
  DeviceArray<float> dd(288);
  LAUNCH_OK((mma_tile<T, kTransposeB>), 1, 32, 0, nullptr, da, db, dd);
  const std::vector<float> d = dd.download();
  bool product = true, transposed = true, single = true;
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      float sum = float(1 + n % 2 + m / 8 * 2);
      for (int k = 0; k < 16; ++k) sum += fa[m * 16 + k] * (kTransposeB ? fb[n * 16 + k] : fb[k * 8 + n]);
      product = product && d[m * 8 + n] == sum;
    }
  CHECK(product);
  // Register j of lane l holds, of the 8x8 tile j (rows j%2*8, columns j/2*8), elements (2(l%4)+{0,1}, l/4).
  for (int l = 0; l < 32; ++l)
    for (int j = 0; j < 4; ++j) {
      uint32_t word;
      std::memcpy(&word, &d[128 + l * 4 + j], 4);
      for (int half = 0; half < 2; ++half) {
        T value;
        const uint16_t bits = uint16_t(word >> (16 * half));
        std::memcpy(&value, &bits, 2);
        transposed = transposed && to_float(value) == fa[(j % 2 * 8 + 2 * (l % 4) + half) * 16 + j / 2 * 8 + l / 4];
      }
    }
  CHECK(transposed);
  for (int l = 0; l < 32; ++l) single = single && d[256 + l] == 1.0f;
  CHECK(single);
}

// The four products of mma.m8n8k4: a [4][8][4] and b [4][8][4], [quad pair][line][k], or with k and line swapped where not by k.
template <bool kAByK, bool kBByK>
__global__ void mma_quad_pairs(const __half* a, const __half* b, float* d) {
  const int l = int(threadIdx.x), quad_pair = l / 4 % 4, t = l % 4, upper = l / 16;
  uint32_t fa[2] = {0, 0}, fb[2] = {0, 0};
  for (int i = 0; i < 4; ++i) {
    const auto place = [&](bool by_k) { return quad_pair * 32 + (by_k ? (t + 4 * upper) * 4 + i : t * 8 + i + 4 * upper); };
    fa[i / 2] |= uint32_t(__half_as_ushort(a[place(kAByK)])) << (16 * (i % 2));
    fb[i / 2] |= uint32_t(__half_as_ushort(b[place(kBByK)])) << (16 * (i % 2));
  }
  float acc[8];
  for (int i = 0; i < 8; ++i) acc[i] = float(100 * l + i);  // so that each lane's start returns to its own place
  mma_m8n8k4<kAByK, kBByK>(acc, fa, fb);
  for (int i = 0; i < 8; ++i) d[quad_pair * 64 + ((t & 1) + (i & 2) + 4 * upper) * 8 + (i & 4) + (t & 2) + (i & 1)] = acc[i] - float(100 * l + i);
}

template <bool kAByK, bool kBByK>
void check_mma_quad_pairs() {
  std::vector<__half> a(128), b(128);
  std::vector<float> fa(128), fb(128);
  for (int i = 0; i < 128; ++i) {
    a[i] = from_float<__half>(fa[i] = float((i * 37) % 19 - 9) / 4);
    b[i] = from_float<__half>(fb[i] = float((i * 53) % 23 - 11) / 8);
  }
  DeviceArray<__half> da(a), db(b);
  DeviceArray<float> dd(256);
  LAUNCH_OK((mma_quad_pairs<kAByK, kBByK>), 1, 32, 0, nullptr, da, db, dd);
  const std::vector<float> d = dd.download();
  int wrong = 0;
  for (int q = 0; q < 4; ++q)
    for (int m = 0; m < 8; ++m)
      for (int n = 0; n < 8; ++n) {
        float sum = 0;
        for (int k = 0; k < 4; ++k) sum += fa[q * 32 + (kAByK ? m * 4 + k : k * 8 + m)] * fb[q * 32 + (kBByK ? n * 4 + k : k * 8 + n)];
        wrong += d[q * 64 + m * 8 + n] != sum;
      }
  CHECK_EQUAL(wrong, 0);
}

// ---- cp.async

__global__ void pipelined_copy(const float* x, float* y, int tiles, int last_bytes) {
  CUNN_SHARED(float, stage, [2][128]);
  const int t = int(threadIdx.x);
  const auto load = [&](int tile) {
    if (tile < tiles) cp_async_16(&stage[tile % 2][4 * t], x + tile * 128 + 4 * t, tile == tiles - 1 ? last_bytes : 16);
    cp_async_commit();
  };
  load(0);
  for (int tile = 0; tile < tiles; ++tile) {
    load(tile + 1);
    cp_async_wait<1>();
    __syncwarp();
    for (int i = t; i < 128; i += 32) y[tile * 128 + i] = stage[tile % 2][127 - i];
    __syncwarp();
  }
}

__global__ void copy_words(const float* x, float* y, int n) {
  CUNN_SHARED(float, words, [64]);
  const int t = int(threadIdx.x);
  cp_async_4(&words[t], x + (t < n ? t : 0), t < n ? 4 : 0);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  y[t] = words[63 - t];
}

void test_async_copy() {
  std::vector<float> x(5 * 128);
  std::iota(x.begin(), x.end(), 1.0f);
  DeviceArray<float> dx(x), dy(x.size());
  LAUNCH_OK(pipelined_copy, 1, 32, 0, nullptr, dx, dy, 5, 8);
  const std::vector<float> y = dy.download();
  bool good = true;
  for (int i = 0; i < 5 * 128; ++i) {
    const int source = i / 128 * 128 + 127 - i % 128;
    good = good && y[i] == (i >= 4 * 128 && source % 4 >= 2 ? 0.0f : x[source]);
  }
  CHECK(good);
  DeviceArray<float> words(64);
  LAUNCH_OK(copy_words, 1, 64, 0, nullptr, dx, words, 50);
  const std::vector<float> w = words.download();
  good = true;
  for (int i = 0; i < 64; ++i) good = good && w[i] == (63 - i < 50 ? x[63 - i] : 0.0f);
  CHECK(good);
}

// ---- the host API

__global__ void add_one(int* x, int n) {
  const int i = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += 1;
}

__global__ void needs_much_shared(int* x) {
  CUNN_DYNAMIC_SHARED(int, big);
  big[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) x[0] = big[0];
}

void test_host_api() {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess && count == 1);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::strstr(properties.name, "not a GPU") != nullptr);

  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  DeviceArray<int> x(std::vector<int>(100, 0));
  CHECK(cudaMemsetAsync(x, 0, 400, stream) == cudaSuccess);
  CHECK(cudaMemcpy(static_cast<int*>(x) + 1, static_cast<int*>(x), 400, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemset(x, 0, 401) == cudaErrorInvalidValue);

  // A captured launch runs when the graph does, as often as it does.
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  LAUNCH_OK(add_one, 1, 128, 0, stream, x, 100);
  LAUNCH_OK(add_one, 1, 128, 0, stream, x, 50);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK_EQUAL(x.download()[0], 0);
  size_t nodes = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes) == cudaSuccess && nodes == 2);
  CHECK(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess);
  CHECK_EQUAL(x.download()[0], 6);
  CHECK_EQUAL(x.download()[99], 3);
  CHECK(cudaGraphExecDestroy(exec) == cudaSuccess);
  CHECK(cudaGraphExecDestroy(exec) == cudaErrorInvalidResourceHandle);

  // Waiting in a capture spoils it.
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);

  cudaEvent_t start, stop;
  float milliseconds = -1;
  CHECK(cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&stop) == cudaSuccess);
  CHECK(cudaEventRecord(start, stream) == cudaSuccess && cudaEventRecord(stop, stream) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, stop) == cudaSuccess && milliseconds >= 0);
  CHECK(cudaStreamWaitEvent(stream, stop, 0) == cudaSuccess);
  CHECK(cudaEventDestroy(start) == cudaSuccess && cudaEventDestroy(stop) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaStreamDestroy(stream) == cudaErrorInvalidResourceHandle);

  // Launches that a card refuses.
  CUNN_LAUNCH(add_one, 0, 128, 0, nullptr, x, 100);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CUNN_LAUNCH(add_one, 1, 1025, 0, nullptr, x, 100);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CUNN_LAUNCH(needs_much_shared, 1, 32, 60 << 10, nullptr, x);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaFuncSetAttribute(needs_much_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 60 << 10) == cudaSuccess);
  LAUNCH_OK(needs_much_shared, 1, 32, 60 << 10, nullptr, x);
  CHECK_EQUAL(x.download()[0], 1);
  CHECK(cudaFuncSetAttribute(needs_much_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10) == cudaErrorInvalidValue);
  CHECK(cudaFree(static_cast<int*>(x) + 1) == cudaErrorInvalidValue);
}

// ---- orders

__global__ void record_block(int* order, int* next) {
  if (threadIdx.x == 0) order[atomicAdd(next, 1)] = int(blockIdx.x);
}

std::vector<int> block_order() {
  DeviceArray<int> order(64), next(std::vector<int>{0});
  LAUNCH_OK(record_block, 64, 32, 0, nullptr, order, next);
  return order.download();
}

void test_orders() {
  std::vector<int> ascending(64);
  std::iota(ascending.begin(), ascending.end(), 0);
  simt::set_order(simt::Order::forward);
  CHECK(block_order() == ascending);
  simt::set_order(simt::Order::reverse);
  CHECK(block_order() == std::vector<int>(ascending.rbegin(), ascending.rend()));
  simt::set_order(simt::Order::random, 7);
  const std::vector<int> first = block_order();
  CHECK(first == block_order());
  simt::set_order(simt::Order::random, 8);
  CHECK(first != block_order());
}

}  // namespace

int main() {
  const struct {
    simt::Order order;
    int threads;
  } ways[] = {{simt::Order::parallel, 4}, {simt::Order::forward, 1}, {simt::Order::reverse, 1}, {simt::Order::random, 1}};
  for (const auto& way : ways) {
    simt::set_order(way.order, 3);
    simt::set_threads(way.threads);
    test_coordinates();
    test_block();
    test_warp();
    test_atomics();
    check_mma<__nv_bfloat16, true>();
    check_mma<__nv_bfloat16, false>();
    check_mma<__half, true>();
    check_mma<__half, false>();
    check_mma_quad_pairs<true, true>();
    check_mma_quad_pairs<true, false>();
    check_mma_quad_pairs<false, true>();
    check_mma_quad_pairs<false, false>();
    test_async_copy();
  }
  test_halves();
  test_host_api();
  test_orders();
  return summary();
}
