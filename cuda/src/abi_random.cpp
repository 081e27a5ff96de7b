// Random numbers: checks.
#include "call.h"

using namespace cunn;

namespace {

// A word of the Philox counter.
uint32_t counter_word(Call &c, const char *name, int64_t value) {
  c.at_least(name, value, 0);
  c.at_most(name, value, std::numeric_limits<uint32_t>::max());
  return static_cast<uint32_t>(value);
}

}  // namespace

int32_t cunn_random_init(cunn_context context, cunn_buffer y, int64_t n, int64_t start, int64_t seed, int64_t tensor) {
  return run_op<OpId::random_init>(context, [&](Call &c) {
    c.dims({{"n", n}, {"start", start}});
    c.nothing_when(n == 0);
    c.numbered("start", start, n);
    return RandomInit{c.out_floats("y", y, dense(n)), n, start, static_cast<uint64_t>(seed),
                      counter_word(c, "tensor", tensor)};
  });
}

int32_t cunn_random_uniform(cunn_context context, cunn_buffer y, int64_t n, int64_t start, int64_t seed,
                            int32_t stream, int64_t sub) {
  return run_op<OpId::random_uniform>(context, [&](Call &c) {
    c.dims({{"n", n}, {"start", start}});
    c.nothing_when(n == 0);
    c.numbered("start", start, n);
    return RandomUniform{c.out<float>("y", y, dense(n)), n, start, static_cast<uint64_t>(seed),
                         counter_word(c, "stream", stream), counter_word(c, "sub", sub)};
  });
}
