// The sanitizers' interfaces behind names that vanish when a sanitizer is off.
//
// ASan instruments the whole build. TSan instruments the kernels only: the runtime is compiled without it (and with
// SIMT_TSAN defined), because its own bookkeeping is not an access of any CUDA thread. The functions below tell TSan
// which fiber runs and where CUDA orders memory.
#pragma once
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define SIMT_ASAN 0
#endif

#if defined(SIMT_TSAN)
#undef SIMT_TSAN
#define SIMT_TSAN 1
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_set_fiber_name(void* fiber, const char* name);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#else
#define SIMT_TSAN 0
#endif

namespace simt {

inline void forbid_access(void* p, size_t bytes) {
#if SIMT_ASAN
  __asan_poison_memory_region(p, bytes);
#else
  (void)p, (void)bytes;
#endif
}
inline void allow_access(void* p, size_t bytes) {
#if SIMT_ASAN
  __asan_unpoison_memory_region(p, bytes);
#else
  (void)p, (void)bytes;
#endif
}

// A point where threads meet: every release before it happens before every acquire after it.
class SyncPoint {
 public:
  void release() {
#if SIMT_TSAN
    __tsan_release(&anchor_);
#endif
  }
  void acquire() {
#if SIMT_TSAN
    __tsan_acquire(&anchor_);
#endif
  }

 private:
  char anchor_ = 0;  // only its address matters
};

// Fill and copy that never become calls of memset or memcpy, which TSan intercepts even in code it does not instrument.
inline void fill_bytes(void* p, unsigned char value, size_t bytes) {
  unsigned char* b = static_cast<unsigned char*>(p);
  for (size_t i = 0; i < bytes; ++i) {
    b[i] = value;
#if SIMT_TSAN
    asm volatile("" ::: "memory");
#endif
  }
}

}  // namespace simt
