// What a kernel file gets as <cuda_runtime.h> while the host side of libcunn-sm70.so is compiled: the language as simt
// spells it, the part of the runtime API that the device layer uses, and launches of kernels by name. Kernel bodies are
// parsed here and never emitted: the card runs what NVRTC made of the same files.
#pragma once
#include "../../simt/include/simt/language.h"
#include "../../simt/include/simt/runtime.h"

#include "../../simt/include/simt/barrier.h"
#include "../../simt/include/simt/warp.h"
#include "../../simt/include/simt/atomics.h"
#include "../../simt/include/simt/intrinsics.h"
#include "driver_api.h"
#include "driver_launch.h"

size_t __cvta_generic_to_shared(const void* pointer);
