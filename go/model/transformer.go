package model

import (
	"fmt"
	"slices"

	"github.com/cuda-nn/cuda-nn/go/cuda"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/layer"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// MoETransformer is the whole model: embedding, blocks, final norm, LM head, and their backward, as one fixed sequence of
// calls. logits = head(norm(block_L(... block_1(embedding(ids))))).
//
// A model is made either for inference, where blocks share their activations, or for training, where each block keeps its
// own, or only its input when Recompute is set and forward runs again inside backward.
type MoETransformer struct {
	Config      MoEConfig
	Backend     tensor.Backend
	DType       tensor.DType
	Training    bool
	Recompute   bool
	Weights     *Weights
	Scratch     *layer.Workspace
	Rope        *RopeTables
	BalanceLoss tensor.Buffer
	ZLoss       tensor.Buffer
	Saved       []*layer.Workspace
	Embedding   *layer.Embedding
	Blocks      []*TransformerBlock
	Norm        *layer.RMSNorm
	Head        *layer.Linear

	hiddenNames      []string
	positionsShape   [2]int
	positionsVersion int
	ids              tensor.Buffer
}

// Options of a model. The zero value is f32 for inference with fresh weights of seed 0.
type Options struct {
	DType     tensor.DType
	Training  bool
	Recompute bool
	Seed      int64
	// Zeros leaves the weights 0, to be loaded over.
	Zeros bool
}

// NewMoETransformer makes a model on a backend; nil is device "auto".
//
// Errors: those of MoEConfig.Validate, of cuda.OpenBackend and of the device; quantized_weights when a quantized model is to
// be trained.
func NewMoETransformer(config MoEConfig, backend tensor.Backend, options Options) (*MoETransformer, error) {
	if err := config.Validate("config"); err != nil {
		return nil, err
	}
	if options.Training {
		if err := config.RequireFloat("config"); err != nil {
			return nil, err
		}
	}
	if backend == nil {
		var err error
		if backend, err = cuda.OpenBackend("auto"); err != nil {
			return nil, err
		}
	}
	m := &MoETransformer{
		Config: config, Backend: backend, DType: options.DType, Training: options.Training, Recompute: options.Recompute,
	}
	if err := m.build(options); err != nil {
		return nil, tensor.First(err, m.Close())
	}
	return m, nil
}

func (m *MoETransformer) build(options Options) (err error) {
	backend, config := m.Backend, m.Config
	if m.Weights, err = NewWeights(backend, config, m.DType, m.Training); err != nil {
		return err
	}
	if !options.Zeros {
		if err := m.Weights.Initialise(options.Seed); err != nil {
			return err
		}
	}
	m.Scratch = layer.NewWorkspace(backend)
	if m.Rope, err = NewRopeTables(backend, config); err != nil {
		return err
	}
	if m.BalanceLoss, err = backend.Buffer(tensor.F32, 1); err != nil {
		return err
	}
	if m.ZLoss, err = backend.Buffer(tensor.F32, 1); err != nil {
		return err
	}
	shared := layer.NewWorkspace(backend)
	for range config.NLayers {
		saved := shared
		if m.Training && !m.Recompute {
			saved = layer.NewWorkspace(backend)
		}
		m.Saved = append(m.Saved, saved)
	}
	table, errTable := m.Weights.Parameter("model.embed_tokens.weight")
	norm, errNorm := m.Weights.Parameter("model.norm.weight")
	head, errHead := m.Weights.Parameter("lm_head.weight")
	if err := tensor.First(errTable, errNorm, errHead); err != nil {
		return err
	}
	m.Embedding = layer.NewEmbedding(backend, table)
	m.Norm = layer.NewRMSNorm(backend, norm, config.RMSNormEps, m.Scratch, "final_norm")
	m.Head = layer.NewLinear(backend, head)
	for index := range config.NLayers {
		block, err := m.block(index)
		if err != nil {
			return err
		}
		m.Blocks = append(m.Blocks, block)
	}
	for index := range config.NLayers + 1 {
		m.hiddenNames = append(m.hiddenNames, fmt.Sprintf("model.hidden.%d", index))
	}
	return nil
}

// NewTiny is the preset "tiny" with fresh weights of seed 0, for inference, on the best device here: the library's when
// it can be opened, else the reference; Backend.Name says which.
func NewTiny() *MoETransformer { return onBest(TinyMoEConfig()) }

// NewSmall is the preset "small" with fresh weights of seed 0, for inference, on the best device here, as NewTiny.
func NewSmall() *MoETransformer { return onBest(SmallMoEConfig()) }

func onBest(config MoEConfig) *MoETransformer {
	if m, err := NewMoETransformer(config, nil, Options{}); err == nil {
		return m
	}
	m, err := NewMoETransformer(config, tensor.NewReference(), Options{})
	if err != nil {
		panic(err) // a preset is valid, and the reference fails only without memory
	}
	return m
}

// LoadOptions says how LoadMoETransformer makes the model.
type LoadOptions struct {
	// DType is nil for the stored one.
	DType     *tensor.DType
	Training  bool
	Recompute bool
	// NTKAlpha is nil for the stored one.
	NTKAlpha *float64
}

// LoadMoETransformer is the model of a Mixtral folder; quantized weights stay quantized. Errors: those of LoadCheckpoint and
// NewMoETransformer.
func LoadMoETransformer(path string, backend tensor.Backend, options LoadOptions) (*MoETransformer, error) {
	checkpoint, err := LoadCheckpoint(path)
	if err != nil {
		return nil, err
	}
	m, err := fromCheckpoint(checkpoint, backend, options)
	return m, tensor.First(err, checkpoint.Close())
}

func fromCheckpoint(checkpoint *Checkpoint, backend tensor.Backend, options LoadOptions) (*MoETransformer, error) {
	config := checkpoint.Config
	if options.Training {
		if err := config.RequireFloat(checkpoint.Path); err != nil {
			return nil, err
		}
	}
	if options.NTKAlpha != nil {
		var err error
		if config, err = config.WithNTKAlpha(*options.NTKAlpha); err != nil {
			return nil, err
		}
	}
	dtype, _ := tensor.DTypeOf(config.DType)
	if options.DType != nil {
		dtype = *options.DType
	}
	m, err := NewMoETransformer(config, backend, Options{
		DType: dtype, Training: options.Training, Recompute: options.Recompute, Zeros: true,
	})
	if err != nil {
		return nil, err
	}
	if err := m.Weights.Load(checkpoint); err != nil {
		return nil, tensor.First(err, m.Close())
	}
	return m, nil
}

// Save writes a Mixtral folder, whole or not at all. Errors: disk_full, cannot_write.
func (m *MoETransformer) Save(path string, options SaveOptions) error {
	config, err := m.Config.WithDType(m.DType.Label())
	if err != nil {
		return err
	}
	return SaveCheckpoint(path, config, m.Weights.Fetch, options)
}

// ForwardIDs is logits [batch, seq_len, vocab_size] on the host for batch sequences of seqLen ids.
//
// Errors: no_ids, ids_wrong_count, sequence_too_long, id_out_of_range.
func (m *MoETransformer) ForwardIDs(ids []int, batch, seqLen int) ([]float32, error) {
	if err := m.CheckIDs(ids, batch, seqLen); err != nil {
		return nil, err
	}
	buffer := m.Scratch.Get("model.ids", len(ids), tensor.I32)
	if err := m.Scratch.Err(); err != nil {
		return nil, err
	}
	if err := m.Backend.Upload(buffer, 0, tensor.Bytes(int32s(ids))); err != nil {
		return nil, err
	}
	logits, err := m.Forward(buffer, batch, seqLen, nil)
	if err != nil {
		return nil, err
	}
	return tensor.Read[float32](m.Backend, logits, 0, batch*seqLen*m.Config.VocabSize)
}

func int32s(ids []int) []int32 {
	narrow := make([]int32, len(ids))
	for i, id := range ids {
		narrow[i] = int32(id)
	}
	return narrow
}

// CheckIDs has the errors of ForwardIDs, before anything runs.
func (m *MoETransformer) CheckIDs(ids []int, batch, seqLen int) error {
	if len(ids) == 0 || batch < 1 || seqLen < 1 {
		return messages.NoIds()
	}
	if len(ids) != batch*seqLen {
		return messages.IdsWrongCount(len(ids), batch, seqLen)
	}
	if seqLen > m.Config.Context() {
		return messages.SequenceTooLong(seqLen, m.Config.Context())
	}
	for position, id := range ids {
		if id < 0 || m.Config.VocabSize <= id {
			return messages.IdOutOfRange(id, position, m.Config.VocabSize-1)
		}
	}
	return nil
}

// Forward is logits [batch seq_len, vocab_size] f32 on the device; ids [batch seq_len] i32. In training the routers' two
// losses are added to BalanceLoss and ZLoss. observe, unless nil, sees each layer's routing as it is made.
func (m *MoETransformer) Forward(
	ids tensor.Buffer, batch, seqLen int, observe func(layer int, routing Routing) error,
) (tensor.Buffer, error) {
	tokens := batch * seqLen
	m.ids = ids
	positions, err := m.Positions(batch, seqLen)
	if err != nil {
		return nil, err
	}
	if err := m.Embedding.Forward(m.hidden(0, tokens), ids, tokens); err != nil {
		return nil, tensor.First(m.Scratch.Err(), err)
	}
	for index, block := range m.Blocks {
		err := block.Forward(m.hidden(index+1, tokens), m.hidden(index, tokens), positions, batch, seqLen)
		if err := tensor.First(m.Scratch.Err(), err); err != nil {
			return nil, err
		}
		if m.Training {
			if err := block.MoE.Router.Losses(m.BalanceLoss, m.ZLoss, tokens); err != nil {
				return nil, err
			}
		}
		if observe != nil {
			if err := observe(index, block.MoE.Router.Routing(tokens)); err != nil {
				return nil, err
			}
		}
	}
	return m.logits(m.hidden(len(m.Blocks), tokens), tokens)
}

// Extend runs newLen new tokens of each sequence of the cache, which keeps their keys and values, and returns their last
// hidden states [batch new_len, hidden_size]. ids, positions [batch new_len] i32: positions are the tokens' own,
// cache.Positions where each sequence's new tokens begin, cache.Lengths how many of them exist.
func (m *MoETransformer) Extend(ids, positions tensor.Buffer, cache *KVCache, newLen int) (tensor.Buffer, error) {
	tokens := cache.Batch * newLen
	if err := m.Embedding.Forward(m.hidden(0, tokens), ids, tokens); err != nil {
		return nil, tensor.First(m.Scratch.Err(), err)
	}
	for index, block := range m.Blocks {
		err := block.ForwardCached(m.hidden(index+1, tokens), m.hidden(index, tokens), positions, cache, index, newLen)
		if err := tensor.First(m.Scratch.Err(), err); err != nil {
			return nil, err
		}
	}
	return m.hidden(len(m.Blocks), tokens), nil
}

// ForwardCached is Extend, then the logits [batch new_len, vocab_size]: the same bits as Forward of the whole sequences.
func (m *MoETransformer) ForwardCached(ids, positions tensor.Buffer, cache *KVCache, newLen int) (tensor.Buffer, error) {
	x, err := m.Extend(ids, positions, cache, newLen)
	if err != nil {
		return nil, err
	}
	return m.logits(x, cache.Batch*newLen)
}

// Backward accumulates every weight's gradient from dlogits [batch seq_len, vocab_size], after Forward of the same shape.
// The routers' losses enter with AuxCoef and ZCoef over NLayers microBatches. Errors: not_training.
func (m *MoETransformer) Backward(dlogits tensor.Buffer, batch, seqLen, microBatches int) error {
	if !m.Training || m.ids == nil {
		return messages.NotTraining()
	}
	tokens := batch * seqLen
	size := tokens * m.Config.HiddenSize
	positions, err := m.Positions(batch, seqLen)
	if err != nil {
		return err
	}
	share := float64(len(m.Blocks) * microBatches)
	balanceCoef, zCoef := m.Config.AuxCoef/share, m.Config.ZCoef/share
	dy := m.Scratch.Get("model.dhidden", size)
	dnormed := m.Scratch.Get("model.dnormed", size)
	normed := m.Scratch.Get("final_norm.y", size)
	if err := tensor.First(
		m.Scratch.Err(),
		m.Head.Backward(dnormed, dlogits, normed, tokens, false),
		m.Norm.Backward(dy, dnormed, m.hidden(len(m.Blocks), tokens), tokens),
	); err != nil {
		return err
	}
	for index, block := range slices.Backward(m.Blocks) {
		x := m.hidden(index, tokens)
		if m.Recompute {
			again := m.Scratch.Get("model.recomputed", size)
			if err := tensor.First(
				m.Scratch.Err(),
				block.Forward(again, x, positions, batch, seqLen),
				block.MoE.Router.Fractions(tokens),
			); err != nil {
				return err
			}
		}
		if err := block.Backward(dy, dy, x, positions, batch, seqLen, balanceCoef, zCoef); err != nil {
			return err
		}
	}
	return m.Embedding.Backward(dy, m.ids, tokens)
}

// Positions is 0 .. seq_len-1 for every sequence, [batch seq_len] i32.
func (m *MoETransformer) Positions(batch, seqLen int) (tensor.Buffer, error) {
	buffer := m.Scratch.Get("model.positions", batch*seqLen, tensor.I32)
	if err := m.Scratch.Err(); err != nil {
		return nil, err
	}
	if m.positionsShape == [2]int{batch, seqLen} {
		return buffer, nil
	}
	values := make([]int32, batch*seqLen)
	for i := range values {
		values[i] = int32(i % seqLen)
	}
	if err := m.Backend.Upload(buffer, 0, tensor.Bytes(values)); err != nil {
		return nil, err
	}
	m.positionsShape = [2]int{batch, seqLen}
	m.positionsVersion++
	return buffer, nil
}

// WorkspaceVersion changes when a buffer of the activations was replaced or holds the positions of another shape; a graph
// recorded before must be recorded again.
func (m *MoETransformer) WorkspaceVersion() int {
	version := m.Scratch.Version + m.positionsVersion
	for _, saved := range m.Saved {
		version += saved.Version
	}
	return version
}

// Close releases the model's device memory, also that of a model which could not be built to its end.
func (m *MoETransformer) Close() error {
	err := tensor.CloseAll(m.BalanceLoss, m.ZLoss)
	for _, workspace := range append([]*layer.Workspace{m.Scratch}, m.Saved...) {
		if workspace != nil {
			err = tensor.First(err, workspace.Close())
		}
	}
	if m.Rope != nil {
		err = tensor.First(err, m.Rope.Close())
	}
	if m.Weights != nil {
		err = tensor.First(err, m.Weights.Close())
	}
	return err
}

// hidden is the input of a block: kept for each in training, two in turn otherwise.
func (m *MoETransformer) hidden(index, tokens int) tensor.Buffer {
	if !m.Training {
		index %= 2
	}
	return m.Scratch.Get(m.hiddenNames[index], tokens*m.Config.HiddenSize)
}

func (m *MoETransformer) logits(x tensor.Buffer, tokens int) (tensor.Buffer, error) {
	logits := m.Scratch.Get("model.logits", tokens*m.Config.VocabSize)
	if err := m.Scratch.Err(); err != nil {
		return nil, err
	}
	normed, err := m.Norm.Forward(x, tokens)
	if err != nil {
		return nil, err
	}
	return logits, m.Head.Forward(logits, normed, tokens)
}

func (m *MoETransformer) block(index int) (*TransformerBlock, error) {
	be, c, saved, scratch := m.Backend, m.Config, m.Saved[index], m.Scratch
	at := fmt.Sprintf("model.layers.%d.", index)
	var first error
	parameter := func(name string) *layer.Parameter {
		p, err := m.Weights.Parameter(at + name)
		first = tensor.First(first, err)
		return p
	}
	q, k := parameter("self_attn.q_proj.weight"), parameter("self_attn.k_proj.weight")
	v, o := parameter("self_attn.v_proj.weight"), parameter("self_attn.o_proj.weight")
	gate := parameter("block_sparse_moe.gate.weight")
	inputNorm, postNorm := parameter("input_layernorm.weight"), parameter("post_attention_layernorm.weight")
	w1, w3, w2, err := m.Weights.Experts(index)
	if err := tensor.First(first, err); err != nil {
		return nil, err
	}
	router := NewRouter(be, c, layer.NewLinear(be, gate), saved, scratch)
	experts := layer.NewSwiGLU(be, w1, w3, w2, saved, scratch)
	return &TransformerBlock{
		InputNorm: layer.NewRMSNorm(be, inputNorm, c.RMSNormEps, saved, "input_norm"),
		Attention: NewMQAttention(be, c, layer.NewLinear(be, q), layer.NewLinear(be, k), layer.NewLinear(be, v),
			layer.NewLinear(be, o), m.Rope, m.DType, saved, scratch),
		PostAttentionNorm: layer.NewRMSNorm(be, postNorm, c.RMSNormEps, saved, "post_attention_norm"),
		MoE:               NewMoELayer(be, c, router, experts, saved, scratch),
	}, nil
}
