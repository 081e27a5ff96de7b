#include "cuda_device.h"

#include <cuda_runtime.h>

#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "../src/failure.h"
#include "cuda_exec.h"

namespace cunn::cuda {

#if defined(SIMT_HOST)
constexpr int32_t kKind = CUNN_SIMT;
static const char* detail() { return simt::last_fault(); }
#else
constexpr int32_t kKind = CUNN_CUDA;
static const char* detail() { return ""; }
#endif
// The oldest compute capability that this build has kernels for.
#if defined(CUNN_DRIVER_HOST) || defined(SIMT_HOST)
constexpr int kLeastCapability = 70;
#else
constexpr int kLeastCapability = 75;
#endif

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // the next call starts clean
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  const char* const more = detail();
  throw Failure(CUNN_DEVICE, "%s: %s%s%s", call, cudaGetErrorString(error), *more ? ": " : "", more);
}

void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

// ---- scratch

DeviceScratch::~DeviceScratch() {
  for (const Block& block : blocks_) cudaFree(block.data);
}

// Under ASan an array is a block of its own and exactly its size, so that what a kernel does beside it shows.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kApart = true;
#else
constexpr bool kApart = false;
#endif

void* DeviceScratch::bytes(size_t count) {
  constexpr size_t kAlignment = kApart ? 1 : 256, kLeastBlock = kApart ? 1 : size_t(1) << 20;
  const size_t size = (count + kAlignment - 1) / kAlignment * kAlignment;
  const auto fits = [&](const Block& block) { return kApart ? used_ == 0 && block.size == size : used_ + size <= block.size; };
  while (current_ < blocks_.size() && !fits(blocks_[current_])) {
    ++current_;
    used_ = 0;
  }
  if (current_ == blocks_.size()) {
    Block block{nullptr, size > kLeastBlock ? size : kLeastBlock};
    void* data = nullptr;
    check(cudaMalloc(&data, block.size), "cudaMalloc");
    block.data = static_cast<char*>(data);
    blocks_.push_back(block);
    total_ += int64_t(block.size);
    used_ = 0;
  }
  void* const memory = blocks_[current_].data + used_;
  used_ += size;
  return memory;
}

void DeviceScratch::reset() { current_ = used_ = 0; }

namespace {

// ---- events and graphs

struct CudaEvent final : DeviceEvent {
  cudaEvent_t event = nullptr;
  CudaEvent() { check(cudaEventCreate(&event), "cudaEventCreate"); }
  ~CudaEvent() override { cudaEventDestroy(event); }
};

struct CudaGraph final : DeviceGraph {
  cudaGraphExec_t exec = nullptr;
  ~CudaGraph() override {
    if (exec) cudaGraphExecDestroy(exec);
  }
};

// ---- a context's stream

class CudaQueue final : public Queue {
 public:
  CudaQueue(int id, const cudaDeviceProp& properties) : id_(id) {
    select();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    void* word = nullptr;
    check(cudaMalloc(&word, sizeof(ErrorWord)), "cudaMalloc");
    error_ = static_cast<ErrorWord*>(word);
    check(cudaMemsetAsync(error_, 0, sizeof(ErrorWord), stream_), "cudaMemset");
    exec_.pool = nullptr;
    exec_.scratch = nullptr;
    exec_.error = error_;
    exec_.stream = stream_;
    exec_.compute_capability = 10 * properties.major + properties.minor;
    exec_.multiprocessors = properties.multiProcessorCount;
    exec_.max_shared = properties.sharedMemPerBlockOptin;
    isa_ = kKind == CUNN_SIMT ? "simt" : "sm_" + std::to_string(exec_.compute_capability);
  }
  ~CudaQueue() override {
    cudaSetDevice(id_);
    cudaStreamSynchronize(stream_);
    cudaStreamDestroy(stream_);
    cudaFree(error_);
  }

  Exec& exec() override { return exec_; }
  const OpTable& ops() const override { return cuda_ops(); }
  const char* isa() const override { return isa_.c_str(); }
  int32_t threads() const override { return 1; }
  int64_t scratch_bytes() const override { return exec_.memory.total(); }
  void begin_op() override {
    select();
    exec_.memory.reset();
  }

  void upload(void* device, const void* host, int64_t bytes) override {
    select();
    check(cudaMemcpyAsync(device, host, size_t(bytes), cudaMemcpyHostToDevice, stream_), "upload");
    check(cudaStreamSynchronize(stream_), "upload");  // pageable memory may be read later otherwise
  }
  void download(void* host, const void* device, int64_t bytes) override {
    select();
    check(cudaMemcpyAsync(host, device, size_t(bytes), cudaMemcpyDeviceToHost, stream_), "download");
    check(cudaStreamSynchronize(stream_), "download");
  }
  void synchronize() override {
    select();
    check(cudaStreamSynchronize(stream_), "synchronize");
  }

  ErrorWord take_error() override {
    ErrorWord word{};
    select();
    check(cudaMemcpyAsync(&word, error_, sizeof word, cudaMemcpyDeviceToHost, stream_), "synchronize");
    check(cudaStreamSynchronize(stream_), "synchronize");
    if (word.claimed) {
      check(cudaMemsetAsync(error_, 0, sizeof word, stream_), "synchronize");
      check(cudaStreamSynchronize(stream_), "synchronize");
    }
    return word;
  }

