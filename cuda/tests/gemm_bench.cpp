// Times the cpu device's matrix products beside the machine's fused multiply-add peak and read bandwidth, measured in
// the same run: the ratios carry over to other machines, the figures do not.
//
//   gemm_bench [threads] [isa] [only cases whose name has this in it]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "../cpu/isa.h"
#include "../src/ops.h"
#include "../src/thread_pool.h"
#include "machine_bench.h"

using namespace cunn;
using cpu::Isa;

namespace {

// With one thread the time the thread ran, so that what else the machine does hardly counts; with several, time.
bool one_thread = false;
double now() {
  timespec t;
  clock_gettime(one_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Best of several: what the machine can do when nothing else runs.
double best_of(int64_t repeats, const std::function<void()> &run) {
  double best = 1e30;
  run();
  for (int64_t i = 0; i < repeats; ++i) {
    double t = now();
    run();
    best = std::min(best, now() - t);
  }
  return best;
}

std::string only;

struct Bench {
  ThreadPool pool;
  Scratch scratch, memory;
  ErrorWord error{};
  Exec exec;
  Isa isa;
  double peak = 0, bandwidth = 0;

  Bench(int threads, Isa which) : pool(threads), exec{&pool, &scratch, &error, nullptr}, isa(which) {}

  void measure_limits() {
    double flops = 0;
    double t = best_of(10, [&] { flops = machine_bench::run_peak(pool, isa); });
    peak = flops / t * 1e-9;
    const int64_t bytes = int64_t(256) << 20;
    char *data = static_cast<char *>(memory.bytes((size_t)bytes));
    std::memset(data, 1, (size_t)bytes);
    t = best_of(5, [&] { machine_bench::run_read(pool, data, bytes); });
    bandwidth = (double)bytes / t * 1e-9;
    std::printf("%s, %d threads: peak %.1f GFLOP/s, read %.1f GB/s\n", cpu::isa_name(isa), pool.size(), peak, bandwidth);
  }

  void *filled(DType t, int64_t n) {
    const int64_t bytes = bytes_of(t, n);
    char *p = static_cast<char *>(memory.bytes((size_t)bytes));
    if (is_quantized(t)) {  // levels of every value, the scale 2^-8
      for (int64_t i = 0; i < bytes; ++i) p[i] = (char)(i * 7);
      const uint16_t scale = 0x1c00;
      for (int64_t i = 0; i < bytes; i += bytes_of(t, kQuantBlock)) std::memcpy(p + i, &scale, sizeof scale);
      return p;
    }
    for (int64_t i = 0; i < n; ++i) {
      float x = (float)(i % 1021) * 1e-3f - 0.5f;
      uint32_t u;
      std::memcpy(&u, &x, 4);
      uint16_t h = (uint16_t)(u >> 16);
      if (t == DType::f32) std::memcpy(p + 4 * i, &x, 4);
      else std::memcpy(p + 2 * i, &h, 2);
    }
    return p;
  }
  void report(const char *name, double seconds, double flops, double bytes) {
    std::printf("%-46s %9.4f ms  %7.1f GFLOP/s %3.0f%%  %6.1f GB/s %3.0f%%\n", name, seconds * 1e3, flops / seconds * 1e-9,
                100 * flops / seconds * 1e-9 / peak, bytes / seconds * 1e-9, 100 * bytes / seconds * 1e-9 / bandwidth);
    std::fflush(stdout);
  }
  template <class Args> void call(void (*OpTable::*op)(Exec &, const Args &), const Args &args) {
    scratch.reset();
    (cpu::op_table(isa)->*op)(exec, args);
  }

  void product(int64_t m, int64_t n, int64_t k, bool ta, bool tb, DType t = DType::f32) {
    char name[100];
    std::snprintf(name, sizeof name, "%s %lld x %lld x %lld %s%s", dtype_name(t), (long long)m, (long long)n, (long long)k, ta ? "A^T " : "", tb ? "B^T" : "");
    if (std::string(name).find(only) == std::string::npos) return;
    memory.reset();
    const DType of_a = is_quantized(t) ? DType::f32 : t;
    GemmArgs g{filled(DType::f32, m * n), DType::f32, n, filled(of_a, m * k), of_a, ta ? m : k, ta, filled(t, n * k), t, tb ? k : n, tb, m, n, k, 1.0f, 0.0f};
    double flops = 2.0 * (double)m * (double)n * (double)k;
    int64_t inner = std::max<int64_t>(1, (int64_t)(2e7 / flops));
    double seconds = best_of(flops > 1e10 ? 4 : 12, [&] {
      for (int64_t i = 0; i < inner; ++i) call(&OpTable::gemm, g);
    }) / (double)inner;
    report(name, seconds, flops, (double)bytes_of(t, n * k));
  }

  // The experts of one layer: rows x k times [groups, n, k], then the gradient of the weights.
  void grouped(int64_t rows, int64_t groups, int64_t n, int64_t k) {
    if (std::string("grouped").find(only) == std::string::npos) return;
    memory.reset();
    std::vector<int32_t> offsets((size_t)groups + 1), gather((size_t)rows);
    for (int64_t g = 0; g <= groups; ++g) offsets[(size_t)g] = (int32_t)(rows * g / groups);
    for (int64_t r = 0; r < rows; ++r) gather[(size_t)r] = (int32_t)(r * 7919 % rows);
    float *y = static_cast<float *>(filled(DType::f32, rows * n)), *x = static_cast<float *>(filled(DType::f32, rows * k));
    float *w = static_cast<float *>(filled(DType::f32, groups * n * k)), *dw = static_cast<float *>(filled(DType::f32, groups * n * k));
    double flops = 2.0 * (double)rows * (double)n * (double)k;
    char name[100];
    auto rows_form = [&](bool tb) {
      GemmGroupedRowsArgs g{y, DType::f32, n, x, DType::f32, k, w, DType::f32, tb ? k : n, tb, n * k, offsets.data(), gather.data(), groups, rows, n, k, rows, 0.0f};
      double t = best_of(8, [&] { call(&OpTable::gemm_grouped_rows, g); });
      std::snprintf(name, sizeof name, "grouped rows %lld / %lld x %lld x %lld %s", (long long)rows, (long long)groups, (long long)n, (long long)k, tb ? "B^T" : "");
      report(name, t, flops, (double)(4 * std::min(groups, rows) * n * k));
    };
    rows_form(true);
    rows_form(false);
    GemmGroupedInnerArgs g{dw, DType::f32, k, n * k, y, DType::f32, n, x, DType::f32, k, offsets.data(), gather.data(), groups, n, k, rows, rows, 1.0f};
    double t = best_of(8, [&] { call(&OpTable::gemm_grouped_inner, g); });
    std::snprintf(name, sizeof name, "grouped inner %lld / %lld x %lld x %lld", (long long)rows, (long long)groups, (long long)n, (long long)k);
    report(name, t, flops, (double)(8 * groups * n * k));
  }
};

}  // namespace

int main(int argc, char **argv) {
  Isa isa = cpu::best_isa();
  if (argc > 2 && (!cpu::parse_isa(argv[2], &isa) || !cpu::isa_supported(isa))) {
    std::printf("%s is not an instruction set of this machine\n", argv[2]);
    return 2;
  }
  if (argc > 3) only = argv[3];
  Bench b(argc > 1 ? std::atoi(argv[1]) : 0, isa);
  one_thread = b.pool.size() == 1;
  b.measure_limits();
  for (int64_t s : {64, 128, 256, 512, 1024, 2048}) b.product(s, s, s, false, false);
  for (int64_t s : {64, 256, 512, 2048}) b.product(s, s, s, false, true);
  for (int64_t s : {64, 256, 512, 2048}) b.product(s, s, s, true, false);
  b.product(512, 6144, 768, false, true);
  b.product(512, 768, 6144, false, true);
  b.product(2048, 256, 256, false, true);
  b.product(2048, 8, 256, false, true);
  b.product(2048, 4096, 256, false, true);
  b.product(256, 256, 2048, true, false);
  b.product(2048, 2048, 2048, false, true, DType::bf16);
  for (DType t : {DType::q8, DType::q4}) b.product(512, 6144, 768, false, true, t);
  for (DType t : {DType::f32, DType::bf16, DType::q8, DType::q4})
    for (int64_t m : {1, 4, 8}) {
      b.product(m, 256, 256, false, true, t);
      b.product(m, 512, 256, false, true, t);
      b.product(m, 4096, 256, false, true, t);
      b.product(m, 6144, 768, false, true, t);
      b.product(m, 768, 6144, false, true, t);
      b.product(m, 32000, 768, false, true, t);
      b.product(m, 12288, 6144, false, true, t);
    }
  b.product(1, 6144, 768, false, false);
  b.product(16, 6144, 768, false, true);
  b.grouped(4096, 8, 512, 256);
  b.grouped(4096, 8, 256, 512);
  b.grouped(2, 8, 512, 256);
  b.grouped(512, 16, 128, 64);
  return 0;
}
