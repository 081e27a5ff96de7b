// The matrix product of the cpu device: how a call is cut into tasks, and its plain and batched forms.
//
// Every element of C is one f32 sum that starts from beta C and takes its terms in ascending order of k, one fused
// multiply-add each (see gemm_kernel.h). So tiles, panels, threads and instruction sets are free to be what is fast:
// the bits are the same, and a row of C depends on its own row of A alone.
#include <unistd.h>

#include "../src/thread_pool.h"
#include "gemm_tile.h"
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

// Multiply-adds worth a task: a few microseconds, more than it takes to hand one over.
constexpr double task_work = 1 << 17;
// What streaming an element of B costs at least, in multiply-adds, and the bytes of one B worth a task then.
constexpr double stream_cost = 4;
constexpr int64_t task_bytes = int64_t(1) << 17;

// Columns of a tile: the panels of B, k_block deep, take about half of the second-level cache.
int64_t widest_tile() {
  static const int64_t cols = [] {
    int64_t cache = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
    cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    if (cache <= 0) cache = int64_t(512) << 10;
    return least(512, most(64, cache / 2 / (k_block * 4) / tile_cols * tile_cols));
  }();
  return cols;
}
constexpr int64_t tallest_tile = 36 * tile_rows;

struct Tiling {
  int64_t rows, cols, across, first;  // of a tile; tiles side by side; index of the problem's first tile
};

Tiling tiling_of(const ProductCall &call, const Problem &p, int64_t wanted) {
  const int64_t products = products_of(call.epilogue);
  Tiling t{least(p.m, tallest_tile), least(p.n, widest_tile() / products), 1, 0};
  if (streams(call, p, p.m)) {
    t.cols = wanted > 1 ? ceil_div(most(32, task_bytes / most(1, bytes_of(p.b.dtype, p.k))), 32) * 32 : p.n;
    if (t.cols > p.n) t.cols = p.n;
    return t;
  }
  while (ceil_div(p.m, t.rows) * ceil_div(p.n, t.cols) < wanted) {
    // Squarer tiles pack less for the same work; the grid of the register tile is kept.
    if (t.cols > tile_cols && products * t.cols >= t.rows) t.cols = ceil_div(t.cols / 2, tile_cols) * tile_cols;
    else if (t.rows > tile_rows) t.rows = ceil_div(t.rows / 2, tile_rows) * tile_rows;
    else if (t.cols > tile_cols) t.cols = ceil_div(t.cols / 2, tile_cols) * tile_cols;
    else break;
  }
  // Tiles of equal size, so that the last one is not a sliver.
  t.rows = ceil_div(ceil_div(p.m, ceil_div(p.m, t.rows)), tile_rows) * tile_rows;
  t.cols = ceil_div(ceil_div(p.n, ceil_div(p.n, t.cols)), tile_cols) * tile_cols;
  return t;
}

double work_of(const ProductCall &call, const Problem &p) {
  const double rows = (double)p.m;
  const double cost = streams(call, p, p.m) && rows < stream_cost ? (rows > 0 ? stream_cost : 0) : rows;
  return cost * products_of(call.epilogue) * (double)p.n * (double)most(p.k, 1);
}

int64_t padded(int64_t floats) { return ceil_div(floats, 16) * 16; }

}  // namespace

void run_problems(Exec &exec, const ProductCall &call, const Problem *problems, int64_t count) {
  double work = 0;
  for (int64_t q = 0; q < count; ++q) work += work_of(call, problems[q]);
  if (work == 0) return;
  const int64_t threads = exec.pool->size();
  const bool alone = threads == 1 || work < 2 * task_work;
  // Several tasks per thread even out what the machine does beside us.
  const double most_tasks = 4 * (double)threads;
  const double tasks = alone ? 1 : work / task_work < most_tasks ? work / task_work : most_tasks;

  Tiling *tilings = static_cast<Tiling *>(exec.scratch->bytes((size_t)count * sizeof(Tiling)));
  int64_t total = 0, a_floats = 0, b_floats = 0, own_sums = 0;
  for (int64_t q = 0; q < count; ++q) {
    const Problem &p = problems[q];
    Tiling t{1, 1, 1, total};
    if (p.m > 0 && p.n > 0) {
      t = tiling_of(call, p, (int64_t)(tasks * (work_of(call, p) / work) + 0.999));
      t.across = ceil_div(p.n, t.cols);
      t.first = total;
      total += t.across * ceil_div(p.m, t.rows);
      const int64_t kc = least(p.k, k_block);
      a_floats = most(a_floats, panels_of_a * panel_floats(tile_rows, kc));
      if (streams(call, p, least(p.m, t.rows)) || streams(call, p, p.m % t.rows)) a_floats = most(a_floats, panel_floats(stream_rows, p.k));
      b_floats = most(b_floats, products_of(call.epilogue) * ceil_div(t.cols, tile_cols) * panel_floats(tile_cols, kc));
      own_sums = most(own_sums, sums_floats(call, p, t.rows, t.cols));
    }
    tilings[q] = t;
  }
  a_floats = padded(a_floats);
  b_floats = padded(b_floats);
  const int64_t stride = a_floats + b_floats + padded(own_sums);
  float *memory = scratch_floats(exec, stride * (alone ? 1 : threads));

  auto task = [&](int64_t index, int worker) {
    int64_t low = 0, high = count - 1;  // the last problem whose first tile is not past this one
    while (low < high) {
      int64_t middle = (low + high + 1) / 2;
      if (tilings[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    const Problem &p = problems[low];
    const Tiling &t = tilings[low];
    const int64_t i0 = (index - t.first) / t.across * t.rows, j0 = (index - t.first) % t.across * t.cols;
    float *own = memory + worker * stride;
    run_tile(call, p, {own, own + a_floats, own + a_floats + b_floats},
             {i0, j0, least(t.rows, p.m - i0), least(t.cols, p.n - j0)});
  };
  if (alone) {
    for (int64_t index = 0; index < total; ++index) task(index, 0);
  } else {
    exec.pool->parallel_for(total, task);
  }
}

static Problem problem_of(const GemmArgs &g) {
  return {{g.a, g.a_dtype, g.lda, g.trans_a, nullptr}, {g.b, g.b_dtype, g.ldb, !g.trans_b, nullptr},
          static_cast<char *>(g.c), g.ldc, g.m, g.n, g.k};
}

void gemm(Exec &exec, const GemmArgs &g) {
  Problem p = problem_of(g);
  run_problems(exec, {g.c_dtype, narrower(g.a_dtype, g.b_dtype), g.alpha, g.beta}, &p, 1);
}

void gemm_batched(Exec &exec, const GemmBatchedArgs &args) {
  const GemmArgs &g = args.g;
  if (args.batch <= 0) return;
  Problem *problems = static_cast<Problem *>(exec.scratch->bytes((size_t)args.batch * sizeof(Problem)));
  for (int64_t i = 0; i < args.batch; ++i) {
    Problem p = problem_of(g);
    p.a.data = static_cast<const char *>(g.a) + bytes_of(g.a_dtype, i * args.stride_a);
    p.b.data = static_cast<const char *>(g.b) + bytes_of(g.b_dtype, i * args.stride_b);
    p.c += bytes_of(g.c_dtype, i * args.stride_c);
    problems[i] = p;
  }
  run_problems(exec, {g.c_dtype, narrower(g.a_dtype, g.b_dtype), g.alpha, g.beta}, problems, args.batch);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
