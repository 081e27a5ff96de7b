package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

const bootstrap = 2000

// Measured is one case: samples in seconds, their median with a bootstrap 95% interval, and the rate, in Unit.
type Measured struct {
	Name              string
	Samples           []float64
	Median, Low, High float64
	Rate              float64
	Unit              string
}

// Measure times a case. Errors: those of NewWork and of the device.
func Measure(backend tensor.Backend, c *Case, how Protocol) (Measured, error) {
	w, err := NewWork(backend, c)
	if err != nil {
		return Measured{}, err
	}
	samples, err := sample(backend, w, how)
	if err := tensor.First(err, w.Close()); err != nil {
		return Measured{}, err
	}
	name, err := c.Name()
	middle := median(samples)
	low, high := Interval(samples)
	return Measured{name, samples, middle, low, high, w.Units / middle, w.Unit + "/s"}, err
}

func sample(backend tensor.Backend, w *Work, how Protocol) (samples []float64, err error) {
	for range how.Warmup {
		if err := w.Run(); err != nil {
			return nil, err
		}
	}
	if err := backend.Synchronize(); err != nil {
		return nil, err
	}
	started := time.Now()
	for len(samples) < how.Samples && (len(samples) < 3 || time.Since(started).Seconds() < how.Seconds) {
		begin := time.Now()
		if err := tensor.First(w.Run(), backend.Synchronize()); err != nil {
			return nil, err
		}
		samples = append(samples, time.Since(begin).Seconds())
	}
	return samples, nil
}

// ToJSON is the case's entry in the file of results.
func (m Measured) ToJSON() *jsonstrict.Object {
	kept := []jsonstrict.Value{}
	for _, sample := range m.Samples {
		kept = append(kept, sample)
	}
	return jsonstrict.NewObject(
		"name", m.Name,
		"samples", kept,
		"median", m.Median,
		"low", m.Low,
		"high", m.High,
		"rate", m.Rate,
		"unit", m.Unit,
	)
}

// Interval is the bootstrap 95% interval of the median (Efron 1979), with a fixed seed.
func Interval(samples []float64) (low, high float64) {
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

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}
