// The machine's limits and the native rows of the benchmark, as JSON on stdout, every sample kept:
//
//   limits_bench [--threads N] [--isa NAME] [--samples N] [--seconds S] [--limits] [--library FILE --call CASE]
//                [--gemm CASE M N K]...
//
// --limits: fused multiply-add peak, read bandwidth and triad at one thread and at all. --gemm: c = a b five ways, each
// one thing more than the one before: a naive loop; the loop order that reads b by rows, with scalar instructions; the
// same with vector instructions; the cpu device's kernel, which blocks and packs; and the kernel's scalar build, whose
// fused multiply-add is a function of the C library on x86-64: it has to run where there is no such instruction. All do
// one fused multiply-add per term, k ascending, so they give the same bits, which is checked before anything is timed.
// --call: one element through the ABI, from C.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include <sys/mman.h>

#include "../cpu/isa.h"
#include "../src/ops.h"
#include "../src/thread_pool.h"
#include "cunn.h"
#include "machine_bench.h"

using namespace cunn;
using cpu::Isa;

namespace {

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

[[noreturn]] void fail(const std::string &sentence) {
  std::fprintf(stderr, "limits_bench: %s\n", sentence.c_str());
  std::exit(2);
}

struct Settings {
  int threads = 0, samples = 12;
  double seconds = 0.5;
  Isa isa = cpu::best_isa();
};

// Seconds per run, each sample the mean of so many runs that all samples together take about `seconds`.
struct Timed {
  std::vector<double> samples;
  int64_t iterations = 1;
};
Timed timed(const Settings &how, const std::function<void()> &run) {
  run();
  double begin = now();
  run();
  const double once = std::max(now() - begin, 1e-9);
  Timed t;
  t.iterations = std::max<int64_t>(1, (int64_t)(how.seconds / how.samples / once));
  const double started = now();
  while ((int)t.samples.size() < how.samples && (t.samples.size() < 3 || now() - started < 2 * how.seconds)) {
    begin = now();
    for (int64_t i = 0; i < t.iterations; ++i) run();
    t.samples.push_back((now() - begin) / (double)t.iterations);
  }
  return t;
}

bool first_item = true;
void separator() {
  std::printf(first_item ? "\n    " : ",\n    ");
  first_item = false;
}
void print_numbers(const char *name, const std::vector<double> &values, double scale = 0) {
  std::printf("\"%s\": [", name);
  for (size_t i = 0; i < values.size(); ++i) std::printf("%s%.9g", i ? ", " : "", scale > 0 ? scale / values[i] : values[i]);
  std::printf("]");
}

// Anonymous memory on huge pages where the system gives them: 4 KiB pages cap what a core can stream.
char *pages(int64_t bytes) {
  void *p = mmap(nullptr, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) fail("no memory for the bandwidth measurement");
  madvise(p, (size_t)bytes, MADV_HUGEPAGE);
  std::memset(p, 0, (size_t)bytes);
  return static_cast<char *>(p);
}

void print_limit(const char *name, const char *unit, const char *isa, int threads, const Timed &t, double units) {
  separator();
  std::printf("{\"limit\": \"%s\", \"unit\": \"%s\", \"isa\": \"%s\", \"threads\": %d, ", name, unit, isa, threads);
  print_numbers("rates", t.samples, units);
  std::printf("}");
}

void limits(const Settings &how) {
  const int64_t bytes = int64_t(256) << 20;
  char *data = pages(3 * bytes);
  float *a = reinterpret_cast<float *>(data);
  const float *b = reinterpret_cast<float *>(data + bytes), *c = reinterpret_cast<float *>(data + 2 * bytes);
  ThreadPool all(how.threads), one(1);
  for (ThreadPool *pool : {&one, &all}) {
    if (pool == &all && all.size() == 1) break;
    for (Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
      if (!cpu::isa_supported(isa)) continue;
      double flops = 0;
      Timed t = timed(how, [&] { flops = machine_bench::run_peak(*pool, isa); });
      print_limit("fma", "flop/s", cpu::isa_name(isa), pool->size(), t, flops);
    }
    print_limit("read", "byte/s", "", pool->size(), timed(how, [&] { machine_bench::run_read(*pool, data, bytes); }), (double)bytes);
    print_limit("triad", "byte/s", "", pool->size(), timed(how, [&] { machine_bench::run_triad(*pool, a, b, c, bytes); }), 3.0 * (double)bytes);
  }
  munmap(data, (size_t)(3 * bytes));
}

void print_row(const char *name, const char *row, const char *implementation, int threads, const char *isa, const Timed &t, double units, const char *unit) {
  separator();
  std::printf("{\"case\": \"%s\", \"language\": \"native\", \"row\": \"%s\", \"implementation\": \"%s\", \"harness\": \"limits_bench\", "
              "\"threads\": %d, \"isa\": \"%s\", \"units\": %.17g, \"unit\": \"%s\", \"checksum\": null, \"checked\": true, ",
              name, row, implementation, threads, isa, units, unit);
  print_numbers("samples", t.samples);
  std::printf(", ");
  print_numbers("iterations", std::vector<double>(t.samples.size(), (double)t.iterations));
  std::printf("}");
}

// c[i,j] = sum over k of a[i,k] b[k,j], as the formula is read: one output at a time, b walked by columns.
#define CUNN_NAIVE(name, attributes)                                                                          \
  attributes void name(float *c, const float *a, const float *b, int64_t m, int64_t n, int64_t k) {           \
    for (int64_t i = 0; i < m; ++i)                                                                           \
      for (int64_t j = 0; j < n; ++j) {                                                                       \
        float sum = 0;                                                                                        \
        for (int64_t p = 0; p < k; ++p) sum = __builtin_fmaf(a[i * k + p], b[p * n + j], sum);                \
        c[i * n + j] = sum;                                                                                   \
      }                                                                                                       \
  }
// Rows [first, last) of c, b walked by rows; neither packed nor blocked for registers or caches.
#define CUNN_BY_ROWS(name, attributes)                                                                                  \
  attributes void name(float *c, const float *a, const float *b, int64_t first, int64_t last, int64_t n, int64_t k) { \
    for (int64_t i = first; i < last; ++i) {                                                                            \
      float *__restrict y = c + i * n;                                                                                  \
      for (int64_t j = 0; j < n; ++j) y[j] = 0;                                                                         \
      for (int64_t p = 0; p < k; ++p) {                                                                                 \
        const float x = a[i * k + p];                                                                                   \
        const float *z = b + p * n;                                                                                     \
        for (int64_t j = 0; j < n; ++j) y[j] = __builtin_fmaf(x, z[j], y[j]);                                           \
      }                                                                                                                 \
    }                                                                                                                   \
  }
using Naive = void (*)(float *, const float *, const float *, int64_t, int64_t, int64_t);
using ByRows = void (*)(float *, const float *, const float *, int64_t, int64_t, int64_t, int64_t);
CUNN_NAIVE(naive_plain, __attribute__((noinline)))
CUNN_BY_ROWS(by_rows_plain, __attribute__((noinline)))
#if defined(__x86_64__)
CUNN_NAIVE(naive_fma, __attribute__((noinline, optimize("no-tree-vectorize"), target("fma"))))
CUNN_BY_ROWS(by_rows_scalar, __attribute__((noinline, optimize("no-tree-vectorize"), target("fma"))))
CUNN_BY_ROWS(by_rows_avx2, __attribute__((noinline, target("avx2,fma"))))
CUNN_BY_ROWS(by_rows_avx512, __attribute__((noinline, target("avx512f,avx512vl,fma,prefer-vector-width=512"))))
#endif
bool has_fma() { return cpu::isa_supported(Isa::avx2); }  // which stands for AVX2, FMA and F16C
Naive naive() {
#if defined(__x86_64__)
  if (has_fma()) return naive_fma;
#endif
  return naive_plain;
}
ByRows by_rows(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512) return by_rows_avx512;
  if (isa == Isa::avx2) return by_rows_avx2;
  if (has_fma()) return by_rows_scalar;
#endif
  (void)isa;
  return by_rows_plain;
}

