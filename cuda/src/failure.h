// The one exception of the ABI layer: a status and its sentence. It never leaves the library.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>

#include "abi.h"

namespace cunn {

class Failure {
 public:
  __attribute__((format(printf, 3, 4))) Failure(int32_t status, const char *format, ...) : status_(status) {
    va_list values;
    va_start(values, format);
    std::vsnprintf(text_, sizeof text_, format, values);
    va_end(values);
  }
  int32_t status() const { return status_; }
  const char *text() const { return text_; }

 private:
  int32_t status_;
  char text_[448];
};

// A failure whose sentence names its op already: one that an earlier call caused.
class Reported : public Failure {
 public:
  explicit Reported(const char *text) : Failure(CUNN_DEVICE, "%s", text) {}
};

}  // namespace cunn
