package tensor

import (
	"math"
	"slices"
)

// Softmax and top-k over the columns of a matrix.

const mostTopK = 1024

// softmax is exp(x - max) / sum exp(x - max) of a row.
func softmax(x []float32) []float32 {
	most := maximum(x)
	y := make([]float32, len(x))
	sum := 0.0
	for i, value := range x {
		y[i] = exp32(value - most)
		sum += float64(y[i])
	}
	for i := range y {
		y[i] = float32(float64(y[i]) / sum)
	}
	return y
}

// softmaxGradient is y (dy - sum dy y) of a row.
func softmaxGradient(dy, y []float32) []float32 {
	sum := dot(dy, y)
	dx := make([]float32, len(y))
	for i := range dx {
		dx[i] = float32(float64(y[i]) * (float64(dy[i]) - sum))
	}
	return dx
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i, value := range a {
		sum += float64(value) * float64(b[i])
	}
	return sum
}

func logsumexp(x []float32) float32 {
	most := maximum(x)
	sum := 0.0
	for _, value := range x {
		sum += math.Exp(float64(value) - float64(most))
	}
	return float32(float64(most) + math.Log(sum))
}

// topK is the indices of the k largest of a row, descending, ties to the lower index; NaN orders below every number.
func topK(x []float32, k int) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case x[a] > x[b] || x[b] != x[b] && x[a] == x[a]:
			return -1
		case x[a] < x[b] || x[a] != x[a] && x[b] == x[b]:
			return 1
		}
		return 0
	})
	return order[:k]
}

// SoftmaxForward is documented at Ops.
func (r *Reference) SoftmaxForward(y, x Buffer, rows, cols, ldy, ldx int) error {
	c := newCall("softmax_forward")
	c.dims(named{"rows", rows}, named{"cols", cols}, named{"ldy", ldy}, named{"ldx", ldx})
	c.nothing = rows == 0 || cols == 0
	to := c.out("y", y, c.matrix(rows, cols, "ldy", ldy), onlyF32)
	values := c.in("x", x, c.matrix(rows, cols, "ldx", ldx), onlyF32, "y")
	return r.submit(c, func() {
		for row := range rows {
			to.setRow(row*ldy, softmax(values.row(row*ldx, cols)))
		}
	})
}

// SoftmaxBackward is documented at Ops.
func (r *Reference) SoftmaxBackward(dx, dy, y Buffer, rows, cols, ld int) error {
	c := newCall("softmax_backward")
	c.dims(named{"rows", rows}, named{"cols", cols}, named{"ld", ld})
	c.nothing = rows == 0 || cols == 0
	to := c.out("dx", dx, c.matrix(rows, cols, "ld", ld), onlyF32)
	grad := c.in("dy", dy, c.matrix(rows, cols, "ld", ld), onlyF32, "dx")
	probs := c.in("y", y, c.matrix(rows, cols, "ld", ld), onlyF32)
	return r.submit(c, func() {
		for row := range rows {
			to.setRow(row*ld, softmaxGradient(grad.row(row*ld, cols), probs.row(row*ld, cols)))
		}
	})
}

func topKCall(op string, rows, cols, ldx, k int) *call {
	c := newCall(op)
	c.dims(named{"rows", rows}, named{"cols", cols}, named{"ldx", ldx}, named{"k", k})
	c.nothing = rows == 0
	c.atLeast("k", k, 1)
	c.atMost("k", k, cols, "cols")
	c.atMost("k", k, mostTopK, "")
	c.fitsI32("cols", cols)
	return c
}

// chosen stores the k largest of a row and their columns.
func chosen(values, indices *referenceBuffer, row int, x []float32, k int) {
	columns := indices.i32s(indices.count)
	for j, column := range topK(x, k) {
		columns[row*k+j] = int32(column)
		values.set(row*k+j, x[column])
	}
}

// TopKForward is documented at Ops.
func (r *Reference) TopKForward(values, indices, x Buffer, rows, cols, ldx, k int) error {
	c := topKCall("top_k_forward", rows, cols, ldx, k)
	toValues := c.out("values", values, dense(rows, k), onlyF32)
	toIndices := c.out("indices", indices, dense(rows, k), onlyI32)
	source := c.in("x", x, c.matrix(rows, cols, "ldx", ldx), onlyF32)
	return r.submit(c, func() {
		for row := range rows {
			chosen(toValues, toIndices, row, source.row(row*ldx, cols), k)
		}
	})
}

// scattered is a row with values[row, j] in column columns[row, j], 0 elsewhere.
func scattered(values *referenceBuffer, columns []int32, row, cols, k int) []float32 {
	full := make([]float32, cols)
	for j := range k {
		full[columns[row*k+j]] = values.at(row*k + j)
	}
	return full
}

// TopKBackward is documented at Ops.
func (r *Reference) TopKBackward(dx, dvalues, indices Buffer, rows, cols, ldx, k int) error {
	c := topKCall("top_k_backward", rows, cols, ldx, k)
	to := c.out("dx", dx, c.matrix(rows, cols, "ldx", ldx), onlyF32)
	grad := c.in("dvalues", dvalues, dense(rows, k), onlyF32)
	index := c.in("indices", indices, dense(rows, k), onlyI32)
	return r.submit(c, func() {
		columns := index.i32s(rows * k)
		if !r.good(c.op, "indices", columns, 0, cols) {
			return
		}
		for row := range rows {
			to.setRow(row*ldx, scattered(grad, columns, row, cols, k))
		}
	})
}

// SoftmaxTopKForward is documented at Ops.
func (r *Reference) SoftmaxTopKForward(probs, values, indices, x Buffer, rows, cols, ldx, k int) error {
	c := topKCall("softmax_top_k_forward", rows, cols, ldx, k)
	toProbs := c.out("probs", probs, dense(rows, cols), onlyF32)
	toValues := c.out("values", values, dense(rows, k), onlyF32)
	toIndices := c.out("indices", indices, dense(rows, k), onlyI32)
	source := c.in("x", x, c.matrix(rows, cols, "ldx", ldx), onlyF32)
	return r.submit(c, func() {
		for row := range rows {
			p := softmax(source.row(row*ldx, cols))
			toProbs.setRow(row*cols, p)
			chosen(toValues, toIndices, row, p, k)
		}
	})
}

// SoftmaxTopKBackward is documented at Ops.
func (r *Reference) SoftmaxTopKBackward(dx, dvalues, indices, probs Buffer, rows, cols, ldx, k int) error {
	c := topKCall("softmax_top_k_backward", rows, cols, ldx, k)
	to := c.out("dx", dx, c.matrix(rows, cols, "ldx", ldx), onlyF32)
	grad := c.in("dvalues", dvalues, dense(rows, k), onlyF32)
	index := c.in("indices", indices, dense(rows, k), onlyI32)
	p := c.in("probs", probs, dense(rows, cols), onlyF32)
	return r.submit(c, func() {
		columns := index.i32s(rows * k)
		if !r.good(c.op, "indices", columns, 0, cols) {
			return
		}
		for row := range rows {
			to.setRow(row*ldx, softmaxGradient(scattered(grad, columns, row, cols, k), p.row(row*cols, cols)))
		}
	})
}
