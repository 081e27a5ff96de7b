package train

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
)

// MetricsFile is metrics.jsonl: one line per step and per evaluation, each written through, so that a killed run leaves
// whole lines. On resume the lines of steps after the checkpoint are dropped: those steps are run again. seconds and
// tokens_per_second are the only wall-clock in the files of a run.
type MetricsFile struct {
	Path    string
	Seconds float64
	file    *os.File
}

// NewMetricsFile opens a file and keeps the lines of the first keepSteps steps. Errors: those of ReadMetrics, disk_full,
// cannot_write.
func NewMetricsFile(path string, keepSteps int) (*MetricsFile, error) {
	m := &MetricsFile{Path: path}
	var kept bytes.Buffer
	if keepSteps > 0 && files.Exists(path) {
		lines, err := ReadMetrics(path)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if step, ok := line.Get("step").(int); ok && step <= keepSteps {
				kept.WriteString(jsonstrict.DumpsCompact(line) + "\n")
				if seconds, ok := line.Get("seconds").(float64); ok {
					m.Seconds = seconds
				}
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, files.CannotWrite(path, err)
	}
	if err := files.WriteFile(path, files.Content(kept.Bytes())); err != nil {
		return nil, err
	}
	var err error
	if m.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err != nil {
		return nil, files.CannotWrite(path, err)
	}
	return m, nil
}

// WriteStep: Errors: disk_full, cannot_write.
func (m *MetricsFile) WriteStep(s StepMetrics) error {
	return m.write(jsonstrict.NewObject(
		"step", s.Step,
		"loss", number(s.Loss.Total),
		"cross_entropy", number(s.Loss.CrossEntropy),
		"balance", number(s.Loss.Balance),
		"z", number(s.Loss.Z),
		"grad_norm", number(s.GradNorm),
		"lr", s.LR,
		"skipped", s.Skipped,
		"tokens", s.Tokens,
		"seconds", s.Seconds,
		"tokens_per_second", s.TokensPerSecond,
	))
}

// WriteEvaluation: Errors: disk_full, cannot_write.
func (m *MetricsFile) WriteEvaluation(step int, e Evaluation) error {
	return m.write(jsonstrict.NewObject("step", step, "heldout_loss", number(e.Loss), "bits_per_byte", number(e.BitsPerByte)))
}

// Close closes the file.
func (m *MetricsFile) Close() error { return m.file.Close() }

func (m *MetricsFile) write(line *jsonstrict.Object) error {
	if _, err := m.file.WriteString(jsonstrict.DumpsCompact(line) + "\n"); err != nil {
		return files.CannotWrite(m.Path, err)
	}
	return nil
}

// ReadMetrics is the lines of a metrics.jsonl; a last one without its end, left by a kill, is none. Errors: cannot_read,
// json_*.
func ReadMetrics(path string) ([]*jsonstrict.Object, error) {
	data, err := files.ReadBytes(path, "training folder")
	if err != nil {
		return nil, err
	}
	var lines []*jsonstrict.Object
	for number := 1; ; number++ {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		if !whole {
			return lines, nil
		}
		object, err := jsonstrict.LoadsObject(line, fmt.Sprintf("%s: line %d", path, number))
		if err != nil {
			return nil, err
		}
		lines, data = append(lines, object), rest
	}
}

// number is a value as JSON has it: null where it is not finite.
func number(value float64) jsonstrict.Value {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return value
}