#if defined(__x86_64__)
const char *const SCALAR = "the kernel's scalar build, fma by library call";
#else
const char *const SCALAR = "the kernel's scalar build";
#endif

struct Product {
  Settings how;
  const char *name;
  int64_t m, n, k;
  ThreadPool pool;
  Scratch scratch;
  ErrorWord error{};
  Exec exec;
  std::vector<float> a, b, c, want;

  Product(const Settings &settings, const char *case_name, int64_t rows, int64_t cols, int64_t inner)
      : how(settings), name(case_name), m(rows), n(cols), k(inner), pool(settings.threads), exec{&pool, &scratch, &error, nullptr},
        a((size_t)(m * k)), b((size_t)(k * n)), c((size_t)(m * n)) {
    for (size_t i = 0; i < a.size(); ++i) a[i] = (float)(i * 7919 % 2039) / 1019.5f - 1.0f;
    for (size_t i = 0; i < b.size(); ++i) b[i] = (float)(i * 104729 % 4093) / 2046.5f - 1.0f;
  }

  void kernel(Isa isa) {
    GemmArgs g{c.data(), DType::f32, n, a.data(), DType::f32, k, false, b.data(), DType::f32, n, false, m, n, k, 1.0f, 0.0f};
    scratch.reset();
    cpu::op_table(isa)->gemm(exec, g);
  }
  void rows_of(Isa isa) {
    const ByRows rows = by_rows(isa);
    const int64_t step = 8;
    pool.parallel_for((m + step - 1) / step, [&](int64_t i, int) { rows(c.data(), a.data(), b.data(), i * step, std::min(m, (i + 1) * step), n, k); });
  }
  void row(const char *row_name, const char *implementation, int threads, Isa isa, const std::function<void()> &run) {
    std::fill(c.begin(), c.end(), NAN);
    run();
    if (want.empty()) want = c;
    if (std::memcmp(c.data(), want.data(), 4 * c.size()) != 0) fail(std::string(name) + ": " + row_name + " gives other bits than the loop before it");
    print_row(name, row_name, implementation, threads, cpu::isa_name(isa), timed(how, run), 2.0 * (double)m * (double)n * (double)k, "flop");
  }

