// What the ABI layer needs from a device. The cpu device runs everything inside the call; a device with a queue of its
// own (cuda, simt) returns before the work is done and records graphs natively. The ABI layer validates, keeps handles,
// buffers and memory accounts, and knows nothing else about a device.
#pragma once

#include <memory>

#include "ops.h"

namespace cunn {

// A mark in a queue.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
};

// A recorded step in the device's own form.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
};

// The ordered queue of one context: what ops run on. Functions that fail throw std::bad_alloc or DeviceError.
class Queue {
 public:
  virtual ~Queue() = default;

  virtual Exec &exec() = 0;
  virtual const OpTable &ops() const = 0;
  virtual const char *isa() const = 0;   // static text
  virtual int32_t threads() const = 0;
  virtual int64_t scratch_bytes() const = 0;

  // Called before each op (not at the replay of a native graph): everything the scratch handed out is void.
  virtual void begin_op() = 0;

  // Host memory is free for other use when upload returns; download returns when the bytes are there.
  virtual void upload(void *device, const void *host, int64_t bytes) = 0;
  virtual void download(void *host, const void *device, int64_t bytes) = 0;
  virtual void synchronize() = 0;

  // After synchronize or download: the error word as it stands, cleared behind it.
  virtual ErrorWord take_error() = 0;

  virtual std::unique_ptr<DeviceEvent> create_event() = 0;
  virtual void record(DeviceEvent &event) = 0;
  virtual void wait(DeviceEvent &event) = 0;
  virtual double elapsed_ms(DeviceEvent &start, DeviceEvent &end) = 0;

  // Whether ops called between begin_capture and end_capture are recorded by the device. When not, the ABI layer keeps
  // the calls and replays them.
  virtual bool captures() const = 0;
  virtual void begin_capture() = 0;
  virtual std::unique_ptr<DeviceGraph> end_capture() = 0;
  virtual void launch(DeviceGraph &graph) = 0;
};

// One physical device; lives as long as the process.
class Device {
 public:
  virtual ~Device() = default;
  virtual int32_t kind() const = 0;      // CUNN_CPU, ...
  virtual int32_t ordinal() const = 0;
  virtual const char *name() const = 0;  // static text
  virtual void memory(int64_t *total, int64_t *available) const = 0;

  // Zero-filled, aligned to 64 bytes at least; throws std::bad_alloc. release is called when no work submitted before
  // can touch the memory any more, or orders the release behind that work itself.
  virtual void *allocate(int64_t bytes) = 0;
  virtual void release(void *memory, int64_t bytes) noexcept = 0;

  // threads as in cunn_context_create, isa null for the best. Throws Failure with the status and the sentence.
  virtual std::unique_ptr<Queue> open(int32_t threads, const char *isa) = 0;
};

// The devices of one kind that this build and machine have.
int32_t device_count(int32_t kind);
Device *find_device(int32_t kind, int32_t ordinal);  // null when there is none
const char *device_note(int32_t kind);               // why there is none; "" when there is one
const char *device_kind_name(int32_t kind);          // "cpu", "cuda", "simt"; null for an unknown kind

}  // namespace cunn
