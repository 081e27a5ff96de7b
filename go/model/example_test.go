package model_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cuda-nn/cuda-nn/go/model"
)

func ExampleNewTiny() {
	m := model.NewTiny() // fresh weights, on the best device here
	defer m.Close()
	logits, err := m.ForwardIDs([]int{1, 2, 3, 4}, 1, 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(logits)/m.Config.VocabSize, "rows of", m.Config.VocabSize)
	// Output: 4 rows of 1000
}

func ExampleGenerate() {
	m := model.NewTiny()
	defer m.Close()
	prompts := [][]int{{1, 2, 3}, {4}}
	made, err := model.Generate(context.Background(), m, prompts, 5, model.Greedy, model.GeneratorOptions{IgnoreEos: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(made), "sequences go on by", len(made[0]), "and", len(made[1]))
	// Output: 2 sequences go on by 5 and 5
}
