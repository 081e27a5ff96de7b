#include "call.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace cunn {

namespace {

long long ll(int64_t value) { return static_cast<long long>(value); }

// Appends like printf, cut at the end of the array.
template <size_t n, class... Values>
void append(char (&text)[n], const char *format, Values... values) {
  const size_t used = std::strlen(text);
  std::snprintf(text + used, n - used, format, values...);
}

}  // namespace

void Extent::describe(char *text, int32_t capacity) const {
  char all[160] = "";
  for (int32_t i = 0; i < n_dims; ++i) append(all, i == 0 ? "%lld" : "x%lld", ll(dims[i]));
  if (n_strides == 1) append(all, " with leading dimension %lld", ll(strides[0]));
  if (n_strides == 2) append(all, " with strides %lld and %lld", ll(strides[0]), ll(strides[1]));
  if (n_strides == 3) append(all, " with strides %lld, %lld and %lld", ll(strides[0]), ll(strides[1]), ll(strides[2]));
  std::snprintf(text, static_cast<size_t>(capacity), "%s", all);
}

void throw_test_fault() { throw std::logic_error("a fault was asked for by CUNN_TEST_FAULT"); }

void Call::throw_below(const char *name, int64_t value, int64_t least) {
  throw Failure(CUNN_INVALID_ARGUMENT, "%s is %lld, expected at least %lld", name, ll(value), ll(least));
}

void Call::throw_above(const char *name, int64_t value, int64_t most, const char *because) {
  throw Failure(CUNN_INVALID_ARGUMENT, "%s is %lld, expected at most %lld%s%s%s", name, ll(value), ll(most),
                because == nullptr ? "" : " (", because == nullptr ? "" : because, because == nullptr ? "" : ")");
}

void Call::throw_size(const char *name, const Buffer &buffer, const Extent &extent) {
  char shape[160];
  extent.describe(shape, sizeof shape);
  if (extent.overflow)
    throw Failure(CUNN_INVALID_ARGUMENT, "%s holds %lld elements, expected at least %s, which 63 bits cannot count",
                  name, ll(buffer.count), shape);
  if (extent.n_dims == 1 && extent.n_strides == 0)
    throw Failure(CUNN_INVALID_ARGUMENT, "%s holds %lld elements, expected at least %lld", name, ll(buffer.count),
                  ll(extent.total));
  throw Failure(CUNN_INVALID_ARGUMENT, "%s holds %lld elements, expected at least %s = %lld", name, ll(buffer.count),
                shape, ll(extent.total));
}

void Call::throw_dtype(const char *name, DType dtype, uint32_t expected) {
  char list[64] = "";
  int32_t left = __builtin_popcount(expected);
  for (int32_t t = 0; t < 8; ++t) {
    if ((expected >> t & 1) == 0) continue;
    --left;
    append(list, left == 0 ? "%s" : left == 1 ? "%s or " : "%s, ", dtype_name(static_cast<DType>(t)));
  }
  throw Failure(CUNN_INVALID_ARGUMENT, "%s is %s, expected %s", name, dtype_name(dtype), list);
}

void Call::fits_i32(const char *name, int64_t a, int64_t b) {
  bool overflow = false;
  const int64_t count = extents::product(a, b, &overflow);
  if (overflow || count > std::numeric_limits<int32_t>::max())
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %lld, expected at most %d (they are numbered in i32)", name, ll(count),
                  std::numeric_limits<int32_t>::max());
}

bool Call::flag(const char *name, int32_t value) {
  if (value != 0 && value != 1) throw Failure(CUNN_INVALID_ARGUMENT, "%s is %d, expected 0 or 1", name, value);
  keep(name, value);
  return value != 0;
}

double Call::real(const char *name, double value, double least) {
  if (!std::isfinite(value)) throw Failure(CUNN_INVALID_ARGUMENT, "%s is %g, expected a finite number", name, value);
  if (value < least) throw Failure(CUNN_INVALID_ARGUMENT, "%s is %g, expected at least %g", name, value, least);
  keep(name, value);
  return value;
}

float Call::real32(const char *name, double value, double least) {
  const auto narrow = static_cast<float>(real(name, value, least));
  if (!std::isfinite(narrow)) throw Failure(CUNN_INVALID_ARGUMENT, "%s is %g, expected a finite f32", name, value);
  return narrow;
}

void Call::fill_value(const char *name, double value, DType dtype) {
  double least = 0, end = 0;  // [least, end)
  switch (dtype) {
    case DType::i32: least = -0x1p31; end = 0x1p31; break;
    case DType::i64: least = -0x1p63; end = 0x1p63; break;
    case DType::u8: end = 0x1p8; break;
    default: keep(name, value); return;
  }
  if (!(value >= least && value < end) || value != std::trunc(value))
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %g, expected an integer that %s holds", name, value, dtype_name(dtype));
  keep(name, value);
}

