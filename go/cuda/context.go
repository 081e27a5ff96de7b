//go:build cgo

package cuda

// #cgo noescape nn_buffer_upload
// #cgo nocallback nn_buffer_upload
// #cgo noescape nn_buffer_download
// #cgo nocallback nn_buffer_download
// #cgo nocallback nn_graph_launch
// #include <stdlib.h>
// #include "table.h"
import "C"

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Context is a context of libcunn, a device with its stream, its threads and its buffers, as a tensor.Backend. An
// operation is one call through cgo; what is recorded in a graph is one call for the whole step.
//
// A context is used by one goroutine at a time; a call that finds it in use fails with tensor.Busy.
type Context struct {
	library *Library
	table   *C.struct_nn_table
	raw     C.cunn_context
	device  string
	held    *held
}

// held is what a context has given out. Cleanups of buffers that were not closed run on a goroutine of their own, in the
// middle of a call or of a recording: they only note the handle, and the next allocation destroys it.
type held struct {
	sync.Mutex
	library   *Library
	raw       C.cunn_context
	buffers   map[C.cunn_buffer]struct{}
	graphs    map[C.cunn_graph]struct{}
	abandoned []C.cunn_buffer
	recording bool
	closed    bool
}

func openContext(device string, options Options) (tensor.Backend, error) {
	library, err := OpenLibrary(device)
	if err != nil {
		return nil, err
	}
	return library.NewContext(device, options)
}

// NewContext opens a device of this library. Errors: device_missing, tensor.BackendError.
func (library *Library) NewContext(device string, options Options) (*Context, error) {
	if library.DeviceCount(device) == 0 {
		return nil, messages.DeviceMissing(device, library.DeviceNote(device))
	}
	var isa *C.char
	if options.ISA != "" {
		isa = C.CString(options.ISA)
		defer C.free(unsafe.Pointer(isa))
	}
	context := &Context{library: library, table: library.table, device: device}
	status := C.nn_context_create(context.table, &context.raw, kind(device),
		C.int32_t(options.Ordinal), C.int32_t(options.Threads), isa)
	if err := context.check(status); err != nil {
		C.nn_context_destroy(context.table, context.raw)
		return nil, err
	}
	context.held = &held{
		library: library, raw: context.raw,
		buffers: map[C.cunn_buffer]struct{}{}, graphs: map[C.cunn_graph]struct{}{},
	}
	// For a Close that was forgotten.
	runtime.AddCleanup(context, (*held).release, context.held)
	return context, nil
}

func (h *held) release() {
	h.Lock()
	defer h.Unlock()
	if h.closed {
		return
	}
	h.closed = true
	for buffer := range h.buffers {
		C.nn_buffer_destroy(h.library.table, h.raw, buffer)
	}
	C.nn_context_destroy(h.library.table, h.raw)
}

func (h *held) abandon(buffers ...C.cunn_buffer) {
	h.Lock()
	defer h.Unlock()
	h.abandoned = append(h.abandoned, buffers...)
}

// ---------------- what it is

// Name is "cpu", "cuda" or "simt".
func (context *Context) Name() string { return context.device }

// ISA is the instruction set in use.
func (context *Context) ISA() string { return C.GoString(C.nn_context_isa(context.table, context.raw)) }

// Threads is the number of host threads that compute; 0 for a closed context.
func (context *Context) Threads() int {
	var count C.int32_t
	C.nn_context_threads(context.table, context.raw, &count)
	return int(count)
}

// Memory is the bytes of buffers and scratch now, and at most so far.
func (context *Context) Memory() (now, peak int, err error) {
	var bytes, most C.int64_t
	err = context.check(C.nn_context_memory(context.table, context.raw, &bytes, &most))
	return int(bytes), int(most), err
}

// ---------------- errors

