// A recorded step: the checked arguments of every op, the buffers they point into, and one line of text each.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "context.h"

namespace cunn {

struct Graph final : Object {
  using Replay = void (*)(const OpTable &, Exec &, const void *arguments);

  struct Step {
    Replay replay;
    const void *arguments;
  };

  Context *owner = nullptr;
  std::vector<Step> steps;
  std::vector<std::unique_ptr<std::byte[]>> blocks;  // the steps' arguments
  size_t block_used = 0, block_size = 0;
  std::vector<std::pair<const char *, cunn_buffer>> buffers;  // name at its first use, handle; each handle once
  std::unordered_set<cunn_buffer> known_buffers;
  std::string text;
  std::unique_ptr<DeviceGraph> native;  // what the device recorded, when it records by itself
  uint64_t deaths_seen = 0;             // buffer_deaths when all buffers were last found alive

  // Keeps a copy of an op's arguments; they must be trivially copyable.
  template <class Args>
  void add(Replay replay, const Args &arguments) {
    static_assert(std::is_trivially_copyable<Args>::value && alignof(Args) <= alignof(std::max_align_t), "");
    void *copy = take(sizeof(Args));
    steps.push_back({replay, new (copy) Args(arguments)});
  }

  // Throws when a recorded buffer was destroyed.
  void check_buffers();
  void run(Queue &queue) const;

 private:
  void *take(size_t bytes);
};

}  // namespace cunn
