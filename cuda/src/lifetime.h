// When the memory behind a destroyed handle may go.
//
// A handle dies at once, but another context's thread may have looked it up a moment before and be reading the object.
// Every context has a gate: odd while a call runs, even between calls. The destroyer first kills the handle, then looks
// at the gates: a call that began later cannot find the object, and those that run now are waited for by keeping the
// object until their gates have moved. A call pays one atomic exchange for this, the one that detects a second caller.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace cunn {

// What a handle of a buffer, event or graph stands for.
class Object {
 public:
  virtual ~Object() = default;
};

class Gate {
 public:
  // False when a call is running already.
  bool enter() {
    uint64_t now = word_.load(std::memory_order_relaxed);
    return (now & 1) == 0 && word_.compare_exchange_strong(now, now + 1, std::memory_order_seq_cst);
  }
  void leave() { word_.store(word_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  bool busy() const { return (word_.load(std::memory_order_acquire) & 1) != 0; }
  uint64_t read() const { return word_.load(std::memory_order_seq_cst); }

 private:
  alignas(64) std::atomic<uint64_t> word_{0};
};

// Gates are added once and live as long as the process.
void add_gate(const Gate *gate);

// Destroys the object as soon as no call but the caller's (own gate) can be reading it. Its handle is dead already.
void retire(std::unique_ptr<Object> object, const Gate &own);

// Destroys what has become free; called where memory is wanted or given back.
void reclaim();

}  // namespace cunn
