#include "stream.h"

#include <mutex>
#include <set>

#include "fault.h"

namespace simt {
namespace {

// Live handles, so that a stale one is an error and not a crash.
template <class T>
class Registry {
 public:
  T* add(T* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    live_.insert(handle);
    return handle;
  }
  bool remove(T* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    return live_.erase(handle) > 0;
  }
  bool has(T* handle) {
    std::lock_guard<std::mutex> lock(mutex_);
    return live_.count(handle) > 0;
  }

 private:
  std::mutex mutex_;
  std::set<T*> live_;
};

// Never destroyed: handles may outlive static destruction in a host program.
template <class T>
Registry<T>& live() {
  static Registry<T>* const registry = new Registry<T>;
  return *registry;
}

bool valid(Stream* stream) { return !stream || live<Stream>().has(stream); }

}  // namespace

cudaError_t run_or_record(Stream* stream, Work work) {
  if (!valid(stream)) return cudaErrorInvalidResourceHandle;
  if (stream && stream->capturing) {
    stream->graph->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  return work();
}

bool refuse_in_capture(Stream* stream) {
  if (!stream || !stream->capturing) return false;
  stream->invalidated = true;
  return true;
}

}  // namespace simt

using namespace simt;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (!stream) return cudaErrorInvalidValue;
  *stream = live<Stream>().add(new Stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream || !live<Stream>().remove(stream)) return cudaErrorInvalidResourceHandle;
  delete stream->graph;
  delete stream;
  return cudaSuccess;
}

// Work is done already; what is left to report is a fault that nobody asked for after the launch.
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (!valid(stream)) return cudaErrorInvalidResourceHandle;
  if (refuse_in_capture(stream)) return cudaErrorStreamCaptureUnsupported;
  return cudaPeekAtLastError() == cudaErrorLaunchFailure ? cudaGetLastError() : cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }
cudaError_t cudaDeviceSynchronize() { return cudaStreamSynchronize(nullptr); }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return valid(stream) && live<Event>().has(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (!event) return cudaErrorInvalidValue;
  *event = live<Event>().add(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!live<Event>().remove(event)) return cudaErrorInvalidResourceHandle;
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!live<Event>().has(event)) return cudaErrorInvalidResourceHandle;
  return run_or_record(stream, [event] {
    event->time = std::chrono::steady_clock::now();
    event->recorded = true;
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return live<Event>().has(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop) {
  if (!milliseconds) return cudaErrorInvalidValue;
  if (!live<Event>().has(start) || !live<Event>().has(stop) || !start->recorded || !stop->recorded)
    return cudaErrorInvalidResourceHandle;
  *milliseconds = std::chrono::duration<float, std::milli>(stop->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || !valid(stream)) return cudaErrorStreamCaptureUnsupported;
  if (stream->capturing) return cudaErrorStreamCaptureUnsupported;
  stream->capturing = true;
  stream->invalidated = false;
  stream->graph = new Graph;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  if (!status || !valid(stream)) return cudaErrorInvalidValue;
  *status = stream && stream->capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!stream || !valid(stream) || !graph || !stream->capturing) return cudaErrorInvalidValue;
  stream->capturing = false;
  *graph = nullptr;
  if (stream->invalidated) {
    delete stream->graph;
    stream->graph = nullptr;
    return cudaErrorStreamCaptureInvalidated;
  }
  *graph = live<Graph>().add(stream->graph);
  stream->graph = nullptr;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, void*, size_t* count) {
  if (!live<Graph>().has(graph) || !count) return cudaErrorInvalidValue;
  *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (!exec || !live<Graph>().has(graph)) return cudaErrorInvalidValue;
  *exec = live<GraphExec>().add(new GraphExec{graph->nodes});
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (!live<GraphExec>().has(exec)) return cudaErrorInvalidResourceHandle;
  return run_or_record(stream, [exec] {
    for (const Work& work : exec->nodes) {
      const cudaError_t error = work();
      if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  if (!live<GraphExec>().remove(exec)) return cudaErrorInvalidResourceHandle;
  delete exec;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (!live<Graph>().remove(graph)) return cudaErrorInvalidResourceHandle;
  delete graph;
  return cudaSuccess;
}
