// Choosing the next token: argmax, sampling, and moving the sequences on.
//
// A row is sampled in fixed arithmetic: p_c = exp((x_c - max) / temperature) in f32 (0 for NaN, 1 where x_c is the
// maximum); the kept set is a prefix of the order (logit descending, index ascending); sums are f64, over the kept
// columns in ascending index; the token is the first kept column whose running sum exceeds u times the whole sum, u
// being word 0 of the draw's block, its upper 24 bits times 2^-24.
#include "lanes.h"
#include "ops_decl.h"
#include "philox.h"
#include "softmax_row.h"
#include "tasks.h"
#include "top_k_row.h"
#include "../src/error_word.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr uint32_t kStreamSampling = 2;  // CUNN_STREAM_SAMPLING

// First index of the largest number; 0 when every element is NaN.
int64_t argmax_row(const float *x, int64_t cols) {
  const Vec16 largest = set1(block_max(x, cols));
  for (int64_t c = 0; c < cols; c += 16) {
    const uint32_t hits = bits(eq(load(x + c, cols - c), largest) & first(cols - c));
    if (hits) return c + __builtin_ctz(hits);
  }
  return 0;
}

// p of every column; max is a number.
void weights_of(float *p, const float *x, int64_t cols, float max, float temperature) {
  const Vec16 m = set1(max), t = set1(temperature);
  each_vector(0, cols, [&](int64_t i, auto part) {
    Vec16 v = load(x + i, part);
    Vec16 w = select(eq(v, m), set1(1.0f), exp((v - m) / t));
    store(p + i, select(unordered(v, v), zero(), w), part);
  });
}

CUNN_INLINE Mask16 there(Whole) { return first(16); }
CUNN_INLINE Mask16 there(Part part) { return first(part.count); }

// p becomes 0 where the column's top_k_key is below the cut; nothing is below a NaN's.
void drop_below(float *p, const float *x, int64_t cols, uint64_t cut) {
  if (cut >> 32 == 0) return;
  const Vec16 lowest = set1(x[top_k_index(cut)]);
  each_vector(0, cols, [&](int64_t i, auto part) {
    Vec16 v = load(x + i, part);
    store(p + i, select(ge(v, lowest), load(p + i, part), zero()), part);
    for (uint32_t ties = bits(eq(v, lowest) & there(part)); ties; ties &= ties - 1) {
      const int64_t c = i + __builtin_ctz(ties);
      if (top_k_key(x[c], c) < cut) p[c] = 0.0f;
    }
  });
}

// The running sum over ascending columns: the whole sum, or the first column where it exceeds the target.
double sum_of(const float *p, int64_t cols) {
  double sum = 0;
  for (int64_t c = 0; c < cols; c += 16) {
    if (!any(ne(load(p + c, cols - c), zero()))) continue;  // adding 0 changes nothing
    for (int64_t i = c; i < least(c + 16, cols); ++i)
      sum += (double)p[i];
  }
  return sum;
}
int64_t first_above(const float *p, int64_t cols, double target) {
  double sum = 0;
  for (int64_t c = 0; c < cols; c += 16) {
    if (!any(ne(load(p + c, cols - c), zero()))) continue;
    for (int64_t i = c; i < least(c + 16, cols); ++i) {
      sum += (double)p[i];
      if (sum > target) return i;
    }
  }
  return 0;
}

// keys[0..n), collected in ascending index order, to the op's order: a stable sort by the value half, descending,
// eleven bits at a time. other: [n].
void sort_keys(uint64_t *keys, uint64_t *other, int64_t n) {
  constexpr int kBits = 11, kDigits = 1 << kBits;
  for (int shift = 32; shift < 64; shift += kBits) {
    int32_t start[kDigits + 1] = {};
    auto digit = [&](uint64_t key) { return (int64_t)(~key >> shift & (kDigits - 1)); };
    for (int64_t i = 0; i < n; ++i)
      ++start[digit(keys[i]) + 1];
    for (int d = 0; d < kDigits; ++d)
      start[d + 1] += start[d];
    for (int64_t i = 0; i < n; ++i)
      other[start[digit(keys[i])]++] = keys[i];
    uint64_t *sorted = other;
    other = keys;
    keys = sorted;
  }
}

// Adds p over the columns with x >= lowest, in lanes: good enough to decide which columns to look at.
float mass_above(const float *p, const float *x, int64_t cols, float lowest) {
  Vec16 sum = zero();
  for (int64_t c = 0; c < cols; c += 16)
    sum = sum + select(ge(load(x + c, cols - c), set1(lowest)) & first(cols - c), load(p + c, cols - c), zero());
  return reduce_sum(sum);
}

int64_t collect_above(uint64_t *keys, const float *x, int64_t cols, float lowest) {
  int64_t n = 0;
  for (int64_t c = 0; c < cols; c += 16) {
    uint32_t hits = bits(ge(load(x + c, cols - c), set1(lowest)) & first(cols - c));
    for (; hits; hits &= hits - 1) {
      const int64_t i = c + __builtin_ctz(hits);
      keys[n++] = top_k_key(x[i], i);
    }
  }
  return n;
}

