package tensor

import (
	"encoding/binary"
	"math"
)

// Copies, casts, transposes and block quantization.

// quantizeBlock writes 32 values as a block of dtype: the f16 scale, then int8 (q8) or nibbles offset by 8 (q4).
func quantizeBlock(block []byte, x []float32, dtype DType) {
	half := blockScale(x, dtype)
	binary.LittleEndian.PutUint16(block, half)
	d := F32FromF16(half)
	for i, value := range x {
		q := 0.0
		if d != 0 {
			q = math.RoundToEven(float64(value / d))
		}
		if dtype == Q8 {
			block[2+i] = byte(int8(max(-128, min(127, q))))
			continue
		}
		nibble := byte(max(-8, min(7, q)) + 8)
		if i < 16 {
			block[2+i] = nibble
		} else {
			block[2+i-16] |= nibble << 4
		}
	}
}

// blockScale is max|x| / 127 (q8), or the element of largest magnitude / -8 (q4), as f16; not finite when x has a NaN.
func blockScale(x []float32, dtype DType) uint16 {
	peak := float32(0)
	for _, value := range x {
		if value != value {
			return F16FromF32(value)
		}
		if math.Abs(float64(value)) > math.Abs(float64(peak)) {
			peak = value
		}
	}
	if dtype == Q8 {
		return F16FromF32(float32(math.Abs(float64(peak))) / 127)
	}
	return F16FromF32(peak / -8)
}

// dequantizeBlock is the inverse: d q.
func dequantizeBlock(block []byte, dtype DType) (x [QuantBlock]float32) {
	d := F32FromF16(binary.LittleEndian.Uint16(block))
	for i := range x {
		switch {
		case dtype == Q8:
			x[i] = d * float32(int8(block[2+i]))
		case i < 16:
			x[i] = d * (float32(block[2+i]&15) - 8)
		default:
			x[i] = d * (float32(block[2+i-16]>>4) - 8)
		}
	}
	return x
}

func (c *call) blocks(n int) {
	c.require(n%QuantBlock == 0, "n is %d, expected a multiple of %d (a block of q8 or q4)", n, QuantBlock)
}

// Copy is documented at Ops.
func (r *Reference) Copy(y, x Buffer, n int) error {
	c := elementwise("copy", n)
	to := c.out("y", y, dense(n), anyDType)
	source := c.in("x", x, dense(n), anyDType)
	c.sameDType("x", source, "y", to)
	if to.dtype.IsQuantized() {
		c.blocks(n)
	}
	return r.submit(c, func() { copy(to.bytes[:to.dtype.Bytes(n)], source.bytes) })
}

// Cast is documented at Ops.
func (r *Reference) Cast(y, x Buffer, n int) error {
	c := elementwise("cast", n)
	to := c.out("y", y, dense(n), []DType{F32, BF16, F16, I32, I64})
	from := floats
	if !to.dtype.IsFloat() {
		from = []DType{I32, I64}
	}
	source := c.in("x", x, dense(n), from)
	return r.submit(c, func() {
		if to.dtype.IsFloat() {
			for i := range n {
				to.set(i, source.at(i))
			}
			return
		}
		values := make([]int64, n)
		for i := range values {
			if source.dtype == I64 {
				values[i] = source.i64s(n)[i]
			} else {
				values[i] = int64(source.i32s(n)[i])
			}
			if to.dtype == I32 && values[i] != int64(int32(values[i])) {
				r.report("%s: x[%d] is %d, which i32 does not hold", c.op, i, values[i])
				return
			}
		}
		for i, value := range values {
			if to.dtype == I64 {
				to.i64s(n)[i] = value
			} else {
				to.i32s(n)[i] = int32(value)
			}
		}
	})
}

// Pack is documented at Ops.
func (r *Reference) Pack(y, x Buffer, transpose bool, rows, cols, ldy, ldx int) error {
	c := newCall("pack")
	c.dims(named{"rows", rows}, named{"cols", cols}, named{"ldy", ldy}, named{"ldx", ldx})
	c.nothing = rows == 0 || cols == 0
	c.flag("transpose", transpose)
	to := c.out("y", y, c.matrix(rows, cols, "ldy", ldy), unquantized)
	xRows, xCols := swapped(transpose, rows, cols)
	source := c.in("x", x, c.matrix(xRows, xCols, "ldx", ldx), unquantized)
	c.sameDType("x", source, "y", to)
	return r.submit(c, func() {
		size := to.dtype.Bytes(1)
		rowStep, colStep := steps(transpose, ldx)
		for row := range rows {
			for col := range cols {
				at, from := size*(row*ldy+col), size*(row*rowStep+col*colStep)
				copy(to.bytes[at:at+size], source.bytes[from:])
			}
		}
	})
}

func quantization(op string, n int) *call {
	c := elementwise(op, n)
	c.blocks(n)
	return c
}

// Quantize is documented at Ops.
func (r *Reference) Quantize(y, x Buffer, n int) error {
	c := quantization("quantize", n)
	to := c.out("y", y, dense(n), quantized)
	source := c.in("x", x, dense(n), floats)
	return r.submit(c, func() {
		size, levels := to.dtype.Bytes(QuantBlock), 8
		if to.dtype == Q8 {
			levels = 127
		}
		for at := 0; at < n; at += QuantBlock {
			if half := blockScale(source.row(at, QuantBlock), to.dtype); half&0x7C00 == 0x7C00 {
				r.report("%s: x[%d] begins a block without a finite f16 scale, expected magnitudes of at most %d",
					c.op, at, 65504*levels)
				return
			}
		}
		for block := range n / QuantBlock {
			quantizeBlock(to.bytes[block*size:(block+1)*size], source.row(block*QuantBlock, QuantBlock), to.dtype)
		}
	})
}

// Dequantize is documented at Ops.
func (r *Reference) Dequantize(y, x Buffer, n int) error {
	c := quantization("dequantize", n)
	to := c.out("y", y, dense(n), floats)
	source := c.in("x", x, dense(n), quantized)
	return r.submit(c, func() {
		size := source.dtype.Bytes(QuantBlock)
		for block := range n / QuantBlock {
			values := dequantizeBlock(source.bytes[block*size:(block+1)*size], source.dtype)
			to.setRow(block*QuantBlock, values[:])
		}
	})
}
