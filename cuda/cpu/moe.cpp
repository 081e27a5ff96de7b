// Mixture of experts: routing, the routed order, gathering the experts' results.
//
// A routed row number is checked where it is used; a bad one is reported and its term left out.
#include "fault.h"
#include "lanes.h"
#include "ops_decl.h"
#include "softmax_row.h"
#include "tasks.h"
#include "top_k_row.h"

namespace cunn::cpu::CUNN_ISA_NS {

// ---- route

namespace {

CUNN_INLINE void route_token(float *probs, int32_t *experts, float *weights, const float *logits, int64_t n_experts,
                             int64_t top_k, uint64_t *keys, float *references) {
  softmax_row(probs, logits, n_experts, references);
  top_k_row(experts, probs, n_experts, top_k, keys);
  float sum = 0.0f;
  for (int64_t j = 0; j < top_k; ++j) sum += probs[experts[j]];
  for (int64_t j = 0; j < top_k; ++j) weights[j] = probs[experts[j]] / sum;
}

}  // namespace

void moe_route_forward(Exec &exec, const MoeRouteForward &op) {
  const int64_t n = op.n_experts, top_k = op.top_k;
  if (n <= 0 || top_k <= 0) return;
  WorkerFloats references = worker_floats(exec, softmax_blocks(n));
  auto range = [&](int64_t begin, int64_t end, int worker, uint64_t *keys) {
    for (int64_t t = begin; t < end; ++t) {
      route_token(op.probs + t * n, op.experts + t * top_k, op.weights + t * top_k, op.logits + t * n, n, top_k, keys,
                  references.of(worker));
    }
  };
  if (top_k > kMaxTopK) {  // more than a task keeps on its stack: not worth threads
    return range(0, op.tokens, 0, static_cast<uint64_t *>(exec.scratch->bytes((size_t)top_k * sizeof(uint64_t))));
  }
  split_by_worker(exec, op.tokens, row_grain(n, kExpGrain / 4), 1, [&](int64_t begin, int64_t end, int worker) {
    uint64_t keys[kMaxTopK];
    range(begin, end, worker, keys);
  });
}

// The softmax's gradient is linear in g, so its sparse part enters through k products: dot = sum_e dprobs p (lanes) +
// sum_j g_j p_j (choices in order), dlogits = p (dprobs - dot) + dlogits_z, and last p_j g_j is added at each choice.
void moe_route_backward(Exec &exec, const MoeRouteBackward &op) {
  const int64_t n = op.n_experts, top_k = op.top_k;
  check_below(exec, DeviceFault::row_out_of_range, OpId::moe_route_backward, op.experts, op.tokens * top_k, n);
  split_rows(exec, op.tokens, n + top_k, kExpGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float *probs = op.probs + t * n, *dweights = op.dweights + t * top_k, *weights = op.weights + t * top_k;
      const float *dprobs = op.dprobs ? op.dprobs + t * n : nullptr;
      const float *dlogits_z = op.dlogits_z ? op.dlogits_z + t * n : nullptr;
      const int32_t *experts = op.experts + t * top_k;
      float *dlogits = op.dlogits + t * n;

      float chosen = 0.0f, mean = 0.0f;
      for (int64_t j = 0; j < top_k; ++j) {
        if (!in_range(experts[j], n)) continue;
        chosen += probs[experts[j]];
        mean = __builtin_fmaf(dweights[j], weights[j], mean);
      }
      Vec16 sum = zero();
      if (dprobs) {
        each_vector(0, n, [&](int64_t i, auto part) { sum = fma(load(dprobs + i, part), load(probs + i, part), sum); });
      }
      float dot = reduce_sum(sum);
      for (int64_t j = 0; j < top_k; ++j) {
        if (!in_range(experts[j], n)) continue;
        dot = __builtin_fmaf((dweights[j] - mean) / chosen, probs[experts[j]], dot);
      }
      each_vector(0, n, [&](int64_t i, auto part) {
        Vec16 g = dprobs ? load(dprobs + i, part) : zero();
        Vec16 out = load(probs + i, part) * (g - set1(dot));
        if (dlogits_z) out = out + load(dlogits_z + i, part);
        store(dlogits + i, out, part);
      });
      for (int64_t j = 0; j < top_k; ++j) {
        int32_t e = experts[j];
        if (in_range(e, n)) dlogits[e] = __builtin_fmaf((dweights[j] - mean) / chosen, probs[e], dlogits[e]);
      }
    }
  });
}

// ---- dispatch and combine

