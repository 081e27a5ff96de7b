package bench

import (
	"context"
	"math"
	"slices"

	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/train"
)

var kinds = map[string]func(*builder) Work{
	"adamw": adamw, "attention": attention, "call": call, "cross_entropy": crossEntropy, "decode": decode,
	"forward": forward, "matmul": matmul, "moe_layer": moeLayer, "prefill": prefill, "rmsnorm": rmsnorm, "silu": silu,
	"softmax": softmax, "swiglu": swiglu, "train": training,
}

func matmul(b *builder) Work {
	m, n, k := b.size("m"), b.size("n"), b.size("k")
	x, y, out := b.input(m*k), b.input(k*n), b.empty(tensor.F32, m*n)
	run := func() error { return b.be.GEMM(out, x, y, false, false, m, n, k, n, k, n, 1, 0) }
	return b.work(run, 2*float64(m)*float64(n)*float64(k), "flop", out)
}

func softmax(b *builder) Work {
	rows, cols := b.size("rows"), b.size("cols")
	x, y := b.input(rows*cols), b.empty(tensor.F32, rows*cols)
	run := func() error { return b.be.SoftmaxForward(y, x, rows, cols, cols, cols) }
	return b.work(run, 8*float64(rows*cols), "byte", y)
}

func silu(b *builder) Work {
	n := b.size("n")
	x, y := b.input(n), b.empty(tensor.F32, n)
	return b.work(func() error { return b.be.SiLUForward(y, x, n) }, float64(n), "element", y)
}

// call is one element: what remains is the call through the binding, its checks and its dispatch.
func call(b *builder) Work {
	x, y := b.input(1), b.empty(tensor.F32, 1)
	return b.work(func() error { return b.be.SiLUForward(y, x, 1) }, 1, "call", y)
}

func swiglu(b *builder) Work {
	n := b.size("n")
	gate, up, y := b.input(n), b.input(n), b.empty(tensor.F32, n)
	return b.work(func() error { return b.be.SwiGLUForward(y, gate, up, n) }, 12*float64(n), "byte", y)
}

func rmsnorm(b *builder) Work {
	rows, cols := b.size("rows"), b.size("cols")
	x, w := b.input(rows*cols), b.input(cols)
	y, rstd := b.empty(tensor.F32, rows*cols), b.empty(tensor.F32, rows)
	run := func() error { return b.be.RMSNormForward(y, rstd, x, w, rows, cols, 1e-6) }
	return b.work(run, 8*float64(rows*cols), "byte", y, rstd)
}

func attention(b *builder) Work {
	batch, seq, h, g, d := b.size("batch"), b.size("seq"), b.size("n_heads"), b.size("n_kv_heads"), b.size("head_dim")
	tokens := batch * seq
	q, k, v := b.input(tokens*h*d), b.input(tokens*g*d), b.input(tokens*g*d)
	out, lse := b.empty(tensor.F32, tokens*h*d), b.empty(tensor.F32, tokens*h)
	scale := 1 / math.Sqrt(float64(d))
	run := func() error {
		return b.be.AttentionForward(out, lse, q, k, v, nil, batch, seq, h, g, d, h*d, d, g*d, d, scale)
	}
	return b.work(run, 4*float64(batch*h*d)*float64(seq)*float64(seq+1)/2, "flop", out, lse)
}

func crossEntropy(b *builder) Work {
	rows, cols := b.size("rows"), b.size("cols")
	logits, dlogits := b.input(rows*cols), b.empty(tensor.F32, rows*cols)
	targets := filled(b, tensor.I32, counting(rows, cols))
	loss, losses, lse := b.empty(tensor.F32, 1), b.empty(tensor.F32, rows), b.empty(tensor.F32, rows)
	count := filled(b, tensor.I64, []int64{int64(rows)})
	run := func() error {
		return tensor.First(
			b.be.CrossEntropyForward(loss, losses, lse, logits, targets, rows, cols, cols),
			b.be.CrossEntropyBackward(dlogits, logits, lse, targets, count, rows, cols, cols),
		)
	}
	return b.work(run, 12*float64(rows*cols), "byte", loss, dlogits)
}

func adamw(b *builder) Work {
	n := b.size("n")
	param, m, grad, v := b.input(n), b.input(n), b.input(n), b.empty(tensor.F32, n)
	lr, scale := filled(b, tensor.F32, []float32{1e-3}), filled(b, tensor.F32, []float32{1})
	nonfinite, applied := b.empty(tensor.I32, 1), filled(b, tensor.I64, []int64{1})
	run := func() error {
		return b.be.AdamWStep(param, nil, m, v, grad, lr, scale, nonfinite, applied, nil, n, 0, 0.9, 0.95, 1e-8, 0.1)
	}
	return b.work(run, 28*float64(n), "byte", param, m, v)
}

