// Causal attention forward without the T x T matrix (Dao et al. 2022), over whole sequences and over a paged cache:
// one piece of code computes a query row wherever it comes from.
//
// For a row, within a span of 512 keys, block by block (64 keys, lanes over keys):
//   m' = max(m, max_j s_j),  c = exp(m - m'),  p_j = exp(s_j - m'),
//   l = fma(l, c, (p_0..15 + p_16..31) + (p_32..47 + p_48..63)) in 16 lanes,  o = o c + sum over j ascending of p_j
//   v_j;
// spans combine in order:
//   M' = max(M, m),  a = exp(M - M'),  b = exp(m - M'),  L = fma(l, b, L a),  O = fma(o, b, O a);
// out = O / L, lse = M + log L. Every one of these depends on the row alone, so a task may take any set of rows and,
// when there are few rows and many keys, a single span.
#include "attention_tile.h"
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

constexpr int64_t kEnoughTasks = 32;             // fewer than this and tasks are made smaller,
constexpr int64_t kTaskWork = int64_t{1} << 16;  // down to this many multiply-adds
constexpr int64_t kSmall = int64_t{1} << 17;     // multiply-adds that are not worth waking a thread for

// Everything of a call but the rows.
struct Call {
  const float *q;
  Floats out;
  float *lse;  // or null
  int64_t q_token_stride, q_head_stride, n_heads, group, head_dim;
  float scale;
};

// One sequence: its tokens are first_token ... + length - 1 of the call and stand at positions start ...
struct Sequence {
  int64_t first_token, length, start;
};

// Rows row0 .. row0 + rows - 1 of one key/value head over spans span0 .. span1 - 1.
struct Task {
  int64_t sequence, kv_head, row0, rows, span0, span1, part;
};

// Maximum, sum and unnormalised output of a tile's rows.
struct State {
  float *max, *sum, *out;  // [rows], [rows], [rows, padded head_dim]
};

// A worker's memory.
struct Work {
  float *q, *keys, *values, *scores, *lanes, *factor;
  State span, total;
};

struct Sizes {
  int64_t head_dim, ld;
  int64_t state() const { return kTileRows * (2 + ld); }
  int64_t work() const {
    return kTileRows * head_dim + 2 * kBlock * ld + kGroupRows * kBlock + kTileRows * 17 + 2 * state() + 16;
  }
};

// Every piece is a multiple of 16 floats but q, which comes last.
Work carve(float *memory, const Sizes &z) {
  Work w;
  auto take = [&](int64_t n) {
    float *p = memory;
    memory += n;
    return p;
  };
  w.keys = take(kBlock * z.ld);
  w.values = take(kBlock * z.ld);
  w.scores = take(kGroupRows * kBlock);
  w.lanes = take(kTileRows * 16);
  w.factor = take(kTileRows);
  for (State *s : {&w.span, &w.total}) {
    s->max = take(kTileRows);
    s->sum = take(kTileRows);
    s->out = take(kTileRows * z.ld);
  }
  w.q = take(kTileRows * z.head_dim);
  return w;
}

// exp(a[r] - b[r]), r < n; b[r] is never NaN, and -inf only where a[r] is too: then the result is 0.
void exp_differences(float *y, const float *a, const float *b, int64_t n) {
  for (int64_t r = 0; r < n; r += 16) {
    Vec16 base = load(b + r, n - r);
    base = select(eq(base, set1(-__builtin_inff())), zero(), base);
    store(y + r, exp(load(a + r, n - r) - base), n - r);
  }
}

