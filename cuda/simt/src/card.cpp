#include "card.h"

#include <cstdlib>
#include <cstring>
#include <string>

namespace simt {
namespace {

constexpr Card kCards[] = {{"sm_70", 7, 0, 96 << 10},  {"sm_75", 7, 5, 64 << 10}, {"sm_80", 8, 0, 163 << 10},
                           {"sm_86", 8, 6, 99 << 10}, {"sm_89", 8, 9, 99 << 10}, {"sm_90", 9, 0, 227 << 10}};

const char* wanted() {
  const char* const name = std::getenv("CUNN_SIMT_CARD");
  return name && *name ? name : "sm_90";
}

const Card* find() {
  for (const Card& card : kCards)
    if (std::strcmp(card.name, wanted()) == 0) return &card;
  return nullptr;
}

std::string note() {
  if (card()) return {};
  std::string text = std::string("CUNN_SIMT_CARD=") + wanted() + ", where simt knows";
  for (const Card& card : kCards) text += std::string(&card == kCards ? " " : ", ") + card.name;
  return text;
}

}  // namespace

const Card* card() {
  static const Card* const chosen = find();
  return chosen;
}

const char* card_note() {
  static const std::string* const text = new std::string(note());
  return text->c_str();
}

}  // namespace simt
