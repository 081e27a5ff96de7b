// Gradient norm, clipping and AdamW: checks.
#include "call.h"

using namespace cunn;

int32_t cunn_sum_of_squares(cunn_context context, cunn_buffer sum, cunn_buffer x, int64_t n) {
  return run_op<OpId::sum_of_squares>(context, [&](Call &c) {
    c.dims({{"n", n}});  // the sum of nothing is written too: 0
    return SumOfSquares{c.out<float>("sum", sum, dense(1)), c.in_floats("x", x, dense(n)), n};
  });
}

int32_t cunn_clip_scale(cunn_context context, cunn_buffer scale, cunn_buffer norm, cunn_buffer nonfinite,
                        cunn_buffer applied, cunn_buffer sum, double max_norm) {
  return run_op<OpId::clip_scale>(context, [&](Call &c) {
    return ClipScale{c.out<float>("scale", scale, dense(1)),
                     c.out<float>("norm", norm, dense(1)),
                     c.out<int32_t>("nonfinite", nonfinite, dense(1)),
                     c.out<int64_t>("applied", applied, dense(1)),
                     c.in<float>("sum", sum, dense(1)),
                     c.real("max_norm", max_norm, 0)};
  });
}

int32_t cunn_adamw_step(cunn_context context, cunn_buffer param, cunn_buffer master, cunn_buffer m, cunn_buffer v,
                        cunn_buffer grad, cunn_buffer lr, cunn_buffer scale, cunn_buffer nonfinite,
                        cunn_buffer applied, cunn_buffer seed, int64_t n, int64_t start, double beta1, double beta2,
                        double eps, double weight_decay) {
  return run_op<OpId::adamw_step>(context, [&](Call &c) {
    constexpr uint32_t f32_or_bf16 = bit(DType::f32) | bit(DType::bf16);
    c.dims({{"n", n}, {"start", start}});
    c.nothing_when(n == 0);
    c.numbered("start", start, n);
    AdamwStep args;
    args.param = c.out_floats("param", param, dense(n));
    args.master = master == 0 ? nullptr : c.out<float>("master", master, dense(n));
    args.m = c.out_floats("m", m, dense(n), f32_or_bf16);
    args.v = c.out_floats("v", v, dense(n), f32_or_bf16);
    args.grad = c.in_floats("grad", grad, dense(n), {}, f32_or_bf16);
    args.lr = c.in<float>("lr", lr, dense(1));
    args.scale = c.in<float>("scale", scale, dense(1));
    args.nonfinite = c.in<int32_t>("nonfinite", nonfinite, dense(1));
    args.applied = c.in<int64_t>("applied", applied, dense(1));
    args.seed = c.in_or_none<int64_t>("seed", seed, dense(1));
    c.same_dtype("v", args.v.dtype, "m", args.m.dtype);
    const bool rounds = (args.param.dtype != DType::f32 && master == 0) || args.m.dtype != DType::f32;
    c.require(!rounds || seed != 0, "seed is 0, expected a buffer (16-bit values are rounded stochastically)");
    args.n = n;
    args.start = start;
    args.beta1 = c.real("beta1", beta1, 0);
    args.beta2 = c.real("beta2", beta2, 0);
    c.require(beta1 < 1, "beta1 is %g, expected less than 1", beta1);
    c.require(beta2 < 1, "beta2 is %g, expected less than 1", beta2);
    args.eps = c.real("eps", eps, 0);
    args.weight_decay = c.real("weight_decay", weight_decay, 0);
    return args;
  });
}
