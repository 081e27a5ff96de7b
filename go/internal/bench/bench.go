// Package bench runs the cases of benchmarks/cases.json on a backend and keeps every sample.
package bench

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/train"
)

const bootstrap = 2000

// work is what a case times: Run does what units stands for, once; the units give the rate (flop, byte, element or
// token).
type work struct {
	run   func() error
	units float64
	unit  string
}

// Protocol is how a case is timed: runs before timing, timed samples, and the time after which no further one is begun.
type Protocol struct {
	Warmup  int
	Samples int
	Seconds float64
}

// ReadProtocol: Errors: field_missing, field_wrong_type, config_bad_value.
func ReadProtocol(cases *jsonstrict.Fields) (Protocol, error) {
	if version := cases.Integer("version"); version != 1 {
		cases.Fail(messages.ConfigBadValue(cases.Where, "version", strconv.Itoa(version), "1"))
	}
	how := Protocol{atLeast(cases, "warmup", 0), atLeast(cases, "samples", 1), cases.Number("seconds")}
	return how, cases.Err()
}

// atLeast is an integer, or least with an error. Errors: field_missing, field_wrong_type, config_bad_value.
func atLeast(fields *jsonstrict.Fields, name string, least int) int {
	value := fields.Integer(name)
	if value < least {
		fields.Fail(messages.ConfigBadValue(fields.Where, name, strconv.Itoa(value), "at least "+strconv.Itoa(least)))
		return least
	}
	return value
}

