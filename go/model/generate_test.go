package model

import (
	"context"
	"math"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

func newGenerator(t *testing.T, backend tensor.Backend, count int) *Generator {
	t.Helper()
	m := must[*MoETransformer](t)(NewMoETransformer(TinyMoEConfig(), backend, Options{}))
	g := must[*Generator](t)(NewGenerator(m, [][]int{{1, 2, 3}, {4}}, count, Greedy, GeneratorOptions{IgnoreEos: true}))
	t.Cleanup(func() {
		if err := tensor.First(g.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return g
}

// A steady decode step allocates nothing on the Go heap.
func TestSteadyDecodeAllocatesNothing(t *testing.T) {
	if why := cuda.WhyNot("cpu"); why != "" {
		t.Skip(why)
	}
	g := newGenerator(t, testdevices.Open(t, "cpu", cuda.Options{}), 100)
	if err := g.Prefill(context.Background()); err != nil {
		t.Fatal(err)
	}
	step := func() {
		if _, err := g.Step(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		step()
	}
	if allocations := testing.AllocsPerRun(50, step); allocations != 0 {
		t.Errorf("a step allocates %v times", allocations)
	}
}

// The largest numbers of new tokens are too many, whatever a sum with them would wrap around to.
func TestMoreNewTokensThanTheContext(t *testing.T) {
	m := must[*MoETransformer](t)(NewMoETransformer(TinyMoEConfig(), tensor.NewReference(), Options{}))
	most := m.Config.Context()
	for _, c := range []struct{ count, length int }{
		{most - 2, most + 1}, {math.MaxInt - 3, math.MaxInt}, {math.MaxInt - 2, math.MaxInt}, {math.MaxInt, math.MaxInt},
	} {
		g, err := NewGenerator(m, [][]int{{1, 2, 3}}, c.count, Greedy, GeneratorOptions{})
		want := messages.SequenceTooLong(c.length, most)
		if testcases.RequireError(t, err, "sequence_too_long", want.Error()); g != nil {
			t.Errorf("%d new tokens: a generator", c.count)
		}
	}
	if longest, err := CheckPrompts(m, [][]int{{1, 2, 3}}, most-3); err != nil || longest != 3 {
		t.Errorf("got %d, %v", longest, err)
	}
}
