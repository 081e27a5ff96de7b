// A stand-in for libcuda.so.1 on machines without a card: memory is the host's, streams are immediate, a module must be an
// ELF file for sm_70 and have the function asked for in its symbol table. One kernel is carried out, y = a + b, so that a test sees
// whether parameters arrive; the others only count. CUNN_TEST_CAPABILITY ("7.0" unless set) is the one card's.
#include <elf.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define DRIVER extern "C" __attribute__((visibility("default"))) int

namespace {

constexpr int kInvalidValue = 1, kInvalidImage = 200, kNotFound = 500;

struct Function {
  std::string name;
};
struct Launch {
  Function* function;
  void* y;
  const void *a, *b;
  int64_t n;
};
struct Stream {
  bool capturing = false;
  std::vector<Launch> recorded;
};
struct Graph {
  std::vector<Launch> launches;
};
int64_t launches = 0;

void run(const Launch& launch) {
  ++launches;
  for (int64_t i = 0; i < launch.n; ++i)
    static_cast<float*>(launch.y)[i] = static_cast<const float*>(launch.a)[i] + static_cast<const float*>(launch.b)[i];
}
int capability(int which) {
  const char* const text = std::getenv("CUNN_TEST_CAPABILITY");
  const char* const digits = text ? text : "7.0";
  return digits[which == 75 ? 0 : 2] - '0';
}
// Whether the ELF image has a function of this name.
bool has_function(const char* image, const char* name) {
  const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(image);
  const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(image + header->e_shoff);
  for (int s = 0; s < header->e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const char* const names = image + sections[sections[s].sh_link].sh_offset;
    const auto* const symbols = reinterpret_cast<const Elf64_Sym*>(image + sections[s].sh_offset);
    for (size_t i = 0; i < sections[s].sh_size / sizeof(Elf64_Sym); ++i)
      if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && std::strcmp(names + symbols[i].st_name, name) == 0) return true;
  }
  return false;
}

}  // namespace

// How many launches the test has made.
extern "C" __attribute__((visibility("default"))) int64_t test_driver_launches() { return launches; }

DRIVER cuInit(unsigned) { return 0; }
DRIVER cuGetErrorString(int error, const char** text) {
  *text = error == kNotFound ? "named symbol not found" : error == kInvalidImage ? "device kernel image is invalid" : "an error";
  return 0;
}
DRIVER cuDeviceGetCount(int* count) { return *count = 1, 0; }
DRIVER cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
DRIVER cuDeviceGetName(char* name, int bytes, int) { return std::strncpy(name, "stand-in for a V100", size_t(bytes)), 0; }
DRIVER cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 75 || attribute == 76 ? capability(attribute) : attribute == 16 ? 80 : attribute == 97 ? 96 << 10 : 0;
  return 0;
}
DRIVER cuDevicePrimaryCtxRetain(void** context, int) { return *context = &launches, 0; }
DRIVER cuCtxSetCurrent(void* context) { return context == &launches ? 0 : kInvalidValue; }
DRIVER cuMemGetInfo_v2(size_t* available, size_t* total) { return *available = *total = size_t(1) << 30, 0; }
DRIVER cuMemAlloc_v2(uint64_t* memory, size_t bytes) { return *memory = reinterpret_cast<uintptr_t>(std::aligned_alloc(256, (bytes + 255) / 256 * 256)), 0; }
DRIVER cuMemFree_v2(uint64_t memory) { return std::free(reinterpret_cast<void*>(memory)), 0; }
DRIVER cuMemcpyAsync(uint64_t to, uint64_t from, size_t bytes, void*) {
  std::memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
  return 0;
}
DRIVER cuMemsetD8_v2(uint64_t memory, unsigned char value, size_t bytes) { return std::memset(reinterpret_cast<void*>(memory), value, bytes), 0; }
DRIVER cuMemsetD8Async(uint64_t memory, unsigned char value, size_t bytes, void*) { return cuMemsetD8_v2(memory, value, bytes); }
DRIVER cuStreamCreate(Stream** stream, unsigned) { return *stream = new Stream, 0; }
DRIVER cuStreamDestroy_v2(Stream* stream) { return delete stream, 0; }
DRIVER cuStreamSynchronize(Stream*) { return 0; }
DRIVER cuStreamWaitEvent(Stream*, void*, unsigned) { return 0; }
DRIVER cuStreamBeginCapture_v2(Stream* stream, int) { return stream->capturing = true, 0; }
DRIVER cuStreamEndCapture(Stream* stream, Graph** graph) {
  *graph = new Graph{std::move(stream->recorded)};
  *stream = Stream();
  return 0;
}
DRIVER cuEventCreate(void** event, unsigned) { return *event = &launches, 0; }
DRIVER cuEventDestroy_v2(void*) { return 0; }
DRIVER cuEventRecord(void*, void*) { return 0; }
DRIVER cuEventSynchronize(void*) { return 0; }
DRIVER cuEventElapsedTime(float* milliseconds, void*, void*) { return *milliseconds = 1.0f, 0; }
DRIVER cuGraphInstantiateWithFlags(Graph** exec, Graph* graph, unsigned long long) { return *exec = new Graph(*graph), 0; }
DRIVER cuGraphLaunch(Graph* exec, Stream*) {
  for (const Launch& launch : exec->launches) run(launch);
  return 0;
}
DRIVER cuGraphExecDestroy(Graph* exec) { return delete exec, 0; }
DRIVER cuGraphDestroy(Graph* graph) { return delete graph, 0; }
DRIVER cuModuleLoadData(const void** module, const void* image) {
  const auto* const header = static_cast<const Elf64_Ehdr*>(image);
  // e_machine 190 is CUDA; the low byte of e_flags is the architecture.
  if (std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_machine != 190 || (header->e_flags & 0xff) != 70) return kInvalidImage;
  return *module = image, 0;
}
DRIVER cuModuleGetFunction(Function** function, const void* module, const char* name) {
  if (!has_function(static_cast<const char*>(module), name)) return kNotFound;
  return *function = new Function{name}, 0;
}
DRIVER cuFuncSetAttribute(Function*, int attribute, int value) { return attribute == 8 && value <= 96 << 10 ? 0 : kInvalidValue; }
DRIVER cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared_bytes, Stream* stream,
                      void** parameters, void**) {
  if (!function || !gx || gy > 65535 || gz > 65535 || bx * by * bz == 0 || bx * by * bz > 1024 || shared_bytes > 96u << 10) return kInvalidValue;
  Launch launch{function, nullptr, nullptr, nullptr, 0};
  if (function->name.find("map_kernel") != std::string::npos && function->name.find("3Add") != std::string::npos) {
    void* const* const element = static_cast<void* const*>(parameters[0]);  // struct Add { y, a, b }
    launch = {function, element[0], element[1], element[2], *static_cast<int64_t*>(parameters[1])};
  }
  if (stream && stream->capturing)
    stream->recorded.push_back(launch);
  else
    run(launch);
  return 0;
}
