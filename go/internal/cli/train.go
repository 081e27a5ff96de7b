package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/train"
)

var keptName = regexp.MustCompile(`^step-[0-9]{8,10}$`)

// freeOnResume are the options that do not change the run; all others are the stored ones.
var freeOnResume = []string{"data", "out", "resume", "keep", "device", "threads", "json", "quiet"}

type training struct {
	common
	data        []string
	out         string
	config      string
	minutes     float64
	keep        int
	dtype       string
	resume      bool
	options     train.TrainOptions
	description *cobra.Command
}

func (a *app) train() *cobra.Command {
	t := &training{options: train.DefaultTrainOptions(1000)}
	o := &t.options
	command := &cobra.Command{Use: "train", Short: "Train a model. Ctrl-C saves and exits; --resume goes on to the same bits."}
	t.description = command
	paths(command, &t.data, "data", "a prepared folder (see prepare)")
	path(command, &t.out, "out", "", "the checkpoint folder to write")
	path(command, &t.config, "config", "small", "a preset (tiny, small, 6.9b) or a config.json")
	integer(command, &o.Steps, "steps", o.Steps, "optimizer steps")
	number(command, &t.minutes, "minutes", 0, "instead of --steps: as many as fit")
	integer(command, &o.Batch, "batch", o.Batch, "sequences of a micro-batch")
	integer(command, &o.SeqLen, "seq", o.SeqLen, "tokens of a sequence")
	integer(command, &o.Accumulate, "accumulate", o.Accumulate, "micro-batches of a step")
	number(command, &o.LR, "lr", o.LR, "peak learning rate")
	number(command, &o.LRMin, "lr-min", o.LRMin, "learning rate at the end")
	number(command, &o.Warmup, "warmup", o.Warmup, "share of the steps that warms up")
	number(command, &o.WeightDecay, "weight-decay", o.WeightDecay, "of matrices")
	number(command, &o.MaxNorm, "max-norm", o.MaxNorm, "clip the gradient's norm, 0: never")
	integer(command, &o.EvalEvery, "eval-every", 0, "steps, 0: ten times a run")
	integer(command, &o.SaveEvery, "save-every", 0, "steps, 0: at the end")
	integer(command, &t.keep, "keep", 0, "older checkpoints to keep as OUT/step-N")
	text(command, &t.dtype, "dtype", "f32", "f32 or bf16 (with f32 master weights)")
	flag(command, &o.Recompute, "recompute", "less memory, a third more work")
	flag(command, &t.resume, "resume", "go on with the run in OUT")
	t.add(command, "device", "threads", "seed", "ntk-alpha", "json", "quiet")
	needs(command, "data out")
	command.RunE = func(*cobra.Command, []string) error { return a.runTraining(t) }
	return command
}

func (t *training) check() error {
	command := t.description
	changed := command.Flags().Changed
	if changed("steps") && changed("minutes") {
		return messages.UsageConflict("--steps", "--minutes")
	}
	if changed("minutes") && !(0 < t.minutes && t.minutes <= 1e6) {
		return messages.UsageBadValue("--minutes", jsonstrict.FormatNumber(t.minutes), "a number above 0")
	}
	if t.keep < 0 {
		return messages.UsageBadValue("--keep", strconv.Itoa(t.keep), "an integer of at least 0")
	}
	if t.resume {
		for _, name := range given(command) {
			if !slices.Contains(freeOnResume, name) {
				return messages.UsageConflict("--resume", "--"+name)
			}
		}
	}
	if _, err := train.TrainingDType(t.dtype); err != nil {
		return err
	}
	if err := t.checkSeed(); err != nil {
		return err
	}
	t.options.Seed = int64(t.seed)
	return t.options.Validate()
}

func (a *app) runTraining(t *training) error {
	if err := t.check(); err != nil {
		return err
	}
	if !t.resume {
		if err := train.RequireNoRun(t.out); err != nil {
			return err
		}
	}
	backend, err := t.openDevice()
	if err != nil {
		return err
	}
	defer backend.Close()
	var trainer *train.Trainer
	if t.resume {
		trainer, err = t.resumed(backend)
	} else {
		trainer, err = t.fresh(backend)
	}
	if err != nil {
		return err
	}
	defer trainer.Data.Close()
	return a.run(t, trainer, backend)
}

func (t *training) resumed(backend tensor.Backend) (*train.Trainer, error) {
	checkpoint, err := model.LoadCheckpoint(t.out)
	if err != nil {
		return nil, err
	}
	defer checkpoint.Close()
	if err := checkpoint.Config.RequireFloat(t.out); err != nil {
		return nil, err
	}
	options, err := train.StoredOptions(checkpoint)
	if err != nil {
		return nil, err
	}
	data, err := t.openData(true)
	if err != nil {
		return nil, err
	}
	m, err := model.LoadMoETransformer(t.out, backend, model.LoadOptions{Training: true, Recompute: options.Recompute})
	if err != nil {
		return nil, err
	}
	return train.NewTrainer(m, data, options, t.out, checkpoint)
}

func (t *training) fresh(backend tensor.Backend) (*train.Trainer, error) {
	config, err := t.readConfig(t.description, t.config)
	if err != nil {
		return nil, err
	}
	data, err := t.openData(false)
	if err != nil {
		return nil, err
	}
	dtype, err := train.TrainingDType(t.dtype)
	if err != nil {
		return nil, err
	}
	m, err := model.NewMoETransformer(config, backend, model.Options{
		DType: dtype, Training: true, Recompute: t.options.Recompute, Seed: t.options.Seed,
	})
	if err != nil {
		return nil, err
	}
	if t.minutes > 0 {
		if err := t.fit(m, data); err != nil {
			return nil, err
		}
	}
	return train.NewTrainer(m, data, t.options, t.out, nil)
}