func (context *Context) check(status C.int32_t) error {
	if status == C.CUNN_OK {
		return nil
	}
	if status == C.CUNN_BUSY { // the sentence belongs to the call that is still running
		return &tensor.BackendError{Status: tensor.Busy, Text: "the context is in use by another thread"}
	}
	text := C.GoString(C.nn_context_error(context.table, context.raw))
	if text == "" {
		text = C.GoString(C.nn_status_name(context.table, status))
	}
	return &tensor.BackendError{Status: tensor.Status(status), Text: text}
}

// ---------------- memory

// buffer is memory of a device, given back by Close or, failing that, some time after the last reference went.
type buffer struct {
	context *Context
	handle  C.cunn_buffer
	dtype   tensor.DType
	count   int
	cleanup runtime.Cleanup
}

func (b *buffer) DType() tensor.DType { return b.dtype }
func (b *buffer) Count() int          { return b.count }
func (b *buffer) Handle() int64       { return int64(b.handle) }

func (b *buffer) Close() error {
	b.cleanup.Stop()
	return b.context.destroyBuffer(b.handle)
}

// handleOf is the library's name for a buffer, 0 for none, -1 for one that is not of this package; the library refuses that
// and the names that another library gave out.
func handleOf(b tensor.Buffer) C.cunn_buffer {
	if b == nil {
		return 0
	}
	// A transfer takes its length from the Go object, so a handle counts only where this package's own object has it.
	if ours, ok := b.(*buffer); ok {
		return ours.handle
	}
	return -1
}

// graphOf is the library's name for a recording, likewise.
func graphOf(recorded tensor.Graph) C.cunn_graph {
	if recorded == nil {
		return 0
	}
	if ours, ok := recorded.(*graph); ok {
		return ours.handle
	}
	return -1
}

func (context *Context) adopt(handle C.cunn_buffer, dtype tensor.DType, count int) tensor.Buffer {
	context.held.Lock()
	context.held.buffers[handle] = struct{}{}
	context.held.Unlock()
	b := &buffer{context: context, handle: handle, dtype: dtype, count: count}
	h := context.held
	b.cleanup = runtime.AddCleanup(b, func(handle C.cunn_buffer) { h.abandon(handle) }, handle)
	return b
}

func (context *Context) destroyBuffer(handle C.cunn_buffer) error {
	context.held.Lock()
	defer context.held.Unlock()
	if _, there := context.held.buffers[handle]; !there || context.held.closed {
		return nil
	}
	if err := context.check(C.nn_buffer_destroy(context.table, context.raw, handle)); err != nil {
		return err
	}
	delete(context.held.buffers, handle)
	return nil
}

// destroyAbandoned destroys what was never closed, but not in the middle of a recording.
func (context *Context) destroyAbandoned() error {
	context.held.Lock()
	var handles []C.cunn_buffer
	if !context.held.recording {
		handles, context.held.abandoned = context.held.abandoned, nil
	}
	context.held.Unlock()
	for i, handle := range handles {
		if err := context.destroyBuffer(handle); err != nil {
			context.held.abandon(handles[i:]...) // for the next time
			return err
		}
	}
	return nil
}

// Buffer returns count elements, zero-filled.
func (context *Context) Buffer(dtype tensor.DType, count int) (tensor.Buffer, error) {
	if err := context.destroyAbandoned(); err != nil {
		return nil, err
	}
	var handle C.cunn_buffer
	status := C.nn_buffer_create(context.table, context.raw, &handle, C.int32_t(dtype), C.int64_t(count))
	if err := context.check(status); err != nil {
		return nil, err
	}
	return context.adopt(handle, dtype, count), nil
}

// View returns a slice of a buffer as a buffer of its own.
func (context *Context) View(whole tensor.Buffer, offset, count int) (tensor.Buffer, error) {
	if err := context.destroyAbandoned(); err != nil {
		return nil, err
	}
	var handle C.cunn_buffer
	status := C.nn_buffer_view(context.table, context.raw, &handle, handleOf(whole), C.int64_t(offset), C.int64_t(count))
	if err := context.check(status); err != nil {
		return nil, err
	}
	return context.adopt(handle, whole.DType(), count), nil
}

