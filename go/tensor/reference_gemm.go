package tensor

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// Matrix products: one, a batch, and grouped by offsets that live in a buffer. The products themselves are gonum's.

// narrower: operands of different dtypes are both read as the narrower one, by their significant bits; what comes out of
// blocks is f32.
func narrower(a, b *referenceBuffer) DType {
	if b.dtype.IsQuantized() {
		return a.dtype
	}
	width := map[DType]int{F32: 3, F16: 2, BF16: 1}
	if width[b.dtype] < width[a.dtype] {
		return b.dtype
	}
	return a.dtype
}

// dtypesOfB: blocks lie along k, so B may consist of them where its rows do.
func dtypesOfB(transposed bool) []DType {
	if transposed {
		return append(slices.Clone(floats), quantized...)
	}
	return floats
}

// wholeBlocks are dimensions along k.
func (c *call) wholeBlocks(b *referenceBuffer, dims ...named) {
	for _, dim := range dims {
		c.require(!b.dtype.IsQuantized() || dim.value%QuantBlock == 0,
			"%s is %d, expected a multiple of %d (a block of q8 or q4)", dim.name, dim.value, QuantBlock)
	}
}

// dequantized is a buffer of floats as it is, one of blocks as f32.
func dequantized(b *referenceBuffer) *referenceBuffer {
	if !b.dtype.IsQuantized() {
		return b
	}
	values := make([]float32, b.count)
	size := b.dtype.Bytes(QuantBlock)
	for block := range b.count / QuantBlock {
		x := dequantizeBlock(b.bytes[block*size:], b.dtype)
		copy(values[block*QuantBlock:], x[:])
	}
	return &referenceBuffer{dtype: F32, count: b.count, bytes: Bytes(values)}
}

// loadMatrix is [rows, cols] with element (i, j) at start + i rowStep + j colStep, rounded to dtype, times alpha.
func loadMatrix(b *referenceBuffer, start, rows, cols, rowStep, colStep int, dtype DType, alpha float32) []float32 {
	values := make([]float32, rows*cols)
	for i := range rows {
		for j := range cols {
			values[i*cols+j] = alpha * rounded(b.at(start+i*rowStep+j*colStep), dtype)
		}
	}
	return values
}

// product is a [m,k] times b [k,n].
func product(a, b []float32, m, n, k int) []float32 {
	c := make([]float32, m*n)
	if m == 0 || n == 0 || k == 0 {
		return c
	}
	if allFinite(a) && allFinite(b) {
		blas32.Gemm(blas.NoTrans, blas.NoTrans, 1,
			blas32.General{Rows: m, Cols: k, Stride: k, Data: a},
			blas32.General{Rows: k, Cols: n, Stride: n, Data: b},
			0, blas32.General{Rows: m, Cols: n, Stride: n, Data: c})
		return c
	}
	for i := range m { // gonum passes over zeros, and 0 times infinity is NaN
		for l := range k {
			for j := range n {
				c[i*n+j] += a[i*k+l] * b[l*n+j]
			}
		}
	}
	return c
}

func allFinite(values []float32) bool {
	for _, value := range values {
		if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
			return false
		}
	}
	return true
}

// storeMatrix: C = values + beta C; C is not read when beta is 0.
func storeMatrix(to *referenceBuffer, start, rows, cols, ld int, values []float32, beta float32) {
	for i := range rows {
		for j := range cols {
			at, value := start+i*ld+j, values[i*cols+j]
			if beta != 0 {
				value += beta * to.at(at)
			}
			to.set(at, value)
		}
	}
}

// steps is (row, column) steps of a matrix with leading dimension ld, stored as it is or transposed.
func steps(transposed bool, ld int) (row, column int) {
	if transposed {
		return 1, ld
	}
	return ld, 1
}

func swapped(swap bool, a, b int) (int, int) {
	if swap {
		return b, a
	}
	return a, b
}

