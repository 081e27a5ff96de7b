//go:build cgo

package cuda

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

func openCPU(t *testing.T) *Context {
	t.Helper()
	if why := WhyNot("cpu"); why != "" {
		if os.Getenv("CUNN_REQUIRE") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	backend, err := OpenBackend("cpu", Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { backend.Close() })
	return backend.(*Context)
}

// While one goroutine is in a long call, another one's fails with Busy, and the first call is not disturbed.
func TestOneGoroutineAtATime(t *testing.T) {
	context := openCPU(t)
	const n = 1024
	a, err := context.Buffer(tensor.F32, n*n)
	if err != nil {
		t.Fatal(err)
	}
	c, err := context.Buffer(tensor.F32, n*n)
	if err != nil {
		t.Fatal(err)
	}
	started, finished := make(chan struct{}), make(chan error)
	go func() {
		close(started)
		var err error
		for range 20 {
			err = tensor.First(err, context.GEMM(c, a, a, false, false, n, n, n, n, n, n, 1, 0))
		}
		finished <- err
	}()
	<-started
	var busy *tensor.BackendError
	for deadline := time.Now().Add(20 * time.Second); busy == nil && time.Now().Before(deadline); {
		select {
		case err := <-finished:
			if errors.As(err, &busy) && busy.Status == tensor.Busy {
				return // it was the other goroutine that met this one
			}
			t.Skipf("the products were done before a call could meet one (%v)", err)
		default:
			errors.As(context.Synchronize(), &busy)
		}
	}
	if busy == nil || busy.Status != tensor.Busy || busy.Text != "the context is in use by another thread" {
		t.Errorf("got %v", busy)
	}
	if err := <-finished; err != nil && !(errors.As(err, &busy) && busy.Status == tensor.Busy) {
		t.Error(err)
	}
}

// Contexts are independent: each goroutine with its own.
func TestOneContextEach(t *testing.T) {
	openCPU(t)
	errs := make(chan error)
	for range 4 {
		go func() { errs <- ownContext() }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func ownContext() error {
	backend, err := OpenBackend("cpu", Options{Threads: 1})
	if err != nil {
		return err
	}
	x, err := tensor.BufferOf(backend, tensor.F32, []float32{1, 2, 3})
	if err != nil {
		return err
	}
	for range 100 {
		if err := backend.AddForward(x, x, x, 3); err != nil {
			return err
		}
	}
	return tensor.First(x.Close(), backend.Close())
}

// Memory that nobody closed is given back with the next allocation after its reference went.
func TestForgottenBuffers(t *testing.T) {
	context := openCPU(t)
	before, _, err := context.Memory()
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, err := context.Buffer(tensor.F32, 1<<18); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		time.Sleep(time.Millisecond)
		small, err := context.Buffer(tensor.F32, 1)
		if err := tensor.First(err, small.Close()); err != nil {
			t.Fatal(err)
		}
		now, peak, err := context.Memory()
		if err != nil {
			t.Fatal(err)
		}
		if now-before < 1<<20 && peak >= 8<<20 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes, before %d, at most %d", now, before, peak)
		}
	}
}

func TestClosed(t *testing.T) {
	context := openCPU(t)
	x, err := context.Buffer(tensor.F32, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := tensor.First(x.Close(), x.Close(), context.Close(), context.Close(), x.Close()); err != nil {
		t.Error(err)
	}
	var failure *tensor.BackendError
	if err := context.AddForward(x, x, x, 4); !errors.As(err, &failure) || failure.Status != tensor.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

func TestLibraryThatIsNone(t *testing.T) {
	none := filepath.Join(t.TempDir(), "libcunn.so")
	t.Setenv("CUNN_LIBRARY", none)
	_, err := OpenBackend("cpu")
	testcases.RequireError(t, err, "library_missing", "the library libcunn.so was not found (looked for "+none+
		"); build it with nox -s build, name it in CUNN_LIBRARY, or take --device reference")
	if err := os.WriteFile(none, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = OpenBackend("cpu"); err == nil || !strings.HasPrefix(err.Error(), none+": cannot be opened as the library: ") {
		t.Errorf("got %v", err)
	}
	_, err = OpenBackend("gpu")
	testcases.RequireError(t, err, "device_unknown", `unknown device "gpu", expected one of auto, cpu, cuda, simt, reference`)
}
