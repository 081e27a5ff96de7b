package model

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
	"github.com/cuda-nn/cuda-nn/go/tensor"
)

// A checkpoint is a Hugging Face Mixtral folder, read and written: config.json, generation_config.json,
// model.safetensors (or shards with model.safetensors.index.json), tokenizer.json; training adds optimizer.safetensors
// (m., v., master. + name) and trainer_state.json.

const checkpointKind = "checkpoint folder"

// ShardBytes: a shard is full when the next tensor would bring its tensors beyond this.
const ShardBytes = 4 << 30

var (
	// stored is MoEConfig.DType -> dtype in the file.
	stored     = map[string]string{"f32": "F32", "bf16": "BF16", "f16": "F16"}
	storedList = []string{"F32", "BF16", "F16"}
	owned      = regexp.MustCompile(`^(model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|` +
		`optimizer\.safetensors|trainer_state\.json)$`)
)

const indexFile = "model.safetensors.index.json"

// Checkpoint is an open folder: Config, and every tensor of ParameterSpecs(Config) by its name, read when asked for.
//
// DTypes (name -> F32, BF16 or F16, U8 for blocks) says how each is stored; Config.DType is what config.json says.
type Checkpoint struct {
	Path    string
	Config  MoEConfig
	Shards  []*SafetensorsFile
	DTypes  map[string]string
	shardOf map[string]*SafetensorsFile
}

// Array is a tensor as stored.
func (c *Checkpoint) Array(name string) ([]byte, error) { return c.shardOf[name].Array(name) }

// F32 is a tensor in f32.
func (c *Checkpoint) F32(name string) ([]float32, error) { return c.shardOf[name].F32(name) }

// converted is a float tensor as another float dtype stores it: widened exactly, or rounded to nearest even.
func (c *Checkpoint) converted(name string, dtype tensor.DType) ([]byte, error) {
	if strings.ToLower(c.DTypes[name]) == dtype.Label() {
		return c.Array(name)
	}
	values, err := c.F32(name)
	if err != nil || dtype == tensor.F32 {
		return tensor.Bytes(values), err
	}
	halves := make([]uint16, len(values))
	for i, value := range values {
		if dtype == tensor.BF16 {
			halves[i] = tensor.BF16FromF32(value)
		} else {
			halves[i] = tensor.F16FromF32(value)
		}
	}
	return tensor.Bytes(halves), nil
}

// Optimizer opens the optimizer's tensors. Errors: checkpoint_no_training_state and those of OpenSafetensorsFile.
func (c *Checkpoint) Optimizer() (*SafetensorsFile, error) {
	path, err := c.trainingFile("optimizer.safetensors")
	if err != nil {
		return nil, err
	}
	return OpenSafetensorsFile(path, checkpointKind)
}

// TrainerState reads trainer_state.json. Errors: checkpoint_no_training_state, cannot_read and those of strict JSON.
func (c *Checkpoint) TrainerState() (*jsonstrict.Object, error) {
	path, err := c.trainingFile("trainer_state.json")
	if err != nil {
		return nil, err
	}
	data, err := files.ReadBytes(path, checkpointKind)
	if err != nil {
		return nil, err
	}
	return jsonstrict.LoadsObject(data, path)
}

// TokenizerPath is where tokenizer.json is, or would be.
func (c *Checkpoint) TokenizerPath() string { return files.Join(c.Path, "tokenizer.json") }

// Close unmaps the weights.
func (c *Checkpoint) Close() error {
	var err error
	for _, shard := range c.Shards {
		err = tensor.First(err, shard.Close())
	}
	return err
}

func (c *Checkpoint) trainingFile(name string) (string, error) {
	path := files.Join(c.Path, name)
	if !files.Exists(path) {
		return "", messages.CheckpointNoTrainingState(c.Path, name)
	}
	return path, nil
}

// RequireTensor is a tensor that must be in file in this form. Errors: checkpoint_missing_tensor,
// checkpoint_wrong_shape, checkpoint_wrong_dtype.
func RequireTensor(file *SafetensorsFile, name, dtype string, shape tensor.Shape) ([]byte, error) {
	info, there := file.Tensors[name]
	if !there {
		return nil, messages.CheckpointMissingTensor(file.Path, jsonstrict.Quote(name))
	}
	if !slices.Equal(info.Shape, shape) {
		return nil, messages.CheckpointWrongShape(file.Path, jsonstrict.Quote(name), FormatShape(info.Shape), FormatShape(shape))
	}
	if info.DType != dtype {
		return nil, messages.CheckpointWrongDtype(file.Path, jsonstrict.Quote(name), info.DType, dtype)
	}
	return file.Array(name)
}

