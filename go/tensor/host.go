package tensor

import "unsafe"

// Element is a Go type that holds elements in memory as a backend does; bf16 and f16 are their bits.
type Element interface {
	~float32 | ~float64 | ~int32 | ~uint32 | ~int64 | ~uint64 | ~uint16 | ~uint8
}

// Bytes is the memory of values, shared, not copied. Hosts are little-endian, as files are.
func Bytes[T Element](values []T) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*int(unsafe.Sizeof(values[0])))
}

// BufferOf makes a buffer that holds these elements.
func BufferOf[T Element](backend Backend, dtype DType, values []T) (Buffer, error) {
	storage := Bytes(values)
	buffer, err := backend.Buffer(dtype, dtype.CountOf(len(storage)))
	if err != nil {
		return nil, err
	}
	if err := backend.Upload(buffer, 0, storage); err != nil {
		return nil, First(err, buffer.Close())
	}
	return buffer, nil
}

// Read downloads count elements from offset on into memory of their own.
func Read[T Element](backend Backend, buffer Buffer, offset, count int) ([]T, error) {
	values := make([]T, count)
	return values, backend.Download(Bytes(values), buffer, offset)
}

// DTypeOf returns the dtype with this label.
func DTypeOf(label string) (dtype DType, known bool) {
	for i, name := range dtypeLabels {
		if name == label {
			return DType(i), true
		}
	}
	return F32, false
}
