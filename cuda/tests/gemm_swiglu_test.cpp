// The experts' products with SwiGLU in their epilogue against the calls they stand for, bit for bit: every instruction set,
// 1, 2 and 7 threads, every dtype, with and without gate and up, in place and not, k of 0, rows of no group.
#include "product_test.h"

using namespace cunn;
using namespace cunn::tests;

namespace {

constexpr float gap = -3.0f;  // what stands between rows and must stay

Array filled(DType dtype, int64_t count, float value) {
  Array a(dtype, count);
  for (int64_t i = 0; i < count; ++i) a.set(i, value);
  return a;
}

// Rows of experts: what the two ops have in common.
struct Experts {
  int64_t groups, m, n, k, lda, ldb, ldc, stride;
  DType at, wt;
  std::vector<int32_t> offsets;
  char shape[200];
};

Experts any_experts(int64_t m, int64_t n, int64_t k, bool rows_of_k) {
  Experts e;
  e.groups = 1 + below(6), e.m = m, e.n = n;
  e.at = any_dtype(), e.wt = rows_of_k ? any_dtype_of_rows() : any_dtype();
  const int64_t unit = is_quantized(e.wt) ? 32 : 1;
  e.k = (k + unit - 1) / unit * unit;
  e.lda = e.k + below(3), e.ldb = (rows_of_k ? e.k : n) + unit * below(3), e.ldc = n + below(3);
  e.stride = (rows_of_k ? n : e.k) * e.ldb;
  e.offsets = any_offsets(e.groups, m);
  return e;
}

int64_t weights_of(const Experts &e, bool rows_of_k) {
  return (e.groups - 1) * e.stride + (rows_of_k ? elements(e.n, e.k, e.ldb) : elements(e.k, e.n, e.ldb));
}

// The plain products and the activation of the scalar build, one thread.
const OpTable &plain() { return *all_kernels[0].ops; }
Exec &alone() {
  machines[0]->scratch.reset();
  return machines[0]->exec;
}

template <class Run> void on_every(Run run) {
  for (const Kernels &kernels : all_kernels) {
    for (auto &m : machines) {
      m->scratch.reset();
      run(kernels, *m);
      if (!m->error.claimed) continue;
      std::printf("%s: reported a fault\n", kernels.name);
      ++failed;
      m->error = ErrorWord{};
    }
  }
}

void test_forward(int64_t m, int64_t n, int64_t k) {
  Experts e = any_experts(m, n, k, true);
  const bool gather = below(2), kept = below(2), specials = below(3) == 0;
  const int64_t a_rows = gather ? 1 + below(m + 3) : m, count = elements(m, n, e.ldc);
  const DType yt = any_dtype();
  Array a(e.at, elements(a_rows, e.k, e.lda)), w_gate(e.wt, weights_of(e, true)), w_up(e.wt, weights_of(e, true));
  for (Array *x : {&a, &w_gate, &w_up}) x->fill(specials);
  const std::vector<int32_t> rows = any_rows(m, a_rows);
  const int32_t *from = gather ? rows.data() : nullptr;
  std::snprintf(e.shape, sizeof e.shape, "groups %lld m %lld n %lld k %lld gather %d kept %d dtypes %s %s -> %s", (long long)e.groups,
                (long long)m, (long long)n, (long long)e.k, gather, kept, dtype_name(e.at), dtype_name(e.wt), dtype_name(yt));

  Array y = filled(yt, count, gap), gate = filled(DType::f32, count, gap), up(gate);
  const Array y_before(y), before(gate);
  for (const auto &[c, w] : {std::pair<Array *, Array *>{&gate, &w_gate}, {&up, &w_up}})
    plain().gemm_grouped_rows(alone(), {c->data.get(), DType::f32, e.ldc, a.data.get(), e.at, e.lda, w->data.get(), e.wt, e.ldb, true,
                                        e.stride, e.offsets.data(), from, e.groups, m, n, e.k, a_rows, 0.0f});
  for (int64_t r = 0; n > 0 && r < e.offsets.back(); ++r) {
    const int64_t at = r * e.ldc;
    plain().swiglu_forward(alone(), {{y.data.get() + bytes_of(yt, at), yt}, reinterpret_cast<float *>(gate.data.get()) + at,
                                     reinterpret_cast<float *>(up.data.get()) + at, n});
  }

  on_every([&](const Kernels &kernels, Machine &machine) {
    Array got(y_before), got_gate(before), got_up(before);
    const auto keep = [&](Array &x) { return kept ? reinterpret_cast<float *>(x.data.get()) : nullptr; };
    kernels.ops->gemm_grouped_swiglu_forward(
        machine.exec, {got.data.get(), yt, keep(got_gate), keep(got_up), e.ldc, a.data.get(), e.at, e.lda, w_gate.data.get(),
                       w_up.data.get(), e.wt, e.ldb, e.stride, e.offsets.data(), from, e.groups, m, n, e.k, a_rows});
    compare("y", kernels.name, machine.pool.size(), e.shape, y, got);
    compare("gate", kernels.name, machine.pool.size(), e.shape, kept ? gate : before, got_gate);
    compare("up", kernels.name, machine.pool.size(), e.shape, kept ? up : before, got_up);
  });
}

void test_backward(int64_t m, int64_t n, int64_t k) {
  Experts e = any_experts(m, n, k, false);
  const bool in_place = below(2), specials = below(3) == 0;
  const int64_t count = elements(m, n, e.ldc);
  Array a(e.at, elements(m, e.k, e.lda)), w(e.wt, weights_of(e, false)), gate(DType::f32, count), up(DType::f32, count);
  for (Array *x : {&a, &w, &gate, &up}) x->fill(specials);
  std::snprintf(e.shape, sizeof e.shape, "groups %lld m %lld n %lld k %lld in place %d dtypes %s %s", (long long)e.groups, (long long)m,
                (long long)n, (long long)e.k, in_place, dtype_name(e.at), dtype_name(e.wt));

  Array dy(DType::f32, count), dgate(in_place ? gate : filled(DType::f32, count, gap)), dup(in_place ? up : dgate);
  const Array dgate_before(dgate), dup_before(dup);
  plain().gemm_grouped_rows(alone(), {dy.data.get(), DType::f32, e.ldc, a.data.get(), e.at, e.lda, w.data.get(), e.wt, e.ldb, false,
                                      e.stride, e.offsets.data(), nullptr, e.groups, m, n, e.k, m, 0.0f});
  const auto floats = [](Array &x) { return reinterpret_cast<float *>(x.data.get()); };
  for (int64_t r = 0; n > 0 && r < e.offsets.back(); ++r) {
    const int64_t at = r * e.ldc;
    plain().swiglu_backward(alone(), {floats(dgate) + at, floats(dup) + at, floats(dy) + at, floats(gate) + at, floats(up) + at, n});
  }

  on_every([&](const Kernels &kernels, Machine &machine) {
    Array got_dgate(dgate_before), got_dup(dup_before);
    kernels.ops->gemm_grouped_swiglu_backward(
        machine.exec, {floats(got_dgate), floats(got_dup), e.ldc, a.data.get(), e.at, e.lda, w.data.get(), e.wt, e.ldb, e.stride,
                       e.offsets.data(), floats(in_place ? got_dgate : gate), floats(in_place ? got_dup : up), e.groups, m, n, e.k});
    compare("dgate", kernels.name, machine.pool.size(), e.shape, dgate, got_dgate);
    compare("dup", kernels.name, machine.pool.size(), e.shape, dup, got_dup);
  });
}

// Offsets and rows that are out of range: reported, and nothing written.
void test_faults() {
  const int64_t m = 6, n = 5, k = 4, groups = 2;
  Array a = filled(DType::f32, m * k, 1), w = filled(DType::f32, groups * n * k, 1), saved = filled(DType::f32, m * n, 1);
  const Array before = filled(DType::f32, m * n, gap);
  const auto floats = [](Array &x) { return reinterpret_cast<float *>(x.data.get()); };
  for (const BadIndices &t : bad_indices) {
    for (const Kernels &kernels : all_kernels) {
      Machine &machine = *machines[0];
      Array y(before), gate(before), up(before);
      machine.scratch.reset();
      kernels.ops->gemm_grouped_swiglu_forward(
          machine.exec, {y.data.get(), DType::f32, floats(gate), floats(up), n, a.data.get(), DType::f32, k, w.data.get(), w.data.get(),
                         DType::f32, k, n * k, t.offsets, t.rows, groups, m, n, k, m});
      expect_fault(machine, OpId::gemm_grouped_swiglu_forward, t);
      if (t.fault == DeviceFault::offset_out_of_range) {
        machine.scratch.reset();
        kernels.ops->gemm_grouped_swiglu_backward(machine.exec,
                                                  {floats(gate), floats(up), n, a.data.get(), DType::f32, k, w.data.get(), DType::f32, n,
                                                   n * k, t.offsets, floats(saved), floats(saved), groups, m, n, k});
        expect_fault(machine, OpId::gemm_grouped_swiglu_backward, t);
      }
      for (const Array *x : {&y, &gate, &up}) compare("after a fault", kernels.name, 1, "an output", before, *x);
    }
  }
}

}  // namespace

// gemm_swiglu_test [cases] [seed]
int main(int argc, char **argv) {
  int64_t cases = argc > 1 ? std::atoll(argv[1]) : 120;
  if (argc > 2) state = (uint64_t)std::atoll(argv[2]);
  make_machines();
  test_faults();
  for (int64_t i = 0; i < cases; ++i) {
    int64_t m = any_size(130), n = any_size(150), k = any_size(90);
    switch (below(8)) {
      case 0: m = any_size(20), n = any_size(600), k = any_size(200); break;    // decoding
      case 1: m = any_size(20), n = any_size(40), k = 380 + below(450); break;  // passes over k
      case 2: m = 300 + below(300), n = any_size(70), k = any_size(30); break;  // more rows than panels at hand
      case 3: m = any_size(40), n = 500 + below(300), k = any_size(30); break;  // several tiles side by side
      default: break;
    }
    test_forward(m, n, k);
    test_backward(m, n, k);
  }
  std::printf("%lld passed, %lld failed\n", (long long)passed, (long long)failed);
  return failed ? 1 : 0;
}
