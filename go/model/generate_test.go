package model

import (
	"context"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
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
