// Warp operations: __syncwarp, shuffles, votes, match, integer reductions (sm_80).
#pragma once
#include <cstring>
#include <type_traits>
#include "runtime.h"

namespace simt {

struct ShufflePayload {
  uint64_t value[2], result[2];
  int source_lane;
};
struct VotePayload {
  uint64_t key;  // the predicate, the value to match or the operand of a reduction
  unsigned result;
};

// Combine functions (src/collectives.cpp).
void combine_nothing(void* const* payload, unsigned mask);
void combine_shuffle(void* const* payload, unsigned mask);
void combine_ballot(void* const* payload, unsigned mask);
void combine_match_any(void* const* payload, unsigned mask);
void combine_add(void* const* payload, unsigned mask);
void combine_min_unsigned(void* const* payload, unsigned mask);
void combine_max_unsigned(void* const* payload, unsigned mask);
void combine_min_signed(void* const* payload, unsigned mask);
void combine_max_signed(void* const* payload, unsigned mask);
void combine_and(void* const* payload, unsigned mask);
void combine_or(void* const* payload, unsigned mask);
void combine_xor(void* const* payload, unsigned mask);

// A lane that reads from a lane outside the mask gets a NaN pattern: the result is undefined on a card.
template <class T>
inline T shuffle(unsigned mask, T value, int source_lane, const Site* site) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable<T>::value, "shuffles move up to 16 bytes");
  ShufflePayload p;
  p.value[0] = p.value[1] = 0;
  std::memcpy(p.value, &value, sizeof(T));
  p.source_lane = source_lane;
  warp_collective(mask, combine_shuffle, &p, false, site);
  T out;
  std::memcpy(&out, p.result, sizeof(T));
  return out;
}

// Source lanes as CUDA defines them for a segment of `width` lanes (a power of two).
inline int source_of_index(int index, int width = 32) { return int(lane() & ~(width - 1)) | (index & (width - 1)); }
inline int source_of_up(int delta, int width = 32) {
  return int(lane() & (width - 1)) < delta ? int(lane()) : int(lane()) - delta;
}
inline int source_of_down(int delta, int width = 32) {
  return int(lane() & (width - 1)) + delta >= width ? int(lane()) : int(lane()) + delta;
}
inline int source_of_xor(int bits, int width = 32) {
  const int source = int(lane()) ^ bits;
  return (source & ~(width - 1)) > int(lane() & ~(width - 1)) ? int(lane()) : source;
}

inline unsigned vote(unsigned mask, Combine combine, uint64_t key, const Site* site) {
  VotePayload p{key, 0};
  warp_collective(mask, combine, &p, false, site);
  return p.result;
}
template <class T>
inline uint64_t key_of(T value) {
  static_assert(sizeof(T) <= 8, "match compares up to 8 bytes");
  uint64_t key = 0;
  std::memcpy(&key, &value, sizeof(T));
  return key;
}
inline void sync_warp(const Site* site, unsigned mask = 0xffffffffu) {
  warp_collective(mask, combine_nothing, nullptr, true, site);
}
inline unsigned reduce(unsigned mask, Combine combine, unsigned value, const Site* site) {
  return vote(mask, combine, value, site);
}
inline unsigned reduce_min(unsigned mask, unsigned v, const Site* s) { return reduce(mask, combine_min_unsigned, v, s); }
inline unsigned reduce_max(unsigned mask, unsigned v, const Site* s) { return reduce(mask, combine_max_unsigned, v, s); }
inline int reduce_min(unsigned mask, int v, const Site* s) { return int(reduce(mask, combine_min_signed, unsigned(v), s)); }
inline int reduce_max(unsigned mask, int v, const Site* s) { return int(reduce(mask, combine_max_signed, unsigned(v), s)); }
template <class T>
inline T reduce_add(unsigned mask, T v, const Site* s) {
  static_assert(sizeof(T) == 4 && std::is_integral<T>::value, "__reduce_add_sync takes int or unsigned");
  return T(reduce(mask, combine_add, unsigned(v), s));
}

}  // namespace simt

// The variadic tail is CUDA's optional width (or, for __syncwarp, its optional mask).
#define __syncwarp(...) simt::sync_warp(SIMT_SITE("__syncwarp") __VA_OPT__(, ) __VA_ARGS__)
#define __shfl_sync(mask, value, ...) \
  simt::shuffle((mask), (value), simt::source_of_index(__VA_ARGS__), SIMT_SITE("__shfl_sync"))
#define __shfl_up_sync(mask, value, ...) \
  simt::shuffle((mask), (value), simt::source_of_up(__VA_ARGS__), SIMT_SITE("__shfl_up_sync"))
#define __shfl_down_sync(mask, value, ...) \
  simt::shuffle((mask), (value), simt::source_of_down(__VA_ARGS__), SIMT_SITE("__shfl_down_sync"))
#define __shfl_xor_sync(mask, value, ...) \
  simt::shuffle((mask), (value), simt::source_of_xor(__VA_ARGS__), SIMT_SITE("__shfl_xor_sync"))
#define __ballot_sync(mask, predicate) \
  simt::vote((mask), simt::combine_ballot, (predicate) != 0, SIMT_SITE("__ballot_sync"))
#define __any_sync(mask, predicate) \
  int(simt::vote((mask), simt::combine_ballot, (predicate) != 0, SIMT_SITE("__any_sync")) != 0)
#define __all_sync(mask, predicate) \
  int(simt::vote((mask), simt::combine_ballot, (predicate) == 0, SIMT_SITE("__all_sync")) == 0)
#define __match_any_sync(mask, value) \
  simt::vote((mask), simt::combine_match_any, simt::key_of(value), SIMT_SITE("__match_any_sync"))
#define __reduce_add_sync(mask, value) simt::reduce_add((mask), (value), SIMT_SITE("__reduce_add_sync"))
#define __reduce_min_sync(mask, value) simt::reduce_min((mask), (value), SIMT_SITE("__reduce_min_sync"))
#define __reduce_max_sync(mask, value) simt::reduce_max((mask), (value), SIMT_SITE("__reduce_max_sync"))
#define __reduce_and_sync(mask, value) \
  simt::reduce((mask), simt::combine_and, (value), SIMT_SITE("__reduce_and_sync"))
#define __reduce_or_sync(mask, value) simt::reduce((mask), simt::combine_or, (value), SIMT_SITE("__reduce_or_sync"))
#define __reduce_xor_sync(mask, value) \
  simt::reduce((mask), simt::combine_xor, (value), SIMT_SITE("__reduce_xor_sync"))