// scores [rows, 64] of a block become p; the rows' maxima and sums in lanes move on, factor is what o is to be
// multiplied with. seen[r] keys of the block count; the others become p = 0 whatever stands there.
void softmax_block(float *scores, float *max, float *lanes, float *factor, const int32_t *seen, int64_t rows) {
  const Vec16 nothing = set1(-__builtin_inff());
  float before[kGroupRows] = {};
  for (int64_t r = 0; r < rows; ++r) {
    float *s = scores + r * kBlock;
    if (seen[r] < kBlock)
      for (int64_t j = 0; j < kBlock; j += 16)
        store(s + j, select(first(seen[r] - j), load(s + j), nothing));
    float m = reduce_max(
        CUNN_ISA_NS::max(CUNN_ISA_NS::max(load(s), load(s + 16)), CUNN_ISA_NS::max(load(s + 32), load(s + 48))));
    before[r] = max[r];
    if (m > max[r]) max[r] = m;
  }
  exp_differences(factor, before, max, rows);
  for (int64_t r = 0; r < rows; ++r) {
    float *s = scores + r * kBlock;
    Vec16 base = set1(max[r] > -__builtin_inff() ? max[r] : 0.0f);
    Vec16 p0 = exp(load(s) - base), p1 = exp(load(s + 16) - base);
    Vec16 p2 = exp(load(s + 32) - base), p3 = exp(load(s + 48) - base);
    store(s, p0);
    store(s + 16, p1);
    store(s + 32, p2);
    store(s + 48, p3);
    store(lanes + r * 16, fma(load(lanes + r * 16), set1(factor[r]), (p0 + p1) + (p2 + p3)));
  }
}

// One span of a tile into w.span, for the rows that see it: row0 + the returned number and the ones after.
int64_t attend_span(const Call &c, const Sizes &z, const KeyValues &kv, const Sequence &sequence, const Task &task,
                    int64_t span, const Work &w) {
  const State &s = w.span;
  int64_t none = most(0, first_row_seeing(span * kSpan, sequence.start, c.group) - task.row0);
  int64_t last_key = sequence.start + (task.row0 + task.rows - 1) / c.group;
  int64_t blocks_end = least((span + 1) * kSpan, last_key + 1);
  for (int64_t r = none; r < task.rows; ++r)
    s.max[r] = -__builtin_inff();
  memset(w.lanes + none * 16, 0, sizeof(float) * (size_t)((task.rows - none) * 16));
  memset(s.out + none * z.ld, 0, sizeof(float) * (size_t)((task.rows - none) * z.ld));

  for (int64_t key = span * kSpan; key < blocks_end; key += kBlock) {
    int64_t block = key / kBlock, at = kv.at(key), count = least(kBlock, last_key + 1 - key);
    transpose_block(w.keys, kv.k, kv.dtype, at, kv.row_stride, count, c.head_dim);
    RowBlock values = row_block(w.values, kv.v, kv.dtype, at, kv.row_stride, count, c.head_dim);
    int64_t begin = most(0, first_row_seeing(key, sequence.start, c.group) - task.row0);
    for (int64_t r = begin; r < task.rows; r += kGroupRows) {
      int64_t n = least(kGroupRows, task.rows - r);
      int32_t seen[kGroupRows];
      keys_seen(seen, task.row0 + r, n, c.group, sequence.start, block);
      Product qk{w.scores, kBlock, w.q + r * c.head_dim, c.head_dim, 1, w.keys, kBlock};
      product<Start::zero>(qk, n, ceil_div(seen[n - 1], 16), c.head_dim);
      softmax_block(w.scores, s.max + r, w.lanes + r * 16, w.factor, seen, n);
      Product pv{s.out + r * z.ld, z.ld, w.scores, kBlock, 1, values.data, values.ld};
      if (seen[0] == kBlock)
        product<Start::scale>(pv, n, z.ld / 16, kBlock, w.factor);
      else
        product_until<Start::scale>(pv, n, z.ld / 16, seen, w.factor);
    }
  }
  for (int64_t r = none; r < task.rows; ++r)
    s.sum[r] = reduce_sum(load(w.lanes + r * 16));
  return none;
}