// LoadCheckpoint opens a folder and checks that it holds exactly the tensors of its config.json, in their shapes.
//
// Errors: folder_missing, file_missing, cannot_read, those of MoEConfigFromJSON and OpenSafetensorsFile,
// checkpoint_no_weights, checkpoint_index_*, checkpoint_missing_tensor, checkpoint_wrong_shape, checkpoint_wrong_dtype,
// checkpoint_unexpected_tensor.
func LoadCheckpoint(path string) (*Checkpoint, error) {
	path = files.Plain(path)
	if err := files.RequireFolder(path, checkpointKind); err != nil {
		return nil, err
	}
	if err := files.Recover(path); err != nil {
		return nil, files.CannotWrite(path, err)
	}
	configPath := files.Join(path, "config.json")
	data, err := files.ReadBytes(configPath, checkpointKind)
	if err != nil {
		return nil, err
	}
	config, err := MoEConfigFromJSON(data, configPath)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{
		Path: path, Config: config,
		DTypes: map[string]string{}, shardOf: map[string]*SafetensorsFile{},
	}
	if err := c.open(); err != nil {
		return nil, tensor.First(err, c.Close())
	}
	return c, nil
}

func (c *Checkpoint) open() error {
	single := files.Join(c.Path, "model.safetensors")
	switch {
	case files.Exists(single):
		shard, err := OpenSafetensorsFile(single, checkpointKind)
		if err != nil {
			return err
		}
		c.Shards = append(c.Shards, shard)
	case files.Exists(files.Join(c.Path, indexFile)):
		if err := c.openShards(); err != nil {
			return err
		}
	default:
		return messages.CheckpointNoWeights(c.Path)
	}
	for _, shard := range c.Shards {
		for _, name := range shard.Names {
			c.shardOf[name] = shard
			c.DTypes[name] = shard.Tensors[name].DType
		}
	}
	return c.checkTensors()
}

// openShards opens the files that the index names, in the order of their names' bytes, holding exactly what it says.
func (c *Checkpoint) openShards() error {
	indexPath := files.Join(c.Path, indexFile)
	data, err := files.ReadBytes(indexPath, checkpointKind)
	if err != nil {
		return err
	}
	index, err := jsonstrict.LoadsObject(data, indexPath)
	if err != nil {
		return err
	}
	fields := jsonstrict.NewFields(index, indexPath)
	weightMap := fields.Object("weight_map", indexPath).Values
	if err := fields.Err(); err != nil {
		return err
	}
	wanted := map[string][]string{}
	for _, name := range weightMap.Keys() {
		file, ok := weightMap.Get(name).(string)
		if !ok || !isShardName(file) {
			return messages.CheckpointIndexFile(indexPath, jsonstrict.Describe(weightMap.Get(name)))
		}
		wanted[file] = append(wanted[file], name)
	}
	var names []string
	for file := range wanted {
		names = append(names, file)
	}
	slices.Sort(names)
	for _, file := range names {
		shard, err := OpenSafetensorsFile(files.Join(c.Path, file), checkpointKind)
		if err != nil {
			return err
		}
		c.Shards = append(c.Shards, shard)
		for _, name := range wanted[file] {
			if _, there := shard.Tensors[name]; !there {
				return messages.CheckpointIndexMissing(indexPath, jsonstrict.Quote(name), file)
			}
		}
		for _, name := range shard.Names {
			if weightMap.Get(name) != file {
				return messages.CheckpointIndexExtra(indexPath, file, jsonstrict.Quote(name))
			}
		}
	}
	return nil
}

// isShardName says whether it is a file of the folder itself: an index must not reach elsewhere.
func isShardName(file string) bool {
	return !strings.ContainsAny(file, "/\\\x00") && !strings.HasPrefix(file, ".") && strings.HasSuffix(file, ".safetensors")
}

func (c *Checkpoint) checkTensors() error {
	specs := ParameterSpecs(c.Config)
	known := make(map[string]bool, len(specs))
	for _, spec := range specs {
		known[spec.Name] = true
		shard := c.shardOf[spec.Name]
		if shard == nil {
			return messages.CheckpointMissingTensor(c.Path, jsonstrict.Quote(spec.Name))
		}
		info := shard.Tensors[spec.Name]
		if _, shape := StoredForm(spec, c.Config); !slices.Equal(info.Shape, shape) {
			return messages.CheckpointWrongShape(
				shard.Path, jsonstrict.Quote(spec.Name), FormatShape(info.Shape), FormatShape(shape))
		}
		allowed := storedList
		if spec.Quantized {
			allowed = []string{"U8"}
		}
		if !slices.Contains(allowed, info.DType) {
			return messages.CheckpointWrongDtype(
				shard.Path, jsonstrict.Quote(spec.Name), info.DType, strings.Join(allowed, ", "))
		}
	}
	for _, shard := range c.Shards {
		for _, name := range shard.Names {
			if !known[name] {
				return messages.CheckpointUnexpectedTensor(shard.Path, jsonstrict.Quote(name))
			}
		}
	}
	return nil
}

