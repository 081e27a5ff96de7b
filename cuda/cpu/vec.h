// Sixteen f32 lanes: the one vector type every kernel of the cpu device is written on.
//
// A kernel file is compiled once per instruction set with -DCUNN_ISA_NS=<scalar|avx2|avx512> and the flags
// that go with it, and puts everything into `namespace cunn::cpu::CUNN_ISA_NS`. `Vec16` is then a float[16],
// two __m256 or one __m512. Every operation gives the same sixteen results on each of them: sums of rows are
// always split over 16 lanes, fused multiply-adds are explicit, nothing uses a reciprocal approximation.
//
// Nothing here may be emitted as an inline function that the linker could share between instruction sets:
// all functions are always_inline and live in the instruction set's own namespace. For the same reason kernels
// do not call std:: templates in their loops.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef CUNN_ISA_NS
#error "compile kernels with -DCUNN_ISA_NS=scalar, avx2 or avx512"
#endif

#define CUNN_ISA_LEVEL_scalar 0
#define CUNN_ISA_LEVEL_avx2 1
#define CUNN_ISA_LEVEL_avx512 2
#define CUNN_ISA_JOIN_(a, b) a##b
#define CUNN_ISA_JOIN(a, b) CUNN_ISA_JOIN_(a, b)
#define CUNN_ISA_LEVEL CUNN_ISA_JOIN(CUNN_ISA_LEVEL_, CUNN_ISA_NS)

#define CUNN_INLINE [[maybe_unused]] static inline __attribute__((always_inline))

// Three types, the same operations in each file:
//   Vec16   f32 lanes:  zero set1 load load(count) store store(count) stream + - * / - fma sqrt max min abs
//   IVec16  i32 lanes:  izero iset1 iota iload iload(count) istore istore(count) + - & | ^ ~ mul_lo mul_hi_u shl shr sar imax imin
//   Mask16  one bit per lane: first lt le gt ge eq ne unordered, & | ~, any all bits, select
//   between them: as_int as_float to_int (nearest even) to_int_trunc to_float
//   16-bit floats in memory (raw bits): load_bf16 store_bf16 load_f16 store_f16, each whole or by count
// max(a, b) is `a > b ? a : b` and min(a, b) is `a < b ? a : b`: with a NaN on either side the result is b.
// A load by count reads nothing past it and leaves 0 in the other lanes; a store by count writes nothing past it.
#if CUNN_ISA_LEVEL == 2
#include "vec_avx512.h"
#elif CUNN_ISA_LEVEL == 1
#include "vec_avx2.h"
#else
#include "vec_scalar.h"
#endif

#include "vec_math.h"
