// The cuda device and, compiled against simt/include, the simt device.
#pragma once
#include "../src/device.h"

namespace cunn::cuda {

int device_count();              // 0 without a driver or a card
Device* device(int32_t ordinal);  // null when there is none
const char* device_note();       // why there is none; "" when there is one

}  // namespace cunn::cuda
