package train

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

const (
	// StateVersion is that of trainer_state.json.
	StateVersion = 1
	// CalibrationTime is how long a step is timed.
	CalibrationTime = 3 * time.Second
	// EvaluationWindows is how many windows of the held-out split are looked at during training.
	EvaluationWindows = 64
)

// TrainOptions is what a run is, apart from its model and data; stored in trainer_state.json, so that a resumed run is
// the same.
type TrainOptions struct {
	Steps       int
	Batch       int
	SeqLen      int
	Accumulate  int
	Seed        int64
	LR          float64
	LRMin       float64
	Warmup      float64
	Beta1       float64
	Beta2       float64
	Eps         float64
	WeightDecay float64
	MaxNorm     float64
	Recompute   bool
	// EvalEvery is the steps between evaluations on the held-out split; 0: ten times a run.
	EvalEvery int
	// SaveEvery is the steps between checkpoints; 0: at the end only.
	SaveEvery int
}

// DefaultTrainOptions is a run of so many steps with the constants of the design.
func DefaultTrainOptions(steps int) TrainOptions {
	return TrainOptions{
		Steps: steps, Batch: 8, SeqLen: 128, Accumulate: 1, LR: 1e-3, LRMin: 1e-4, Warmup: 0.05,
		Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, MaxNorm: 1,
	}
}

// Validate: Errors: usage_bad_value.
func (o TrainOptions) Validate() error {
	for _, size := range []struct {
		option       string
		value, least int
	}{
		{"--steps", o.Steps, 1}, {"--batch", o.Batch, 1}, {"--seq", o.SeqLen, 1}, {"--accumulate", o.Accumulate, 1},
		{"--eval-every", o.EvalEvery, 0}, {"--save-every", o.SaveEvery, 0},
	} {
		if size.value < size.least || 1<<31-1 < size.value {
			expected := "an integer of at least " + strconv.Itoa(size.least)
			return messages.UsageBadValue(size.option, strconv.Itoa(size.value), expected)
		}
	}
	for _, number := range []struct {
		option   string
		value    float64
		high     float64
		expected string
	}{
		{"--lr", o.LR, 1e6, "a number from 0 to 1e+06"},
		{"--lr-min", o.LRMin, 1e6, "a number from 0 to 1e+06"},
		{"--warmup", o.Warmup, 1, "a number from 0 to 1"},
		{"--weight-decay", o.WeightDecay, 1e6, "a number from 0 to 1e+06"},
		{"--max-norm", o.MaxNorm, 1e30, "a number from 0 to 1e+30"},
	} {
		if !(0 <= number.value && number.value <= number.high) {
			return messages.UsageBadValue(number.option, jsonstrict.FormatNumber(number.value), number.expected)
		}
	}
	return nil
}

// Schedule is the learning rate of the run.
func (o TrainOptions) Schedule() Schedule { return Schedule{o.Steps, o.LR, o.LRMin, o.Warmup} }

// Optimizer is the constants of AdamW.
func (o TrainOptions) Optimizer() AdamWConfig {
	return AdamWConfig{o.Beta1, o.Beta2, o.Eps, o.WeightDecay, o.MaxNorm}
}

// EvaluationInterval is the steps between evaluations.
func (o TrainOptions) EvaluationInterval() int {
	if o.EvalEvery > 0 {
		return o.EvalEvery
	}
	return (o.Steps + 9) / 10
}

func (o TrainOptions) toJSON() *jsonstrict.Object {
	return jsonstrict.NewObject(
		"steps", o.Steps, "batch", o.Batch, "seq_len", o.SeqLen, "accumulate", o.Accumulate, "seed", int(o.Seed),
		"lr", o.LR, "lr_min", o.LRMin, "warmup", o.Warmup, "beta1", o.Beta1, "beta2", o.Beta2, "eps", o.Eps,
		"weight_decay", o.WeightDecay, "max_norm", o.MaxNorm, "recompute", o.Recompute, "eval_every", o.EvalEvery,
		"save_every", o.SaveEvery,
	)
}

// StepMetrics is one step: Step counts from 1, Tokens are those seen so far, Seconds are wall-clock.
type StepMetrics struct {
	Step            int
	Loss            LossValues
	GradNorm        float64
	LR              float64
	Skipped         bool
	Tokens          int
	Seconds         float64
	TokensPerSecond float64
}

