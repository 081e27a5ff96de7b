package bench

import (
	"maps"
	"slices"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Work is what a case times: Run does what Units stands for, once; the units give the rate (flop, byte, element, token or
// call).
//
// Output is what one run on fresh work computed, as the bytes of its arrays one behind the other, little-endian: equal on
// equal devices in every language.
type Work struct {
	Run    func() error
	Units  float64
	Unit   string
	Output func() ([]byte, error)

	closers []func() error
}

// Close releases buffers and models, last made first.
func (w *Work) Close() error {
	var err error
	for _, closer := range slices.Backward(w.closers) {
		err = tensor.First(err, closer())
	}
	w.closers = nil
	return err
}

// NewWork is the work of a case on a backend.
//
// Errors: config_bad_value for an unknown kind or a size below 1, unknown_preset, those of the model and the device.
func NewWork(backend tensor.Backend, c *Case) (*Work, error) {
	kind, err := c.Kind()
	if err != nil {
		return nil, err
	}
	make, known := kinds[kind]
	if !known {
		expected := "one of " + strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
		return nil, messages.ConfigBadValue(c.where, "kind", kind, expected)
	}
	b := &builder{be: backend, fields: jsonstrict.NewFields(c.values, c.where)}
	w := make(b)
	w.closers = b.closers
	if err := tensor.First(b.fields.Err(), b.err); err != nil {
		return nil, tensor.First(err, w.Close())
	}
	return &w, nil
}

// builder reads a case's sizes and makes its buffers, which it remembers for Work.Close. It keeps the first error, and
// makes nothing more after it.
type builder struct {
	be      tensor.Backend
	fields  *jsonstrict.Fields
	closers []func() error
	inputs  int
	err     error
}

func (b *builder) failed() bool { return b.fields.Err() != nil || b.err != nil }

// size is a dimension of the case.
func (b *builder) size(name string) int { return atLeast(b.fields, name, 1) }

func (b *builder) keep(make func() (tensor.Buffer, error)) tensor.Buffer {
	if b.failed() {
		return nil
	}
	buffer, err := make()
	if err != nil {
		b.err = err
		return nil
	}
	b.closers = append(b.closers, buffer.Close)
	return buffer
}

// input is the case's next input.
func (b *builder) input(count int) tensor.Buffer {
	buffer := b.empty(tensor.F32, count)
	if buffer == nil {
		return nil
	}
	err := b.be.RandomUniform(buffer, count, 0, int64(b.inputs), tensor.StreamData, 0)
	b.inputs++
	values, errRead := tensor.Read[float32](b.be, buffer, 0, count)
	for i, u := range values {
		values[i] = 2*u - 1 // exact: u has 24 bits
	}
	b.err = tensor.First(err, errRead, b.be.Upload(buffer, 0, tensor.Bytes(values)))
	return buffer
}

// empty is zeros.
func (b *builder) empty(dtype tensor.DType, count int) tensor.Buffer {
	return b.keep(func() (tensor.Buffer, error) { return b.be.Buffer(dtype, count) })
}

func filled[T tensor.Element](b *builder, dtype tensor.DType, values []T) tensor.Buffer {
	return b.keep(func() (tensor.Buffer, error) { return tensor.BufferOf(b.be, dtype, values) })
}

// model is the case's model with fresh weights; nil after an error.
func (b *builder) model(training bool) *model.MoETransformer {
	name := b.fields.String("config")
	if b.failed() {
		return nil
	}
	config, err := model.Preset(name)
	if err != nil {
		b.err = err
		return nil
	}
	m, err := model.NewMoETransformer(config, b.be, model.Options{Training: training})
	if err != nil {
		b.err = err
		return nil
	}
	b.closers = append(b.closers, m.Close)
	return m
}

// work is work whose output is what stands in these buffers.
func (b *builder) work(run func() error, units float64, unit string, outputs ...tensor.Buffer) Work {
	output := func() ([]byte, error) {
		var all []byte
		for _, buffer := range outputs {
			data := make([]byte, buffer.DType().Bytes(buffer.Count()))
			if err := b.be.Download(data, buffer, 0); err != nil {
				return nil, err
			}
			all = append(all, data...)
		}
		return all, nil
	}
	return Work{Run: run, Units: units, Unit: unit, Output: output}
}

// counting is 0, 1, ... modulo.
func counting(count, modulus int) []int32 {
	values := make([]int32, count)
	for i := range values {
		values[i] = int32(i % modulus)
	}
	return values
}