// A stable counting sort, on the caller: two passes over T K integers are nothing beside the experts' products. A bad
// expert has no row (token_row is -1), and the rows that are then too many at the end have no token.
void moe_dispatch_forward(Exec &exec, const MoeDispatchForward &op) {
  const int64_t n = op.n_experts, top_k = op.top_k, routed = op.tokens * top_k;
  check_below(exec, DeviceFault::row_out_of_range, OpId::moe_dispatch_forward, op.experts, routed, n);
  for (int64_t e = 0; e <= n; ++e) op.offsets[e] = 0;
  for (int64_t i = 0; i < routed; ++i)
    if (in_range(op.experts[i], n)) ++op.offsets[op.experts[i] + 1];
  for (int64_t e = 0; e < n; ++e) op.offsets[e + 1] += op.offsets[e];
  int32_t *next = static_cast<int32_t *>(exec.scratch->bytes((size_t)most(n, 1) * sizeof(int32_t)));
  for (int64_t e = 0; e < n; ++e) next[e] = op.offsets[e];
  for (int64_t t = 0, i = 0; t < op.tokens; ++t) {
    for (int64_t j = 0; j < top_k; ++j, ++i) {
      int32_t e = op.experts[i];
      op.token_row[i] = in_range(e, n) ? next[e]++ : -1;
      if (op.token_row[i] >= 0) op.row_token[op.token_row[i]] = (int32_t)t;
    }
  }
  for (int64_t row = op.offsets[n]; row < routed; ++row) op.row_token[row] = -1;
}

namespace {

// y[t,:] = (residual[t,:]) + sum_j (weights[t,j]) rows[token_row[t,j],:], choices in order, starting from 0.
struct Gather {
  float *y;
  const float *residual, *rows, *weights;
  const int32_t *token_row;
  int64_t tokens, top_k, hidden;
};

template <int vectors, bool weighted, class Lanes>
CUNN_INLINE void gather_columns(const Gather &g, int64_t t, int64_t i, Lanes lanes) {
  Vec16 sum[vectors];
  for (int v = 0; v < vectors; ++v) sum[v] = zero();
  for (int64_t j = t * g.top_k; j < (t + 1) * g.top_k; ++j) {
    int32_t r = g.token_row[j];
    if (!in_range(r, g.tokens * g.top_k)) continue;
    const float *row = g.rows + r * g.hidden + i;
    if constexpr (weighted) {
      Vec16 w = set1(g.weights[j]);
      for (int v = 0; v < vectors; ++v) sum[v] = fma(w, load(row + 16 * v, lanes), sum[v]);
    } else {
      for (int v = 0; v < vectors; ++v) sum[v] = sum[v] + load(row + 16 * v, lanes);
    }
  }
  int64_t at = t * g.hidden + i;
  for (int v = 0; v < vectors; ++v) {
    if (g.residual) sum[v] = load(g.residual + at + 16 * v, lanes) + sum[v];
    store(g.y + at + 16 * v, sum[v], lanes);
  }
}

template <bool weighted> CUNN_INLINE void gather(Exec &exec, OpId op, const Gather &g) {
  check_below(exec, DeviceFault::row_out_of_range, op, g.token_row, g.tokens * g.top_k, g.tokens * g.top_k);
  split_rows(exec, g.tokens, g.top_k * g.hidden, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      int64_t i = 0;
      for (; i + 64 <= g.hidden; i += 64) gather_columns<4, weighted>(g, t, i, Whole{});
      each_vector(i, g.hidden, [&](int64_t c, auto part) { gather_columns<1, weighted>(g, t, c, part); });
    }
  });
}

}  // namespace

void moe_dispatch_backward(Exec &exec, const MoeDispatchBackward &op) {
  gather<false>(exec, OpId::moe_dispatch_backward,
                {op.dx, nullptr, op.drows, nullptr, op.token_row, op.tokens, op.top_k, op.hidden});
}

void moe_combine_forward(Exec &exec, const MoeCombineForward &op) {
  gather<true>(exec, OpId::moe_combine_forward,
               {op.y, op.residual, op.rows, op.weights, op.token_row, op.tokens, op.top_k, op.hidden});
}

void moe_combine_backward(Exec &exec, const MoeCombineBackward &op) {
  const int64_t hidden = op.hidden, routed = op.tokens * op.top_k;
  if (hidden <= 0) return;
  check_below(exec, DeviceFault::row_out_of_range, OpId::moe_combine_backward, op.token_row, routed, routed);
  split_rows(exec, op.tokens, op.top_k * hidden, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float *dy = op.dy + t * hidden;
      for (int64_t j = t * op.top_k; j < (t + 1) * op.top_k; ++j) {
        int32_t r = op.token_row[j];
        if (!in_range(r, routed)) continue;
        const float *row = op.rows + r * hidden;
        float *drow = op.drows + r * hidden;
        Vec16 w = set1(op.weights[j]), sum = zero();
        each_vector(0, hidden, [&](int64_t i, auto part) {  // drows may be rows: read before it is written
          Vec16 d = load(dy + i, part);
          sum = fma(d, load(row + i, part), sum);
          store(drow + i, w * d, part);
        });
        op.dweights[j] = reduce_sum(sum);
      }
    }
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