// GEMM is documented at Ops.
func (r *Reference) GEMM(c, a, b Buffer, transA, transB bool, m, n, k, ldc, lda, ldb int, alpha, beta float64) error {
	s := newCall("gemm")
	s.dims(named{"m", m}, named{"n", n}, named{"k", k}, named{"ldc", ldc}, named{"lda", lda}, named{"ldb", ldb})
	s.flag("trans_a", transA)
	s.flag("trans_b", transB)
	s.nothing = m == 0 || n == 0
	cExtent := s.matrix(m, n, "ldc", ldc)
	aRows, aCols := swapped(transA, m, k)
	aExtent := s.matrix(aRows, aCols, "lda", lda)
	bRows, bCols := swapped(transB, k, n)
	bExtent := s.matrix(bRows, bCols, "ldb", ldb)
	to := s.out("c", c, cExtent, floats)
	left, right := s.in("a", a, aExtent, floats), s.in("b", b, bExtent, dtypesOfB(transB))
	s.wholeBlocks(right, named{"k", k}, named{"ldb", ldb})
	factor, keep := s.real32("alpha", alpha, anyReal), s.real32("beta", beta, anyReal)
	return r.submit(s, func() {
		dtype, right := narrower(left, right), dequantized(right)
		aRow, aCol := steps(transA, lda)
		bRow, bCol := steps(transB, ldb)
		x := loadMatrix(left, 0, m, k, aRow, aCol, dtype, factor)
		y := loadMatrix(right, 0, k, n, bRow, bCol, dtype, 1)
		storeMatrix(to, 0, m, n, ldc, product(x, y, m, n, k), keep)
	})
}

// GEMMBatched is documented at Ops.
func (r *Reference) GEMMBatched(
	c, a, b Buffer, transA, transB bool, batch, m, n, k, ldc, lda, ldb, strideC, strideA, strideB int, alpha, beta float64,
) error {
	s := newCall("gemm_batched")
	s.dims(named{"batch", batch}, named{"m", m}, named{"n", n}, named{"k", k})
	s.dims(named{"ldc", ldc}, named{"lda", lda}, named{"ldb", ldb})
	s.dims(named{"stride_c", strideC}, named{"stride_a", strideA}, named{"stride_b", strideB})
	s.flag("trans_a", transA)
	s.flag("trans_b", transB)
	s.nothing = batch == 0 || m == 0 || n == 0
	cExtent := s.repeated(batch, "stride_c", strideC, m, n, "ldc", ldc)
	aRows, aCols := swapped(transA, m, k)
	aExtent := s.repeated(batch, "stride_a", strideA, aRows, aCols, "lda", lda)
	bRows, bCols := swapped(transB, k, n)
	bExtent := s.repeated(batch, "stride_b", strideB, bRows, bCols, "ldb", ldb)
	to := s.out("c", c, cExtent, floats)
	left, right := s.in("a", a, aExtent, floats), s.in("b", b, bExtent, dtypesOfB(transB))
	s.wholeBlocks(right, named{"k", k}, named{"ldb", ldb}, named{"stride_b", strideB})
	factor, keep := s.real32("alpha", alpha, anyReal), s.real32("beta", beta, anyReal)
	return r.submit(s, func() {
		dtype, right := narrower(left, right), dequantized(right)
		aRow, aCol := steps(transA, lda)
		bRow, bCol := steps(transB, ldb)
		for i := range batch {
			x := loadMatrix(left, i*strideA, m, k, aRow, aCol, dtype, factor)
			y := loadMatrix(right, i*strideB, k, n, bRow, bCol, dtype, 1)
			storeMatrix(to, i*strideC, m, n, ldc, product(x, y, m, n, k), keep)
		}
	})
}

// GEMMGroupedRows is documented at Ops.
func (r *Reference) GEMMGroupedRows(
	c, a, b, offsets, aRows Buffer, transB bool, groups, m, n, k, aRowCount, ldc, lda, ldb, strideB int, beta float64,
) error {
	s := newCall("gemm_grouped_rows")
	s.dims(named{"groups", groups}, named{"m", m}, named{"n", n}, named{"k", k}, named{"a_row_count", aRowCount})
	s.dims(named{"ldc", ldc}, named{"lda", lda}, named{"ldb", ldb}, named{"stride_b", strideB})
	s.flag("trans_b", transB)
	s.nothing = groups == 0 || m == 0 || n == 0
	s.fitsI32("groups", groups)
	s.fitsI32("m", m)
	to := s.out("c", c, s.matrix(m, n, "ldc", ldc), floats)
	leftRows := m
	if aRows != nil {
		leftRows = aRowCount
	}
	left := s.in("a", a, s.matrix(leftRows, k, "lda", lda), floats)
	bRows, bCols := swapped(transB, k, n)
	right := s.in("b", b, s.repeated(groups, "stride_b", strideB, bRows, bCols, "ldb", ldb), dtypesOfB(transB))
	s.wholeBlocks(right, named{"k", k}, named{"ldb", ldb}, named{"stride_b", strideB})
	bounds := s.in("offsets", offsets, dense(groups+1), onlyI32)
	gather := s.inOrNone("a_rows", aRows, dense(m), onlyI32)
	keep := s.real32("beta", beta, anyReal)
	return r.submit(s, func() {
		ends := r.offsets(s.op, bounds, groups, m)
		if ends == nil || !r.goodRows(s.op, "a_rows", gather, ends[groups], aRowCount) {
			return
		}
		dtype, right := narrower(left, right), dequantized(right)
		bRow, bCol := steps(transB, ldb)
		for g := range groups {
			begin, count := ends[g], ends[g+1]-ends[g]
			x := gathered(left, gather, begin, count, k, lda, dtype)
			y := loadMatrix(right, g*strideB, k, n, bRow, bCol, dtype, 1)
			storeMatrix(to, begin*ldc, count, n, ldc, product(x, y, count, n, k), keep)
		}
	})
}

