// The conformance vectors through the ABI, without an interpreter in between: for sanitizers and the orders of simt.
//
//   vectors LIBRARY DEVICE VECTORS_DIR [--same-as LIBRARY DEVICE] [--largest ELEMENTS] [--calls] [--stop] [FAMILY...]
//
// Each case is called directly and as a recorded graph. With --same-as, f32 outputs must also have the bits that the
// other library's device gives; ops on 16-bit operands are left out there, as their order belongs to the device. With --calls only the
// calls must succeed, not their results. With --stop the first failure ends the program.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <utility>

#include "../../src/ops.h"
#include "abi.h"
#include "vector_file.h"

#if defined(__SANITIZE_THREAD__)
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() { return "suppress_equal_addresses=0:history_size=4"; }
#endif

namespace {

// One argument as the ABI takes it.
struct Value {
  bool is_double;
  int64_t integer;
  double real;
  template <class T>
  T as() const { return is_double ? static_cast<T>(real) : static_cast<T>(integer); }
};

template <class... A, size_t... I>
int32_t invoke(int32_t (*f)(cunn_context, A...), cunn_context context, const std::vector<Value>& values, std::index_sequence<I...>) {
  if (values.size() != sizeof...(A)) throw std::runtime_error("number of arguments");
  return f(context, values[I].as<A>()...);
}
template <class... A>
int32_t invoke(int32_t (*f)(cunn_context, A...), cunn_context context, const std::vector<Value>& values) {
  return invoke(f, context, values, std::index_sequence_for<A...>());
}

using Invoker = std::function<int32_t(Library&, const std::vector<Value>&)>;
const std::map<std::string, Invoker>& invokers() {
  static const std::map<std::string, Invoker> all = {
#define CUNN_OP(name, Args) \
  {#name, [](Library& l, const std::vector<Value>& v) { return invoke(l.function<decltype(&cunn_##name)>("cunn_" #name), l.context, v); }},
      CUNN_FOR_EACH_OP(CUNN_OP)
#undef CUNN_OP
  };
  return all;
}

cunn::DType dtype_of(const std::string& name) {
  for (int t = 0; t <= int(cunn::DType::q4); ++t)
    if (name == cunn::dtype_name(cunn::DType(t))) return cunn::DType(t);
  throw std::runtime_error("dtype " + name);
}

using Bytes = std::vector<unsigned char>;

// The buffers of the case after the call.
std::map<std::string, Bytes> execute(Library& library, const Case& c, bool recorded) {
  std::map<std::string, std::unique_ptr<AbiBuffer>> buffers;
  std::vector<Value> values;
  for (const Argument& a : c.arguments) {
    if (a.role != "in" && a.role != "inout" && a.role != "out") continue;
    const cunn::DType dtype = dtype_of(a.text);
    buffers[a.name] = std::make_unique<AbiBuffer>(library, dtype, a.count);
    Bytes content(size_t(cunn::bytes_of(dtype, a.count)), 0x7f);
    if (c.in.count(a.name)) content = c.in.at(a.name).bytes;
    buffers[a.name]->upload(content.data());
  }
  for (const Argument& a : c.arguments) {
    if (a.role.empty())
      values.push_back(a.is_double() ? Value{true, 0, std::strtod(a.text.c_str(), nullptr)}
                                     : Value{false, std::strtoll(a.text.c_str(), nullptr, 10), 0});
    else
      values.push_back({false, a.role == "none" ? cunn_buffer{0} : cunn_buffer(*buffers.at(a.role == "same" ? a.text : a.name)), 0});
  }
  cunn_graph graph = 0;
  if (recorded) library.check(library.function<decltype(&cunn_graph_begin)>("cunn_graph_begin")(library.context));
  library.check(invokers().at(c.op)(library, values));
  if (recorded) {
    CALL(library, cunn_graph_end, &graph);
    CALL(library, cunn_graph_launch, graph);
  }
  library.synchronize();
  if (recorded) CALL(library, cunn_graph_destroy, graph);
  std::map<std::string, Bytes> after;
  for (const auto& [name, buffer] : buffers) after[name] = buffer->download();
  return after;
}

float float_of_bits(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
double half_value(uint16_t h) {
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  const double magnitude = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}
// Element i of a buffer's or a tensor's bytes.
double element(const Bytes& bytes, const std::string& dtype, size_t i) {
  const auto read = [&](auto value) {
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    return value;
  };
  if (dtype == "f64" || dtype == "F64") return read(double());
  if (dtype == "f32" || dtype == "F32") return double(read(float()));
  if (dtype == "bf16" || dtype == "BF16") return double(float_of_bits(uint32_t(read(uint16_t())) << 16));
  if (dtype == "f16" || dtype == "F16") return half_value(read(uint16_t()));
  if (dtype == "i32" || dtype == "I32") return read(int32_t());
  if (dtype == "i64" || dtype == "I64") return double(read(int64_t()));
  return bytes.at(i);  // u8 and the blocks of q8 and q4
}

// The argument whose buffer `a` has: itself, or the one it names.
const Argument& owner(const Case& c, const Argument& a) {
  for (const Argument& other : c.arguments)
    if (a.role == "same" && other.name == a.text) return other;
  return a;
}
bool is_shared(const Case& c, const Argument& a) {
  return std::any_of(c.arguments.begin(), c.arguments.end(), [&](const Argument& other) { return other.role == "same" && other.text == a.name; });
}

// What is wrong with an argument after the call; empty when nothing is.
std::string difference(const Case& c, const Argument& argument, const std::map<std::string, Bytes>& after) {
  if (argument.role.empty() || argument.role == "none") return "";
  Argument a = owner(c, argument);
  const Bytes& got = after.at(a.name);
  a.name = argument.name;
  if (argument.role == "in" && !is_shared(c, argument)) return got == c.in.at(a.name).bytes ? "" : a.name + " was changed";
  if (!c.out.count(a.name)) return "";
  const Tensor& want = c.out.at(a.name);
  const size_t n = a.text == "q8" || a.text == "q4" ? got.size() : size_t(a.count);
  for (size_t i = 0; i < n; ++i) {
    const double g = element(got, a.text, i), w = element(want.bytes, want.dtype, i);
    const double bound = c.bound.count(a.name) ? element(c.bound.at(a.name).bytes, "F32", i) : 0;
    const bool good = std::isnan(w) ? std::isnan(g) : std::isinf(w) ? g == w : std::fabs(g - w) <= bound;
    if (good) continue;
    char text[200];
    std::snprintf(text, sizeof text, "%s[%zu] is %.9g, expected %.9g within %.3g", a.name.c_str(), i, g, w, bound);
    return text;
  }
  return "";
}

// The first f32 output whose bits differ (-0 equals 0, NaN equals NaN); empty when none does.
std::string bit_difference(const Case& c, const std::map<std::string, Bytes>& got, const std::map<std::string, Bytes>& other) {
  for (const Argument& a : c.arguments)
    if (!a.role.empty() && (a.text == "bf16" || a.text == "f16")) return "";
  for (const Argument& argument : c.arguments) {
    if (argument.role.empty() || argument.role == "none" || !c.out.count(argument.name)) continue;
    const Argument& a = owner(c, argument);
    for (size_t i = 0; i < size_t(a.count) && a.text == "f32"; ++i) {
      const double g = element(got.at(a.name), a.text, i), w = element(other.at(a.name), a.text, i);
      if (g == w || (std::isnan(g) && std::isnan(w))) continue;
      char text[200];
      std::snprintf(text, sizeof text, "%s[%zu] is %a, the other device gives %a", a.name.c_str(), i, g, w);
      return text;
    }
  }
  return "";
}

int run(int argc, char** argv) {
  if (argc < 4) throw std::runtime_error("vectors LIBRARY DEVICE VECTORS_DIR [--same-as LIBRARY DEVICE] [--largest N] [--calls] [--stop] [FAMILY...]");
  Library library(argv[1], device_kind(argv[2]));
  std::unique_ptr<Library> other;
  std::vector<std::string> wanted;
  int64_t largest = INT64_MAX;
  bool calls_only = false, stop = false;
  for (int i = 4; i < argc; ++i) {
    if (std::string(argv[i]) == "--same-as") {
      other = std::make_unique<Library>(argv[i + 1], device_kind(argv[i + 2]));
      i += 2;
    } else if (std::string(argv[i]) == "--largest") {
      largest = std::atoll(argv[++i]);
    } else if (std::string(argv[i]) == "--calls") {
      calls_only = true;
    } else if (std::string(argv[i]) == "--stop") {
      stop = true;
    } else {
      wanted.push_back(argv[i]);
    }
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[3]))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  int passed = 0, failed = 0;
  for (const std::string& file : files) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), std::filesystem::path(file).stem()) == wanted.end()) continue;
    for (const Case& c : read_vector_file(file)) {
      int64_t elements = 0;
      for (const Argument& a : c.arguments) elements += a.count;
      if (elements > largest) continue;
      for (bool recorded : {false, true}) {
        std::string wrong;
        try {
          const std::map<std::string, Bytes> after = execute(library, c, recorded);
          for (const Argument& a : c.arguments)
            if (wrong.empty() && !calls_only) wrong = difference(c, a, after);
          if (wrong.empty() && other) wrong = bit_difference(c, after, execute(*other, c, false));
        } catch (const std::exception& error) {
          wrong = error.what();
        }
        ++(wrong.empty() ? passed : failed);
        if (!wrong.empty()) std::printf("%s%s: %s\n", c.name.c_str(), recorded ? " (recorded)" : "", wrong.c_str());
        if (!wrong.empty() && stop) return 1;
      }
    }
  }
  if (passed + failed == 0) throw std::runtime_error("no case was run");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vectors: %s\n", error.what());
    return 2;
  }
}
