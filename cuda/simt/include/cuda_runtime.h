// The CUDA language and runtime API on the host: what nvcc and NVIDIA's <cuda_runtime.h> give to a .cu file, given
// to it by an ordinary C++17 compiler. A kernel file includes <cuda_runtime.h> in both worlds; the include path
// decides which one it gets. Only what cuda-nn uses is here; simt/README.md lists it.
#pragma once
#define SIMT_HOST 1

#include "simt/language.h"
#include "simt/runtime.h"
#include "simt/barrier.h"
#include "simt/warp.h"
#include "simt/atomics.h"
#include "simt/intrinsics.h"
#include "simt/async_copy.h"
#include "simt/tensor_core.h"
#include "simt/host_api.h"
#include "simt/launch.h"
