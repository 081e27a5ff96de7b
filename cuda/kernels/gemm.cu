// Matrix products: plain, batched, grouped by device-side offsets, grouped with SwiGLU or its gradient in the epilogue.
#include "gemm_fma.cuh"
#include "gemm_operands.cuh"
#include "gemm_volta.cuh"
#include "ops_decl.h"

namespace cunn::cuda {

namespace {

// f32 (and what comes out of blocks), then f16, then bf16: of two 16-bit types the one that every float fits.
DType narrower(DType a, DType b) {
  if (a == DType::bf16 || b == DType::bf16) return DType::bf16;
  if (a == DType::f16 || b == DType::f16) return DType::f16;
  return DType::f32;
}

Matrix matrix(const void* data, DType dtype, int64_t ld, bool transposed, int64_t batch_stride = 0) {
  return {data, dtype, transposed ? 1 : ld, transposed ? ld : 1, nullptr, batch_stride};
}
Matrix gathered(const void* data, DType dtype, int64_t ld, const int32_t* gather, int64_t rows) {
  return {data, dtype, ld, 1, gather, 0, rows};
}

// W_up, which stands as W_gate does; of other products B once more.
Matrix second_b(const Gemm& g) {
  Matrix b = g.b;
  if (g.swiglu.b_up) b.data = g.swiglu.b_up;
  return b;
}

// The same problem with operands that tensor cores read.
Gemm for_tensor_cores(Exec& exec, Gemm g) {
  const int64_t of_b = g.grouping == Grouping::inner ? 1 : g.groups, of_a = g.grouping == Grouping::none ? g.groups : 1;
  const int64_t rows_of_b = g.b.gather ? g.b.gathered : g.k;
  if (g.swiglu.b_up) g.swiglu.b_up = tensor_core_operand(exec, second_b(g), g.type, of_b, rows_of_b, g.n).data;
  g.b = tensor_core_operand(exec, g.b, g.type, of_b, rows_of_b, g.n);
  g.a = tensor_core_operand(exec, g.a, g.type, of_a, g.a.gather ? g.a.gathered : g.m, g.k);
  return g;
}

template <Epilogue kEpilogue = Epilogue::store>
void run(Exec& exec, const Gemm& problem) {
  if (problem.m <= 0 || problem.n <= 0 || problem.groups <= 0) return;
  const DType type = problem.type;
  const bool tensor_cores = type != DType::f32 && problem.alpha == 1.0f && has_tensor_cores(exec, type) &&
                            tensor_cores_take(problem.a, type) && tensor_cores_take(problem.b, type) &&
                            tensor_cores_take(second_b(problem), type);
  if (!tensor_cores) return run_gemm_fma<kEpilogue>(exec, problem);
  const Gemm g = for_tensor_cores(exec, problem);
  if constexpr (mma_m8n8k4_exists()) {
    if (cuda_exec(exec).compute_capability < 75) return run_gemm_volta<kEpilogue>(exec, g);
  }
  if (type == DType::bf16)
    run_gemm_mma<__nv_bfloat16, kEpilogue>(exec, g);
  else
    run_gemm_mma<__half, kEpilogue>(exec, g);
}

Gemm problem(const GemmArgs& g) {
  return {matrix(g.a, g.a_dtype, g.lda, g.trans_a),
          matrix(g.b, g.b_dtype, g.ldb, g.trans_b),
          g.c, g.c_dtype, g.ldc, 0, g.m, g.n, g.k, g.alpha, g.beta,
          narrower(g.a_dtype, g.b_dtype), Grouping::none, 1, nullptr, nullptr};
}

// Tests offsets (ascending from 0 to at most rows) and the gathered rows below offsets[groups]; reports the first bad one
// and leaves valid[0] 0: half an answer would hide the fault.
__global__ void __launch_bounds__(kCheckThreads)
    validate_groups_kernel(int32_t* valid, ErrorWord* error, OpId op, const int32_t* offsets, int64_t groups, int64_t rows,
                           const int32_t* gather, int64_t limit) {
  CUNN_SHARED(unsigned long long, first_bad, [1]);
  const int t = int(threadIdx.x);
  if (t == 0) first_bad[0] = ~0ull;
  __syncthreads();
  for (int64_t i = t; i <= groups; i += kCheckThreads) {
    const int64_t value = offsets[i], least = i == 0 ? 0 : offsets[i - 1], most = i == 0 ? 0 : rows;
    if (value < least || value > most) atomicMin(&first_bad[0], (unsigned long long)i);
  }
  __syncthreads();
  const bool offsets_are_good = first_bad[0] == ~0ull;
  const unsigned long long bad_row = offsets_are_good && gather ? first_bad_index(gather, offsets[groups], 0, limit) : ~0ull;
  if (t != 0) return;
  valid[0] = offsets_are_good && bad_row == ~0ull;
  if (!offsets_are_good) {
    const int64_t i = int64_t(first_bad[0]);
    report_fault(error, op, DeviceFault::offset_out_of_range, i, offsets[i], (i == 0 ? 0 : rows) + 1);
  } else if (bad_row != ~0ull) {
    report_fault(error, op, DeviceFault::row_out_of_range, int64_t(bad_row), gather[bad_row], limit);
  }
}

const int32_t* validate_groups(Exec& exec, OpId op, const int32_t* offsets, int64_t groups, int64_t rows, const int32_t* gather, int64_t limit) {
  int32_t* const valid = cuda_exec(exec).memory.array<int32_t>(1);
  CUNN_RUN(exec, validate_groups_kernel, 1, kCheckThreads, 0, valid, exec.error, op, offsets, groups, rows, gather, limit);
  return valid;
}

}  // namespace

void gemm(Exec& exec, const GemmArgs& op) { run(exec, problem(op)); }

void gemm_batched(Exec& exec, const GemmBatchedArgs& op) {
  constexpr int64_t kMostBatches = 65535;  // of blockIdx.z
  for (int64_t first = 0; first < op.batch; first += kMostBatches) {
    Gemm g = problem(op.g);
    g.groups = op.batch - first < kMostBatches ? op.batch - first : kMostBatches;
    g.a.batch_stride = op.stride_a;
    g.b.batch_stride = op.stride_b;
    g.c_batch_stride = op.stride_c;
    g.a.data = static_cast<const char*>(g.a.data) + bytes_of(g.a.dtype, first * op.stride_a);
    g.b.data = static_cast<const char*>(g.b.data) + bytes_of(g.b.dtype, first * op.stride_b);
    g.c = static_cast<char*>(g.c) + bytes_of(g.c_dtype, first * op.stride_c);
    run(exec, g);
  }
}

void gemm_grouped_rows(Exec& exec, const GemmGroupedRowsArgs& op) {
  const int32_t* const valid = validate_groups(exec, OpId::gemm_grouped_rows, op.offsets, op.groups, op.m, op.a_rows, op.a_row_count);
  run(exec, {gathered(op.a, op.a_dtype, op.lda, op.a_rows, op.a_row_count),
             matrix(op.b, op.b_dtype, op.ldb, op.trans_b, op.stride_b),
             op.c, op.c_dtype, op.ldc, 0, op.m, op.n, op.k, 1.0f, op.beta,
             narrower(op.a_dtype, op.b_dtype), Grouping::rows, op.groups, op.offsets, valid});
}

void gemm_grouped_inner(Exec& exec, const GemmGroupedInnerArgs& op) {
  const int32_t* const valid = validate_groups(exec, OpId::gemm_grouped_inner, op.offsets, op.groups, op.k, op.b_rows, op.b_row_count);
  run(exec, {matrix(op.a, op.a_dtype, op.lda, true),
             gathered(op.b, op.b_dtype, op.ldb, op.b_rows, op.b_row_count),
             op.c, op.c_dtype, op.ldc, op.stride_c, op.m, op.n, op.k, 1.0f, op.beta,
             narrower(op.a_dtype, op.b_dtype), Grouping::inner, op.groups, op.offsets, valid});
}

void gemm_grouped_swiglu_forward(Exec& exec, const GemmGroupedSwigluForwardArgs& op) {
  const int32_t* const valid =
      validate_groups(exec, OpId::gemm_grouped_swiglu_forward, op.offsets, op.groups, op.m, op.a_rows, op.a_row_count);
  Gemm g{gathered(op.a, op.a_dtype, op.lda, op.a_rows, op.a_row_count),
         matrix(op.w_gate, op.w_dtype, op.ldb, true, op.stride_b),
         op.y, op.y_dtype, op.ldc, 0, op.m, op.n, op.k, 1.0f, 0.0f,
         narrower(op.a_dtype, op.w_dtype), Grouping::rows, op.groups, op.offsets, valid};
  g.swiglu.b_up = op.w_up;
  g.swiglu.gate_out = op.gate;
  g.swiglu.up_out = op.up;
  run<Epilogue::swiglu>(exec, g);
}

void gemm_grouped_swiglu_backward(Exec& exec, const GemmGroupedSwigluBackwardArgs& op) {
  const int32_t* const valid = validate_groups(exec, OpId::gemm_grouped_swiglu_backward, op.offsets, op.groups, op.m, nullptr, 0);
  Gemm g{matrix(op.a, op.a_dtype, op.lda, false),
         matrix(op.w_down, op.w_dtype, op.ldb, false, op.stride_b),
         op.dgate, DType::f32, op.ldc, 0, op.m, op.n, op.k, 1.0f, 0.0f,
         narrower(op.a_dtype, op.w_dtype), Grouping::rows, op.groups, op.offsets, valid};
  g.swiglu.gate = op.gate;
  g.swiglu.up = op.up;
  g.swiglu.dup = op.dup;
  run<Epilogue::swiglu_gradient>(exec, g);
}

}  // namespace cunn::cuda
