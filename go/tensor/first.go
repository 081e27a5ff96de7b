package tensor

// First returns the first error of a sequence of calls that have all been made.
//
// A device takes its calls in order and a failed one leaves its outputs as they were, so that a forward pass reads as
// the list of its operations:
//
//	return tensor.First(
//		be.GEMM(...),
//		be.RoPEForward(...),
//	)
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// CloseAll closes every one of the buffers, passing over those that were not made, and returns the first error.
func CloseAll(buffers ...Buffer) error {
	var first error
	for _, buffer := range buffers {
		if buffer != nil {
			first = First(first, buffer.Close())
		}
	}
	return first
}
