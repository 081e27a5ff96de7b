package tensor

import (
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"
)

// Reference is every operation in plain Go: readable, slow, and what the library's devices are measured against.
//
// There is one file per family of operations, with the stems of cuda/cpu and cuda/kernels. An op checks its arguments
// with a call, in the library's order and words, and submits a closure, which runs now or is recorded. A value that
// lives in a buffer (an id, an offset, a position) is checked when the closure runs; a bad one leaves the outputs
// untouched and is reported by the next Synchronize or Download.
type Reference struct {
	recording *referenceGraph
	fault     string
	ledger    *ledger
}

var _ Backend = (*Reference)(nil)

// NewReference makes a reference backend.
func NewReference() *Reference { return &Reference{ledger: &ledger{}} }

// Name is "reference".
func (r *Reference) Name() string { return "reference" }

// ISA is "go".
func (r *Reference) ISA() string { return "go" }

// Threads is 1.
func (r *Reference) Threads() int { return 1 }

// Close has nothing to release: the memory goes with its buffers.
func (r *Reference) Close() error { return nil }

// ledger counts the bytes of the memories that are alive, and their maximum.
type ledger struct{ now, peak atomic.Int64 }

// memory is what a buffer and its views share. Its words keep every element aligned.
type memory struct {
	words   []uint64
	users   int
	account *account
}

// account is a memory's entry in the ledger, struck out when the last user closes or, failing that, some time after the
// last reference went.
type account struct {
	ledger *ledger
	size   int64
	struck atomic.Bool
}

func (a *account) strike() {
	if !a.struck.Swap(true) {
		a.ledger.now.Add(-a.size)
	}
}

// referenceBuffer is flat memory in the dtype's storage; a view shares that of the buffer it was taken from.
type referenceBuffer struct {
	memory *memory
	bytes  []byte
	dtype  DType
	count  int
}

func (b *referenceBuffer) DType() DType  { return b.dtype }
func (b *referenceBuffer) Count() int    { return b.count }
func (b *referenceBuffer) Handle() int64 { return -1 }

func (b *referenceBuffer) Close() error {
	if m := b.memory; m != nil {
		b.memory, b.bytes = nil, nil
		if m.users--; m.users == 0 {
			m.account.strike()
		}
	}
	return nil
}

// ---------------- memory

// Buffer returns count elements, zero-filled.
func (r *Reference) Buffer(dtype DType, count int) (Buffer, error) {
	const op = "buffer_create"
	if err := r.refuseWhileRecording(op); err != nil {
		return nil, err
	}
	if count < 0 {
		return nil, invalid("%s: count is %d, expected at least 0", op, count)
	}
	if err := checkMultiple(op, "count", count, dtype); err != nil {
		return nil, err
	}
	size, fits := multiply(count, dtype.Bytes(QuantBlock))
	if size /= QuantBlock; !fits || size > maxMemory {
		text := fmt.Sprintf("%s: no memory for %d elements of %v", op, count, dtype)
		return nil, &BackendError{OutOfMemory, text}
	}
	m := &memory{words: make([]uint64, size/8+1), users: 1, account: &account{ledger: r.ledger, size: int64(size)}}
	now := r.ledger.now.Add(int64(size))
	r.ledger.peak.Store(max(r.ledger.peak.Load(), now))
	runtime.AddCleanup(m, (*account).strike, m.account)
	return &referenceBuffer{m, Bytes(m.words)[:size], dtype, count}, nil
}

// maxMemory is beyond what any machine has; Go ends the program where an allocation fails for less.
const maxMemory = 1 << 46

// View returns the elements [offset, offset + count) as a buffer of its own.
func (r *Reference) View(buffer Buffer, offset, count int) (Buffer, error) {
	own, part, err := r.part("buffer_view", buffer, offset, count)
	if err != nil {
		return nil, err
	}
	own.memory.users++
	return &referenceBuffer{own.memory, part, own.dtype, count}, nil
}

// Upload writes elements.
func (r *Reference) Upload(buffer Buffer, offset int, storage []byte) error {
	if err := r.refuseWhileRecording("buffer_upload"); err != nil {
		return err
	}
	_, part, err := r.part("buffer_upload", buffer, offset, buffer.DType().CountOf(len(storage)))
	if err != nil {
		return err
	}
	copy(part, storage)
	return nil
}

