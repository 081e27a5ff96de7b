#include "card.h"

#include <cstdlib>
#include <cstring>

namespace simt {
namespace {

constexpr Card kCards[] = {{"sm_70", 7, 0, 96 << 10},  {"sm_75", 7, 5, 64 << 10}, {"sm_80", 8, 0, 163 << 10},
                           {"sm_86", 8, 6, 99 << 10}, {"sm_89", 8, 9, 99 << 10}, {"sm_90", 9, 0, 227 << 10}};

const Card* find() {
  const char* const name = std::getenv("CUNN_SIMT_CARD");
  for (const Card& card : kCards)
    if (std::strcmp(card.name, name && *name ? name : "sm_90") == 0) return &card;
  return nullptr;
}

}  // namespace

const Card* card() {
  static const Card* const chosen = find();
  return chosen;
}

}  // namespace simt
