package train

import (
	"math"

	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// GpuTrainer is a whole training step as one recorded graph: nothing but ids goes in and nothing but the loss comes out.
//
// Parameters, gradients, moments and activations stay on the device; a step is one graph launch (see
// model.RecordedStep). On cpu the library replays the recorded calls, on a GPU it launches one CUDA graph. A steady step
// allocates nothing.
type GpuTrainer struct {
	Model        *model.MoETransformer
	Batch        int
	SeqLen       int
	MicroBatches int
	Backend      tensor.Backend
	Optimizer    *AdamW
	Loss         *CrossEntropy
	Capture      bool
	IDs          tensor.Buffer
	Targets      tensor.Buffer

	step         *model.RecordedStep
	ids, targets []tensor.Buffer
	hostF32      [1]float32
	hostI32      [1]int32
	hostLR       [1]float32
}

// GpuTrainerOptions of NewGpuTrainer.
type GpuTrainerOptions struct {
	// MicroBatches of a step, 0 for 1.
	MicroBatches int
	// Optimizer is nil for DefaultAdamW.
	Optimizer *AdamWConfig
	// Eager makes each step's calls one by one instead of as one recorded graph.
	Eager bool
}

// NewGpuTrainer makes a trainer of batch sequences of seqLen tokens. Errors: not_training, no_ids,
// sequence_too_long.
func NewGpuTrainer(m *model.MoETransformer, batch, seqLen int, options GpuTrainerOptions) (*GpuTrainer, error) {
	if !m.Training {
		return nil, messages.NotTraining()
	}
	if min(batch, seqLen) < 1 {
		return nil, messages.NoIds()
	}
	if seqLen > m.Config.Context() {
		return nil, messages.SequenceTooLong(seqLen, m.Config.Context())
	}
	t := &GpuTrainer{
		Model: m, Batch: batch, SeqLen: seqLen, MicroBatches: max(options.MicroBatches, 1), Backend: m.Backend,
		Capture: !options.Eager,
	}
	t.step = model.NewRecordedStep(m.Backend, m, t.run)
	config := DefaultAdamW
	if options.Optimizer != nil {
		config = *options.Optimizer
	}
	if err := t.build(config); err != nil {
		return nil, tensor.First(err, t.Close())
	}
	return t, nil
}

func (t *GpuTrainer) build(config AdamWConfig) (err error) {
	if t.Optimizer, err = NewAdamW(t.Backend, t.Model.Weights, config); err != nil {
		return err
	}
	if t.Loss, err = NewCrossEntropy(t.Backend, t.Model.Config.VocabSize); err != nil {
		return err
	}
	rows := saturatedProduct(t.Batch, t.SeqLen)
	if t.IDs, err = t.Backend.Buffer(tensor.I32, saturatedProduct(t.MicroBatches, rows)); err != nil {
		return err
	}
	if t.Targets, err = t.Backend.Buffer(tensor.I32, saturatedProduct(t.MicroBatches, rows)); err != nil {
		return err
	}
	for a := range t.MicroBatches {
		ids, errIDs := t.Backend.View(t.IDs, a*rows, rows)
		targets, errTargets := t.Backend.View(t.Targets, a*rows, rows)
		t.ids, t.targets = append(t.ids, ids), append(t.targets, targets)
		if err := tensor.First(errIDs, errTargets); err != nil {
			return err
		}
	}
	return nil
}

// saturatedProduct is that of counts of at least 0, the largest integer where it is more: no device has so many elements.
func saturatedProduct(a, b int) int {
	if b > 0 && a > math.MaxInt/b {
		return math.MaxInt
	}
	return a * b
}

// Step is one optimizer step on ids, targets [micro_batches, batch, seq_len] (target -1: does not count).
//
// It returns the losses before the update. Errors: ids_wrong_count, and those of the device, for example an id out of
// range.
func (t *GpuTrainer) Step(ids, targets []int32, lr float64) (LossValues, error) {
	t.hostLR[0] = float32(lr)
	if err := tensor.First(
		t.Load(ids, targets),
		t.Backend.Upload(t.Optimizer.LR, 0, tensor.Bytes(t.hostLR[:])),
	); err != nil {
		return LossValues{}, err
	}
	var err error
	if t.Capture {
		err = t.step.Run()
	} else {
		err = t.run()
	}
	if err != nil {
		return LossValues{}, err
	}
	return t.Losses()
}

// Load brings a step's ids and targets to the device. Errors: ids_wrong_count.
func (t *GpuTrainer) Load(ids, targets []int32) error {
	for _, count := range [2]int{len(ids), len(targets)} {
		if count != t.IDs.Count() {
			return messages.IdsWrongCount(count, t.MicroBatches*t.Batch, t.SeqLen)
		}
	}
	return tensor.First(
		t.Backend.Upload(t.IDs, 0, tensor.Bytes(ids)),
		t.Backend.Upload(t.Targets, 0, tensor.Bytes(targets)),
	)
}

// Losses is the means of the last step.
func (t *GpuTrainer) Losses() (LossValues, error) {
	c := t.Model.Config
	crossEntropy, count, err := t.Loss.Mean()
	if err != nil {
		return LossValues{}, err
	}
	share := float64(c.NLayers * t.MicroBatches)
	balance, errBalance := t.f32(t.Model.BalanceLoss)
	z, errZ := t.f32(t.Model.ZLoss)
	balance, z = balance/share, z/share
	total := crossEntropy + float64(c.AuxCoef*balance) + float64(c.ZCoef*z)
	return LossValues{crossEntropy, balance, z, total, count}, tensor.First(errBalance, errZ)
}

func (t *GpuTrainer) f32(buffer tensor.Buffer) (float64, error) {
	err := t.Backend.Download(tensor.Bytes(t.hostF32[:]), buffer, 0)
	return float64(t.hostF32[0]), err
}

// GradNorm is the norm of all gradients of the last step, before clipping.
func (t *GpuTrainer) GradNorm() (float64, error) { return t.f32(t.Optimizer.Norm) }

// Skipped says whether the last step changed nothing because its gradient was not finite.
func (t *GpuTrainer) Skipped() (bool, error) {
	err := t.Backend.Download(tensor.Bytes(t.hostI32[:]), t.Optimizer.Nonfinite, 0)
	return t.hostI32[0] != 0, err
}

// ForwardBackward: loss sums and gradients of the ids and targets that are on the device.
func (t *GpuTrainer) ForwardBackward() error {
	rows := t.Batch * t.SeqLen
	if err := tensor.First(
		t.Optimizer.ZeroGrad(),
		t.Loss.Reset(),
		t.Backend.Fill(t.Model.BalanceLoss, 1, 0),
		t.Backend.Fill(t.Model.ZLoss, 1, 0),
		t.Loss.AddCount(t.Targets, t.MicroBatches*rows),
	); err != nil {
		return err
	}
	for a, ids := range t.ids {
		logits, err := t.Model.Forward(ids, t.Batch, t.SeqLen, nil)
		if err != nil {
			return err
		}
		if err := t.Loss.Forward(logits, t.targets[a], rows); err != nil {
			return err
		}
		dlogits, err := t.Loss.Backward(logits, t.targets[a], rows)
		if err != nil {
			return err
		}
		if err := t.Model.Backward(dlogits, t.Batch, t.SeqLen, t.MicroBatches); err != nil {
			return err
		}
	}
	return nil
}

// Close releases what the trainer made; the model stays.
func (t *GpuTrainer) Close() error {
	err := tensor.First(
		t.step.Close(), tensor.CloseAll(t.ids...), tensor.CloseAll(t.targets...), tensor.CloseAll(t.IDs, t.Targets))
	if t.Optimizer != nil {
		err = tensor.First(err, t.Optimizer.Close())
	}
	if t.Loss != nil {
		err = tensor.First(err, t.Loss.Close())
	}
	return err
}

func (t *GpuTrainer) run() error {
	if err := t.ForwardBackward(); err != nil {
		return err
	}
	return t.Optimizer.Step()
}
