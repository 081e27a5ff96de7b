package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// The safetensors format, read strictly and written in one form.
//
// A file is a u64 (little-endian) N, N bytes of JSON, and the data. The JSON maps each tensor's name to its dtype, shape
// and the begin and end of its bytes in the data; __metadata__ maps strings to strings. The tensors fill the data
// without gap or overlap. https://github.com/huggingface/safetensors

// itemSizes is dtype -> bytes of an element, in the order in which a sentence names them.
var itemSizes = []struct {
	dtype string
	bytes int
}{
	{"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"I16", 2}, {"U16", 2}, {"F16", 2}, {"BF16", 2},
	{"I32", 4}, {"U32", 4}, {"F32", 4}, {"F64", 8}, {"I64", 8}, {"U64", 8},
}

func itemSize(dtype string) (int, bool) {
	for _, item := range itemSizes {
		if item.dtype == dtype {
			return item.bytes, true
		}
	}
	return 0, false
}

const (
	// MaxHeader is the largest header that is read.
	MaxHeader = 100_000_000
	// MaxDimensions is the most that a shape may have.
	MaxDimensions = 8
)

// TensorInfo is what the header says of one tensor; Begin and End count bytes of the data.
type TensorInfo struct {
	DType      string
	Shape      tensor.Shape
	Begin, End int
}

// TensorEntry is a tensor to be written.
type TensorEntry struct {
	Name  string
	DType string
	Shape tensor.Shape
}

// NBytes is its size in the file.
func (e TensorEntry) NBytes() int {
	size, _ := itemSize(e.DType)
	return size * e.Shape.Size()
}

// SafetensorsFile is an open file: its tensors, its metadata, and the data, mapped.
//
// Everything is checked when the file is opened; reading a tensor cannot fail but for an unknown name. What Array returns
// is valid until Close.
type SafetensorsFile struct {
	Path     string
	Metadata map[string]string
	Tensors  map[string]TensorInfo
	// Names is the tensors in the order of the header.
	Names []string
	bytes []byte
	data  int
	unmap func() error
}

// OpenSafetensorsFile opens a file; kind says what kind of folder it should be in.
//
// Errors: file_missing, cannot_read, safetensors_* and those of strict JSON.
func OpenSafetensorsFile(path, kind string) (*SafetensorsFile, error) {
	bytes, unmap, err := files.Map(path, kind)
	if err != nil {
		return nil, err
	}
	file, err := ReadSafetensors(bytes, path)
	if err != nil {
		_ = unmap() // the fault in the file is the one to report
		return nil, err
	}
	file.unmap = unmap
	return file, nil
}

// Close unmaps the file. Closing twice is allowed.
func (f *SafetensorsFile) Close() error {
	unmap := f.unmap
	f.unmap, f.bytes = nil, nil
	if unmap == nil {
		return nil
	}
	return unmap()
}

// Array is the tensor's bytes as they are stored, not to be written. Errors: safetensors_no_tensor.
func (f *SafetensorsFile) Array(name string) ([]byte, error) {
	info, there := f.Tensors[name]
	if !there {
		return nil, messages.SafetensorsNoTensor(f.Path, jsonstrict.Quote(name))
	}
	return f.bytes[f.data+info.Begin : f.data+info.End], nil
}

// F32 is the tensor in f32; exact for bf16 and f16. Errors: safetensors_no_tensor, safetensors_bad_dtype.
func (f *SafetensorsFile) F32(name string) ([]float32, error) {
	data, err := f.Array(name)
	if err != nil {
		return nil, err
	}
	info := f.Tensors[name]
	values := make([]float32, info.Shape.Size())
	for i := range values {
		switch info.DType {
		case "F32":
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		case "BF16":
			values[i] = tensor.F32FromBF16(binary.LittleEndian.Uint16(data[2*i:]))
		case "F16":
			values[i] = tensor.F32FromF16(binary.LittleEndian.Uint16(data[2*i:]))
		default:
			return nil, messages.SafetensorsBadDtype(f.Path, jsonstrict.Quote(name), jsonstrict.Quote(info.DType), "F32, BF16, F16")
		}
	}
	return values, nil
}

// ReadSafetensors checks the bytes of a file.
//
// The order of the checks is part of the promise that every language names the same fault: the length, the JSON, each
// entry in the order of the header, then the entries in the order of their bytes. Errors: as OpenSafetensorsFile.
func ReadSafetensors(data []byte, path string) (*SafetensorsFile, error) {
	if len(data) < 8 {
		return nil, messages.SafetensorsTruncated(path, len(data), 8)
	}
	headerSize := binary.LittleEndian.Uint64(data)
	if headerSize > MaxHeader {
		return nil, messages.SafetensorsHeaderTooLarge(path, strconv.FormatUint(headerSize, 10), MaxHeader)
	}
	start := 8 + int(headerSize)
	if len(data) < start {
		return nil, messages.SafetensorsTruncated(path, len(data), start)
	}
	header, err := jsonstrict.LoadsObject(data[8:start], path)
	if err != nil {
		return nil, err
	}
	f := &SafetensorsFile{
		Path: path, Metadata: map[string]string{}, Tensors: map[string]TensorInfo{}, bytes: data, data: start,
	}
	for _, name := range header.Keys() {
		if name == "__metadata__" {
			if err := f.readMetadata(header.Get(name)); err != nil {
				return nil, err
			}
			continue
		}
		if err := f.readEntry(name, header.Get(name), len(data)-start); err != nil {
			return nil, err
		}
	}
	return f, f.checkContiguous(len(data) - start)
}

func (f *SafetensorsFile) readMetadata(value jsonstrict.Value) error {
	object, ok := value.(*jsonstrict.Object)
	if !ok {
		return messages.SafetensorsBadMetadata(f.Path)
	}
	for _, key := range object.Keys() {
		text, ok := object.Get(key).(string)
		if !ok {
			return messages.SafetensorsBadMetadata(f.Path)
		}
		f.Metadata[key] = text
	}
	return nil
}

func (f *SafetensorsFile) readEntry(name string, value jsonstrict.Value, dataSize int) error {
	quoted := jsonstrict.Quote(name)
	entry, ok := value.(*jsonstrict.Object)
	if !ok || !slices.Equal(slices.Sorted(slices.Values(entry.Keys())), []string{"data_offsets", "dtype", "shape"}) {
		return messages.SafetensorsBadEntry(f.Path, quoted)
	}
	dtype, _ := entry.Get("dtype").(string)
	nBytes, known := itemSize(dtype)
	if !known {
		var names []string
		for _, item := range itemSizes {
			names = append(names, item.dtype)
		}
		return messages.SafetensorsBadDtype(f.Path, quoted, jsonstrict.Describe(entry.Get("dtype")), strings.Join(names, ", "))
	}
	shape, ok := naturalNumbers(entry.Get("shape"))
	if !ok || len(shape) > MaxDimensions {
		return messages.SafetensorsBadShape(f.Path, quoted, MaxDimensions)
	}
	for _, extent := range shape {
		if extent != 0 && nBytes > math.MaxInt64/extent {
			return messages.SafetensorsShapeOverflow(f.Path, quoted)
		}
		nBytes *= extent
	}
	ends, ok := naturalNumbers(entry.Get("data_offsets"))
	if !ok || len(ends) != 2 || ends[0] > ends[1] {
		return messages.SafetensorsBadOffsets(f.Path, quoted)
	}
	begin, end := ends[0], ends[1]
	if end > dataSize {
		return messages.SafetensorsOutOfFile(f.Path, quoted, end, dataSize)
	}
	if end-begin != nBytes {
		return messages.SafetensorsWrongSize(f.Path, quoted, end-begin, nBytes)
	}
	f.Tensors[name] = TensorInfo{dtype, shape, begin, end}
	f.Names = append(f.Names, name)
	return nil
}

// naturalNumbers is the integers of an array of integers of at least 0; not ok for anything else.
func naturalNumbers(value jsonstrict.Value) (numbers []int, ok bool) {
	list, ok := value.([]jsonstrict.Value)
	if !ok {
		return nil, false
	}
	numbers = []int{}
	for _, item := range list {
		number, ok := item.(int)
		if !ok || number < 0 {
			return nil, false
		}
		numbers = append(numbers, number)
	}
	return numbers, true
}

// checkContiguous: sorted by (begin, end, name), each tensor begins where the one before it ends, and the last ends the
// file.
func (f *SafetensorsFile) checkContiguous(dataSize int) error {
	order := slices.Clone(f.Names)
	slices.SortFunc(order, func(a, b string) int {
		x, y := f.Tensors[a], f.Tensors[b]
		if x.Begin != y.Begin {
			return x.Begin - y.Begin
		}
		if x.End != y.End {
			return x.End - y.End
		}
		return strings.Compare(a, b)
	})
	at := 0
	for _, name := range order {
		info := f.Tensors[name]
		if info.Begin != at {
			return messages.SafetensorsNotContiguous(f.Path, jsonstrict.Quote(name), info.Begin, at)
		}
		at = info.End
	}
	if at != dataSize {
		return messages.SafetensorsTrailing(f.Path, dataSize, at)
	}
	return nil
}

// HeaderBytes is the length and the JSON of a file that holds entries in this order, padded with spaces to a multiple
// of 8.
func HeaderBytes(entries []TensorEntry, metadata *jsonstrict.Object) []byte {
	header := jsonstrict.NewObject("__metadata__", metadata)
	at := 0
	for _, entry := range entries {
		end := at + entry.NBytes()
		shape := make([]jsonstrict.Value, len(entry.Shape))
		for i, extent := range entry.Shape {
			shape[i] = extent
		}
		header.Set(entry.Name, jsonstrict.NewObject(
			"dtype", entry.DType, "shape", shape, "data_offsets", []jsonstrict.Value{at, end},
		))
		at = end
	}
	text := jsonstrict.DumpsCompact(header)
	text += strings.Repeat(" ", -len(text)&7)
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
}

// ByteOrder is the entries sorted by the bytes of their names.
func ByteOrder(entries []TensorEntry) []TensorEntry {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b TensorEntry) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// Fetch gives the bytes of a tensor when its turn to be written comes.
type Fetch func(name string) ([]byte, error)

// PTMetadata is the metadata of every file of weights.
func PTMetadata() *jsonstrict.Object { return jsonstrict.NewObject("format", "pt") }

// FileContent writes a file of entries: fetch is asked once for each, in the order of the names' bytes.
func FileContent(entries []TensorEntry, fetch Fetch, metadata *jsonstrict.Object) files.Fill {
	return func(w io.Writer) error {
		order := ByteOrder(entries)
		if _, err := w.Write(HeaderBytes(order, metadata)); err != nil {
			return err
		}
		for _, entry := range order {
			data, err := fetch(entry.Name)
			if err != nil {
				return err
			}
			if len(data) != entry.NBytes() {
				return fmt.Errorf("%s: got %d bytes, expected %d", entry.Name, len(data), entry.NBytes())
			}
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
		return nil
	}
}

// SaveFile writes one file, whole or not at all. Errors: disk_full, cannot_write and those of fetch.
func SaveFile(path string, entries []TensorEntry, fetch Fetch) error {
	return files.WriteFile(path, FileContent(entries, fetch, PTMetadata()))
}
