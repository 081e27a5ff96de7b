package cuda

import (
	"sync"

	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// GpuTensor is a tensor that lives on device "auto" (cuda when there is one, else cpu), or on the backend given.
//
// One backend serves every GpuTensor made without one. Errors: those of OpenBackend.
type GpuTensor struct{ *tensor.Tensor }

// FromHostGpuTensor is f32 values in a shape; a nil backend is the default one.
func FromHostGpuTensor(values []float32, shape tensor.Shape, backend tensor.Backend) (*GpuTensor, error) {
	return onDevice(backend, func(backend tensor.Backend) (*tensor.Tensor, error) {
		return tensor.FromF32Tensor(backend, values, shape)
	})
}

// OnDeviceGpuTensor is zeros; a nil backend is the default one.
func OnDeviceGpuTensor(shape tensor.Shape, dtype tensor.DType, backend tensor.Backend) (*GpuTensor, error) {
	return onDevice(backend, func(backend tensor.Backend) (*tensor.Tensor, error) {
		return tensor.ZerosTensor(backend, dtype, shape)
	})
}

func onDevice(backend tensor.Backend, make func(tensor.Backend) (*tensor.Tensor, error)) (*GpuTensor, error) {
	if backend == nil {
		var err error
		if backend, err = DefaultBackend(); err != nil {
			return nil, err
		}
	}
	made, err := make(backend)
	if err != nil {
		return nil, err
	}
	return &GpuTensor{made}, nil
}

// DefaultBackend is the backend of every GpuTensor made without one.
var DefaultBackend = sync.OnceValues(func() (tensor.Backend, error) { return OpenBackend("auto") })