// total = total and span in order, for rows from .. rows - 1; the first span is copied.
void combine(const State &total, const State &span, int64_t ld, int64_t from, int64_t rows, bool is_first) {
  if (from >= rows) return;
  if (is_first) {
    memcpy(total.max + from, span.max + from, sizeof(float) * (size_t)(rows - from));
    memcpy(total.sum + from, span.sum + from, sizeof(float) * (size_t)(rows - from));
    memcpy(total.out + from * ld, span.out + from * ld, sizeof(float) * (size_t)((rows - from) * ld));
    return;
  }
  for (int64_t r0 = from; r0 < rows; r0 += 16) {
    int64_t n = least(16, rows - r0);
    float a[16], b[16], joint[16];
    for (int64_t i = 0; i < n; ++i)
      joint[i] = total.max[r0 + i] > span.max[r0 + i] ? total.max[r0 + i] : span.max[r0 + i];
    exp_differences(a, total.max + r0, joint, n);
    exp_differences(b, span.max + r0, joint, n);
    for (int64_t i = 0; i < n; ++i) {
      int64_t r = r0 + i;
      total.max[r] = joint[i];
      total.sum[r] = __builtin_fmaf(span.sum[r], b[i], total.sum[r] * a[i]);
      float *o = total.out + r * ld;
      const float *from_span = span.out + r * ld;
      for (int64_t d = 0; d < ld; d += 16)
        store(o + d, fma(load(from_span + d), set1(b[i]), load(o + d) * set1(a[i])));
    }
  }
}

// out = O / L and lse = M + log L of a tile's rows, where they belong.
void finish(const Call &c, int64_t ld, const Sequence &sequence, const Task &task, const State &total) {
  for (int64_t r0 = 0; r0 < task.rows; r0 += 16) {
    float lse[16];
    store(lse, load(total.max + r0, task.rows - r0) + log(load(total.sum + r0, task.rows - r0)));
    for (int64_t r = r0; r < least(r0 + 16, task.rows); ++r) {
      int64_t token = sequence.first_token + (task.row0 + r) / c.group;
      int64_t head = task.kv_head * c.group + (task.row0 + r) % c.group;
      if (c.lse != nullptr) c.lse[token * c.n_heads + head] = lse[r - r0];
      Vec16 sum = set1(total.sum[r]);
      with_float(c.out.dtype, [&](auto type) {
        for (int64_t d = 0; d < c.head_dim; d += 16)
          store_some<type.value>(c.out.data, (token * c.n_heads + head) * c.head_dim + d,
                                 load(total.out + r * ld + d) / sum, c.head_dim - d);
      });
    }
  }
}

// Rows of tokens that do not exist.
void clear_missing(Exec &exec, const Call &c, const Sequence *sequences, int64_t batch, int64_t seq_len) {
  bool missing = false;
  for (int64_t b = 0; b < batch; ++b)
    missing = missing || sequences[b].length < seq_len;
  if (!missing) return;
  exec.pool->parallel_for(batch, [&](int64_t b, int) {
    int64_t token = sequences[b].first_token + sequences[b].length, n = seq_len - sequences[b].length;
    int64_t bytes = element_bytes(c.out.dtype) * c.n_heads * c.head_dim;
    memset(static_cast<char *>(c.out.data) + token * bytes, 0, (size_t)(n * bytes));
    if (c.lse != nullptr) memset(c.lse + token * c.n_heads, 0, sizeof(float) * (size_t)(n * c.n_heads));
  });
}

// A split of the rows (and, where there are few, of the spans) that depends on the shape only.
struct Plan {
  int64_t tile_rows, n_tasks, multiply_adds;
  bool by_span;
};

int64_t spans_of(const Sequence &s, const Call &c, int64_t last_row) {
  return ceil_div(s.start + last_row / c.group + 1, kSpan);
}

