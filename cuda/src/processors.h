// The CPUs that a thread may run on, and leaving one that another thread needs.
#pragma once

#if defined(__linux__)
#include <sched.h>
#endif

namespace cunn {

// Number of CPUs this process may run on (its affinity mask), at least 1.
int available_cpus();

// The CPU that the calling thread is on, -1 where the system does not say.
int current_cpu();

// What one thread may run on; made and used by that thread alone.
class Affinity {
 public:
  Affinity();

  // Moves the calling thread to another of its CPUs and keeps it off this one until the next call names another. The
  // CPUs it was given at first are its own again then, or those that somebody else has given it meanwhile (taskset).
  // False, and nothing changes, when it has no other or the system cannot tell.
  bool avoid(int cpu);

#if defined(__linux__)
  struct Mask {
    cpu_set_t words[8];  // 8192 CPUs, as many as Linux can be built for on x86-64; on the stack, so that nothing can fail
  };

 private:
  Mask allowed_;  // by others
  Mask ours_;     // what the last avoid() left
#endif
};

}  // namespace cunn