// Measure is one case's row: name, samples in seconds, their median with a bootstrap 95% interval, and the rate.
//
// Errors: config_bad_value for an unknown kind or a size below 1, unknown_preset, those of the model and the device.
func Measure(backend tensor.Backend, entry *jsonstrict.Fields, how Protocol) (*jsonstrict.Object, error) {
	kind := entry.String("kind")
	name := entry.String("name")
	make, known := kinds[kind]
	if !known && entry.Err() == nil {
		expected := "one of " + strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
		entry.Fail(messages.ConfigBadValue(entry.Where, "kind", kind, expected))
	}
	if err := entry.Err(); err != nil {
		return nil, err
	}
	c := &builder{be: backend, fields: entry}
	w := make(c)
	defer c.close()
	if err := tensor.First(entry.Err(), c.err); err != nil {
		return nil, err
	}
	once := func() error { return tensor.First(w.run(), backend.Synchronize()) }
	for range how.Warmup {
		if err := once(); err != nil {
			return nil, err
		}
	}
	var samples []float64
	started := time.Now()
	for len(samples) < how.Samples && (len(samples) < 3 || time.Since(started).Seconds() < how.Seconds) {
		begin := time.Now()
		if err := once(); err != nil {
			return nil, err
		}
		samples = append(samples, time.Since(begin).Seconds())
	}
	middle := median(samples)
	low, high := interval(samples)
	kept := []jsonstrict.Value{}
	for _, sample := range samples {
		kept = append(kept, sample)
	}
	return jsonstrict.NewObject(
		"name", name,
		"samples", kept,
		"median", middle,
		"low", low,
		"high", high,
		"rate", w.units/middle,
		"unit", w.unit+"/s",
	), nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// interval is the bootstrap 95% interval of the median (Efron 1979), with a fixed seed.
func interval(samples []float64) (low, high float64) {
	random := rand.New(rand.NewPCG(0, 0))
	medians := make([]float64, bootstrap)
	drawn := make([]float64, len(samples))
	for i := range medians {
		for j := range drawn {
			drawn[j] = samples[random.IntN(len(samples))]
		}
		medians[i] = median(drawn)
	}
	slices.Sort(medians)
	at := func(q float64) float64 { return medians[int(math.Round(q*float64(bootstrap-1)))] }
	return at(0.025), at(0.975)
}

// builder makes the buffers of a case and keeps the first error.
type builder struct {
	be      tensor.Backend
	fields  *jsonstrict.Fields
	closers []func() error
	err     error
}

func (c *builder) fail(err error) { c.err = tensor.First(c.err, err) }

func (c *builder) close() {
	for _, closer := range slices.Backward(c.closers) {
		c.fail(closer())
	}
}

func (c *builder) keep(buffer tensor.Buffer, err error) tensor.Buffer {
	c.fail(err)
	if err == nil {
		c.closers = append(c.closers, buffer.Close)
	}
	return buffer
}

func (c *builder) empty(dtype tensor.DType, count int) tensor.Buffer {
	return c.keep(c.be.Buffer(dtype, count))
}

// random is uniform in [-1, 1).
func (c *builder) random(count int) tensor.Buffer {
	random := rand.New(rand.NewPCG(uint64(count), 0))
	values := make([]float32, count)
	for i := range values {
		values[i] = random.Float32()*2 - 1
	}
	return c.keep(tensor.BufferOf(c.be, tensor.F32, values))
}

func counting(count, modulus int) []int32 {
	values := make([]int32, count)
	for i := range values {
		values[i] = int32(i % modulus)
	}
	return values
}

func (c *builder) config() model.MoEConfig {
	config, err := model.Preset(c.fields.String("config"))
	c.fail(tensor.First(c.fields.Err(), err))
	return config
}

func (c *builder) model(training bool) *model.MoETransformer {
	config := c.config()
	if c.err != nil {
		return nil
	}
	m, err := model.NewMoETransformer(config, c.be, model.Options{Training: training})
	if err != nil {
		c.fail(err)
		return nil
	}
	c.closers = append(c.closers, m.Close)
	return m
}

// size is a dimension of the case.
func (c *builder) size(name string) int { return atLeast(c.fields, name, 1) }

var kinds = map[string]func(*builder) work{
	"matmul": func(c *builder) work {
		m, n, k := c.size("m"), c.size("n"), c.size("k")
		a, b, out := c.random(m*k), c.random(k*n), c.empty(tensor.F32, m*n)
		run := func() error { return c.be.GEMM(out, a, b, false, false, m, n, k, n, k, n, 1, 0) }
		return work{run, 2 * float64(m) * float64(n) * float64(k), "flop"}
	},
	"softmax": func(c *builder) work {
		rows, cols := c.size("rows"), c.size("cols")
		x, y := c.random(rows*cols), c.empty(tensor.F32, rows*cols)
		return work{func() error { return c.be.SoftmaxForward(y, x, rows, cols, cols, cols) }, 8 * float64(rows*cols), "byte"}
	},
	"silu": func(c *builder) work {
		n := c.size("n")
		x, y := c.random(n), c.empty(tensor.F32, n)
		return work{func() error { return c.be.SiLUForward(y, x, n) }, float64(n), "element"}
	},
	"swiglu": func(c *builder) work {
		n := c.size("n")
		gate, up, y := c.random(n), c.random(n), c.empty(tensor.F32, n)
		return work{func() error { return c.be.SwiGLUForward(y, gate, up, n) }, 12 * float64(n), "byte"}
	},
	"rmsnorm": func(c *builder) work {
		rows, cols := c.size("rows"), c.size("cols")
		x, w := c.random(rows*cols), c.random(cols)
		y, rstd := c.empty(tensor.F32, rows*cols), c.empty(tensor.F32, rows)
		return work{func() error { return c.be.RMSNormForward(y, rstd, x, w, rows, cols, 1e-6) }, 8 * float64(rows*cols), "byte"}
	},
	"attention": func(c *builder) work {
		batch, seq, d := c.size("batch"), c.size("seq"), c.size("head_dim")
		h, g := c.size("n_heads"), c.size("n_kv_heads")
		tokens := batch * seq
		q, k, v := c.random(tokens*h*d), c.random(tokens*g*d), c.random(tokens*g*d)
		out, lse := c.empty(tensor.F32, tokens*h*d), c.empty(tensor.F32, tokens*h)
		scale := 1 / math.Sqrt(float64(d))
		run := func() error {
			return c.be.AttentionForward(out, lse, q, k, v, nil, batch, seq, h, g, d, h*d, d, g*d, d, scale)
		}
		return work{run, 4 * float64(batch*h*d) * float64(seq) * float64(seq+1) / 2, "flop"}
	},
	"cross_entropy": func(c *builder) work {
		rows, cols := c.size("rows"), c.size("cols")
		logits, dlogits := c.random(rows*cols), c.empty(tensor.F32, rows*cols)
		targets := c.keep(tensor.BufferOf(c.be, tensor.I32, counting(rows, max(cols, 1))))
		loss, losses, lse := c.empty(tensor.F32, 1), c.empty(tensor.F32, rows), c.empty(tensor.F32, rows)
		count := c.keep(tensor.BufferOf(c.be, tensor.I64, []int64{int64(rows)}))
		run := func() error {
			return tensor.First(
				c.be.CrossEntropyForward(loss, losses, lse, logits, targets, rows, cols, cols),
				c.be.CrossEntropyBackward(dlogits, logits, lse, targets, count, rows, cols, cols),
			)
		}
		return work{run, 12 * float64(rows*cols), "byte"}
	},
	"adamw": func(c *builder) work {
		n := c.size("n")
		param, m, grad, v := c.random(n), c.random(n), c.random(n), c.empty(tensor.F32, n)
		lr := c.keep(tensor.BufferOf(c.be, tensor.F32, []float32{1e-3}))
		scale := c.keep(tensor.BufferOf(c.be, tensor.F32, []float32{1}))
		nonfinite := c.empty(tensor.I32, 1)
		applied := c.keep(tensor.BufferOf(c.be, tensor.I64, []int64{1}))
		run := func() error {
			return c.be.AdamWStep(param, nil, m, v, grad, lr, scale, nonfinite, applied, nil, n, 0, 0.9, 0.95, 1e-8, 0.1)
		}
		return work{run, 28 * float64(n), "byte"}
	},
	"forward": func(c *builder) work {
		batch, seq := c.size("batch"), c.size("seq")
		m := c.model(false)
		if m == nil {
			return work{}
		}
		ids := c.keep(tensor.BufferOf(c.be, tensor.I32, counting(batch*seq, m.Config.VocabSize)))
		run := func() error {
			_, err := m.Forward(ids, batch, seq, nil)
			return err
		}
		return work{run, float64(batch * seq), "token"}
	},
	"train": func(c *builder) work {
		batch, seq := c.size("batch"), c.size("seq")
		m := c.model(true)
		if m == nil {
			return work{}
		}
		trainer, err := train.NewGpuTrainer(m, batch, seq, train.GpuTrainerOptions{})
		if err != nil {
			c.fail(err)
			return work{}
		}
		c.closers = append(c.closers, trainer.Close)
		ids := counting(batch*seq, m.Config.VocabSize)
		targets := make([]int32, len(ids))
		for i := range targets {
			targets[i] = ids[i/seq*seq+(i+1)%seq]
		}
		run := func() error {
			_, err := trainer.Step(ids, targets, 1e-4)
			return err
		}
		return work{run, float64(batch * seq), "token"}
	},
	"decode": func(c *builder) work {
		prompt, count := c.size("prompt"), c.size("new")
		m := c.model(false)
		if m == nil {
			return work{}
		}
		ids := make([]int, prompt)
		for i := range ids {
			ids[i] = 7 * i % m.Config.VocabSize
		}
		run := func() error {
			_, err := model.Generate(
				context.Background(), m, [][]int{ids}, count, model.Greedy, model.GeneratorOptions{IgnoreEos: true})
			return err
		}
		return work{run, float64(count), "token"}
	},
}
