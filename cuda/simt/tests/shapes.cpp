// Shapes that the conformance vectors are too small for: every tile of the matrix product and of attention, and what the
// determinism contract says about them.
//
//   simt_shapes SIMT_LIBRARY [CPU_LIBRARY] [--stop] [--operands DTYPE] [--part NAME]...
//
// With --part only the parts named: gemm, row_independence, grouped, swiglu, attention, cached and the names of test_long.
// Products multiply f32 and bf16, or --operands alone: f16 for the tensor cores of CUNN_SIMT_CARD=sm_70.
// - matrix products against float64 loops, all transposes, grouped with uneven groups and a gather; of 16-bit operands against f32 too;
// - SwiGLU and its gradient in the epilogue of a grouped product against the product and the activation one after the other;
// - with the cpu library: f32 results have its bits (products, attention forward, backward and cached);
// - a row's bits are the same alone, in a batch and whichever tile it falls into (bf16: tensor cores);
// - decode through a paged cache gives the bits of the full forward, f32 and bf16 keys and values;
// - reductions, selections and sorts longer than one step of a block have the cpu device's bits.
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "abi.h"
#include "check.h"

using cunn::DType;

#if defined(__SANITIZE_THREAD__)
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() { return "suppress_equal_addresses=0:history_size=4"; }
#endif

