// Atomic read-modify-write on global and shared memory. Relaxed, as CUDA's are: they order nothing else.
#pragma once
#include <cstring>
#include <type_traits>
#include "runtime.h"

namespace simt {

// p <- f(p) by compare and swap; returns the old value. Bits travel as an integer, so float needs no special case.
template <class T, class F>
inline T atomic_update(T* p, F f) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "atomics work on 4 or 8 bytes");
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  Bits* const bits = reinterpret_cast<Bits*>(p);
  Bits before = __atomic_load_n(bits, __ATOMIC_RELAXED);
  for (;;) {
    T old_value;
    std::memcpy(&old_value, &before, sizeof(T));
    const T new_value = f(old_value);
    Bits after;
    std::memcpy(&after, &new_value, sizeof(T));
    if (__atomic_compare_exchange_n(bits, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old_value;
  }
}
template <class T>
using Same = typename std::common_type<T>::type;  // a parameter of this type converts instead of taking part in deduction

}  // namespace simt

template <class T>
static inline T atomicAdd(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return T(old + v); });
}
template <class T>
static inline T atomicSub(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return T(old - v); });
}
template <class T>
static inline T atomicMin(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return v < old ? v : old; });
}
template <class T>
static inline T atomicMax(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return v > old ? v : old; });
}
template <class T>
static inline T atomicAnd(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return T(old & v); });
}
template <class T>
static inline T atomicOr(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return T(old | v); });
}
template <class T>
static inline T atomicXor(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T old) { return T(old ^ v); });
}
template <class T>
static inline T atomicExch(T* p, simt::Same<T> v) {
  return simt::atomic_update(p, [v](T) { return v; });
}
template <class T>
static inline T atomicCAS(T* p, simt::Same<T> expected, simt::Same<T> desired) {
  return simt::atomic_update(p, [=](T old) { return old == expected ? desired : old; });
}
