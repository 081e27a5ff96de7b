// Package testcases reads the cases of cuda/vectors/host, what every language must say to the letter and to the bit.
package testcases

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	nn "github.com/cuda-nn/cuda-nn/go"
)

// Vectors is the folder cuda/vectors.
func Vectors() string {
	_, source, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(source), "..", "..", "..", "cuda", "vectors")
}

// Golden is the folder of a whole model.
func Golden(name string) string { return filepath.Join(Vectors(), "golden", name) }

// Host reads a file of cuda/vectors/host.
func Host(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Vectors(), "host", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

// RequireError fails unless err is the sentence.
func RequireError(t *testing.T, err error, key, sentence string) {
	t.Helper()
	var own *nn.Error
	if !errors.As(err, &own) {
		t.Errorf("got %v, expected %s", err, sentence)
		return
	}
	if own.Key != key || own.Text != sentence {
		t.Errorf("got  %s: %s\nwant %s: %s", own.Key, own.Text, key, sentence)
	}
}

// Bits reads the hex digits of a number's bits, the highest first.
func Bits(t *testing.T, digits string) uint64 {
	t.Helper()
	bits, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return bits
}

// F64 is the f64 with these bits.
func F64(t *testing.T, digits string) float64 {
	t.Helper()
	return math.Float64frombits(Bits(t, digits))
}

// U64 reads decimal digits.
func U64(t *testing.T, digits string) uint64 {
	t.Helper()
	value, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
