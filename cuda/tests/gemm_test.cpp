// The cpu device's matrix products against a loop that does what the contract says, one fused multiply-add at a time:
// every instruction set, 1, 2 and 7 threads, every transpose and dtype, bit for bit.
#include "product_test.h"

using namespace cunn;
using namespace cunn::tests;

namespace {

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

float any_alpha() { return pick({1.0f, 1.0f, 0.3f, -2.0f, 0.0f}); }
float any_beta() { return pick({0.0f, 0.0f, 1.0f, 1.0f, 0.7f, -1.0f}); }

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
  for (const BadIndices &t : bad_indices) {
    for (const Kernels &kernels : all_kernels) {
      for (int inner = 0; inner < 2; ++inner) {
        Machine &machine = *machines[0];
        machine.scratch.reset();
        Array out(inner ? big : c), before(out);
        if (inner) kernels.ops->gemm_grouped_inner(machine.exec, {out.data.get(), DType::f32, n, m * n, x.data.get(), DType::f32, n, x.data.get(), DType::f32, n, t.offsets, t.rows, groups, n, n, m, m, 0.0f});
        else kernels.ops->gemm_grouped_rows(machine.exec, {out.data.get(), DType::f32, n, a.data.get(), DType::f32, k, b.data.get(), DType::f32, k, true, n * k, t.offsets, t.rows, groups, m, n, k, m, 0.0f});
        expect_fault(machine, inner ? OpId::gemm_grouped_inner : OpId::gemm_grouped_rows, t);
        compare("after a fault", kernels.name, 1, "C", before, out);
      }
    }
  }
}

}  // namespace

// gemm_test [cases] [seed]
int main(int argc, char **argv) {
  int64_t cases = argc > 1 ? std::atoll(argv[1]) : 250;
  if (argc > 2) state = (uint64_t)std::atoll(argv[2]);
  make_machines();
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
