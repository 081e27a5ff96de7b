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

// DTypeOf returns the dtype with this label.
func DTypeOf(label string) (dtype DType, known bool) {
	for i, name := range dtypeLabels {
		if name == label {
			return DType(i), true
		}
	}
	return F32, false
}

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

// F16FromF32 rounds to an IEEE 754 half: nearest even, subnormals kept, beyond the range infinity.
func F16FromF32(value float32) uint16 {
	bits := math.Float32bits(value)
	sign, size := uint16(bits>>16&0x8000), bits&0x7FFFFFFF
	switch {
	case size > 0x7F800000: // NaN
		return sign | 0x7C00 | 0x200 | uint16(size>>13&0x3FF)
	case size >= 0x47800000: // 65536 and more, infinity
		return sign | 0x7C00
	case size >= 0x38800000: // normal: rebias the exponent, round the 13 bits that go; may carry into infinity
		return sign | uint16((size-0x38000000+0xFFF+size>>13&1)>>13)
	}
	// Below 2^-14 the result counts multiples of 2^-24: adding 0.5 puts them into the last bits, rounded by the adder.
	return sign | uint16(math.Float32bits(math.Float32frombits(size)+0.5)-math.Float32bits(0.5))
}

// F32FromF16 is exact.
func F32FromF16(bits uint16) float32 {
	sign, exponent, fraction := uint32(bits&0x8000)<<16, uint32(bits>>10&0x1F), uint32(bits&0x3FF)
	switch exponent {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1F:
		return math.Float32frombits(sign | 0x7F800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}
