#pragma once
#include "../../simt/include/cuda_fp16.h"