// A row's memory: p [cols], keys [cols], other [cols].
struct Work {
  float *p;
  uint64_t *keys, *other;
};

// Key of the last column that top-p keeps of the columns whose p is not 0; 0 when all are kept. Only the columns of a
// band below the maximum are sorted, and the band widens until its leading columns suffice.
uint64_t last_of_top_p(const Work &w, const float *x, int64_t cols, float max, float temperature, float top_p) {
  const double enough = (double)top_p * sum_of(w.p, cols);
  constexpr float kBand = 2.0f;  // in units of temperature
  for (float depth = kBand;; depth *= 2) {
    // exp flushes to 0 below -87.4: the widest band holds everything that counts.
    const bool is_last = depth > 88.0f;
    const float lowest = is_last ? -__builtin_inff() : max - depth * temperature;
    if (!is_last && (double)mass_above(w.p, x, cols, lowest) < enough) continue;
    const int64_t n = collect_above(w.keys, x, cols, lowest);
    sort_keys(w.keys, w.other, n);
    const uint64_t *sorted = w.other;  // three passes end there
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += (double)w.p[top_k_index(sorted[i])];
      if (sum >= enough) return sorted[i];
    }
    if (is_last) return 0;  // rounding kept the sum below
  }
}

int64_t sample_row(const Work &w, const float *x, int64_t cols, float temperature, int64_t k, float top_p, float u) {
  const float max = block_max(x, cols);
  if (temperature == 0.0f || max == -__builtin_inff()) return argmax_row(x, cols);
  weights_of(w.p, x, cols, max, temperature);
  if (k < cols) {
    auto *indices = reinterpret_cast<int32_t *>(w.other);
    top_k_row(indices, x, cols, k, w.keys);
    drop_below(w.p, x, cols, top_k_key(x[indices[k - 1]], indices[k - 1]));
  }
  if (top_p < 1.0f) drop_below(w.p, x, cols, last_of_top_p(w, x, cols, max, temperature, top_p));
  return first_above(w.p, cols, (double)u * sum_of(w.p, cols));
}

// Parameters in their ranges: temperature finite and not negative, top_k not negative, top_p in [0, 1]. What stands
// there is reported rounded towards zero, NaN as -1.
bool check_row(Exec &exec, const Sample &a, int64_t r) {
  const float t = a.temperature[r], p = a.top_p[r];
  auto report = [&](float value, int64_t limit) {
    const bool huge = !(value > -9e18f && value < 9e18f);
    report_fault(exec, OpId::sample, DeviceFault::value_out_of_range, r, huge ? -1 : (int64_t)value, limit);
    return false;
  };
  if (!(t >= 0.0f && t < __builtin_inff())) return report(t, INT64_MAX);
  if (a.top_k[r] < 0) return report((float)a.top_k[r], a.cols + 1);
  if (!(p >= 0.0f && p <= 1.0f)) return report(p, 2);
  return true;
}

}  // namespace

void argmax(Exec &exec, const Argmax &a) {
  if (a.cols == 0) return;
  split_rows(exec, a.rows, a.cols, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      a.ids[r] = (int32_t)argmax_row(a.logits + r * a.ld, a.cols);
  });
}

void sample(Exec &exec, const Sample &a) {
  if (a.rows == 0 || a.cols == 0) return;
  for (int64_t r = 0; r < a.rows; ++r)
    if (!check_row(exec, a, r)) break;  // the first one is named; every bad row is skipped below
  const bool alone = a.rows * a.cols < kExpGrain;
  const int64_t workers = alone ? 1 : exec.pool->size(), padded_cols = ceil_div(a.cols, 16) * 16;
  float *p = scratch_floats(exec, workers * padded_cols);
  auto *keys = static_cast<uint64_t *>(exec.scratch->bytes(2 * sizeof(uint64_t) * (size_t)(workers * padded_cols)));
  auto one = [&](int64_t r, int worker) {
    if (!check_row(exec, a, r)) return;
    const int64_t k = a.top_k[r] == 0 ? a.cols : least(a.top_k[r], a.cols);
    float u[16];
    store(
        u,
        uniform(philox((uint64_t)a.samples[r], kStreamSampling, (uint32_t)a.positions[r], (uint64_t)a.seed[0]).w[0]));
    a.ids[r] = (int32_t)sample_row(
        {p + worker * padded_cols, keys + 2 * worker * padded_cols, keys + (2 * worker + 1) * padded_cols},
        a.logits + r * a.ld, a.cols, a.temperature[r], k, a.top_p[r], u[0]);
  };
  if (!alone) return exec.pool->parallel_for(a.rows, one);
  for (int64_t r = 0; r < a.rows; ++r)
    one(r, 0);
}

void decode_advance(Exec &, const DecodeAdvance &a) {
  for (int64_t b = 0; b < a.batch; ++b) {
    if (a.finished[b] != 0) continue;
    a.positions[b] += 1;
    if (a.eos_id >= 0 && a.ids[b] == a.eos_id) a.finished[b] = 1;
  }
}

}  // namespace cunn::cpu::CUNN_ISA_NS
