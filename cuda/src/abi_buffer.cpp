// Buffers.
#include <limits>

#include "faults.h"
#include "graph.h"

using namespace cunn;

namespace {

long long ll(int64_t value) { return static_cast<long long>(value); }

DType checked_dtype(int32_t dtype) {
  if (dtype < CUNN_F32 || dtype > CUNN_Q4)
    throw Failure(CUNN_INVALID_ARGUMENT, "dtype is %d, expected %d (f32) to %d (q4)", dtype, CUNN_F32, CUNN_Q4);
  return static_cast<DType>(dtype);
}

void check_multiple(const char *name, DType dtype, int64_t value) {
  if (is_quantized(dtype) && value % kQuantBlock != 0)
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %lld, expected a multiple of %lld for %s", name, ll(value),
                  ll(kQuantBlock), dtype_name(dtype));
}

// A count whose bytes 63 bits can hold.
void check_count(DType dtype, int64_t count) {
  if (count < 0) throw Failure(CUNN_INVALID_ARGUMENT, "count is %lld, expected at least 0", ll(count));
  const int64_t most = is_quantized(dtype) ? std::numeric_limits<int64_t>::max() / kQ8BlockBytes
                                           : std::numeric_limits<int64_t>::max() / element_bytes(dtype);
  if (count > most)
    throw Failure(CUNN_INVALID_ARGUMENT, "count is %lld elements of %s, whose bytes 63 bits cannot count", ll(count),
                  dtype_name(dtype));
  check_multiple("count", dtype, count);
}

void check_range(const Buffer &buffer, int64_t offset, int64_t count) {
  if (offset < 0) throw Failure(CUNN_INVALID_ARGUMENT, "offset is %lld, expected at least 0", ll(offset));
  if (count < 0) throw Failure(CUNN_INVALID_ARGUMENT, "count is %lld, expected at least 0", ll(count));
  if (offset > buffer.count || count > buffer.count - offset)
    throw Failure(CUNN_INVALID_ARGUMENT, "offset %lld and count %lld, expected at most the %lld elements of the buffer",
                  ll(offset), ll(count), ll(buffer.count));
  check_multiple("offset", buffer.dtype, offset);
  check_multiple("count", buffer.dtype, count);
}

Buffer &buffer_of(Context &context, const char *name, cunn_buffer handle) {
  Buffer *buffer = find_buffer(handle);
  if (buffer == nullptr) throw_bad_handle(name, handle, "a buffer");
  if (buffer->device != context.device) throw_other_device(name, *buffer->device, *context.device);
  return *buffer;
}

cunn_buffer publish(Context &context, std::shared_ptr<Storage> storage, char *data, DType dtype, int64_t count) {
  auto buffer = std::make_unique<Buffer>();
  buffer->storage = std::move(storage);
  buffer->device = context.device;
  buffer->data = data;
  buffer->dtype = dtype;
  buffer->count = count;
  const cunn_buffer handle = HandleTable::instance().insert(Kind::buffer, buffer.get());
  buffer.release();
  return handle;
}

int64_t alignment_of(DType dtype) { return is_quantized(dtype) ? 2 : element_bytes(dtype); }

}  // namespace

int32_t cunn_buffer_create(cunn_context handle, cunn_buffer *buffer, int32_t dtype, int64_t count) {
  return guarded(handle, "buffer_create", [&](Context &context) {
    require_pointer("buffer", buffer);
    *buffer = 0;
    context.forbid_while_recording();
    const DType type = checked_dtype(dtype);
    check_count(type, count);
    const int64_t bytes = bytes_of(type, count);
    reclaim();
    context.account_scratch();  // so that the peak counts both
    try {
      auto storage = std::make_shared<Storage>(*context.device, bytes, context.ledger);
      char *data = storage->memory();
      *buffer = publish(context, std::move(storage), data, type, count);
    } catch (const std::bad_alloc &) {
      throw Failure(CUNN_OUT_OF_MEMORY, "no memory for %lld elements of %s (%lld bytes)", ll(count), dtype_name(type),
                    ll(bytes));
    }
  });
}

