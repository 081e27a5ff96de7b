// Graphs.
#include <algorithm>
#include <cstring>

#include "graph.h"

using namespace cunn;

namespace {

Graph &graph_of(Context &context, cunn_graph handle) {
  auto *graph = static_cast<Graph *>(HandleTable::instance().find(Kind::graph, handle));
  if (graph == nullptr) throw_bad_handle("graph", handle, "a graph");
  // Another context's graph may be dying under its own gate: the owner's list tells without touching it.
  const std::vector<cunn_graph> &own = context.graphs;
  if (std::find(own.begin(), own.end(), handle) == own.end())
    throw Failure(CUNN_INVALID_ARGUMENT, "graph was recorded by another context, whose scratch memory it uses");
  return *graph;
}

}  // namespace

int32_t cunn_graph_begin(cunn_context handle) {
  return guarded(handle, "graph_begin", [&](Context &context) {
    context.forbid_while_recording();
    auto graph = std::make_unique<Graph>();
    context.queue->begin_capture();
    context.recording = std::move(graph);
  });
}

int32_t cunn_graph_end(cunn_context handle, cunn_graph *graph) {
  return guarded(handle, "graph_end", [&](Context &context) {
    require_pointer("graph", graph);
    *graph = 0;
    if (context.recording == nullptr) throw Failure(CUNN_INVALID_ARGUMENT, "nothing is being recorded");
    context.graphs.reserve(context.graphs.size() + 1);
    std::unique_ptr<Graph> done = std::move(context.recording);
    done->known_buffers.clear();
    done->deaths_seen = buffer_deaths.load(std::memory_order_seq_cst) - 1;  // the first launch asks
    done->native = context.queue->end_capture();
    *graph = HandleTable::instance().insert(Kind::graph, done.get());
    context.graphs.push_back(*graph);
    done.release();
  });
}

int32_t cunn_graph_launch(cunn_context handle, cunn_graph graph) {
  return guarded(handle, "graph_launch", [&](Context &context) {
    context.forbid_while_recording();
    Graph &step = graph_of(context, graph);
    step.check_buffers();
    if (step.native != nullptr) context.queue->launch(*step.native);
    else step.run(*context.queue);
  });
}

int32_t cunn_graph_destroy(cunn_context handle, cunn_graph graph) {
  return guarded(handle, "graph_destroy", [&](Context &context) {
    Graph &dead = graph_of(context, graph);
    HandleTable::instance().remove(Kind::graph, graph);
    std::vector<cunn_graph> &own = context.graphs;
    own.erase(std::find(own.begin(), own.end(), graph));
    delete &dead;
  });
}

int32_t cunn_graph_dump(cunn_context handle, void *text, int64_t *length, cunn_graph graph, int64_t capacity) {
  return guarded(handle, "graph_dump", [&](Context &context) {
    require_pointer("length", length);
    if (capacity < 0)
      throw Failure(CUNN_INVALID_ARGUMENT, "capacity is %lld, expected at least 0", static_cast<long long>(capacity));
    if (capacity > 0) require_pointer("text", text);
    const std::string &all = graph_of(context, graph).text;
    *length = static_cast<int64_t>(all.size());
    if (capacity == 0) return;
    const size_t kept = std::min(all.size(), static_cast<size_t>(capacity - 1));
    std::memcpy(text, all.data(), kept);
    static_cast<char *>(text)[kept] = '\0';
  });
}
