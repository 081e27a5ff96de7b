// One planted bug for each thing simt detects, and that it says where. Three builds of this file share the work: the
// plain one and the one under ASan find what a kernel does to other memory, the one under TSan finds races; what the
// runtime finds itself, every build finds.
#include <functional>
#include <string>
#include <vector>

#include "../../kernels/common.cuh"
#include "../../kernels/ptx.cuh"
#include "check.h"
#include "device_array.h"

using namespace cunn;

namespace {
volatile int sanitizer_reports = 0;
}

// Hooks that the sanitizers' libraries call: visible whatever -fvisibility says.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kAsan = true, kTsan = false;
extern "C" SIMT_EXPORT const char* __asan_default_options() { return "halt_on_error=0:exitcode=0:detect_stack_use_after_return=0"; }
extern "C" SIMT_EXPORT void __asan_on_error() { sanitizer_reports = sanitizer_reports + 1; }
#elif defined(__SANITIZE_THREAD__)
constexpr bool kAsan = false, kTsan = true;
extern "C" SIMT_EXPORT const char* __tsan_default_options() { return "exitcode=0:history_size=4:suppress_equal_addresses=0"; }
// Called with TSan's own locks held, so it must not be watched by TSan itself.
extern "C" SIMT_EXPORT __attribute__((no_sanitize("thread"))) void __tsan_on_report(void*) { sanitizer_reports = sanitizer_reports + 1; }
#else
constexpr bool kAsan = false, kTsan = false;
#endif

namespace {

// Runs the launch; what its fault said, or an empty text.
std::string fault_of(const std::function<void()>& launch) {
  launch();
  return cudaGetLastError() == cudaErrorLaunchFailure ? simt::last_fault() : "";
}

void expect_fault(const char* bug, const std::function<void()>& launch, std::vector<std::string> texts, const char* file, int line) {
  const std::string fault = fault_of(launch);
  for (const std::string& text : texts)
    if (!check(fault.find(text) != std::string::npos, bug, file, line))
      std::printf("  expected \"%s\" in \"%s\"\n", text.c_str(), fault.c_str());
}
#define EXPECT_FAULT(bug, launch, ...) expect_fault(bug, [&] { launch; }, {__VA_ARGS__}, __FILE__, __LINE__)

std::string at(int line) { return "detectors.cu:" + std::to_string(line); }

// ---- barriers

constexpr int kDivergentLine = __LINE__ + 3;
__global__ void divergent_barrier(int* x) {
  if (threadIdx.x < 16) {
    __syncthreads();
    x[0] = 1;
  } else {
    __syncthreads();
    x[1] = 2;
  }
}

constexpr int kLateLine = __LINE__ + 3;
__global__ void barrier_after_return(int* x, int n) {
  if (int(threadIdx.x) >= n) return;
  __syncthreads();
  x[threadIdx.x] = 1;
}

__global__ void return_before_barrier(int* x) {
  if (threadIdx.x == 63) {
    x[0] = 1;
    return;
  }
  __syncthreads();
}

// ---- warp operations

constexpr int kMissingLine = __LINE__ + 3;
__global__ void lanes_missing_from_branch(int* x) {
  if (threadIdx.x < 16)
    x[threadIdx.x] = __shfl_xor_sync(kFullWarp, int(threadIdx.x), 1);
  else
    __syncthreads();
  __syncthreads();
}

constexpr int kReturnedLine = __LINE__ + 3;
__global__ void lanes_that_returned(int* x) {
  if (threadIdx.x >= 16) return;
  x[threadIdx.x] = __shfl_xor_sync(kFullWarp, int(threadIdx.x), 1);
}

constexpr int kNotInMaskLine = __LINE__ + 2;
__global__ void lane_not_in_its_mask(unsigned* x) {
  x[threadIdx.x] = __ballot_sync(0xffffu, 1);
}

constexpr int kOverlapLine = __LINE__ + 3;
__global__ void masks_that_overlap(unsigned* x) {
  if (threadIdx.x < 16)
    x[threadIdx.x] = __ballot_sync(0x1ffffu, 1);
  else
    x[threadIdx.x] = __ballot_sync(0xffff0000u, 1);
}

constexpr int kDifferentLine = __LINE__ + 3;
__global__ void different_operations(unsigned* x) {
  if (threadIdx.x < 16)
    x[threadIdx.x] = __ballot_sync(kFullWarp, 1);
  else
    __syncwarp();
}

constexpr int kDeadlockLine = __LINE__ + 2;
__global__ void warps_wait_for_each_other(int* x) {
  if (threadIdx.x == 32) __syncwarp(0x3);
  __syncthreads();
  x[threadIdx.x] = 1;
}

// ---- asynchronous copies

constexpr int kMisalignedLine = __LINE__ + 3;
__global__ void misaligned_copy(const float* x) {
  CUNN_SHARED(float, tile, [64]);
  cp_async_4(&tile[0], reinterpret_cast<const char*>(x) + 2, 4);
  cp_async_commit();
  cp_async_wait<0>();
}

__global__ void copy_without_wait(const float* x, float* y) {
  CUNN_SHARED(float, tile, [128]);
  cp_async_16(&tile[4 * threadIdx.x], x + 4 * threadIdx.x, 16);
  cp_async_commit();
  cp_async_wait<1>();  // should be 0
  __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x];
}

