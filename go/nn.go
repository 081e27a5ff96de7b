// Package nn is a Mixture-of-Experts Transformer on one kernel library, from Go.
//
// The packages below it are the model in layers: tensor (the operations as an interface, and all of them in plain Go),
// layer, model, train, and cuda, which opens the kernel library and is the only one that needs cgo.
//
//	m := model.NewTiny()
//	logits, err := m.ForwardIDs([]int{1, 2, 3, 4}, 1, 4) // [1, 4, vocab_size]
package nn

// Version is the release of this module.
const Version = "0.1.0"

// Error is something the user can put right, said in one sentence.
type Error struct {
	// Key names the sentence in cuda/tools/messages.json, the same in Python, Rust and Go.
	Key string
	// ExitCode is what the command line returns for it: 2 for usage, 1 for a failure.
	ExitCode int
	Text     string
}

func (e *Error) Error() string { return e.Text }
