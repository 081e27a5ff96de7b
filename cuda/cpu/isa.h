// Instruction sets the cpu device's kernels are compiled for, and which of them this machine has.
#pragma once

namespace cunn {
struct OpTable;
}

namespace cunn::cpu {

enum class Isa { scalar = 0, avx2 = 1, avx512 = 2 };

constexpr int isa_count = 3;

// "scalar", "avx2", "avx512".
const char *isa_name(Isa isa);

// The kernels compiled for it; null where this build has none.
const OpTable *op_table(Isa isa);

// Whether the processor and the operating system run it. avx2 means AVX2, FMA and F16C; avx512 adds F, BW, VL and DQ.
bool isa_supported(Isa isa);

// The widest supported one.
Isa best_isa();

// Reads a forced name; false (and *isa untouched) when it is none of the three. Does not ask whether it is supported.
bool parse_isa(const char *name, Isa *isa);

}  // namespace cunn::cpu