int64_t Call::product(const char *name, int64_t a, int64_t b) {
  bool overflow = false;
  const int64_t value = extents::product(a, b, &overflow);
  if (overflow)
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %lldx%lld, which 63 bits cannot count", name, ll(a), ll(b));
  return value;
}

void Call::numbered(const char *name, int64_t start, int64_t n) {
  at_least(name, start, 0);
  if (start > std::numeric_limits<int64_t>::max() - n)
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %lld, which leaves no room for %lld elements in 63 bits", name,
                  ll(start), ll(n));
}

void Call::require(bool holds, const char *format, ...) {
  if (holds) return;
  char text[400];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  throw Failure(CUNN_INVALID_ARGUMENT, "%s", text);
}

void Call::same_dtype(const char *name, DType dtype, const char *like, DType expected) {
  if (dtype != expected)
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %s, expected %s like %s", name, dtype_name(dtype), dtype_name(expected),
                  like);
}

Elements Call::access(const char *name, cunn_buffer handle, const Extent &extent, uint32_t dtypes, bool output,
                      MayAlias alias) {
  const Buffer *buffer = find_buffer(handle);
  if (buffer == nullptr) throw_bad_handle(name, handle, "a buffer");
  if (buffer->device != context_.device) throw_other_device(name, *buffer->device, *context_.device);
  if ((dtypes & bit(buffer->dtype)) == 0) throw_dtype(name, buffer->dtype, dtypes);
  if (extent.overflow || extent.total > buffer->count) throw_size(name, *buffer, extent);
  if (output && extent.self_overlap) {
    char shape[160];
    extent.describe(shape, sizeof shape);
    throw Failure(CUNN_INVALID_ARGUMENT, "%s is %s, expected strides that keep its rows apart", name, shape);
  }
  if (n_accesses_ == kMaxAccesses) throw std::logic_error("more buffers than a call keeps");
  const auto begin = reinterpret_cast<uintptr_t>(buffer->data);
  const int64_t size = element_bytes(buffer->dtype);
  accesses_[n_accesses_++] = {name,   begin,         bytes_of(buffer->dtype, extent.total), extent.stride * size,
                              extent.span * size, handle, buffer->dtype, output, alias};
  return {buffer->data, buffer->dtype};
}

bool Call::disjoint(const Access &a, const Access &b) {
  if (a.bytes == 0 || b.bytes == 0) return true;
  if (a.begin + static_cast<uint64_t>(a.bytes) <= b.begin || b.begin + static_cast<uint64_t>(b.bytes) <= a.begin)
    return true;
  // Interleaved rows, such as q, k and v in one matrix: apart when both step alike and their rows fit side by side.
  if (a.stride == 0 || a.stride != b.stride) return false;
  const int64_t shift = static_cast<int64_t>(b.begin - a.begin) % a.stride;
  const int64_t offset = shift < 0 ? shift + a.stride : shift;
  return offset >= a.span && offset + b.span <= a.stride;
}

void Call::check_overlaps() const {
  const auto names = [](const MayAlias &alias, const char *output) {
    return (alias.first != nullptr && std::strcmp(alias.first, output) == 0) ||
           (alias.second != nullptr && std::strcmp(alias.second, output) == 0);
  };
  for (int32_t i = 0; i < n_accesses_ && accesses_[i].output; ++i) {
    const Access &out = accesses_[i];
    for (int32_t j = i + 1; j < n_accesses_; ++j) {
      const Access &other = accesses_[j];
      if (disjoint(out, other)) continue;
      if (!names(other.alias, out.name))
        throw Failure(CUNN_INVALID_ARGUMENT, "%s overlaps %s, expected memory of its own", out.name, other.name);
      if (out.begin != other.begin || out.dtype != other.dtype || out.stride != other.stride)
        throw Failure(CUNN_INVALID_ARGUMENT, "%s overlaps %s, expected exactly the same elements or none", out.name,
                      other.name);
    }
  }
}

void Call::note(Graph &graph, const char *op) const {
  std::string line = op;
  char text[96];
  for (int32_t i = 0; i < n_accesses_; ++i) {
    const Access &access = accesses_[i];
    std::snprintf(text, sizeof text, " %s:%s", access.name, dtype_name(access.dtype));
    line += text;
    if (graph.known_buffers.insert(access.handle).second) graph.buffers.emplace_back(access.name, access.handle);
  }
  for (int32_t i = 0; i < n_dims_; ++i) {
    std::snprintf(text, sizeof text, " %s=%lld", dims_[i].name, ll(dims_[i].value));
    line += text;
  }
  for (int32_t i = 0; i < n_scalars_; ++i) {
    std::snprintf(text, sizeof text, " %s=%.9g", scalars_[i].name, scalars_[i].value);
    line += text;
  }
  graph.text += line;
  graph.text += '\n';
}

}  // namespace cunn
