package tensor

// Graph is a recorded sequence of operations.
type Graph interface {
	// Handle is the library's name for it; -1 on the reference backend, as for a buffer.
	Handle() int64
	// Close forgets the recording now. Closing twice is allowed.
	Close() error
}

// Backend is a device with its memory, its operations and its recorded steps.
//
// Operations run in the order of their calls and may still run when the call returns. A backend is used by one
// goroutine at a time. Every error is a *BackendError.
type Backend interface {
	// Name is the device: "reference", "cpu", "cuda" or "simt".
	Name() string
	// ISA is the instruction set in use ("avx512", "sm_90", "go").
	ISA() string
	// Threads is the number of host threads that compute, the caller included.
	Threads() int

	// ---------------- memory

	// Buffer returns count elements, zero-filled; a multiple of 32 for q8 and q4.
	Buffer(dtype DType, count int) (Buffer, error)
	// View returns the elements [offset, offset + count) of buffer as a buffer of its own on the same memory.
	View(buffer Buffer, offset, count int) (Buffer, error)
	// Upload writes the elements from offset on; storage holds them in the buffer's dtype (see Bytes) and has been read
	// on return.
	Upload(buffer Buffer, offset int, storage []byte) error
	// Download reads as many elements from offset on as storage holds, and synchronizes.
	Download(storage []byte, buffer Buffer, offset int) error

	// ---------------- order

	// Synchronize waits for the work submitted so far and reports a bad value that it met.
	Synchronize() error
	// GraphBegin: from here on operations are checked and recorded, and nothing executes.
	GraphBegin() error
	// GraphEnd ends the recording.
	GraphEnd() (Graph, error)
	// GraphLaunch executes what was recorded, on the buffers that were recorded.
	GraphLaunch(graph Graph) error
	// GraphDump is one line of text per recorded operation.
	GraphDump(graph Graph) (string, error)

	// ---------------- lifetime

	// Memory is the bytes of buffers and scratch now, and at most so far.
	Memory() (now, peak int, err error)
	// Close releases the device and every buffer that was made here. Closing twice is allowed.
	Close() error

	Ops
}
