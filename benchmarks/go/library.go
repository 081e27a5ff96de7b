package gobench

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// gonum as a careful user writes it: its BLAS in f32 (whose product uses all of GOMAXPROCS), memory made once, plain loops
// for what it lacks: the exponential, and all of silu and swiglu, which have no row here.
var library = map[string]func(s []int, inputs [][]float32) loops{
	"adamw": libraryAdamW, "attention": libraryAttention, "cross_entropy": libraryCrossEntropy, "matmul": libraryMatmul,
	"rmsnorm": libraryRMSNorm, "softmax": librarySoftmax,
}

// isThreaded says whether the product of matrices, the only part of it with threads, does the bulk of a kind.
func isThreaded(kind string) bool { return kind == "matmul" || kind == "attention" }

func general(data []float32, rows, cols, stride int) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: stride, Data: data}
}

func vector(data []float32) blas32.Vector { return blas32.Vector{N: len(data), Inc: 1, Data: data} }

func libraryMatmul(s []int, inputs [][]float32) loops {
	m, n, k := s[0], s[1], s[2]
	c := make([]float32, m*n)
	a, b, product := general(inputs[0], m, k, k), general(inputs[1], k, n, n), general(c, m, n, n)
	return loops{func() { blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, a, b, 0, product) }, 1, [][]float32{c}}
}

// exponentials is the largest of x; y becomes exp(x - largest), of which the sum is returned.
func exponentials(y, x []float32) (largest, total float32) {
	largest = minusInfinity
	for _, v := range x {
		largest = max(largest, v)
	}
	for j, v := range x {
		y[j] = exp(v - largest)
	}
	return largest, blas32.Asum(vector(y))
}

func librarySoftmax(s []int, inputs [][]float32) loops {
	rows, cols := s[0], s[1]
	y := make([]float32, rows*cols)
	run := func() {
		for i := range rows {
			row := y[i*cols : (i+1)*cols]
			_, total := exponentials(row, inputs[0][i*cols:(i+1)*cols])
			blas32.Scal(1/total, vector(row))
		}
	}
	return loops{run, 1, [][]float32{y}}
}

func libraryRMSNorm(s []int, inputs [][]float32) loops {
	rows, cols := s[0], s[1]
	w, y, rstd := inputs[1], make([]float32, rows*cols), make([]float32, rows)
	run := func() {
		for i := range rows {
			x, y := inputs[0][i*cols:(i+1)*cols], y[i*cols:(i+1)*cols]
			rstd[i] = 1 / sqrt(blas32.Dot(vector(x), vector(x))/float32(cols)+1e-6)
			for j, v := range x {
				y[j] = v * rstd[i] * w[j]
			}
		}
	}
	return loops{run, 1, [][]float32{y, rstd}}
}

func libraryAttention(s []int, inputs [][]float32) loops {
	batch, seq, h, g, d := s[0], s[1], s[2], s[3], s[4]
	out, lse := make([]float32, batch*seq*h*d), make([]float32, batch*seq*h)
	scores := general(make([]float32, seq*seq), seq, seq, seq)
	scale := float32(1 / math.Sqrt(float64(d)))
	run := func() {
		for b := range batch {
			for head := range h {
				own, shared := (b*seq*h+head)*d, (b*seq*g+head*g/h)*d
				q := general(inputs[0][own:], seq, d, h*d)
				k, v := general(inputs[1][shared:], seq, d, g*d), general(inputs[2][shared:], seq, d, g*d)
				blas32.Gemm(blas.NoTrans, blas.Trans, scale, q, k, 0, scores)
				for t := range seq {
					row := scores.Data[t*seq : (t+1)*seq]
					clear(row[t+1:])
					largest, total := exponentials(row[:t+1], row[:t+1])
					blas32.Scal(1/total, vector(row[:t+1]))
					lse[(b*seq+t)*h+head] = largest + log(total)
				}
				blas32.Gemm(blas.NoTrans, blas.NoTrans, 1, scores, v, 0, general(out[own:], seq, d, h*d))
			}
		}
	}
	return loops{run, 1, [][]float32{out, lse}}
}

func libraryCrossEntropy(s []int, inputs [][]float32) loops {
	rows, cols := s[0], s[1]
	loss, dlogits := make([]float32, 1), make([]float32, rows*cols)
	run := func() {
		loss[0] = 0
		for i := range rows {
			x, dx := inputs[0][i*cols:(i+1)*cols], dlogits[i*cols:(i+1)*cols]
			largest, total := exponentials(dx, x)
			blas32.Scal(1/(total*float32(rows)), vector(dx))
			dx[i%cols] -= 1 / float32(rows)
			loss[0] += largest + log(total) - x[i%cols]
		}
	}
	return loops{run, 1, [][]float32{loss, dlogits}}
}

func libraryAdamW(s []int, inputs [][]float32) loops {
	n := s[0]
	param, m, grad, v := inputs[0], inputs[1], inputs[2], make([]float32, n)
	run := func() {
		blas32.Scal(beta1, vector(m))
		blas32.Axpy(1-beta1, vector(grad), vector(m))
		blas32.Scal(beta2, vector(v))
		blas32.Scal(1-lr*decay, vector(param))
		for i, g := range grad {
			v[i] += (1 - beta2) * g * g
			param[i] -= lr / (1 - beta1) * m[i] / (sqrt(v[i])/rootOfBC2 + eps)
		}
	}
	return loops{run, 1, [][]float32{param, m, v}}
}