Plan make_plan(const Call &c, const Sequence *sequences, int64_t batch, int64_t n_kv_heads) {
  Plan plan{kTileRows, 0, 0, false};
  auto count = [&] {
    int64_t n = 0;
    for (int64_t b = 0; b < batch; ++b) {
      int64_t rows = sequences[b].length * c.group;
      for (int64_t r = 0; r < rows; r += plan.tile_rows)
        n += plan.by_span ? spans_of(sequences[b], c, least(r + plan.tile_rows, rows) - 1) : 1;
    }
    plan.n_tasks = n * n_kv_heads;
  };
  for (int64_t b = 0; b < batch; ++b)
    plan.multiply_adds +=
        sequences[b].length * n_kv_heads * c.group * (sequences[b].start + sequences[b].length) * c.head_dim;
  count();
  const int64_t enough = least(kEnoughTasks, plan.multiply_adds / kTaskWork);
  if (plan.n_tasks >= enough || plan.multiply_adds < kSmall) return plan;
  plan.by_span = true;
  count();
  while (plan.n_tasks < enough && plan.tile_rows > kProductRows) {
    plan.tile_rows /= 2;
    count();
  }
  return plan;
}

void attend(Exec &exec, const Call &c, const Sequence *sequences, const KeyValues *kv, int64_t batch,
            int64_t n_kv_heads) {
  const Sizes z{c.head_dim, padded(c.head_dim)};
  Plan plan = make_plan(c, sequences, batch, n_kv_heads);
  if (plan.n_tasks == 0) return;
  Task *tasks = exec.scratch->array<Task>(plan.n_tasks);
  int64_t n = 0, n_tiles = 0;
  int64_t *tiles = scratch_int64(exec, plan.n_tasks + 1);  // first task of each tile
  for (int64_t b = 0; b < batch; ++b) {
    int64_t rows = sequences[b].length * c.group;
    for (int64_t h = 0; h < n_kv_heads; ++h) {
      for (int64_t r = 0; r < rows; r += plan.tile_rows) {
        int64_t count = least(plan.tile_rows, rows - r), spans = spans_of(sequences[b], c, r + count - 1);
        tiles[n_tiles++] = n;
        if (!plan.by_span) {
          tasks[n] = {b, h, r, count, 0, spans, 0};
          ++n;
        }
        for (int64_t s = 0; plan.by_span && s < spans; ++s, ++n)
          tasks[n] = {b, h, r, count, s, s + 1, n};
      }
    }
  }
  tiles[n_tiles] = n;

  bool alone = plan.multiply_adds < kSmall;
  int64_t workers = alone ? 1 : exec.pool->size();
  int64_t work_floats = ceil_div(z.work(), 16) * 16;
  float *memory = scratch_floats(exec, workers * work_floats);
  int64_t part_floats = plan.by_span ? plan.tile_rows * 2 + plan.tile_rows * z.ld : 0;
  float *parts = plan.by_span ? scratch_floats(exec, n * part_floats) : nullptr;
  auto part = [&](const Task &t) {
    float *p = parts + t.part * part_floats;
    return State{p, p + plan.tile_rows, p + 2 * plan.tile_rows};
  };

  auto run = [&](int64_t index, int worker) {
    const Task &t = tasks[n - 1 - index];  // the rows that see most keys first
    const Sequence &s = sequences[t.sequence];
    Work w = carve(memory + worker * work_floats, z);
    if (plan.by_span) w.span = part(t);
    pack_rows(w.q, c.head_dim, c.q + s.first_token * c.q_token_stride + t.kv_head * c.group * c.q_head_stride, t.row0,
              t.rows, c.group, c.q_token_stride, c.q_head_stride, c.head_dim, c.scale);
    for (int64_t span = t.span0; span < t.span1; ++span) {
      int64_t from = attend_span(c, z, kv[t.sequence * n_kv_heads + t.kv_head], s, t, span, w);
      if (!plan.by_span) combine(w.total, w.span, z.ld, from, t.rows, span == 0);
    }
    if (!plan.by_span) finish(c, z.ld, s, t, w.total);
  };
  if (alone) {
    for (int64_t i = 0; i < n; ++i)
      run(i, 0);
  } else {
    exec.pool->parallel_for(n, run);
  }
  if (!plan.by_span) return;
  auto merge = [&](int64_t tile, int) {
    const Task &t = tasks[tiles[tile]];
    const Sequence &s = sequences[t.sequence];
    State total = part(t);
    for (int64_t i = tiles[tile] + 1; i < tiles[tile + 1]; ++i) {
      int64_t from = most(0, first_row_seeing(tasks[i].span0 * kSpan, s.start, c.group) - t.row0);
      combine(total, part(tasks[i]), z.ld, from, t.rows, false);
    }
    finish(c, z.ld, s, t, total);
  };
  if (n_tiles < kEnoughTasks) {
    for (int64_t i = 0; i < n_tiles; ++i)
      merge(i, 0);
  } else {
    exec.pool->parallel_for(n_tiles, merge);
  }
}

}  // namespace