// nowhere stands for host memory of no elements, which has no address of its own.
var nowhere [1]byte

// atLeastOne is storage with an address. A call then names &storage[0], of which cgo checks the slice alone and not the
// object that the slice lies in.
func atLeastOne(storage []byte) []byte {
	if len(storage) == 0 {
		return nowhere[:]
	}
	return storage
}

// Upload writes elements; the library has consumed the memory on return.
func (context *Context) Upload(b tensor.Buffer, offset int, storage []byte) error {
	count := b.DType().CountOf(len(storage))
	storage = atLeastOne(storage)
	return context.check(C.nn_buffer_upload(context.table, context.raw, handleOf(b),
		C.int64_t(offset), C.int64_t(count), unsafe.Pointer(&storage[0])))
}

// Download reads elements, and synchronizes.
func (context *Context) Download(storage []byte, b tensor.Buffer, offset int) error {
	count := b.DType().CountOf(len(storage))
	storage = atLeastOne(storage)
	return context.check(C.nn_buffer_download(context.table, context.raw, unsafe.Pointer(&storage[0]), handleOf(b),
		C.int64_t(offset), C.int64_t(count)))
}

// ---------------- order

// Synchronize waits for the work submitted so far and reports a bad value that it met.
func (context *Context) Synchronize() error {
	return context.check(C.nn_context_synchronize(context.table, context.raw))
}

// graph is a recorded step. It does not keep the recorded buffers alive; it goes with its context at the latest.
type graph struct {
	context *Context
	handle  C.cunn_graph
}

func (g *graph) Handle() int64 { return int64(g.handle) }

func (g *graph) Close() error {
	held := g.context.held
	held.Lock()
	defer held.Unlock()
	if _, there := held.graphs[g.handle]; !there || held.closed {
		return nil
	}
	if err := g.context.check(C.nn_graph_destroy(g.context.table, g.context.raw, g.handle)); err != nil {
		return err
	}
	delete(held.graphs, g.handle)
	return nil
}

func (context *Context) setRecording(recording bool) {
	context.held.Lock()
	defer context.held.Unlock()
	context.held.recording = recording
}

// GraphBegin starts recording.
func (context *Context) GraphBegin() error {
	if err := context.check(C.nn_graph_begin(context.table, context.raw)); err != nil {
		return err
	}
	context.setRecording(true)
	return nil
}

// GraphEnd ends the recording.
func (context *Context) GraphEnd() (tensor.Graph, error) {
	context.setRecording(false)
	var handle C.cunn_graph
	if err := context.check(C.nn_graph_end(context.table, context.raw, &handle)); err != nil {
		return nil, err
	}
	context.held.Lock()
	defer context.held.Unlock()
	context.held.graphs[handle] = struct{}{}
	return &graph{context, handle}, nil
}

// GraphLaunch executes what was recorded.
func (context *Context) GraphLaunch(recorded tensor.Graph) error {
	return context.check(C.nn_graph_launch(context.table, context.raw, graphOf(recorded)))
}

// GraphDump is one line of text per recorded operation.
func (context *Context) GraphDump(recorded tensor.Graph) (string, error) {
	var length C.int64_t
	text := make([]byte, 1)
	for {
		status := C.nn_graph_dump(context.table, context.raw, unsafe.Pointer(&text[0]), &length,
			graphOf(recorded), C.int64_t(len(text)))
		if err := context.check(status); err != nil {
			return "", err
		}
		if len(text) > int(length) {
			return string(text[:length]), nil
		}
		text = make([]byte, length+1)
	}
}

// ---------------- lifetime

// Close destroys every buffer made here and the context; buffers still referenced become unusable.
func (context *Context) Close() error {
	context.held.release()
	context.raw = 0
	return nil
}
