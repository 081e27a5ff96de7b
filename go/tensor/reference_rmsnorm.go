package tensor

import "math"

// RMSNorm (Zhang and Sennrich 2019), plain and with the residual added first.

func rmsnorm(op string, rows, cols int) *call {
	c := newCall(op)
	c.dims(named{"rows", rows}, named{"cols", cols})
	c.nothing = rows == 0 || cols == 0
	return c
}

// normed stores the norm of a row x and its 1 / sqrt(mean x^2 + eps).
func normed(y, rstd *referenceBuffer, row int, x []float32, w *referenceBuffer, eps float32) {
	scale := float32(1 / math.Sqrt(dot(x, x)/float64(len(x))+float64(eps)))
	rstd.set(row, scale)
	for i, value := range x {
		y.set(row*len(x)+i, value*scale*w.at(i))
	}
}

// RMSNormForward is documented at Ops.
func (r *Reference) RMSNormForward(y, rstd, x, w Buffer, rows, cols int, eps float64) error {
	c := rmsnorm("rmsnorm_forward", rows, cols)
	to, toRstd := c.out("y", y, dense(rows, cols), floats), c.out("rstd", rstd, dense(rows), onlyF32)
	values := c.in("x", x, dense(rows, cols), onlyF32)
	weight := c.in("w", w, dense(cols), floats)
	floor := c.real32("eps", eps, 0)
	return r.submit(c, func() {
		for row := range rows {
			normed(to, toRstd, row, values.row(row*cols, cols), weight, floor)
		}
	})
}

// RMSNormBackward is documented at Ops.
func (r *Reference) RMSNormBackward(dx, dw, dy, x, w, rstd Buffer, rows, cols int) error {
	c := rmsnorm("rmsnorm_backward", rows, cols)
	to, toW := c.out("dx", dx, dense(rows, cols), onlyF32), c.out("dw", dw, dense(cols), onlyF32)
	grad := c.in("dy", dy, dense(rows, cols), onlyF32, "dx")
	values := c.in("x", x, dense(rows, cols), onlyF32)
	weight := c.in("w", w, dense(cols), floats)
	scale := c.in("rstd", rstd, dense(rows), onlyF32)
	return r.submit(c, func() { rmsnormGradients(to, toW, grad, nil, values, weight, scale, rows, cols) })
}

// RMSNormResidualForward is documented at Ops.
func (r *Reference) RMSNormResidualForward(y, h, rstd, x, residual, w Buffer, rows, cols int, eps float64) error {
	c := rmsnorm("rmsnorm_residual_forward", rows, cols)
	to, toH := c.out("y", y, dense(rows, cols), floats), c.out("h", h, dense(rows, cols), onlyF32)
	toRstd := c.out("rstd", rstd, dense(rows), onlyF32)
	values := c.in("x", x, dense(rows, cols), onlyF32, "h")
	stream := c.in("residual", residual, dense(rows, cols), onlyF32, "h")
	weight := c.in("w", w, dense(cols), floats)
	floor := c.real32("eps", eps, 0)
	return r.submit(c, func() {
		for row := range rows {
			sum := values.row(row*cols, cols)
			for i, value := range stream.row(row*cols, cols) {
				sum[i] += value
			}
			toH.setRow(row*cols, sum)
			normed(to, toRstd, row, sum, weight, floor)
		}
	})
}

// RMSNormResidualBackward is documented at Ops.
func (r *Reference) RMSNormResidualBackward(dx, dw, dy, dh, h, w, rstd Buffer, rows, cols int) error {
	c := rmsnorm("rmsnorm_residual_backward", rows, cols)
	to, toW := c.out("dx", dx, dense(rows, cols), onlyF32), c.out("dw", dw, dense(cols), onlyF32)
	grad := c.in("dy", dy, dense(rows, cols), onlyF32, "dx")
	gradH := c.in("dh", dh, dense(rows, cols), onlyF32, "dx")
	values := c.in("h", h, dense(rows, cols), onlyF32)
	weight := c.in("w", w, dense(cols), floats)
	scale := c.in("rstd", rstd, dense(rows), onlyF32)
	return r.submit(c, func() { rmsnormGradients(to, toW, grad, gradH, values, weight, scale, rows, cols) })
}

// rmsnormGradients: with g = dy w, xh = x rstd: dx = rstd (g - xh mean(g xh)) (+ dh), dw += sum over rows of dy xh.
func rmsnormGradients(to, toW, grad, gradH, values, weight, scale *referenceBuffer, rows, cols int) {
	dw := make([]float64, cols)
	for row := range rows {
		rstd := float64(scale.at(row))
		dy, x := grad.row(row*cols, cols), values.row(row*cols, cols)
		mean := 0.0
		for i := range cols {
			xh := float64(x[i]) * rstd
			mean += float64(dy[i]) * float64(weight.at(i)) * xh
			dw[i] += float64(dy[i]) * xh
		}
		mean /= float64(cols)
		for i := range cols {
			dx := rstd * (float64(dy[i])*float64(weight.at(i)) - float64(x[i])*rstd*mean)
			if gradH != nil {
				dx += float64(gradH.at(row*cols + i))
			}
			to.set(row*cols+i, float32(dx))
		}
	}
	for i, sum := range dw {
		toW.set(i, float32(float64(toW.at(i))+sum))
	}
}
