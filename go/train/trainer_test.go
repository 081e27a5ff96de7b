package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

// prepared is a small folder of tokens, one per byte.
func prepared(t testing.TB) *Data {
	t.Helper()
	texts := t.TempDir()
	for _, name := range []string{"a.txt", "b.txt", "c.txt"} {
		text := strings.Repeat("the quick brown fox jumps over the lazy dog; "+name+"\n", 20)
		if err := os.WriteFile(filepath.Join(texts, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "data")
	if _, err := Prepare(context.Background(), []string{texts}, out, tokenizer.Bytes(), nil); err != nil {
		t.Fatal(err)
	}
	data, err := LoadData(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	return data
}

func TestPrepared(t *testing.T) {
	data := prepared(t)
	if data.VocabSize != 259 || data.EosID != 2 || len(data.Train.IDs) != data.Train.Bytes+2 || len(data.Heldout.IDs) == 0 {
		t.Errorf("got %d tokens of %d bytes, vocabulary %d", len(data.Train.IDs), data.Train.Bytes, data.VocabSize)
	}
	total := 0
	ids, targets := make([]int32, 3*7), make([]int32, 3*7)
	for first := 0; first < data.Train.NWindows(7); first += 2 {
		data.Train.Windows(ids, targets, []int{first, first + 1}, 3, 7)
		for _, target := range targets {
			if target != Ignored {
				total++
			}
		}
	}
	if total != len(data.Train.IDs)-1 {
		t.Errorf("the windows count %d of %d tokens", total, len(data.Train.IDs)-1)
	}
}

func newTrainer(t *testing.T, backend tensor.Backend, data *Data, options TrainOptions, out string) *Trainer {
	t.Helper()
	m, err := model.NewMoETransformer(model.TinyMoEConfig(), backend, model.Options{Training: true, Seed: options.Seed})
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := NewTrainer(m, data, options, out, nil)
	if err != nil {
		t.Fatal(err)
	}
	return trainer
}

func shortRun() TrainOptions {
	options := DefaultTrainOptions(6)
	options.Batch, options.SeqLen, options.Accumulate, options.Seed = 2, 16, 2, 3
	return options
}

func run(t *testing.T, trainer *Trainer, ctx context.Context, hooks Hooks) bool {
	t.Helper()
	complete, err := trainer.Run(ctx, hooks)
	if err := tensor.First(err, trainer.Close(), trainer.Model.Close()); err != nil {
		t.Fatal(err)
	}
	return complete
}

// A run that is cancelled and resumed is the run, byte for byte.
func TestResume(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		data := prepared(t)
		whole, parts := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "parts")
		if !run(t, newTrainer(t, backend, data, shortRun(), whole), context.Background(), Hooks{}) {
			t.Fatal("the run is not complete")
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		stop := Hooks{OnStep: func(m StepMetrics) {
			if m.Step == 2 {
				cancel()
			}
		}}
		if run(t, newTrainer(t, backend, data, shortRun(), parts), ctx, stop) {
			t.Fatal("it was not cancelled")
		}
		checkpoint, err := model.LoadCheckpoint(parts)
		if err != nil {
			t.Fatal(err)
		}
		defer checkpoint.Close()
		options, err := StoredOptions(checkpoint)
		if err != nil || options != shortRun() {
			t.Fatalf("stored as %+v, %v", options, err)
		}
		m, err := model.LoadMoETransformer(parts, backend, model.LoadOptions{Training: true})
		if err != nil {
			t.Fatal(err)
		}
		again, err := NewTrainer(m, data, options, parts, checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		if again.Step != 2 || !run(t, again, context.Background(), Hooks{}) {
			t.Fatal("the resumed run is not complete")
		}
		for _, name := range []string{"model.safetensors", "optimizer.safetensors", "trainer_state.json", "config.json", "tokenizer.json"} {
			a, errA := os.ReadFile(filepath.Join(whole, name))
			b, errB := os.ReadFile(filepath.Join(parts, name))
			if err := tensor.First(errA, errB); err != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs (%v)", name, err)
			}
		}
		png := filepath.Join(parts, "loss.png")
		if err := PlotLoss(filepath.Join(parts, "metrics.jsonl"), png); err != nil {
			t.Error(err)
		}
		if image, err := os.ReadFile(png); err != nil || !bytes.HasPrefix(image, []byte("\x89PNG")) {
			t.Errorf("loss.png: %v", err)
		}
	})
}

func TestResumeRefusesOtherData(t *testing.T) {
	backend := tensor.NewReference()
	data := prepared(t)
	out := filepath.Join(t.TempDir(), "out")
	run(t, newTrainer(t, backend, data, shortRun(), out), context.Background(), Hooks{})
	checkpoint, err := model.LoadCheckpoint(out)
	if err != nil {
		t.Fatal(err)
	}
	defer checkpoint.Close()
	m, err := model.LoadMoETransformer(out, backend, model.LoadOptions{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	shorter := *data
	shorter.Train.IDs = shorter.Train.IDs[:500]
	_, err = NewTrainer(m, &shorter, shortRun(), out, checkpoint)
	testcases.RequireError(t, err, "config_bad_value", out+"/trainer_state.json: train_tokens is "+
		strconv.Itoa(len(data.Train.IDs))+", expected the 500 tokens of "+data.Train.Path)
}

// A recorded step and the calls one by one give the same losses.
func TestRecordedIsEager(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		var losses [2][]LossValues
		for i, eager := range []bool{false, true} {
			trainer, ids, targets := steady(t, backend, eager)
			for range 4 {
				loss, err := trainer.Step(ids, targets, 1e-3)
				if err != nil {
					t.Fatal(err)
				}
				losses[i] = append(losses[i], loss)
			}
		}
		for step := range losses[0] {
			if losses[0][step] != losses[1][step] {
				t.Errorf("step %d: recorded %+v, eager %+v", step, losses[0][step], losses[1][step])
			}
		}
	})
}

// Positions of another shape, which lie in the same buffer, change no training step.
func TestAnotherShapeInBetween(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		var losses [2][]LossValues
		for i, disturbed := range []bool{false, true} {
			trainer, ids, targets := steady(t, backend, false)
			for range 6 {
				loss, err := trainer.Step(ids, targets, 1e-2)
				if err != nil {
					t.Fatal(err)
				}
				losses[i] = append(losses[i], loss)
				if disturbed {
					if _, err := trainer.Model.ForwardIDs([]int{1, 2, 3, 4, 5, 6}, 3, 2); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if !slices.Equal(losses[0], losses[1]) {
			t.Errorf("undisturbed %+v\ndisturbed   %+v", losses[0], losses[1])
		}
	})
}

func TestAStepWithoutTokensIsRefused(t *testing.T) {
	m, err := model.NewMoETransformer(model.TinyMoEConfig(), tensor.NewReference(), model.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, sizes := range [][2]int{{0, 4}, {1, 0}, {-1, -4}, {0, m.Config.Context() + 1}} {
		_, err := NewGpuTrainer(m, sizes[0], sizes[1], GpuTrainerOptions{})
		testcases.RequireError(t, err, "no_ids", "no token ids, expected at least one")
	}
}

func steady(t testing.TB, backend tensor.Backend, eager bool) (trainer *GpuTrainer, ids, targets []int32) {
	t.Helper()
	m, err := model.NewMoETransformer(model.TinyMoEConfig(), backend, model.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	trainer, err = NewGpuTrainer(m, 2, 32, GpuTrainerOptions{Eager: eager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tensor.First(trainer.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	ids, targets = make([]int32, 64), make([]int32, 64)
	for i := range ids {
		ids[i], targets[i] = int32(i), int32(i+1)
	}
	return trainer, ids, targets
}

// A steady step allocates nothing on the Go heap, the reading of its losses included.
func TestSteadyStepAllocatesNothing(t *testing.T) {
	if why := cuda.WhyNot("cpu"); why != "" {
		t.Skip(why)
	}
	trainer, ids, targets := steady(t, testdevices.Open(t, "cpu", cuda.Options{}), false)
	step := func() {
		if _, err := trainer.Step(ids, targets, 1e-3); err != nil {
			t.Fatal(err)
		}
		if _, err := trainer.GradNorm(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		step()
	}
	if allocations := testing.AllocsPerRun(20, step); allocations != 0 {
		t.Errorf("a step allocates %v times", allocations)
	}
}

func TestStepRefusesAnotherSize(t *testing.T) {
	trainer, ids, targets := steady(t, tensor.NewReference(), false)
	_, err := trainer.Step(ids, targets[:63], 1e-3)
	testcases.RequireError(t, err, "ids_wrong_count", "63 token ids, expected batch x seq_len = 2 x 32")
}

// clock is a backend that measures the time spent in it.
type clock struct {
	tensor.Backend
	inside time.Duration
}

func (c *clock) add(start time.Time) { c.inside += time.Since(start) }

func (c *clock) Upload(b tensor.Buffer, offset int, storage []byte) error {
	defer c.add(time.Now())
	return c.Backend.Upload(b, offset, storage)
}

func (c *clock) Download(storage []byte, b tensor.Buffer, offset int) error {
	defer c.add(time.Now())
	return c.Backend.Download(storage, b, offset)
}

func (c *clock) GraphLaunch(graph tensor.Graph) error {
	defer c.add(time.Now())
	return c.Backend.GraphLaunch(graph)
}

// A steady step spends under 1% of its time outside the library.
func TestSteadyStepIsTheLibrary(t *testing.T) {
	if why := cuda.WhyNot("cpu"); why != "" {
		t.Skip(why)
	}
	backend := &clock{Backend: testdevices.Open(t, "cpu", cuda.Options{})}
	trainer, ids, targets := steady(t, backend, false)
	best := 1.0
	for range 30 {
		backend.inside = 0
		start := time.Now()
		if _, err := trainer.Step(ids, targets, 1e-3); err != nil {
			t.Fatal(err)
		}
		best = min(best, 1-backend.inside.Seconds()/time.Since(start).Seconds())
	}
	t.Logf("outside the library: %.3f%%", 100*best)
	if best > 0.01 {
		t.Errorf("%.2f%% of a step are outside the library", 100*best)
	}
}

func BenchmarkStep(b *testing.B) {
	if why := cuda.WhyNot("cpu"); why != "" {
		b.Skip(why)
	}
	trainer, ids, targets := steady(b, testdevices.Open(b, "cpu", cuda.Options{}), false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := trainer.Step(ids, targets, 1e-3); err != nil {
			b.Fatal(err)
		}
	}
}

// A batch that no device holds is the device's sentence, before any of it is made on the host.
func TestBatchesThatAreTooLarge(t *testing.T) {
	data := prepared(t)
	m, err := model.NewMoETransformer(model.TinyMoEConfig(), testdevices.Open(t, cuda.Devices()[0], cuda.Options{}),
		model.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, accumulate := range []int{1 << 16, 1<<31 - 1} { // the second one's product wraps around to a small one
		options := shortRun()
		options.Batch, options.Accumulate, options.SeqLen = 1<<31-1, accumulate, 64
		trainer, err := NewTrainer(m, data, options, t.TempDir(), nil)
		var failure *tensor.BackendError
		if !errors.As(err, &failure) || trainer != nil {
			t.Errorf("accumulate %d: got %v", accumulate, err)
		} else if failure.Status != tensor.OutOfMemory && failure.Status != tensor.InvalidArgument {
			t.Errorf("accumulate %d: status %d, %s", accumulate, failure.Status, failure.Text)
		}
	}
	for _, c := range [][3]int{{3, 4, 12}, {0, math.MaxInt, 0}, {math.MaxInt, 0, 0}, {math.MaxInt, 1, math.MaxInt},
		{1 << 32, 1 << 31, math.MaxInt}, {1 << 32, 1 << 32, math.MaxInt}} {
		if got := saturatedProduct(c[0], c[1]); got != c[2] {
			t.Errorf("%d times %d is %d", c[0], c[1], got)
		}
	}
}
