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
