package tensor

import (
	"strings"

	nn "github.com/cuda-nn/cuda-nn/go"
)

// Status is what a backend's call can end in, numbered as in cunn.h.
type Status int

// What a call can end in.
const (
	OK Status = iota
	InvalidArgument
	OutOfMemory
	Unsupported
	Busy
	Device
	Internal
)

// String is the short name: "invalid argument".
func (s Status) String() string {
	names := [...]string{"ok", "invalid argument", "out of memory", "unsupported", "busy", "device", "internal"}
	return names[s]
}

// BackendError is the failure of a call on a backend; the text is the library's sentence, the same on the reference
// backend.
//
// Status says what kind of failure it is: InvalidArgument is the caller's, Device reports a bad value (id, offset,
// position) found while an earlier operation ran.
type BackendError struct {
	Status Status
	Text   string
}

func (e *BackendError) Error() string { return e.Text }

// Unwrap makes it a *nn.Error too.
func (e *BackendError) Unwrap() error {
	return &nn.Error{Key: strings.ReplaceAll(e.Status.String(), " ", "_"), ExitCode: 1, Text: e.Text}
}
