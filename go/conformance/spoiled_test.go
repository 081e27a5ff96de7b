package conformance

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Calls that are spoiled in one argument read the same on the reference and on the library.
func TestSpoiledCallsReadTheSame(t *testing.T) {
	if why := cuda.WhyNot("cpu"); why != "" {
		t.Skip(why)
	}
	library, err := cuda.OpenBackend("cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer library.Close()
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	seen, compared := map[string]bool{}, 0
	for _, c := range cases {
		if seen[c.Op] || c.Family == "edges" || c.Family == "aliasing" {
			continue
		}
		seen[c.Op] = true
		for i := range c.Arguments {
			for _, how := range spoilings(c.Arguments[i]) {
				reference, err := spoiled(tensor.NewReference(), c, i, how)
				if err != nil {
					t.Fatal(err)
				}
				native, err := spoiled(library, c, i, how)
				if err != nil {
					t.Fatal(err)
				}
				compared++
				if native = strings.ReplaceAll(native, "a buffer of cpu", "a buffer of reference"); reference != native {
					t.Errorf("%s with %s %s:\nreference %q\nlibrary   %q", c.Name, c.Arguments[i].Name, how, reference, native)
				}
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d calls were compared", compared)
	}
}

func spoilings(a Argument) []string {
	switch {
	case a.Role == "none" || a.Role == "same":
		return nil
	case a.Role != "":
		return []string{"none", "of another dtype", "empty", "closed"}
	case strings.ContainsAny(a.Scalar, ".einf"):
		return []string{"nan", "inf", "-1.5", "1e300"}
	}
	return []string{"-1", "0", "1073741824", "4611686018427387904"}
}

// spoiled makes the call of a case with one argument spoiled, and returns the error's status and text. What an input
// holds does not matter here, so that nothing is uploaded and every value is 0.
func spoiled(backend tensor.Backend, c *Case, at int, how string) (text string, err error) {
	method := reflect.ValueOf(backend).MethodByName(methods()[folded(c.Op)].Name)
	buffers := map[string]tensor.Buffer{}
	values := make([]reflect.Value, len(c.Arguments))
	for i, a := range c.Arguments {
		dtype, count := a.DType, a.Count
		if i == at && a.Role != "" {
			switch how {
			case "of another dtype":
				dtype = tensor.U8
			case "empty":
				count = 0
			}
		} else if i == at {
			a.Scalar = how
		}
		if a.Role == "in" || a.Role == "inout" || a.Role == "out" {
			buffer, err := backend.Buffer(dtype, count)
			if err != nil {
				return "", err
			}
			defer buffer.Close()
			buffers[a.Name] = buffer
			if i == at && how == "closed" {
				if err := buffer.Close(); err != nil {
					return "", err
				}
			}
		}
		kind := method.Type().In(i)
		if kind.Kind() == reflect.Bool && a.Scalar != "1" {
			a.Scalar = "0"
		}
		if kind.Kind() == reflect.Int32 && len(a.Scalar) > 11 {
			a.Scalar = "2147483647"
		}
		if values[i], err = argument(a, kind, buffers); err != nil {
			return "", err
		}
		if i == at && how == "none" {
			values[i] = reflect.Zero(kind)
		}
	}
	failed, _ := method.Call(values)[0].Interface().(error)
	failed = tensor.First(failed, backend.Synchronize())
	var failure *tensor.BackendError
	if errors.As(failed, &failure) {
		return fmt.Sprintf("%v: %s", failure.Status, failure.Text), nil
	}
	return "", failed
}
