package tensor

import "math"

// Elementwise ops: y[i] from the i-th elements of the inputs.

func sigmoid(x float32) float32 { return 1 / (1 + exp32(-x)) }

func silu(x float32) float32 { return x / (1 + exp32(-x)) }

// siluSlope is silu'(x) = s (1 + x (1 - s)), s = sigmoid(x).
func siluSlope(x float32) float32 {
	s := sigmoid(x)
	return s * (1 + x*(1-s))
}

func elementwise(op string, n int) *call {
	c := newCall(op)
	c.dims(named{"n", n})
	c.nothing = n == 0
	return c
}

// AddForward is documented at Ops.
func (r *Reference) AddForward(y, a, b Buffer, n int) error {
	c := elementwise("add_forward", n)
	to := c.out("y", y, dense(n), onlyF32)
	left := c.in("a", a, dense(n), onlyF32, "y")
	right := c.in("b", b, dense(n), onlyF32, "y")
	return r.submit(c, func() {
		for i := range n {
			to.set(i, left.at(i)+right.at(i))
		}
	})
}

// MulForward is documented at Ops.
func (r *Reference) MulForward(y, a, b Buffer, n int) error {
	c := elementwise("mul_forward", n)
	to := c.out("y", y, dense(n), onlyF32)
	left := c.in("a", a, dense(n), onlyF32, "y")
	right := c.in("b", b, dense(n), onlyF32, "y")
	return r.submit(c, func() {
		for i := range n {
			to.set(i, left.at(i)*right.at(i))
		}
	})
}

// MulBackward is documented at Ops.
func (r *Reference) MulBackward(da, db, dy, a, b Buffer, n int) error {
	c := elementwise("mul_backward", n)
	toA, toB := c.out("da", da, dense(n), onlyF32), c.out("db", db, dense(n), onlyF32)
	grad := c.in("dy", dy, dense(n), onlyF32)
	left, right := c.in("a", a, dense(n), onlyF32), c.in("b", b, dense(n), onlyF32)
	return r.submit(c, func() {
		for i := range n {
			toA.set(i, grad.at(i)*right.at(i))
			toB.set(i, grad.at(i)*left.at(i))
		}
	})
}

// ScaleForward is documented at Ops.
func (r *Reference) ScaleForward(y, x Buffer, n int, alpha float64) error {
	c := elementwise("scale_forward", n)
	to := c.out("y", y, dense(n), onlyF32)
	values := c.in("x", x, dense(n), onlyF32, "y")
	factor := c.real32("alpha", alpha, anyReal)
	return r.submit(c, func() {
		for i := range n {
			to.set(i, factor*values.at(i))
		}
	})
}

// SiLUForward is documented at Ops.
func (r *Reference) SiLUForward(y, x Buffer, n int) error {
	c := elementwise("silu_forward", n)
	to := c.out("y", y, dense(n), onlyF32)
	values := c.in("x", x, dense(n), onlyF32, "y")
	return r.submit(c, func() {
		for i := range n {
			to.set(i, silu(values.at(i)))
		}
	})
}

// SiLUBackward is documented at Ops.
func (r *Reference) SiLUBackward(dx, dy, x Buffer, n int) error {
	c := elementwise("silu_backward", n)
	to := c.out("dx", dx, dense(n), onlyF32)
	grad := c.in("dy", dy, dense(n), onlyF32, "dx")
	values := c.in("x", x, dense(n), onlyF32)
	return r.submit(c, func() {
		for i := range n {
			to.set(i, grad.at(i)*siluSlope(values.at(i)))
		}
	})
}

// SwiGLUForward is documented at Ops.
func (r *Reference) SwiGLUForward(y, gate, up Buffer, n int) error {
	c := elementwise("swiglu_forward", n)
	to := c.out("y", y, dense(n), floats)
	gates := c.in("gate", gate, dense(n), onlyF32, "y")
	ups := c.in("up", up, dense(n), onlyF32, "y")
	return r.submit(c, func() {
		for i := range n {
			to.set(i, silu(gates.at(i))*ups.at(i))
		}
	})
}

// SwiGLUBackward is documented at Ops.
func (r *Reference) SwiGLUBackward(dgate, dup, dy, gate, up Buffer, n int) error {
	c := elementwise("swiglu_backward", n)
	toGate, toUp := c.out("dgate", dgate, dense(n), onlyF32), c.out("dup", dup, dense(n), onlyF32)
	grad := c.in("dy", dy, dense(n), onlyF32)
	gates := c.in("gate", gate, dense(n), onlyF32, "dgate")
	ups := c.in("up", up, dense(n), onlyF32, "dup")
	return r.submit(c, func() {
		for i := range n {
			g, u, d := gates.at(i), ups.at(i), grad.at(i)
			toGate.set(i, d*u*siluSlope(g))
			toUp.set(i, d*silu(g))
		}
	})
}

// Fill is documented at Ops.
func (r *Reference) Fill(y Buffer, n int, value float64) error {
	c := elementwise("fill", n)
	to := c.out("y", y, dense(n), unquantized)
	c.fillValue("value", value, to.dtype)
	return r.submit(c, func() {
		switch to.dtype {
		case I32:
			fill(to.i32s(n), int32(value))
		case I64:
			fill(to.i64s(n), int64(value))
		case U8:
			fill(to.bytes[:n], uint8(value))
		default:
			for i := range n {
				to.set(i, float32(value))
			}
		}
	})
}

func fill[T any](values []T, value T) {
	for i := range values {
		values[i] = value
	}
}

// maximum is the largest of a row, NaN when it has one, -inf when it is empty.
func maximum(row []float32) float32 {
	most := math.Inf(-1)
	for _, x := range row {
		most = math.Max(most, float64(x))
	}
	return float32(most)
}
