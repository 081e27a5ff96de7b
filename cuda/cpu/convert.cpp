// Copies, casts between dtypes, and matrices packed or transposed.
#include "lanes.h"
#include "ops_decl.h"
#include "tasks.h"
#include "transpose.h"
#include "../src/error_word.h"

namespace cunn::cpu::CUNN_ISA_NS {

namespace {

// y = x over n elements of any float dtypes.
template <DType to, DType from> void cast_range(void *y, const void *x, int64_t begin, int64_t end) {
  Row<from> in(x);
  OutRow<to> out(y);
  each_vector(begin, end, [&](int64_t i, auto part) { out.put(i, in.at(i, part), part); });
}

// i64 to i32: a value that does not fit leaves its element as it was. Returns the first such index, or end.
int64_t narrow_range(int32_t *y, const int64_t *x, int64_t begin, int64_t end) {
  int64_t bad = end;
  for (int64_t i = begin; i < end; ++i) {
    if (x[i] >= INT32_MIN && x[i] <= INT32_MAX)
      y[i] = (int32_t)x[i];
    else if (bad == end)
      bad = i;
  }
  return bad;
}

void narrow(Exec &exec, const Cast &a) {
  auto *y = static_cast<int32_t *>(a.y);
  const auto *x = static_cast<const int64_t *>(a.x);
  // One result per range, so that the lowest index is reported at any thread count.
  const int64_t ranges = ceil_div(a.n, kMoveGrain);
  auto *bad = static_cast<int64_t *>(exec.scratch->bytes(sizeof(int64_t) * (size_t)most(ranges, 1)));
  for_chunks(exec, a.n, kMoveGrain, a.n, kMoveGrain, [&](int64_t range, int64_t begin, int64_t end) {
    const int64_t at = narrow_range(y, x, begin, end);
    bad[range] = at < end ? at : -1;
  });
  for (int64_t r = 0; r < ranges; ++r) {
    if (bad[r] < 0) continue;
    return report_fault(exec, OpId::cast, DeviceFault::value_out_of_range, bad[r], x[bad[r]], int64_t{1} << 31);
  }
}

void widen(Exec &exec, const Cast &a) {
  auto *y = static_cast<int64_t *>(a.y);
  const auto *x = static_cast<const int32_t *>(a.x);
  split(exec, a.n, kMoveGrain, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      y[i] = x[i];
  });
}

void copy_bytes(Exec &exec, void *y, const void *x, int64_t bytes) {
  split(exec, bytes, 4 * kMoveGrain, 64, [&](int64_t begin, int64_t end) {
    memcpy(static_cast<char *>(y) + begin, static_cast<const char *>(x) + begin, (size_t)(end - begin));
  });
}

constexpr int64_t kTile = 32;  // elements: both sides of a tile stay in L1

// y[r, c] = x[c, r] for rows [begin, end) of y.
template <class T>
void transpose_rows(T *y, const T *x, int64_t begin, int64_t end, int64_t cols, int64_t ldy, int64_t ldx) {
  for (int64_t r0 = begin; r0 < end; r0 += kTile)
    for (int64_t c0 = 0; c0 < cols; c0 += kTile)
      for (int64_t c = c0; c < least(c0 + kTile, cols); ++c)
        for (int64_t r = r0; r < least(r0 + kTile, end); ++r)
          y[r * ldy + c] = x[c * ldx + r];
}

// The same for 4 bytes an element, sixteen by sixteen in registers.
void transpose_rows_of_4(float *y, const float *x, int64_t begin, int64_t end, int64_t cols, int64_t ldy,
                         int64_t ldx) {
  for (int64_t r0 = begin; r0 < end; r0 += 16) {
    const int64_t n = least(16, end - r0);
    for (int64_t c0 = 0; c0 < cols; c0 += 16) {
      const int64_t m = least(16, cols - c0);
      Vec16 tile[16];
      if (n == 16 && m == 16) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i)
          tile[i] = load(x + (c0 + i) * ldx + r0);
        transpose16(tile);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i)
          store(y + (r0 + i) * ldy + c0, tile[i]);
        continue;
      }
      for (int i = 0; i < 16; ++i)
        tile[i] = i < m ? load(x + (c0 + i) * ldx + r0, n) : zero();
      transpose16(tile);
      for (int i = 0; i < n; ++i)
        store(y + (r0 + i) * ldy + c0, tile[i], m);
    }
  }
}

template <class T> void transpose(Exec &exec, const Pack &a) {
  split(exec, a.rows, most(kTile, kMoveGrain / most(1, a.cols)), kTile, [&](int64_t begin, int64_t end) {
    if constexpr (sizeof(T) == 4)
      transpose_rows_of_4(static_cast<T *>(a.y), static_cast<const T *>(a.x), begin, end, a.cols, a.ldy, a.ldx);
    else
      transpose_rows(static_cast<T *>(a.y), static_cast<const T *>(a.x), begin, end, a.cols, a.ldy, a.ldx);
  });
}

}  // namespace

void copy(Exec &exec, const Copy &a) { copy_bytes(exec, a.y, a.x, bytes_of(a.dtype, a.n)); }

void cast(Exec &exec, const Cast &a) {
  if (a.y_dtype == a.x_dtype) return copy_bytes(exec, a.y, a.x, bytes_of(a.x_dtype, a.n));
  if (a.x_dtype == DType::i64) return narrow(exec, a);
  if (a.x_dtype == DType::i32) return widen(exec, a);
  with_float(a.y_dtype, [&](auto to) {
    with_float(a.x_dtype, [&](auto from) {
      split(exec, a.n, kMoveGrain, 16,
            [&](int64_t begin, int64_t end) { cast_range<to.value, from.value>(a.y, a.x, begin, end); });
    });
  });
}

void pack(Exec &exec, const Pack &a) {
  const int64_t size = element_bytes(a.dtype);
  if (a.transpose) {
    switch (size) {
      case 1:
        return transpose<uint8_t>(exec, a);
      case 2:
        return transpose<uint16_t>(exec, a);
      case 4:
        return transpose<float>(exec, a);
      default:
        return transpose<uint64_t>(exec, a);
    }
  }
  split_rows(exec, a.rows, a.cols, kMoveGrain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      memcpy(static_cast<char *>(a.y) + r * a.ldy * size, static_cast<const char *>(a.x) + r * a.ldx * size,
             (size_t)(a.cols * size));
  });
}

}  // namespace cunn::cpu::CUNN_ISA_NS
