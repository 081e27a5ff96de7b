#include "graph.h"

#include <algorithm>

namespace cunn {

void *Graph::take(size_t bytes) {
  constexpr size_t alignment = alignof(std::max_align_t), usual = size_t{16} << 10;
  bytes = (bytes + alignment - 1) / alignment * alignment;
  if (block_used + bytes > block_size) {
    block_size = std::max(usual, bytes);
    blocks.emplace_back(new std::byte[block_size]);
    block_used = 0;
  }
  void *memory = blocks.back().get() + block_used;
  block_used += bytes;
  return memory;
}

void Graph::check_buffers() {
  const uint64_t deaths = buffer_deaths.load(std::memory_order_seq_cst);
  if (deaths == deaths_seen) return;
  for (const auto &[name, handle] : buffers)
    if (find_buffer(handle) == nullptr)
      throw Failure(CUNN_INVALID_ARGUMENT, "a recorded buffer, first used as %s, was destroyed", name);
  deaths_seen = deaths;
}

void Graph::run(Queue &queue) const {
  const OpTable &ops = queue.ops();
  Exec &exec = queue.exec();
  for (const Step &step : steps) {
    queue.begin_op();
    step.replay(ops, exec, step.arguments);
  }
}

}  // namespace cunn
