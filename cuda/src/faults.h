// The device error word as a sentence.
#pragma once

#include "ops.h"

namespace cunn {

// Throws what the word reports, for example "embedding_forward: ids[5] is 1200, expected 0 to 999"; returns when it
// reports nothing.
void throw_fault(const ErrorWord &word);

}  // namespace cunn
