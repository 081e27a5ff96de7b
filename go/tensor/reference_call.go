package tensor

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

var (
	floats      = []DType{F32, BF16, F16}
	quantized   = []DType{Q8, Q4}
	unquantized = []DType{F32, BF16, F16, I32, I64, U8}
	anyDType    = []DType{F32, BF16, F16, I32, I64, U8, Q8, Q4}
	onlyF32     = []DType{F32}
	onlyI32     = []DType{I32}
	onlyI64     = []DType{I64}
)

type named struct {
	name  string
	value int
}

// extent is how much of a buffer an argument covers: runs of consecutive elements, repeated at strides.
type extent struct {
	total       int   // elements from the first to the last, inclusive
	huge        bool  // 63 bits cannot count them
	dims        []int // as the caller gave them, for sentences
	strides     []int
	stride      int // of the outermost level that repeats; 0: contiguous
	span        int // elements within one step of that stride
	selfOverlap bool
}

func (e extent) String() string {
	text := Shape(e.dims).String()
	switch len(e.strides) {
	case 0:
		return text
	case 1:
		return text + " with leading dimension " + strconv.Itoa(e.strides[0])
	}
	var words []string
	for _, stride := range e.strides {
		words = append(words, strconv.Itoa(stride))
	}
	last := len(words) - 1
	return text + " with strides " + strings.Join(words[:last], ", ") + " and " + words[last]
}

// multiply is a b of numbers of at least 0, and whether 63 bits hold it.
func multiply(a, b int) (int, bool) {
	high, low := bits.Mul64(uint64(a), uint64(b))
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64, false
	}
	return int(low), true
}

// reach is (count - 1) step + size, and whether 63 bits hold it.
func reach(count, step, size int) (int, bool) {
	far, fits := multiply(count-1, step)
	if !fits || far > math.MaxInt64-size {
		return math.MaxInt64, false
	}
	return far + size, true
}

// dense is contiguous elements.
func dense(dims ...int) extent {
	e := extent{total: 1, dims: dims}
	for _, dim := range dims {
		if dim == 0 {
			return extent{dims: dims}
		}
		var fits bool
		if e.total, fits = multiply(e.total, dim); !fits {
			e.huge = true
		}
	}
	return e
}

// rowsOf is rows of cols elements, ld apart.
func rowsOf(rows, cols, ld int) extent {
	e := extent{dims: []int{rows, cols}}
	if ld != cols {
		e.strides = []int{ld}
	}
	if rows <= 0 || cols <= 0 {
		return e
	}
	total, fits := reach(rows, ld, cols)
	e.total, e.huge = total, !fits
	if rows > 1 && ld != cols {
		e.stride, e.span = ld, cols
	}
	return e
}

type level struct{ count, step int }

// strided is inner elements at every combination of two levels, in whatever order they nest.
func strided(inner int, outer, middle level) extent {
	e := extent{dims: []int{outer.count, middle.count, inner}, strides: []int{outer.step, middle.step}}
	if outer.count <= 0 || middle.count <= 0 || inner <= 0 {
		return e
	}
	e.total = inner
	levels := []level{outer, middle}
	if middle.step < outer.step {
		levels = []level{middle, outer}
	}
	for _, l := range levels {
		if l.count > 1 {
			e.selfOverlap = e.selfOverlap || l.step < e.total
			e.stride, e.span = l.step, e.total
			total, fits := reach(l.count, l.step, e.total)
			e.total, e.huge = total, e.huge || !fits
		}
	}
	return e
}

// access is one buffer argument; stride and span are in bytes, alias names the outputs that may stand in exactly the same
// elements.
type access struct {
	name         string
	buffer       *referenceBuffer
	begin        uintptr
	bytes        int
	stride, span int
	output       bool
	alias        []string
}

// call is the arguments of one op, checked one by one, with the sentences of the library. Outputs come first, then
// inputs: each access is checked when it is made, overlaps by the end. The first error sticks.
type call struct {
	op       string
	accesses []access
	numbers  []string
	nothing  bool // the problem has no elements: everything is checked and nothing runs
	err      error
}

