// Matrix products: checks.
#include "call.h"

using namespace cunn;

namespace {

// The matrices of one product, each repeated `batch` times at its stride.
struct Operands {
  Extent c, a, b;
};

// B as the products take it: blocks lie along k, so B may consist of them where its rows do.
uint32_t dtypes_of_b(bool trans_b) { return trans_b ? kAnyFloat | kQuantized : kAnyFloat; }

void check_blocks(Call &call, DType b, int64_t k, int64_t ldb, int64_t stride_b) {
  if (!is_quantized(b)) return;
  const Call::Dim along_k[] = {{"k", k}, {"ldb", ldb}, {"stride_b", stride_b}};
  for (const Call::Dim &dim : along_k)
    call.require(dim.value % kQuantBlock == 0, "%s is %lld, expected a multiple of %lld (a block of q8 or q4)", dim.name,
                 static_cast<long long>(dim.value), static_cast<long long>(kQuantBlock));
}

Extent repeated(Call &call, int64_t batch, const char *stride_name, int64_t stride, int64_t rows, int64_t cols,
                const char *ld_name, int64_t ld) {
  call.at_least(ld_name, ld, cols);
  call.at_least(stride_name, stride, 0);
  return strided(cols, {batch, stride}, {rows, ld});
}

GemmArgs problem(Call &call, const Operands &extents, cunn_buffer c, cunn_buffer a, cunn_buffer b, bool trans_a,
                 bool trans_b, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b,
                 double alpha, double beta) {
  const Elements ec = call.out("c", c, extents.c, kAnyFloat);
  const Elements ea = call.in("a", a, extents.a, kAnyFloat);
  const Elements eb = call.in("b", b, extents.b, dtypes_of_b(trans_b));
  check_blocks(call, eb.dtype, k, ldb, stride_b);
  const float narrow_alpha = call.real32("alpha", alpha), narrow_beta = call.real32("beta", beta);
  return {ec.data, ec.dtype, ldc, ea.data, ea.dtype, lda, trans_a, eb.data, eb.dtype, ldb, trans_b,
          m, n, k, narrow_alpha, narrow_beta};
}

}  // namespace

int32_t cunn_gemm(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, int32_t trans_a, int32_t trans_b,
                  int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda, int64_t ldb, double alpha, double beta) {
  return run_op<OpId::gemm>(context, [&](Call &call) {
    call.dims({{"m", m}, {"n", n}, {"k", k}, {"ldc", ldc}, {"lda", lda}, {"ldb", ldb}});
    const bool ta = call.flag("trans_a", trans_a), tb = call.flag("trans_b", trans_b);
    call.nothing_when(m == 0 || n == 0);
    const Operands extents = {call.matrix(m, n, "ldc", ldc), call.matrix(ta ? k : m, ta ? m : k, "lda", lda),
                              call.matrix(tb ? n : k, tb ? k : n, "ldb", ldb)};
    return problem(call, extents, c, a, b, ta, tb, m, n, k, ldc, lda, ldb, 0, alpha, beta);
  });
}

int32_t cunn_gemm_batched(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, int32_t trans_a,
                          int32_t trans_b, int64_t batch, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda,
                          int64_t ldb, int64_t stride_c, int64_t stride_a, int64_t stride_b, double alpha,
                          double beta) {
  return run_op<OpId::gemm_batched>(context, [&](Call &call) {
    call.dims({{"batch", batch}, {"m", m}, {"n", n}, {"k", k}, {"ldc", ldc}, {"lda", lda}, {"ldb", ldb},
               {"stride_c", stride_c}, {"stride_a", stride_a}, {"stride_b", stride_b}});
    const bool ta = call.flag("trans_a", trans_a), tb = call.flag("trans_b", trans_b);
    call.nothing_when(batch == 0 || m == 0 || n == 0);
    const Operands extents = {
        repeated(call, batch, "stride_c", stride_c, m, n, "ldc", ldc),
        repeated(call, batch, "stride_a", stride_a, ta ? k : m, ta ? m : k, "lda", lda),
        repeated(call, batch, "stride_b", stride_b, tb ? n : k, tb ? k : n, "ldb", ldb)};
    return GemmBatchedArgs{problem(call, extents, c, a, b, ta, tb, m, n, k, ldc, lda, ldb, stride_b, alpha, beta),
                           batch,
                           stride_c, stride_a, stride_b};
  });
}