namespace {

uint32_t state = 1;
float random_number() {  // in [-1, 1), a multiple of 2^-11: exact in f32 and f16, rounded by bf16
  state = state * 1664525u + 1013904223u;
  return float(int32_t(state) >> 20) / 2048.0f;
}

uint16_t to_bf16(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  return uint16_t((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
float from_bf16(uint16_t b) {
  const uint32_t u = uint32_t(b) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

// A random number as f16, whose 11 bits hold it.
uint16_t to_f16(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  const uint32_t sign = u >> 16 & 0x8000u;
  return uint16_t(f == 0 ? sign : sign | ((u >> 13 & 0x3ffffu) - (112u << 10)));
}

// Of products.
std::vector<DType> operands = {DType::f32, DType::bf16};

// Values of a dtype, as the buffer holds them and as numbers.
struct Data {
  DType dtype;
  std::vector<float> values;  // rounded to the dtype
  std::vector<unsigned char> bytes;
  Data(DType dtype_, size_t n) : dtype(dtype_), values(n), bytes(n * size_t(cunn::element_bytes(dtype_))) {
    for (size_t i = 0; i < n; ++i) {
      values[i] = random_number();
      if (dtype == DType::bf16) {
        const uint16_t bits = to_bf16(values[i]);
        values[i] = from_bf16(bits);
        std::memcpy(&bytes[2 * i], &bits, 2);
      } else if (dtype == DType::f16) {
        const uint16_t bits = to_f16(values[i]);
        std::memcpy(&bytes[2 * i], &bits, 2);
      } else {
        std::memcpy(&bytes[4 * i], &values[i], 4);
      }
    }
  }
};

// The same values as f32.
Data widened(const Data& data) {
  Data wide(DType::f32, data.values.size());
  wide.values = data.values;
  std::memcpy(wide.bytes.data(), wide.values.data(), wide.bytes.size());
  return wide;
}

struct Uploaded : AbiBuffer {
  Uploaded(Library& library, const Data& data) : AbiBuffer(library, data.dtype, int64_t(data.values.size())) { upload(data.bytes.data()); }
  Uploaded(Library& library, const std::vector<int32_t>& data) : AbiBuffer(library, DType::i32, int64_t(data.size())) { upload(data.data()); }
};

std::vector<float> floats(const AbiBuffer& buffer) {
  const std::vector<unsigned char> bytes = buffer.download();
  std::vector<float> values(bytes.size() / 4);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
}

// ---- matrix products

struct Product {
  DType dtype;
  bool trans_a, trans_b;
  int64_t m, n, k;
  float alpha, beta;
};

std::vector<float> gemm(Library& library, const Product& p, const Data& a, const Data& b, const Data& c) {
  Uploaded da(library, a), db(library, b), dc(library, c);
  CALL(library, cunn_gemm, dc, da, db, p.trans_a, p.trans_b, p.m, p.n, p.k, p.n, p.trans_a ? p.m : p.k, p.trans_b ? p.k : p.n, p.alpha, p.beta);
  library.synchronize();
  return floats(dc);
}

// The sum of element (i, j), and of its terms' sizes, in float64.
struct Exact {
  double sum, size;
};
Exact exact_element(const Product& p, const Data& a, const Data& b, const Data& c, int64_t i, int64_t j) {
  double sum = double(p.beta) * c.values[size_t(i * p.n + j)], size = std::fabs(sum);
  for (int64_t k = 0; k < p.k; ++k) {
    const double term = double(p.alpha) * double(a.values[size_t(p.trans_a ? k * p.m + i : i * p.k + k)]) *
                        double(b.values[size_t(p.trans_b ? j * p.k + k : k * p.n + j)]);
    sum += term;
    size += std::fabs(term);
  }
  return {sum, size};
}

// Largest error against float64 in units of sqrt(k + 1) eps sum |terms|: 1 at most.
double gemm_error(const Product& p, const Data& a, const Data& b, const Data& c, const std::vector<float>& got) {
  double worst = 0;
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      const Exact exact = exact_element(p, a, b, c, i, j);
      worst = std::fmax(worst, std::fabs(got[size_t(i * p.n + j)] - exact.sum) / (std::sqrt(double(p.k + 1)) * 0x1p-23 * exact.size + 1e-30));
    }
  return worst;
}

// Largest difference between tensor cores and f32 arithmetic on the same values, in units of its bound: each of k + 1 additions is off by
// half a unit of the last place of at most sum |terms| in f32, 2^-24 of it, and where a tensor core cuts off by a whole one, products
// being exact.
double gemm_difference(const Product& p, const Data& a, const Data& b, const Data& c, const std::vector<float>& narrow, const std::vector<float>& wide) {
  double worst = 0;
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      const size_t at = size_t(i * p.n + j);
      const double bound = 3 * 0x1p-24 * double(p.k + 1) * exact_element(p, a, b, c, i, j).size + 1e-30;
      worst = std::fmax(worst, std::fabs(double(narrow[at]) - double(wide[at])) / bound);
    }
  return worst;
}

void test_gemm(Library& simt, Library* cpu) {
  // The last three have more terms than the ring of their tile has stages for: 7, 4 and 3 of 32.
  const int64_t sizes[][3] = {{1, 72, 40},   {7, 130, 24}, {33, 64, 56},   {65, 136, 40},
                              {200, 264, 72}, {7, 72, 328}, {40, 72, 200}, {200, 264, 136}};
  for (DType dtype : operands)
    for (const auto& size : sizes)
      for (int transposes = 0; transposes < 4; ++transposes) {
        const bool trans_a = transposes & 1, trans_b = transposes & 2;
        // cp.async wants leading dimensions of 8: with others the same call takes the other kernel.
        const Product p{dtype, trans_a, trans_b, size[0], size[1], size[2], transposes == 3 ? 0.5f : 1.0f, transposes == 0 ? 0.0f : 1.0f};
        const Data a(dtype, size_t(p.m * p.k)), b(dtype, size_t(p.k * p.n)), c(DType::f32, size_t(p.m * p.n));
        const std::vector<float> got = gemm(simt, p, a, b, c);
        if (!CHECK(gemm_error(p, a, b, c, got) <= 1.0))
          std::printf("  gemm %s %lld x %lld x %lld, transposes %d\n", cunn::dtype_name(dtype), (long long)p.m, (long long)p.n, (long long)p.k, transposes);
        if (cpu && dtype == DType::f32) CHECK(same_bits(got, gemm(*cpu, p, a, b, c)));
        if (dtype == DType::f32) continue;
        Product in_f32 = p;
        in_f32.dtype = DType::f32;
        if (!CHECK(gemm_difference(p, a, b, c, got, gemm(simt, in_f32, widened(a), widened(b), c)) <= 1.0))
          std::printf("  gemm %s and f32, %lld x %lld x %lld, transposes %d\n", cunn::dtype_name(dtype), (long long)p.m, (long long)p.n, (long long)p.k, transposes);
      }
}

// Rows of a product alone, in tiles of 16, 64 and 128 rows.
void test_row_independence(Library& simt) {
  const int64_t n = 136, k = 72, most = 300;
  for (DType dtype : operands) {
    const Data a(dtype, size_t(most * k)), b(dtype, size_t(n * k)), c(DType::f32, size_t(most * n));
    const std::vector<float> whole = gemm(simt, {dtype, false, true, most, n, k, 1, 0}, a, b, c);
    for (int64_t rows : {1, 16, 17, 40, 64, 100}) {
      Data part_a = a, part_c = c;
      part_a.bytes.resize(size_t(rows * k * cunn::element_bytes(dtype)));
      part_a.values.resize(size_t(rows * k));
      part_c.bytes.resize(size_t(rows * n) * 4);
      part_c.values.resize(size_t(rows * n));
      const std::vector<float> part = gemm(simt, {dtype, false, true, rows, n, k, 1, 0}, part_a, b, part_c);
      CHECK(same_bits(part, std::vector<float>(whole.begin(), whole.begin() + rows * n)));
    }
  }
}

void test_grouped(Library& simt, Library* cpu) {
  const std::vector<int32_t> offsets = {0, 0, 1, 130, 131, 210};  // empty, single and large groups
  const int64_t groups = 5, m = 210, n = 72, k = 40, tokens = 90;
  std::vector<int32_t> gather;
  for (int64_t r = 0; r < m; ++r) gather.push_back(int32_t(r * 37 % tokens));
  for (DType dtype : operands) {
    const Data a(dtype, size_t(tokens * k)), b(dtype, size_t(groups * n * k)), c(DType::f32, size_t(m * n)), grad(dtype, size_t(m * n)),
        dw(DType::f32, size_t(groups * n * k));
    const auto rows = [&](Library& l) {
      Uploaded da(l, a), db(l, b), dc(l, c), doff(l, offsets), dg(l, gather);
      CALL(l, cunn_gemm_grouped_rows, dc, da, db, doff, dg, 1, groups, m, n, k, tokens, n, k, k, n * k, 0.0);
      l.synchronize();
      return floats(dc);
    };
    const auto inner = [&](Library& l) {  // dw_g [n, k] += grad^T x
      Uploaded da(l, grad), db(l, a), dc(l, dw), doff(l, offsets), dg(l, gather);
      CALL(l, cunn_gemm_grouped_inner, dc, da, db, doff, dg, groups, n, k, m, tokens, k, n, k, n * k, 1.0);
      l.synchronize();
      return floats(dc);
    };
    const std::vector<float> y = rows(simt), w = inner(simt);
    double worst = 0, worst_w = 0;
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t r = offsets[size_t(g)]; r < offsets[size_t(g + 1)]; ++r)
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0, size = 1e-30;
          for (int64_t i = 0; i < k; ++i) {
            const double term = double(a.values[size_t(gather[size_t(r)] * k + i)]) * double(b.values[size_t((g * n + j) * k + i)]);
            sum += term;
            size += std::fabs(term);
          }
          worst = std::fmax(worst, std::fabs(y[size_t(r * n + j)] - sum) / (std::sqrt(double(k)) * 0x1p-23 * size));
        }
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < k; ++i) {
          double sum = dw.values[size_t((g * n + j) * k + i)], size = std::fabs(sum) + 1e-30;
          for (int64_t r = offsets[size_t(g)]; r < offsets[size_t(g + 1)]; ++r) {
            const double term = double(grad.values[size_t(r * n + j)]) * double(a.values[size_t(gather[size_t(r)] * k + i)]);
            sum += term;
            size += std::fabs(term);
          }
          worst_w = std::fmax(worst_w, std::fabs(w[size_t((g * n + j) * k + i)] - sum) / (std::sqrt(double(m)) * 0x1p-23 * size));
        }
    }
    CHECK(worst <= 1.0);
    CHECK(worst_w <= 1.0);
    if (cpu && dtype == DType::f32) {
      CHECK(same_bits(y, rows(*cpu)));
      CHECK(same_bits(w, inner(*cpu)));
    }
  }
}

