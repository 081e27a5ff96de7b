// Contexts.
#include <pthread.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "faults.h"
#include "graph.h"

using namespace cunn;

namespace {

// Threads do not survive a fork and a lock may have been held: the child is told so instead of hanging.
void watch_for_fork() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { forked_child.store(true); }); });
}

struct Shells {
  std::mutex mutex;
  std::vector<Context *> free;
};

Shells &shells() {
  static Shells &instance = *new Shells;
  return instance;
}

Context *take_shell() {
  {
    std::lock_guard<std::mutex> lock(shells().mutex);
    if (!shells().free.empty()) {
      Context *shell = shells().free.back();
      shells().free.pop_back();
      return shell;
    }
    shells().free.reserve(shells().free.capacity() + 1);  // so that giving back never allocates
  }
  auto shell = std::make_unique<Context>();
  add_gate(&shell->gate);
  return shell.release();
}

void give_back_shell(Context *shell) {
  std::lock_guard<std::mutex> lock(shells().mutex);
  shells().free.push_back(shell);
}

// Tests of callers reach CUNN_INTERNAL, which no input does, through this variable: the name of an op that fails so in
// every context made while it is set.
int32_t op_of_test_fault() {
  const char *name = std::getenv("CUNN_TEST_FAULT");
  if (name == nullptr) return -1;
#define CUNN_OP(op, Args) \
  if (std::strcmp(name, #op) == 0) return static_cast<int32_t>(OpId::op);
  CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  return -1;
}

void open(Context &context, int32_t device, int32_t ordinal, int32_t threads, const char *isa) {
  const char *kind = device_kind_name(device);
  if (kind == nullptr)
    throw Failure(CUNN_INVALID_ARGUMENT, "device is %d, expected 0 (cpu), 1 (cuda) or 2 (simt)", device);
  const int32_t count = device_count(device);
  if (count == 0) throw Failure(CUNN_UNSUPPORTED, "there is no %s device: %s", kind, device_note(device));
  if (ordinal < 0 || ordinal >= count)
    throw Failure(CUNN_INVALID_ARGUMENT, "ordinal is %d, expected 0 to %d", ordinal, count - 1);
  Device *found = find_device(device, ordinal);
  context.faulty_op = op_of_test_fault();
  context.ledger = std::make_shared<Ledger>();
  context.queue = found->open(threads, isa);
  context.device = found;
  context.isa.store(context.queue->isa(), std::memory_order_release);
}

void close(Context &context) {
  for (const cunn_graph handle : context.graphs)
    if (void *graph = HandleTable::instance().remove(Kind::graph, handle)) delete static_cast<Graph *>(graph);
  context.graphs.clear();
  context.recording.reset();
  context.queue.reset();
  context.ledger.reset();
  context.scratch_accounted = 0;
  context.device = nullptr;
  context.isa.store("", std::memory_order_release);
}

// A context whose text may be read: live, and not in the middle of a call.
const char *text_of(cunn_context handle) {
  if (forked_child.load(std::memory_order_relaxed))
    return "this process is a fork of the one that uses the library; start a new process instead";
  if (!HandleTable::instance().has_number())
    return "the process has no number left for this library: about a thousand can be opened in its life, closed ones "
           "among them; open the library once and keep it open";
  const auto *context = static_cast<const Context *>(HandleTable::instance().find(Kind::context, handle));
  if (context == nullptr) return "the context was destroyed or never existed";
  if (context->gate.busy()) return "the context is in use by another thread";
  return context->error;
}

}  // namespace

int32_t cunn_context_create(cunn_context *context, int32_t device, int32_t ordinal, int32_t threads, const char *isa) {
  if (context == nullptr) return CUNN_INVALID_ARGUMENT;
  *context = 0;
  if (forked_child.load(std::memory_order_relaxed)) return CUNN_DEVICE;
  try {
    if (!HandleTable::instance().has_number()) return CUNN_UNSUPPORTED;
    watch_for_fork();
    Context *shell = take_shell();
    // Nobody knows the handle yet, but a stale one of the shell's last owner may be tried meanwhile.
    while (!shell->gate.enter()) {
    }
    shell->error[0] = '\0';
    shell->failed = false;
    int32_t status = CUNN_OK;
    {
      MxcsrGuard environment;  // the pool's threads inherit it
      try {
        open(*shell, device, ordinal, threads, isa);
      } catch (...) {
        status = shell->fail("context_create");
        shell->failed = true;
        close(*shell);
      }
    }
    try {
      shell->self = HandleTable::instance().insert(Kind::context, shell);
    } catch (const std::bad_alloc &) {
      close(*shell);
      shell->gate.leave();
      give_back_shell(shell);
      throw;
    }
    *context = shell->self;
    shell->gate.leave();
    return status;
  } catch (const std::bad_alloc &) {
    return CUNN_OUT_OF_MEMORY;
  } catch (...) {
    return CUNN_INTERNAL;
  }
}

int32_t cunn_context_destroy(cunn_context handle) {
  Context *shell = nullptr;
  {
    Entry entry(handle);
    if (entry.status() != CUNN_OK) return entry.status();
    shell = &entry.context();
    HandleTable::instance().remove(Kind::context, handle);
    shell->self = 0;
    shell->error[0] = '\0';
    close(*shell);
  }
  give_back_shell(shell);
  reclaim();
  return CUNN_OK;
}

const char *cunn_context_error(cunn_context context) { return text_of(context); }

const char *cunn_context_isa(cunn_context handle) {
  const auto *context = static_cast<const Context *>(HandleTable::instance().find(Kind::context, handle));
  return context == nullptr ? "" : context->isa.load(std::memory_order_acquire);
}

int32_t cunn_context_threads(cunn_context handle, int32_t *threads) {
  return guarded(handle, "context_threads", [&](Context &context) {
    require_pointer("threads", threads);
    *threads = context.queue->threads();
  });
}

int32_t cunn_context_memory(cunn_context handle, int64_t *bytes, int64_t *peak) {
  return guarded(handle, "context_memory", [&](Context &context) {
    require_pointer("bytes", bytes);
    require_pointer("peak", peak);
    context.account_scratch();
    *bytes = context.ledger->bytes.load(std::memory_order_relaxed);
    *peak = context.ledger->peak.load(std::memory_order_relaxed);
  });
}

int32_t cunn_context_synchronize(cunn_context handle) {
  return guarded(handle, "context_synchronize", [&](Context &context) {
    context.forbid_while_recording();
    context.queue->synchronize();
    reclaim();
    throw_fault(context.queue->take_error());
  });
}