// StoredForm is dtype and shape of a tensor in the file: its own, or U8 [rows, bytes of a row] where it is quantized. A row
// of k elements is k / 32 blocks, one behind the other: an f16 scale d and 32 int8 (q8, 34 bytes), or d and 16 bytes of
// nibbles (q4, 18 bytes), as cunn_quantize makes them.
func StoredForm(spec ParameterSpec, config MoEConfig) (dtype string, shape tensor.Shape) {
	if !spec.Quantized {
		return stored[config.DType], spec.Shape
	}
	blocks, _ := tensor.DTypeOf(config.Quantization)
	return "U8", tensor.Shape{spec.Shape[0], blocks.Bytes(spec.Shape[1])}
}

// FormatShape is "[2, 3]".
func FormatShape(shape tensor.Shape) string {
	words := make([]string, len(shape))
	for i, extent := range shape {
		words[i] = strconv.Itoa(extent)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// TrainingState is what training adds to a checkpoint. Fetch gives the bytes of an entry of Optimizer.
type TrainingState struct {
	Optimizer    []TensorEntry
	Fetch        Fetch
	TrainerState *jsonstrict.Object
}

// SaveOptions is what SaveCheckpoint writes beside the weights.
type SaveOptions struct {
	// Tokenizer is the content of tokenizer.json; without it an old one stays.
	Tokenizer []byte
	Training  *TrainingState
	// ShardBytes is the size of a shard, 0 for ShardBytes.
	ShardBytes int
}

// SaveCheckpoint writes the folder path, whole or not at all; in a folder that is there, other files stay.
//
// fetch gives each tensor of ParameterSpecs(config) once, in the order of the names' bytes, in its StoredForm, so that one
// tensor at a time need be in memory. Errors: disk_full, cannot_write and those of fetch.
func SaveCheckpoint(path string, config MoEConfig, fetch Fetch, options SaveOptions) error {
	limit := options.ShardBytes
	if limit == 0 {
		limit = ShardBytes
	}
	shards := SplitShards(CheckpointEntries(config), limit)
	return files.SaveFolder(path, owned.MatchString, func(save *files.FolderSave) error {
		var err error
		write := func(name string, fill files.Fill) {
			if err == nil {
				err = save.Write(name, fill)
			}
		}
		write("config.json", files.Content(config.ToJSON()))
		write("generation_config.json", files.Content(config.GenerationJSON()))
		if options.Tokenizer != nil {
			write("tokenizer.json", files.Content(options.Tokenizer))
		}
		for number, shard := range shards {
			write(ShardName(number, len(shards)), FileContent(shard, fetch, PTMetadata()))
		}
		if len(shards) > 1 {
			write(indexFile, files.Content(IndexJSON(config, shards)))
		}
		if training := options.Training; training != nil {
			write("optimizer.safetensors", FileContent(training.Optimizer, training.Fetch, PTMetadata()))
			write("trainer_state.json", files.Content(jsonstrict.Dumps(training.TrainerState)))
		}
		return err
	})
}

// CheckpointEntries is every tensor as it is written, in the order of the names' bytes.
func CheckpointEntries(config MoEConfig) []TensorEntry {
	var entries []TensorEntry
	for _, spec := range ParameterSpecs(config) {
		dtype, shape := StoredForm(spec, config)
		entries = append(entries, TensorEntry{spec.Name, dtype, shape})
	}
	return ByteOrder(entries)
}

// SplitShards fills shards in order, each until the next tensor would not fit; a tensor beyond shardBytes is alone.
func SplitShards(entries []TensorEntry, shardBytes int) [][]TensorEntry {
	shards := [][]TensorEntry{nil}
	filled := 0
	for _, entry := range entries {
		last := len(shards) - 1
		if len(shards[last]) > 0 && filled+entry.NBytes() > shardBytes {
			shards = append(shards, nil)
			last, filled = last+1, 0
		}
		shards[last] = append(shards[last], entry)
		filled += entry.NBytes()
	}
	return shards
}

// ShardName is the file of a shard, numbered from 0; one shard has the plain name.
func ShardName(number, count int) string {
	if count == 1 {
		return "model.safetensors"
	}
	return fmt.Sprintf("model-%05d-of-%05d.safetensors", number+1, count)
}

// IndexJSON is the content of model.safetensors.index.json, names in byte order.
func IndexJSON(config MoEConfig, shards [][]TensorEntry) string {
	weightMap := jsonstrict.NewObject()
	total := 0
	for number, shard := range shards {
		for _, entry := range shard {
			weightMap.Set(entry.Name, ShardName(number, len(shards)))
			total += entry.NBytes()
		}
	}
	metadata := jsonstrict.NewObject("total_parameters", config.NParameters(), "total_size", total)
	return jsonstrict.Dumps(jsonstrict.NewObject("metadata", metadata, "weight_map", weightMap))
}
