package gobench

import "math"

// Plain loops over plain slices, as the formula is read, in f32 on one goroutine: what the language itself gives. A loop
// that would take long does its first rows only: share is how much of the work that is, and times are divided by it.

// mostSteps is the inner steps that a run does at most, or else a single row.
const mostSteps = 50_000_000

// loops does share of a case's work and leaves its outputs, in the order of the case's.
type loops struct {
	run     func()
	share   float64
	outputs [][]float32
}

func some(rows, stepsPerRow int) int { return max(1, min(rows, mostSteps/max(stepsPerRow, 1))) }

// Elementary functions are those of f64, rounded once: the only ones that Go has, and what Rust's loops call too.

func exp(x float32) float32  { return float32(math.Exp(float64(x))) }
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
func log(x float32) float32  { return float32(math.Log(float64(x))) }

var minusInfinity = float32(math.Inf(-1))

// naive holds the loops of a case, by its kind; s are its sizes in the order of operands.
var naive = map[string]func(s []int, inputs [][]float32) loops{
	"adamw": naiveAdamW, "attention": naiveAttention, "cross_entropy": naiveCrossEntropy, "matmul": naiveMatmul,
	"rmsnorm": naiveRMSNorm, "silu": naiveSiLU, "softmax": naiveSoftmax, "swiglu": naiveSwiGLU,
}

func naiveMatmul(s []int, inputs [][]float32) loops {
	m, n, k := s[0], s[1], s[2]
	rows := some(m, n*k)
	a, b, c := inputs[0], inputs[1], make([]float32, rows*n)
	run := func() {
		for i := range rows {
			for j := range n {
				total := float32(0)
				for p := range k {
					total += a[i*k+p] * b[p*n+j]
				}
				c[i*n+j] = total
			}
		}
	}
	return loops{run, float64(rows) / float64(m), [][]float32{c}}
}

func naiveSoftmax(s []int, inputs [][]float32) loops {
	all, cols := s[0], s[1]
	rows := some(all, 3*cols)
	y := make([]float32, rows*cols)
	run := func() {
		for i := range rows {
			x, y := inputs[0][i*cols:(i+1)*cols], y[i*cols:(i+1)*cols]
			largest := minusInfinity
			for _, v := range x {
				largest = max(largest, v)
			}
			total := float32(0)
			for j, v := range x {
				y[j] = exp(v - largest)
				total += y[j]
			}
			for j := range y {
				y[j] /= total
			}
		}
	}
	return loops{run, float64(rows) / float64(all), [][]float32{y}}
}

func naiveSiLU(s []int, inputs [][]float32) loops {
	n := some(s[0], 2)
	x, y := inputs[0][:n], make([]float32, n)
	run := func() {
		for i, v := range x {
			y[i] = v / (1 + exp(-v))
		}
	}
	return loops{run, float64(n) / float64(s[0]), [][]float32{y}}
}

func naiveSwiGLU(s []int, inputs [][]float32) loops {
	n := some(s[0], 3)
	gate, up, y := inputs[0][:n], inputs[1][:n], make([]float32, n)
	run := func() {
		for i, v := range gate {
			y[i] = v / (1 + exp(-v)) * up[i]
		}
	}
	return loops{run, float64(n) / float64(s[0]), [][]float32{y}}
}

func naiveRMSNorm(s []int, inputs [][]float32) loops {
	all, cols := s[0], s[1]
	rows := some(all, 2*cols)
	w, y, rstd := inputs[1], make([]float32, rows*cols), make([]float32, rows)
	run := func() {
		for i := range rows {
			x, y := inputs[0][i*cols:(i+1)*cols], y[i*cols:(i+1)*cols]
			total := float32(0)
			for _, v := range x {
				total += v * v
			}
			rstd[i] = 1 / sqrt(total/float32(cols)+1e-6)
			for j, v := range x {
				y[j] = v * rstd[i] * w[j]
			}
		}
	}
	return loops{run, float64(rows) / float64(all), [][]float32{y, rstd}}
}

// naiveAttention does the first queries of the first sequence, every head of each.
func naiveAttention(s []int, inputs [][]float32) loops {
	batch, seq, h, g, d := s[0], s[1], s[2], s[3], s[4]
	// Query t costs 2 (t + 1) h d steps.
	rows := max(1, min(seq, int(math.Sqrt(mostSteps/float64(h*d)))))
	q, k, v := inputs[0], inputs[1], inputs[2]
	out, lse, scores := make([]float32, rows*h*d), make([]float32, rows*h), make([]float32, rows)
	scale := 1 / sqrt(float32(d))
	run := func() {
		for t := range rows {
			for head := range h {
				kv, at := head*g/h, t*h+head
				largest := minusInfinity
				for p := range t + 1 {
					dot := float32(0)
					for i := range d {
						dot += q[at*d+i] * k[(p*g+kv)*d+i]
					}
					scores[p] = dot * scale
					largest = max(largest, scores[p])
				}
				total := float32(0)
				for p := range t + 1 {
					scores[p] = exp(scores[p] - largest)
					total += scores[p]
				}
				for i := range d {
					mixed := float32(0)
					for p := range t + 1 {
						mixed += scores[p] * v[(p*g+kv)*d+i]
					}
					out[at*d+i] = mixed / total
				}
				lse[at] = largest + log(total)
			}
		}
	}
	share := float64(rows) * float64(rows+1) / (float64(batch) * float64(seq) * float64(seq+1))
	return loops{run, share, [][]float32{out, lse}}
}

func naiveCrossEntropy(s []int, inputs [][]float32) loops {
	all, cols := s[0], s[1]
	rows := some(all, 4*cols)
	loss, dlogits := make([]float32, 1), make([]float32, rows*cols)
	run := func() {
		loss[0] = 0
		for i := range rows {
			x, dx := inputs[0][i*cols:(i+1)*cols], dlogits[i*cols:(i+1)*cols]
			largest := minusInfinity
			for _, v := range x {
				largest = max(largest, v)
			}
			total := float32(0)
			for j, v := range x {
				dx[j] = exp(v - largest)
				total += dx[j]
			}
			for j := range dx {
				dx[j] = dx[j] / total / float32(all)
			}
			dx[i%cols] -= 1 / float32(all)
			loss[0] += largest + log(total) - x[i%cols]
		}
	}
	return loops{run, float64(rows) / float64(all), [][]float32{loss, dlogits}}
}

// The constants of the first step of AdamW, where beta^t = beta.
const lr, beta1, beta2, eps, decay = 1e-3, 0.9, 0.95, 1e-8, 0.1

var rootOfBC2 = float32(math.Sqrt(1 - beta2))

func naiveAdamW(s []int, inputs [][]float32) loops {
	n := some(s[0], 8)
	param, m, grad, v := inputs[0][:n], inputs[1][:n], inputs[2][:n], make([]float32, n)
	run := func() {
		for i, g := range grad {
			m[i] = beta1*m[i] + (1-beta1)*g
			v[i] = beta2*v[i] + (1-beta2)*g*g
			step := lr / (1 - beta1) * m[i] / (sqrt(v[i])/rootOfBC2 + eps)
			param[i] = param[i]*(1-lr*decay) - step
		}
	}
	return loops{run, float64(n) / float64(s[0]), [][]float32{param, m, v}}
}
