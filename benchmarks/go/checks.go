package gobench

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Nothing is timed before its output is known to be right.

// halfUlp is half the distance between 1 and the next f32: the largest relative error of one rounding.
const halfUlp = 1.0 / (1 << 24)

// operands are the names of a kind's sizes, in the order in which its loops take them.
var operands = map[string][]string{
	"adamw": {"n"}, "attention": {"batch", "seq", "n_heads", "n_kv_heads", "head_dim"}, "call": {},
	"cross_entropy": {"rows", "cols"}, "matmul": {"m", "n", "k"}, "rmsnorm": {"rows", "cols"}, "silu": {"n"}, "softmax": {"rows", "cols"}, "swiglu": {"n"},
}

// inputSizes is the elements of each of a case's inputs, outputSizes of each of its outputs.
func inputSizes(kind string, s []int) []int {
	switch kind {
	case "matmul":
		return []int{s[0] * s[2], s[2] * s[1]}
	case "softmax", "cross_entropy":
		return []int{s[0] * s[1]}
	case "rmsnorm":
		return []int{s[0] * s[1], s[1]}
	case "call":
		return []int{1}
	case "swiglu":
		return []int{s[0], s[0]}
	case "adamw":
		return []int{s[0], s[0], s[0]}
	case "attention":
		tokens := s[0] * s[1]
		return []int{tokens * s[2] * s[4], tokens * s[3] * s[4], tokens * s[3] * s[4]}
	}
	return []int{s[0]}
}

func outputSizes(kind string, s []int) []int {
	switch kind {
	case "matmul":
		return []int{s[0] * s[1]}
	case "call":
		return []int{1}
	case "softmax":
		return []int{s[0] * s[1]}
	case "cross_entropy":
		return []int{1, s[0] * s[1]}
	case "rmsnorm":
		return []int{s[0] * s[1], s[0]}
	case "adamw":
		return []int{s[0], s[0], s[0]}
	case "attention":
		heads := s[0] * s[1] * s[2]
		return []int{heads * s[4], heads}
	}
	return []int{s[0]}
}

// inputs are the case's inputs on the host: 2 u - 1, u the uniform numbers of (seed t, stream data).
func inputs(kind string, s []int) [][]float32 {
	var all [][]float32
	for t, count := range inputSizes(kind, s) {
		values := make([]float32, count)
		for i := range values {
			word := tensor.Philox(uint64(t), uint64(i), tensor.StreamData, 0)[0]
			values[i] = 2*(float32(word>>8)/(1<<24)) - 1
		}
		all = append(all, values)
	}
	return all
}

// compare, after one run: |got - want| <= 2 4 sqrt(K) halfUlp z for every element, K the terms of its longest sum (at
// least 16, for the elementary function on the way) and z the sum of the terms' sizes; twice, because each side rounds.
// given are inputs as they were before the run. Every output has to be there, with all of its elements where all of the
// work was done.
func compare(kind string, s []int, given [][]float32, l loops, want []byte) error {
	bounds, sizes := newSums(kind, s, given), outputSizes(kind, s)
	if len(l.outputs) != len(sizes) {
		return fmt.Errorf("%d outputs, expected %d", len(l.outputs), len(sizes))
	}
	for number, size := range sizes {
		if len(want) < 4*size {
			return fmt.Errorf("output %d: %d bytes, expected those of %d elements", number, len(want), size)
		}
		whole := want[:4*size]
		want = want[4*size:]
		if kind == "cross_entropy" && number == 0 && l.share < 1 {
			continue // a sum over rows of which only the first were computed
		}
		if count := len(l.outputs[number]); count > size || (l.share >= 1 && count < size) {
			return fmt.Errorf("output %d has %d elements, expected %d", number, count, size)
		}
		for i, value := range l.outputs[number] {
			got, expected := float64(value), float64(math.Float32frombits(binary.LittleEndian.Uint32(whole[4*i:])))
			terms, size := bounds.of(number, i, expected)
			bound := 2 * 4 * math.Sqrt(float64(max(16, terms))) * halfUlp * size
			if !(math.Abs(got-expected) <= bound) {
				return fmt.Errorf("output %d, element %d is %v, expected %v within %.3g", number, i, got, expected, bound)
			}
		}
	}
	return nil
}

// sums knows the terms of an output element's longest sum, and the sum of their sizes.
type sums struct {
	kind string
	s    []int
	rows []float64 // norms of the rows of a
	cols []float64 // norms of the columns of b
}

