package model

import (
	"errors"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// A recording that failed is not launched.
func TestFailedRecordingIsDropped(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		m, err := NewMoETransformer(TinyMoEConfig(), backend, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		value, err := backend.Buffer(tensor.F32, 1)
		if err != nil {
			t.Fatal(err)
		}
		var failure error
		step := NewRecordedStep(backend, m, func() error {
			if err := tensor.First(backend.Fill(value, 1, 1), failure); err != nil {
				return err
			}
			return backend.Fill(value, 1, 2)
		})
		defer step.Close()
		if err := step.Run(); err != nil {
			t.Fatal(err)
		}
		failure = errors.New("half recorded")
		if err := step.Run(); !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		failure = nil
		for range 2 {
			if err := tensor.First(backend.Fill(value, 1, 0), step.Run()); err != nil {
				t.Fatal(err)
			}
			if got, err := tensor.Read[float32](backend, value, 0, 1); err != nil || got[0] != 2 {
				t.Errorf("the step left %v (%v), expected 2", got, err)
			}
		}
	})
}