// Download reads elements, and synchronizes.
func (r *Reference) Download(storage []byte, buffer Buffer, offset int) error {
	if err := r.refuseWhileRecording("buffer_download"); err != nil {
		return err
	}
	_, part, err := r.part("buffer_download", buffer, offset, buffer.DType().CountOf(len(storage)))
	if err != nil {
		return err
	}
	if err := r.Synchronize(); err != nil {
		return err
	}
	copy(storage, part)
	return nil
}

// Memory is the bytes of buffers now, and at most so far.
func (r *Reference) Memory() (now, peak int, err error) {
	return int(r.ledger.now.Load()), int(r.ledger.peak.Load()), nil
}

// part is the storage of the elements [offset, offset + count).
func (r *Reference) part(op string, buffer Buffer, offset, count int) (*referenceBuffer, []byte, error) {
	own, ok := buffer.(*referenceBuffer)
	if !ok {
		return nil, nil, invalid("%s: buffer is of another backend, expected a buffer of reference", op)
	}
	if own.memory == nil {
		return nil, nil, invalid("%s: buffer was destroyed or never existed, expected a buffer", op)
	}
	for _, number := range []named{{"offset", offset}, {"count", count}} {
		if number.value < 0 {
			return nil, nil, invalid("%s: %s is %d, expected at least 0", op, number.name, number.value)
		}
	}
	if offset > own.count || count > own.count-offset {
		return nil, nil, invalid("%s: offset %d and count %d, expected at most the %d elements of the buffer",
			op, offset, count, own.count)
	}
	for _, number := range []named{{"offset", offset}, {"count", count}} {
		if err := checkMultiple(op, number.name, number.value, own.dtype); err != nil {
			return nil, nil, err
		}
	}
	return own, own.bytes[own.dtype.Bytes(offset):own.dtype.Bytes(offset+count)], nil
}

func checkMultiple(op, name string, value int, dtype DType) error {
	if dtype.IsQuantized() && value%QuantBlock != 0 {
		return invalid("%s: %s is %d, expected a multiple of %d for %v", op, name, value, QuantBlock, dtype)
	}
	return nil
}

func invalid(format string, arguments ...any) error {
	return &BackendError{InvalidArgument, fmt.Sprintf(format, arguments...)}
}

// ---------------- order

// step is a recorded op: what it does, the buffers it does it on, its line of text.
type step struct {
	run      func()
	accesses []access
	line     string
}

// referenceGraph is recorded ops, kept as closures.
type referenceGraph struct {
	steps  []step
	closed bool
}

func (g *referenceGraph) Handle() int64 { return -1 }

func (g *referenceGraph) Close() error {
	g.steps, g.closed = nil, true
	return nil
}

// submit runs a checked op, or records it.
func (r *Reference) submit(c *call, run func()) error {
	if c.checkOverlaps(); c.err != nil {
		return c.err
	}
	switch {
	case c.nothing:
	case r.recording != nil:
		r.recording.steps = append(r.recording.steps, step{run, c.accesses, c.line()})
	default:
		run()
	}
	return nil
}

// Synchronize reports the first bad value since the last call of it.
func (r *Reference) Synchronize() error {
	if err := r.refuseWhileRecording("context_synchronize"); err != nil {
		return err
	}
	fault := r.fault
	r.fault = ""
	if fault != "" {
		return &BackendError{Device, fault}
	}
	return nil
}

// report keeps the first fault for the next Synchronize.
func (r *Reference) report(format string, arguments ...any) {
	if r.fault == "" {
		r.fault = fmt.Sprintf(format, arguments...)
	}
}

// good says whether every value is in [least, limit), and reports the first that is not.
func (r *Reference) good(op, name string, values []int32, least, limit int) bool {
	for i, value := range values {
		if int(value) < least || limit <= int(value) {
			r.report("%s: %s[%d] is %d, expected %d to %d", op, name, i, value, least, limit-1)
			return false
		}
	}
	return true
}

// lengthsOf is the tokens of each sequence, all of them full without lengths; nil after a bad value.
func (r *Reference) lengthsOf(op string, lengths *referenceBuffer, batch, full int) []int {
	counts := make([]int, batch)
	for b := range counts {
		counts[b] = full
	}
	if lengths == nil {
		return counts
	}
	values := lengths.i32s(batch)
	if !r.good(op, "lengths", values, 0, full+1) {
		return nil
	}
	for b, value := range values {
		counts[b] = int(value)
	}
	return counts
}

