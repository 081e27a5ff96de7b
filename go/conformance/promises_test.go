package conformance

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/testdevices"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// What every backend promises of memory, order and recording.

func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func requireSentence(t *testing.T, err error, want string) {
	t.Helper()
	var failure *tensor.BackendError
	if !errors.As(err, &failure) || failure.Status != tensor.InvalidArgument || failure.Text != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestBuffersAreZeroAndKeepBytes(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		for dtype := tensor.F32; dtype <= tensor.Q4; dtype++ {
			buffer := must[tensor.Buffer](t)(backend.Buffer(dtype, 96))
			zeros := make([]byte, dtype.Bytes(96))
			got := make([]byte, len(zeros))
			if err := backend.Download(got, buffer, 0); err != nil || !bytes.Equal(got, zeros) {
				t.Errorf("%v: a new buffer holds %v (%v)", dtype, got, err)
			}
			content := bytes.Repeat([]byte{1, 2, 3, 5, 7, 11, 13}, len(got)/7+1)[:len(got)]
			tail := got[:dtype.Bytes(64)]
			err := tensor.First(backend.Upload(buffer, 0, content), backend.Download(tail, buffer, 32))
			if err != nil || !bytes.Equal(tail, content[dtype.Bytes(32):]) {
				t.Errorf("%v: the end of the buffer is %v (%v)", dtype, tail, err)
			}
		}
	})
}

func TestViewsShareAndOutlive(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		whole := must[tensor.Buffer](t)(tensor.BufferOf(backend, tensor.I32, []int32{0, 1, 2, 3, 4, 5, 6, 7}))
		view := must[tensor.Buffer](t)(backend.View(whole, 2, 5))
		inner := must[tensor.Buffer](t)(backend.View(view, 1, 2))
		if err := tensor.First(backend.Upload(view, 1, tensor.Bytes([]int32{30})), whole.Close(), view.Close()); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		if got := must[[]int32](t)(tensor.Read[int32](backend, inner, 0, 2)); got[0] != 30 || got[1] != 4 {
			t.Errorf("got %v", got)
		}
	})
}

func TestRanges(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		buffer := must[tensor.Buffer](t)(backend.Buffer(tensor.F32, 8))
		for _, c := range []struct {
			offset, count int
			text          string
		}{
			{-1, 2, "offset is -1, expected at least 0"},
			{0, -1, "count is -1, expected at least 0"},
			{6, 3, "offset 6 and count 3, expected at most the 8 elements of the buffer"},
			{9, 0, "offset 9 and count 0, expected at most the 8 elements of the buffer"},
		} {
			_, err := backend.View(buffer, c.offset, c.count)
			requireSentence(t, err, "buffer_view: "+c.text)
		}
		_, err := backend.Buffer(tensor.Q4, 40)
		requireSentence(t, err, "buffer_create: count is 40, expected a multiple of 32 for q4")
	})
}

func TestRecording(t *testing.T) {
	testdevices.Each(t, func(t *testing.T, backend tensor.Backend) {
		x := must[tensor.Buffer](t)(tensor.BufferOf(backend, tensor.F32, []float32{1, 2}))
		if err := backend.GraphBegin(); err != nil {
			t.Fatal(err)
		}
		refused := " not allowed between graph_begin and graph_end"
		requireSentence(t, backend.GraphBegin(), "graph_begin:"+refused)
		requireSentence(t, backend.Synchronize(), "context_synchronize:"+refused)
		requireSentence(t, backend.Upload(x, 0, make([]byte, 8)), "buffer_upload:"+refused)
		requireSentence(t, backend.Download(make([]byte, 8), x, 0), "buffer_download:"+refused)
		_, err := backend.Buffer(tensor.F32, 1)
		requireSentence(t, err, "buffer_create:"+refused)
		if err := backend.AddForward(x, x, x, 2); err != nil {
			t.Fatal(err)
		}
		graph := must[tensor.Graph](t)(backend.GraphEnd())
		if got := must[[]float32](t)(tensor.Read[float32](backend, x, 0, 2)); got[1] != 2 {
			t.Errorf("recording executed: %v", got)
		}
		if err := tensor.First(backend.GraphLaunch(graph), backend.GraphLaunch(graph)); err != nil {
			t.Fatal(err)
		}
		if got := must[[]float32](t)(tensor.Read[float32](backend, x, 0, 2)); got[1] != 8 {
			t.Errorf("two launches gave %v", got)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		requireSentence(t, backend.GraphLaunch(graph), "graph_launch: a recorded buffer, first used as y, was destroyed")
		if err := tensor.First(graph.Close(), graph.Close()); err != nil {
			t.Error(err)
		}
		requireSentence(t, backend.GraphLaunch(graph), "graph_launch: graph was destroyed or never existed, expected a graph")
		_, err = backend.GraphEnd()
		requireSentence(t, err, "graph_end: nothing is being recorded")
	})
}

// A recorded op reads the same on the reference and on the library.
func TestGraphTexts(t *testing.T) {
	if why := cuda.WhyNot("cpu"); why != "" {
		t.Skip(why)
	}
	cases, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	library := testdevices.Open(t, "cpu", cuda.Options{})
	for _, c := range cases {
		var texts [2]string
		for i, backend := range []tensor.Backend{tensor.NewReference(), library} {
			texts[i] = graphText(t, backend, c)
		}
		if texts[0] != texts[1] {
			t.Errorf("%s:\nreference %s\nlibrary   %s", c.Name, texts[0], texts[1])
		}
	}
}

func graphText(t *testing.T, backend tensor.Backend, c *Case) string {
	t.Helper()
	method := reflect.ValueOf(backend).MethodByName(methods()[folded(c.Op)].Name)
	buffers := map[string]tensor.Buffer{}
	for _, a := range c.Arguments {
		if a.Role == "in" || a.Role == "inout" || a.Role == "out" {
			buffers[a.Name] = must[tensor.Buffer](t)(backend.Buffer(a.DType, a.Count))
			defer buffers[a.Name].Close()
		}
	}
	var values []reflect.Value
	for i, a := range c.Arguments {
		value, err := argument(a, method.Type().In(i), buffers)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := backend.GraphBegin(); err != nil {
		t.Fatal(err)
	}
	failed, _ := method.Call(values)[0].Interface().(error)
	graph, err := backend.GraphEnd()
	if err := tensor.First(failed, err); err != nil {
		t.Fatal(c.Name, err)
	}
	defer graph.Close()
	return must[string](t)(backend.GraphDump(graph))
}
