package train

import (
	"context"
	"math"

	"github.com/cuda-nn/cuda-nn/go/internal/elementary"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// Evaluation is loss on text that was not trained on. Loss: mean cross entropy in nats per token; Perplexity = exp(loss);
// BitsPerByte = sum of losses / (ln 2 bytes).
//
// Bytes are those of the text that the counted tokens came from: all of the split's, or, for a part of it, in proportion
// to its tokens.
type Evaluation struct {
	Loss        float64
	Perplexity  float64
	BitsPerByte float64
	Tokens      int
}

// Evaluate is the mean loss over windows of seqLen that cover the split once, or over maxWindows (0: all) spread evenly
// over it: of W windows those numbered floor(i W / maxWindows). progress, unless nil, is told the windows done and those
// in all.
//
// Errors: data_too_short, and that of ctx.
func Evaluate(
	ctx context.Context, m *model.MoETransformer, tokens *Tokens, batch, seqLen, maxWindows int,
	progress func(done, total int),
) (Evaluation, error) {
	if err := tokens.Require(1); err != nil {
		return Evaluation{}, err
	}
	loss, err := NewCrossEntropy(m.Backend, m.Config.VocabSize)
	if err != nil {
		return Evaluation{}, err
	}
	rows := batch * seqLen
	ids, errIDs := m.Backend.Buffer(tensor.I32, rows)
	targets, errTargets := m.Backend.Buffer(tensor.I32, rows)
	if err := tensor.First(errIDs, errTargets); err != nil {
		return Evaluation{}, err
	}
	windows := tokens.NWindows(seqLen)
	chosen := windows
	if maxWindows > 0 {
		chosen = min(windows, maxWindows)
	}
	total, count := 0.0, 0
	hostIDs, hostTargets := make([]int32, rows), make([]int32, rows)
	for first := 0; first < chosen && err == nil; first += batch {
		var numbers []int
		for i := first; i < min(first+batch, chosen); i++ {
			numbers = append(numbers, i*windows/chosen)
		}
		tokens.Windows(hostIDs, hostTargets, numbers, batch, seqLen)
		err = tensor.First(
			ctx.Err(),
			m.Backend.Upload(ids, 0, tensor.Bytes(hostIDs)),
			m.Backend.Upload(targets, 0, tensor.Bytes(hostTargets)),
			loss.Reset(),
			loss.AddCount(targets, rows),
		)
		if err != nil {
			break
		}
		var logits tensor.Buffer
		if logits, err = m.Forward(ids, batch, seqLen, nil); err != nil {
			break
		}
		err = loss.Forward(logits, targets, rows)
		_, counted, errMean := loss.Mean()
		err = tensor.First(err, errMean)
		total += float64(loss.hostSum[0])
		count += counted
		if progress != nil {
			progress(first+len(numbers), chosen)
		}
	}
	if err := tensor.First(err, loss.Close(), ids.Close(), targets.Close()); err != nil {
		return Evaluation{}, err
	}
	mean := total / float64(count)
	bytes := float64(tokens.Bytes) * (float64(count) / float64(len(tokens.IDs)-1))
	bits := math.Inf(1)
	if bytes > 0 {
		bits = total / math.Ln2 / bytes
	}
	return Evaluation{mean, elementary.Exponential(mean), bits, count}, nil
}
