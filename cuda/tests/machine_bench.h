// What a machine can do at most, measured: fused multiply-adds of an instruction set, reading memory, and the triad.
// Kernels are judged by their share of these, since shares carry over to other machines and figures do not.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../cpu/isa.h"
#include "../src/thread_pool.h"

namespace machine_bench {

inline volatile float sink;
constexpr int64_t peak_steps = 400000;

// Twelve independent sums: latency 4 x 2 units a cycle on the widest cores of today, with room.
#if defined(__x86_64__)
__attribute__((noinline, target("avx512f"))) inline void fma_avx512() {
  __m512 s[12], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
  for (int i = 0; i < 12; ++i) s[i] = _mm512_set1_ps((float)i);
  for (int64_t n = 0; n < peak_steps; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) s[i] = _mm512_fmadd_ps(s[i], x, y);
  }
  for (int i = 1; i < 12; ++i) s[0] = _mm512_add_ps(s[0], s[i]);
  sink = _mm512_cvtss_f32(s[0]);
}
__attribute__((noinline, target("avx2,fma"))) inline void fma_avx2() {
  __m256 s[12], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
  for (int i = 0; i < 12; ++i) s[i] = _mm256_set1_ps((float)i);
  for (int64_t n = 0; n < peak_steps; ++n) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) s[i] = _mm256_fmadd_ps(s[i], x, y);
  }
  for (int i = 1; i < 12; ++i) s[0] = _mm256_add_ps(s[0], s[i]);
  sink = _mm256_cvtss_f32(s[0]);
}
#endif
// What the scalar build can reach at best: sixteen independent sums that the compiler may vectorise.
__attribute__((noinline)) inline void fma_scalar() {
  float s[16], x = 0.999f, y = 1e-3f;
  for (int i = 0; i < 16; ++i) s[i] = (float)i;
  for (int64_t n = 0; n < peak_steps; ++n)
    for (int i = 0; i < 16; ++i) s[i] = __builtin_fmaf(s[i], x, y);
  for (int i = 1; i < 16; ++i) s[0] += s[i];
  sink = s[0];
}

// The loop that measures the peak of an instruction set, and the multiply-adds it does.
struct PeakLoop {
  void (*run)();
  int64_t multiply_adds;
};
inline PeakLoop peak_loop(cunn::cpu::Isa isa) {
#if defined(__x86_64__)
  if (isa == cunn::cpu::Isa::avx512) return {fma_avx512, peak_steps * 12 * 16};
  if (isa == cunn::cpu::Isa::avx2) return {fma_avx2, peak_steps * 12 * 8};
#endif
  (void)isa;
  return {fma_scalar, peak_steps * 16};
}

// Runs the loop on every thread; returns the flops done.
inline double run_peak(cunn::ThreadPool &pool, cunn::cpu::Isa isa) {
  const PeakLoop loop = peak_loop(isa);
  pool.parallel_for(pool.size(), [&](int64_t, int) { loop.run(); });
  return 2.0 * (double)loop.multiply_adds * (double)pool.size();
}

constexpr int64_t chunk_bytes = int64_t(1) << 20;

// Reads one word of every sixteen bytes: each line is fetched, and additions are not what limits.
inline void run_read(cunn::ThreadPool &pool, const char *data, int64_t bytes) {
  pool.parallel_for(bytes / chunk_bytes, [&](int64_t i, int) {
    const uint64_t *p = reinterpret_cast<const uint64_t *>(data + i * chunk_bytes);
    uint64_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int64_t j = 0; j < chunk_bytes / 8; j += 8) s0 += p[j], s1 += p[j + 2], s2 += p[j + 4], s3 += p[j + 6];
    sink = (float)(s0 + s1 + s2 + s3);
  });
}

// a[i] = b[i] + 3 c[i] for all i (McCalpin, STREAM), counted as three streams of `bytes`; the fourth, the fetch of a's
// lines before they are written, is what non-temporal stores save.
inline void triad_chunk(float *a, const float *b, const float *c, int64_t n) {
#if defined(__x86_64__)
  const __m128 three = _mm_set1_ps(3.0f);
  for (int64_t i = 0; i < n; i += 4)
    _mm_stream_ps(a + i, _mm_add_ps(_mm_load_ps(b + i), _mm_mul_ps(three, _mm_load_ps(c + i))));
  _mm_sfence();
#else
  for (int64_t i = 0; i < n; ++i) a[i] = b[i] + 3.0f * c[i];
#endif
}
inline void run_triad(cunn::ThreadPool &pool, float *a, const float *b, const float *c, int64_t bytes) {
  constexpr int64_t n = chunk_bytes / 4;
  pool.parallel_for(bytes / chunk_bytes, [&](int64_t i, int) { triad_chunk(a + i * n, b + i * n, c + i * n, n); });
}

}  // namespace machine_bench
