// A fiber: a stack and a place to continue. Switching is cooperative and stays on one host thread.
#pragma once
#include <cstddef>
#include "sanitizers.h"
#if !defined(__x86_64__) || defined(SIMT_UCONTEXT)
#include <ucontext.h>
#ifndef SIMT_UCONTEXT
#define SIMT_UCONTEXT
#endif
#endif

namespace simt {

class Fiber {
 public:
  Fiber();  // adopts the calling host thread's own stack
  // `entry(argument)` runs at the first switch and never returns.
  Fiber(void (*entry)(void*), void* argument, const char* name);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Continues `to`; returns when something switches back to `this`, which must be the fiber that runs now.
  void switch_to(Fiber& to);

  // Tells TSan that what `other`, which will never run again, did is ordered before the next acquire of `point`. Called
  // on the fiber that runs now.
  void order_after(Fiber& other, SyncPoint& point);

 private:
  static void start(Fiber* self);
  void arrived();

  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  char* mapping_ = nullptr;  // guard page, then the stack; null for an adopted stack
  const void* stack_ = nullptr;
  size_t stack_bytes_ = 0;
#ifdef SIMT_UCONTEXT
  ucontext_t context_{};
  static void ucontext_entry(unsigned low, unsigned high);
#else
  void* stack_pointer_ = nullptr;
#endif
  void* fake_stack_ = nullptr;  // ASan's
  Fiber* came_from_ = nullptr;
  void* tsan_ = nullptr;

  friend void fiber_first_entry(Fiber*);
};

}  // namespace simt
