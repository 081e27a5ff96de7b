package tensor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Shape is the sizes of the dimensions of a row-major tensor, outermost first.
type Shape []int

// Rank is the number of dimensions.
func (s Shape) Rank() int { return len(s) }

// Size is the number of elements, 1 for a scalar.
func (s Shape) Size() int {
	size := 1
	for _, extent := range s {
		size *= extent
	}
	return size
}

// Strides counts the elements between neighbours in each dimension.
func (s Shape) Strides() []int {
	strides := make([]int, len(s))
	step := 1
	for axis, extent := range slices.Backward(s) {
		strides[axis] = step
		step *= extent
	}
	return strides
}

// Reshape is the shape of the same count given by sizes, of which one may be -1.
func (s Shape) Reshape(sizes ...int) (Shape, error) {
	shape := Shape(slices.Clone(sizes))
	if open := slices.Index(shape, -1); open >= 0 {
		shape[open] = 1
		if known := shape.Size(); known > 0 && s.Size()%known == 0 {
			shape[open] = s.Size() / known
		} else {
			shape[open] = -1
		}
	}
	if slices.Min(append([]int{0}, shape...)) < 0 || shape.Size() != s.Size() {
		return nil, fmt.Errorf("cannot reshape %v (%d elements) to %v", s, s.Size(), Shape(sizes))
	}
	return shape, nil
}

// String is as in the library's sentences: 4x768.
func (s Shape) String() string {
	if len(s) == 0 {
		return "scalar"
	}
	words := make([]string, len(s))
	for i, extent := range s {
		words[i] = strconv.Itoa(extent)
	}
	return strings.Join(words, "x")
}
