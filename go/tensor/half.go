package tensor

import "math"

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