// fit takes as many steps as fit into the minutes here. Nothing that training starts from changes.
func (t *training) fit(m *model.MoETransformer, data *train.Data) error {
	once := t.options
	once.Steps = 1
	trial, err := train.NewTrainer(m, data, once, t.out, nil)
	if err != nil {
		return err
	}
	step, err := trial.Calibrate()
	t.options.Steps = train.StepsFor(t.minutes, max(step, 1))
	return tensor.First(err, trial.Close())
}

// openData is a prepared folder; a resumed run goes on with what its start prepared in OUT/data. Learning a vocabulary is
// for nn-py and nn-rs, so text as it is must be prepared first.
func (t *training) openData(resume bool) (*train.Data, error) {
	folder, err := train.PreparedOf(t.data)
	if err != nil {
		return nil, err
	}
	if folder != "" {
		return train.LoadData(folder)
	}
	if prepared := files.Join(t.out, "data"); resume && train.IsPrepared(prepared) {
		return train.LoadData(prepared)
	}
	if _, err := train.FindTexts(t.data); err != nil {
		return nil, err
	}
	return nil, messages.DataNotPrepared(t.data[0])
}

func (a *app) run(t *training, trainer *train.Trainer, backend tensor.Backend) error {
	o := trainer.Options
	var last *train.StepMetrics
	var heldout *train.Evaluation
	bar := a.progress("train", o.Steps, t.quiet)
	ctx, stop := a.interrupts.until()
	complete, err := trainer.Run(ctx, train.Hooks{
		OnStep: func(m train.StepMetrics) {
			last = &m
			bar.update(m.Step, fmt.Sprintf("loss %.3f  %s tokens/s", m.Loss.CrossEntropy, thousands(m.TokensPerSecond)))
		},
		OnEvaluation: func(step int, e train.Evaluation) {
			heldout = &e
			bar.line(fmt.Sprintf("step %d: held out %.4f, %.3f bits per byte", step, e.Loss, e.BitsPerByte))
		},
		OnSave: func() error { return keep(trainer, t.keep) },
	})
	stop()
	bar.close()
	if err := tensor.First(err, trainer.Close()); err != nil {
		return err
	}
	if last != nil {
		err := train.PlotLoss(files.Join(trainer.Out, "metrics.jsonl"), files.Join(trainer.Out, "loss.png"))
		if err != nil {
			return err
		}
	}
	result := jsonstrict.NewObject(
		"out", trainer.Out,
		"device", backend.Name(),
		"steps", trainer.Step,
		"complete", complete,
		"loss", nil,
		"heldout_loss", nil,
		"bits_per_byte", nil,
		"tokens", trainer.Step*o.Accumulate*o.Batch*o.SeqLen,
		"seconds", trainer.Metrics.Seconds,
	)
	if last != nil {
		result.Set("loss", last.Loss.CrossEntropy)
		result.Set("seconds", last.Seconds)
	}
	if heldout != nil {
		result.Set("heldout_loss", heldout.Loss)
		result.Set("bits_per_byte", heldout.BitsPerByte)
	}
	if err := a.print(result, t.json); err != nil {
		return err
	}
	if !complete {
		return errInterrupted
	}
	return nil
}

// thousands is a count as a person reads it: 12,345.
func thousands(value float64) string {
	digits := strconv.FormatFloat(value, 'f', 0, 64)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// keep copies the checkpoint just saved to OUT/step-N and removes all but the last count of those.
func keep(trainer *train.Trainer, count int) error {
	if count == 0 {
		return nil
	}
	target := files.Join(trainer.Out, fmt.Sprintf("step-%08d", trainer.Step))
	if err := keepAs(trainer.Out, target, count); err != nil {
		return files.CannotWrite(target, err)
	}
	return nil
}

func keepAs(out, target string, count int) (err error) {
	_, targetName := files.Split(target)
	aside := files.Join(out, "."+targetName+".saving")
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	for _, entry := range entries { // of a run that was killed
		if name := entry.Name(); strings.HasPrefix(name, ".step-") && strings.HasSuffix(name, ".saving") {
			if err := os.RemoveAll(files.Join(out, name)); err != nil {
				return err
			}
		}
	}
	if err := os.Mkdir(aside, 0o777); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(aside) // the error of copying is the one to report
		}
	}()
	var kept []string
	for _, entry := range entries {
		name := entry.Name()
		suffix := filepath.Ext(name)
		switch {
		case entry.IsDir() && keptName.MatchString(name) && name != targetName:
			kept = append(kept, name)
		case entry.Type().IsRegular() && !strings.HasPrefix(name, ".") && (suffix == ".json" || suffix == ".safetensors"):
			if err := files.CopySynced(files.Join(out, name), files.Join(aside, name)); err != nil {
				return err
			}
		}
	}
	// The disk has the copy before it gets its name, and the name before an older one goes: whenever the power fails,
	// what stands under step-N is whole.
	if err := files.SyncFolder(aside); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if err := os.Rename(aside, target); err != nil {
		return err
	}
	if err := files.SyncFolder(out); err != nil {
		return err
	}
	slices.Sort(kept)
	later, _ := slices.BinarySearch(kept, targetName) // those of an earlier run in the same folder follow
	for _, old := range append(kept[:max(0, later+1-count):max(0, later+1-count)], kept[later:]...) {
		if err := os.RemoveAll(files.Join(out, old)); err != nil {
			return err
		}
	}
	return nil
}