// ---- SwiGLU in the epilogue

struct Experts {
  std::vector<int32_t> offsets;  // ends two rows before m: those belong to nobody
  int64_t n, ldc, k;
  // Elements that stand before y or dgate, gate, up or dup, w_up.
  int64_t before_c = 0, before_gate = 0, before_up = 0, before_w_up = 0;
  int64_t groups() const { return int64_t(offsets.size()) - 1; }
  int64_t m() const { return offsets.back() + 2; }
  int64_t ld_down() const { return (n + 7) / 8 * 8; }  // what cp.async wants
};

// Data behind `before` other elements of its buffer.
class Shifted {
 public:
  Shifted(Library& library, const Data& data, int64_t before)
      : library_(library), count_(int64_t(data.values.size())), bytes_(data.bytes.size()), whole_(library, data.dtype, before + count_) {
    CALL(library_, cunn_buffer_view, &view_, whole_, before, count_);
    CALL(library_, cunn_buffer_upload, view_, 0, count_, data.bytes.data());
  }
  ~Shifted() { library_.function<decltype(&cunn_buffer_destroy)>("cunn_buffer_destroy")(library_.context, view_); }
  Shifted(const Shifted&) = delete;
  Shifted& operator=(const Shifted&) = delete;
  operator cunn_buffer() const { return view_; }
  std::vector<unsigned char> download() const {
    std::vector<unsigned char> bytes(bytes_);
    CALL(library_, cunn_buffer_download, bytes.data(), view_, 0, count_);
    return bytes;
  }

 private:
  Library& library_;
  int64_t count_;
  size_t bytes_;
  AbiBuffer whole_;
  cunn_buffer view_ = 0;
};

// [m, ldc] buffers that start from the same values, so that what nobody may write can be compared too.
using Bytes = std::vector<unsigned char>;

// y, gate, up, by one call or by three; y alone when the others are not kept. Which kernel the product with w_up takes depends on where
// it stands, and the fused call takes one for both: composed, w_gate stands there too.
std::vector<Bytes> swiglu_forward(Library& l, const Experts& s, bool fused, bool kept, const Data& a, const Data& w_gate, const Data& w_up,
                                  const std::vector<int32_t>& gather, const Data& y0, const Data& p0) {
  Uploaded da(l, a), offsets(l, s.offsets), rows(l, gather);
  Shifted dg(l, w_gate, fused ? 0 : s.before_w_up), du(l, w_up, s.before_w_up), y(l, y0, s.before_c), gate(l, p0, s.before_gate), up(l, p0, s.before_up);
  const int64_t groups = s.groups(), m = s.m(), stride = s.n * s.k, tokens = int64_t(a.values.size()) / s.k;
  if (fused) {
    CALL(l, cunn_gemm_grouped_swiglu_forward, y, kept ? cunn_buffer(gate) : 0, kept ? cunn_buffer(up) : 0, da, dg, du, offsets, rows, groups, m, s.n,
         s.k, tokens, s.ldc, s.k, s.k, stride);
  } else {
    CALL(l, cunn_gemm_grouped_rows, gate, da, dg, offsets, rows, 1, groups, m, s.n, s.k, tokens, s.ldc, s.k, s.k, stride, 0.0);
    CALL(l, cunn_gemm_grouped_rows, up, da, du, offsets, rows, 1, groups, m, s.n, s.k, tokens, s.ldc, s.k, s.k, stride, 0.0);
    CALL(l, cunn_swiglu_forward, y, gate, up, m * s.ldc);
  }
  l.synchronize();
  if (!kept) return {y.download()};
  return {y.download(), gate.download(), up.download()};
}