func newSums(kind string, s []int, given [][]float32) sums {
	z := sums{kind: kind, s: s}
	if kind != "matmul" {
		return z
	}
	z.rows, z.cols = make([]float64, s[0]), make([]float64, s[1])
	for i, v := range given[0] {
		z.rows[i/s[2]] += float64(v) * float64(v)
	}
	for i, v := range given[1] {
		z.cols[i%s[1]] += float64(v) * float64(v)
	}
	return z
}

func (z sums) of(number, i int, want float64) (terms int, size float64) {
	want = math.Abs(want)
	switch z.kind {
	case "matmul": // sum |a| |b| is at most the product of the norms (Cauchy and Schwarz)
		return z.s[2], math.Sqrt(z.rows[i/z.s[1]] * z.cols[i%z.s[1]])
	case "attention": // values are at most 1 and probabilities sum to 1; a score is at most sqrt(d)
		return z.s[1] + z.s[4], 1 + math.Sqrt(float64(z.s[4]))
	case "cross_entropy":
		if number == 0 {
			return z.s[0] + z.s[1], want
		}
		return z.s[1], want + 1/float64(z.s[0]) // p/rows - 1/rows: both are of the size of what is subtracted
	case "softmax", "rmsnorm":
		return z.s[1], want
	case "adamw": // terms of the update of param, m and v: weights and gradients are at most 1
		return 16, want + []float64{1, 1, 0.05}[number]
	}
	return 16, want
}

// compareDevices compares two devices after one run on fresh work: an operation within the bound of compare, a model within
// its own. start is what a training step began with.
func compareDevices(c Case, got, want, start []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes, expected %d", len(got), len(want))
	}
	if slices.Contains(modelKinds, c.Kind) {
		return compareModels(c.Kind, got, want, start)
	}
	sizes, err := c.sizes(operands[c.Kind]...)
	if err != nil {
		return err
	}
	device, left := loops{share: 1}, values(got)
	for _, size := range outputSizes(c.Kind, sizes) {
		device.outputs = append(device.outputs, left[:size])
		left = left[size:]
	}
	return compare(c.Kind, sizes, inputs(c.Kind, sizes), device, want)
}

// compareModels compares two devices after one run of a model's work: ids are equal; activations and logits agree to 2e-5
// (the bound of the golden models); weights after a training step by compareSteps.
func compareModels(kind string, got, want, start []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes, expected %d", len(got), len(want))
	}
	switch kind {
	case "decode", "prefill":
		if !slices.Equal(got, want) {
			return fmt.Errorf("other ids than those of the cpu device")
		}
		return nil
	case "train":
		return compareSteps(values(got), values(want), values(start), 1e-4)
	}
	return within(2e-5, values(got), values(want))
}

// compareSteps compares the first step of AdamW, which moves a weight by lr g / (|g| + eps), by lr along its gradient g: a
// relative error d of g changes the step by at most lr d / 4. Weights agree to lr 2^-10 and the rounding of the weight
// itself wherever g is known to 2^-8. Where g is not far above its rounding error the step may go either way. That is rare:
// 99 % of the weights that moved have to agree, and they are at least a quarter of all (the others are experts and
// embeddings that no token met). No weight differs by more than two whole steps with their decay.
func compareSteps(got, want, start []float32, lr float64) error {
	if len(start) != len(want) {
		return fmt.Errorf("a step from %d weights, expected %d", len(start), len(want))
	}
	var moved, near, movedNear float64
	for i, w := range want {
		w := float64(w)
		agrees := math.Abs(float64(got[i])-w) <= lr/1024+4*halfUlp*math.Abs(w)
		if agrees {
			near++
		}
		if math.Abs(w-float64(start[i])) > lr/2 {
			moved++
			if agrees {
				movedNear++
			}
		}
	}
	all := float64(len(want))
	if moved < 0.25*all {
		return fmt.Errorf("%.1f%% of the weights moved, expected at least 25%%", 100*moved/all)
	}
	if share := min(near/all, movedNear/moved); share < 0.99 {
		return fmt.Errorf("%.2f%% of the weights made the same step, expected at least 99%%", 100*share)
	}
	return within(2.2*lr, got, want)
}

func within(bound float64, got, want []float32) error {
	for i := range want {
		if a, b := float64(got[i]), float64(want[i]); !(math.Abs(a-b) <= bound) {
			return fmt.Errorf("element %d is %v, expected %v within %.3g", i, a, b, bound)
		}
	}
	return nil
}

func values(data []byte) []float32 {
	all := make([]float32, len(data)/4)
	for i := range all {
		all[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return all
}

// checksum is what languages compare: the first 16 hex digits of SHA-256.
func checksum(output []byte) string {
	digest := sha256.Sum256(output)
	return hex.EncodeToString(digest[:8])
}
