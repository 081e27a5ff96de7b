// Choosing the next token: argmax, sampling, and moving the sequences on. A block a row.
//
// p_c = exp((x_c - max) / temperature) in f32 (0 for NaN, 1 where x_c is the maximum). The kept set is a prefix of the order
// (logit descending, index ascending), hence the columns whose top_k_key is at least a cut. Sums of p are taken in
// integers, p in units of 2^-46: exact for every p above 2^-22, the same in any order, and so free for the block to share.
// The token is the first kept column whose running sum exceeds u times the whole sum.
#include "launch.cuh"
#include "ops_decl.h"
#include "philox.cuh"
#include "top_k.cuh"

namespace cunn::cuda {

namespace {

constexpr int kThreads = kSelectThreads;

// The largest key of the row, in every thread. `warps` is the caller's to use once.
__device__ uint64_t largest_key(const float* x, int64_t cols, unsigned long long* warps) {
  unsigned long long best = 0;
  for (int64_t i = threadIdx.x; i < cols; i += kThreads) {
    const uint64_t key = top_k_key(x[i], i);
    if (key > best) best = key;
  }
  CUNN_UNROLL
  for (int half = 16; half > 0; half /= 2) {
    const unsigned long long other = __shfl_xor_sync(kFullWarp, best, half);
    if (other > best) best = other;
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
  __syncthreads();
  best = warps[0];
  for (int w = 1; w < kThreads / 32; ++w)
    if (warps[w] > best) best = warps[w];
  return best;
}

__global__ void __launch_bounds__(kThreads) argmax_kernel(int32_t* ids, const float* logits, int64_t cols, int64_t ld) {
  CUNN_SHARED(unsigned long long, warps, [kThreads / 32]);
  const uint64_t key = largest_key(logits + blockIdx.x * ld, cols, warps);
  if (threadIdx.x == 0) ids[blockIdx.x] = int32_t(top_k_index(key));
}

// ---- sampling

// What is wrong with a row's parameters: the value as reported and the limit; false when nothing is.
__device__ bool bad_parameters(float temperature, int32_t top_k, float top_p, int64_t cols, int64_t* value, int64_t* limit) {
  const auto rounded = [](float v) { return v > -9e18f && v < 9e18f ? int64_t(v) : int64_t(-1); };
  if (!(temperature >= 0.0f && temperature < kInfinity)) {
    *value = rounded(temperature);
    *limit = INT64_MAX;
    return true;
  }
  if (top_k < 0) {
    *value = top_k;
    *limit = cols + 1;
    return true;
  }
  if (!(top_p >= 0.0f && top_p <= 1.0f)) {
    *value = rounded(top_p);
    *limit = 2;
    return true;
  }
  return false;
}

// The first bad row is named; every bad row is skipped by the sampling itself. Rows are few: one thread reads them.
__global__ void check_parameters_kernel(ErrorWord* error, const float* temperature, const int32_t* top_k, const float* top_p, int64_t rows, int64_t cols) {
  for (int64_t r = 0; r < rows; ++r) {
    int64_t value, limit;
    if (!bad_parameters(temperature[r], top_k[r], top_p[r], cols, &value, &limit)) continue;
    report_fault(error, OpId::sample, DeviceFault::value_out_of_range, r, value, limit);
    return;
  }
}

struct SampleShared {
  SelectShared select;
  unsigned long long mass[256];
  unsigned long long warps[kThreads / 32];
  unsigned long long prefix, want;
  int64_t token;
};

constexpr float kMassUnit = 0x1p46f;

// p of a column in units of 2^-46.
__device__ unsigned long long mass_of(float x, float max, float temperature) {
  if (x != x) return 0;
  const float p = x == max ? 1.0f : exp_f32((x - max) / temperature);
  return (unsigned long long)(p * kMassUnit);
}

// Adds up `mine` over the block; every thread gets the sum. s.mass is used.
__device__ unsigned long long block_total(unsigned long long mine, SampleShared& s) {
  s.mass[threadIdx.x] = mine;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) < half) s.mass[threadIdx.x] += s.mass[threadIdx.x + half];
    __syncthreads();
  }
  const unsigned long long total = s.mass[0];
  __syncthreads();
  return total;
}

// The least key such that the columns from it upwards (of those at least `cut`) weigh `want` or more: digit by digit, as
// kth_largest_key, with weights in place of counts.
__device__ uint64_t key_at_mass(const float* x, int64_t cols, float max, float temperature, uint64_t cut, unsigned long long want, SampleShared& s) {
  const int t = int(threadIdx.x);
  if (t == 0) {
    s.prefix = 0;
    s.want = want;
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    s.mass[t] = 0;
    __syncthreads();
    const unsigned long long prefix = s.prefix;
    for (int64_t i = t; i < cols; i += kThreads) {
      const uint64_t key = top_k_key(x[i], i);
      if (key < cut || (shift < 56 && key >> (shift + 8) != prefix >> (shift + 8))) continue;
      atomicAdd(&s.mass[unsigned(key >> shift) & 255u], mass_of(x[i], max, temperature));
    }
    __syncthreads();
    if (t == 0) {
      int digit = 255;
      while (digit > 0 && s.mass[digit] < s.want) s.want -= s.mass[digit--];
      s.prefix = prefix | (unsigned long long)digit << shift;
    }
    __syncthreads();
  }
  return s.prefix;
}