// GraphBegin starts recording.
func (r *Reference) GraphBegin() error {
	if err := r.refuseWhileRecording("graph_begin"); err != nil {
		return err
	}
	r.recording = &referenceGraph{}
	return nil
}

// GraphEnd ends the recording.
func (r *Reference) GraphEnd() (Graph, error) {
	if r.recording == nil {
		return nil, invalid("graph_end: nothing is being recorded")
	}
	graph := r.recording
	r.recording = nil
	return graph, nil
}

// GraphLaunch executes what was recorded.
func (r *Reference) GraphLaunch(graph Graph) error {
	if err := r.refuseWhileRecording("graph_launch"); err != nil {
		return err
	}
	own, err := recorded("graph_launch", graph)
	if err != nil {
		return err
	}
	for _, step := range own.steps {
		for _, access := range step.accesses {
			if access.buffer.memory == nil {
				return invalid("graph_launch: a recorded buffer, first used as %s, was destroyed", access.name)
			}
		}
	}
	for _, step := range own.steps {
		step.run()
	}
	return nil
}

// GraphDump is one line of text per recorded operation.
func (r *Reference) GraphDump(graph Graph) (string, error) {
	own, err := recorded("graph_dump", graph)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, step := range own.steps {
		text.WriteString(step.line + "\n")
	}
	return text.String(), nil
}

func recorded(op string, graph Graph) (*referenceGraph, error) {
	own, ok := graph.(*referenceGraph)
	if !ok || own.closed {
		return nil, invalid("%s: graph was destroyed or never existed, expected a graph", op)
	}
	return own, nil
}

func (r *Reference) refuseWhileRecording(op string) error {
	if r.recording != nil {
		return invalid("%s: not allowed between graph_begin and graph_end", op)
	}
	return nil
}

// ---------------- elements

func elements[T Element](b *referenceBuffer, count int) []T {
	if len(b.bytes) == 0 {
		return nil
	}
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(&b.bytes[0])), len(b.bytes)/int(unsafe.Sizeof(one)))[:count]
}

func (b *referenceBuffer) i32s(count int) []int32 { return elements[int32](b, count) }
func (b *referenceBuffer) i64s(count int) []int64 { return elements[int64](b, count) }

// at is element i of a float buffer in f32.
func (b *referenceBuffer) at(i int) float32 {
	switch b.dtype {
	case BF16:
		return F32FromBF16(*(*uint16)(unsafe.Pointer(&b.bytes[2*i])))
	case F16:
		return F32FromF16(*(*uint16)(unsafe.Pointer(&b.bytes[2*i])))
	}
	return *(*float32)(unsafe.Pointer(&b.bytes[4*i]))
}

// set stores a value as element i of a float buffer, rounded to nearest even.
func (b *referenceBuffer) set(i int, value float32) {
	switch b.dtype {
	case BF16:
		*(*uint16)(unsafe.Pointer(&b.bytes[2*i])) = BF16FromF32(value)
	case F16:
		*(*uint16)(unsafe.Pointer(&b.bytes[2*i])) = F16FromF32(value)
	default:
		*(*float32)(unsafe.Pointer(&b.bytes[4*i])) = value
	}
}

// row is the elements [start, start + count), widened.
func (b *referenceBuffer) row(start, count int) []float32 {
	values := make([]float32, count)
	for i := range values {
		values[i] = b.at(start + i)
	}
	return values
}

// setRow stores values from element start on.
func (b *referenceBuffer) setRow(start int, values []float32) {
	for i, value := range values {
		b.set(start+i, value)
	}
}

// rounded is a value after a round trip through a float dtype.
func rounded(value float32, dtype DType) float32 {
	switch dtype {
	case BF16:
		return F32FromBF16(BF16FromF32(value))
	case F16:
		return F32FromF16(F16FromF32(value))
	}
	return value
}

func exp32(x float32) float32 { return float32(math.Exp(float64(x))) }

// formatG is a number as C's %g with so many digits.
func formatG(value float64, digits int) string {
	switch {
	case math.IsNaN(value):
		return "nan"
	case math.IsInf(value, 1):
		return "inf"
	case math.IsInf(value, -1):
		return "-inf"
	}
	return strconv.FormatFloat(value, 'g', digits, 64)
}
