package tensor

import "fmt"

// Tensor is a row-major tensor on a backend: a buffer, a shape, and the backend that computes on it.
//
// It adds no arithmetic: operations are the backend's, on buffers, so that nothing is allocated or copied unseen.
type Tensor struct {
	Backend Backend
	Buffer  Buffer
	Shape   Shape
}

// NewTensor gives a buffer a shape of the same count.
func NewTensor(backend Backend, buffer Buffer, shape Shape) (*Tensor, error) {
	if shape.Size() != buffer.Count() {
		return nil, fmt.Errorf("shape %v has %d elements, the buffer %d", shape, shape.Size(), buffer.Count())
	}
	return &Tensor{backend, buffer, shape}, nil
}

// ZerosTensor is a tensor of zeros.
func ZerosTensor(backend Backend, dtype DType, shape Shape) (*Tensor, error) {
	buffer, err := backend.Buffer(dtype, shape.Size())
	if err != nil {
		return nil, err
	}
	return NewTensor(backend, buffer, shape)
}

// FromF32Tensor is an f32 tensor with these values.
func FromF32Tensor(backend Backend, values []float32, shape Shape) (*Tensor, error) {
	buffer, err := BufferOf(backend, F32, values)
	if err != nil {
		return nil, err
	}
	return NewTensor(backend, buffer, shape)
}

// DType is the elements' type.
func (t *Tensor) DType() DType { return t.Buffer.DType() }

// F32 is the values in order, bf16 and f16 widened; it waits for pending work.
func (t *Tensor) F32() ([]float32, error) {
	count := t.Shape.Size()
	if t.DType() == F32 {
		return Read[float32](t.Backend, t.Buffer, 0, count)
	}
	if !t.DType().IsFloat() {
		return nil, fmt.Errorf("a tensor of %v has no f32 values", t.DType())
	}
	bits, err := Read[uint16](t.Backend, t.Buffer, 0, count)
	values := make([]float32, count)
	for i, half := range bits {
		if t.DType() == BF16 {
			values[i] = F32FromBF16(half)
		} else {
			values[i] = F32FromF16(half)
		}
	}
	return values, err
}

// Upload replaces all values; storage holds them in the tensor's dtype.
func (t *Tensor) Upload(storage []byte) error {
	if count := t.DType().CountOf(len(storage)); count != t.Shape.Size() {
		return fmt.Errorf("%d elements do not fill a tensor of %v", count, t.Shape)
	}
	return t.Backend.Upload(t.Buffer, 0, storage)
}

// Reshape is the same memory in another shape of the same count; one size may be -1.
func (t *Tensor) Reshape(sizes ...int) (*Tensor, error) {
	shape, err := t.Shape.Reshape(sizes...)
	if err != nil {
		return nil, err
	}
	return NewTensor(t.Backend, t.Buffer, shape)
}

// View is rows [start, stop) of the first dimension, on the same memory.
func (t *Tensor) View(start, stop int) (*Tensor, error) {
	if t.Shape.Rank() == 0 || start < 0 || stop < start || t.Shape[0] < stop {
		return nil, fmt.Errorf("rows %d to %d are not within a tensor of %v", start, stop, t.Shape)
	}
	row := t.Shape[1:].Size()
	part, err := t.Backend.View(t.Buffer, start*row, (stop-start)*row)
	if err != nil {
		return nil, err
	}
	return NewTensor(t.Backend, part, append(Shape{stop - start}, t.Shape[1:]...))
}

// Close gives the memory back.
func (t *Tensor) Close() error { return t.Buffer.Close() }

func (t *Tensor) String() string {
	return fmt.Sprintf("Tensor(%v, %v, %s)", t.Shape, t.DType(), t.Backend.Name())
}
