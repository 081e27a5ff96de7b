// The cpu device's matrix products against a loop that does what the contract says, one fused multiply-add at a time:
// every instruction set, 1, 2 and 7 threads, every transpose and dtype, bit for bit. Arrays are exactly as long as the
// shapes say, so that under AddressSanitizer a read past a tail is found.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "../cpu/isa.h"
#include "../src/ops.h"
#include "../src/thread_pool.h"

using namespace cunn;

namespace {

struct Kernels {
  const char *name;
  const OpTable *ops;
};

std::vector<Kernels> supported() {
  std::vector<Kernels> all;
  for (int i = 0; i < cpu::isa_count; ++i) {
    const auto isa = static_cast<cpu::Isa>(i);
    if (cpu::isa_supported(isa) && cpu::op_table(isa)) all.push_back({cpu::isa_name(isa), cpu::op_table(isa)});
  }
  return all;
}

uint64_t state = 1;
uint64_t next() {  // splitmix64
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
int64_t below(int64_t n) { return (int64_t)(next() % (uint64_t)n); }
template <class T> T pick(std::initializer_list<T> list) { return list.begin()[below((int64_t)list.size())]; }

// ---- the 16-bit formats, by their definition and not by the kernels' code ----

float half_value(uint16_t h, int exponent_bits) {
  int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = h >> fraction_bits & ((1 << exponent_bits) - 1), fraction = h & ((1 << fraction_bits) - 1);
  double sign = h & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : (float)(sign * INFINITY);
  if (exponent == 0) return (float)(sign * std::ldexp((double)fraction, 1 - bias - fraction_bits));
  return (float)(sign * std::ldexp(1.0 + std::ldexp((double)fraction, -fraction_bits), exponent - bias));
}
uint16_t to_half(float x, int exponent_bits) {
  int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinity = (uint16_t)(((1 << exponent_bits) - 1) << fraction_bits);
  if (std::isnan(x)) return (uint16_t)(sign | infinity | 1 << (fraction_bits - 1));
  if (std::isinf(x)) return sign | infinity;
  if (x == 0) return sign;
  int exponent;
  std::frexp(std::fabs(x), &exponent);  // |x| in [2^(exponent-1), 2^exponent)
  int unit = exponent - 1 - fraction_bits, smallest = 1 - bias - fraction_bits;
  if (unit < smallest) unit = smallest;
  double units = std::nearbyint(std::ldexp(std::fabs((double)x), -unit));
  double value = std::ldexp(units, unit);
  if (value >= std::ldexp(1.0, bias + 1)) return sign | infinity;
  int e2;
  double f = std::frexp(value, &e2);
  if (value == 0) return sign;
  if (e2 - 1 < 1 - bias) return (uint16_t)(sign | (int)units);
  int fraction = (int)std::ldexp(2 * f - 1, fraction_bits);
  return (uint16_t)(sign | (e2 - 1 + bias) << fraction_bits | fraction);
}
int exponent_bits(DType t) { return t == DType::bf16 ? 8 : 5; }
float rounded(float x, DType t) { return t == DType::f32 ? x : half_value(to_half(x, exponent_bits(t)), exponent_bits(t)); }

// A matrix of any float dtype or of blocks on the heap, exactly as long as its last row needs.
struct Array {
  DType dtype;
  int64_t count;
  std::unique_ptr<char[]> data;
  Array(DType t, int64_t n) : dtype(t), count(n), data(new char[(size_t)bytes_of(t, n)]) {}
  Array(const Array &o) : Array(o.dtype, o.count) { std::memcpy(data.get(), o.data.get(), (size_t)bytes_of(dtype, count)); }
  float get(int64_t i) const {
    if (i < 0 || i >= count) std::abort();
    if (is_quantized(dtype)) {
      const auto *block = reinterpret_cast<const uint8_t *>(&data[(size_t)bytes_of(dtype, i / 32 * 32)]);
      const int e = (int)(i % 32);
      const int q = dtype == DType::q8 ? (int8_t)block[2 + e] : (e < 16 ? block[2 + e] & 15 : block[2 + e - 16] >> 4) - 8;
      return half_value((uint16_t)(block[0] | block[1] << 8), 5) * (float)q;
    }
    if (dtype == DType::f32) {
      float x;
      std::memcpy(&x, &data[(size_t)(4 * i)], 4);
      return x;
    }
    uint16_t h;
    std::memcpy(&h, &data[(size_t)(2 * i)], 2);
    return half_value(h, exponent_bits(dtype));
  }
  void set(int64_t i, float x) {
    if (i < 0 || i >= count) std::abort();
    uint16_t h = dtype == DType::f32 ? 0 : to_half(x, exponent_bits(dtype));
    if (dtype == DType::f32) std::memcpy(&data[(size_t)(4 * i)], &x, 4);
    else std::memcpy(&data[(size_t)(2 * i)], &h, 2);
  }
  void fill(bool specials) {
    if (is_quantized(dtype)) {
      // Any level; scales of both signs, now and then subnormal, zero, infinite or NaN.
      const int64_t size = bytes_of(dtype, 32);
      for (int64_t at = 0; at < bytes_of(dtype, count); ++at) data[(size_t)at] = (char)next();
      for (int64_t at = 0; at < bytes_of(dtype, count); at += size) {
        const uint16_t d = specials && below(40) == 0 ? pick<uint16_t>({0, 0x8000, 1, 0x83ff, 0x7c00, 0x7e01, 0x7bff})
                                                      : to_half((float)((double)(int64_t)next() * 0x1p-66), 5);
        std::memcpy(&data[(size_t)at], &d, 2);
      }
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      float x = (float)((double)(int64_t)next() * 0x1p-63);
      if (specials && below(40) == 0) x = pick({0.0f, -0.0f, 1e-38f, -3e-39f, INFINITY, NAN, 6e4f, 1e30f});
      set(i, x);
    }
  }
};

int64_t elements(int64_t rows, int64_t cols, int64_t ld) { return rows > 0 && cols > 0 ? (rows - 1) * ld + cols : 0; }

DType narrower(DType a, DType b) {
  if (a == DType::bf16 || b == DType::bf16) return DType::bf16;
  return a == DType::f16 || b == DType::f16 ? DType::f16 : DType::f32;
}

struct Term { int64_t a, b; };  // indices of the two factors

// One element of C, as the contract states it.
float element(const Array &a, const Array &b, float c, float alpha, float beta, const std::vector<Term> &terms) {
  DType type = narrower(a.dtype, b.dtype);
  float sum = beta == 0 ? 0.0f : beta == 1 ? c : beta * c;
  for (const Term &t : terms) {
    float x = a.get(t.a);
    if (alpha != 1) x *= alpha;
    sum = std::fma(rounded(x, type), rounded(b.get(t.b), type), sum);
  }
  return sum;
}

int64_t passed = 0, failed = 0;

// want and got as stored; NaNs are equal whatever their payload.
void compare(const char *what, const char *isa, int threads, const char *shape, const Array &want, const Array &got) {
  for (int64_t i = 0; i < want.count; ++i) {
    float x = want.get(i), y = got.get(i);
    if (std::isnan(x) && std::isnan(y)) continue;
    if (std::memcmp(&x, &y, 4) == 0) continue;
    std::printf("%s, %s, %d threads, %s: element %lld is %a, expected %a\n", what, isa, threads, shape, (long long)i, y, x);
    ++failed;
    return;
  }
  ++passed;
}

struct Machine {
  explicit Machine(int threads) : pool(threads), exec{&pool, &scratch, &error, nullptr} {}
  ThreadPool pool;
  Scratch scratch;
  ErrorWord error{};
  Exec exec;
};

std::vector<Kernels> all_kernels;
std::vector<std::unique_ptr<Machine>> machines;

template <class Run> void on_every(const char *what, const char *shape, const Array &before, const Array &want, Run run) {
  for (const Kernels &kernels : all_kernels) {
    for (auto &m : machines) {
      Array c(before);
      m->scratch.reset();
      run(*kernels.ops, m->exec, c.data.get());
      compare(what, kernels.name, m->pool.size(), shape, want, c);
      if (m->error.claimed) {
        std::printf("%s, %s, %s: reported a fault\n", what, kernels.name, shape);
        ++failed;
        m->error = ErrorWord{};
      }
    }
  }
}

// What B may be made of when it is stored [n, k].
DType any_dtype_of_rows() { return pick({DType::f32, DType::f32, DType::bf16, DType::f16, DType::q8, DType::q8, DType::q4}); }
DType any_dtype() { return pick({DType::f32, DType::f32, DType::f32, DType::bf16, DType::f16}); }
float any_alpha() { return pick({1.0f, 1.0f, 0.3f, -2.0f, 0.0f}); }
float any_beta() { return pick({0.0f, 0.0f, 1.0f, 1.0f, 0.7f, -1.0f}); }
int64_t any_size(int64_t largest) {
  int64_t n = pick<int64_t>({0, 1, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, below(100), below(largest + 1), largest});
  return n > largest ? largest : n;
}

void test_gemm(int64_t m, int64_t n, int64_t k) {
  bool batched = below(4) == 0, specials = below(3) == 0;
  int64_t batch = batched ? below(4) : 1;
  bool ta = below(2), tb = below(2);
  DType at = any_dtype(), bt = tb ? any_dtype_of_rows() : any_dtype(), ct = any_dtype();
  const int64_t unit = is_quantized(bt) ? 32 : 1;
  k = (k + unit - 1) / unit * unit;
  float alpha = any_alpha(), beta = any_beta();
  int64_t lda = (ta ? m : k) + pick<int64_t>({0, 0, 1, 5}), ldb = (tb ? k : n) + unit * pick<int64_t>({0, 0, 1, 5}), ldc = n + pick<int64_t>({0, 0, 3});
  int64_t na = ta ? elements(k, m, lda) : elements(m, k, lda), nb = tb ? elements(n, k, ldb) : elements(k, n, ldb), nc = elements(m, n, ldc);
  int64_t sa = na, sb = below(2) ? nb : 0, sc = nc;
  if (batch == 0) na = nb = nc = 0;
  Array a(at, na + (batch > 1 ? (batch - 1) * sa : 0)), b(bt, nb + (batch > 1 ? (batch - 1) * sb : 0)), c(ct, nc + (batch > 1 ? (batch - 1) * sc : 0));
  a.fill(specials);
  b.fill(specials);
  c.fill(specials);
  Array want(c);
  std::vector<Term> terms((size_t)k);
  for (int64_t g = 0; g < batch; ++g)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        for (int64_t p = 0; p < k; ++p) terms[(size_t)p] = {g * sa + (ta ? p * lda + i : i * lda + p), g * sb + (tb ? j * ldb + p : p * ldb + j)};
        int64_t at_c = g * sc + i * ldc + j;
        want.set(at_c, element(a, b, c.get(at_c), alpha, beta, terms));
      }
  char shape[200];
  std::snprintf(shape, sizeof shape, "batch %lld m %lld n %lld k %lld trans %d%d dtypes %s %s -> %s alpha %g beta %g ld %lld %lld %lld",
                (long long)batch, (long long)m, (long long)n, (long long)k, ta, tb, dtype_name(at), dtype_name(bt), dtype_name(ct),
                alpha, beta, (long long)lda, (long long)ldb, (long long)ldc);
  on_every(batched ? "gemm_batched" : "gemm", shape, c, want, [&](const OpTable &ops, Exec &exec, void *out) {
    GemmArgs args{out, ct, ldc, a.data.get(), at, lda, ta, b.data.get(), bt, ldb, tb, m, n, k, alpha, beta};
    if (batched) ops.gemm_batched(exec, {args, batch, sc, sa, sb});
    else ops.gemm(exec, args);
  });
}

std::vector<int32_t> any_offsets(int64_t groups, int64_t rows) {
  std::vector<int32_t> o((size_t)groups + 1);
  for (int64_t g = 1; g <= groups; ++g) {
    int64_t left = rows - o[(size_t)g - 1];
    o[(size_t)g] = o[(size_t)g - 1] + (int32_t)pick<int64_t>({0, left, below(left + 1), below(left / 2 + 1), left > 0 ? 1 : 0});
  }
  return o;
}
std::vector<int32_t> any_rows(int64_t count, int64_t limit) {
  std::vector<int32_t> r((size_t)count);
  for (int32_t &x : r) x = (int32_t)below(limit);
  return r;
}

void test_grouped_rows(int64_t m, int64_t n, int64_t k) {
  int64_t groups = 1 + below(6), a_rows = 1 + below(m + 3);
  bool tb = below(2), gather = below(2), specials = below(3) == 0;
  if (!gather) a_rows = m;
  DType at = any_dtype(), bt = tb ? any_dtype_of_rows() : any_dtype(), ct = any_dtype();
  const int64_t unit = is_quantized(bt) ? 32 : 1;
  k = (k + unit - 1) / unit * unit;
  float beta = any_beta();
  int64_t lda = k + below(3), ldb = (tb ? k : n) + unit * below(3), ldc = n + below(3);
  int64_t stride = tb ? n * ldb : k * ldb;
  Array a(at, elements(a_rows, k, lda)), b(bt, (groups - 1) * stride + (tb ? elements(n, k, ldb) : elements(k, n, ldb))), c(ct, elements(m, n, ldc));
  a.fill(specials);
  b.fill(specials);
  c.fill(specials);
  std::vector<int32_t> offsets = any_offsets(groups, m), rows = any_rows(m, a_rows);
  Array want(c);
  std::vector<Term> terms((size_t)k);
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t r = offsets[(size_t)g]; r < offsets[(size_t)g + 1]; ++r)
      for (int64_t j = 0; j < n; ++j) {
        int64_t from = gather ? rows[(size_t)r] : r;
        for (int64_t p = 0; p < k; ++p) terms[(size_t)p] = {from * lda + p, g * stride + (tb ? j * ldb + p : p * ldb + j)};
        want.set(r * ldc + j, element(a, b, c.get(r * ldc + j), 1, beta, terms));
      }
  char shape[200];
  std::snprintf(shape, sizeof shape, "groups %lld m %lld n %lld k %lld trans_b %d gather %d dtypes %s %s -> %s beta %g", (long long)groups,
                (long long)m, (long long)n, (long long)k, tb, gather, dtype_name(at), dtype_name(bt), dtype_name(ct), beta);
  on_every("gemm_grouped_rows", shape, c, want, [&](const OpTable &ops, Exec &exec, void *out) {
    ops.gemm_grouped_rows(exec, {out, ct, ldc, a.data.get(), at, lda, b.data.get(), bt, ldb, tb, stride, offsets.data(), gather ? rows.data() : nullptr,
                    groups, m, n, k, a_rows, beta});
  });
}