  std::unique_ptr<DeviceEvent> create_event() override {
    select();
    return std::make_unique<CudaEvent>();
  }
  void record(DeviceEvent& event) override {
    select();
    check(cudaEventRecord(static_cast<CudaEvent&>(event).event, stream_), "cudaEventRecord");
  }
  void wait(DeviceEvent& event) override {
    select();
    check(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).event, 0), "cudaStreamWaitEvent");
  }
  double elapsed_ms(DeviceEvent& start, DeviceEvent& end) override {
    select();
    float milliseconds = 0;
    check(cudaEventSynchronize(static_cast<CudaEvent&>(end).event), "cudaEventSynchronize");
    check(cudaEventElapsedTime(&milliseconds, static_cast<CudaEvent&>(start).event, static_cast<CudaEvent&>(end).event),
          "cudaEventElapsedTime");
    return double(milliseconds);
  }

  // Relaxed: an op that needs more scratch than any before may allocate it while it is being recorded.
  bool captures() const override { return true; }
  void begin_capture() override {
    select();
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  }
  std::unique_ptr<DeviceGraph> end_capture() override {
    select();
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
    auto recorded = std::make_unique<CudaGraph>();
    const cudaError_t error = cudaGraphInstantiate(&recorded->exec, graph, 0);
    cudaGraphDestroy(graph);
    check(error, "cudaGraphInstantiate");
    return recorded;
  }
  void launch(DeviceGraph& graph) override {
    select();
    check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).exec, stream_), "cudaGraphLaunch");
  }

 private:
  void select() { check(cudaSetDevice(id_), "cudaSetDevice"); }  // the calling thread may be a new one

  const int id_;
  std::string isa_;
  cudaStream_t stream_ = nullptr;
  ErrorWord* error_ = nullptr;
  CudaExec exec_;
};

// ---- a card

class CudaDevice final : public Device {
 public:
  // id is the runtime's number of the card, ordinal its place among those that are used.
  CudaDevice(int ordinal, int id, const cudaDeviceProp& properties) : ordinal_(ordinal), id_(id), properties_(properties) {}

  int32_t kind() const override { return kKind; }
  int32_t ordinal() const override { return ordinal_; }
  const char* name() const override { return properties_.name; }

  void memory(int64_t* total, int64_t* available) const override {
    size_t free_bytes = 0, total_bytes = 0;
    check(cudaSetDevice(id_), "cudaSetDevice");
    check(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
    *total = int64_t(total_bytes);
    *available = int64_t(free_bytes);
  }

  void* allocate(int64_t bytes) override {
    void* memory = nullptr;
    check(cudaSetDevice(id_), "cudaSetDevice");
    check(cudaMalloc(&memory, size_t(bytes > 0 ? bytes : 1)), "cudaMalloc");
    check(cudaMemset(memory, 0, size_t(bytes)), "cudaMemset");
    check(cudaStreamSynchronize(nullptr), "cudaMemset");  // contexts use streams that do not wait for the default one
    return memory;
  }
  // cudaFree waits for the device, hence for all work submitted before.
  void release(void* memory, int64_t) noexcept override {
    cudaSetDevice(id_);
    cudaFree(memory);
  }

  std::unique_ptr<Queue> open(int32_t threads, const char* isa) override {
    if (threads < 0) throw Failure(CUNN_INVALID_ARGUMENT, "threads is %d, expected 0 or more", threads);
    if (isa != nullptr) throw Failure(CUNN_INVALID_ARGUMENT, "isa is \"%.40s\", which only the cpu device can choose", isa);
    return std::make_unique<CudaQueue>(id_, properties_);
  }

 private:
  const int ordinal_, id_;
  const cudaDeviceProp properties_;
};

// The cards this process sees, asked for once.
struct Cards {
  std::vector<std::unique_ptr<CudaDevice>> devices;
  std::string note;

  Cards() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    cudaGetLastError();
    if (error != cudaSuccess || count == 0) {
      note = std::string("no card with a driver that serves it was found (") +
             cudaGetErrorString(error == cudaSuccess ? cudaErrorNoDevice : error) + ")";
      return;
    }
    for (int id = 0; id < count; ++id) {
      cudaDeviceProp properties{};
      const cudaError_t unknown = cudaGetDeviceProperties(&properties, id);
      if (unknown != cudaSuccess) {
        note = std::string("card ") + std::to_string(id) + " does not answer (" + cudaGetErrorString(unknown) + ")";
        cudaGetLastError();
        continue;
      }
      const int capability = 10 * properties.major + properties.minor;
      if (capability >= kLeastCapability)
        devices.push_back(std::make_unique<CudaDevice>(int(devices.size()), id, properties));
      else
        note = std::string(properties.name) + " is sm_" + std::to_string(capability) + ", and the kernels here begin with sm_" +
               std::to_string(kLeastCapability) + (capability == 70 || capability == 72 ? "; libcunn-sm70.so, put beside this library, has them" : "");
    }
    if (!devices.empty()) note.clear();
  }
};
Cards& cards() {
  static Cards* const all = new Cards;  // never destroyed: the driver may be gone by then
  return *all;
}

}  // namespace

int device_count() { return int(cards().devices.size()); }
Device* device(int32_t ordinal) {
  return ordinal >= 0 && ordinal < device_count() ? cards().devices[size_t(ordinal)].get() : nullptr;
}
const char* device_note() { return cards().note.c_str(); }

}  // namespace cunn::cuda
