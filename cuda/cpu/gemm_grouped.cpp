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

// With a bad offset or row nothing is written: half an answer would hide the fault.
void gemm_grouped_rows(Exec &exec, const GemmGroupedRowsArgs &g) {
  if (!offsets_are_valid(exec, OpId::gemm_grouped_rows, g.offsets, g.groups, g.m)) return;
  if (!rows_are_valid(exec, OpId::gemm_grouped_rows, g.a_rows, g.offsets[g.groups], g.a_row_count)) return;
  if (g.groups <= 0) return;
  Problem *problems = static_cast<Problem *>(exec.scratch->bytes((size_t)g.groups * sizeof(Problem)));
  for (int64_t i = 0; i < g.groups; ++i) {
    const int64_t begin = g.offsets[i];
    problems[i] = {rows_from({g.a, g.a_dtype, g.lda, false, g.a_rows}, begin),
                   {static_cast<const char *>(g.b) + bytes_of(g.b_dtype, i * g.stride_b), g.b_dtype, g.ldb, !g.trans_b, nullptr},
                   static_cast<char *>(g.c) + bytes_of(g.c_dtype, begin * g.ldc),
                   g.ldc, g.offsets[i + 1] - begin, g.n, g.k};
  }
  run_problems(exec, {g.c_dtype, narrower(g.a_dtype, g.b_dtype), 1.0f, g.beta}, problems, g.groups);
}

void gemm_grouped_inner(Exec &exec, const GemmGroupedInnerArgs &g) {
  if (!offsets_are_valid(exec, OpId::gemm_grouped_inner, g.offsets, g.groups, g.k)) return;
  if (!rows_are_valid(exec, OpId::gemm_grouped_inner, g.b_rows, g.offsets[g.groups], g.b_row_count)) return;
  if (g.groups <= 0) return;
  Problem *problems = static_cast<Problem *>(exec.scratch->bytes((size_t)g.groups * sizeof(Problem)));
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
