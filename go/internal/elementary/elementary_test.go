package elementary

import (
	"math"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
)

func TestBits(t *testing.T) {
	var cases struct {
		NaturalLog  [][2]string `json:"natural_log"`
		Exponential [][2]string
	}
	testcases.Host(t, "numbers.json", &cases)
	compare := func(name string, f func(float64) float64, cases [][2]string) {
		for _, c := range cases {
			x, want := testcases.F64(t, c[0]), testcases.F64(t, c[1])
			if got := f(x); math.Float64bits(got) != math.Float64bits(want) {
				t.Errorf("%s(%v): got %x, want %x", name, x, got, want)
			}
		}
		if got := f(math.NaN()); len(cases) < 10 || !math.IsNaN(got) {
			t.Errorf("%s: %d cases, %v of NaN", name, len(cases), got)
		}
	}
	compare("ln", NaturalLog, cases.NaturalLog)
	compare("exp", Exponential, cases.Exponential)
}
