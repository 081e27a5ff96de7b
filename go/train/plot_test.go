package train

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/plot"
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
		if !slices.Equal(labels, c.labels) {
			t.Errorf("%v to %v: %v", c.low, c.high, labels)
		}
	}
}

// A loss that stays the same spans one ulp after smoothing; the axis is widened, and ticks of the bare range end too.
func TestTicksOfOneUlp(t *testing.T) {
	low := 6.9
	high := math.Nextafter(low, 7)
	if ticks := roundTicks(low, high); len(ticks) > 10 {
		t.Errorf("%d ticks", len(ticks))
	}
	for _, bounds := range [][2]float64{{low, high}, {1e15, 1e15 + 0.125}, {-low, -low}, {0, 5e-324}} {
		axis := plot.Axis{Min: bounds[0], Max: bounds[1]}
		widen(&axis)
		if ticks := roundTicks(axis.Min, axis.Max); !(axis.Min < bounds[0] && bounds[1] < axis.Max) || len(ticks) < 2 {
			t.Errorf("%v: from %v to %v, %v", bounds, axis.Min, axis.Max, ticks)
		}
	}
	axis := plot.Axis{Min: 2.4, Max: 6.6}
	if widen(&axis); axis.Min != 2.4 || axis.Max != 6.6 {
		t.Errorf("a wide axis became %v to %v", axis.Min, axis.Max)
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

// A constant loss, of which the smoothed one differs in its last bit, is drawn.
func TestPlotOfAConstant(t *testing.T) {
	metrics, png := filepath.Join(t.TempDir(), "metrics.jsonl"), filepath.Join(t.TempDir(), "loss.png")
	var lines []byte
	for step := range 20 {
		lines = fmt.Appendf(lines, "{\"step\":%d,\"cross_entropy\":6.9}\n", step+1)
	}
	if err := os.WriteFile(metrics, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := PlotLoss(metrics, png); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(png); err != nil || info.Size() == 0 {
		t.Errorf("loss.png: %v", err)
	}
}
