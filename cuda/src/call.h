// The arguments of one op, checked one by one. A family's functions in abi_<family>.cpp read like the op's comment in
// cunn.h: dims, outputs, inputs, scalars; every check throws the sentence that the caller reads.
#pragma once

#include <initializer_list>
#include <limits>

#include "context.h"
#include "extent.h"
#include "graph.h"

namespace cunn {

constexpr uint32_t bit(DType t) { return uint32_t{1} << static_cast<int32_t>(t); }
constexpr uint32_t kAnyFloat = bit(DType::f32) | bit(DType::bf16) | bit(DType::f16);
constexpr uint32_t kQuantized = bit(DType::q8) | bit(DType::q4);
constexpr uint32_t kUnquantized = kAnyFloat | bit(DType::i32) | bit(DType::i64) | bit(DType::u8);
constexpr uint32_t kAnyDType = kUnquantized | kQuantized;

template <class T> struct ElementOf;
template <> struct ElementOf<float> { static constexpr DType dtype = DType::f32; };
template <> struct ElementOf<int32_t> { static constexpr DType dtype = DType::i32; };
template <> struct ElementOf<int64_t> { static constexpr DType dtype = DType::i64; };

// Outputs that an input may stand in the same elements as.
struct MayAlias {
  const char *first = nullptr, *second = nullptr;
};

struct Elements {
  void *data;
  DType dtype;
};

class Call {
 public:
  explicit Call(Context &context) : context_(context) {}

  struct Dim {
    const char *name;
    int64_t value;
  };

  // At least 0; remembered for a graph's text.
  void dims(std::initializer_list<Dim> all) {
    for (const Dim &d : all) {
      if (d.value < 0) throw_below(d.name, d.value, 0);
      if (n_dims_ < kMaxDims) dims_[n_dims_++] = d;
    }
  }
  void at_least(const char *name, int64_t value, int64_t least) {
    if (value < least) throw_below(name, value, least);
  }
  void at_most(const char *name, int64_t value, int64_t most, const char *because = nullptr) {
    if (value > most) throw_above(name, value, most, because);
  }
  // i32 values number the elements of a: a product that must fit.
  void fits_i32(const char *name, int64_t a, int64_t b = 1);
  bool flag(const char *name, int32_t value);

  // Finite and at least `least`; real32 also as an f32.
  double real(const char *name, double value, double least = -std::numeric_limits<double>::infinity());
  float real32(const char *name, double value, double least = -std::numeric_limits<double>::infinity());
  // An integer that the dtype holds, or any value for a float dtype.
  void fill_value(const char *name, double value, DType dtype);
  // a x b, which 63 bits must hold.
  int64_t product(const char *name, int64_t a, int64_t b);
  // Elements start .. start + n - 1 of a numbered sequence.
  void numbered(const char *name, int64_t start, int64_t n);

  __attribute__((format(printf, 3, 4))) void require(bool holds, const char *format, ...);

  // A matrix whose leading dimension is called ld_name.
  Extent matrix(int64_t rows, int64_t cols, const char *ld_name, int64_t ld) {
    if (ld < cols) throw_below(ld_name, ld, cols);
    return rows_of(rows, cols, ld);
  }
  // [tokens, heads, head_dim] with any non-negative strides.
  Extent heads(int64_t tokens, int64_t heads, int64_t head_dim, const char *token_name, int64_t token_stride,
               const char *head_name, int64_t head_stride) {
    if (token_stride < 0) throw_below(token_name, token_stride, 0);
    if (head_stride < 0) throw_below(head_name, head_stride, 0);
    return strided(head_dim, {tokens, token_stride}, {heads, head_stride});
  }