int32_t cunn_buffer_wrap(cunn_context handle, cunn_buffer *buffer, int32_t dtype, int64_t count, void *host) {
  return guarded(handle, "buffer_wrap", [&](Context &context) {
    require_pointer("buffer", buffer);
    *buffer = 0;
    if (context.device->kind() != CUNN_CPU)
      throw Failure(CUNN_UNSUPPORTED, "%s cannot borrow host memory; create a buffer and upload",
                    device_kind_name(context.device->kind()));
    const DType type = checked_dtype(dtype);
    check_count(type, count);
    if (count > 0) require_pointer("host", host);
    const auto address = reinterpret_cast<uintptr_t>(host);
    const auto alignment = static_cast<uintptr_t>(alignment_of(type));
    if (address % alignment != 0)
      throw Failure(CUNN_INVALID_ARGUMENT, "host is %d bytes past a multiple of %d, expected alignment to %s",
                    static_cast<int>(address % alignment), static_cast<int>(alignment), dtype_name(type));
    const int64_t bytes = bytes_of(type, count);
    if (static_cast<uint64_t>(bytes) > std::numeric_limits<uintptr_t>::max() - address)
      throw Failure(CUNN_INVALID_ARGUMENT, "host and count %lld of %s reach past the end of the address space",
                    ll(count), dtype_name(type));
    auto storage = std::make_shared<Storage>(*context.device, bytes, host);
    *buffer = publish(context, std::move(storage), static_cast<char *>(host), type, count);
  });
}

int32_t cunn_buffer_view(cunn_context handle, cunn_buffer *view, cunn_buffer buffer, int64_t offset, int64_t count) {
  return guarded(handle, "buffer_view", [&](Context &context) {
    require_pointer("view", view);
    *view = 0;
    const Buffer &whole = buffer_of(context, "buffer", buffer);
    check_range(whole, offset, count);
    *view = publish(context, whole.storage, whole.data + bytes_of(whole.dtype, offset), whole.dtype, count);
  });
}

int32_t cunn_buffer_destroy(cunn_context handle, cunn_buffer buffer) {
  return guarded(handle, "buffer_destroy", [&](Context &context) {
    buffer_of(context, "buffer", buffer);
    std::unique_ptr<Object> dead(static_cast<Buffer *>(HandleTable::instance().remove(Kind::buffer, buffer)));
    if (dead == nullptr) throw_bad_handle("buffer", buffer, "a buffer");  // another thread was faster
    buffer_deaths.fetch_add(1, std::memory_order_seq_cst);
    retire(std::move(dead), context.gate);
  });
}

int32_t cunn_buffer_info(cunn_context handle, int32_t *dtype, int64_t *count, int64_t *bytes, cunn_buffer buffer) {
  return guarded(handle, "buffer_info", [&](Context &context) {
    require_pointer("dtype", dtype);
    require_pointer("count", count);
    require_pointer("bytes", bytes);
    const Buffer &found = buffer_of(context, "buffer", buffer);
    *dtype = static_cast<int32_t>(found.dtype);
    *count = found.count;
    *bytes = bytes_of(found.dtype, found.count);
  });
}

int32_t cunn_buffer_upload(cunn_context handle, cunn_buffer buffer, int64_t offset, int64_t count, const void *host) {
  return guarded(handle, "buffer_upload", [&](Context &context) {
    context.forbid_while_recording();
    const Buffer &to = buffer_of(context, "buffer", buffer);
    check_range(to, offset, count);
    if (count > 0) require_pointer("host", host);
    context.queue->upload(to.data + bytes_of(to.dtype, offset), host, bytes_of(to.dtype, count));
  });
}

int32_t cunn_buffer_download(cunn_context handle, void *host, cunn_buffer buffer, int64_t offset, int64_t count) {
  return guarded(handle, "buffer_download", [&](Context &context) {
    context.forbid_while_recording();
    const Buffer &from = buffer_of(context, "buffer", buffer);
    check_range(from, offset, count);
    if (count > 0) require_pointer("host", host);
    context.queue->synchronize();
    throw_fault(context.queue->take_error());
    context.queue->download(host, from.data + bytes_of(from.dtype, offset), bytes_of(from.dtype, count));
  });
}
