// Mixture of experts: checks.
#include "call.h"

using namespace cunn;

namespace {

// tokens, n_experts and top_k; the routed rows are numbered in i32.
void check_routing(Call &c, int64_t tokens, int64_t n_experts, int64_t top_k) {
  c.dims({{"tokens", tokens}, {"n_experts", n_experts}, {"top_k", top_k}});
  c.at_least("top_k", top_k, 1);
  c.at_most("top_k", top_k, n_experts, "n_experts");
  c.fits_i32("n_experts", n_experts);
  c.fits_i32("tokens x top_k", tokens, top_k);
}

void check_rows(Call &c, int64_t tokens, int64_t top_k, int64_t hidden) {
  c.dims({{"tokens", tokens}, {"top_k", top_k}, {"hidden", hidden}});
  c.at_least("top_k", top_k, 1);
  c.fits_i32("tokens x top_k", tokens, top_k);
  c.nothing_when(tokens == 0 || hidden == 0);
}

}  // namespace

int32_t cunn_moe_route_forward(cunn_context context, cunn_buffer probs, cunn_buffer experts, cunn_buffer weights,
                               cunn_buffer logits, int64_t tokens, int64_t n_experts, int64_t top_k) {
  return run_op<OpId::moe_route_forward>(context, [&](Call &c) {
    check_routing(c, tokens, n_experts, top_k);
    c.nothing_when(tokens == 0);
    return MoeRouteForward{c.out<float>("probs", probs, dense(tokens, n_experts)),
                           c.out<int32_t>("experts", experts, dense(tokens, top_k)),
                           c.out<float>("weights", weights, dense(tokens, top_k)),
                           c.in<float>("logits", logits, dense(tokens, n_experts)),
                           tokens,
                           n_experts,
                           top_k};
  });
}

int32_t cunn_moe_route_backward(cunn_context context, cunn_buffer dlogits, cunn_buffer dweights, cunn_buffer dprobs,
                                cunn_buffer dlogits_z, cunn_buffer probs, cunn_buffer experts, cunn_buffer weights,
                                int64_t tokens, int64_t n_experts, int64_t top_k) {
  return run_op<OpId::moe_route_backward>(context, [&](Call &c) {
    check_routing(c, tokens, n_experts, top_k);
    c.nothing_when(tokens == 0);
    return MoeRouteBackward{c.out<float>("dlogits", dlogits, dense(tokens, n_experts)),
                            c.in<float>("dweights", dweights, dense(tokens, top_k)),
                            c.in_or_none<float>("dprobs", dprobs, dense(tokens, n_experts)),
                            c.in_or_none<float>("dlogits_z", dlogits_z, dense(tokens, n_experts), {"dlogits"}),
                            c.in<float>("probs", probs, dense(tokens, n_experts)),
                            c.in<int32_t>("experts", experts, dense(tokens, top_k)),
                            c.in<float>("weights", weights, dense(tokens, top_k)),
                            tokens,
                            n_experts,
                            top_k};
  });
}

int32_t cunn_moe_dispatch_forward(cunn_context context, cunn_buffer offsets, cunn_buffer row_token,
                                  cunn_buffer token_row, cunn_buffer experts, int64_t tokens, int64_t n_experts,
                                  int64_t top_k) {
  return run_op<OpId::moe_dispatch_forward>(context, [&](Call &c) {
    check_routing(c, tokens, n_experts, top_k);  // without tokens the offsets are still written: all 0
    return MoeDispatchForward{c.out<int32_t>("offsets", offsets, dense(n_experts + 1)),
                              c.out<int32_t>("row_token", row_token, dense(tokens, top_k)),
                              c.out<int32_t>("token_row", token_row, dense(tokens, top_k)),
                              c.in<int32_t>("experts", experts, dense(tokens, top_k)),
                              tokens,
                              n_experts,
                              top_k};
  });
}

int32_t cunn_moe_dispatch_backward(cunn_context context, cunn_buffer dx, cunn_buffer drows, cunn_buffer token_row,
                                   int64_t tokens, int64_t top_k, int64_t hidden) {
  return run_op<OpId::moe_dispatch_backward>(context, [&](Call &c) {
    check_rows(c, tokens, top_k, hidden);
    return MoeDispatchBackward{c.out<float>("dx", dx, dense(tokens, hidden)),
                               c.in<float>("drows", drows, dense(tokens, top_k, hidden)),
                               c.in<int32_t>("token_row", token_row, dense(tokens, top_k)), tokens, top_k, hidden};
  });
}