__global__ void __launch_bounds__(kThreads)
    sample_kernel(int32_t* ids, const float* logits, const float* temperatures, const int32_t* top_ks, const float* top_ps,
                  const int64_t* samples, const int32_t* positions, const int64_t* seed, int64_t cols, int64_t ld) {
  CUNN_SHARED(SampleShared, shared, [1]);
  SampleShared& s = shared[0];
  const int64_t r = blockIdx.x;
  const int t = int(threadIdx.x);
  const float temperature = temperatures[r], top_p = top_ps[r];
  int64_t value, limit;
  if (bad_parameters(temperature, top_ks[r], top_p, cols, &value, &limit)) return;
  const float* const x = logits + r * ld;
  const uint64_t best = largest_key(x, cols, s.warps);
  const float max = x[top_k_index(best)];
  if (temperature == 0.0f || !(max > -kInfinity)) {  // all -inf or NaN: nothing to weigh
    if (t == 0) ids[r] = int32_t(top_k_index(best));
    return;
  }

  uint64_t cut = 0;
  const int64_t k = top_ks[r];
  if (k > 0 && k < cols) cut = kth_largest_key(x, cols, k, s.select);

  // A thread's columns are neighbours, so that running sums ascend through the threads.
  const int64_t share = (cols + kThreads - 1) / kThreads, begin = t * share < cols ? t * share : cols;
  const int64_t end = begin + share < cols ? begin + share : cols;
  const auto mass_of_share = [&] {
    unsigned long long sum = 0;
    for (int64_t i = begin; i < end; ++i)
      if (top_k_key(x[i], i) >= cut) sum += mass_of(x[i], max, temperature);
    return sum;
  };
  if (top_p < 1.0f) {
    const double enough = double(top_p) * double(block_total(mass_of_share(), s));
    const unsigned long long least = (unsigned long long)enough, want = double(least) < enough ? least + 1 : least;
    const uint64_t of_top_p = key_at_mass(x, cols, max, temperature, cut, want > 0 ? want : 1, s);
    if (of_top_p > cut) cut = of_top_p;
  }

  const unsigned long long mine = mass_of_share(), total = block_total(mine, s);
  const float u = uniform(philox(uint64_t(samples[r]), kStreamSampling, uint32_t(positions[r]), uint64_t(seed[0])).x);
  const double target = double(u) * double(total);
  s.mass[t] = mine;
  if (t == 0) s.token = top_k_index(best);
  __syncthreads();
  unsigned long long before = 0;
  for (int j = 0; j < t; ++j) before += s.mass[j];
  // One thread's share contains the column where the running sum passes the target.
  if (double(before) <= target && double(before + mine) > target) {
    unsigned long long sum = before;
    for (int64_t i = begin; i < end; ++i) {
      if (top_k_key(x[i], i) < cut) continue;
      sum += mass_of(x[i], max, temperature);
      if (double(sum) > target) {
        s.token = i;
        break;
      }
    }
  }
  __syncthreads();
  if (t == 0) ids[r] = int32_t(s.token);
}

__global__ void advance_kernel(int32_t* positions, int32_t* finished, const int32_t* ids, int64_t batch, int64_t eos_id) {
  const int64_t b = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (b >= batch || finished[b] != 0) return;
  positions[b] += 1;
  if (eos_id >= 0 && ids[b] == eos_id) finished[b] = 1;
}

}  // namespace

void argmax(Exec& exec, const Argmax& op) {
  if (op.rows <= 0 || op.cols <= 0) return;
  CUNN_RUN(exec, argmax_kernel, grid_of(op.rows), kThreads, 0, op.ids, op.logits, op.cols, op.ld);
}

void sample(Exec& exec, const Sample& op) {
  if (op.rows <= 0 || op.cols <= 0) return;
  CUNN_RUN(exec, check_parameters_kernel, 1, 1, 0, exec.error, op.temperature, op.top_k, op.top_p, op.rows, op.cols);
  CUNN_RUN(exec, sample_kernel, grid_of(op.rows), kThreads, 0, op.ids, op.logits, op.temperature, op.top_k, op.top_p, op.samples, op.positions,
           op.seed, op.cols, op.ld);
}

void decode_advance(Exec& exec, const DecodeAdvance& op) {
  constexpr int kAdvanceThreads = 128;
  if (op.batch <= 0) return;
  CUNN_RUN(exec, advance_kernel, grid_of(ceil_div(op.batch, kAdvanceThreads)), kAdvanceThreads, 0, op.positions, op.finished, op.ids, op.batch, op.eos_id);
}

}  // namespace cunn::cuda
