package model

import (
	"context"
	"iter"
	"math"
	"strconv"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// PrefillChunk is the prompt tokens per sequence that run at once; any chunking gives the same bits.
const PrefillChunk = 512

// Ended stands for the token of a sequence that has none any more.
const Ended = -1

// Sampling is temperature, then top-k (0: all), then top-p (1: all). Temperature 0 takes the most likely token.
//
// A draw belongs to (seed, sample number, position), never to a slot in a batch.
type Sampling struct {
	Temperature float64
	TopK        int
	TopP        float64
	Seed        int64
}

// Greedy takes the most likely token.
var Greedy = Sampling{Temperature: 0, TopP: 1}

// Validate: Errors: usage_bad_value.
func (s Sampling) Validate() error {
	if !(0 <= s.Temperature && s.Temperature <= 1e6) {
		return messages.UsageBadValue("--temperature", jsonstrict.FormatNumber(s.Temperature), "a number of at least 0")
	}
	if s.TopK < 0 || math.MaxInt32 < s.TopK {
		return messages.UsageBadValue("--top-k", strconv.Itoa(s.TopK), "an integer of at least 0 (0: all)")
	}
	if !(0 < s.TopP && s.TopP <= 1) {
		return messages.UsageBadValue("--top-p", jsonstrict.FormatNumber(s.TopP), "a number above 0 and at most 1 (1: all)")
	}
	return nil
}

// Generator decodes a batch of prompts with a key/value cache: prompts in, one token per sequence and step out. After
// prefill every step is the same recorded graph: logits of the last tokens, sample, advance.
type Generator struct {
	Model        *MoETransformer
	Backend      tensor.Backend
	Batch        int
	MaxNewTokens int
	EosID        int
	Cache        *KVCache
	IDs          tensor.Buffer
	Finished     tensor.Buffer

	prompts                                [][]int
	temperature, topK, topP, samples, seed tensor.Buffer
	step                                   *RecordedStep
	ids32, finished32                      []int32
	tokens                                 []int
}

// GeneratorOptions of NewGenerator.
type GeneratorOptions struct {
	// FirstSample: sequence b of the batch is sample number FirstSample + b.
	FirstSample int
	// IgnoreEos goes on behind the end token.
	IgnoreEos bool
}

// NewGenerator makes a generator for the prompts.
//
// Errors: empty_prompt, id_out_of_range, sequence_too_long (a prompt and its new tokens exceed the context).
func NewGenerator(
	m *MoETransformer, prompts [][]int, maxNewTokens int, sampling Sampling, options GeneratorOptions,
) (*Generator, error) {
	if err := sampling.Validate(); err != nil {
		return nil, err
	}
	longest, err := CheckPrompts(m, prompts, maxNewTokens)
	if err != nil {
		return nil, err
	}
	b := len(prompts)
	g := &Generator{
		Model: m, Backend: m.Backend, Batch: b, MaxNewTokens: maxNewTokens, EosID: m.Config.EosID, prompts: prompts,
		ids32: make([]int32, b), finished32: make([]int32, b), tokens: make([]int, b),
	}
	if options.IgnoreEos {
		g.EosID = -1
	}
	if g.Cache, err = NewKVCache(m.Backend, m.Config, m.DType, b, longest+maxNewTokens); err != nil {
		return nil, err
	}
	last := make([]int32, b)
	samples := make([]int64, b)
	for i, prompt := range prompts {
		last[i] = int32(prompt[len(prompt)-1])
		samples[i] = int64(options.FirstSample + i)
	}
	var errs [7]error
	g.IDs, errs[0] = tensor.BufferOf(m.Backend, tensor.I32, last)
	g.Finished, errs[1] = m.Backend.Buffer(tensor.I32, b)
	g.temperature, errs[2] = tensor.BufferOf(m.Backend, tensor.F32, repeated(float32(sampling.Temperature), b))
	g.topK, errs[3] = tensor.BufferOf(m.Backend, tensor.I32, repeated(int32(sampling.TopK), b))
	g.topP, errs[4] = tensor.BufferOf(m.Backend, tensor.F32, repeated(float32(sampling.TopP), b))
	g.samples, errs[5] = tensor.BufferOf(m.Backend, tensor.I64, samples)
	g.seed, errs[6] = tensor.BufferOf(m.Backend, tensor.I64, []int64{sampling.Seed})
	g.step = NewRecordedStep(m.Backend, m, g.run)
	if err := tensor.First(errs[:]...); err != nil {
		return nil, tensor.First(err, g.Close())
	}
	return g, nil
}

func repeated[T any](value T, count int) []T {
	values := make([]T, count)
	for i := range values {
		values[i] = value
	}
	return values
}

// Prefill fills the cache with every prompt but its last token, in chunks, shorter prompts ending earlier.
func (g *Generator) Prefill(ctx context.Context) error {
	known := make([]int, g.Batch)
	most := 0
	for b, prompt := range g.prompts {
		known[b] = len(prompt) - 1
		most = max(most, known[b])
	}
	lengths, err := g.Backend.Buffer(tensor.I32, g.Batch)
	if err != nil {
		return err
	}
	g.Cache.Lengths = lengths
	for start := 0; start < most && err == nil; start += PrefillChunk {
		if err = ctx.Err(); err == nil {
			err = g.prefillChunk(known, start, min(PrefillChunk, most-start))
		}
	}
	g.Cache.Lengths = nil
	return tensor.First(
		err,
		lengths.Close(),
		g.Backend.Upload(g.Cache.Positions, 0, tensor.Bytes(int32s(known))),
	)
}

func (g *Generator) prefillChunk(known []int, start, newLen int) error {
	ids := make([]int32, g.Batch*newLen)
	positions := make([]int32, g.Batch*newLen)
	counts := make([]int32, g.Batch)
	for b, prompt := range g.prompts {
		count := min(max(known[b]-start, 0), newLen)
		counts[b] = int32(count)
		for i := range count {
			ids[b*newLen+i] = int32(prompt[start+i])
			positions[b*newLen+i] = int32(start + i)
		}
	}
	scratch := g.Model.Scratch
	idsBuffer := scratch.Get("generate.ids", len(ids), tensor.I32)
	positionsBuffer := scratch.Get("generate.positions", len(ids), tensor.I32)
	if err := tensor.First(
		scratch.Err(),
		g.Backend.Upload(g.Cache.Lengths, 0, tensor.Bytes(counts)),
		g.Backend.Upload(g.Cache.Positions, 0, tensor.Bytes(repeated(int32(start), g.Batch))),
		g.Backend.Upload(idsBuffer, 0, tensor.Bytes(ids)),
		g.Backend.Upload(positionsBuffer, 0, tensor.Bytes(positions)),
	); err != nil {
		return err
	}
	_, err := g.Model.Extend(idsBuffer, positionsBuffer, g.Cache, newLen)
	return err
}

// Step is the next token of each sequence, Ended for one that has ended (the end token itself is not reported). The
// slice is overwritten by the next step.
func (g *Generator) Step() ([]int, error) {
	err := tensor.First(g.step.Run(), g.Backend.Download(tensor.Bytes(g.ids32), g.IDs, 0))
	if err == nil && g.EosID >= 0 { // else no token ends a sequence: Finished stays zero
		err = g.Backend.Download(tensor.Bytes(g.finished32), g.Finished, 0)
	}
	if err != nil {
		return nil, err
	}
	for b := range g.tokens {
		g.tokens[b] = int(g.ids32[b])
		if g.finished32[b] != 0 {
			g.tokens[b] = Ended
		}
	}
	return g.tokens, nil
}

// All is prefill, then steps until every sequence has ended, MaxNewTokens are out, or ctx is cancelled, which is the last
// error.
func (g *Generator) All(ctx context.Context) iter.Seq2[[]int, error] {
	return func(yield func([]int, error) bool) {
		if err := g.Prefill(ctx); err != nil {
			yield(nil, err)
			return
		}
		for range g.MaxNewTokens {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			tokens, err := g.Step()
			if err != nil {
				yield(nil, err)
				return
			}
			if allEnded(tokens) || !yield(tokens, nil) {
				return
			}
		}
	}
}

func allEnded(tokens []int) bool {
	for _, token := range tokens {
		if token != Ended {
			return false
		}
	}
	return true
}

// Close releases the cache and the state of the batch.
func (g *Generator) Close() error {
	return tensor.First(
		g.step.Close(),
		g.Cache.Close(),
		tensor.CloseAll(g.IDs, g.Finished, g.temperature, g.topK, g.topP, g.samples, g.seed),
	)
}

func (g *Generator) run() error {
	v := g.Model.Config.VocabSize
	logits, err := g.Model.ForwardCached(g.IDs, g.Cache.Positions, g.Cache, 1)
	if err != nil {
		return err
	}
	return tensor.First(
		g.Backend.Sample(
			g.IDs, logits, g.temperature, g.topK, g.topP, g.samples, g.Cache.Positions, g.seed, g.Batch, v, v),
		g.Backend.DecodeAdvance(g.Cache.Positions, g.Finished, g.IDs, g.Batch, g.EosID),
	)
}

// Generate is the new ids of each prompt. Errors: those of NewGenerator, and that of ctx.
func Generate(ctx context.Context, m *MoETransformer, prompts [][]int, maxNewTokens int, sampling Sampling, options GeneratorOptions) ([][]int, error) {
	g, err := NewGenerator(m, prompts, maxNewTokens, sampling, options)
	if err != nil {
		return nil, err
	}
	out := make([][]int, len(prompts))
	for tokens, err := range g.All(ctx) {
		if err != nil {
			return nil, tensor.First(err, g.Close())
		}
		for b, token := range tokens {
			if token != Ended {
				out[b] = append(out[b], token)
			}
		}
	}
	return out, g.Close()
}

// CheckPrompts is the longest prompt's length. Errors: empty_prompt, id_out_of_range, sequence_too_long.
func CheckPrompts(m *MoETransformer, prompts [][]int, maxNewTokens int) (int, error) {
	longest := 0
	if len(prompts) == 0 {
		return 0, messages.EmptyPrompt()
	}
	for _, prompt := range prompts {
		if len(prompt) == 0 {
			return 0, messages.EmptyPrompt()
		}
		if maxNewTokens > m.Config.Context()-len(prompt) {
			length := len(prompt) + min(maxNewTokens, math.MaxInt-len(prompt)) // the largest integer where it is more
			return 0, messages.SequenceTooLong(length, m.Config.Context())
		}
		if err := m.CheckIDs(prompt, 1, len(prompt)); err != nil {
			return 0, err
		}
		longest = max(longest, len(prompt))
	}
	return longest, nil
}