void attention_forward(Exec &exec, const AttentionForward &a) {
  const AttentionShape &s = a.s;
  if (s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0) return;
  Call call{a.q,        a.out,  a.lse, s.q_token_stride, s.q_head_stride, s.n_heads, s.n_heads / s.n_kv_heads,
            s.head_dim, a.scale};
  Sequence *sequences = exec.scratch->array<Sequence>(s.batch);
  KeyValues *kv = exec.scratch->array<KeyValues>(s.batch * s.n_kv_heads);
  for (int64_t b = 0; b < s.batch; ++b) {
    sequences[b] = {b * s.seq_len, checked_length(exec, OpId::attention_forward, a.lengths, b, s.seq_len), 0};
    for (int64_t h = 0; h < s.n_kv_heads; ++h) {
      int64_t bytes = (b * s.seq_len * s.kv_token_stride + h * s.kv_head_stride) * element_bytes(a.k.dtype);
      kv[b * s.n_kv_heads + h] = {static_cast<const char *>(a.k.data) + bytes,
                                  static_cast<const char *>(a.v.data) + bytes,
                                  a.k.dtype,
                                  s.kv_token_stride,
                                  nullptr,
                                  0};
    }
  }
  clear_missing(exec, call, sequences, s.batch, s.seq_len);
  attend(exec, call, sequences, kv, s.batch, s.n_kv_heads);
}

void attention_cached_forward(Exec &exec, const AttentionCachedForward &a) {
  const AttentionShape &s = a.s;
  if (s.batch == 0 || s.seq_len == 0 || s.n_heads == 0 || s.head_dim == 0) return;
  Call call{a.q,        a.out,  nullptr, s.q_token_stride, s.q_head_stride, s.n_heads, s.n_heads / s.n_kv_heads,
            s.head_dim, a.scale};
  Sequence *sequences = exec.scratch->array<Sequence>(s.batch);
  KeyValues *kv = exec.scratch->array<KeyValues>(s.batch * s.n_kv_heads);
  int64_t row = s.n_kv_heads * s.head_dim, capacity = a.c.page_size * a.c.pages_per_sequence;
  for (int64_t b = 0; b < s.batch; ++b) {
    int64_t length = checked_length(exec, OpId::attention_cached_forward, a.lengths, b, s.seq_len),
            start = a.positions[b];
    if (length > 0 && (start < 0 || start + length > capacity)) {
      report_fault(exec, OpId::attention_cached_forward, DeviceFault::position_out_of_range, b, start,
                   capacity - length + 1);
      length = 0;
    }
    if (length > 0 && !check_pages(exec, OpId::attention_cached_forward, a.block_table, a.c, b, 0, start + length))
      length = 0;
    sequences[b] = {b * s.seq_len, length, start};
    const int32_t *pages = a.block_table == nullptr ? nullptr : a.block_table + b * a.c.pages_per_sequence;
    for (int64_t h = 0; h < s.n_kv_heads; ++h) {
      int64_t bytes = ((pages == nullptr ? b * capacity * row : 0) + h * s.head_dim) * element_bytes(a.k_cache.dtype);
      kv[b * s.n_kv_heads + h] = {static_cast<const char *>(a.k_cache.data) + bytes,
                                  static_cast<const char *>(a.v_cache.data) + bytes,
                                  a.k_cache.dtype,
                                  row,
                                  pages,
                                  a.c.page_size};
    }
  }
  clear_missing(exec, call, sequences, s.batch, s.seq_len);
  attend(exec, call, sequences, kv, s.batch, s.n_kv_heads);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
