package tokenizer_test

import (
	"fmt"

	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

func ExampleBytes() {
	tok := tokenizer.Bytes() // one token per byte, behind three special ones
	ids := tok.Encode("aé")
	fmt.Println(ids, tok.Decode([]int{100, 198, 172}))
	// Output: [100 198 172] aé
}
