package layer

import "github.com/cuda-nn/cuda-nn/go/tensor"

// Workspace is named buffers that only ever grow, made once and reused by every later step of the same size, so that a
// steady step allocates nothing.
//
// What backward needs from forward lives in a workspace of the block's own; blocks share one workspace when nothing
// outlives the block: in inference, and in training with recompute.
//
// A failed allocation sticks: Get returns nil and Err says why.
type Workspace struct {
	Backend tensor.Backend
	// Version grows when a buffer is made or replaced: a graph recorded before then holds buffers that are gone.
	Version int
	buffers map[string]tensor.Buffer
	err     error
}

// NewWorkspace makes an empty one.
func NewWorkspace(backend tensor.Backend) *Workspace {
	return &Workspace{Backend: backend, buffers: map[string]tensor.Buffer{}}
}

// Get is the buffer called name with at least count elements, f32 unless a dtype is given; its contents are what was
// last written there.
func (w *Workspace) Get(name string, count int, dtype ...tensor.DType) tensor.Buffer {
	wanted := tensor.F32
	if len(dtype) > 0 {
		wanted = dtype[0]
	}
	old := w.buffers[name]
	if old != nil && old.Count() >= count && old.DType() == wanted {
		return old
	}
	if old != nil {
		w.fail(old.Close())
		delete(w.buffers, name)
	}
	buffer, err := w.Backend.Buffer(wanted, max(count, 1))
	if err != nil {
		w.fail(err)
		return nil
	}
	w.buffers[name] = buffer
	w.Version++
	return buffer
}

func (w *Workspace) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// Err is the first error since the last call of it.
func (w *Workspace) Err() error {
	err := w.err
	w.err = nil
	return err
}

// Close releases every buffer.
func (w *Workspace) Close() error {
	for _, buffer := range w.buffers {
		w.fail(buffer.Close())
	}
	clear(w.buffers)
	return w.Err()
}