// Hooks are called during a run; nil ones are not.
type Hooks struct {
	OnStep       func(StepMetrics)
	OnEvaluation func(step int, evaluation Evaluation)
	OnSave       func() error
}

// Trainer is the training loop: data in order, schedule, steps, evaluation, metrics, and checkpoints that resume exactly.
// Step is the number of steps done.
type Trainer struct {
	Options     TrainOptions
	Model       *model.MoETransformer
	Data        *Data
	TrainTokens *Tokens
	Out         string
	Schedule    Schedule
	Gpu         *GpuTrainer
	Step        int
	Metrics     *MetricsFile

	secondsBefore float64
	ids, targets  []int32
}

// NewTrainer makes a trainer of the model on prepared data, whose files go to the folder out; resume, unless nil, is the
// checkpoint of a run of the same options to go on with.
//
// Errors: tokenizer_too_large, data_empty_split, data_too_short, those of NewGpuTrainer and of a checkpoint's files.
func NewTrainer(
	m *model.MoETransformer, data *Data, options TrainOptions, out string, resume *model.Checkpoint,
) (*Trainer, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if data.VocabSize > m.Config.VocabSize {
		return nil, messages.TokenizerTooLarge(data.TokenizerPath(), data.VocabSize, m.Config.VocabSize)
	}
	tokens, err := data.Split("train")
	if err != nil {
		return nil, err
	}
	if err := tokens.Require(options.SeqLen); err != nil {
		return nil, err
	}
	config := options.Optimizer()
	t := &Trainer{
		Model: m, Data: data, Options: options, Out: files.Plain(out), TrainTokens: tokens, Schedule: options.Schedule(),
	}
	t.Gpu, err = NewGpuTrainer(m, options.Batch, options.SeqLen,
		GpuTrainerOptions{MicroBatches: options.Accumulate, Optimizer: &config})
	if err != nil {
		return nil, err
	}
	size := t.Gpu.IDs.Count() // the device has it, so that the product is one
	t.ids, t.targets = make([]int32, size), make([]int32, size)
	if resume != nil {
		if err := t.restore(resume); err != nil {
			return nil, tensor.First(err, t.Gpu.Close())
		}
	}
	if t.Metrics, err = NewMetricsFile(files.Join(out, "metrics.jsonl"), t.Step); err != nil {
		return nil, tensor.First(err, t.Gpu.Close())
	}
	t.secondsBefore = t.Metrics.Seconds
	return t, nil
}

// Run steps until the schedule's end, or until ctx is cancelled after a step; it saves at the end of either.
//
// It returns whether the run is complete; being cancelled is no error. Errors: disk_full, cannot_write, those of the
// device.
func (t *Trainer) Run(ctx context.Context, hooks Hooks) (complete bool, err error) {
	start := time.Now()
	perStep := t.Options.Accumulate * t.Options.Batch * t.Options.SeqLen
	stopped := false
	for t.Step < t.Options.Steps && !stopped {
		began := time.Now()
		metrics, err := t.step(perStep)
		if err != nil {
			return false, err
		}
		metrics.Seconds = t.secondsBefore + time.Since(start).Seconds()
		metrics.TokensPerSecond = float64(perStep) / max(time.Since(began).Seconds(), 1e-9)
		if err := t.Metrics.WriteStep(metrics); err != nil {
			return false, err
		}
		if hooks.OnStep != nil {
			hooks.OnStep(metrics)
		}
		last := t.Step == t.Options.Steps
		if (t.Step%t.Options.EvaluationInterval() == 0 || last) && len(t.Data.Heldout.IDs) > 1 {
			evaluation, err := t.Evaluate(EvaluationWindows)
			if err != nil {
				return false, err
			}
			if err := t.Metrics.WriteEvaluation(t.Step, evaluation); err != nil {
				return false, err
			}
			if hooks.OnEvaluation != nil {
				hooks.OnEvaluation(t.Step, evaluation)
			}
		}
		stopped = ctx.Err() != nil
		if every := t.Options.SaveEvery; last || stopped || every > 0 && t.Step%every == 0 {
			if err := tensor.First(t.Metrics.Sync(), t.Save()); err != nil {
				return false, err
			}
			if hooks.OnSave != nil {
				if err := hooks.OnSave(); err != nil {
					return false, err
				}
			}
		}
	}
	return t.Step >= t.Options.Steps, nil
}

