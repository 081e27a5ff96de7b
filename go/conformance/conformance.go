// Package conformance holds any tensor.Backend to the cases of cuda/vectors: one call of one operation each, with float64
// truth and derived bounds (see the README there).
//
//	conformance.Test(t, backend)
package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Case is one call with its tensors by argument: Before, After and Bound.
type Case struct {
	Family    string
	Name      string
	Op        string
	Arguments []Argument
	Before    map[string][]byte
	After     map[string][]byte
	Bound     map[string][]float32
}

// Argument is a scalar, or a buffer with its role; Other names the argument whose buffer it shares.
type Argument struct {
	Name   string
	Scalar string
	Role   string
	DType  tensor.DType
	Count  int
	Other  string
}

// Load reads every case of every family.
func Load() ([]*Case, error) {
	paths, err := filepath.Glob(filepath.Join(testcases.Vectors(), "*.safetensors"))
	if err != nil {
		return nil, err
	}
	var cases []*Case
	for _, path := range paths {
		family, err := loadFamily(path)
		if err != nil {
			return nil, err
		}
		cases = append(cases, family...)
	}
	return cases, nil
}

func loadFamily(path string) ([]*Case, error) {
	file, err := model.OpenSafetensorsFile(path, "folder of vectors")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if file.Metadata["format"] != "cunn-vectors-1" {
		return nil, fmt.Errorf("%s: not a vector file of format 1", path)
	}
	family := strings.TrimSuffix(filepath.Base(path), ".safetensors")
	cases := map[string]*Case{}
	for name, line := range file.Metadata {
		if name == "format" || strings.HasSuffix(name, "#bounds") {
			continue
		}
		if cases[name], err = parseCall(family, name, line); err != nil {
			return nil, err
		}
	}
	for _, name := range file.Names {
		data, err := file.Array(name)
		if err != nil {
			return nil, err
		}
		data = bytes.Clone(data)
		at := strings.LastIndex(name, "/")
		part := strings.LastIndex(name[:at], "/")
		c, argument := cases[name[:part]], name[at+1:]
		switch name[part+1 : at] {
		case "in":
			c.Before[argument] = data
		case "out":
			c.After[argument] = data
		case "bound":
			c.Bound[argument] = decode(data, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
		}
	}
	var sorted []*Case
	for _, c := range cases {
		sorted = append(sorted, c)
	}
	slices.SortFunc(sorted, func(a, b *Case) int { return strings.Compare(a.Name, b.Name) })
	return sorted, nil
}

func decode[T any](data []byte, size int, one func([]byte) T) []T {
	values := make([]T, len(data)/size)
	for i := range values {
		values[i] = one(data[i*size:])
	}
	return values
}

func parseCall(family, name, line string) (*Case, error) {
	words := strings.Split(line, " ")
	c := &Case{
		Family: family, Name: name, Op: words[0],
		Before: map[string][]byte{}, After: map[string][]byte{}, Bound: map[string][]float32{},
	}
	for _, word := range words[1:] {
		argument, text, _ := strings.Cut(word, "=")
		a := Argument{Name: argument}
		role, isBuffer := strings.CutPrefix(text, "@")
		parts := strings.Split(role, ":")
		switch {
		case !isBuffer:
			a.Scalar = text
		case parts[0] == "none":
			a.Role = "none"
		case parts[0] == "same":
			a.Role, a.Other = "same", parts[1]
		default:
			count, err := strconv.Atoi(parts[2])
			dtype, known := tensor.DTypeOf(parts[1])
			if err != nil || !known || !slices.Contains([]string{"in", "inout", "out"}, parts[0]) {
				return nil, fmt.Errorf("%s: %s: not an argument", name, word)
			}
			a.Role, a.DType, a.Count = parts[0], dtype, count
		}
		c.Arguments = append(c.Arguments, a)
	}
	return c, nil
}

// Test runs every case on the backend, called directly and as a recorded graph, and checks that every op has one.
func Test(t *testing.T, backend tensor.Backend) {
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	untested := methods()
	for _, c := range cases {
		delete(untested, folded(c.Op))
		for _, recorded := range []bool{false, true} {
			differences, err := Run(backend, c, recorded)
			if err != nil {
				t.Errorf("%s: recorded %v: %v", c.Name, recorded, err)
			}
			for _, difference := range differences {
				t.Errorf("%s (recorded %v)", difference, recorded)
			}
		}
	}
	for op := range untested {
		t.Errorf("%s has no case", op)
	}
}

func folded(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// methods is the ops of a backend by their folded names.
func methods() map[string]reflect.Method {
	ops := reflect.TypeFor[tensor.Ops]()
	found := map[string]reflect.Method{}
	for i := range ops.NumMethod() {
		found[folded(ops.Method(i).Name)] = ops.Method(i)
	}
	return found
}

// Run executes a case (recorded: as a graph, launched once) and describes every difference; none when it passes.
func Run(backend tensor.Backend, c *Case, recorded bool) (differences []string, err error) {
	buffers := map[string]tensor.Buffer{}
	defer func() {
		for _, buffer := range buffers {
			err = tensor.First(err, buffer.Close())
		}
	}()
	for _, a := range c.Arguments {
		if a.Role != "in" && a.Role != "inout" && a.Role != "out" {
			continue
		}
		content := c.Before[a.Name]
		if content == nil { // what an output holds before the call: a quiet NaN, or a number that no case expects
			content = bytes.Repeat([]byte{0x7f}, a.DType.Bytes(a.Count))
		}
		buffer, err := backend.Buffer(a.DType, a.Count)
		if err != nil {
			return nil, err
		}
		buffers[a.Name] = buffer
		if err := backend.Upload(buffer, 0, content); err != nil {
			return nil, err
		}
	}
	if err := call(backend, c, buffers, recorded); err != nil {
		return nil, err
	}
	for _, a := range c.Arguments {
		if a.Role == "" || a.Role == "none" {
			continue
		}
		difference, err := compare(backend, c, a, buffers)
		if err != nil {
			return nil, err
		}
		if difference != "" {
			differences = append(differences, difference)
		}
	}
	return differences, nil
}

func call(backend tensor.Backend, c *Case, buffers map[string]tensor.Buffer, recorded bool) error {
	method := reflect.ValueOf(backend).MethodByName(methods()[folded(c.Op)].Name)
	var values []reflect.Value
	for i, a := range c.Arguments {
		value, err := argument(a, method.Type().In(i), buffers)
		if err != nil {
			return fmt.Errorf("%s=%s: %w", a.Name, a.Scalar, err)
		}
		values = append(values, value)
	}
	run := func() error {
		err, _ := method.Call(values)[0].Interface().(error)
		return err
	}
	if !recorded {
		return tensor.First(run(), backend.Synchronize())
	}
	if err := backend.GraphBegin(); err != nil {
		return err
	}
	failed := run()
	graph, err := backend.GraphEnd()
	if err := tensor.First(failed, err); err != nil {
		return err
	}
	return tensor.First(backend.GraphLaunch(graph), backend.Synchronize(), graph.Close())
}

func argument(a Argument, kind reflect.Type, buffers map[string]tensor.Buffer) (reflect.Value, error) {
	switch a.Role {
	case "none":
		return reflect.Zero(kind), nil
	case "same":
		return reflect.ValueOf(buffers[a.Other]), nil
	case "in", "inout", "out":
		return reflect.ValueOf(buffers[a.Name]), nil
	}
	value := reflect.New(kind).Elem()
	switch kind.Kind() {
	case reflect.Bool:
		value.SetBool(a.Scalar == "1")
		return value, nil
	case reflect.Float64:
		number, err := strconv.ParseFloat(a.Scalar, 64)
		value.SetFloat(number)
		return value, err
	}
	integer, err := strconv.ParseInt(a.Scalar, 10, 64)
	value.SetInt(integer)
	return value, err
}

func compare(backend tensor.Backend, c *Case, a Argument, buffers map[string]tensor.Buffer) (string, error) {
	name, source := a.Name, a
	if a.Other != "" {
		source = c.Arguments[slices.IndexFunc(c.Arguments, func(other Argument) bool { return other.Name == a.Other })]
	}
	buffer := buffers[source.Name]
	got := make([]byte, source.DType.Bytes(buffer.Count()))
	if err := backend.Download(got, buffer, 0); err != nil {
		return "", err
	}
	if a.Role == "in" {
		shared := slices.ContainsFunc(c.Arguments, func(other Argument) bool { return other.Other == name })
		if !shared && !bytes.Equal(got, c.Before[name]) {
			return c.Name + ": " + name + " is an input and was changed", nil
		}
		return "", nil
	}
	want, stated := c.After[name]
	if !stated {
		return "", nil
	}
	values := numbers(got, source.DType)
	if bound, bounded := c.Bound[name]; bounded {
		truth := decode(want, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
		return firstDifference(c, name, values, truth, bound), nil
	}
	truth := numbers(want, source.DType)
	return firstDifference(c, name, values, truth, make([]float32, len(truth))), nil
}

// numbers is the elements as f64, of q8 and q4 the bytes; i64 beyond 2^53 do not occur.
func numbers(data []byte, dtype tensor.DType) []float64 {
	le := binary.LittleEndian
	switch dtype {
	case tensor.F32:
		return decode(data, 4, func(b []byte) float64 { return float64(math.Float32frombits(le.Uint32(b))) })
	case tensor.BF16:
		return decode(data, 2, func(b []byte) float64 { return float64(tensor.F32FromBF16(le.Uint16(b))) })
	case tensor.F16:
		return decode(data, 2, func(b []byte) float64 { return float64(tensor.F32FromF16(le.Uint16(b))) })
	case tensor.I32:
		return decode(data, 4, func(b []byte) float64 { return float64(int32(le.Uint32(b))) })
	case tensor.I64:
		return decode(data, 8, func(b []byte) float64 { return float64(int64(le.Uint64(b))) })
	}
	return decode(data, 1, func(b []byte) float64 { return float64(b[0]) })
}

func firstDifference(c *Case, name string, got, want []float64, bound []float32) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%s: %s has %d elements, expected %d", c.Name, name, len(got), len(want))
	}
	bad, worst, excess := 0, 0, -1.0
	for i, truth := range want {
		missed := math.Abs(got[i] - truth)
		good := missed <= float64(bound[i])
		if math.IsNaN(truth) || math.IsInf(truth, 0) {
			good = got[i] == truth || math.IsNaN(got[i]) && math.IsNaN(truth)
		}
		if good {
			continue
		}
		bad++
		share := missed / float64(bound[i])
		if math.IsNaN(share) {
			share = math.Inf(1)
		}
		if share > excess {
			worst, excess = i, share
		}
	}
	if bad == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %s[%d] is %v, expected %v within %v (%d of %d elements are out of bounds)",
		c.Name, name, worst, got[worst], want[worst], bound[worst], bad, len(want))
}