func newCall(op string) *call { return &call{op: op} }

func (c *call) require(holds bool, format string, arguments ...any) {
	if !holds && c.err == nil {
		c.err = invalid(c.op+": "+format, arguments...)
	}
}

// ---------------- numbers

// dims are at least 0; they are remembered for a graph's text.
func (c *call) dims(dims ...named) {
	for _, dim := range dims {
		c.atLeast(dim.name, dim.value, 0)
		c.numbers = append(c.numbers, dim.name+"="+strconv.Itoa(dim.value))
	}
}

func (c *call) atLeast(name string, value, least int) {
	c.require(value >= least, "%s is %d, expected at least %d", name, value, least)
}

func (c *call) atMost(name string, value, most int, because string) {
	if because != "" {
		because = " (" + because + ")"
	}
	c.require(value <= most, "%s is %d, expected at most %d%s", name, value, most, because)
}

func (c *call) fitsI32(name string, count int) {
	c.atMost(name, count, math.MaxInt32, "they are numbered in i32")
}

func (c *call) product(name string, a, b int) int {
	if c.err != nil {
		return 0
	}
	result, fits := multiply(a, b)
	c.require(fits, "%s is %dx%d, which 63 bits cannot count", name, a, b)
	return result
}

// numbered: n elements that are numbered from start, in 63 bits.
func (c *call) numbered(name string, start, n int) {
	c.atLeast(name, start, 0)
	c.require(start <= math.MaxInt64-n, "%s is %d, which leaves no room for %d elements in 63 bits", name, start, n)
}

func (c *call) flag(name string, value bool) {
	if value {
		c.numbers = append(c.numbers, name+"=1")
	} else {
		c.numbers = append(c.numbers, name+"=0")
	}
}

func (c *call) real(name string, value, least float64) float64 {
	c.require(!math.IsNaN(value) && !math.IsInf(value, 0), "%s is %s, expected a finite number", name, formatG(value, 6))
	c.require(value >= least, "%s is %s, expected at least %s", name, formatG(value, 6), formatG(least, 6))
	c.numbers = append(c.numbers, name+"="+formatG(value, 9))
	return value
}

func (c *call) real32(name string, value, least float64) float32 {
	narrow := float32(c.real(name, value, least))
	c.require(!math.IsInf(float64(narrow), 0), "%s is %s, expected a finite f32", name, formatG(value, 6))
	return narrow
}

var anyReal = math.Inf(-1)

// fillValue: an integer dtype takes integers in its range, a float dtype takes anything.
func (c *call) fillValue(name string, value float64, dtype DType) {
	least, most := math.Inf(-1), math.Inf(1)
	switch dtype {
	case I32:
		least, most = math.MinInt32, math.MaxInt32
	case I64:
		least, most = math.MinInt64, math.Nextafter(1<<63, 0)
	case U8:
		least, most = 0, 255
	}
	if !dtype.IsFloat() {
		holds := least <= value && value <= most && value == math.Trunc(value)
		c.require(holds, "%s is %s, expected an integer that %v holds", name, formatG(value, 6), dtype)
	}
	c.numbers = append(c.numbers, name+"="+formatG(value, 9))
}

// ---------------- extents

func (c *call) matrix(rows, cols int, ldName string, ld int) extent {
	c.atLeast(ldName, ld, cols)
	return rowsOf(rows, cols, ld)
}

// repeated is batch matrices, stride elements apart.
func (c *call) repeated(batch int, strideName string, stride, rows, cols int, ldName string, ld int) extent {
	c.atLeast(ldName, ld, cols)
	c.atLeast(strideName, stride, 0)
	return strided(cols, level{batch, stride}, level{rows, ld})
}

// ---------------- buffers

func (c *call) out(name string, buffer Buffer, e extent, dtypes []DType) *referenceBuffer {
	return c.access(name, buffer, e, dtypes, true, nil)
}

