// What the native tests of the matrix products share: operands of every dtype, machines of every instruction set and
// thread count, comparison bit for bit. Arrays are exactly as long as the shapes say, so that under AddressSanitizer a
// read past a tail is found.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "../cpu/isa.h"
#include "../src/ops.h"
#include "../src/thread_pool.h"

namespace cunn::tests {

struct Kernels {
  const char *name;
  const OpTable *ops;
};

inline std::vector<Kernels> supported() {
  std::vector<Kernels> all;
  for (int i = 0; i < cpu::isa_count; ++i) {
    const auto isa = static_cast<cpu::Isa>(i);
    if (cpu::isa_supported(isa) && cpu::op_table(isa)) all.push_back({cpu::isa_name(isa), cpu::op_table(isa)});
  }
  return all;
}

inline uint64_t state = 1;
inline uint64_t next() {  // splitmix64
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
inline int64_t below(int64_t n) { return (int64_t)(next() % (uint64_t)n); }
template <class T> T pick(std::initializer_list<T> list) { return list.begin()[below((int64_t)list.size())]; }

// ---- the 16-bit formats, by their definition and not by the kernels' code ----

inline float half_value(uint16_t h, int exponent_bits) {
  int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = h >> fraction_bits & ((1 << exponent_bits) - 1), fraction = h & ((1 << fraction_bits) - 1);
  double sign = h & 0x8000 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction ? NAN : (float)(sign * INFINITY);
  if (exponent == 0) return (float)(sign * std::ldexp((double)fraction, 1 - bias - fraction_bits));
  return (float)(sign * std::ldexp(1.0 + std::ldexp((double)fraction, -fraction_bits), exponent - bias));
}
inline uint16_t to_half(float x, int exponent_bits) {
  int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  uint16_t sign = std::signbit(x) ? 0x8000 : 0, infinity = (uint16_t)(((1 << exponent_bits) - 1) << fraction_bits);
  if (std::isnan(x)) return (uint16_t)(sign | infinity | 1 << (fraction_bits - 1));
  if (std::isinf(x)) return sign | infinity;
  if (x == 0) return sign;
  int exponent;
  std::frexp(std::fabs(x), &exponent);  // |x| in [2^(exponent-1), 2^exponent)
  int unit = exponent - 1 - fraction_bits, smallest = 1 - bias - fraction_bits;
  if (unit < smallest) unit = smallest;
  double units = std::nearbyint(std::ldexp(std::fabs((double)x), -unit));
  double value = std::ldexp(units, unit);
  if (value >= std::ldexp(1.0, bias + 1)) return sign | infinity;
  int e2;
  double f = std::frexp(value, &e2);
  if (value == 0) return sign;
  if (e2 - 1 < 1 - bias) return (uint16_t)(sign | (int)units);
  int fraction = (int)std::ldexp(2 * f - 1, fraction_bits);
  return (uint16_t)(sign | (e2 - 1 + bias) << fraction_bits | fraction);
}
inline int exponent_bits(DType t) { return t == DType::bf16 ? 8 : 5; }
inline float rounded(float x, DType t) { return t == DType::f32 ? x : half_value(to_half(x, exponent_bits(t)), exponent_bits(t)); }

// A matrix of any float dtype or of blocks on the heap, exactly as long as its last row needs.
struct Array {
  DType dtype;
  int64_t count;
  std::unique_ptr<char[]> data;
  Array(DType t, int64_t n) : dtype(t), count(n), data(new char[(size_t)bytes_of(t, n)]) {}
  Array(const Array &o) : Array(o.dtype, o.count) { std::memcpy(data.get(), o.data.get(), (size_t)bytes_of(dtype, count)); }
  float get(int64_t i) const {
    if (i < 0 || i >= count) std::abort();
    if (is_quantized(dtype)) {
      const auto *block = reinterpret_cast<const uint8_t *>(&data[(size_t)bytes_of(dtype, i / 32 * 32)]);
      const int e = (int)(i % 32);
      const int q = dtype == DType::q8 ? (int8_t)block[2 + e] : (e < 16 ? block[2 + e] & 15 : block[2 + e - 16] >> 4) - 8;
      return half_value((uint16_t)(block[0] | block[1] << 8), 5) * (float)q;
    }
    if (dtype == DType::f32) {
      float x;
      std::memcpy(&x, &data[(size_t)(4 * i)], 4);
      return x;
    }
    uint16_t h;
    std::memcpy(&h, &data[(size_t)(2 * i)], 2);
    return half_value(h, exponent_bits(dtype));
  }
  void set(int64_t i, float x) {
    if (i < 0 || i >= count) std::abort();
    uint16_t h = dtype == DType::f32 ? 0 : to_half(x, exponent_bits(dtype));
    if (dtype == DType::f32) std::memcpy(&data[(size_t)(4 * i)], &x, 4);
    else std::memcpy(&data[(size_t)(2 * i)], &h, 2);
  }
  void fill(bool specials) {
    if (is_quantized(dtype)) {
      // Any level; scales of both signs, now and then subnormal, zero, infinite or NaN.
      const int64_t size = bytes_of(dtype, 32);
      for (int64_t at = 0; at < bytes_of(dtype, count); ++at) data[(size_t)at] = (char)next();
      for (int64_t at = 0; at < bytes_of(dtype, count); at += size) {
        const uint16_t d = specials && below(40) == 0 ? pick<uint16_t>({0, 0x8000, 1, 0x83ff, 0x7c00, 0x7e01, 0x7bff})
                                                      : to_half((float)((double)(int64_t)next() * 0x1p-66), 5);
        std::memcpy(&data[(size_t)at], &d, 2);
      }
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      float x = (float)((double)(int64_t)next() * 0x1p-63);
      if (specials && below(40) == 0) x = pick({0.0f, -0.0f, 1e-38f, -3e-39f, INFINITY, NAN, 6e4f, 1e30f});
      set(i, x);
    }
  }
};

inline int64_t elements(int64_t rows, int64_t cols, int64_t ld) { return rows > 0 && cols > 0 ? (rows - 1) * ld + cols : 0; }

inline int64_t passed = 0, failed = 0;

// want and got as stored; NaNs are equal whatever their payload.
inline void compare(const char *what, const char *isa, int threads, const char *shape, const Array &want, const Array &got) {
  for (int64_t i = 0; i < want.count; ++i) {
    float x = want.get(i), y = got.get(i);
    if (std::isnan(x) && std::isnan(y)) continue;
    if (std::memcmp(&x, &y, 4) == 0) continue;
    std::printf("%s, %s, %d threads, %s: element %lld is %a, expected %a\n", what, isa, threads, shape, (long long)i, y, x);
    ++failed;
    return;
  }
  ++passed;
}

struct Machine {
  explicit Machine(int threads) : pool(threads), exec{&pool, &scratch, &error, nullptr} {}
  ThreadPool pool;
  Scratch scratch;
  ErrorWord error{};
  Exec exec;
};

inline std::vector<Kernels> all_kernels;
inline std::vector<std::unique_ptr<Machine>> machines;

inline void make_machines() {
  all_kernels = supported();
  for (int threads : {1, 2, 7}) machines.push_back(std::make_unique<Machine>(threads));
}

// What B may be made of when it is stored [n, k].
inline DType any_dtype_of_rows() { return pick({DType::f32, DType::f32, DType::bf16, DType::f16, DType::q8, DType::q8, DType::q4}); }
inline DType any_dtype() { return pick({DType::f32, DType::f32, DType::f32, DType::bf16, DType::f16}); }
inline int64_t any_size(int64_t largest) {
  int64_t n = pick<int64_t>({0, 1, 1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, below(100), below(largest + 1), largest});
  return n > largest ? largest : n;
}

inline std::vector<int32_t> any_offsets(int64_t groups, int64_t rows) {
  std::vector<int32_t> o((size_t)groups + 1);
  for (int64_t g = 1; g <= groups; ++g) {
    int64_t left = rows - o[(size_t)g - 1];
    o[(size_t)g] = o[(size_t)g - 1] + (int32_t)pick<int64_t>({0, left, below(left + 1), below(left / 2 + 1), left > 0 ? 1 : 0});
  }
  return o;
}
inline std::vector<int32_t> any_rows(int64_t count, int64_t limit) {
  std::vector<int32_t> r((size_t)count);
  for (int32_t &x : r) x = (int32_t)below(limit);
  return r;
}

// Offsets of two groups and rows gathered from six that are out of range, and what is to be reported of them.
struct BadIndices {
  int32_t offsets[3], rows[6];
  DeviceFault fault;
  int64_t index, value;
};
inline constexpr BadIndices bad_indices[] = {
    {{1, 3, 6}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 0, 1},
    {{0, 7, 7}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 1, 7},
    {{0, 4, 3}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 2, 3},
    {{0, -1, 3}, {0, 1, 2, 3, 4, 5}, DeviceFault::offset_out_of_range, 1, -1},
    {{0, 3, 6}, {0, 1, 6, 3, 4, 5}, DeviceFault::row_out_of_range, 2, 6},
    {{0, 3, 6}, {0, 1, 2, 3, 4, -1}, DeviceFault::row_out_of_range, 5, -1},
};

// The machine has reported it for this op; the report is taken.
inline void expect_fault(Machine &machine, OpId op, const BadIndices &t) {
  const ErrorWord e = machine.error;
  machine.error = ErrorWord{};
  if (e.claimed && e.op == (int32_t)op && e.fault == (int32_t)t.fault && e.index == t.index && e.value == t.value) {
    ++passed;
    return;
  }
  std::printf("op %d, fault %d at %lld (%lld) expected, got op %d, fault %d at %lld (%lld)\n", (int)op, (int)t.fault,
              (long long)t.index, (long long)t.value, e.op, e.fault, (long long)e.index, (long long)e.value);
  ++failed;
}

}  // namespace cunn::tests
