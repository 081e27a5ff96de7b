#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>

namespace simt {
namespace {

// Kernels keep register tiles and small arrays on the stack; ASan's redzones make frames several times larger.
constexpr size_t kStackBytes = (SIMT_ASAN ? 256 : SIMT_TSAN ? 128 : 64) * size_t(1024);

size_t page_bytes() {
  static const size_t bytes = size_t(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

#ifndef SIMT_UCONTEXT
// simt_swap_stacks(void** save, void* load): push the registers that the System V ABI lets a callee rely on, store the
// stack pointer in *save, take `load` as the new one, pop its registers, return into its caller. MXCSR and the x87
// control word are the default in every kernel and need no switch.
extern "C" void simt_swap_stacks(void** save, void* load);
asm(R"(
  .text
  .p2align 4
  .globl simt_swap_stacks
  .hidden simt_swap_stacks
  .type simt_swap_stacks, @function
simt_swap_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size simt_swap_stacks, .-simt_swap_stacks

  # The first switch to a new fiber "returns" here with the fiber in %r12 (see the constructor).
  .p2align 4
  .type simt_fiber_trampoline, @function
simt_fiber_trampoline:
  movq %r12, %rdi
  callq simt_fiber_first_entry
  ud2
  .size simt_fiber_trampoline, .-simt_fiber_trampoline
)");
extern "C" void simt_fiber_trampoline();
#endif

void fiber_first_entry(Fiber* fiber) { Fiber::start(fiber); }
extern "C" __attribute__((visibility("hidden"), used)) void simt_fiber_first_entry(Fiber* fiber) {
  fiber_first_entry(fiber);
}

Fiber::Fiber() {
#if SIMT_TSAN
  tsan_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*entry)(void*), void* argument, const char* name) : entry_(entry), argument_(argument) {
  void* const mapping = mmap(nullptr, kStackBytes + page_bytes(), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mapping_ = static_cast<char*>(mapping);
  mprotect(mapping_, page_bytes(), PROT_NONE);  // overflowing the stack faults instead of corrupting its neighbour
  stack_ = mapping_ + page_bytes();
  stack_bytes_ = kStackBytes;
#ifdef SIMT_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = mapping_ + page_bytes();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  const uintptr_t self = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::ucontext_entry), 2, unsigned(self), unsigned(uint64_t(self) >> 32));
#else
  // The picture simt_swap_stacks leaves behind: six registers (r15 r14 r13 r12 rbx rbp), then the return address. The
  // trampoline is entered by `ret` with the stack 16-byte aligned, and its `call` gives start() the ABI's alignment.
  void** top = reinterpret_cast<void**>(mapping_ + page_bytes() + kStackBytes);
  *--top = nullptr;
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&simt_fiber_trampoline);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  top[3] = this;  // r12
  stack_pointer_ = top;
#endif
#if SIMT_TSAN
  tsan_ = __tsan_create_fiber(0);
  __tsan_set_fiber_name(tsan_, name);
#else
  (void)name;
#endif
}

Fiber::~Fiber() {
  if (!mapping_) return;
#if SIMT_TSAN
  __tsan_destroy_fiber(tsan_);
#endif
  allow_access(mapping_ + page_bytes(), kStackBytes);  // frames abandoned after a fault left redzones behind
  munmap(mapping_, kStackBytes + page_bytes());
}

void Fiber::start(Fiber* self) {
  self->arrived();
  self->entry_(self->argument_);
  std::abort();  // entry functions never return
}

// First thing on the new stack: tell ASan the switch is complete, and learn the bounds of the stack we left.
void Fiber::arrived() {
#if SIMT_ASAN
  const void* old_stack = nullptr;
  size_t old_bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &old_stack, &old_bytes);
  if (came_from_ && !came_from_->mapping_) {
    came_from_->stack_ = old_stack;
    came_from_->stack_bytes_ = old_bytes;
  }
#endif
}

void Fiber::switch_to(Fiber& to) {
  to.came_from_ = this;
#if SIMT_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, to.stack_, to.stack_bytes_);
#endif
#if SIMT_TSAN
  __tsan_switch_to_fiber(to.tsan_, 1);  // 1: the switch itself orders nothing
#endif
#ifdef SIMT_UCONTEXT
  swapcontext(&context_, &to.context_);
#else
  simt_swap_stacks(&stack_pointer_, to.stack_pointer_);
#endif
  arrived();
}

void Fiber::order_after(Fiber& other, SyncPoint& point) {
#if SIMT_TSAN
  __tsan_switch_to_fiber(other.tsan_, 1);
  point.release();
  __tsan_switch_to_fiber(tsan_, 1);
#else
  (void)other, (void)point;
#endif
}

#ifdef SIMT_UCONTEXT
void Fiber::ucontext_entry(unsigned low, unsigned high) {
  start(reinterpret_cast<Fiber*>(uintptr_t((uint64_t(high) << 32) | low)));
}
#endif

}  // namespace simt
