// Mixture of experts: routing, the routed order, gathering the experts' results. Nothing here waits for the host.
//
// A routed row number is checked where it is used; a bad one is reported and its term left out.
#include "launch.cuh"
#include "ops_decl.h"
#include "top_k.cuh"

namespace cunn::cuda {

namespace {

// ---- route: half a warp a token

__global__ void __launch_bounds__(kRowThreads)
    route_kernel(float* probs, float* references, int32_t* experts, float* weights, const float* logits, int64_t tokens, int64_t n_experts, int64_t top_k) {
  const int64_t t = row_of_thread();
  if (t >= tokens) return;
  probs += t * n_experts;
  experts += t * top_k;
  weights += t * top_k;
  softmax_row(probs, logits + t * n_experts, n_experts, references + t * softmax_blocks(n_experts));
  __syncwarp(row_mask());  // every lane reads every probability below
  float sum = 0.0f;
  select_by_row(probs, n_experts, top_k, [&](int64_t j, int64_t e) {
    sum += probs[e];
    if (row_lane() == 0) experts[j] = int32_t(e);
  });
  __syncwarp(row_mask());
  for (int64_t j = row_lane(); j < top_k; j += kRowLanes) weights[j] = probs[experts[j]] / sum;
}

// The softmax's gradient is linear in g, so its sparse part enters through k products: dot = sum_e dprobs p (lanes) +
// sum_j g_j p_j (choices in order), dlogits = p (dprobs - dot) + dlogits_z, and last p_j g_j is added at each choice.
__global__ void __launch_bounds__(kRowThreads)
    route_backward_kernel(float* dlogits, const float* dweights, const float* dprobs, const float* dlogits_z, const float* probs,
                          const int32_t* experts, const float* weights, int64_t tokens, int64_t n_experts, int64_t top_k) {
  const int64_t t = row_of_thread();
  if (t >= tokens) return;
  dlogits += t * n_experts;
  probs += t * n_experts;
  dweights += t * top_k;
  experts += t * top_k;
  weights += t * top_k;
  float chosen = 0.0f, mean = 0.0f;
  for (int64_t j = 0; j < top_k; ++j) {
    if (!in_range(experts[j], n_experts)) continue;
    chosen += probs[experts[j]];
    mean = fmaf(dweights[j], weights[j], mean);
  }
  float sum = 0.0f;
  if (dprobs)
    for (int64_t i = row_lane(); i < n_experts; i += kRowLanes) sum = fmaf(dprobs[t * n_experts + i], probs[i], sum);
  float dot = row_sum(sum);
  for (int64_t j = 0; j < top_k; ++j) {
    if (!in_range(experts[j], n_experts)) continue;
    dot = fmaf((dweights[j] - mean) / chosen, probs[experts[j]], dot);
  }
  for (int64_t i = row_lane(); i < n_experts; i += kRowLanes) {
    float out = probs[i] * ((dprobs ? dprobs[t * n_experts + i] : 0.0f) - dot);
    if (dlogits_z) out = out + dlogits_z[t * n_experts + i];
    // An expert is chosen once, so its term can be added where its element is made.
    for (int64_t j = 0; j < top_k; ++j)
      if (experts[j] == i) out = fmaf((dweights[j] - mean) / chosen, probs[i], out);
    dlogits[i] = out;
  }
}

// ---- dispatch: a stable counting sort of the (token, choice) pairs by expert

constexpr int kPairThreads = 512;  // pairs of a block

__global__ void __launch_bounds__(kPairThreads) count_pairs_kernel(int32_t* counts, const int32_t* experts, int64_t pairs, int64_t n_experts) {
  const int64_t i = int64_t(blockIdx.x) * kPairThreads + threadIdx.x;
  if (i < pairs && in_range(experts[i], n_experts)) atomicAdd(&counts[blockIdx.x * n_experts + experts[i]], 1);
}

// Loads in flight at once: a thread walks the blocks alone.
constexpr int kScanAtOnce = 8;

// counts[b, e] becomes the number of pairs of e in the blocks before b; offsets the sums over experts.
__global__ void __launch_bounds__(kPairThreads) scan_pairs_kernel(int32_t* offsets, int32_t* counts, int64_t blocks, int64_t n_experts) {
  for (int64_t e = threadIdx.x; e < n_experts; e += kPairThreads) {
    int32_t before = 0;
    for (int64_t begin = 0; begin < blocks; begin += kScanAtOnce) {
      int32_t here[kScanAtOnce];
      CUNN_UNROLL
      for (int j = 0; j < kScanAtOnce; ++j) here[j] = begin + j < blocks ? counts[(begin + j) * n_experts + e] : 0;
      CUNN_UNROLL
      for (int j = 0; j < kScanAtOnce; ++j) {
        if (begin + j < blocks) counts[(begin + j) * n_experts + e] = before;
        before += here[j];
      }
    }
    offsets[e + 1] = before;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  offsets[0] = 0;
  for (int64_t e = 0; e < n_experts; ++e) offsets[e + 1] += offsets[e];
}

// A bad expert has no row (token_row is -1), and the rows that are then too many at the end have no token.
__global__ void __launch_bounds__(kPairThreads)
    place_pairs_kernel(int32_t* row_token, int32_t* token_row, const int32_t* offsets, const int32_t* counts, const int32_t* experts,
                       int64_t pairs, int64_t n_experts, int64_t top_k) {
  CUNN_SHARED(int32_t, expert_of, [kPairThreads]);
  const int t = int(threadIdx.x);
  const int64_t i = int64_t(blockIdx.x) * kPairThreads + t;
  const int32_t e = i < pairs && in_range(experts[i], n_experts) ? experts[i] : -1;
  expert_of[t] = e;
  __syncthreads();
  if (i >= pairs) return;
  if (i >= offsets[n_experts]) row_token[i] = -1;
  if (e < 0) {
    token_row[i] = -1;
    return;
  }
  int32_t rank = 0;
  for (int j = 0; j < t; ++j) rank += expert_of[j] == e;
  const int32_t row = offsets[e] + counts[blockIdx.x * n_experts + e] + rank;
  token_row[i] = row;
  row_token[row] = int32_t(i / top_k);
}

// ---- combine: y[t] = residual[t] + sum_j weights[t,j] rows[token_row[t,j]], choices in order from 0

constexpr int kGatherThreads = 128;

template <bool kWeighted>
__global__ void __launch_bounds__(kGatherThreads)
    gather_rows_kernel(float* y, const float* residual, const float* rows, const float* weights, const int32_t* token_row, int64_t pairs,
                       int64_t top_k, int64_t hidden) {
  const int64_t t = blockIdx.x;
  for (int64_t i = threadIdx.x; i < hidden; i += kGatherThreads) {
    float sum = 0.0f;
    for (int64_t j = t * top_k; j < (t + 1) * top_k; ++j) {
      const int64_t row = token_row[j];
      if (!in_range(row, pairs)) continue;
      const float x = rows[row * hidden + i];
      sum = kWeighted ? fmaf(weights[j], x, sum) : sum + x;
    }
    y[t * hidden + i] = residual ? residual[t * hidden + i] + sum : sum;
  }
}

// drows[row] = weight dy[t], dweights = dy[t] . rows[row]; half a warp a pair. drows may be rows.
__global__ void __launch_bounds__(kRowThreads)
    combine_backward_kernel(float* drows, float* dweights, const float* dy, const float* rows, const float* weights,
                            const int32_t* token_row, int64_t pairs, int64_t top_k, int64_t hidden) {
  const int64_t pair = row_of_thread();
  if (pair >= pairs || !in_range(token_row[pair], pairs)) return;
  const int64_t row = token_row[pair];
  dy += pair / top_k * hidden;
  const float w = weights[pair];
  float sum = 0.0f;
  CUNN_UNROLL_BY(4)
  for (int64_t i = row_lane(); i < hidden; i += kRowLanes) {
    const float d = dy[i];
    sum = fmaf(d, rows[row * hidden + i], sum);
    drows[row * hidden + i] = w * d;
  }
  sum = row_sum(sum);
  if (row_lane() == 0) dweights[pair] = sum;
}

void check_rows(Exec& exec, OpId op, const int32_t* token_row, int64_t pairs) {
  check_values(exec, op, DeviceFault::row_out_of_range, token_row, pairs, pairs);
}

// ---- auxiliary losses: chunks of 256 tokens, each ascending, then the chunks in order in f64

constexpr int64_t kChunkTokens = 256;
constexpr int kLossThreads = 128;

// sums[chunk, e] = the probabilities of e, counts[chunk, e] = how often it was chosen.
__global__ void __launch_bounds__(kLossThreads)
    balance_chunk_kernel(float* sums, int32_t* counts, const float* probs, const int32_t* experts, int64_t tokens, int64_t n_experts, int64_t top_k) {
  const int64_t begin = blockIdx.x * kChunkTokens, end = begin + kChunkTokens < tokens ? begin + kChunkTokens : tokens;
  for (int64_t e = threadIdx.x; e < n_experts; e += kLossThreads) {
    float sum = 0.0f;
    int32_t count = 0;
    CUNN_UNROLL_BY(8)
    for (int64_t t = begin; t < end; ++t) sum = sum + probs[t * n_experts + e];
    CUNN_UNROLL_BY(8)
    for (int64_t j = begin * top_k; j < end * top_k; ++j) count += experts[j] == e;
    sums[blockIdx.x * n_experts + e] = sum;
    counts[blockIdx.x * n_experts + e] = count;
  }
}

__global__ void __launch_bounds__(kLossThreads)
    balance_loss_kernel(float* loss, float* fractions, double* terms, const float* sums, const int32_t* counts, int64_t chunks,
                        int64_t tokens, int64_t n_experts, int64_t top_k) {
  for (int64_t e = threadIdx.x; e < n_experts; e += kLossThreads) {
    double probability = 0.0;
    int64_t count = 0;
    CUNN_UNROLL_BY(8)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      probability += double(sums[chunk * n_experts + e]);
      count += counts[chunk * n_experts + e];
    }
    const double fraction = double(count) / double(tokens);
    fractions[e] = float(fraction);
    terms[e] = fraction * (probability / double(tokens));
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  double sum = 0.0;
  for (int64_t e = 0; e < n_experts; ++e) sum += terms[e];
  loss[0] += float(sum * double(n_experts) / double(top_k));
}

struct BalanceGradient {
  float* dprobs;
  const float* fractions;
  int64_t n_experts;
  double scale;
  __device__ float at(int64_t i) const { return float(scale * double(fractions[i % n_experts])); }
  __device__ void put(int64_t i, float v) const { dprobs[i] = v; }
};

__global__ void __launch_bounds__(kRowThreads) lse_squares_kernel(float* squares, const float* logits, int64_t tokens, int64_t n_experts) {
  const int64_t t = row_of_thread();
  if (t >= tokens) return;
  const RowExpSum s = row_exp_sum(logits + t * n_experts, n_experts);
  const float lse = s.max + log_f32(s.sum);
  if (row_lane() == 0) squares[t] = lse * lse;
}

__global__ void __launch_bounds__(kLossThreads) z_loss_kernel(float* loss, double* partial, const float* squares, int64_t chunks, int64_t tokens) {
  for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += kLossThreads) {
    const int64_t begin = chunk * kChunkTokens, end = begin + kChunkTokens < tokens ? begin + kChunkTokens : tokens;
    double sum = 0.0;
    CUNN_UNROLL_BY(8)
    for (int64_t t = begin; t < end; ++t) sum += double(squares[t]);
    partial[chunk] = sum;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  double sum = 0.0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partial[chunk];
  loss[0] += float(sum / double(tokens));
}

// dlogits = factor lse softmax(logits), factor = 2 coef / T
__global__ void __launch_bounds__(kRowThreads)
    z_loss_backward_kernel(float* dlogits, const float* logits, int64_t tokens, int64_t n_experts, float factor) {
  const int64_t t = row_of_thread();
  if (t >= tokens) return;
  logits += t * n_experts;
  dlogits += t * n_experts;
  const RowExpSum s = row_exp_sum(logits, n_experts);
  const float scale = (s.max + log_f32(s.sum)) * factor / s.sum;
  for (int64_t i = row_lane(); i < n_experts; i += kRowLanes) dlogits[i] = exp_f32(logits[i] - s.max) * scale;
}

dim3 row_grid(int64_t rows) { return grid_of(ceil_div(rows, kRowsPerBlock)); }

}  // namespace

void moe_route_forward(Exec& exec, const MoeRouteForward& op) {
  if (op.tokens <= 0 || op.n_experts <= 0 || op.top_k <= 0) return;
  float* const references = cuda_exec(exec).memory.array<float>(op.tokens * softmax_blocks(op.n_experts));
  CUNN_RUN(exec, route_kernel, row_grid(op.tokens), kRowThreads, 0, op.probs, references, op.experts, op.weights, op.logits, op.tokens, op.n_experts, op.top_k);
}

void moe_route_backward(Exec& exec, const MoeRouteBackward& op) {
  if (op.tokens <= 0) return;
  check_values(exec, OpId::moe_route_backward, DeviceFault::row_out_of_range, op.experts, op.tokens * op.top_k, op.n_experts);
  CUNN_RUN(exec, route_backward_kernel, row_grid(op.tokens), kRowThreads, 0, op.dlogits, op.dweights, op.dprobs, op.dlogits_z, op.probs,
           op.experts, op.weights, op.tokens, op.n_experts, op.top_k);
}

void moe_dispatch_forward(Exec& exec, const MoeDispatchForward& op) {
  const int64_t pairs = op.tokens * op.top_k, blocks = ceil_div(pairs, kPairThreads);
  check_values(exec, OpId::moe_dispatch_forward, DeviceFault::row_out_of_range, op.experts, pairs, op.n_experts);
  int32_t* const counts = cuda_exec(exec).memory.array<int32_t>(blocks * op.n_experts);
  if (blocks > 0) {
    check(cudaMemsetAsync(counts, 0, sizeof(int32_t) * size_t(blocks * op.n_experts), static_cast<cudaStream_t>(exec.stream)), "moe_dispatch_forward");
    CUNN_RUN(exec, count_pairs_kernel, grid_of(blocks), kPairThreads, 0, counts, op.experts, pairs, op.n_experts);
  }
  CUNN_RUN(exec, scan_pairs_kernel, 1, kPairThreads, 0, op.offsets, counts, blocks, op.n_experts);
  if (blocks > 0)
    CUNN_RUN(exec, place_pairs_kernel, grid_of(blocks), kPairThreads, 0, op.row_token, op.token_row, op.offsets, counts, op.experts, pairs,
             op.n_experts, op.top_k);
}

void moe_dispatch_backward(Exec& exec, const MoeDispatchBackward& op) {
  if (op.tokens <= 0) return;
  const int64_t pairs = op.tokens * op.top_k;
  check_rows(exec, OpId::moe_dispatch_backward, op.token_row, pairs);
  CUNN_RUN(exec, gather_rows_kernel<false>, grid_of(op.tokens), kGatherThreads, 0, op.dx, nullptr, op.drows, nullptr, op.token_row, pairs,
           op.top_k, op.hidden);
}

void moe_combine_forward(Exec& exec, const MoeCombineForward& op) {
  if (op.tokens <= 0) return;
  const int64_t pairs = op.tokens * op.top_k;
  check_rows(exec, OpId::moe_combine_forward, op.token_row, pairs);
  CUNN_RUN(exec, gather_rows_kernel<true>, grid_of(op.tokens), kGatherThreads, 0, op.y, op.residual, op.rows, op.weights, op.token_row,
           pairs, op.top_k, op.hidden);
}

void moe_combine_backward(Exec& exec, const MoeCombineBackward& op) {
  const int64_t pairs = op.tokens * op.top_k;
  if (pairs <= 0) return;
  check_rows(exec, OpId::moe_combine_backward, op.token_row, pairs);
  CUNN_RUN(exec, combine_backward_kernel, row_grid(pairs), kRowThreads, 0, op.drows, op.dweights, op.dy, op.rows, op.weights, op.token_row,
           pairs, op.top_k, op.hidden);
}

void moe_balance_loss_forward(Exec& exec, const MoeBalanceLossForward& op) {
  if (op.tokens <= 0 || op.n_experts <= 0 || op.top_k <= 0) return;
  check_values(exec, OpId::moe_balance_loss_forward, DeviceFault::row_out_of_range, op.experts, op.tokens * op.top_k, op.n_experts);
  const int64_t chunks = ceil_div(op.tokens, kChunkTokens);
  DeviceScratch& memory = cuda_exec(exec).memory;
  float* const sums = memory.array<float>(chunks * op.n_experts);
  int32_t* const counts = memory.array<int32_t>(chunks * op.n_experts);
  double* const terms = memory.array<double>(op.n_experts);
  CUNN_RUN(exec, balance_chunk_kernel, grid_of(chunks), kLossThreads, 0, sums, counts, op.probs, op.experts, op.tokens, op.n_experts, op.top_k);
  CUNN_RUN(exec, balance_loss_kernel, 1, kLossThreads, 0, op.loss, op.fractions, terms, sums, counts, chunks, op.tokens, op.n_experts, op.top_k);
}

void moe_balance_loss_backward(Exec& exec, const MoeBalanceLossBackward& op) {
  if (op.tokens <= 0 || op.n_experts <= 0) return;
  const double scale = op.coef * double(op.n_experts) / (double(op.top_k) * double(op.tokens));
  map(exec, BalanceGradient{op.dprobs, op.fractions, op.n_experts, scale}, op.tokens * op.n_experts);
}

void moe_z_loss_forward(Exec& exec, const MoeZLossForward& op) {
  if (op.tokens <= 0 || op.n_experts <= 0) return;
  const int64_t chunks = ceil_div(op.tokens, kChunkTokens);
  float* const squares = cuda_exec(exec).memory.array<float>(op.tokens);
  double* const partial = cuda_exec(exec).memory.array<double>(chunks);
  CUNN_RUN(exec, lse_squares_kernel, row_grid(op.tokens), kRowThreads, 0, squares, op.logits, op.tokens, op.n_experts);
  CUNN_RUN(exec, z_loss_kernel, 1, kLossThreads, 0, op.loss, partial, squares, chunks, op.tokens);
}

void moe_z_loss_backward(Exec& exec, const MoeZLossBackward& op) {
  if (op.tokens <= 0 || op.n_experts <= 0) return;
  CUNN_RUN(exec, z_loss_backward_kernel, row_grid(op.tokens), kRowThreads, 0, op.dlogits, op.logits, op.tokens, op.n_experts,
           float(2.0 * op.coef / double(op.tokens)));
}

}  // namespace cunn::cuda
