/* Two libraries in one process, the second a copy of the first: neither may take the other's handles for its own. */
#include "abi_test.h"

/* Where a handle has its library's number (src/handles.h). */
#define LIBRARY_BITS (INT64_C(1023) << 15)

static cunn_graph recorded_fill(const struct library *library, cunn_context context, cunn_buffer buffer) {
  cunn_graph graph = 0;
  OK(library->graph_begin(context));
  OK(library->fill(context, buffer, 4, 2));
  OK(library->graph_end(context, &graph));
  return graph;
}

/* Runs before every other test: both libraries then give out their first handles, of the same slots and generations, and
 * each pair differs in nothing but the library's number. */
void test_two_libraries(const struct library *other) {
  const float ones[4] = {1, 1, 1, 1};
  float got[4] = {0};
  const cunn_context context = open_cpu(1);
  const cunn_buffer own = make_f32(context, ones, 4);
  cunn_context theirs = 0;
  cunn_buffer foreign = 0, view = 0;
  cunn_event event = 0;
  cunn_graph graph;

  OK(other->context_create(&theirs, CUNN_CPU, 0, 1, NULL));
  OK(other->buffer_create(theirs, &foreign, CUNN_F32, 4));
  CHECK(theirs != context && ((theirs ^ context) & ~LIBRARY_BITS) == 0);
  CHECK(foreign != own && ((foreign ^ own) & ~LIBRARY_BITS) == 0);
  EQUAL(cunn.context_synchronize(theirs), CUNN_INVALID_ARGUMENT);
  EQUAL(other->context_synchronize(context), CUNN_INVALID_ARGUMENT);
  EQUAL(cunn.context_destroy(theirs), CUNN_INVALID_ARGUMENT);

  INVALID(context, cunn.fill(context, foreign, 4, 9), "fill: y is not of this library, expected a buffer");
  INVALID(context, cunn.add_forward(context, own, own, foreign, 4),
          "add_forward: b is not of this library, expected a buffer");
  INVALID(context, cunn.buffer_view(context, &view, foreign, 0, 4),
          "buffer_view: buffer is not of this library, expected a buffer");
  INVALID(context, cunn.buffer_upload(context, foreign, 0, 4, ones),
          "buffer_upload: buffer is not of this library, expected a buffer");
  INVALID(context, cunn.buffer_download(context, got, foreign, 0, 4),
          "buffer_download: buffer is not of this library, expected a buffer");
  INVALID(context, cunn.buffer_destroy(context, foreign),
          "buffer_destroy: buffer is not of this library, expected a buffer");
  EQUAL(other->fill(theirs, own, 4, 9), CUNN_INVALID_ARGUMENT);
  TEXT(other->context_error(theirs), "fill: y is not of this library, expected a buffer");

  OK(other->event_create(theirs, &event));
  INVALID(context, cunn.event_record(context, event), "event_record: event is not of this library, expected an event");
  OK(other->event_destroy(theirs, event));

  graph = recorded_fill(other, theirs, foreign);
  INVALID(context, cunn.graph_launch(context, graph), "graph_launch: graph is not of this library, expected a graph");
  OK(other->graph_launch(theirs, graph));

  OK(cunn.buffer_download(context, got, own, 0, 4));
  CHECK(memcmp(got, ones, sizeof ones) == 0);
  OK(other->context_destroy(theirs));
  OK(cunn.buffer_destroy(context, own));
  OK(cunn.context_destroy(context));
}