// dgate, dup, by one call, over gate and up or beside them, or by two.
enum class Gradients { fused, in_place, composed };
std::vector<Bytes> swiglu_backward(Library& l, const Experts& s, Gradients how, const Data& a, const Data& w_down, const Data& p, const Data& q,
                                   const Data& d0) {
  Uploaded da(l, a), dw(l, w_down), offsets(l, s.offsets), ds(l, d0);
  Shifted gate(l, p, s.before_gate), up(l, q, s.before_up), dgate(l, d0, s.before_c), dup(l, d0, s.before_up);
  const int64_t groups = s.groups(), m = s.m(), ldb = s.ld_down();
  if (how == Gradients::composed) {
    CALL(l, cunn_gemm_grouped_rows, ds, da, dw, offsets, 0, 0, groups, m, s.n, s.k, m, s.ldc, s.k, ldb, s.k * ldb, 0.0);
    CALL(l, cunn_swiglu_backward, dgate, dup, ds, gate, up, m * s.ldc);
  } else {
    const bool over = how == Gradients::in_place;
    CALL(l, cunn_gemm_grouped_swiglu_backward, over ? gate : dgate, over ? up : dup, da, dw, offsets, gate, up, groups, m, s.n, s.k, s.ldc, s.k, ldb,
         s.k * ldb);
    if (over) {
      l.synchronize();
      return {gate.download(), up.download()};
    }
  }
  l.synchronize();
  return {dgate.download(), dup.download()};
}

// Whether the groups' elements have the wanted bits and all others the bits they had.
bool only_groups(const Experts& s, const Bytes& got, const Bytes& wanted, const Bytes& before) {
  const size_t bytes = before.size() / size_t(s.m() * s.ldc);
  for (int64_t r = 0; r < s.m(); ++r)
    for (int64_t j = 0; j < s.ldc; ++j) {
      const size_t at = size_t(r * s.ldc + j) * bytes;
      const Bytes& expected = r < s.offsets.back() && j < s.n ? wanted : before;
      if (std::memcmp(&got[at], &expected[at], bytes) != 0) return false;
    }
  return true;
}

void test_grouped_swiglu(Library& simt, Library* cpu) {
  // Tiles of 16, 64 and 128 rows, each with neighbours that are aligned, that are not, and of which the last ones are not all
  // there; empty groups, groups of one row, more terms than stages; each buffer in turn where no wide access may begin.
  const Experts cases[] = {
      {{0, 0, 1, 9}, 72, 72, 328},      {{0, 5, 14}, 71, 75, 40},        {{0, 2, 7}, 71, 72, 40},
      {{0, 3, 3, 38}, 64, 66, 200},     {{0, 50, 60}, 64, 68, 40},       {{0, 41, 60}, 37, 40, 40},
      {{0, 128, 140}, 131, 133, 24},    {{0, 128, 140}, 133, 136, 24},   {{0, 0, 1, 130, 131, 210}, 136, 140, 136},
      {{0, 3, 39}, 64, 64, 40, 1},      {{0, 3, 39}, 64, 64, 40, 0, 1},  {{0, 3, 39}, 64, 64, 40, 0, 0, 1},
      {{0, 3, 39}, 64, 64, 40, 0, 0, 0, 1},
  };
  for (DType dtype : operands)
    for (const Experts& s : cases) {
      const int64_t m = s.m(), tokens = m / 2 + 3;
      std::vector<int32_t> gather;
      for (int64_t r = 0; r < m; ++r) gather.push_back(int32_t(r * 37 % tokens));
      const Data x(dtype, size_t(tokens * s.k)), w_gate(dtype, size_t(s.groups() * s.n * s.k)), w_up(dtype, size_t(s.groups() * s.n * s.k));
      const Data p0(DType::f32, size_t(m * s.ldc));
      const auto told = [&](bool same, const char* what) {
        if (!CHECK(same))
          std::printf("  %s, %s, %lld x %lld x %lld\n", what, cunn::dtype_name(dtype), (long long)m, (long long)s.n, (long long)s.k);
      };
      for (DType y_dtype : {DType::f32, operands.back()}) {
        const Data y0(y_dtype, size_t(m * s.ldc));
        const std::vector<Bytes> composed = swiglu_forward(simt, s, false, true, x, w_gate, w_up, gather, y0, p0);
        for (bool kept : {true, false}) {
          const std::vector<Bytes> fused = swiglu_forward(simt, s, true, kept, x, w_gate, w_up, gather, y0, p0);
          told(only_groups(s, fused[0], composed[0], y0.bytes), kept ? "y" : "y alone");
          for (size_t i = 1; i < fused.size(); ++i) told(only_groups(s, fused[i], composed[i], p0.bytes), i == 1 ? "gate" : "up");
          if (cpu && dtype == DType::f32) told(fused == swiglu_forward(*cpu, s, true, kept, x, w_gate, w_up, gather, y0, p0), "on cpu");
        }
      }
      const Data dy(dtype, size_t(m * s.k)), w_down(dtype, size_t(s.groups() * s.k * s.ld_down()));
      const Data p(DType::f32, size_t(m * s.ldc)), q(DType::f32, size_t(m * s.ldc));
      const std::vector<Bytes> composed = swiglu_backward(simt, s, Gradients::composed, dy, w_down, p, q, p0);
      for (Gradients how : {Gradients::fused, Gradients::in_place}) {
        const std::vector<Bytes> fused = swiglu_backward(simt, s, how, dy, w_down, p, q, p0);
        const bool over = how == Gradients::in_place;
        told(only_groups(s, fused[0], composed[0], over ? p.bytes : p0.bytes), over ? "dgate over gate" : "dgate");
        told(only_groups(s, fused[1], composed[1], over ? q.bytes : p0.bytes), over ? "dup over up" : "dup");
        if (cpu && dtype == DType::f32) told(fused == swiglu_backward(*cpu, s, how, dy, w_down, p, q, p0), "gradients on cpu");
      }
    }
}