int32_t cunn_gemm_grouped_rows(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b, cunn_buffer offsets,
                               cunn_buffer a_rows, int32_t trans_b, int64_t groups, int64_t m, int64_t n, int64_t k,
                               int64_t a_row_count, int64_t ldc, int64_t lda, int64_t ldb, int64_t stride_b,
                               double beta) {
  return run_op<OpId::gemm_grouped_rows>(context, [&](Call &call) {
    call.dims({{"groups", groups}, {"m", m}, {"n", n}, {"k", k}, {"a_row_count", a_row_count}, {"ldc", ldc},
               {"lda", lda}, {"ldb", ldb}, {"stride_b", stride_b}});
    const bool tb = call.flag("trans_b", trans_b);
    call.nothing_when(groups == 0 || m == 0 || n == 0);
    call.fits_i32("groups", groups);
    call.fits_i32("m", m);
    const int64_t rows_of_a = a_rows == 0 ? m : a_row_count;
    const Elements ec = call.out("c", c, call.matrix(m, n, "ldc", ldc), kAnyFloat);
    const Elements ea = call.in("a", a, call.matrix(rows_of_a, k, "lda", lda), kAnyFloat);
    const Elements eb =
        call.in("b", b, repeated(call, groups, "stride_b", stride_b, tb ? n : k, tb ? k : n, "ldb", ldb), dtypes_of_b(tb));
    check_blocks(call, eb.dtype, k, ldb, stride_b);
    const int32_t *starts = call.in<int32_t>("offsets", offsets, dense(groups + 1));
    const int32_t *rows = call.in_or_none<int32_t>("a_rows", a_rows, dense(m));
    return GemmGroupedRowsArgs{ec.data, ec.dtype, ldc, ea.data, ea.dtype, lda, eb.data, eb.dtype, ldb, tb, stride_b,
                               starts, rows, groups, m, n, k, rows_of_a, call.real32("beta", beta)};
  });
}

int32_t cunn_gemm_grouped_inner(cunn_context context, cunn_buffer c, cunn_buffer a, cunn_buffer b,
                                cunn_buffer offsets, cunn_buffer b_rows, int64_t groups, int64_t m, int64_t n,
                                int64_t k, int64_t b_row_count, int64_t ldc, int64_t lda, int64_t ldb,
                                int64_t stride_c, double beta) {
  return run_op<OpId::gemm_grouped_inner>(context, [&](Call &call) {
    call.dims({{"groups", groups}, {"m", m}, {"n", n}, {"k", k}, {"b_row_count", b_row_count}, {"ldc", ldc},
               {"lda", lda}, {"ldb", ldb}, {"stride_c", stride_c}});
    call.nothing_when(groups == 0 || m == 0 || n == 0);
    call.fits_i32("groups", groups);
    call.fits_i32("k", k);
    const int64_t rows_of_b = b_rows == 0 ? k : b_row_count;
    const Elements ec =
        call.out("c", c, repeated(call, groups, "stride_c", stride_c, m, n, "ldc", ldc), kAnyFloat);
    const Elements ea = call.in("a", a, call.matrix(k, m, "lda", lda), kAnyFloat);
    const Elements eb = call.in("b", b, call.matrix(rows_of_b, n, "ldb", ldb), kAnyFloat);
    const int32_t *starts = call.in<int32_t>("offsets", offsets, dense(groups + 1));
    const int32_t *rows = call.in_or_none<int32_t>("b_rows", b_rows, dense(k));
    return GemmGroupedInnerArgs{ec.data, ec.dtype, ldc, stride_c, ea.data, ea.dtype, lda, eb.data, eb.dtype, ldb,
                                starts, rows, groups, m, n, k, rows_of_b, call.real32("beta", beta)};
  });
}

