package tensor

import "math/bits"

// Random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011, section 3.3), a function of a counter: any number of any sequence without computing those before it.
//
// Key: the 64-bit seed, low word first. Counter: (index low, index high, stream, sub). One block is four 32-bit words.
// Integers only, so every device and language draws the same.

// The streams: the third word of the counter.
const (
	StreamInit = iota
	StreamData
	StreamSampling
	StreamRounding
)

// The sum of eight independent 16-bit halves has mean 8 * 65535 / 2 and deviation sqrt(8 (2^32 - 1) / 12).
const initMean = 262140

// Variables, so that the division is one of f64 and not of the compiler's exact arithmetic.
var (
	initDeviation = 53509.92
	initScale     = 0.02 / initDeviation
)

// Philox returns the four words of the block (index, stream, sub).
//
// Ten rounds; a round maps (x0, x1, x2, x3), keys (k0, k1) to
// (hi(M1 x2) ^ x1 ^ k0, lo(M1 x2), hi(M0 x0) ^ x3 ^ k1, lo(M0 x0)), then k0 += W0, k1 += W1.
func Philox(seed, index uint64, stream, sub uint32) [4]uint32 {
	const (
		m0, m1 = 0xD2511F53, 0xCD9E8D57 // the multipliers and key increments of the paper, section 3.3
		w0, w1 = 0x9E3779B9, 0xBB67AE85
		rounds = 10
	)
	k0, k1 := uint32(seed), uint32(seed>>32)
	x0, x1, x2, x3 := uint32(index), uint32(index>>32), stream, sub
	for range rounds {
		product0, product1 := uint64(x0)*m0, uint64(x2)*m1
		x0, x1 = uint32(product1>>32)^x1^k0, uint32(product1)
		x2, x3 = uint32(product0>>32)^x3^k1, uint32(product0)
		k0 += w0
		k1 += w1
	}
	return [4]uint32{x0, x1, x2, x3}
}

// DrawU64 is words 0 (low) and 1 (high) of the block (index, stream, sub) as one integer, uniform in [0, 2^64).
func DrawU64(seed, index uint64, stream, sub uint32) uint64 {
	words := Philox(seed, index, stream, sub)
	return uint64(words[0]) | uint64(words[1])<<32
}

// Uniform is the upper 24 bits of word 0 of the block (index, stream, sub), times 2^-24: in [0, 1).
func Uniform(seed, index uint64, stream, sub uint32) float32 {
	return float32(Philox(seed, index, stream, sub)[0]>>8) * 0x1p-24
}

// InitNormal is fresh weights: element `element` of tensor `number`, close to normal, deviation 0.02.
//
// (sum of the eight 16-bit halves of the block (element, init, number) - 262140) s with s = 0.02/53509.92, one f64
// division and one f64 product, rounded once to f32.
func InitNormal(seed, element uint64, number uint32) float32 {
	total := -initMean
	for _, word := range Philox(seed, element, StreamInit, number) {
		total += int(word&0xFFFF) + int(word>>16)
	}
	return float32(float64(total) * initScale)
}

// MulHi64 is the upper 64 bits of the 128-bit product: floor(a b / 2^64).
func MulHi64(a, b uint64) uint64 {
	high, _ := bits.Mul64(a, b)
	return high
}
