// Package cuda is the kernel library from Go: which devices are here, and opening one of them or the reference.
//
// It is the only package that needs cgo. Nothing links against the library: it is opened at run time, so that
// everything else works before it is built. Without cgo only the reference device opens, and every other one says so.
package cuda
