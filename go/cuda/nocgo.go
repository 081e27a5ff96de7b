//go:build !cgo

package cuda

import (
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

const needsCgo = "this program was built without cgo; build it with CGO_ENABLED=1 and a C compiler"

// Library is an opened libcunn; without cgo there is none.
type Library struct {
	Path, Version, BuildInfo string
	ABI                      int
}

// OpenLibrary fails: the library needs cgo.
func OpenLibrary(device string) (*Library, error) {
	return nil, messages.DeviceMissing(device, needsCgo)
}

// DeviceCount is 0: the library needs cgo.
func (library *Library) DeviceCount(string) int { return 0 }

// DeviceName is "": the library needs cgo.
func (library *Library) DeviceName(string, int) string { return "" }

// DeviceNote says that the library needs cgo.
func (library *Library) DeviceNote(string) string { return needsCgo }

func openContext(device string, _ Options) (tensor.Backend, error) {
	return nil, messages.DeviceMissing(device, needsCgo)
}
