#pragma once
#include "../../simt/include/cuda_bf16.h"
