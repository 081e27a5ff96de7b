// How much of a buffer an argument covers, in 64-bit arithmetic that notices overflow.
#pragma once

#include <cstdint>

namespace cunn {

// A nest of loops over elements: `inner` consecutive ones, repeated at strides.
struct Extent {
  struct Level {
    int64_t count, stride;
  };

  int64_t total = 0;          // elements from the first to the last, inclusive
  bool overflow = false;      // total does not fit; then it is INT64_MAX
  bool self_overlap = false;  // two loop positions share an element
  int64_t stride = 0;         // of the outermost level that repeats, 0: contiguous
  int64_t span = 0;           // elements within one step of that stride
  int32_t n_dims = 0, n_strides = 0;
  int64_t dims[5] = {}, strides[3] = {};  // for sentences, as the caller gave them

  // "16x64", "8x4x16 with strides 96, 16", "16x64 with leading dimension 66".
  void describe(char *text, int32_t capacity) const;
};

namespace extents {

inline int64_t product(int64_t a, int64_t b, bool *overflow) {
  int64_t c;
  if (!__builtin_mul_overflow(a, b, &c)) return c;
  *overflow = true;
  return INT64_MAX;
}

inline int64_t sum(int64_t a, int64_t b, bool *overflow) {
  int64_t c;
  if (!__builtin_add_overflow(a, b, &c)) return c;
  *overflow = true;
  return INT64_MAX;
}

}  // namespace extents

// Contiguous elements; the dims are at least 0.
template <class... Dims>
Extent dense(Dims... dims) {
  Extent e;
  const int64_t all[] = {static_cast<int64_t>(dims)...};
  bool empty = false;
  e.total = 1;
  for (int64_t d : all) {
    e.dims[e.n_dims++] = d;
    empty = empty || d == 0;
    e.total = extents::product(e.total, d, &e.overflow);
  }
  if (empty) {
    e.total = 0;
    e.overflow = false;
  }
  return e;
}

// `inner` elements at every combination of the two levels, in whatever order they nest; counts and strides at least 0.
inline Extent strided(int64_t inner, Extent::Level a, Extent::Level b) {
  Extent e;
  e.n_strides = 2;
  e.strides[0] = a.stride;
  e.strides[1] = b.stride;
  e.dims[e.n_dims++] = a.count;
  e.dims[e.n_dims++] = b.count;
  e.dims[e.n_dims++] = inner;
  if (inner == 0 || a.count == 0 || b.count == 0) return e;
  if (a.stride < b.stride) {
    const Extent::Level swap = a;
    a = b;
    b = swap;
  }
  e.total = inner;
  for (const Extent::Level &level : {b, a}) {
    if (level.count == 1) continue;
    e.self_overlap = e.self_overlap || level.stride < e.total;
    e.stride = level.stride;
    e.span = e.total;
    e.total = extents::sum(extents::product(level.count - 1, level.stride, &e.overflow), e.total, &e.overflow);
  }
  return e;
}

// Rows of cols elements, ld apart; ld at least cols.
inline Extent rows_of(int64_t rows, int64_t cols, int64_t ld) {
  Extent e;
  e.n_dims = 2;
  e.dims[0] = rows;
  e.dims[1] = cols;
  if (ld != cols) {
    e.n_strides = 1;
    e.strides[0] = ld;
  }
  if (rows == 0 || cols == 0) return e;
  e.total = extents::sum(extents::product(rows - 1, ld, &e.overflow), cols, &e.overflow);
  if (rows > 1 && ld != cols) {
    e.stride = ld;
    e.span = cols;
  }
  return e;
}

}  // namespace cunn
