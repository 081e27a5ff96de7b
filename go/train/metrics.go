package train

import (
	"bytes"
	"fmt"
	"os"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
)

// MetricsFile is metrics.jsonl: one line per step and per evaluation, each written through, so that a killed run leaves
// whole lines. On resume the lines of steps after the checkpoint are dropped: those steps are run again. seconds and
// tokens_per_second are the only wall-clock in the files of a run; what is not finite is null. Nothing is written before
// the first line: a run that never began leaves nothing.
type MetricsFile struct {
	Path    string
	Seconds float64
	file    *os.File
	kept    bytes.Buffer
}

// NewMetricsFile keeps the lines of the first keepSteps steps of a file. Errors: those of ReadMetrics.
func NewMetricsFile(path string, keepSteps int) (*MetricsFile, error) {
	m := &MetricsFile{Path: path}
	if keepSteps > 0 && files.Exists(path) {
		lines, err := ReadMetrics(path)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if step, ok := line.Get("step").(int); ok && step <= keepSteps {
				m.kept.WriteString(jsonstrict.DumpsCompact(line) + "\n")
				if seconds, ok := line.Get("seconds").(float64); ok {
					m.Seconds = seconds
				}
			}
		}
	}
	return m, nil
}

func (m *MetricsFile) open() error {
	folder, _ := files.Split(m.Path)
	if err := files.MakeFolder(folder); err != nil {
		return err
	}
	if err := files.WriteFile(m.Path, files.Content(m.kept.Bytes())); err != nil {
		return err
	}
	var err error
	m.file, err = os.OpenFile(m.Path, os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// WriteStep: Errors: disk_full, cannot_write.
func (m *MetricsFile) WriteStep(s StepMetrics) error {
	return m.write(jsonstrict.NewObject(
		"step", s.Step,
		"loss", s.Loss.Total,
		"cross_entropy", s.Loss.CrossEntropy,
		"balance", s.Loss.Balance,
		"z", s.Loss.Z,
		"grad_norm", s.GradNorm,
		"lr", s.LR,
		"skipped", s.Skipped,
		"tokens", s.Tokens,
		"seconds", s.Seconds,
		"tokens_per_second", s.TokensPerSecond,
	))
}

// WriteEvaluation: Errors: disk_full, cannot_write.
func (m *MetricsFile) WriteEvaluation(step int, e Evaluation) error {
	return m.write(jsonstrict.NewObject("step", step, "heldout_loss", e.Loss, "bits_per_byte", e.BitsPerByte))
}

// Sync waits until the disk has every line: before a checkpoint that counts on them. Errors: disk_full, cannot_write.
func (m *MetricsFile) Sync() error {
	if m.file == nil {
		return nil
	}
	if err := m.file.Sync(); err != nil {
		return files.CannotWrite(m.Path, err)
	}
	return nil
}

// Close closes the file.
func (m *MetricsFile) Close() error {
	if m.file == nil {
		return nil
	}
	return m.file.Close()
}

func (m *MetricsFile) write(line *jsonstrict.Object) error {
	if m.file == nil {
		if err := m.open(); err != nil {
			return files.CannotWrite(m.Path, err)
		}
	}
	if _, err := m.file.WriteString(jsonstrict.DumpsCompact(jsonstrict.Finite(line)) + "\n"); err != nil {
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