int32_t cunn_moe_combine_forward(cunn_context context, cunn_buffer y, cunn_buffer residual, cunn_buffer rows,
                                 cunn_buffer weights, cunn_buffer token_row, int64_t tokens, int64_t top_k,
                                 int64_t hidden) {
  return run_op<OpId::moe_combine_forward>(context, [&](Call &c) {
    check_rows(c, tokens, top_k, hidden);
    return MoeCombineForward{c.out<float>("y", y, dense(tokens, hidden)),
                             c.in_or_none<float>("residual", residual, dense(tokens, hidden), {"y"}),
                             c.in<float>("rows", rows, dense(tokens, top_k, hidden)),
                             c.in<float>("weights", weights, dense(tokens, top_k)),
                             c.in<int32_t>("token_row", token_row, dense(tokens, top_k)),
                             tokens,
                             top_k,
                             hidden};
  });
}

int32_t cunn_moe_combine_backward(cunn_context context, cunn_buffer drows, cunn_buffer dweights, cunn_buffer dy,
                                  cunn_buffer rows, cunn_buffer weights, cunn_buffer token_row, int64_t tokens,
                                  int64_t top_k, int64_t hidden) {
  return run_op<OpId::moe_combine_backward>(context, [&](Call &c) {
    check_rows(c, tokens, top_k, hidden);
    return MoeCombineBackward{c.out<float>("drows", drows, dense(tokens, top_k, hidden)),
                              c.out<float>("dweights", dweights, dense(tokens, top_k)),
                              c.in<float>("dy", dy, dense(tokens, hidden)),
                              c.in<float>("rows", rows, dense(tokens, top_k, hidden), {"drows"}),
                              c.in<float>("weights", weights, dense(tokens, top_k)),
                              c.in<int32_t>("token_row", token_row, dense(tokens, top_k)),
                              tokens,
                              top_k,
                              hidden};
  });
}

int32_t cunn_moe_balance_loss_forward(cunn_context context, cunn_buffer loss, cunn_buffer fractions, cunn_buffer probs,
                                      cunn_buffer experts, int64_t tokens, int64_t n_experts, int64_t top_k) {
  return run_op<OpId::moe_balance_loss_forward>(context, [&](Call &c) {
    check_routing(c, tokens, n_experts, top_k);
    c.nothing_when(tokens == 0);
    return MoeBalanceLossForward{c.out<float>("loss", loss, dense(1)),
                                 c.out<float>("fractions", fractions, dense(n_experts)),
                                 c.in<float>("probs", probs, dense(tokens, n_experts)),
                                 c.in<int32_t>("experts", experts, dense(tokens, top_k)),
                                 tokens,
                                 n_experts,
                                 top_k};
  });
}

int32_t cunn_moe_balance_loss_backward(cunn_context context, cunn_buffer dprobs, cunn_buffer fractions, int64_t tokens,
                                       int64_t n_experts, int64_t top_k, double coef) {
  return run_op<OpId::moe_balance_loss_backward>(context, [&](Call &c) {
    check_routing(c, tokens, n_experts, top_k);
    c.nothing_when(tokens == 0);
    return MoeBalanceLossBackward{c.out<float>("dprobs", dprobs, dense(tokens, n_experts)),
                                  c.in<float>("fractions", fractions, dense(n_experts)),
                                  tokens,
                                  n_experts,
                                  top_k,
                                  c.real("coef", coef)};
  });
}

int32_t cunn_moe_z_loss_forward(cunn_context context, cunn_buffer loss, cunn_buffer logits, int64_t tokens,
                                int64_t n_experts) {
  return run_op<OpId::moe_z_loss_forward>(context, [&](Call &c) {
    c.dims({{"tokens", tokens}, {"n_experts", n_experts}});
    c.at_least("n_experts", n_experts, 1);
    c.nothing_when(tokens == 0);
    return MoeZLossForward{c.out<float>("loss", loss, dense(1)),
                           c.in<float>("logits", logits, dense(tokens, n_experts)), tokens, n_experts};
  });
}

int32_t cunn_moe_z_loss_backward(cunn_context context, cunn_buffer dlogits, cunn_buffer logits, int64_t tokens,
                                 int64_t n_experts, double coef) {
  return run_op<OpId::moe_z_loss_backward>(context, [&](Call &c) {
    c.dims({{"tokens", tokens}, {"n_experts", n_experts}});
    c.at_least("n_experts", n_experts, 1);
    c.nothing_when(tokens == 0);
    return MoeZLossBackward{c.out<float>("dlogits", dlogits, dense(tokens, n_experts)),
                            c.in<float>("logits", logits, dense(tokens, n_experts)), tokens, n_experts,
                            c.real("coef", coef)};
  });
}
