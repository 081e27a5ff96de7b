package gobench

import (
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/bench"
	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

var (
	devices     = map[string]string{"cpu": "cpu", "cpu-scalar": "cpu", "cuda": "cuda", "reference": "reference"}
	scalarKinds = []string{"matmul", "softmax", "silu", "swiglu", "rmsnorm", "attention"}
	modelKinds  = []string{"moe_layer", "forward", "train", "prefill", "decode"}
)

// applies says whether a case has a row here: loops and gonum do operations; the reference does models, small enough to
// wait for; the scalar build does operations; a device must be there.
func applies(c Case, row string) (bool, error) {
	switch row {
	case "naive":
		return naive[c.Kind] != nil, nil
	case "library":
		return library[c.Kind] != nil, nil
	case "reference":
		if !slices.Contains(modelKinds, c.Kind) {
			return false, nil
		}
		config, err := c.Config()
		return config == "tiny", err
	case "cpu-scalar":
		if !slices.Contains(scalarKinds, c.Kind) {
			return false, nil
		}
	}
	return cuda.WhyNot(devices[row]) == "", nil
}

// subject is what is timed: run does share of the case's work.
type subject struct {
	run            func() error
	share          float64
	units          float64
	unit           string
	implementation string
	threads        int
	isa            string
	checksum       *string
	checked        bool
	close          func() error
}

// maker makes subjects; it keeps the output of the library's device that others are compared with.
type maker struct {
	threads  int
	expected struct {
		name   string
		output []byte
		units  float64
		unit   string
	}
}

// subject: Errors: that its output is wrong, those of the device.
func (m *maker) subject(c Case, row string) (*subject, error) {
	if row == "naive" || row == "library" {
		return m.plain(c, row)
	}
	options := cuda.Options{Threads: m.threads}
	if row == "cpu-scalar" {
		options.ISA = "scalar"
	}
	backend, err := cuda.OpenBackend(devices[row], options)
	if err != nil {
		return nil, err
	}
	s, err := m.onDevice(c, row, backend)
	if err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	return s, nil
}

func (m *maker) onDevice(c Case, row string, backend tensor.Backend) (*subject, error) {
	output, start, err := once(backend, c)
	if err != nil {
		return nil, err
	}
	// The cpu's own output is what others are compared with; its checksum is compared across languages.
	checked := row != "cpu"
	if checked {
		if err := m.expect(c); err != nil {
			return nil, err
		}
		if err := compareDevices(c, output, m.expected.output, start); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", c.Name, row, err)
		}
	}
	timed, err := bench.NewWork(backend, c.Case)
	if err != nil {
		return nil, err
	}
	digest := checksum(output)
	s := &subject{
		run: timed.Run, share: 1, units: timed.Units, unit: timed.Unit, implementation: "nn on " + backend.Name(),
		threads: backend.Threads(), isa: backend.ISA(), checksum: &digest, checked: checked,
		close: func() error { return tensor.First(timed.Close(), backend.Close()) },
	}
	if row == "cuda" { // a device whose work is done when the call returns needs no second call to wait for it
		s.run = func() error { return tensor.First(timed.Run(), backend.Synchronize()) }
	}
	return s, nil
}

// once is the output of one run on fresh work, and what a training step began with.
func once(backend tensor.Backend, c Case) (output, start []byte, err error) {
	fresh, err := bench.NewWork(backend, c.Case)
	if err != nil {
		return nil, nil, err
	}
	var errStart error
	if c.Kind == "train" {
		start, errStart = fresh.Output()
	}
	err = tensor.First(errStart, fresh.Run(), backend.Synchronize())
	output, errOutput := fresh.Output()
	return output, start, tensor.First(err, errOutput, fresh.Close())
}

// expect has the output of a case on cpu, or on the reference where the library is not built.
func (m *maker) expect(c Case) error {
	if m.expected.name == c.Name {
		return nil
	}
	device := "cpu"
	if cuda.WhyNot("cpu") != "" {
		device = "reference"
	}
	backend, err := cuda.OpenBackend(device, cuda.Options{Threads: m.threads})
	if err != nil {
		return err
	}
	defer backend.Close()
	work, err := bench.NewWork(backend, c.Case)
	if err != nil {
		return err
	}
	m.expected.units, m.expected.unit = work.Units, work.Unit
	if err := work.Close(); err != nil {
		return err
	}
	if m.expected.output, _, err = once(backend, c); err != nil {
		return err
	}
	m.expected.name = c.Name
	return nil
}

func (m *maker) plain(c Case, row string) (*subject, error) {
	sizes, err := c.sizes(operands[c.Kind]...)
	if err != nil {
		return nil, err
	}
	if err := m.expect(c); err != nil {
		return nil, err
	}
	make, implementation, threads := naive[c.Kind], "Go loops", 1
	if row == "library" {
		make, implementation = library[c.Kind], "gonum "+gonumVersion()
		if isThreaded(c.Kind) {
			threads = runtime.GOMAXPROCS(0)
		}
	}
	l := make(sizes, inputs(c.Kind, sizes))
	l.run()
	if err := compare(c.Kind, sizes, inputs(c.Kind, sizes), l, m.expected.output); err != nil {
		return nil, fmt.Errorf("%s, %s: %w", c.Name, row, err)
	}
	return &subject{
		run:   func() error { l.run(); return nil },
		share: l.share, units: m.expected.units, unit: m.expected.unit, implementation: implementation, threads: threads,
		checked: true,
		close:   func() error { return nil },
	}, nil
}

// A test's executable knows no versions of what it was built from, so go.mod goes into it.
//
//go:embed go.mod
var requirements string

func gonumVersion() string {
	_, rest, _ := strings.Cut(requirements, "gonum.org/v1/gonum v")
	version, _, _ := strings.Cut(rest, "\n")
	return version
}
