// Bad values in buffers: each is reported by the next synchronize in the same words as on cpu, the first one of several,
// and nothing out of range is touched (ASan and TSan builds watch that).
//
//   simt_faults SIMT_LIBRARY [CPU_LIBRARY] [--stop]
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>

#include "abi.h"
#include "check.h"

using cunn::DType;

#if defined(__SANITIZE_THREAD__)
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() { return "suppress_equal_addresses=0:history_size=4"; }
#endif

namespace {

// A buffer of f32 ones, or of given integers.
struct Ones : AbiBuffer {
  Ones(Library& l, int64_t n, DType dtype = DType::f32) : AbiBuffer(l, dtype, n) {
    CALL(l, cunn_fill, *this, n, 1.0);
  }
};
struct Ints : AbiBuffer {
  Ints(Library& l, const std::vector<int32_t>& values) : AbiBuffer(l, DType::i32, int64_t(values.size())) { upload(values.data()); }
};
struct Longs : AbiBuffer {
  Longs(Library& l, const std::vector<int64_t>& values) : AbiBuffer(l, DType::i64, int64_t(values.size())) { upload(values.data()); }
};
struct Reals : AbiBuffer {
  Reals(Library& l, const std::vector<float>& values) : AbiBuffer(l, DType::f32, int64_t(values.size())) { upload(values.data()); }
};

// The sentence that the call and a synchronize leave; empty when they succeed.
std::string sentence(Library& l, const std::function<void(Library&)>& call) {
  try {
    call(l);
  } catch (const Reported& report) {
    return report.what();
  }
  if (l.function<decltype(&cunn_context_synchronize)>("cunn_context_synchronize")(l.context) == CUNN_OK) return "";
  const std::string text = l.function<decltype(&cunn_context_error)>("cunn_context_error")(l.context);
  CHECK(l.function<decltype(&cunn_context_synchronize)>("cunn_context_synchronize")(l.context) == CUNN_OK);  // told once
  return text;
}

struct Fault {
  const char* expected;
  std::function<void(Library&)> call;
};

std::vector<int32_t> with_bad(int64_t n, int32_t good, std::initializer_list<std::pair<int64_t, int32_t>> bad) {
  std::vector<int32_t> values(size_t(n), good);
  for (const auto& [index, value] : bad) values[size_t(index)] = value;
  return values;
}

// Attention over a cache of 4 pages of 64 keys, two sequences of up to two pages.
void cached(Library& l, const std::vector<int32_t>& table, const std::vector<int32_t>& positions, const std::vector<int32_t>& lengths) {
  Ones q(l, 2 * 3 * 8), out(l, 2 * 3 * 8), k(l, 4 * 64 * 4), v(l, 4 * 64 * 4);
  Ints t(l, table), p(l, positions), n(l, lengths);
  CALL(l, cunn_attention_cached_forward, out, q, k, v, t, p, n, 2, 3, 2, 1, 4, 64, 2, 4, 8, 4, 0.5);
}
void append(Library& l, const std::vector<int32_t>& table, const std::vector<int32_t>& positions, const std::vector<int32_t>& lengths) {
  Ones k(l, 2 * 3 * 4), v(l, 2 * 3 * 4), k_cache(l, 4 * 64 * 4), v_cache(l, 4 * 64 * 4);
  Ints t(l, table), p(l, positions), n(l, lengths);
  CALL(l, cunn_cache_append, k_cache, v_cache, k, v, t, p, n, 2, 3, 1, 4, 64, 2, 4, 4, 4);
}
// A buffer of ones that a fault must leave as it is: half an answer would hide the fault.
void untouched(AbiBuffer& buffer) {
  try {
    buffer.download();  // synchronizes
  } catch (const Reported&) {
    for (int64_t i = 0; i < 10 * 8; ++i) {
      float value;
      std::memcpy(&value, buffer.download().data() + i * 4, 4);
      CHECK_EQUAL(value, 1.0f);
    }
    throw;
  }
}
void grouped_rows(Library& l, const std::vector<int32_t>& offsets, const std::vector<int32_t>& rows) {
  Ones a(l, 5 * 8), b(l, 3 * 8 * 8), c(l, 10 * 8);
  Ints o(l, offsets), r(l, rows);
  CALL(l, cunn_gemm_grouped_rows, c, a, b, o, r, 1, 3, 10, 8, 8, 5, 8, 8, 8, 64, 0.0);
  untouched(c);
}
void swiglu_rows(Library& l, const std::vector<int32_t>& offsets, const std::vector<int32_t>& rows) {
  Ones a(l, 5 * 8), w(l, 3 * 8 * 8), y(l, 10 * 8);
  Ints o(l, offsets), r(l, rows);
  CALL(l, cunn_gemm_grouped_swiglu_forward, y, 0, 0, a, w, w, o, r, 3, 10, 8, 8, 5, 8, 8, 8, 64);
  untouched(y);
}
void sample(Library& l, float temperature, int32_t top_k, float top_p) {
  Ones logits(l, 3 * 20);
  Reals t(l, {1.0f, temperature, temperature}), p(l, {1.0f, top_p, 1.0f});
  Ints k(l, {0, top_k, 0}), positions(l, {0, 0, 0}), ids(l, {-7, -7, -7});
  Longs samples(l, {0, 1, 2}), seed(l, {1});
  CALL(l, cunn_sample, ids, logits, t, k, p, samples, positions, seed, 3, 20, 20);
}

const Fault kFaults[] = {
    {"embedding_forward: ids[2500] is 8, expected 0 to 7",
     [](Library& l) {
       Ones y(l, 3000 * 2), w(l, 8 * 2);
       Ints ids(l, with_bad(3000, 7, {{2900, -1}, {2500, 8}, {2999, 100}}));
       CALL(l, cunn_embedding_forward, y, ids, w, 3000, 8, 2);
     }},
    {"embedding_backward: ids[1] is -5, expected 0 to 7",
     [](Library& l) {
       Ones dy(l, 6), dw(l, 16);
       Ints ids(l, {7, -5, 8});
       CALL(l, cunn_embedding_backward, dw, dy, ids, 3, 8, 2);
     }},
    {"rope_forward: positions[3] is 16, expected 0 to 15",
     [](Library& l) {
       Ones q(l, 4 * 4), k(l, 4 * 4), cos(l, 16 * 2), sin(l, 16 * 2), q_out(l, 4 * 4), k_out(l, 4 * 4);
       Ints positions(l, {0, 15, 3, 16});
       CALL(l, cunn_rope_forward, q_out, k_out, q, k, cos, sin, positions, 4, 1, 1, 4, 16, 4, 4, 4, 4);
     }},
    {"cross_entropy_forward: targets[2] is -2, expected -1 to 4",
     [](Library& l) {
       Ones loss(l, 1), losses(l, 4), lse(l, 4), logits(l, 20);
       Ints targets(l, {4, -1, -2, 5});
       CALL(l, cunn_cross_entropy_forward, loss, losses, lse, logits, targets, 4, 5, 5);
     }},
    {"cross_entropy_count: targets[3] is 5, expected -1 to 4",
     [](Library& l) {
       Longs count(l, {0});
       Ints targets(l, {4, -1, 0, 5});
       CALL(l, cunn_cross_entropy_count, count, targets, 4, 5);
     }},
    {"attention_forward: lengths[1] is 4, expected 0 to 3",
     [](Library& l) {
       Ones q(l, 2 * 3 * 4), k(l, 2 * 3 * 4), v(l, 2 * 3 * 4), out(l, 2 * 3 * 4), lse(l, 2 * 3);
       Ints lengths(l, {3, 4});
       CALL(l, cunn_attention_forward, out, lse, q, k, v, lengths, 2, 3, 1, 1, 4, 4, 4, 4, 4, 0.5);
     }},
    {"attention_cached_forward: lengths[0] is -1, expected 0 to 3", [](Library& l) { cached(l, {0, 1, 2, 3}, {0, 0}, {-1, 3}); }},
    {"attention_cached_forward: positions[1] is 126, expected 0 to 125", [](Library& l) { cached(l, {0, 1, 2, 3}, {0, 126}, {3, 3}); }},
    {"attention_cached_forward: block_table[1] is 4, expected 0 to 3", [](Library& l) { cached(l, {0, 4, -1, 3}, {63, 0}, {3, 3}); }},
    {"cache_append: positions[0] is -2, expected 0 to 125", [](Library& l) { append(l, {0, 1, 2, 3}, {-2, 0}, {3, 3}); }},
    {"cache_append: block_table[2] is -1, expected 0 to 3", [](Library& l) { append(l, {9, 1, -1, 3}, {64, 5}, {3, 3}); }},
    {"gemm_grouped_rows: offsets[2] is 3, expected offsets that ascend from 0 to at most 10",
     [](Library& l) { grouped_rows(l, {0, 4, 3, 10}, std::vector<int32_t>(10, 0)); }},
    {"gemm_grouped_rows: a_rows[4] is 5, expected 0 to 4",
     [](Library& l) { grouped_rows(l, {0, 4, 4, 9}, {0, 1, 2, 3, 5, -1, 0, 0, 0, 77}); }},
    {"gemm_grouped_inner: offsets[0] is 1, expected offsets that ascend from 0 to at most 0",
     [](Library& l) {
       Ones a(l, 10 * 8), b(l, 5 * 8), c(l, 2 * 8 * 8);
       Ints o(l, {1, 4, 10}), r(l, std::vector<int32_t>(10, 0));
       CALL(l, cunn_gemm_grouped_inner, c, a, b, o, r, 2, 8, 8, 10, 5, 8, 8, 8, 64, 0.0);
     }},
    {"gemm_grouped_swiglu_forward: offsets[3] is 11, expected offsets that ascend from 0 to at most 10",
     [](Library& l) { swiglu_rows(l, {0, 4, 4, 11}, std::vector<int32_t>(10, 0)); }},
    {"gemm_grouped_swiglu_forward: a_rows[8] is -1, expected 0 to 4",
     [](Library& l) { swiglu_rows(l, {0, 4, 4, 9}, {0, 1, 2, 3, 4, 0, 0, 0, -1, 77}); }},
    {"gemm_grouped_swiglu_backward: offsets[1] is -1, expected offsets that ascend from 0 to at most 10",
     [](Library& l) {
       Ones a(l, 10 * 8), w(l, 2 * 8 * 8), gate(l, 10 * 8), up(l, 10 * 8), dgate(l, 10 * 8), dup(l, 10 * 8);
       Ints o(l, {0, -1, 10});
       CALL(l, cunn_gemm_grouped_swiglu_backward, dgate, dup, a, w, o, gate, up, 2, 10, 8, 8, 8, 8, 8, 64);
       untouched(dgate);
     }},
    {"moe_dispatch_forward: experts[5] is 3, expected 0 to 2",
     [](Library& l) {
       Ints offsets(l, {0, 0, 0, 0}), row_token(l, std::vector<int32_t>(8, 0)), token_row(l, std::vector<int32_t>(8, 0));
       Ints experts(l, {0, 1, 2, 0, 1, 3, 2, -1});
       CALL(l, cunn_moe_dispatch_forward, offsets, row_token, token_row, experts, 4, 3, 2);
     }},
    {"moe_combine_forward: token_row[0] is 8, expected 0 to 7",
     [](Library& l) {
       Ones y(l, 4 * 6), rows(l, 8 * 6), weights(l, 8);
       Ints token_row(l, {8, 1, 2, 3, 4, 5, 6, -1});
       CALL(l, cunn_moe_combine_forward, y, 0, rows, weights, token_row, 4, 2, 6);
     }},
    {"rope_backward: positions[1] is -1, expected 0 to 15",
     [](Library& l) {
       Ones dq(l, 4 * 4), dk(l, 4 * 4), cos(l, 16 * 2), sin(l, 16 * 2), dq_out(l, 4 * 4), dk_out(l, 4 * 4);
       Ints positions(l, {0, -1, 3, 16});
       CALL(l, cunn_rope_backward, dq, dk, dq_out, dk_out, cos, sin, positions, 4, 1, 1, 4, 16, 4, 4, 4, 4);
     }},
    {"cross_entropy_backward: targets[0] is 5, expected -1 to 4",
     [](Library& l) {
       Ones dlogits(l, 20), logits(l, 20), lse(l, 4);
       Ints targets(l, {5, -1, -2, 4});
       Longs count(l, {3});
       CALL(l, cunn_cross_entropy_backward, dlogits, logits, lse, targets, count, 4, 5, 5);
     }},
    {"attention_backward: lengths[0] is 1048576, expected 0 to 3",
     [](Library& l) {
       Ones q(l, 24), k(l, 24), v(l, 24), out(l, 24), lse(l, 6), dout(l, 24), dq(l, 24), dk(l, 24), dv(l, 24);
       Ints lengths(l, {1 << 20, 3});
       CALL(l, cunn_attention_backward, dq, dk, dv, dout, q, k, v, out, lse, lengths, 2, 3, 1, 1, 4, 4, 4, 4, 4, 0.5);
     }},
    {"moe_route_backward: experts[3] is 1048576, expected 0 to 2",
     [](Library& l) {
       Ones dlogits(l, 12), dweights(l, 8), dprobs(l, 12), z(l, 12), probs(l, 12), weights(l, 8);
       Ints experts(l, {0, 1, 2, 1 << 20, 1, -1, 2, 0});
       CALL(l, cunn_moe_route_backward, dlogits, dweights, dprobs, z, probs, experts, weights, 4, 3, 2);
     }},
    {"moe_dispatch_backward: token_row[6] is -1048576, expected 0 to 7",
     [](Library& l) {
       Ones dx(l, 4 * 6), drows(l, 8 * 6);
       Ints token_row(l, {0, 1, 2, 3, 4, 5, -(1 << 20), 8});
       CALL(l, cunn_moe_dispatch_backward, dx, drows, token_row, 4, 2, 6);
     }},
    {"moe_combine_backward: token_row[1] is 1048576, expected 0 to 7",
     [](Library& l) {
       Ones drows(l, 8 * 6), dweights(l, 8), dy(l, 4 * 6), rows(l, 8 * 6), weights(l, 8);
       Ints token_row(l, {0, 1 << 20, 2, 3, 4, 5, 6, -1});
       CALL(l, cunn_moe_combine_backward, drows, dweights, dy, rows, weights, token_row, 4, 2, 6);
     }},
    {"moe_balance_loss_forward: experts[2] is 3, expected 0 to 2",
     [](Library& l) {
       Ones loss(l, 1), fractions(l, 3), probs(l, 12);
       Ints experts(l, {0, 1, 3, 2, 1, -1, 2, 0});
       CALL(l, cunn_moe_balance_loss_forward, loss, fractions, probs, experts, 4, 3, 2);
     }},
    {"softmax_top_k_backward: indices[2] is 1048576, expected 0 to 8",
     [](Library& l) {
       Ones dx(l, 2 * 9), dvalues(l, 4), probs(l, 2 * 9);
       Ints indices(l, {0, 3, 1 << 20, -1});
       CALL(l, cunn_softmax_top_k_backward, dx, dvalues, indices, probs, 2, 9, 9, 2);
     }},
    {"top_k_backward: indices[1] is 1048576, expected 0 to 8",
     [](Library& l) {
       Ones dx(l, 2 * 9), dvalues(l, 4);
       Ints indices(l, {0, 1 << 20, 8, 9});
       CALL(l, cunn_top_k_backward, dx, dvalues, indices, 2, 9, 9, 2);
     }},
    {"sample: value[1] is -1, expected 0 to 9223372036854775806", [](Library& l) { sample(l, NAN, 0, 1.0f); }},
    {"sample: value[1] is -3, expected 0 to 20", [](Library& l) { sample(l, 1.0f, -3, 1.0f); }},
    {"sample: value[1] is 2, expected 0 to 1", [](Library& l) { sample(l, 1.0f, 0, 2.5f); }},
    {"cast: x[2] is 2147483648, which i32 does not hold",
     [](Library& l) {
       Longs x(l, {1, -2147483648ll, 2147483648ll, 1ll << 40});
       Ints y(l, {0, 0, 0, 0});
       CALL(l, cunn_cast, y, x, 4);
     }},
    {"quantize: x[64] begins a block without a finite f16 scale, expected magnitudes of at most 8319008",
     [](Library& l) {
       std::vector<float> values(128, 1.0f);
       values[70] = NAN;
       values[100] = INFINITY;
       Reals x(l, values);
       AbiBuffer y(l, DType::q8, 128);
       CALL(l, cunn_quantize, y, x, 128);
     }},
};

}  // namespace

int main(int argc, char** argv) {
  try {
    stop_at_failure = argc > 2 && std::string(argv[argc - 1]) == "--stop";
    if (stop_at_failure) --argc;
    if (argc < 2) throw std::runtime_error("simt_faults SIMT_LIBRARY [CPU_LIBRARY] [--stop]");
    Library simt(argv[1], CUNN_SIMT);
    const std::unique_ptr<Library> cpu = argc > 2 ? std::make_unique<Library>(argv[2], CUNN_CPU) : nullptr;
    for (const Fault& fault : kFaults)
      for (Library* library : {&simt, cpu.get()}) {
        if (!library) continue;
        const std::string text = sentence(*library, fault.call);
        if (!CHECK(text == fault.expected)) std::printf("  \"%s\", expected \"%s\"\n", text.c_str(), fault.expected);
      }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simt_faults: %s\n", error.what());
    return 2;
  }
  return summary();
}