// step is one step of the run, without its wall-clock.
func (t *Trainer) step(perStep int) (StepMetrics, error) {
	lr := t.Schedule.LearningRate(t.Step)
	if err := t.Batch(t.Step); err != nil {
		return StepMetrics{}, err
	}
	loss, err := t.Gpu.Step(t.ids, t.targets, lr)
	if err != nil {
		return StepMetrics{}, err
	}
	norm, errNorm := t.Gpu.GradNorm()
	skipped, errSkipped := t.Gpu.Skipped()
	t.Step++
	return StepMetrics{
		Step: t.Step, Loss: loss, GradNorm: norm, LR: lr, Skipped: skipped, Tokens: t.Step * perStep,
	}, tensor.First(errNorm, errSkipped)
}

// Batch brings ids and targets [accumulate, batch, seq_len] of a step into place.
func (t *Trainer) Batch(step int) error {
	o := t.Options
	size := o.Batch * o.SeqLen
	for a := range o.Accumulate {
		err := t.TrainTokens.Batch(t.ids[a*size:(a+1)*size], t.targets[a*size:(a+1)*size],
			uint64(o.Seed), step, o.Accumulate, a, o.Batch, o.SeqLen)
		if err != nil {
			return err
		}
	}
	return nil
}

// Evaluate is on the held-out split, or on maxWindows windows of it (0: all).
func (t *Trainer) Evaluate(maxWindows int) (Evaluation, error) {
	heldout, err := t.Data.Split("heldout")
	if err != nil {
		return Evaluation{}, err
	}
	return Evaluate(context.Background(), t.Model, heldout, t.Options.Batch, t.Options.SeqLen, maxWindows, nil)
}

// Save writes the checkpoint with the optimizer's state, in Out, whole or not at all.
func (t *Trainer) Save() error {
	training, err := t.trainingState()
	if err != nil {
		return err
	}
	options := model.SaveOptions{Training: training}
	if path := t.Data.TokenizerPath(); files.IsFile(path) {
		if options.Tokenizer, err = files.ReadBytes(path, dataKind); err != nil {
			return err
		}
	}
	return t.Model.Save(t.Out, options)
}

// Calibrate is the time that a step takes here, measured without changing anything that training goes on from.
func (t *Trainer) Calibrate() (time.Duration, error) {
	if err := tensor.First(t.Batch(0), t.Gpu.Load(t.ids, t.targets)); err != nil {
		return 0, err
	}
	once := func() error { return tensor.First(t.Gpu.ForwardBackward(), t.Model.Backend.Synchronize()) }
	if err := once(); err != nil {
		return 0, err
	}
	start := time.Now()
	runs := 0
	for runs < 3 || time.Since(start) < CalibrationTime {
		if err := once(); err != nil {
			return 0, err
		}
		runs++
	}
	return time.Since(start) / time.Duration(runs), nil
}

// Close releases what the trainer made; the model stays.
func (t *Trainer) Close() error { return tensor.First(t.Metrics.Close(), t.Gpu.Close()) }

func (t *Trainer) trainingState() (*model.TrainingState, error) {
	moments := map[string]tensor.Buffer{}
	var entries []model.TensorEntry
	for _, moment := range t.Gpu.Optimizer.State() {
		moments[moment.Kind] = moment.Buffer
		for _, spec := range t.Model.Weights.Specs {
			entries = append(entries, model.TensorEntry{Name: moment.Kind + "." + spec.Name, DType: "F32", Shape: spec.Shape})
		}
	}
	applied, err := tensor.Read[int64](t.Model.Backend, t.Gpu.Optimizer.Applied, 0, 1)
	if err != nil {
		return nil, err
	}
	return &model.TrainingState{
		Optimizer: model.ByteOrder(entries),
		Fetch: func(name string) ([]byte, error) {
			kind, name, _ := strings.Cut(name, ".")
			return t.Model.Weights.FetchFrom(moments[kind], name)
		},
		TrainerState: jsonstrict.NewObject(
			"version", StateVersion,
			"step", t.Step,
			"applied_steps", int(applied[0]),
			"train_tokens", len(t.TrainTokens.IDs),
			"options", t.Options.toJSON(),
		),
	}, nil
}