// moeLayer is the first block's router and experts, with the weights of a fresh model.
func moeLayer(b *builder) Work {
	tokens := b.size("tokens")
	m := b.model(false)
	if m == nil {
		return Work{}
	}
	c, layer := m.Config, m.Blocks[0].MoE
	size := tokens * c.HiddenSize
	x, residual, y := b.input(size), b.input(size), b.empty(tensor.F32, size)
	flop := 2 * float64(tokens) * float64(c.HiddenSize) * float64(c.NExperts+3*c.TopK*c.FFNSize)
	return b.work(func() error { return layer.Forward(y, x, residual, tokens) }, flop, "flop", y)
}

func forward(b *builder) Work {
	batch, seq := b.size("batch"), b.size("seq")
	m := b.model(false)
	if m == nil {
		return Work{}
	}
	ids := filled(b, tensor.I32, counting(batch*seq, m.Config.VocabSize))
	var logits tensor.Buffer
	run := func() (err error) {
		logits, err = m.Forward(ids, batch, seq, nil)
		return err
	}
	w := b.work(run, float64(batch*seq), "token")
	w.Output = func() ([]byte, error) { return b.work(nil, 0, "", logits).Output() }
	return w
}

func training(b *builder) Work {
	batch, seq := b.size("batch"), b.size("seq")
	m := b.model(true)
	if m == nil {
		return Work{}
	}
	trainer, err := train.NewGpuTrainer(m, batch, seq, train.GpuTrainerOptions{})
	if err != nil {
		b.err = err
		return Work{}
	}
	b.closers = append(b.closers, trainer.Close)
	ids := counting(batch*seq, m.Config.VocabSize)
	targets := make([]int32, len(ids))
	for i := range targets { // each sequence, one place to the left
		targets[i] = ids[i/seq*seq+(i+1)%seq]
	}
	run := func() error {
		_, err := trainer.Step(ids, targets, 1e-4)
		return err
	}
	return b.work(run, float64(batch*seq), "token", m.Weights.Values)
}

// decode is new steps from skip tokens behind the prompt: the prompt and the first steps, which record what the others
// launch, are no part of the work. Every run goes back to the same position and makes the same tokens.
func decode(b *builder) Work {
	batch, prompt, skip, count := b.size("batch"), b.size("prompt"), b.size("skip"), b.size("new")
	m := b.model(false)
	if m == nil {
		return Work{}
	}
	steps := min(skip, math.MaxInt-count) + count // the largest integer where it is more
	prompts := promptsOf(batch, prompt, m.Config.VocabSize)
	g, err := model.NewGenerator(m, prompts, steps, model.Greedy, model.GeneratorOptions{IgnoreEos: true})
	if err != nil {
		b.err = err
		return Work{}
	}
	b.closers = append(b.closers, g.Close)
	err = g.Prefill(context.Background())
	for range skip {
		if err == nil {
			_, err = g.Step()
		}
	}
	ids, positions := make([]int32, batch), make([]int32, batch)
	b.err = tensor.First(
		err, b.be.Download(tensor.Bytes(ids), g.IDs, 0), b.be.Download(tensor.Bytes(positions), g.Cache.Positions, 0))
	made := make([]int32, batch*count) // a sequence's tokens behind one another
	run := func() error {
		if err := tensor.First(
			b.be.Upload(g.IDs, 0, tensor.Bytes(ids)), b.be.Upload(g.Cache.Positions, 0, tensor.Bytes(positions)),
		); err != nil {
			return err
		}
		for step := range count {
			tokens, err := g.Step()
			if err != nil {
				return err
			}
			for sequence, id := range tokens {
				made[sequence*count+step] = int32(id)
			}
		}
		return nil
	}
	output := func() ([]byte, error) { return slices.Clone(tensor.Bytes(made)), nil }
	return Work{Run: run, Units: float64(batch) * float64(count), Unit: "token", Output: output}
}

// prefill is a prompt up to its first new token, counted in tokens of the prompt.
func prefill(b *builder) Work {
	batch, prompt := b.size("batch"), b.size("prompt")
	m := b.model(false)
	if m == nil {
		return Work{}
	}
	prompts := promptsOf(batch, prompt, m.Config.VocabSize)
	var made [][]int
	run := func() (err error) {
		made, err = model.Generate(
			context.Background(), m, prompts, 1, model.Greedy, model.GeneratorOptions{IgnoreEos: true})
		return err
	}
	output := func() ([]byte, error) {
		var ids []int32
		for _, sequence := range made {
			for _, id := range sequence {
				ids = append(ids, int32(id))
			}
		}
		return tensor.Bytes(ids), nil
	}
	return Work{Run: run, Units: float64(batch) * float64(prompt), Unit: "token", Output: output}
}

// promptsOf has a prompt of its own for every sequence, so that a step of a batch meets as many experts as different texts
// do.
func promptsOf(batch, length, vocabSize int) [][]int {
	prompts := make([][]int, batch)
	for sequence := range prompts {
		prompts[sequence] = make([]int, length)
		for i := range prompts[sequence] {
			prompts[sequence][i] = (7*i + 131*sequence) % vocabSize
		}
	}
	return prompts
}
