// Package testdevices opens the devices that the tests run on.
package testdevices

import (
	"os"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Each runs a test on the reference and on whatever the library has here; -short leaves out simt, which takes its time under
// the race detector.
func Each(t *testing.T, test func(t *testing.T, backend tensor.Backend)) {
	t.Helper()
	Require(t)
	for _, device := range cuda.Devices() {
		if device == "simt" && testing.Short() {
			continue
		}
		t.Run(device, func(t *testing.T) { test(t, Open(t, device, cuda.Options{})) })
	}
}

// Require fails a test where what CUNN_REQUIRE asks for is absent: with 1 the library, with simt libcunn-simt too.
func Require(t testing.TB) {
	t.Helper()
	required := map[string][]string{"1": {"cpu"}, "simt": {"cpu", "simt"}}
	for _, device := range required[os.Getenv("CUNN_REQUIRE")] {
		if why := cuda.WhyNot(device); why != "" {
			t.Fatal(why)
		}
	}
}

// Open opens a device until the test ends.
func Open(t testing.TB, device string, options cuda.Options) tensor.Backend {
	t.Helper()
	backend, err := cuda.OpenBackend(device, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := backend.Close(); err != nil {
			t.Error(err)
		}
	})
	return backend
}
