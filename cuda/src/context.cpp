#include "context.h"

#include <cstdio>
#include <exception>
#include <new>

#include "graph.h"

namespace cunn {

std::atomic<bool> forked_child{false};
std::atomic<uint64_t> buffer_deaths{0};

int32_t Context::fail(const char *op) noexcept {
  try {
    throw;
  } catch (const Reported &reported) {
    std::snprintf(error, sizeof error, "%s", reported.text());
    return reported.status();
  } catch (const Failure &failure) {
    std::snprintf(error, sizeof error, "%s: %s", op, failure.text());
    return failure.status();
  } catch (const std::bad_alloc &) {
    std::snprintf(error, sizeof error, "%s: out of memory", op);
    return CUNN_OUT_OF_MEMORY;
  } catch (const std::exception &exception) {
    std::snprintf(error, sizeof error, "%s: internal error: %s", op, exception.what());
    return CUNN_INTERNAL;
  } catch (...) {
    std::snprintf(error, sizeof error, "%s: internal error", op);
    return CUNN_INTERNAL;
  }
}

Context::Context() = default;
Context::~Context() = default;

void Context::forbid_while_recording() const {
  if (recording != nullptr) throw Failure(CUNN_INVALID_ARGUMENT, "not allowed between graph_begin and graph_end");
}

void Context::account_scratch() {
  const int64_t now = queue->scratch_bytes();
  ledger->add(now - scratch_accounted);
  scratch_accounted = now;
}

void throw_bad_handle(const char *name, int64_t handle, const char *expected) {
  if (handle == 0) throw Failure(CUNN_INVALID_ARGUMENT, "%s is 0, expected %s", name, expected);
  const HandleTable &table = HandleTable::instance();
  if (!table.is_own(handle))
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is not of this library, expected %s", name, expected);
  if (const char *found = table.describe(handle))
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %s, expected %s", name, found, expected);
  throw Failure(CUNN_INVALID_ARGUMENT, "%s was destroyed or never existed, expected %s", name, expected);
}

void throw_other_device(const char *name, const Device &found, const Device &expected) {
  throw Failure(CUNN_INVALID_ARGUMENT, "%s is on %s %d, expected %s %d", name, device_kind_name(found.kind()),
                found.ordinal(), device_kind_name(expected.kind()), expected.ordinal());
}

void require_pointer(const char *name, const void *pointer) {
  if (pointer == nullptr) throw Failure(CUNN_INVALID_ARGUMENT, "%s is null", name);
}

}  // namespace cunn
