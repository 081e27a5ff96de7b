package tensor

// Buffer is a flat run of Count elements of one dtype on one backend; shapes belong to the operations and to Tensor.
type Buffer interface {
	DType() DType
	Count() int
	// Handle is the library's name for it; -1 on the reference backend, which has no use for one.
	Handle() int64
	// Close gives the memory back now instead of some time after the last reference went. Closing twice is allowed.
	Close() error
}

// Graph is a recorded sequence of operations.
type Graph interface {
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

// First returns the first error of a sequence of calls that have all been made.
//
// A device takes its calls in order and a failed one leaves its outputs as they were, so that a forward pass reads as
// the list of its operations:
//
//	return tensor.First(
//		be.GEMM(...),
//		be.RoPEForward(...),
//	)
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
