//go:build cgo

package cuda

import (
	"errors"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/tensor"
)

func requireRefused(t *testing.T, what string, err error) {
	t.Helper()
	var failure *tensor.BackendError
	if !errors.As(err, &failure) || failure.Status != tensor.InvalidArgument {
		t.Errorf("%s: got %v", what, err)
	}
}

func buffersOf(t *testing.T, backend tensor.Backend, count int) []tensor.Buffer {
	t.Helper()
	var buffers []tensor.Buffer
	for range count {
		b, err := tensor.BufferOf(backend, tensor.F32, []float32{1, 2, 3, 4})
		if err != nil {
			t.Fatal(err)
		}
		buffers = append(buffers, b)
	}
	return buffers
}

// A buffer or a graph of another library in the process must not be taken for one that was made as the same here, nor for
// an argument that was left out.
func TestBuffersOfAnotherLibrary(t *testing.T) {
	cpu := openCPU(t)
	if why := WhyNot("simt"); why != "" {
		t.Skip(why)
	}
	simt, err := OpenBackend("simt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { simt.Close() })
	reference := tensor.NewReference()
	const many = 64 // of each, so that slots and generations coincide
	here := buffersOf(t, cpu, many)
	for name, there := range map[string][]tensor.Buffer{
		"simt": buffersOf(t, simt, many), "reference": buffersOf(t, reference, 1),
	} {
		for _, foreign := range there {
			requireRefused(t, name+": add", cpu.AddForward(here[0], foreign, here[1], 4))
			requireRefused(t, name+": fill", cpu.Fill(foreign, 4, 9))
			requireRefused(t, name+": upload", cpu.Upload(foreign, 0, make([]byte, 16)))
			requireRefused(t, name+": download", cpu.Download(make([]byte, 16), foreign, 0))
			_, err := cpu.View(foreign, 0, 2)
			requireRefused(t, name+": view", err)
			// master may be left out
			requireRefused(t, name+": adamw", cpu.AdamWStep(here[0], foreign, here[1], here[2], here[3], here[4], here[5],
				here[6], here[7], nil, 4, 0, 0.9, 0.95, 1e-8, 0))
		}
	}
	for _, b := range here {
		values, err := tensor.Read[float32](cpu, b, 0, 4)
		if err != nil || values[0] != 1 || values[3] != 4 {
			t.Fatalf("a buffer here holds %v (%v)", values, err)
		}
	}
	var recorded []tensor.Graph
	for _, backend := range []tensor.Backend{cpu, simt} {
		own := buffersOf(t, backend, 1)[0]
		err := tensor.First(backend.GraphBegin(), backend.Fill(own, 4, 9))
		graph, errEnd := backend.GraphEnd()
		if err := tensor.First(err, errEnd); err != nil {
			t.Fatal(err)
		}
		recorded = append(recorded, graph)
	}
	if err := cpu.GraphLaunch(recorded[0]); err != nil {
		t.Error(err)
	}
	requireRefused(t, "graph", cpu.GraphLaunch(recorded[1]))
}

// What could not be destroyed is kept for the next time, with all that stands behind it.
func TestAbandonedBuffersArePutBack(t *testing.T) {
	context := openCPU(t)
	b, err := context.Buffer(tensor.F32, 4)
	if err != nil {
		t.Fatal(err)
	}
	handle := b.(*buffer).handle
	const none = -1 // no buffer has it: destroying it fails
	context.held.buffers[none] = struct{}{}
	context.held.abandon(none, handle)
	if _, err := context.Buffer(tensor.F32, 4); err == nil {
		t.Fatal("a handle that is none was destroyed")
	}
	if left := context.held.abandoned; len(left) != 2 || left[0] != none || left[1] != handle {
		t.Errorf("left are %v", left)
	}
	delete(context.held.buffers, none)
	if _, err := context.Buffer(tensor.F32, 4); err != nil {
		t.Error(err)
	}
	if _, there := context.held.buffers[handle]; there || len(context.held.abandoned) != 0 {
		t.Error("the buffer is still there")
	}
}