  template <class T> T *out(const char *name, cunn_buffer handle, const Extent &extent) {
    return static_cast<T *>(access(name, handle, extent, bit(ElementOf<T>::dtype), true, {}).data);
  }
  template <class T> const T *in(const char *name, cunn_buffer handle, const Extent &extent, MayAlias alias = {}) {
    return static_cast<const T *>(access(name, handle, extent, bit(ElementOf<T>::dtype), false, alias).data);
  }
  template <class T>
  const T *in_or_none(const char *name, cunn_buffer handle, const Extent &extent, MayAlias alias = {}) {
    return handle == 0 ? nullptr : in<T>(name, handle, extent, alias);
  }
  Elements out(const char *name, cunn_buffer handle, const Extent &extent, uint32_t dtypes) {
    return access(name, handle, extent, dtypes, true, {});
  }
  Elements in(const char *name, cunn_buffer handle, const Extent &extent, uint32_t dtypes, MayAlias alias = {}) {
    return access(name, handle, extent, dtypes, false, alias);
  }
  Floats out_floats(const char *name, cunn_buffer handle, const Extent &extent, uint32_t dtypes = kAnyFloat) {
    const Elements e = access(name, handle, extent, dtypes, true, {});
    return {e.data, e.dtype};
  }
  ConstFloats in_floats(const char *name, cunn_buffer handle, const Extent &extent, MayAlias alias = {},
                        uint32_t dtypes = kAnyFloat) {
    const Elements e = access(name, handle, extent, dtypes, false, alias);
    return {e.data, e.dtype};
  }
  void same_dtype(const char *name, DType dtype, const char *like, DType expected);

  // The problem has no elements: everything is checked and nothing runs.
  void nothing_when(bool empty) { nothing_ = nothing_ || empty; }
  bool nothing() const { return nothing_; }

  // Outputs against everything else.
  void check_overlaps() const;

  // The op's line in a graph's text, and its buffers.
  void note(Graph &graph, const char *op) const;

 private:
  struct Access {
    const char *name;
    uintptr_t begin;
    int64_t bytes, stride, span;  // stride and span in bytes
    cunn_buffer handle;
    DType dtype;
    bool output;
    MayAlias alias;
  };
  struct Scalar {
    const char *name;
    double value;
  };
  static constexpr int32_t kMaxAccesses = 16, kMaxDims = 16, kMaxScalars = 6;

  Elements access(const char *name, cunn_buffer handle, const Extent &extent, uint32_t dtypes, bool output,
                  MayAlias alias);
  static bool disjoint(const Access &a, const Access &b);
  [[noreturn]] static void throw_below(const char *name, int64_t value, int64_t least);
  [[noreturn]] static void throw_above(const char *name, int64_t value, int64_t most, const char *because);
  [[noreturn]] static void throw_size(const char *name, const Buffer &buffer, const Extent &extent);
  [[noreturn]] static void throw_dtype(const char *name, DType dtype, uint32_t expected);
  void keep(const char *name, double value) {
    if (n_scalars_ < kMaxScalars) scalars_[n_scalars_++] = {name, value};
  }

  Context &context_;
  bool nothing_ = false;
  int32_t n_accesses_ = 0, n_dims_ = 0, n_scalars_ = 0;
  Access accesses_[kMaxAccesses];
  Dim dims_[kMaxDims];
  Scalar scalars_[kMaxScalars];
};

template <OpId id> struct OpTraits;
#define CUNN_OP(name_, Args_)                                                            \
  template <> struct OpTraits<OpId::name_> {                                             \
    using Args = Args_;                                                                  \
    static constexpr const char *name = #name_;                                          \
    static void run(const OpTable &ops, Exec &exec, const Args_ &a) { ops.name_(exec, a); } \
  };
CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP

[[noreturn]] void throw_test_fault();

// An op's ABI function: fill checks the arguments and returns the op's argument struct, which then runs or is recorded.
template <OpId id, class Fill>
int32_t run_op(cunn_context handle, Fill &&fill) noexcept {
  using Op = OpTraits<id>;
  return guarded(handle, Op::name, [&](Context &context) {
    Call call(context);
    const typename Op::Args arguments = fill(call);
    call.check_overlaps();
    if (context.faulty_op == static_cast<int32_t>(id)) throw_test_fault();
    if (call.nothing()) return;
    Queue &queue = *context.queue;
    if (Graph *graph = context.recording.get()) {
      call.note(*graph, Op::name);
      graph->add(
          [](const OpTable &ops, Exec &exec, const void *a) {
            Op::run(ops, exec, *static_cast<const typename Op::Args *>(a));
          },
          arguments);
      if (!queue.captures()) return;
    }
    queue.begin_op();
    Op::run(queue.ops(), queue.exec(), arguments);
  });
}

}  // namespace cunn
