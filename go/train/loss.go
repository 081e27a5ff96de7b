package train

import (
	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// LossValues is the means of one step. Total = CrossEntropy + aux_coef Balance + z_coef Z.
type LossValues struct {
	CrossEntropy float64
	Balance      float64
	Z            float64
	Total        float64
	Count        int
}

// CrossEntropy is the training loss over the targets that count:
// loss = sum_r (logsumexp(logits_r) - logits_r[target_r]) / count over rows whose target is not -1.
//
// Count is that of the whole accumulated step, so that micro-batches weigh by their targets. With no target that counts
// the loss and its gradient are 0.
type CrossEntropy struct {
	Backend   tensor.Backend
	VocabSize int
	Sum       tensor.Buffer
	Count     tensor.Buffer
	Saved     *layer.Workspace

	hostSum   [1]float32
	hostCount [1]int64
}

// NewCrossEntropy makes one with sum and count 0.
func NewCrossEntropy(backend tensor.Backend, vocabSize int) (*CrossEntropy, error) {
	c := &CrossEntropy{Backend: backend, VocabSize: vocabSize, Saved: layer.NewWorkspace(backend)}
	var errSum, errCount error
	c.Sum, errSum = backend.Buffer(tensor.F32, 1)
	c.Count, errCount = backend.Buffer(tensor.I64, 1)
	if err := tensor.First(errSum, errCount); err != nil {
		return nil, tensor.First(err, c.Close())
	}
	return c, nil
}

// Reset: sum and count to 0, at the start of a step.
func (c *CrossEntropy) Reset() error {
	return tensor.First(c.Backend.Fill(c.Sum, 1, 0), c.Backend.Fill(c.Count, 1, 0))
}

// AddCount: count += number of targets that are not -1.
func (c *CrossEntropy) AddCount(targets tensor.Buffer, rows int) error {
	return c.Backend.CrossEntropyCount(c.Count, targets, rows, c.VocabSize)
}

// Forward: sum += the losses of logits [rows, vocab_size] against targets [rows] i32.
func (c *CrossEntropy) Forward(logits, targets tensor.Buffer, rows int) error {
	losses := c.Saved.Get("losses", rows)
	lse := c.Saved.Get("lse", rows)
	v := c.VocabSize
	return tensor.First(
		c.Saved.Err(),
		c.Backend.CrossEntropyForward(c.Sum, losses, lse, logits, targets, rows, v, v),
	)
}

// Backward: dlogits, in the place of the logits.
func (c *CrossEntropy) Backward(logits, targets tensor.Buffer, rows int) (tensor.Buffer, error) {
	lse := c.Saved.Get("lse", rows)
	v := c.VocabSize
	return logits, tensor.First(
		c.Saved.Err(),
		c.Backend.CrossEntropyBackward(logits, logits, lse, targets, c.Count, rows, v, v),
	)
}

// Mean is (sum / count, count); 0 when nothing counts.
func (c *CrossEntropy) Mean() (mean float64, count int, err error) {
	err = tensor.First(
		c.Backend.Download(tensor.Bytes(c.hostCount[:]), c.Count, 0),
		c.Backend.Download(tensor.Bytes(c.hostSum[:]), c.Sum, 0),
	)
	if count = int(c.hostCount[0]); count > 0 {
		mean = float64(c.hostSum[0]) / float64(count)
	}
	return mean, count, err
}

// Close releases the device memory.
func (c *CrossEntropy) Close() error {
	return tensor.First(c.Saved.Close(), tensor.CloseAll(c.Sum, c.Count))
}
