package testdevices

import (
	"errors"
	"runtime/debug"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// ErrWanted is the failure of a failing device.
var ErrWanted = errors.New("the failure that the test asked for")

// failing is a reference that makes so many buffers, views and uploads and fails from then on.
type failing struct {
	*tensor.Reference
	left int
}

func (f *failing) next() error {
	if f.left--; f.left < 0 {
		return ErrWanted
	}
	return nil
}

func (f *failing) Buffer(dtype tensor.DType, count int) (tensor.Buffer, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return f.Reference.Buffer(dtype, count)
}

func (f *failing) View(whole tensor.Buffer, offset, count int) (tensor.Buffer, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return f.Reference.View(whole, offset, count)
}

func (f *failing) Upload(b tensor.Buffer, offset int, storage []byte) error {
	if err := f.next(); err != nil {
		return err
	}
	return f.Reference.Upload(b, offset, storage)
}

// LeavesNothing runs build on a device that fails at its first call, then at its second, until build succeeds, and fails
// the test where a failed one leaves memory of the device. prepare makes what build works on, on a device that is well;
// build returns what closes the thing that was built.
func LeavesNothing[T any](
	t *testing.T, prepare func(backend tensor.Backend) T, build func(prepared T) (made func() error, err error),
) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // else the collector would give back what was forgotten
	const well = 1 << 30
	for calls := 0; ; calls++ {
		device := &failing{tensor.NewReference(), well}
		prepared := prepare(device)
		before, _, err := device.Memory()
		if err != nil {
			t.Fatal(err)
		}
		device.left = calls
		made, err := build(prepared)
		device.left = well
		built := err == nil
		if built {
			err = made()
		} else if errors.Is(err, ErrWanted) {
			err = nil
		}
		now, _, errMemory := device.Memory()
		if err := tensor.First(err, errMemory); err != nil {
			t.Fatalf("after %d calls: %v", calls, err)
		}
		if now != before {
			t.Errorf("after %d calls %d bytes are left", calls, now-before)
		}
		if built {
			if calls == 0 {
				t.Error("it makes nothing on the device")
			}
			return
		}
	}
}
