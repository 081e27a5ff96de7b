// Package bench turns the cases of benchmarks/cases.json into work on a backend, and times it: every sample is kept.
//
// Inputs are the same numbers in every language: input number t of a case (0, 1, ... in the order of the operation's
// arguments) is 2 u - 1 with u[i] = Philox uniform (seed t, stream data, sub 0, index i), exact in f32.
package bench