  // Every step on one thread; on several what there is to gain from them: the vector loops and the kernel.
  void rows() {
    const bool one = pool.size() == 1, brief = m * n * k <= (int64_t(1) << 28);
    // The naive loop is wanted where a run is short; elsewhere the next is what the others are compared with.
    if (one && brief) row("naive", "C++, three loops", 1, Isa::scalar, [&] { naive()(c.data(), a.data(), b.data(), m, n, k); });
    if (one || how.isa == Isa::scalar) row("unblocked-scalar", "C++, rows of b, scalar instructions", pool.size(), Isa::scalar, [&] { rows_of(Isa::scalar); });
    if (how.isa == Isa::scalar) return row("cpu", SCALAR, pool.size(), Isa::scalar, [&] { kernel(Isa::scalar); });
    row("cpu-unblocked", "C++, rows of b, vector instructions", pool.size(), how.isa, [&] { rows_of(how.isa); });
    row("cpu", "the kernel, called directly", pool.size(), how.isa, [&] { kernel(how.isa); });
    if (one && brief) row("cpu-scalar", SCALAR, 1, Isa::scalar, [&] { kernel(Isa::scalar); });
  }
};

template <class F> F symbol(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (address == nullptr) fail(std::string("the library lacks ") + name);
  F function;
  std::memcpy(&function, &address, sizeof function);
  return function;
}

void call_row(const Settings &how, const char *file, const char *name) {
  void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail(std::string("cannot open the library: ") + dlerror());
  auto create = symbol<decltype(&cunn_context_create)>(library, "cunn_context_create");
  auto buffer = symbol<decltype(&cunn_buffer_create)>(library, "cunn_buffer_create");
  auto silu = symbol<decltype(&cunn_silu_forward)>(library, "cunn_silu_forward");
  auto destroy = symbol<decltype(&cunn_context_destroy)>(library, "cunn_context_destroy");
  auto destroy_buffer = symbol<decltype(&cunn_buffer_destroy)>(library, "cunn_buffer_destroy");
  cunn_context context;
  cunn_buffer x, y;
  if (create(&context, CUNN_CPU, 0, how.threads, nullptr) != CUNN_OK) fail("no context");
  if (buffer(context, &x, CUNN_F32, 1) != CUNN_OK || buffer(context, &y, CUNN_F32, 1) != CUNN_OK) fail("no buffer");
  int32_t worst = 0;
  Timed t = timed(how, [&] { for (int i = 0; i < 1000; ++i) worst |= silu(context, y, x, 1); });
  if (worst != 0) fail("a call failed");
  for (double &sample : t.samples) sample /= 1000;
  t.iterations *= 1000;
  print_row(name, "cpu", "C, through the ABI", how.threads > 0 ? how.threads : available_cpus(), cpu::isa_name(how.isa), t, 1, "call");
  destroy_buffer(context, x), destroy_buffer(context, y), destroy(context);
}

}  // namespace

int main(int argc, char **argv) {
  Settings how;
  const char *library = nullptr;
  auto next = [&](int &i) { return i + 1 < argc ? argv[++i] : (fail(std::string(argv[i]) + " expects more"), nullptr); };
  auto size = [&](int &i) {
    int64_t value = std::atoll(next(i));
    if (value < 1) fail("a size is at least 1");
    return value;
  };
  std::printf("{\n  \"version\": 1,\n  \"items\": [");
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    if (option == "--threads") how.threads = std::atoi(next(i));
    else if (option == "--samples") how.samples = (int)size(i);
    else if (option == "--seconds") how.seconds = std::atof(next(i));
    else if (option == "--library") library = next(i);
    else if (option == "--isa") {
      const char *name = next(i);
      if (!cpu::parse_isa(name, &how.isa) || !cpu::isa_supported(how.isa)) fail(std::string(name) + " is not an instruction set of this machine");
    } else if (option == "--limits") limits(how);
    else if (option == "--call") {
      const char *name = next(i);
      if (library == nullptr) fail("--call expects --library before it");
      call_row(how, library, name);
    } else if (option == "--gemm") {
      const char *name = next(i);
      int64_t m = size(i), n = size(i), k = size(i);
      Product(how, name, m, n, k).rows();
    } else fail("unknown option " + option);
  }
  std::printf("\n  ]\n}\n");
  return 0;
}
