// The host's processor as a device: kernels for every instruction set, chosen when a context is made.
#pragma once

#include "../src/device.h"

namespace cunn::cpu {

Device &device();

}  // namespace cunn::cpu
