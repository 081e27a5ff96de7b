#include "processors.h"

#include <thread>

namespace cunn {

#if defined(__linux__)

namespace {

constexpr size_t mask_bytes = sizeof(Affinity::Mask);

int count(const Affinity::Mask &mask) { return CPU_COUNT_S(mask_bytes, mask.words); }

// The calling thread's; empty when the system does not say.
Affinity::Mask allowed_now() {
  Affinity::Mask mask;
  if (sched_getaffinity(0, mask_bytes, mask.words) != 0) CPU_ZERO_S(mask_bytes, mask.words);
  return mask;
}

}  // namespace

Affinity::Affinity() : allowed_(allowed_now()), ours_(allowed_) {}

bool Affinity::avoid(int cpu) {
  if (cpu < 0) return false;
  const Mask now = allowed_now();
  if (!CPU_EQUAL_S(mask_bytes, now.words, ours_.words)) allowed_ = now;
  Mask others = allowed_;
  CPU_CLR_S(static_cast<size_t>(cpu), mask_bytes, others.words);
  if (count(others) == 0 || sched_setaffinity(0, mask_bytes, others.words) != 0) return false;
  ours_ = allowed_now();
  return true;
}

int current_cpu() { return sched_getcpu(); }

#else

Affinity::Affinity() = default;
bool Affinity::avoid(int) { return false; }
int current_cpu() { return -1; }

#endif

int available_cpus() {
#if defined(__linux__)
  const int allowed = count(allowed_now());
  if (allowed > 0) return allowed;
#endif
  const unsigned n = std::thread::hardware_concurrency();
  return n ? static_cast<int>(n) : 1;
}

}  // namespace cunn
