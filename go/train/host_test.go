package train

import (
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
)

func TestNumbers(t *testing.T) {
	var cases struct {
		BatchStart []struct {
			Seed         string
			Step         int
			MicroBatches int `json:"micro_batches"`
			MicroBatch   int `json:"micro_batch"`
			Rows, Row    int
			Tokens       int
			SeqLen       int `json:"seq_len"`
			Start        int
		} `json:"batch_start"`
		CosPi        [][2]string `json:"cos_pi"`
		LearningRate []struct {
			Steps, Step               int
			Peak, Final, Warmup, Rate string
		} `json:"learning_rate"`
	}
	testcases.Host(t, "numbers.json", &cases)
	for _, c := range cases.BatchStart {
		got := batchStart(testcases.U64(t, c.Seed), c.Step, c.MicroBatches, c.MicroBatch, c.Rows, c.Row, c.Tokens, c.SeqLen)
		if got != c.Start {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	for _, c := range cases.CosPi {
		if got := CosPi(testcases.F64(t, c[0])); got != testcases.F64(t, c[1]) {
			t.Errorf("cos pi %v: got %x", c, got)
		}
	}
	for _, c := range cases.LearningRate {
		schedule := Schedule{c.Steps, testcases.F64(t, c.Peak), testcases.F64(t, c.Final), testcases.F64(t, c.Warmup)}
		if got := schedule.LearningRate(c.Step); got != testcases.F64(t, c.Rate) {
			t.Errorf("%+v: got %x", c, got)
		}
	}
	if len(cases.BatchStart) == 0 || len(cases.CosPi) == 0 || len(cases.LearningRate) == 0 {
		t.Error("a list of cases is empty")
	}
}