void test_grouped_inner(int64_t m, int64_t n, int64_t k) {
  int64_t groups = 1 + below(6), b_rows = 1 + below(k + 3);
  bool gather = below(2), specials = below(3) == 0;
  if (!gather) b_rows = k;
  DType at = any_dtype(), bt = any_dtype(), ct = any_dtype();
  float beta = any_beta();
  int64_t lda = m + below(3), ldb = n + below(3), ldc = n + below(3), stride = m * ldc;
  Array a(at, elements(k, m, lda)), b(bt, elements(b_rows, n, ldb)), c(ct, m && n ? (groups - 1) * stride + elements(m, n, ldc) : 0);
  a.fill(specials);
  b.fill(specials);
  c.fill(specials);
  std::vector<int32_t> offsets = any_offsets(groups, k), rows = any_rows(k, b_rows);
  Array want(c);
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        std::vector<Term> terms;
        for (int64_t r = offsets[(size_t)g]; r < offsets[(size_t)g + 1]; ++r)
          terms.push_back({r * lda + i, (gather ? rows[(size_t)r] : r) * ldb + j});
        int64_t at_c = g * stride + i * ldc + j;
        want.set(at_c, element(a, b, c.get(at_c), 1, beta, terms));
      }
  char shape[200];
  std::snprintf(shape, sizeof shape, "groups %lld m %lld n %lld k %lld gather %d dtypes %s %s -> %s beta %g", (long long)groups, (long long)m,
                (long long)n, (long long)k, gather, dtype_name(at), dtype_name(bt), dtype_name(ct), beta);
  on_every("gemm_grouped_inner", shape, c, want, [&](const OpTable &ops, Exec &exec, void *out) {
    ops.gemm_grouped_inner(exec, {out, ct, ldc, stride, a.data.get(), at, lda, b.data.get(), bt, ldb, offsets.data(), gather ? rows.data() : nullptr,
                     groups, m, n, k, b_rows, beta});
  });
}

