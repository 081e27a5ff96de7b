#include "lifetime.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace cunn {

namespace {

struct Wait {
  const Gate *gate;
  uint64_t value;
  bool over() const { return gate->read() != value; }
};

struct Retired {
  std::unique_ptr<Object> object;
  std::vector<Wait> waits;
};

struct Lists {
  std::mutex mutex;
  std::vector<const Gate *> gates;
  std::vector<Retired> retired;
};

Lists &lists() {
  static Lists &instance = *new Lists;
  return instance;
}

}  // namespace

void add_gate(const Gate *gate) {
  std::lock_guard<std::mutex> lock(lists().mutex);
  lists().gates.push_back(gate);
}

void retire(std::unique_ptr<Object> object, const Gate &own) {
  try {
    std::lock_guard<std::mutex> lock(lists().mutex);
    Retired entry;
    for (const Gate *gate : lists().gates) {
      const uint64_t value = gate->read();
      if (gate != &own && (value & 1) != 0) entry.waits.push_back({gate, value});
    }
    if (!entry.waits.empty()) {
      lists().retired.emplace_back();
      entry.object = std::move(object);
      lists().retired.back() = std::move(entry);
    }
  } catch (const std::bad_alloc &) {
    object.release();  // no memory to remember it by: a leak, not a use after free
  }
  object.reset();
  reclaim();
}

void reclaim() {
  std::vector<Retired> done;  // destroyed after the lock is released
  std::lock_guard<std::mutex> lock(lists().mutex);
  std::vector<Retired> &all = lists().retired;
  const auto free = std::partition(all.begin(), all.end(), [](const Retired &entry) {
    return !std::all_of(entry.waits.begin(), entry.waits.end(), [](const Wait &wait) { return wait.over(); });
  });
  done.assign(std::make_move_iterator(free), std::make_move_iterator(all.end()));
  all.erase(free, all.end());
}

}  // namespace cunn
