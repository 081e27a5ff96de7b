package tensor

import "math"

// DType is an element type, numbered as in cunn.h.
type DType int32

// Element types. q8 and q4 hold blocks of 32 elements (the layout stands in cunn.h).
const (
	F32 DType = iota
	BF16
	F16
	I32
	I64
	U8
	Q8
	Q4
)

// QuantBlock is the number of elements that share one scale in q8 and q4.
const QuantBlock = 32

var (
	dtypeLabels = [...]string{"f32", "bf16", "f16", "i32", "i64", "u8", "q8", "q4"}
	dtypeSizes  = [...]int{4, 2, 2, 4, 8, 1, 34, 18} // bytes of an element, of a block for q8 and q4
)

// Label is the name in sentences and on the command line: "f32".
func (d DType) Label() string { return dtypeLabels[d] }

func (d DType) String() string { return d.Label() }

// IsFloat says whether it is f32, bf16 or f16.
func (d DType) IsFloat() bool { return d <= F16 }

// IsQuantized says whether it is q8 or q4.
func (d DType) IsQuantized() bool { return d >= Q8 }

// CountOf is the number of elements in so many bytes of storage; a broken element or block counts as none.
func (d DType) CountOf(bytes int) int {
	count := bytes / dtypeSizes[d]
	if d.IsQuantized() {
		count *= QuantBlock
	}
	return count
}

// Bytes is the storage of count elements (a multiple of 32 for q8 and q4).
func (d DType) Bytes(count int) int {
	if d.IsQuantized() {
		count /= QuantBlock
	}
	return count * dtypeSizes[d]
}

// BF16FromF32 rounds to bf16, the upper half of an f32: nearest even; a NaN stays a (quiet) NaN.
func BF16FromF32(value float32) uint16 {
	bits := math.Float32bits(value)
	if value != value {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7FFF + bits>>16&1) >> 16)
}

// F32FromBF16 is exact.
func F32FromBF16(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }
