// Which card's limits are kept: CUNN_SIMT_CARD=sm_70|sm_75|sm_80|sm_86|sm_89|sm_90, the last one when it is not set. The
// kernels ask for the compute capability and take other paths on older cards; so those paths are executed too.
#pragma once
#include <cstddef>

namespace simt {

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
struct Card {
  const char* name;
  int major, minor;
  size_t max_shared;  // bytes of a block, static and dynamic
};
constexpr size_t kMaxStaticShared = 48 << 10;  // on every card

// Null when the environment names a card that is not in the table.
const Card* card();

// Which name that was, and the cards there are; empty when there is a card.
const char* card_note();

}  // namespace simt
