// Events.
#include "graph.h"

using namespace cunn;

namespace {

Event &event_of(Context &context, const char *name, cunn_event handle) {
  auto *event = static_cast<Event *>(HandleTable::instance().find(Kind::event, handle));
  if (event == nullptr) throw_bad_handle(name, handle, "an event");
  if (event->device != context.device) throw_other_device(name, *event->device, *context.device);
  return *event;
}

Event &recorded_event_of(Context &context, const char *name, cunn_event handle) {
  Event &event = event_of(context, name, handle);
  if (!event.recorded.load(std::memory_order_acquire))
    throw Failure(CUNN_INVALID_ARGUMENT, "%s was never recorded, expected an event_record before", name);
  return event;
}

}  // namespace

int32_t cunn_event_create(cunn_context handle, cunn_event *event) {
  return guarded(handle, "event_create", [&](Context &context) {
    require_pointer("event", event);
    *event = 0;
    context.forbid_while_recording();
    auto made = std::make_unique<Event>();
    made->device = context.device;
    made->mark = context.queue->create_event();
    *event = HandleTable::instance().insert(Kind::event, made.get());
    made.release();
  });
}

int32_t cunn_event_destroy(cunn_context handle, cunn_event event) {
  return guarded(handle, "event_destroy", [&](Context &context) {
    event_of(context, "event", event);
    std::unique_ptr<Object> dead(static_cast<Event *>(HandleTable::instance().remove(Kind::event, event)));
    if (dead == nullptr) throw_bad_handle("event", event, "an event");  // another thread was faster
    retire(std::move(dead), context.gate);
  });
}

int32_t cunn_event_record(cunn_context handle, cunn_event event) {
  return guarded(handle, "event_record", [&](Context &context) {
    context.forbid_while_recording();
    Event &mark = event_of(context, "event", event);
    context.queue->record(*mark.mark);
    mark.recorded.store(true, std::memory_order_release);
  });
}

int32_t cunn_event_wait(cunn_context handle, cunn_event event) {
  return guarded(handle, "event_wait", [&](Context &context) {
    context.forbid_while_recording();
    context.queue->wait(*recorded_event_of(context, "event", event).mark);
  });
}

int32_t cunn_event_elapsed(cunn_context handle, double *milliseconds, cunn_event start, cunn_event end) {
  return guarded(handle, "event_elapsed", [&](Context &context) {
    require_pointer("milliseconds", milliseconds);
    context.forbid_while_recording();
    Event &first = recorded_event_of(context, "start", start);
    Event &last = recorded_event_of(context, "end", end);
    *milliseconds = context.queue->elapsed_ms(*first.mark, *last.mark);
  });
}
