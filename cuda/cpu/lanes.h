// Sixteen lanes to and from memory of any float dtype, whole or by count.
#pragma once

#include "../src/types.h"
#include "vec.h"

namespace cunn::cpu::CUNN_ISA_NS {

// How many lanes of a vector are there: all of them, or the first `count`.
struct Whole {};
struct Part { int64_t count; };

CUNN_INLINE Vec16 load(const float *p, Whole) { return load(p); }
CUNN_INLINE Vec16 load(const float *p, Part part) { return load(p, part.count); }
CUNN_INLINE void store(float *p, Vec16 v, Whole) { store(p, v); }
CUNN_INLINE void store(float *p, Vec16 v, Part part) { store(p, v, part.count); }
// v where the lane is there, `other` where it is not.
CUNN_INLINE Vec16 keep(Vec16 v, Vec16, Whole) { return v; }
CUNN_INLINE Vec16 keep(Vec16 v, Vec16 other, Part part) { return select(first(part.count), v, other); }

// A row of elements of dtype t.
template <DType t> struct Row;
template <> struct Row<DType::f32> {
  const float *p;
  explicit Row(const void *data, int64_t offset = 0) : p(static_cast<const float *>(data) + offset) {}
  Vec16 at(int64_t i, Whole) const { return load(p + i); }
  Vec16 at(int64_t i, Part part) const { return load(p + i, part.count); }
};
template <> struct Row<DType::bf16> {
  const uint16_t *p;
  explicit Row(const void *data, int64_t offset = 0) : p(static_cast<const uint16_t *>(data) + offset) {}
  Vec16 at(int64_t i, Whole) const { return load_bf16(p + i); }
  Vec16 at(int64_t i, Part part) const { return load_bf16(p + i, part.count); }
};
template <> struct Row<DType::f16> {
  const uint16_t *p;
  explicit Row(const void *data, int64_t offset = 0) : p(static_cast<const uint16_t *>(data) + offset) {}
  Vec16 at(int64_t i, Whole) const { return load_f16(p + i); }
  Vec16 at(int64_t i, Part part) const { return load_f16(p + i, part.count); }
};
template <DType t> struct OutRow;
template <> struct OutRow<DType::f32> {
  float *p;
  explicit OutRow(void *data, int64_t offset = 0) : p(static_cast<float *>(data) + offset) {}
  void put(int64_t i, Vec16 v, Whole) const { store(p + i, v); }
  void put(int64_t i, Vec16 v, Part part) const { store(p + i, v, part.count); }
};
template <> struct OutRow<DType::bf16> {
  uint16_t *p;
  explicit OutRow(void *data, int64_t offset = 0) : p(static_cast<uint16_t *>(data) + offset) {}
  void put(int64_t i, Vec16 v, Whole) const { store_bf16(p + i, v); }
  void put(int64_t i, Vec16 v, Part part) const { store_bf16(p + i, v, part.count); }
};
template <> struct OutRow<DType::f16> {
  uint16_t *p;
  explicit OutRow(void *data, int64_t offset = 0) : p(static_cast<uint16_t *>(data) + offset) {}
  void put(int64_t i, Vec16 v, Whole) const { store_f16(p + i, v); }
  void put(int64_t i, Vec16 v, Part part) const { store_f16(p + i, v, part.count); }
};

// A float dtype as a type; with_float calls body(Type<t>{}) for the dtype at hand.
template <DType t> struct Type { static constexpr DType value = t; };
template <class F> CUNN_INLINE void with_float(DType t, F &&body) {
  if (t == DType::bf16) body(Type<DType::bf16>{});
  else if (t == DType::f16) body(Type<DType::f16>{});
  else body(Type<DType::f32>{});
}

// body(i, Whole{}) for every full vector of [begin, end), then body(i, Part{rest}) for what is left.
template <class F> CUNN_INLINE void each_vector(int64_t begin, int64_t end, F &&body) {
  int64_t i = begin;
  for (; i + 16 <= end; i += 16) body(i, Whole{});
  if (i < end) body(i, Part{end - i});
}

// y[i] = f(i) over [begin, end) past the caches. f is called as f(i, Whole{}) and f(i, Part{n}). Ends with a fence, which
// waits for the stores: for long ranges.
template <class F> CUNN_INLINE void stream_vectors(float *y, int64_t begin, int64_t end, F &&f) {
  int64_t i = begin;
  int64_t head = (int64_t)((64 - reinterpret_cast<uintptr_t>(y + begin) % 64) % 64 / sizeof(float));
  if (head > end - begin) head = end - begin;
  if (head) {
    store(y + i, f(i, Part{head}), head);
    i += head;
  }
  for (; i + 16 <= end; i += 16) stream(y + i, f(i, Whole{}));
  if (i < end) store(y + i, f(i, Part{end - i}), end - i);
  stream_fence();
}

}  // namespace cunn::cpu::CUNN_ISA_NS