int32_t cunn_gemm_grouped_swiglu_forward(cunn_context context, cunn_buffer y, cunn_buffer gate, cunn_buffer up,
                                         cunn_buffer a, cunn_buffer w_gate, cunn_buffer w_up, cunn_buffer offsets,
                                         cunn_buffer a_rows, int64_t groups, int64_t m, int64_t n, int64_t k,
                                         int64_t a_row_count, int64_t ldc, int64_t lda, int64_t ldb,
                                         int64_t stride_b) {
  return run_op<OpId::gemm_grouped_swiglu_forward>(context, [&](Call &call) {
    call.dims({{"groups", groups}, {"m", m}, {"n", n}, {"k", k}, {"a_row_count", a_row_count}, {"ldc", ldc},
               {"lda", lda}, {"ldb", ldb}, {"stride_b", stride_b}});
    call.nothing_when(groups == 0 || m == 0 || n == 0);
    call.fits_i32("groups", groups);
    call.fits_i32("m", m);
    const Extent result = call.matrix(m, n, "ldc", ldc);
    const int64_t rows_of_a = a_rows == 0 ? m : a_row_count;
    const Elements ey = call.out("y", y, result, kAnyFloat);
    const bool kept = gate != 0 || up != 0;  // one of them alone serves nobody
    float *p = kept ? call.out<float>("gate", gate, result) : nullptr;
    float *q = kept ? call.out<float>("up", up, result) : nullptr;
    const Elements ea = call.in("a", a, call.matrix(rows_of_a, k, "lda", lda), kAnyFloat);
    const Extent weights = repeated(call, groups, "stride_b", stride_b, n, k, "ldb", ldb);
    const Elements eg = call.in("w_gate", w_gate, weights, dtypes_of_b(true));
    const Elements eu = call.in("w_up", w_up, weights, dtypes_of_b(true));
    call.same_dtype("w_up", eu.dtype, "w_gate", eg.dtype);
    check_blocks(call, eg.dtype, k, ldb, stride_b);
    const int32_t *starts = call.in<int32_t>("offsets", offsets, dense(groups + 1));
    const int32_t *rows = call.in_or_none<int32_t>("a_rows", a_rows, dense(m));
    return GemmGroupedSwigluForwardArgs{ey.data, ey.dtype, p, q, ldc, ea.data, ea.dtype, lda, eg.data, eu.data,
                                        eg.dtype, ldb, stride_b, starts, rows, groups, m, n, k, rows_of_a};
  });
}

int32_t cunn_gemm_grouped_swiglu_backward(cunn_context context, cunn_buffer dgate, cunn_buffer dup, cunn_buffer a,
                                          cunn_buffer w_down, cunn_buffer offsets, cunn_buffer gate, cunn_buffer up,
                                          int64_t groups, int64_t m, int64_t n, int64_t k, int64_t ldc, int64_t lda,
                                          int64_t ldb, int64_t stride_b) {
  return run_op<OpId::gemm_grouped_swiglu_backward>(context, [&](Call &call) {
    call.dims({{"groups", groups}, {"m", m}, {"n", n}, {"k", k}, {"ldc", ldc}, {"lda", lda}, {"ldb", ldb},
               {"stride_b", stride_b}});
    call.nothing_when(groups == 0 || m == 0 || n == 0);
    call.fits_i32("groups", groups);
    call.fits_i32("m", m);
    const Extent result = call.matrix(m, n, "ldc", ldc);
    float *dp = call.out<float>("dgate", dgate, result), *dq = call.out<float>("dup", dup, result);
    const Elements ea = call.in("a", a, call.matrix(m, k, "lda", lda), kAnyFloat);
    const Elements ew =
        call.in("w_down", w_down, repeated(call, groups, "stride_b", stride_b, k, n, "ldb", ldb), kAnyFloat);
    const int32_t *starts = call.in<int32_t>("offsets", offsets, dense(groups + 1));
    const float *p = call.in<float>("gate", gate, result, {"dgate"}), *q = call.in<float>("up", up, result, {"dup"});
    return GemmGroupedSwigluBackwardArgs{dp, dq, ldc, ea.data, ea.dtype, lda, ew.data, ew.dtype, ldb, stride_b, starts,
                                         p, q, groups, m, n, k};
  });
}