// ---- attention

struct Attention {
  int64_t batch, seq_len, n_heads, n_kv_heads, head_dim;
  int64_t q_row() const { return n_heads * head_dim; }
  int64_t kv_row() const { return n_kv_heads * head_dim; }
  int64_t tokens() const { return batch * seq_len; }
  double scale() const { return 1.0 / std::sqrt(double(head_dim)); }
};

struct Forward {
  std::vector<float> out, lse;
};

Forward attention(Library& l, const Attention& s, const Data& q, const Data& k, const Data& v, const std::vector<int32_t>& lengths) {
  Uploaded dq(l, q), dk(l, k), dv(l, v), dl(l, lengths);
  AbiBuffer out(l, DType::f32, s.tokens() * s.q_row()), lse(l, DType::f32, s.tokens() * s.n_heads);
  CALL(l, cunn_attention_forward, out, lse, dq, dk, dv, dl, s.batch, s.seq_len, s.n_heads, s.n_kv_heads, s.head_dim, s.q_row(), s.head_dim,
       s.kv_row(), s.head_dim, s.scale());
  l.synchronize();
  return {floats(out), floats(lse)};
}

std::vector<float> attention_gradients(Library& l, const Attention& s, const Data& q, const Data& k, const Data& v, const Data& dout,
                                       const std::vector<int32_t>& lengths) {
  Uploaded bq(l, q), bk(l, k), bv(l, v), bd(l, dout), bl(l, lengths);
  AbiBuffer out(l, DType::f32, s.tokens() * s.q_row()), lse(l, DType::f32, s.tokens() * s.n_heads);
  AbiBuffer dq(l, DType::f32, s.tokens() * s.q_row()), dk(l, DType::f32, s.tokens() * s.kv_row()), dv(l, DType::f32, s.tokens() * s.kv_row());
  CALL(l, cunn_attention_forward, out, lse, bq, bk, bv, bl, s.batch, s.seq_len, s.n_heads, s.n_kv_heads, s.head_dim, s.q_row(), s.head_dim,
       s.kv_row(), s.head_dim, s.scale());
  CALL(l, cunn_attention_backward, dq, dk, dv, bd, bq, bk, bv, out, lse, bl, s.batch, s.seq_len, s.n_heads, s.n_kv_heads, s.head_dim, s.q_row(),
       s.head_dim, s.kv_row(), s.head_dim, s.scale());
  l.synchronize();
  std::vector<float> all = floats(dq);
  for (const AbiBuffer* more : {&dk, &dv}) {
    const std::vector<float> values = floats(*more);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// Output and logsumexp against float64: the largest error relative to the size of what is averaged.
double attention_error(const Attention& s, const Data& q, const Data& k, const Data& v, const std::vector<int32_t>& lengths, const Forward& got) {
  double worst = 0;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t i = 0; i < lengths[size_t(b)]; ++i)
      for (int64_t h = 0; h < s.n_heads; ++h) {
        const int64_t kv = h / (s.n_heads / s.n_kv_heads), token = b * s.seq_len + i;
        std::vector<double> score(size_t(i + 1));
        double max = -1e300, sum = 0;
        for (int64_t j = 0; j <= i; ++j) {
          double dot = 0;
          for (int64_t d = 0; d < s.head_dim; ++d)
            dot += double(q.values[size_t(token * s.q_row() + h * s.head_dim + d)]) *
                   double(k.values[size_t((b * s.seq_len + j) * s.kv_row() + kv * s.head_dim + d)]);
          score[size_t(j)] = dot * s.scale();
          max = std::fmax(max, score[size_t(j)]);
        }
        for (double& x : score) sum += x = std::exp(x - max);
        worst = std::fmax(worst, std::fabs(got.lse[size_t(token * s.n_heads + h)] - (max + std::log(sum))) / 10);
        for (int64_t d = 0; d < s.head_dim; ++d) {
          double out = 0;
          for (int64_t j = 0; j <= i; ++j) out += score[size_t(j)] / sum * double(v.values[size_t((b * s.seq_len + j) * s.kv_row() + kv * s.head_dim + d)]);
          worst = std::fmax(worst, std::fabs(got.out[size_t(token * s.q_row() + h * s.head_dim + d)] - out));
        }
      }
  return worst;
}

void test_attention(Library& simt, Library* cpu) {
  const Attention shapes[] = {{2, 150, 4, 1, 64}, {1, 600, 2, 1, 64}, {2, 70, 4, 2, 128}, {1, 40, 2, 2, 200}, {1, 33, 6, 2, 24}};
  for (const Attention& s : shapes)
    for (DType dtype : {DType::f32, DType::bf16}) {
      const Data q(DType::f32, size_t(s.tokens() * s.q_row())), k(dtype, size_t(s.tokens() * s.kv_row())), v(dtype, size_t(s.tokens() * s.kv_row()));
      std::vector<int32_t> lengths(size_t(s.batch), int32_t(s.seq_len));
      lengths.back() -= 3;
      const Forward got = attention(simt, s, q, k, v, lengths);
      // f32 arithmetic throughout, or q and p rounded to bf16.
      if (!CHECK(attention_error(s, q, k, v, lengths, got) <= (dtype == DType::f32 ? 2e-6 : 1e-2)))
        std::printf("  attention %s, %lld x %lld, head_dim %lld\n", cunn::dtype_name(dtype), (long long)s.seq_len, (long long)s.n_heads, (long long)s.head_dim);
      if (dtype == DType::bf16 && s.head_dim <= 128) {
        // The same keys and values as f32 give the exact kernel's gradients: the tensor cores' must be near them.
        const Data dout(DType::f32, size_t(s.tokens() * s.q_row()));
        const std::vector<float> narrow = attention_gradients(simt, s, q, k, v, dout, lengths);
        const std::vector<float> exact = attention_gradients(simt, s, q, widened(k), widened(v), dout, lengths);
        double off = 0, size = 0;
        for (size_t i = 0; i < exact.size(); ++i) {
          off += std::pow(double(narrow[i]) - double(exact[i]), 2);
          size += std::pow(double(exact[i]), 2);
        }
        if (!CHECK(std::sqrt(off / size) < 0.01)) std::printf("  gradients are off by %.3g of their norm\n", std::sqrt(off / size));
      }
      if (!cpu || dtype != DType::f32) continue;
      const Forward other = attention(*cpu, s, q, k, v, lengths);
      CHECK(same_bits(got.out, other.out));
      CHECK(same_bits(got.lse, other.lse));
      if (s.head_dim > 128) continue;  // the device's limit for gradients
      const Data dout(DType::f32, size_t(s.tokens() * s.q_row()));
      CHECK(same_bits(attention_gradients(simt, s, q, k, v, dout, lengths), attention_gradients(*cpu, s, q, k, v, dout, lengths)));
    }
}

// A key that is not finite reaches no earlier row, in the same block of 64 keys or not (f32; see attention_forward_mma.cuh).
void test_later_keys(Library& l) {
  for (const Attention& s : {Attention{1, 40, 2, 1, 64}, Attention{1, 100, 2, 1, 128}, Attention{1, 70, 1, 1, 200}, Attention{1, 12, 1, 1, 8}}) {
    const Data q(DType::f32, size_t(s.tokens() * s.q_row()));
    Data k(DType::f32, size_t(s.tokens() * s.kv_row())), v(DType::f32, size_t(s.tokens() * s.kv_row()));
    const std::vector<int32_t> lengths = {int32_t(s.seq_len)};
    const std::vector<float> before = attention(l, s, q, k, v, lengths).out;
    const float infinite = INFINITY, nan = NAN;
    const int64_t last = (s.tokens() - 1) * s.kv_row();
    for (int64_t d = 0; d < s.kv_row(); ++d) {
      std::memcpy(&k.bytes[size_t(last + d) * 4], &nan, 4);
      std::memcpy(&v.bytes[size_t(last + d) * 4], &infinite, 4);
    }
    const std::vector<float> after = attention(l, s, q, k, v, lengths).out;
    const size_t earlier = size_t((s.tokens() - 1) * s.q_row());
    CHECK(same_bits({before.begin(), before.begin() + int64_t(earlier)}, {after.begin(), after.begin() + int64_t(earlier)}));
    CHECK(std::isnan(after[earlier]));
  }
}

// A sequence through the cache in pieces, chunks and single tokens, over the end of a span and to the last place of the
// cache, pages in a strange order, behind a neighbour of one token: the bits of the full forward over keys rounded to the
// cache's dtype.
void test_cached(Library& l) {
  const int64_t page = 64, pages = 9;
  // head_dim 40: tensor cores take 64 columns, and the rest of them is nobody's.
  for (const auto& [dtype, head_dim] : {std::pair{DType::f32, 64}, {DType::bf16, 64}, {DType::bf16, 40}}) {
    const Attention s{1, 576, 6, 1, head_dim};
    const Data q(DType::f32, size_t(s.tokens() * s.q_row()));
    Data k(dtype, size_t(s.tokens() * s.kv_row())), v(dtype, size_t(s.tokens() * s.kv_row()));
    const std::vector<float> full = attention(l, s, q, k, v, {int32_t(s.seq_len)}).out;
    std::vector<int32_t> table;
    for (int64_t p = 0; p < 2 * pages; ++p) table.push_back(int32_t((p * 7 + 3) % (2 * pages)));
    AbiBuffer k_cache(l, dtype, 2 * pages * page * s.kv_row()), v_cache(l, dtype, 2 * pages * page * s.kv_row());
    Uploaded block_table(l, table);
    const auto step = [&](int64_t begin, int64_t n) {
      // Sequence 1 is the one compared; sequence 0, whose rows lie before its own everywhere, has a token at position 3.
      Data piece_q(DType::f32, size_t(2 * n * s.q_row())), piece_k(DType::f32, size_t(2 * n * s.kv_row())), piece_v(DType::f32, size_t(2 * n * s.kv_row()));
      const auto place = [&](Data& to, const Data& from, int64_t row) {
        std::memcpy(to.bytes.data() + n * row * 4, from.values.data() + begin * row, size_t(n * row) * 4);
      };
      place(piece_q, q, s.q_row());
      place(piece_k, k, s.kv_row());
      place(piece_v, v, s.kv_row());
      Uploaded dq(l, piece_q), dk(l, piece_k), dv(l, piece_v), positions(l, {3, int32_t(begin)}), lengths(l, {1, int32_t(n)});
      AbiBuffer out(l, DType::f32, 2 * n * s.q_row());
      CALL(l, cunn_cache_append, k_cache, v_cache, dk, dv, block_table, positions, lengths, 2, n, s.n_kv_heads, s.head_dim, page, pages,
           2 * pages, s.kv_row(), s.head_dim);
      CALL(l, cunn_attention_cached_forward, out, dq, k_cache, v_cache, block_table, positions, lengths, 2, n, s.n_heads, s.n_kv_heads,
           s.head_dim, page, pages, 2 * pages, s.q_row(), s.head_dim, s.scale());
      l.synchronize();
      std::vector<float> rows = floats(out);
      rows.erase(rows.begin(), rows.begin() + n * s.q_row());
      return same_bits(rows, std::vector<float>(full.begin() + begin * s.q_row(), full.begin() + (begin + n) * s.q_row()));
    };
    for (int64_t begin = 0; begin < s.seq_len;) {
      const int64_t n = begin < 505 ? 101 : begin < 520 || begin >= 570 ? 1 : 50;
      if (!CHECK(step(begin, n))) std::printf("  %s, head_dim %d, %lld tokens from %lld on\n", cunn::dtype_name(dtype), head_dim, (long long)n, (long long)begin);
      begin += n;
    }
  }
}

// ---- reductions, selections and sorts that take more than one step of a block

struct Filled : AbiBuffer {  // what an op accumulates into
  Filled(Library& l, int64_t n, double value, DType dtype = DType::f32) : AbiBuffer(l, dtype, n) { CALL(l, cunn_fill, *this, n, value); }
};

// The bytes of some buffers, one after the other.
std::vector<unsigned char> together(Library& l, std::initializer_list<const AbiBuffer*> buffers) {
  l.synchronize();
  std::vector<unsigned char> all;
  for (const AbiBuffer* buffer : buffers) {
    const std::vector<unsigned char> bytes = buffer->download();
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  return all;
}

void test_long(Library& simt, Library* cpu, const std::function<bool(const std::string&)>& wanted) {
  std::vector<int32_t> ids, targets;
  for (int i = 0; i < 700; ++i) ids.push_back(i * i % 7);
  for (int i = 0; i < 300; ++i) targets.push_back(i % 5 == 0 ? -1 : i * 31 % 2500);
  const Data wide(DType::f32, 300 * 2500), rows(DType::f32, 700 * 64), other(DType::f32, 700 * 64), weights(DType::f32, 64), long_row(DType::f32, 100000);
  const std::vector<std::pair<const char*, std::function<std::vector<unsigned char>(Library&)>>> ops = {
      {"embedding_backward",
       [&](Library& l) {
         Uploaded dy(l, rows), i(l, ids);
         Filled dw(l, 7 * 64, 0.5);
         CALL(l, cunn_embedding_backward, dw, dy, i, 700, 7, 64);
         return together(l, {&dw});
       }},
      {"softmax",
       [&](Library& l) {
         Uploaded x(l, wide);
         AbiBuffer y(l, DType::f32, 300 * 2500), dx(l, DType::f32, 300 * 2500);
         CALL(l, cunn_softmax_forward, y, x, 300, 2500, 2500, 2500);
         CALL(l, cunn_softmax_backward, dx, x, y, 300, 2500, 2500);
         return together(l, {&y, &dx});
       }},
      {"top_k",
       [&](Library& l) {
         Uploaded x(l, wide);
         AbiBuffer values(l, DType::f32, 300 * 600), indices(l, DType::i32, 300 * 600);
         CALL(l, cunn_top_k_forward, values, indices, x, 300, 2500, 2500, 600);
         return together(l, {&values, &indices});
       }},
      {"cross_entropy",
       [&](Library& l) {
         Uploaded x(l, wide), t(l, targets);
         Filled loss(l, 1, 0.25), count(l, 1, 0, DType::i64);
         AbiBuffer losses(l, DType::f32, 300), lse(l, DType::f32, 300), dx(l, DType::f32, 300 * 2500);
         CALL(l, cunn_cross_entropy_count, count, t, 300, 2500);
         CALL(l, cunn_cross_entropy_forward, loss, losses, lse, x, t, 300, 2500, 2500);
         CALL(l, cunn_cross_entropy_backward, dx, x, lse, t, count, 300, 2500, 2500);
         return together(l, {&loss, &losses, &lse, &dx, &count});
       }},
      {"rmsnorm",
       [&](Library& l) {
         Uploaded x(l, rows), dy(l, other), w(l, weights);
         AbiBuffer y(l, DType::f32, 700 * 64), rstd(l, DType::f32, 700), dx(l, DType::f32, 700 * 64);
         Filled dw(l, 64, 0.5);
         CALL(l, cunn_rmsnorm_forward, y, rstd, x, w, 700, 64, 1e-6);
         CALL(l, cunn_rmsnorm_backward, dx, dw, dy, x, w, rstd, 700, 64);
         return together(l, {&y, &rstd, &dx, &dw});
       }},
      {"sum_of_squares",
       [&](Library& l) {
         Uploaded x(l, long_row);
         AbiBuffer sum(l, DType::f32, 1);
         CALL(l, cunn_sum_of_squares, sum, x, 100000);
         return together(l, {&sum});
       }},
      {"moe",
       [&](Library& l) {  // 700 tokens, 16 experts, 4 choices: 2800 routed rows
         Uploaded logits(l, Data(rows)), x(l, other);
         AbiBuffer probs(l, DType::f32, 700 * 16), experts(l, DType::i32, 2800), w(l, DType::f32, 2800), offsets(l, DType::i32, 17),
             row_token(l, DType::i32, 2800), token_row(l, DType::i32, 2800), y(l, DType::f32, 700 * 16), fractions(l, DType::f32, 16);
         Filled balance(l, 1, 0), z(l, 1, 0), expert_rows(l, 2800 * 16, 0.75);
         CALL(l, cunn_moe_route_forward, probs, experts, w, logits, 700, 16, 4);
         CALL(l, cunn_moe_dispatch_forward, offsets, row_token, token_row, experts, 700, 16, 4);
         CALL(l, cunn_moe_combine_forward, y, x, expert_rows, w, token_row, 700, 4, 16);
         CALL(l, cunn_moe_balance_loss_forward, balance, fractions, probs, experts, 700, 16, 4);
         CALL(l, cunn_moe_z_loss_forward, z, logits, 700, 16);
         return together(l, {&probs, &experts, &w, &offsets, &row_token, &token_row, &y, &balance, &fractions, &z});
       }},
      {"sample",
       [&](Library& l) {  // 60 draws, a thread having ten columns
         constexpr int kRows = 60;
         const float temperatures[] = {1.0f, 0.7f, 0.3f, 1.0f, 2.0f, 0.0f}, top_ps[] = {1.0f, 1.0f, 0.8f, 1.0f, 0.5f, 1.0f};
         const int32_t top_ks[] = {0, 40, 0, 1, 700, 0};
         std::vector<float> ts, ps;
         std::vector<int32_t> ks, at;
         std::vector<int64_t> numbers;
         for (int i = 0; i < kRows; ++i) {
           ts.push_back(temperatures[i % 6]);
           ps.push_back(top_ps[i % 6]);
           ks.push_back(top_ks[i % 6]);
           at.push_back(3 + i);
           numbers.push_back(i);
         }
         Uploaded x(l, wide), top_k(l, ks), positions(l, at);
         AbiBuffer ids_out(l, DType::i32, kRows), best(l, DType::i32, kRows), temperature(l, DType::f32, kRows), top_p(l, DType::f32, kRows),
             samples(l, DType::i64, kRows), seed(l, DType::i64, 1);
         const int64_t seeds[] = {42};
         temperature.upload(ts.data());
         top_p.upload(ps.data());
         samples.upload(numbers.data());
         seed.upload(seeds);
         CALL(l, cunn_sample, ids_out, x, temperature, top_k, top_p, samples, positions, seed, kRows, 2500, 2500);
         CALL(l, cunn_argmax, best, x, kRows, 2500, 2500);
         return together(l, {&ids_out, &best});
       }},
  };
  for (const auto& [name, op] : ops) {
    if (!wanted(name)) continue;
    const std::vector<unsigned char> once = op(simt);
    bool same = once == op(simt);
    if (cpu) same = same && once == op(*cpu);
    if (!CHECK(same)) std::printf("  %s: other bits the second time, or on cpu\n", name);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const char* usage = "simt_shapes SIMT_LIBRARY [CPU_LIBRARY] [--stop] [--operands f32|bf16|f16] [--part NAME]...";
    std::vector<std::string> libraries;
    std::set<std::string> parts, known;
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument == "--part" && i + 1 < argc) {
        parts.insert(argv[++i]);
      } else if (argument == "--stop") {
        stop_at_failure = true;
      } else if (argument == "--operands" && i + 1 < argc) {
        const std::string name = argv[++i];
        operands.clear();
        for (DType dtype : {DType::f32, DType::bf16, DType::f16})
          if (name == cunn::dtype_name(dtype)) operands = {dtype};
        if (operands.empty()) throw std::runtime_error(usage);
      } else {
        libraries.push_back(argument);
      }
    }
    if (libraries.empty() || libraries.size() > 2) throw std::runtime_error(usage);
    Library simt(libraries[0].c_str(), CUNN_SIMT);
    const std::unique_ptr<Library> cpu = libraries.size() > 1 ? std::make_unique<Library>(libraries[1].c_str(), CUNN_CPU) : nullptr;
    const auto wanted = [&](const std::string& name) {
      known.insert(name);
      return parts.empty() || parts.count(name) != 0;
    };
    if (wanted("gemm")) test_gemm(simt, cpu.get());
    if (wanted("row_independence")) test_row_independence(simt);
    if (wanted("grouped")) test_grouped(simt, cpu.get());
    if (wanted("swiglu")) test_grouped_swiglu(simt, cpu.get());
    if (wanted("attention")) {
      test_later_keys(simt);
      if (cpu) test_later_keys(*cpu);
      test_attention(simt, cpu.get());
    }
    if (wanted("cached")) test_cached(simt);
    test_long(simt, cpu.get(), wanted);
    for (const std::string& part : parts)
      if (known.count(part) == 0) throw std::runtime_error("there is no part " + part);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simt_shapes: %s\n", error.what());
    return 2;
  }
  return summary();
}
