// What handles stand for: memory, slices of it, events.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

#include "device.h"
#include "lifetime.h"

namespace cunn {

// The memory account of one context; buffers outlive the context that made them, and so does its account.
struct Ledger {
  std::atomic<int64_t> bytes{0};
  std::atomic<int64_t> peak{0};

  void add(int64_t amount) {
    const int64_t now = bytes.fetch_add(amount, std::memory_order_relaxed) + amount;
    int64_t top = peak.load(std::memory_order_relaxed);
    while (now > top && !peak.compare_exchange_weak(top, now, std::memory_order_relaxed)) {
    }
  }
};

// Device memory, owned or borrowed, shared by a buffer and its views.
class Storage {
 public:
  Storage(Device &device, int64_t bytes, std::shared_ptr<Ledger> ledger)
      : device_(device), bytes_(bytes), ledger_(std::move(ledger)), memory_(device.allocate(bytes)) {
    ledger_->add(bytes_);
  }
  Storage(Device &device, int64_t bytes, void *borrowed) : device_(device), bytes_(bytes), memory_(borrowed) {}
  ~Storage() {
    if (ledger_ == nullptr) return;
    device_.release(memory_, bytes_);
    ledger_->add(-bytes_);
  }
  Storage(const Storage &) = delete;
  Storage &operator=(const Storage &) = delete;

  Device &device() const { return device_; }
  char *memory() const { return static_cast<char *>(memory_); }

 private:
  Device &device_;
  int64_t bytes_;
  std::shared_ptr<Ledger> ledger_;  // null: borrowed
  void *memory_;
};

struct Buffer final : Object {
  std::shared_ptr<Storage> storage;
  Device *device;  // the storage's
  char *data;
  DType dtype;
  int64_t count;
};

struct Event final : Object {
  Device *device;
  std::unique_ptr<DeviceEvent> mark;
  std::atomic<bool> recorded{false};
};

}  // namespace cunn