// Offsets and rows that are out of range: reported, and C untouched.
void test_faults() {
  const int64_t m = 6, n = 5, k = 4, groups = 2;
  Array a(DType::f32, m * k), b(DType::f32, groups * n * k), c(DType::f32, m * n), big(DType::f32, groups * m * n), x(DType::f32, m * n);
  for (Array *t : {&a, &b, &c, &big, &x}) t->fill(false);
  struct Bad { int32_t offsets[3]; int32_t rows[6]; DeviceFault fault; int64_t index, value; };
  const Bad bad[] = {
      {{1, 3, 6}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 0, 1},
      {{0, 7, 7}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 1, 7},
      {{0, 4, 3}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 2, 3},
      {{0, -1, 3}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 1, -1},
      {{0, 3, 6}, {0, 1, 6, 3, 4, 5}, DeviceFault::row_out_of_range, 2, 6},
      {{0, 3, 6}, {0, 1, 2, 3, 4, -1}, DeviceFault::row_out_of_range, 5, -1},
  };
  for (const Bad &t : bad) {
    for (const Kernels &kernels : all_kernels) {
      for (int inner = 0; inner < 2; ++inner) {
        Machine &machine = *machines[0];
        machine.scratch.reset();
        machine.error = ErrorWord{};
        Array out(inner ? big : c), before(out);
        if (inner) kernels.ops->gemm_grouped_inner(machine.exec, {out.data.get(), DType::f32, n, m * n, x.data.get(), DType::f32, n, x.data.get(), DType::f32, n, t.offsets, t.rows, groups, n, n, m, m, 0.0f});
        else kernels.ops->gemm_grouped_rows(machine.exec, {out.data.get(), DType::f32, n, a.data.get(), DType::f32, k, b.data.get(), DType::f32, k, true, n * k, t.offsets, t.rows, groups, m, n, k, m, 0.0f});
        const ErrorWord &e = machine.error;
        if (e.claimed && e.fault == (int32_t)t.fault && e.index == t.index && e.value == t.value) ++passed;
        else {
          std::printf("fault %d at %lld (%lld) expected, got %d at %lld (%lld)\n", (int)t.fault, (long long)t.index, (long long)t.value, e.fault, (long long)e.index, (long long)e.value);
          ++failed;
        }
        compare("after a fault", kernels.name, 1, "C", before, out);
        machine.error = ErrorWord{};
      }
    }
  }
}

}  // namespace

// gemm_test [cases] [seed]
int main(int argc, char **argv) {
  int64_t cases = argc > 1 ? std::atoll(argv[1]) : 250;
  if (argc > 2) state = (uint64_t)std::atoll(argv[2]);
  all_kernels = supported();
  for (int threads : {1, 2, 7}) machines.push_back(std::make_unique<Machine>(threads));
  test_faults();
  for (int64_t i = 0; i < cases; ++i) {
    // Sizes that meet every edge, the product of the three bounded so that the plain loop stays quick.
    int64_t m = any_size(130), n = any_size(150), k = any_size(90);
    switch (below(10)) {
      case 0: m = any_size(9), n = any_size(600), k = any_size(200); break;    // decoding
      case 1: m = any_size(20), n = any_size(40), k = 380 + below(450); break;  // passes over k
      case 2: m = any_size(530), n = any_size(20), k = any_size(30); break;     // tall
      case 3: m = any_size(20), n = any_size(700), k = any_size(30); break;     // wide
      default: break;
    }
    switch (below(4)) {
      case 0: test_grouped_rows(m, n, k); break;
      case 1: test_grouped_inner(m, n, k); break;
      default: test_gemm(m, n, k); break;
    }
  }
  std::printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
  return failed ? 1 : 0;
}
