// Tensor-core and asynchronous-copy instructions: one function each, with a body for the card and one for the host.
// Branches on the target live here and nowhere else, so that everything above them is executed by the tests as it is.
#pragma once
#include "common.cuh"

namespace cunn {

// Whether this target has attention on tensor cores: bf16 comes with sm_80, and sm_75's 64 KiB of shared memory hold tiles of
// head_dim 64. Elsewhere the kernels are empty and the launcher takes the f32 ones (mma_can_attend).
template <class T, int kDim>
static __host__ __device__ constexpr bool mma_attention_exists() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 750
  return false;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
  return !IsBf16<T>::value && kDim <= 64;
#else
  return true;
#endif
}

// D (16x8, f32) += A (16x16, bf16, row-major) * B (16x8, bf16, column-major); fragment layout: PTX manual, mma.m16n8k16.
static __device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(SIMT_HOST)
  simt::mma(simt::combine_mma_bf16, d, a, b, SIMT_SITE("mma.m16n8k16.bf16"));
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  (void)d, (void)a, (void)b;
  __trap();  // sm_75 has no bf16 tensor cores: the launcher takes the f32 path there
#endif
}

// The same with f16 operands. sm_75 has only k = 8: two of them, in k order.
static __device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if defined(SIMT_HOST)
  simt::mma(simt::combine_mma_f16, d, a, b, SIMT_SITE("mma.m16n8k16.f16"));
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#else
  (void)d, (void)a, (void)b;
  __trap();
#endif
}

// Whether this build has kernels with mma.m8n8k4: sm_70's tensor cores have no other shape, and later ones, the only targets of
// nvcc, run it slowly.
static __host__ __device__ constexpr bool mma_m8n8k4_exists() {
#if defined(SIMT_HOST) || defined(CUNN_DRIVER_HOST) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 750)
  return true;
#else
  return false;
#endif
}

// For each quad pair q, lanes 4q to 4q + 3 and 4q + 16 to 4q + 19, a product of its own: D (8x8, f32) += A (8x4, f16) * B (4x8,
// f16). A lane holds four neighbours along k of one line (row of A, column of B) where the operand is by k, of one k along
// the lines where it is not; fragment layout: PTX manual, mma.m8n8k4.
template <bool kAByK, bool kBByK>
static __device__ __forceinline__ void mma_m8n8k4(float (&d)[8], const uint32_t (&a)[2], const uint32_t (&b)[2]) {
#if defined(SIMT_HOST)
  simt::mma(simt::combine_mma_m8n8k4<kAByK, kBByK>, d, a, b, SIMT_SITE("mma.m8n8k4.f16"));
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 750
#define CUNN_MMA_M8N8K4(a_layout, b_layout)                                                                                     \
  asm volatile("mma.sync.aligned.m8n8k4." a_layout "." b_layout                                                                 \
               ".f32.f16.f16.f32 {%0,%1,%2,%3,%4,%5,%6,%7}, {%8,%9}, {%10,%11}, {%0,%1,%2,%3,%4,%5,%6,%7};"                     \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])                 \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]), "r"(b[1]))
  if constexpr (kAByK && kBByK)
    CUNN_MMA_M8N8K4("row", "col");
  else if constexpr (kAByK)
    CUNN_MMA_M8N8K4("row", "row");
  else if constexpr (kBByK)
    CUNN_MMA_M8N8K4("col", "col");
  else
    CUNN_MMA_M8N8K4("col", "row");
#undef CUNN_MMA_M8N8K4
#else
  (void)d, (void)a, (void)b;
  __trap();
#endif
}

// The one for the operands' type.
template <class T>
static __device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if (IsBf16<T>::value)
    mma_m16n8k16_bf16(d, a, b);
  else
    mma_m16n8k16_f16(d, a, b);
}

#if !defined(SIMT_HOST)
static __device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
#endif

// sm_70 has no ldmatrix: the launchers take other kernels there.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 750
#define CUNN_HAS_LDMATRIX 1
#else
#define CUNN_HAS_LDMATRIX 0
#endif

