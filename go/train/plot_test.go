package train

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func TestRoundTicks(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		labels    []string
	}{
		{1, 400, []string{"50", "100", "150", "200", "250", "300", "350", "400"}},
		{2.4, 6.6, []string{"2.5", "3", "3.5", "4", "4.5", "5", "5.5", "6", "6.5"}},
		{0, 1, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
		{1, 20000, []string{"5000", "10000", "15000", "20000"}},
	} {
		var labels []string
		for _, tick := range roundTicks(c.low, c.high) {
			labels = append(labels, tick.Label)
		}
		if len(labels) != len(c.labels) || labels[0] != c.labels[0] || labels[len(labels)-1] != c.labels[len(c.labels)-1] {
			t.Errorf("%v to %v: %v", c.low, c.high, labels)
		}
	}
}

func TestSmoothed(t *testing.T) {
	got := Smoothed([]float64{math.NaN(), 2, math.Inf(1), 4})
	// The first value that is finite is its own average; with w = 0.98 the next one weighs 1 / (1 + w).
	want := []float64{0, 2, 2, (Smoothing*2 + 4) / (Smoothing + 1)}
	if !math.IsNaN(got[0]) || got[1] != 2 || got[2] != 2 || math.Abs(got[3]-want[3]) > 1e-15*4 {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A run whose losses are all null is drawn too.
func TestPlotOfNothing(t *testing.T) {
	metrics, png := filepath.Join(t.TempDir(), "metrics.jsonl"), filepath.Join(t.TempDir(), "loss.png")
	if err := os.WriteFile(metrics, []byte(`{"step":1,"cross_entropy":null}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := PlotLoss(metrics, png); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(png); err != nil || info.Size() == 0 {
		t.Errorf("loss.png: %v", err)
	}
}