// in is an input; alias names the outputs that may stand in its elements.
func (c *call) in(name string, buffer Buffer, e extent, dtypes []DType, alias ...string) *referenceBuffer {
	return c.access(name, buffer, e, dtypes, false, alias)
}

// inOrNone is nil for no buffer.
func (c *call) inOrNone(name string, buffer Buffer, e extent, dtypes []DType, alias ...string) *referenceBuffer {
	if buffer == nil {
		return nil
	}
	return c.access(name, buffer, e, dtypes, false, alias)
}

func (c *call) sameDType(name string, buffer *referenceBuffer, like string, expected *referenceBuffer) {
	c.require(buffer.dtype == expected.dtype, "%s is %v, expected %v like %s", name, buffer.dtype, expected.dtype, like)
}

func (c *call) access(name string, buffer Buffer, e extent, dtypes []DType, output bool, alias []string) *referenceBuffer {
	own, ok := buffer.(*referenceBuffer)
	c.require(buffer != nil, "%s is 0, expected a buffer", name)
	c.require(ok, "%s is of another backend, expected a buffer of reference", name)
	if c.err != nil {
		return &referenceBuffer{}
	}
	c.require(own.memory != nil, "%s was destroyed or never existed, expected a buffer", name)
	c.require(slices.Contains(dtypes, own.dtype), "%s is %v, expected %s", name, own.dtype, listed(dtypes))
	if e.huge || e.total > own.count {
		shape := e.String()
		if e.huge {
			shape += ", which 63 bits cannot count"
		} else if len(e.dims) > 1 || len(e.strides) > 0 {
			shape += " = " + strconv.Itoa(e.total)
		}
		c.require(false, "%s holds %d elements, expected at least %s", name, own.count, shape)
	}
	c.require(!output || !e.selfOverlap, "%s is %v, expected strides that keep its rows apart", name, e)
	if c.err != nil {
		return own
	}
	a := access{name: name, buffer: own, bytes: own.dtype.Bytes(e.total), output: output, alias: alias}
	if len(own.bytes) > 0 {
		a.begin = uintptr(unsafe.Pointer(&own.bytes[0]))
	}
	if !own.dtype.IsQuantized() {
		a.stride, a.span = own.dtype.Bytes(e.stride), own.dtype.Bytes(e.span)
	}
	c.accesses = append(c.accesses, a)
	return own
}

// listed is "f32, bf16 or f16".
func listed(dtypes []DType) string {
	var names []string
	for _, dtype := range slices.Sorted(slices.Values(dtypes)) {
		names = append(names, dtype.Label())
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// ---------------- all together

// checkOverlaps compares outputs with everything that was named after them.
func (c *call) checkOverlaps() {
	for i, out := range c.accesses {
		if !out.output {
			continue
		}
		for _, other := range c.accesses[i+1:] {
			if disjoint(out, other) {
				continue
			}
			c.require(slices.Contains(other.alias, out.name),
				"%s overlaps %s, expected memory of its own", out.name, other.name)
			same := out.begin == other.begin && out.stride == other.stride && out.buffer.dtype == other.buffer.dtype
			c.require(same, "%s overlaps %s, expected exactly the same elements or none", out.name, other.name)
		}
	}
}

// line is the op's line in a graph's text.
func (c *call) line() string {
	words := []string{c.op}
	for _, access := range c.accesses {
		words = append(words, access.name+":"+access.buffer.dtype.Label())
	}
	return strings.Join(append(words, c.numbers...), " ")
}

func disjoint(a, b access) bool {
	if a.bytes == 0 || b.bytes == 0 || a.begin+uintptr(a.bytes) <= b.begin || b.begin+uintptr(b.bytes) <= a.begin {
		return true
	}
	// Interleaved rows, such as q, k and v in one matrix: apart when both step alike and their rows fit side by side.
	if a.stride == 0 || a.stride != b.stride {
		return false
	}
	offset := (int(b.begin) - int(a.begin)) % a.stride
	if offset < 0 {
		offset += a.stride
	}
	return offset >= a.span && offset+b.span <= a.stride
}