// ldmatrix: N 8x8 matrices of 16-bit elements from shared memory. Lane 8j+i gives the 16-byte aligned address of row i
// of matrix j (the addresses of lanes from 8N on are not used). Lane l receives elements 2(l%4), 2(l%4)+1 of row l/4 of
// each, or of each one's transpose.
static __device__ __forceinline__ void ldmatrix_x1(uint32_t (&r)[1], const void* row) {
#if defined(SIMT_HOST)
  simt::ldmatrix(simt::combine_ldmatrix, r, 1, row, SIMT_SITE("ldmatrix.x1"));
#elif CUNN_HAS_LDMATRIX
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(shared_address(row)) : "memory");
#else
  (void)r, (void)row;
  __trap();
#endif
}
static __device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
#if defined(SIMT_HOST)
  simt::ldmatrix(simt::combine_ldmatrix, r, 2, row, SIMT_SITE("ldmatrix.x2"));
#elif CUNN_HAS_LDMATRIX
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#else
  (void)r, (void)row;
  __trap();
#endif
}
static __device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
#if defined(SIMT_HOST)
  simt::ldmatrix(simt::combine_ldmatrix, r, 4, row, SIMT_SITE("ldmatrix.x4"));
#elif CUNN_HAS_LDMATRIX
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#else
  (void)r, (void)row;
  __trap();
#endif
}
static __device__ __forceinline__ void ldmatrix_x2_transposed(uint32_t (&r)[2], const void* row) {
#if defined(SIMT_HOST)
  simt::ldmatrix(simt::combine_ldmatrix_transposed, r, 2, row, SIMT_SITE("ldmatrix.x2.trans"));
#elif CUNN_HAS_LDMATRIX
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1]) : "r"(shared_address(row)) : "memory");
#else
  (void)r, (void)row;
  __trap();
#endif
}
static __device__ __forceinline__ void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
#if defined(SIMT_HOST)
  simt::ldmatrix(simt::combine_ldmatrix_transposed, r, 4, row, SIMT_SITE("ldmatrix.x4.trans"));
#elif CUNN_HAS_LDMATRIX
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
#else
  (void)r, (void)row;
  __trap();
#endif
}

// Copies 16 bytes from global to shared memory without waiting; both addresses are multiples of 16. source_bytes of
// them are read (0: the source is not touched), the rest of the destination becomes zero. sm_75 copies at once.
static __device__ __forceinline__ void cp_async_16(void* shared, const void* global, int source_bytes) {
#if defined(SIMT_HOST)
  simt::async_copy(shared, global, 16, source_bytes, SIMT_SITE("cp.async"));
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(source_bytes)
               : "memory");
#else
  uint4 value = make_uint4(0, 0, 0, 0);
  if (source_bytes == 16) {
    value = *static_cast<const uint4*>(global);
  } else {
    for (int i = 0; i < source_bytes; ++i)
      reinterpret_cast<unsigned char*>(&value)[i] = static_cast<const unsigned char*>(global)[i];
  }
  *static_cast<uint4*>(shared) = value;
#endif
}
// The same for 4 bytes: what f32 tiles with rows of any length use.
static __device__ __forceinline__ void cp_async_4(void* shared, const void* global, int source_bytes) {
#if defined(SIMT_HOST)
  simt::async_copy(shared, global, 4, source_bytes, SIMT_SITE("cp.async"));
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(source_bytes)
               : "memory");
#else
  *static_cast<uint32_t*>(shared) = source_bytes == 4 ? *static_cast<const uint32_t*>(global) : 0u;
#endif
}
// Ends a group of copies; cp_async_wait<N> returns when all but the newest N groups of this thread have landed. Other
// threads see them after a barrier.
static __device__ __forceinline__ void cp_async_commit() {
#if defined(SIMT_HOST)
  simt::async_copy_commit();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int N>
static __device__ __forceinline__ void cp_async_wait() {
#if defined(SIMT_HOST)
  simt::async_copy_wait(N);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

}  // namespace cunn
