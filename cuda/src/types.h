// Element types and 64-bit size arithmetic shared by the ABI layer and the devices.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cunn {

enum class DType : int32_t { f32 = 0, bf16 = 1, f16 = 2, i32 = 3, i64 = 4, u8 = 5, q8 = 6, q4 = 7 };

constexpr int64_t kQuantBlock = 32;    // elements that share one scale in q8 and q4
constexpr int64_t kQ8BlockBytes = 34;  // f16 scale, 32 int8
constexpr int64_t kQ4BlockBytes = 18;  // f16 scale, 16 bytes of nibbles

inline bool is_float(DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f16; }
inline bool is_quantized(DType t) { return t == DType::q8 || t == DType::q4; }

// Bytes of one element; 0 for the block types, whose size only a count has.
inline int64_t element_bytes(DType t) {
  switch (t) {
    case DType::f32: case DType::i32: return 4;
    case DType::bf16: case DType::f16: return 2;
    case DType::i64: return 8;
    case DType::u8: return 1;
    case DType::q8: case DType::q4: return 0;
  }
  return 0;
}

// Bytes of count elements (count a multiple of 32 for the block types).
inline int64_t bytes_of(DType t, int64_t count) {
  if (t == DType::q8) return count / kQuantBlock * kQ8BlockBytes;
  if (t == DType::q4) return count / kQuantBlock * kQ4BlockBytes;
  return count * element_bytes(t);
}

inline const char *dtype_name(DType t) {
  switch (t) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::f16: return "f16";
    case DType::i32: return "i32";
    case DType::i64: return "i64";
    case DType::u8: return "u8";
    case DType::q8: return "q8";
    case DType::q4: return "q4";
  }
  return "unknown";
}

}  // namespace cunn
