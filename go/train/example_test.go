package train_test

import (
	"fmt"
	"log"

	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tensor"
	"github.com/cuda-nn/cuda-nn/go/train"
)

func ExampleGpuTrainer() {
	backend := tensor.NewReference() // plain Go; cuda.OpenBackend("auto") is the best device here
	m, err := model.NewMoETransformer(model.TinyMoEConfig(), backend, model.Options{Training: true})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	trainer, err := train.NewGpuTrainer(m, 2, 4, train.GpuTrainerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer trainer.Close()
	ids := []int32{1, 5, 1, 5, 7, 9, 7, 9} // [batch, seq_len]
	targets := []int32{5, 1, 5, train.Ignored, 9, 7, 9, train.Ignored}
	var losses []float64
	for range 60 {
		loss, err := trainer.Step(ids, targets, 1e-2) // after the second step, one launch of a recorded graph
		if err != nil {
			log.Fatal(err)
		}
		losses = append(losses, loss.CrossEntropy)
	}
	fmt.Println("the loss fell below a tenth:", losses[59] < losses[0]/10)
	// Output: the loss fell below a tenth: true
}
