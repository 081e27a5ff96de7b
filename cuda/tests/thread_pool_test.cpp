// The thread pool by itself: every index once, and a worker leaves the caller's CPU.
//
// What needs two CPUs says so and is left out with one.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "../src/processors.h"
#include "../src/thread_pool.h"

namespace {

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                                       \
    }                                                                                     \
  } while (0)

void every_index_once() {
  for (int threads : {1, 2, 5}) {
    cunn::ThreadPool pool(threads);
    CHECK(pool.size() == threads);
    for (int64_t n : {0, 1, 2, 3, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(n));
      pool.parallel_for(n, [&](int64_t i, int worker) {
        CHECK(worker >= 0 && worker < threads);
        seen[static_cast<size_t>(i)].fetch_add(1);
      });
      for (const std::atomic<int> &count : seen) CHECK(count.load() == 1);
    }
  }
}

#if defined(__linux__)

std::vector<int> allowed() {
  cpu_set_t set;
  CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

void bind(const std::vector<int> &cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

void a_thread_leaves_a_cpu() {
  const std::vector<int> cpus = allowed();
  const int a = cpus[0], b = cpus[1];
  bind({a, b});
  cunn::Affinity affinity;
  for (int left : {a, b, b, a}) {  // what it left before is its own again
    CHECK(affinity.avoid(left));
    CHECK(cunn::current_cpu() == (left == a ? b : a));
    CHECK(allowed() == std::vector<int>{left == a ? b : a});
  }
  CHECK(!affinity.avoid(-1));
  bind({a});  // by somebody else: from now on that is what it may have
  CHECK(!affinity.avoid(a));
  CHECK(allowed() == std::vector<int>{a});
  bind(cpus);
}

// The worker is put where the caller is, as the system may: it does one job there at most.
void a_worker_leaves_the_callers_cpu() {
  const std::vector<int> cpus = allowed();
  const int a = cpus[0], b = cpus[1];
  bind({a, b});
  cunn::ThreadPool pool(2);
  bind({a});
  int together = 0, apart = 0;
  for (int job = 0; job < 400; ++job) {
    // Longer than a worker spins, so that the system wakes it up where it likes.
    if (job % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    std::atomic<int> cpu{-1};  // of the worker
    pool.parallel_for(2, [&](int64_t, int worker) {
      // Long enough for a worker to come for the second task.
      const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
      while (std::chrono::steady_clock::now() < end) {
      }
      if (worker == 1) cpu.store(cunn::current_cpu());
    });
    if (cpu.load() >= 0) ++(cpu.load() == a ? together : apart);
  }
  CHECK(apart > 0);
  CHECK(together <= 1);
  bind(cpus);
}

#endif

}  // namespace

int main() {
  every_index_once();
#if defined(__linux__)
  if (cunn::available_cpus() >= 2) {
    a_thread_leaves_a_cpu();
    a_worker_leaves_the_callers_cpu();
  } else {
    std::puts("one CPU: what needs two was left out");
  }
#endif
  return 0;
}
