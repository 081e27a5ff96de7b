// cunn.h with its functions exported: everything else in the library is hidden.
#pragma once

#pragma GCC visibility push(default)
#include "cunn.h"
#pragma GCC visibility pop
