// Faults: what a detector found in a kernel, as text and as the error the host API returns.
#pragma once
#include <cstdarg>
#include <string>

#include "../include/simt/host_api.h"

namespace simt {

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

// Remembers the error for cudaGetLastError of this host thread; `text` (may be empty) for last_fault.
void set_last_error(cudaError_t error, std::string text = {});

// "softmax.cu:41", without the directories.
std::string place(const Site* site);

}  // namespace simt
