package conformance

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

func TestReference(t *testing.T) { Test(t, tensor.NewReference()) }

// Every device of the library, cpu once for each instruction set.
func TestLibrary(t *testing.T) {
	testdevices.Require(t)
	for _, device := range cuda.Devices() {
		isas := []string{""}
		switch device {
		case "reference":
			continue
		case "cpu":
			isas = []string{"scalar", "avx2", "avx512"}
		}
		for _, isa := range isas {
			t.Run(device+isa, func(t *testing.T) {
				backend, err := cuda.OpenBackend(device, cuda.Options{ISA: isa})
				var failure *tensor.BackendError
				if errors.As(err, &failure) && failure.Status == tensor.Unsupported && isa != "" {
					t.Skip("this processor has no " + isa)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer backend.Close()
				Test(t, backend)
			})
		}
	}
}

func find(t *testing.T, name string) *Case {
	t.Helper()
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(cases, func(c *Case) bool { return c.Name == name })
	if at < 0 {
		t.Fatal("no case " + name)
	}
	return cases[at]
}

// What the runner must notice, on a device whose answers are known to be right.
func TestRunnerNoticesAChangedAnswer(t *testing.T) {
	c := find(t, "add_forward.n17")
	at := len(c.After["y"]) - 8
	truth := math.Float64frombits(binary.LittleEndian.Uint64(c.After["y"][at:]))
	moved := truth + 2.01*float64(c.Bound["y"][16]) + 1e-30
	binary.LittleEndian.PutUint64(c.After["y"][at:], math.Float64bits(moved))
	differences, err := Run(tensor.NewReference(), c, false)
	if err != nil || len(differences) != 1 || !strings.HasPrefix(differences[0], "add_forward.n17: y[16] is ") {
		t.Errorf("got %v, %v", differences, err)
	}
}

func TestRunnerNoticesAChangedInput(t *testing.T) {
	c := find(t, "decode_advance.eos_2")
	for i := range c.Arguments {
		if c.Arguments[i].Name == "positions" {
			c.Arguments[i].Role = "in"
		}
	}
	differences, err := Run(tensor.NewReference(), c, false)
	want := []string{"decode_advance.eos_2: positions is an input and was changed"}
	if err != nil || !slices.Equal(differences, want) {
		t.Errorf("got %v, %v", differences, err)
	}
}
