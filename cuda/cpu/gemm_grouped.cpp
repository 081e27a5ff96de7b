// Matrix products over groups of rows, the experts' matrices: which rows belong to a group stands in device buffers.
#include "../src/error_word.h"
#include "../src/thread_pool.h"
#include "gemm.h"
#include "ops_decl.h"

namespace cunn::cpu::CUNN_ISA_NS {

// Whether offsets[0..groups] ascend from 0 to at most `rows`; reports the first that does not.
static bool offsets_are_valid(Exec &exec, OpId op, const int32_t *offsets, int64_t groups, int64_t rows) {
  for (int64_t g = 0; g <= groups; ++g) {
    int64_t value = offsets[g], least_valid = g == 0 ? 0 : offsets[g - 1], most_valid = g == 0 ? 0 : rows;
    if (value >= least_valid && value <= most_valid) continue;
    report_fault(exec, op, DeviceFault::offset_out_of_range, g, value, most_valid + 1);
    return false;
  }
  return true;
}

// Whether the first `count` gathered rows exist; reports the first that does not.
static bool rows_are_valid(Exec &exec, OpId op, const int32_t *rows, int64_t count, int64_t limit) {
  if (!rows) return true;
  for (int64_t r = 0; r < count; ++r) {
    if (rows[r] >= 0 && rows[r] < limit) continue;
    report_fault(exec, op, DeviceFault::row_out_of_range, r, rows[r], limit);
    return false;
  }
  return true;
}

// Rows [begin, ...) of a matrix, or of its gather.
static Operand rows_from(Operand all, int64_t begin) {
  if (all.gather) all.gather += begin;
  else all.data = static_cast<const char *>(all.data) + bytes_of(all.dtype, begin * all.ld);
  return all;
}

// Of the products of grouped rows: where group i's operands and its rows of what is computed begin.
template <class Args>
Operand group_of_a(const Args &g, const int32_t *a_rows, int64_t i) {
  return rows_from({g.a, g.a_dtype, g.lda, false, a_rows}, g.offsets[i]);
}
template <class Args>
Operand group_of_b(const Args &g, const void *b, DType dtype, bool k_rows, int64_t i) {
  return {static_cast<const char *>(b) + bytes_of(dtype, i * g.stride_b), dtype, g.ldb, k_rows, nullptr};
}
template <class Args, class T>
T *group_of_rows(const Args &g, T *all, int64_t i) {
  return all ? all + g.offsets[i] * g.ldc : nullptr;
}
template <class Args>
char *group_of_c(const Args &g, void *all, DType dtype, int64_t i) {
  return static_cast<char *>(all) + bytes_of(dtype, g.offsets[i] * g.ldc);
}

static Problem *problems_of(Exec &exec, int64_t groups) {
  return static_cast<Problem *>(exec.scratch->bytes((size_t)groups * sizeof(Problem)));
}

// With a bad offset or row nothing is written: half an answer would hide the fault.
void gemm_grouped_rows(Exec &exec, const GemmGroupedRowsArgs &g) {
  if (!offsets_are_valid(exec, OpId::gemm_grouped_rows, g.offsets, g.groups, g.m)) return;
  if (!rows_are_valid(exec, OpId::gemm_grouped_rows, g.a_rows, g.offsets[g.groups], g.a_row_count)) return;
  if (g.groups <= 0) return;
  Problem *problems = problems_of(exec, g.groups);
  for (int64_t i = 0; i < g.groups; ++i)
    problems[i] = {group_of_a(g, g.a_rows, i), group_of_b(g, g.b, g.b_dtype, !g.trans_b, i),
                   group_of_c(g, g.c, g.c_dtype, i), g.ldc, g.offsets[i + 1] - g.offsets[i], g.n, g.k};
  run_problems(exec, {g.c_dtype, narrower(g.a_dtype, g.b_dtype), 1.0f, g.beta}, problems, g.groups);
}

void gemm_grouped_swiglu_forward(Exec &exec, const GemmGroupedSwigluForwardArgs &g) {
  constexpr OpId op = OpId::gemm_grouped_swiglu_forward;
  if (!offsets_are_valid(exec, op, g.offsets, g.groups, g.m)) return;
  if (!rows_are_valid(exec, op, g.a_rows, g.offsets[g.groups], g.a_row_count)) return;
  if (g.groups <= 0) return;
  Problem *problems = problems_of(exec, g.groups);
  for (int64_t i = 0; i < g.groups; ++i) {
    Problem &p = problems[i];
    p = {group_of_a(g, g.a_rows, i), group_of_b(g, g.w_gate, g.w_dtype, false, i), group_of_c(g, g.y, g.y_dtype, i),
         g.ldc, g.offsets[i + 1] - g.offsets[i], g.n, g.k};
    p.b_up = group_of_b(g, g.w_up, g.w_dtype, false, i);
    p.gate_out = group_of_rows(g, g.gate, i);
    p.up_out = group_of_rows(g, g.up, i);
  }
  run_problems(exec, {g.y_dtype, narrower(g.a_dtype, g.w_dtype), 1.0f, 0.0f, Epilogue::swiglu}, problems, g.groups);
}

void gemm_grouped_swiglu_backward(Exec &exec, const GemmGroupedSwigluBackwardArgs &g) {
  if (!offsets_are_valid(exec, OpId::gemm_grouped_swiglu_backward, g.offsets, g.groups, g.m)) return;
  if (g.groups <= 0) return;
  Problem *problems = problems_of(exec, g.groups);
  for (int64_t i = 0; i < g.groups; ++i) {
    Problem &p = problems[i];
    p = {group_of_a(g, nullptr, i), group_of_b(g, g.w_down, g.w_dtype, true, i), nullptr, g.ldc,
         g.offsets[i + 1] - g.offsets[i], g.n, g.k};
    p.gate_out = group_of_rows(g, g.dgate, i);
    p.up_out = group_of_rows(g, g.dup, i);
    p.gate = group_of_rows(g, g.gate, i);
    p.up = group_of_rows(g, g.up, i);
  }
  run_problems(exec, {DType::f32, narrower(g.a_dtype, g.w_dtype), 1.0f, 0.0f, Epilogue::swiglu_backward}, problems,
               g.groups);
}

void gemm_grouped_inner(Exec &exec, const GemmGroupedInnerArgs &g) {
  if (!offsets_are_valid(exec, OpId::gemm_grouped_inner, g.offsets, g.groups, g.k)) return;
  if (!rows_are_valid(exec, OpId::gemm_grouped_inner, g.b_rows, g.offsets[g.groups], g.b_row_count)) return;
  if (g.groups <= 0) return;
  Problem *problems = problems_of(exec, g.groups);
  for (int64_t i = 0; i < g.groups; ++i) {
    const int64_t begin = g.offsets[i];
    problems[i] = {rows_from({g.a, g.a_dtype, g.lda, true, nullptr}, begin),
                   rows_from({g.b, g.b_dtype, g.ldb, true, g.b_rows}, begin),
                   static_cast<char *>(g.c) + bytes_of(g.c_dtype, i * g.stride_c),
                   g.ldc, g.m, g.n, g.offsets[i + 1] - begin};
  }
  run_problems(exec, {g.c_dtype, narrower(g.a_dtype, g.b_dtype), 1.0f, g.beta}, problems, g.groups);
}

}  // namespace cunn::cpu::CUNN_ISA_NS
