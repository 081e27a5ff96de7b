// Package testdevices opens the devices that the tests run on.
package testdevices

import (
	"os"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Each runs a test on the reference and on whatever the library has here; -short leaves out simt, which takes its time under
// the race detector. With CUNN_REQUIRE=1 an absent library is a failure, not fewer tests.
func Each(t *testing.T, test func(t *testing.T, backend tensor.Backend)) {
	t.Helper()
	if why := cuda.WhyNot("cpu"); why != "" && os.Getenv("CUNN_REQUIRE") == "1" {
		t.Fatal(why)
	}
	for _, device := range cuda.Devices() {
		if device == "simt" && testing.Short() {
			continue
		}
		t.Run(device, func(t *testing.T) { test(t, Open(t, device, cuda.Options{})) })
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
