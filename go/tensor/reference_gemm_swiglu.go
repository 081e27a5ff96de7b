package tensor

// The experts' grouped products with SwiGLU in their epilogue, and the gradient.

// GEMMGroupedSwiGLUForward is documented at Ops.
func (r *Reference) GEMMGroupedSwiGLUForward(
	y, gate, up, a, wGate, wUp, offsets, aRows Buffer, groups, m, n, k, aRowCount, ldc, lda, ldb, strideB int,
) error {
	s := newCall("gemm_grouped_swiglu_forward")
	s.dims(named{"groups", groups}, named{"m", m}, named{"n", n}, named{"k", k}, named{"a_row_count", aRowCount})
	s.dims(named{"ldc", ldc}, named{"lda", lda}, named{"ldb", ldb}, named{"stride_b", strideB})
	s.nothing = groups == 0 || m == 0 || n == 0
	s.fitsI32("groups", groups)
	s.fitsI32("m", m)
	result := s.matrix(m, n, "ldc", ldc)
	to := s.out("y", y, result, floats)
	var toGate, toUp *referenceBuffer
	kept := gate != nil || up != nil // one of them alone serves nobody
	if kept {
		toGate, toUp = s.out("gate", gate, result, onlyF32), s.out("up", up, result, onlyF32)
	}
	leftRows := m
	if aRows != nil {
		leftRows = aRowCount
	}
	left := s.in("a", a, s.matrix(leftRows, k, "lda", lda), floats)
	weights := s.repeated(groups, "stride_b", strideB, n, k, "ldb", ldb)
	rightGate := s.in("w_gate", wGate, weights, dtypesOfB(true))
	rightUp := s.in("w_up", wUp, weights, dtypesOfB(true))
	s.sameDType("w_up", rightUp, "w_gate", rightGate)
	s.wholeBlocks(rightGate, named{"k", k}, named{"ldb", ldb}, named{"stride_b", strideB})
	bounds := s.in("offsets", offsets, dense(groups+1), onlyI32)
	gather := s.inOrNone("a_rows", aRows, dense(m), onlyI32)
	return r.submit(s, func() {
		ends := r.offsets(s.op, bounds, groups, m)
		if ends == nil || !r.goodRows(s.op, "a_rows", gather, ends[groups], aRowCount) {
			return
		}
		dtype, rightGate, rightUp := narrower(left, rightGate), dequantized(rightGate), dequantized(rightUp)
		for g := range groups {
			begin, count := ends[g], ends[g+1]-ends[g]
			x := gathered(left, gather, begin, count, k, lda, dtype)
			gates := product(x, loadMatrix(rightGate, g*strideB, k, n, 1, ldb, dtype, 1), count, n, k)
			ups := product(x, loadMatrix(rightUp, g*strideB, k, n, 1, ldb, dtype, 1), count, n, k)
			values := make([]float32, count*n)
			for i := range values {
				values[i] = silu(gates[i]) * ups[i]
			}
			storeMatrix(to, begin*ldc, count, n, ldc, values, 0)
			if kept {
				storeMatrix(toGate, begin*ldc, count, n, ldc, gates, 0)
				storeMatrix(toUp, begin*ldc, count, n, ldc, ups, 0)
			}
		}
	})
}

// GEMMGroupedSwiGLUBackward is documented at Ops.
func (r *Reference) GEMMGroupedSwiGLUBackward(
	dgate, dup, a, wDown, offsets, gate, up Buffer, groups, m, n, k, ldc, lda, ldb, strideB int,
) error {
	s := newCall("gemm_grouped_swiglu_backward")
	s.dims(named{"groups", groups}, named{"m", m}, named{"n", n}, named{"k", k})
	s.dims(named{"ldc", ldc}, named{"lda", lda}, named{"ldb", ldb}, named{"stride_b", strideB})
	s.nothing = groups == 0 || m == 0 || n == 0
	s.fitsI32("groups", groups)
	s.fitsI32("m", m)
	result := s.matrix(m, n, "ldc", ldc)
	toGate, toUp := s.out("dgate", dgate, result, onlyF32), s.out("dup", dup, result, onlyF32)
	left := s.in("a", a, s.matrix(m, k, "lda", lda), floats)
	right := s.in("w_down", wDown, s.repeated(groups, "stride_b", strideB, k, n, "ldb", ldb), floats)
	bounds := s.in("offsets", offsets, dense(groups+1), onlyI32)
	gates := s.in("gate", gate, result, onlyF32, "dgate")
	ups := s.in("up", up, result, onlyF32, "dup")
	return r.submit(s, func() {
		ends := r.offsets(s.op, bounds, groups, m)
		if ends == nil {
			return
		}
		dtype := narrower(left, right)
		for g := range groups {
			begin, count := ends[g], ends[g+1]-ends[g]
			x := loadMatrix(left, begin*lda, count, k, lda, 1, dtype, 1)
			dy := product(x, loadMatrix(right, g*strideB, k, n, ldb, 1, dtype, 1), count, n, k)
			for i := range count {
				for j := range n {
					at := (begin+i)*ldc + j
					p, q, d := gates.at(at), ups.at(at), dy[i*n+j]
					toGate.set(at, d*q*siluSlope(p))
					toUp.set(at, d*silu(p))
				}
			}
		}
	})
}
