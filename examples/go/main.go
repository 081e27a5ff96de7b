// Embed the model in a Go program: load a checkpoint folder, continue a prompt.
//
//	go run . ../../demo/model "def f("
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: example FOLDER PROMPT")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(folder, prompt string) error {
	m, err := model.LoadMoETransformer(folder, nil, model.LoadOptions{}) // nil: the best device here
	if err != nil {
		return err
	}
	defer m.Close()
	tok, err := tokenizer.Load(filepath.Join(folder, "tokenizer.json"))
	if err != nil {
		return err
	}
	var ids []int
	for _, id := range tok.Encode(prompt) {
		ids = append(ids, int(id))
	}
	sampling := model.Sampling{Temperature: 0.8, TopP: 0.95}
	made, err := model.Generate(context.Background(), m, [][]int{ids}, 64, sampling, model.GeneratorOptions{})
	if err != nil {
		return err
	}
	fmt.Println(prompt + tok.Decode(made[0]))
	return nil
}
