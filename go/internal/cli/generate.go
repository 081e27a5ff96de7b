package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/model"
	"github.com/cuda-nn/cuda-nn/go/tokenizer"
)

const (
	defaultNewTokens = 128
	window           = 32 // ids that are decoded again: no character and no decoder's rule reaches further
)

func (a *app) generate() *cobra.Command {
	var c common
	var folder, prompt string
	var asked int
	var sampling model.Sampling
	command := &cobra.Command{Use: "generate", Short: "Continue a prompt; the text streams, the speed comes at the end."}
	path(command, &folder, "model", "", "a checkpoint folder")
	text(command, &prompt, "prompt", "", "the text to continue")
	integer(command, &asked, "max-new-tokens", 0, "at most 128, or what the context leaves, by default")
	number(command, &sampling.Temperature, "temperature", 1, "0: always the most likely token")
	integer(command, &sampling.TopK, "top-k", 0, "only the k most likely tokens, 0: all")
	number(command, &sampling.TopP, "top-p", 1, "only the likeliest that sum to p, 1: all")
	c.add(command, "device", "threads", "seed", "ntk-alpha", "json", "quiet")
	needs(command, "model prompt")
	command.RunE = func(*cobra.Command, []string) error {
		if err := c.checkSeed(); err != nil {
			return err
		}
		sampling.Seed = int64(c.seed)
		if err := sampling.Validate(); err != nil {
			return err
		}
		if prompt == "" {
			return messages.EmptyPrompt()
		}
		tok, err := modelTokenizer(folder)
		if err != nil {
			return err
		}
		backend, err := c.openDevice()
		if err != nil {
			return err
		}
		defer backend.Close()
		loaded, err := c.load(command, folder, backend)
		if err != nil {
			return err
		}
		ids := encode(tok, prompt)
		if !command.Flags().Changed("max-new-tokens") {
			asked = max(1, min(defaultNewTokens, loaded.Config.Context()-len(ids)))
		}
		if asked < 1 {
			return messages.UsageBadValue("--max-new-tokens", strconv.Itoa(asked), "an integer of at least 1")
		}
		generator, err := model.NewGenerator(loaded, [][]int{ids}, asked, sampling, model.GeneratorOptions{})
		if err != nil {
			return err
		}
		defer generator.Close()
		stream := textStream{tokenizer: tok, out: a.out}
		if c.json {
			stream.out = io.Discard
		} else if !c.quiet {
			fmt.Fprint(a.out, prompt)
		}
		ctx, stop := a.interrupts.until()
		defer stop()
		start := time.Now()
		for tokens, err := range generator.All(ctx) {
			if err != nil {
				return err
			}
			if err := stream.add(tokens[0]); err != nil {
				return err
			}
		}
		seconds := time.Since(start).Seconds()
		text, err := stream.finish()
		if err != nil {
			return err
		}
		speed := float64(len(stream.ids)) / max(seconds, 1e-9)
		if c.json {
			return a.print(jsonstrict.NewObject(
				"prompt", prompt,
				"text", text,
				"ids", integers(stream.ids),
				"tokens", len(stream.ids),
				"tokens_per_second", speed,
			), true)
		}
		fmt.Fprintln(a.out)
		if !c.quiet {
			fmt.Fprintf(a.err, "%d tokens, %.1f tokens/s\n", len(stream.ids), speed)
		}
		return nil
	}
	return command
}

func encode(tok *tokenizer.Tokenizer, text string) []int {
	var ids []int
	for _, id := range tok.Encode(text) {
		ids = append(ids, int(id))
	}
	return ids
}

func integers[T int | int32](values []T) []jsonstrict.Value {
	list := make([]jsonstrict.Value, len(values))
	for i, value := range values {
		list[i] = int(value)
	}
	return list
}

// textStream writes the text of a growing list of ids: characters that may still change are held back.
//
// Only the last ids are decoded again with each new one, so that a long text costs a constant time per token.
type textStream struct {
	tokenizer *tokenizer.Tokenizer
	ids       []int
	out       io.Writer
	start     int
	written   string // of the text of ids[start:]
}

func (s *textStream) add(id int) error {
	s.ids = append(s.ids, id)
	// A character that is not whole yet decodes to U+FFFD at the end; four bytes make any character whole.
	text := s.tokenizer.Decode(s.ids[s.start:])
	if err := s.advance(strings.TrimRight(text, "\ufffd")); err != nil {
		return err
	}
	if len(s.ids)-s.start > 2*window && text == s.written {
		s.start = len(s.ids) - window
		s.written = s.tokenizer.Decode(s.ids[s.start:])
	}
	return nil
}

// finish writes what was held back, and returns the whole text.
func (s *textStream) finish() (string, error) {
	err := s.advance(s.tokenizer.Decode(s.ids[s.start:]))
	return s.tokenizer.Decode(s.ids), err
}

func (s *textStream) advance(text string) error {
	rest, grows := strings.CutPrefix(text, s.written)
	if !grows || rest == "" {
		return nil
	}
	s.written = text
	_, err := io.WriteString(s.out, rest)
	return err
}