// GEMMGroupedInner is documented at Ops.
func (r *Reference) GEMMGroupedInner(
	c, a, b, offsets, bRows Buffer, groups, m, n, k, bRowCount, ldc, lda, ldb, strideC int, beta float64,
) error {
	s := newCall("gemm_grouped_inner")
	s.dims(named{"groups", groups}, named{"m", m}, named{"n", n}, named{"k", k}, named{"b_row_count", bRowCount})
	s.dims(named{"ldc", ldc}, named{"lda", lda}, named{"ldb", ldb}, named{"stride_c", strideC})
	s.nothing = groups == 0 || m == 0 || n == 0
	s.fitsI32("groups", groups)
	s.fitsI32("k", k)
	to := s.out("c", c, s.repeated(groups, "stride_c", strideC, m, n, "ldc", ldc), floats)
	left := s.in("a", a, s.matrix(k, m, "lda", lda), floats)
	rightRows := k
	if bRows != nil {
		rightRows = bRowCount
	}
	right := s.in("b", b, s.matrix(rightRows, n, "ldb", ldb), floats)
	bounds := s.in("offsets", offsets, dense(groups+1), onlyI32)
	gather := s.inOrNone("b_rows", bRows, dense(k), onlyI32)
	keep := s.real32("beta", beta, anyReal)
	return r.submit(s, func() {
		ends := r.offsets(s.op, bounds, groups, k)
		if ends == nil || !r.goodRows(s.op, "b_rows", gather, ends[groups], bRowCount) {
			return
		}
		dtype := narrower(left, right)
		for g := range groups {
			begin, count := ends[g], ends[g+1]-ends[g]
			x := loadMatrix(left, begin*lda, m, count, 1, lda, dtype, 1)
			y := gathered(right, gather, begin, count, n, ldb, dtype)
			storeMatrix(to, g*strideC, m, n, ldc, product(x, y, m, n, count), keep)
		}
	})
}

// gathered is rows [begin, begin + count) of b, or those that gather names there.
func gathered(b, gather *referenceBuffer, begin, count, cols, ld int, dtype DType) []float32 {
	if gather == nil {
		return loadMatrix(b, begin*ld, count, cols, ld, 1, dtype, 1)
	}
	var values []float32
	for _, row := range gather.i32s(begin + count)[begin:] {
		values = append(values, loadMatrix(b, int(row)*ld, 1, cols, ld, 1, dtype, 1)...)
	}
	return values
}

func (r *Reference) goodRows(op, name string, gather *referenceBuffer, used, limit int) bool {
	return gather == nil || r.good(op, name, gather.i32s(used), 0, limit)
}

// offsets is the group boundaries, or nil when they do not ascend from 0 to at most `most`.
func (r *Reference) offsets(op string, bounds *referenceBuffer, groups, most int) []int {
	ends := make([]int, groups+1)
	for g, value := range bounds.i32s(groups + 1) {
		least, limit := 0, 0
		if g > 0 {
			least, limit = ends[g-1], most
		}
		if int(value) < least || limit < int(value) {
			r.report("%s: offsets[%d] is %d, expected offsets that ascend from 0 to at most %d", op, g, value, limit)
			return nil
		}
		ends[g] = int(value)
	}
	return ends
}
