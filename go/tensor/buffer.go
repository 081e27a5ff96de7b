package tensor

// Buffer is a flat run of Count elements of one dtype on one backend; shapes belong to the operations and to Tensor.
type Buffer interface {
	DType() DType
	Count() int
	// Handle is the library's name for it, which no other library takes; -1 on the reference backend, which has no use
	// for one.
	Handle() int64
	// Close gives the memory back now instead of some time after the last reference went. Closing twice is allowed.
	Close() error
}
