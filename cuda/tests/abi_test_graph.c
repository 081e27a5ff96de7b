/* Graphs: what is recorded, what recording forbids, what a launch checks. */
#include "abi_test.h"

static const char *const forbidden = "not allowed between graph_begin and graph_end";

static void refused(cunn_context c, int32_t status, const char *op) {
  char sentence[128];
  snprintf(sentence, sizeof sentence, "%s: %s", op, forbidden);
  EQUAL(status, CUNN_INVALID_ARGUMENT);
  TEXT(cunn.context_error(c), sentence);
}

static void test_recording(cunn_context c, cunn_buffer x, cunn_buffer y) {
  float got[4] = {0};
  cunn_buffer buffer = 0, view = 0;
  cunn_event event = 0, fresh = 0;
  cunn_graph graph = 0;
  int64_t length = 0;
  int32_t dtype;
  int64_t count, bytes;
  char text[256];
  const char *want = "scale_forward y:f32 x:f32 n=4 alpha=3\nadd_forward y:f32 a:f32 b:f32 n=4\n";
  OK(cunn.event_create(c, &event));

  INVALID(c, cunn.graph_end(c, &graph), "graph_end: nothing is being recorded");
  OK(cunn.graph_begin(c));
  OK(cunn.scale_forward(c, y, x, 4, 3));
  refused(c, cunn.graph_begin(c), "graph_begin");
  refused(c, cunn.buffer_create(c, &buffer, CUNN_F32, 4), "buffer_create");
  refused(c, cunn.buffer_upload(c, x, 0, 4, got), "buffer_upload");
  refused(c, cunn.buffer_download(c, got, x, 0, 4), "buffer_download");
  refused(c, cunn.context_synchronize(c), "context_synchronize");
  refused(c, cunn.event_create(c, &fresh), "event_create");
  refused(c, cunn.event_record(c, event), "event_record");
  refused(c, cunn.event_wait(c, event), "event_wait");
  OK(cunn.buffer_info(c, &dtype, &count, &bytes, x));
  OK(cunn.buffer_view(c, &view, x, 0, 4));
  OK(cunn.buffer_destroy(c, view));
  /* A bad call is refused and leaves the recording as it was. */
  INVALID(c, cunn.add_forward(c, y, y, x, 5), "add_forward: y holds 4 elements, expected at least 5");
  OK(cunn.add_forward(c, y, y, x, 4));
  INVALID(c, cunn.graph_end(c, NULL), "graph_end: graph is null");
  OK(cunn.graph_end(c, &graph));

  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 0 && got[3] == 0); /* nothing has run */
  OK(cunn.graph_launch(c, graph));
  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 4 && got[3] == 16);
  OK(cunn.graph_launch(c, graph));
  OK(cunn.buffer_download(c, got, y, 0, 4));
  CHECK(got[0] == 4 && got[3] == 16);

  OK(cunn.graph_dump(c, text, &length, graph, sizeof text));
  TEXT(text, want);
  EQUAL(length, strlen(want));
  OK(cunn.graph_dump(c, NULL, &length, graph, 0));
  EQUAL(length, strlen(want));
  OK(cunn.graph_dump(c, text, &length, graph, 6));
  TEXT(text, "scale");
  INVALID(c, cunn.graph_dump(c, NULL, &length, graph, 6), "graph_dump: text is null");
  INVALID(c, cunn.graph_dump(c, text, &length, graph, -1), "graph_dump: capacity is -1, expected at least 0");

  OK(cunn.graph_begin(c));
  refused(c, cunn.graph_launch(c, graph), "graph_launch");
  OK(cunn.graph_destroy(c, graph));
  INVALID(c, cunn.graph_destroy(c, graph), "graph_destroy: graph was destroyed or never existed, expected a graph");
  OK(cunn.graph_end(c, &graph));
  OK(cunn.graph_launch(c, graph)); /* an empty one */
  OK(cunn.graph_destroy(c, graph));
  INVALID(c, cunn.graph_launch(c, x), "graph_launch: graph is a buffer, expected a graph");
  OK(cunn.event_destroy(c, event));
}

void test_graphs(void) {
  const float values[4] = {1, 2, 3, 4};
  const int32_t bad_id = 7;
  const cunn_context c = open_cpu(1), other = open_cpu(1);
  const cunn_buffer x = make_f32(c, values, 4), y = make(c, CUNN_F32, 4);
  const cunn_buffer ids = make_i32(c, &bad_id, 1);
  cunn_buffer view = 0;
  cunn_graph graph = 0, kept = 0;

  test_recording(c, x, y);

  /* The text must be that of the buffer's first use. */
  OK(cunn.buffer_view(c, &view, x, 0, 4));
  OK(cunn.graph_begin(c));
  OK(cunn.mul_forward(c, y, view, x, 4));
  OK(cunn.graph_end(c, &graph));
  OK(cunn.graph_launch(c, graph));
  INVALID(other, cunn.graph_launch(other, graph),
          "graph_launch: graph was recorded by another context, whose scratch memory it uses");
  INVALID(other, cunn.graph_destroy(other, graph),
          "graph_destroy: graph was recorded by another context, whose scratch memory it uses");
  OK(cunn.buffer_destroy(other, view));
  INVALID(c, cunn.graph_launch(c, graph), "graph_launch: a recorded buffer, first used as a, was destroyed");
  INVALID(c, cunn.graph_launch(c, graph), "graph_launch: a recorded buffer, first used as a, was destroyed");
  OK(cunn.graph_destroy(c, graph));

  /* Values are checked when the step runs, not when it is recorded. */
  OK(cunn.graph_begin(c));
  OK(cunn.embedding_forward(c, y, ids, x, 1, 1, 4));
  OK(cunn.graph_end(c, &graph));
  OK(cunn.context_synchronize(c));
  OK(cunn.graph_launch(c, graph));
  FAILS(c, cunn.context_synchronize(c), CUNN_DEVICE, "embedding_forward: ids[0] is 7, expected 0 to 0");

  /* A context may die while it records, and takes its graphs along. */
  OK(cunn.graph_begin(other));
  OK(cunn.scale_forward(other, y, x, 4, 1));
  OK(cunn.graph_end(other, &kept));
  OK(cunn.graph_begin(other));
  OK(cunn.scale_forward(other, y, x, 4, 1));
  OK(cunn.context_destroy(other));
  INVALID(c, cunn.graph_launch(c, kept), "graph_launch: graph was destroyed or never existed, expected a graph");
  OK(cunn.context_destroy(c));
}