// ---- memory

constexpr int kStaticLine = __LINE__ + 2;
__global__ void static_shared_overrun(float* y) {
  CUNN_SHARED(float, tile, [64]);
  float* const first = tile;  // UBSan sees an index beyond a declared array by itself, and ends the program
  first[threadIdx.x + 1] = 1.0f;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

__global__ void dynamic_shared_overrun(float* y) {
  CUNN_DYNAMIC_SHARED(float, tile);
  tile[threadIdx.x + 1] = 1.0f;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

__global__ void global_overrun(float* y, int n) {
  if (int(threadIdx.x) <= n) y[threadIdx.x] = 1.0f;
}

__global__ void too_much_shared(float* y) {
  CUNN_SHARED(float, half, [8192]);
  CUNN_SHARED(float, more, [8192]);
  half[threadIdx.x] = more[threadIdx.x] = 0;
  y[threadIdx.x] = half[threadIdx.x];
}

__global__ void trap(int* x, int n) {
  if (n > 0) __trap();
  if (threadIdx.x == 0) x[0] = 0;
}

// ---- races

__global__ void missing_barrier(const int* x, int* y) {
  CUNN_SHARED(int, tile, [64]);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void missing_barrier_in_loop(int* y) {
  CUNN_SHARED(int, tile, [64]);
  int sum = 0;
  for (int i = 0; i < 4; ++i) {
    tile[threadIdx.x] = int(threadIdx.x) * i;
    __syncthreads();
    sum += tile[63 - threadIdx.x];  // and no barrier before the next write
  }
  y[threadIdx.x] = sum;
}

__global__ void shuffle_is_no_fence(int* y) {
  CUNN_SHARED(int, tile, [32]);
  tile[threadIdx.x] = int(threadIdx.x);
  const int other = __shfl_xor_sync(kFullWarp, int(threadIdx.x), 1);
  y[threadIdx.x] = tile[other];
}

__global__ void copy_over_readers(const float* x, float* y) {
  CUNN_SHARED(float, tile, [128]);
  for (int round = 0; round < 2; ++round) {
    cp_async_16(&tile[4 * threadIdx.x], x + 4 * threadIdx.x, 16);  // nobody waited for last round's readers
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    y[round * 32 + threadIdx.x] = tile[127 - threadIdx.x];
  }
}

__global__ void blocks_share_a_word(int* y) {
  if (threadIdx.x == 0) y[0] = int(blockIdx.x);
}

void test_runtime_detectors() {
  DeviceArray<int> x(64);
  DeviceArray<unsigned> u(64);
  DeviceArray<float> f(128);
  EXPECT_FAULT("divergent barrier", CUNN_LAUNCH(divergent_barrier, 1, 32, 0, nullptr, x), "divergent_barrier, block (0,0,0), thread (16,0,0)",
               "divergent barrier: __syncthreads at " + at(kDivergentLine + 3), "threads 0..15 wait in __syncthreads at " + at(kDivergentLine));
  EXPECT_FAULT("barrier after return", CUNN_LAUNCH(barrier_after_return, 3, 64, 0, nullptr, x, 40), "this thread returned while",
               "threads 0..39 wait in __syncthreads at " + at(kLateLine));
  EXPECT_FAULT("return before barrier", CUNN_LAUNCH(return_before_barrier, 1, 64, 0, nullptr, x), "thread (63,0,0): this thread returned while");
  simt::set_order(simt::Order::reverse);  // the thread that returns comes first
  EXPECT_FAULT("return before barrier, reversed", CUNN_LAUNCH(return_before_barrier, 1, 64, 0, nullptr, x), "threads 63 of the block already returned");
  simt::set_order(simt::Order::parallel);
  EXPECT_FAULT("lanes missing", CUNN_LAUNCH(lanes_missing_from_branch, 1, 32, 0, nullptr, x), "deadlock: __shfl_xor_sync at " + at(kMissingLine),
               "waits for lanes 0xffff0000 of mask 0xffffffff", "threads 16..31: in __syncthreads at " + at(kMissingLine + 2));
  EXPECT_FAULT("lanes returned", CUNN_LAUNCH(lanes_that_returned, 1, 32, 0, nullptr, x), "returned while lanes 0x0000ffff of its warp wait",
               "__shfl_xor_sync at " + at(kReturnedLine));
  EXPECT_FAULT("a warp that does not exist in full", CUNN_LAUNCH(lanes_that_returned, 1, 16, 0, nullptr, x), "which have returned or do not exist");
  EXPECT_FAULT("not in its mask", CUNN_LAUNCH(lane_not_in_its_mask, 1, 32, 0, nullptr, u), "__ballot_sync at " + at(kNotInMaskLine) + ": lane 16 calls it");
  EXPECT_FAULT("overlapping masks", CUNN_LAUNCH(masks_that_overlap, 1, 32, 0, nullptr, u), "lanes are named in both", at(kOverlapLine), at(kOverlapLine + 2));
  EXPECT_FAULT("different operations", CUNN_LAUNCH(different_operations, 1, 32, 0, nullptr, u),
               "divergent warp operation: __syncwarp at " + at(kDifferentLine + 2), "__ballot_sync at " + at(kDifferentLine));
  EXPECT_FAULT("deadlock", CUNN_LAUNCH(warps_wait_for_each_other, 1, 64, 0, nullptr, x), "deadlock: __syncwarp at " + at(kDeadlockLine),
               "waits for lanes 0x00000002 of mask 0x00000003");
  EXPECT_FAULT("misaligned cp.async", CUNN_LAUNCH(misaligned_copy, 1, 1, 0, nullptr, f), "not a multiple of 4 bytes");
  EXPECT_FAULT("too much shared memory", CUNN_LAUNCH(too_much_shared, 1, 32, 0, nullptr, f), "static shared memory of the block reaches 65536 bytes");
  EXPECT_FAULT("trap", CUNN_LAUNCH(trap, 1, 32, 0, nullptr, x, 1), "__trap at");

  // The first faulty block is named, however many host threads share the grid, and the process goes on after it.
  for (int i = 0; i < 3; ++i) {
    simt::set_threads(4);
    EXPECT_FAULT("in parallel", CUNN_LAUNCH(divergent_barrier, 500, 32, 0, nullptr, x), "block (0,0,0)");
  }
  CUNN_LAUNCH(trap, 1, 32, 0, nullptr, x, 0);
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
  CHECK_EQUAL(x.download()[0], 0);
  // A fault nobody asked for is reported by the next synchronization, once.
  CUNN_LAUNCH(trap, 1, 32, 0, nullptr, x, 1);
  CHECK(cudaStreamSynchronize(nullptr) == cudaErrorLaunchFailure);
  CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);

  CUNN_LAUNCH(copy_without_wait, 1, 32, 0, nullptr, f, static_cast<float*>(f) + 64);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(std::isnan(f.download()[64]));
}

int reports_of(const std::function<void()>& launch) {
  const int before = sanitizer_reports;
  launch();
  CHECK(cudaGetLastError() == cudaSuccess);
  return sanitizer_reports - before;
}

void test_overruns() {
  DeviceArray<float> y(64);
  if (kTsan) return;  // TSan's shadow is for races; the plain build covers what the gaps show
  if (kAsan) {
    CHECK(reports_of([&] { CUNN_LAUNCH(static_shared_overrun, 1, 64, 0, nullptr, y); }) > 0);
    CHECK(reports_of([&] { CUNN_LAUNCH(dynamic_shared_overrun, 1, 64, 256, nullptr, y); }) > 0);
    CHECK(reports_of([&] { CUNN_LAUNCH(global_overrun, 1, 128, 0, nullptr, y, 64); }) > 0);
    return;
  }
  EXPECT_FAULT("static overrun", CUNN_LAUNCH(static_shared_overrun, 1, 64, 0, nullptr, y), "shared memory `tile` (" + at(kStaticLine) + ", 256 bytes) was overrun");
  EXPECT_FAULT("dynamic overrun", CUNN_LAUNCH(dynamic_shared_overrun, 1, 64, 256, nullptr, y), "dynamic shared memory (256 bytes) was overrun");
  void* block = nullptr;
  CHECK(cudaMalloc(&block, 256) == cudaSuccess);
  CUNN_LAUNCH(global_overrun, 1, 128, 0, nullptr, static_cast<float*>(block), 64);
  CHECK(cudaFree(block) == cudaErrorLaunchFailure);
  CHECK(std::string(simt::last_fault()).find("a block of 256 bytes of device memory was overrun") != std::string::npos);
  CHECK(cudaGetLastError() == cudaErrorLaunchFailure);
}

void test_races() {
  if (!kTsan) {  // without TSan, the order of threads still shows this one
    DeviceArray<int> x(std::vector<int>(64, 5)), y(64);
    CUNN_LAUNCH(missing_barrier, 1, 64, 0, nullptr, x, y);
    CHECK_EQUAL(y.download()[0], -1);  // the poison of unwritten shared memory
    return;
  }
  DeviceArray<int> x(64), y(64);
  DeviceArray<float> f(std::vector<float>(128, 1.0f)), g(64);
  CHECK(reports_of([&] { CUNN_LAUNCH(missing_barrier, 1, 64, 0, nullptr, x, y); }) > 0);
  CHECK(reports_of([&] { CUNN_LAUNCH(missing_barrier_in_loop, 1, 64, 0, nullptr, y); }) > 0);
  CHECK(reports_of([&] { CUNN_LAUNCH(shuffle_is_no_fence, 1, 32, 0, nullptr, y); }) > 0);
  CHECK(reports_of([&] { CUNN_LAUNCH(copy_over_readers, 1, 32, 0, nullptr, f, g); }) > 0);
  simt::set_threads(4);
  int between_blocks = 0;  // host threads must meet in time for TSan to see them: try a few times
  for (int i = 0; i < 20 && between_blocks == 0; ++i)
    between_blocks = reports_of([&] { CUNN_LAUNCH(blocks_share_a_word, 2000, 32, 0, nullptr, y); });
  CHECK(between_blocks > 0);
}

}  // namespace

int main() {
  test_runtime_detectors();
  test_overruns();
  test_races();
  return summary();
}
