// Writes the gradient of every parameter of a checkpoint for one batch that follows from its shape alone.
//
//	go run . MODEL OUT.safetensors BATCH SEQ_LEN MICRO_BATCHES
//
// See gradients.py.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/train"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(arguments []string) error {
	if len(arguments) != 5 {
		return fmt.Errorf("usage: gradients MODEL OUT BATCH SEQ_LEN MICRO_BATCHES")
	}
	var sizes [3]int
	for i, word := range arguments[2:] {
		size, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		sizes[i] = size
	}
	batch, seqLen, microBatches := sizes[0], sizes[1], sizes[2]
	backend, err := cuda.OpenBackend("cpu", cuda.Options{Threads: 1})
	if err != nil {
		return err
	}
	m, err := model.LoadMoETransformer(arguments[0], backend, model.LoadOptions{Training: true})
	if err != nil {
		return err
	}
	trainer, err := train.NewGpuTrainer(m, batch, seqLen, train.GpuTrainerOptions{MicroBatches: microBatches})
	if err != nil {
		return err
	}
	ids, targets := make([]int32, microBatches*batch*seqLen), make([]int32, microBatches*batch*seqLen)
	vocab := m.Config.VocabSize
	for i := range ids {
		ids[i], targets[i] = int32((i*i+7*i)%vocab), int32((3*i+1)%vocab)
		if i%5 == 4 {
			targets[i] = -1
		}
	}
	if err := tensor.First(trainer.Load(ids, targets), trainer.ForwardBackward()); err != nil {
		return err
	}
	var entries []model.TensorEntry
	for _, spec := range m.Weights.Specs {
		entries = append(entries, model.TensorEntry{Name: spec.Name, DType: "F32", Shape: spec.Shape})
	}
	return model.SaveFile(arguments[1], entries, func(name string) ([]byte, error) {
		return m.Weights.FetchFrom(m.Weights.Gradients, name)
	})
}
