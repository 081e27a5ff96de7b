// Package tensor has tensors, their element types and shapes, and the operations that backends provide.
//
// Ops is the operation set as an interface: what the model, the training loop and the tests are written against. Two
// implementations exist: NewReference (plain Go, readable, the oracle for small shapes) and the package cuda (the
// kernel library's cpu, cuda and simt devices).
package tensor
