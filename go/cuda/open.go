package cuda

import (
	"slices"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// DeviceKinds are the kinds of device that the library has, at the place of their number in cunn.h.
var DeviceKinds = []string{"cpu", "cuda", "simt"}

var known = []string{"auto", "cpu", "cuda", "simt", "reference"}

// Options of OpenBackend. The zero value is right for most.
type Options struct {
	// Ordinal chooses among devices of one kind.
	Ordinal int
	// Threads counts host threads that compute, the caller included; 0 for all this process may use.
	Threads int
	// ISA forces an instruction set on cpu: "scalar", "avx2", "avx512"; "" for the best.
	ISA string
}

// OpenBackend opens a device: "cpu", "cuda", "simt" of the library, "reference" in plain Go, or "auto": cuda when there
// is one, else cpu.
//
// Errors: device_unknown, device_missing, library_missing, library_unreadable, library_wrong_abi.
func OpenBackend(device string, options ...Options) (tensor.Backend, error) {
	var chosen Options
	if len(options) > 0 {
		chosen = options[0]
	}
	if !slices.Contains(known, device) {
		return nil, messages.DeviceUnknown(device, strings.Join(known, ", "))
	}
	if device == "reference" {
		return tensor.NewReference(), nil
	}
	if device == "auto" {
		device = "cpu"
		if WhyNot("cuda") == "" {
			device = "cuda"
		}
	}
	return openContext(device, chosen)
}

// Devices returns the devices that can be opened here, best first; reference is always among them.
func Devices() []string {
	var here []string
	for _, device := range []string{"cuda", "cpu", "simt", "reference"} {
		if WhyNot(device) == "" {
			here = append(here, device)
		}
	}
	return here
}

// WhyNot says why a device cannot be opened here, in one sentence; "" when it can.
func WhyNot(device string) string {
	if device == "reference" {
		return ""
	}
	library, err := OpenLibrary(device)
	if err != nil {
		return err.Error()
	}
	if library.DeviceCount(device) > 0 {
		return ""
	}
	return messages.DeviceMissing(device, library.DeviceNote(device)).Error()
}
