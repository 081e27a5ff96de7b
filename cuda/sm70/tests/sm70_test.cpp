// libcunn-sm70.so with no driver, with a stand-in for one and a V100, and with one and a newer card.
//
//   sm70_test LIBRARY none|volta|newer
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../simt/tests/abi.h"

namespace {

int failures = 0;
#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) {                                              \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
      ++failures;                                                    \
    }                                                                \
  } while (0)

void add(Library& library, const AbiBuffer& y, const AbiBuffer& a, const AbiBuffer& b, int64_t n) {
  CALL(library, cunn_add_forward, y, a, b, n);
}

void with_card(const char* path) {
  Library library(path, CUNN_CUDA);
  EXPECT(std::strcmp(library.function<decltype(&cunn_context_isa)>("cunn_context_isa")(library.context), "sm_70") == 0);
  void* const driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  const auto launches = reinterpret_cast<int64_t (*)()>(dlsym(driver, "test_driver_launches"));
  constexpr int64_t kCount = 1000;
  float a[kCount], b[kCount];
  for (int i = 0; i < kCount; ++i) a[i] = float(i), b[i] = 0.5f * float(i) - 3.0f;
  AbiBuffer ya(library, cunn::DType::f32, kCount), aa(library, cunn::DType::f32, kCount), bb(library, cunn::DType::f32, kCount);
  aa.upload(a);
  bb.upload(b);
  const auto is_sum = [&](const std::vector<unsigned char>& bytes) {
    for (int i = 0; i < kCount; ++i) {
      float y;
      std::memcpy(&y, bytes.data() + 4 * i, 4);
      if (y != a[i] + b[i]) return false;
    }
    return true;
  };
  add(library, ya, aa, bb, kCount);
  EXPECT(is_sum(ya.download()));
  // Recorded: nothing runs until the launch.
  const std::vector<float> zeros(kCount);
  ya.upload(zeros.data());
  const int64_t before = launches();
  cunn_graph graph = 0;
  library.check(library.function<decltype(&cunn_graph_begin)>("cunn_graph_begin")(library.context));
  add(library, ya, aa, bb, kCount);
  CALL(library, cunn_graph_end, &graph);
  EXPECT(launches() == before && !is_sum(ya.download()));
  CALL(library, cunn_graph_launch, graph);
  EXPECT(launches() == before + 1 && is_sum(ya.download()));
  CALL(library, cunn_graph_destroy, graph);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "sm70_test LIBRARY none|volta|newer\n"), 2;
  const std::string machine = argv[2];
  void* const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::fprintf(stderr, "%s\n", dlerror()), 2;
  const auto count_of = reinterpret_cast<decltype(&cunn_device_count)>(dlsym(library, "cunn_device_count"));
  const auto note_of = reinterpret_cast<decltype(&cunn_device_note)>(dlsym(library, "cunn_device_note"));
  int32_t count = -1;
  EXPECT(count_of(&count, CUNN_CUDA) == CUNN_OK);
  const std::string note = note_of(CUNN_CUDA);
  std::printf("%d cards, note \"%s\"\n", count, note.c_str());
  if (machine == "volta") {
    EXPECT(count == 1 && note.empty());
    with_card(argv[1]);
  } else {
    EXPECT(count == 0 && !note.empty());
    int32_t cpus = 0;
    EXPECT(count_of(&cpus, CUNN_CPU) == CUNN_OK && cpus == 1);
    Library cpu(argv[1], CUNN_CPU);  // the cpu device is there all the same
  }
  return failures == 0 ? 0 : 1;
}
