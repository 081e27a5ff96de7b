package tokenizer

import (
	"runtime"
	"sync"
)

// EncodeAll is Encode of each text, in parallel.
func (t *Tokenizer) EncodeAll(texts []string) [][]uint32 {
	out := make([][]uint32, len(texts))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(texts)) {
		workers.Go(func() {
			cache := map[string][]uint32{}
			for i := range next {
				out[i] = t.encode(nil, texts[i], cache)
			}
		})
	}
	for i := range texts {
		next <- i
	}
	close(next)
	workers.Wait()
	return out
}
