// A context: one queue on one device, the sentence of its last failure, and what it is recording.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "failure.h"
#include "handles.h"
#include "objects.h"
#include "thread_pool.h"

namespace cunn {

struct Graph;

// Shells are reused and never freed, so that a late caller with a stale handle reads valid memory and is told so.
struct Context {
  Context();
  ~Context();

  Gate gate;
  cunn_context self = 0;
  bool failed = false;  // create failed: good for its text and destroy only
  char error[512] = "";
  std::atomic<const char *> isa{""};

  Device *device = nullptr;
  std::unique_ptr<Queue> queue;
  std::shared_ptr<Ledger> ledger;
  std::unique_ptr<Graph> recording;  // between graph_begin and graph_end
  std::vector<cunn_graph> graphs;    // recorded here; they die with the context
  int32_t faulty_op = -1;            // see CUNN_TEST_FAULT in abi_context.cpp

  // The current exception as a status, its sentence in error, after "<op>: ".
  int32_t fail(const char *op) noexcept;

  void forbid_while_recording() const;
  // Brings the account up to the scratch memory as it is now.
  void account_scratch();
  int64_t scratch_accounted = 0;
};

// True in the child of a fork that happened after the first context was made.
extern std::atomic<bool> forked_child;

// Death of any buffer handle; a graph asks its buffers again only after it has moved.
extern std::atomic<uint64_t> buffer_deaths;

// Live buffer of a handle, or null.
inline Buffer *find_buffer(cunn_buffer handle) {
  return static_cast<Buffer *>(HandleTable::instance().find(Kind::buffer, handle));
}

// "is an event, expected a buffer", "was destroyed or never existed", "is not of this library": what is wrong with a
// handle that was not found.
[[noreturn]] void throw_bad_handle(const char *name, int64_t handle, const char *expected);
[[noreturn]] void throw_other_device(const char *name, const Device &found, const Device &expected);
void require_pointer(const char *name, const void *pointer);

// Opens the gate of a context for one call. status() is not ok when the call must not proceed.
class Entry {
 public:
  explicit Entry(cunn_context handle) noexcept {
    if (forked_child.load(std::memory_order_relaxed)) {
      status_ = CUNN_DEVICE;
      return;
    }
    auto *context = static_cast<Context *>(HandleTable::instance().find(Kind::context, handle));
    if (context == nullptr) return;
    if (!context->gate.enter()) {
      status_ = CUNN_BUSY;
      return;
    }
    // The shell may have gone to another context between the lookup and the gate.
    if (context->self != handle) {
      context->gate.leave();
      return;
    }
    context_ = context;
    status_ = CUNN_OK;
  }
  ~Entry() {
    if (context_ != nullptr) context_->gate.leave();
  }
  Entry(const Entry &) = delete;
  Entry &operator=(const Entry &) = delete;

  int32_t status() const { return status_; }
  Context &context() const { return *context_; }

 private:
  Context *context_ = nullptr;
  int32_t status_ = CUNN_INVALID_ARGUMENT;
};

// Runs the body of an ABI function: one caller, the default floating-point environment, no exception beyond this point.
template <class Body>
int32_t guarded(cunn_context handle, const char *name, Body &&body) noexcept {
  Entry entry(handle);
  if (entry.status() != CUNN_OK) return entry.status();
  Context &context = entry.context();
  if (context.failed) return CUNN_INVALID_ARGUMENT;
  context.error[0] = '\0';
  MxcsrGuard environment;
  try {
    body(context);
    return CUNN_OK;
  } catch (...) {
    return context.fail(name);
  }
}

}  // namespace cunn
