// Streams and graphs: a stream runs work at once, or, while it is captured, keeps it for the graph.
#pragma once
#include <chrono>
#include <functional>
#include <vector>

#include "../include/simt/host_api.h"

namespace simt {

// One recorded piece of work; returns what the launch or copy returned.
using Work = std::function<cudaError_t()>;

struct Graph {
  std::vector<Work> nodes;
};
struct GraphExec {
  std::vector<Work> nodes;
};
struct Stream {
  bool capturing = false;
  bool invalidated = false;  // a call that cannot be captured was made during capture
  Graph* graph = nullptr;
};
struct Event {
  std::chrono::steady_clock::time_point time;
  bool recorded = false;
};

// Runs `work` on the stream, or records it. The null stream cannot be captured.
cudaError_t run_or_record(Stream* stream, Work work);
// True, and the capture is spoiled, when a call that must execute now meets a stream that is being captured.
bool refuse_in_capture(Stream* stream);

}  // namespace simt
