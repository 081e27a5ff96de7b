package layer

import "github.com/cuda-nn/cuda-nn/go/tensor"

// Linear is a map without bias: y = x W^T, W [out_features, in_features] row-major, as checkpoints store it.
type Linear struct {
	Backend     tensor.Backend
	Weight      *Parameter
	OutFeatures int
	InFeatures  int
}

// NewLinear makes one over its weight.
func NewLinear(backend tensor.Backend, weight *Parameter) *Linear {
	return &Linear{backend, weight, weight.Shape[0], weight.Shape[1]}
}

// Forward: y [rows, out_features] = x [rows, in_features] W^T.
func (l *Linear) Forward(y, x tensor.Buffer, rows int) error {
	n, k := l.OutFeatures, l.InFeatures
	return l.Backend.GEMM(y, x, l.Weight.Weight, false, true, rows, n, k, n, k, k, 1, 0)
}

// Backward: dW += dy^T x;  dx = dy W, or dx += dy W when accumulate.
func (l *Linear) Backward(dx, dy, x tensor.Buffer, rows int, accumulate bool) error {
	grad, err := l.Weight.Gradient()
	if err != nil {
		return err
	}
	n, k, beta := l.OutFeatures, l.InFeatures, 0.0
	if accumulate {
		beta = 1
	}
	return tensor.First(
		l.Backend.GEMM(grad, dy, x, true, false, n, k, rows, k, n, k, 1, 1),
		l.Backend.GEMM(dx, dy, l.Weight.Weight, false, false, rows, k, n, k, n, k, 1, beta),
	)
}
