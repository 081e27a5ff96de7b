// Package elementary is ln and exp in f64 with + - * / only, in one order of evaluation, so that every language prints the
// same digits: the libraries of the languages agree in the last digit only mostly.
package elementary

import "math"

const (
	ln2 = 0.6931471805599453
	// ln2High is the upper bits of ln 2: its product with an integer below 2^20 is exact.
	ln2High  = 0.6931471803691238
	ln2Low   = 1.9082149292705877e-10
	sqrtHalf = 0.7071067811865476
)

// NaturalLog is ln x for a positive normal number, within 4 ulp; NaN for NaN.
//
// x = m 2^e with m in [sqrt(1/2), sqrt(2)); with s = (m - 1)/(m + 1), ln m = 2 (s + s^3/3 + s^5/5 + ...). |s| < 0.172, so
// that the first term left out, s^25/25, is below 1e-20.
func NaturalLog(x float64) float64 {
	m, e := math.Frexp(x)
	if m < sqrtHalf {
		m, e = m*2, e-1
	}
	s := (m - 1) / (m + 1)
	y := s * s
	total := 0.0
	for k := 11; k >= 0; k-- {
		total = float64(total*y) + 1/float64(2*k+1)
	}
	return float64(float64(e)*ln2) + float64((2*s)*total)
}

// Exponential is e^x, within 2 ulp where that is a normal number; infinity above 709.78, 0 below -708, NaN for NaN.
//
// x = k ln 2 + r with |r| <= ln(2)/2, and e^r = 1 + r (1 + r/2 (1 + r/3 (...))). The first term left out, r^15/15!, is
// below 1e-18.
func Exponential(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > 709.78:
		return math.Inf(1)
	case x < -708:
		return 0
	}
	k := math.Floor(x/ln2 + 0.5)
	r := (x - float64(k*ln2High)) - float64(k*ln2Low)
	total := 1.0
	for n := 14; n > 0; n-- {
		total = 1 + float64(r*total)/float64(n)
	}
	return math.Ldexp(total, int(k))
}