func (t *Trainer) restore(checkpoint *model.Checkpoint) error {
	state, err := checkpoint.TrainerState()
	if err != nil {
		return err
	}
	where := files.Join(checkpoint.Path, "trainer_state.json")
	fields := jsonstrict.NewFields(state, where)
	step, applied := fields.Integer("step"), fields.Integer("applied_steps")
	tokens := fields.Integer("train_tokens")
	if err := fields.Err(); err != nil {
		return err
	}
	for _, count := range []struct {
		field       string
		value, high int
	}{{"step", step, t.Options.Steps}, {"applied_steps", applied, step}} {
		if count.value < 0 || count.high < count.value {
			return messages.ConfigBadValue(where, count.field, strconv.Itoa(count.value), "0 to "+strconv.Itoa(count.high))
		}
	}
	if tokens != len(t.TrainTokens.IDs) {
		expected := "the " + strconv.Itoa(len(t.TrainTokens.IDs)) + " tokens of " + t.TrainTokens.Path
		return messages.ConfigBadValue(where, "train_tokens", strconv.Itoa(tokens), expected)
	}
	stored, err := checkpoint.Optimizer()
	if err != nil {
		return err
	}
	err = tensor.First(
		t.restoreMoments(stored),
		stored.Close(),
		t.Model.Backend.Upload(t.Gpu.Optimizer.Applied, 0, tensor.Bytes([]int64{int64(applied)})),
	)
	t.Step = step
	return err
}

func (t *Trainer) restoreMoments(stored *model.SafetensorsFile) error {
	weights := t.Model.Weights
	for _, moment := range t.Gpu.Optimizer.State() {
		for _, spec := range weights.Specs {
			array, err := model.RequireTensor(stored, moment.Kind+"."+spec.Name, "F32", spec.Shape)
			if err != nil {
				return err
			}
			if err := t.Model.Backend.Upload(moment.Buffer, weights.Layout.Offsets[spec.Name], array); err != nil {
				return err
			}
		}
	}
	return nil
}

// RequireNoRun keeps a new run, which replaces weights and state in its folder, from replacing hours of training unasked.
//
// Errors: train_replaces where path holds a run to resume, also one whose last save was cut off behind its moment.
func RequireNoRun(path string) error {
	for _, folder := range []string{path, files.Join(path, files.Complete)} {
		if files.Exists(files.Join(folder, "trainer_state.json")) {
			return messages.TrainReplaces(files.Plain(path))
		}
	}
	return nil
}

// StoredOptions is the options of the run that wrote a checkpoint. Errors: those of the readers and of Validate.
func StoredOptions(checkpoint *model.Checkpoint) (TrainOptions, error) {
	where := files.Join(checkpoint.Path, "trainer_state.json")
	object, err := checkpoint.TrainerState()
	if err != nil {
		return TrainOptions{}, err
	}
	state := jsonstrict.NewFields(object, where)
	if version := state.Integer("version"); state.Err() == nil && version != StateVersion {
		return TrainOptions{}, messages.ConfigBadValue(where, "version", strconv.Itoa(version), strconv.Itoa(StateVersion))
	}
	f := state.Object("options", where+": options")
	o := TrainOptions{
		Steps: f.Integer("steps"), Batch: f.Integer("batch"), SeqLen: f.Integer("seq_len"),
		Accumulate: f.Integer("accumulate"), Seed: int64(f.Integer("seed")), LR: f.Number("lr"), LRMin: f.Number("lr_min"),
		Warmup: f.Number("warmup"), Beta1: f.Number("beta1"), Beta2: f.Number("beta2"), Eps: f.Number("eps"),
		WeightDecay: f.Number("weight_decay"), MaxNorm: f.Number("max_norm"), Recompute: f.Boolean("recompute"),
		EvalEvery: f.Integer("eval_every"), SaveEvery: f.Integer("save_every"),
	}
	if err := state.Err(); err != nil {
		return TrainOptions{}, err
	}
	return o, o.Validate()
}

// StepsFor is the steps that fill so many minutes.
func StepsFor(minutes float64, step time.Duration) int {
	return max(1, int(minutes*60/step.Seconds()))
}

// TrainingDType is "f32" or "bf16". Errors: usage_bad_value.
func TrainingDType(name string) (tensor.DType, error) {
	if name != "f32" && name != "bf16" {
		return tensor.F32, messages.UsageBadValue("--dtype", name, "f32 or bf16")
	}
	dtype, _ := tensor.DTypeOf(name)
	return dtype, nil
}
