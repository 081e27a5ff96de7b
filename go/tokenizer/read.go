package tokenizer

import (
	"errors"
	"slices"
	"strings"

	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
)

var errNotOurs = errors.New("not a byte-level BPE")

// read takes over the parts of a tokenizer.json that decide ids and text; what would decide them and is not known here
// is refused, so that a file either gives the library's ids or an error.
func (t *Tokenizer) read(data []byte) error {
	object, err := jsonstrict.LoadsObject(data, "")
	if err != nil {
		return err
	}
	root := jsonstrict.NewFields(object, "")
	t.normalize = func(text string) string { return text }
	if kind := root.ObjectOrEmpty("normalizer", "").StringOr("type", ""); kind != "" {
		form, known := forms[kind]
		if !known {
			return errNotOurs
		}
		t.normalize = form
	}
	splitter := root.Object("pre_tokenizer", "")
	decoder := root.Object("decoder", "")
	if splitter.StringOr("type", "") != "ByteLevel" || decoder.StringOr("type", "") != "ByteLevel" {
		return errNotOurs
	}
	t.addPrefixSpace = splitter.Boolean("add_prefix_space")
	t.useRegex = true
	if splitter.Values.Get("use_regex") != nil {
		t.useRegex = splitter.Boolean("use_regex")
	}
	if err := root.Err(); err != nil {
		return err
	}
	if err := t.readModel(root.Object("model", "")); err != nil {
		return err
	}
	return t.readAdded(root.Values.Get("added_tokens"))
}

func (t *Tokenizer) readModel(model *jsonstrict.Fields) error {
	vocab := model.Object("vocab", "").Values
	if model.StringOr("type", "BPE") != "BPE" || model.Values.Get("dropout") != nil ||
		model.StringOr("continuing_subword_prefix", "")+model.StringOr("end_of_word_suffix", "") != "" ||
		model.StringOr("unk_token", "") != "" || model.Values.Get("byte_fallback") == true {
		return errNotOurs
	}
	t.bpe.ignoreMerges = model.Values.Get("ignore_merges") == true
	if err := model.Err(); err != nil {
		return err
	}
	if len(vocab.Keys()) == 0 {
		return errNotOurs
	}
	t.ids, t.tokens, t.special = map[string]int{}, map[int]string{}, map[int]bool{}
	for _, token := range vocab.Keys() {
		id, ok := vocab.Get(token).(int)
		if !ok || id < 0 || 1<<31 <= id {
			return errNotOurs
		}
		t.ids[token], t.tokens[id] = id, token
	}
	t.bpe.ids = make(map[string]uint32, len(t.ids))
	for token, id := range t.ids {
		t.bpe.ids[token] = uint32(id)
	}
	return t.readMerges(model.Values.Get("merges"))
}

// readMerges: a merge is "a b" in older files and ["a", "b"] since; its place is its rank.
func (t *Tokenizer) readMerges(value jsonstrict.Value) error {
	merges, ok := value.([]jsonstrict.Value)
	if !ok {
		return errNotOurs
	}
	t.bpe.merges = make(map[pair]merge, len(merges))
	for rank, entry := range merges {
		var parts []string
		switch entry := entry.(type) {
		case string:
			parts = strings.Split(entry, " ")
		case []jsonstrict.Value:
			for _, item := range entry {
				text, _ := item.(string)
				parts = append(parts, text)
			}
		}
		if len(parts) != 2 {
			return errNotOurs
		}
		left, okLeft := t.bpe.ids[parts[0]]
		right, okRight := t.bpe.ids[parts[1]]
		joined, okJoined := t.bpe.ids[parts[0]+parts[1]]
		if !okLeft || !okRight || !okJoined {
			return errNotOurs
		}
		t.bpe.merges[pair{left, right}] = merge{rank, joined}
	}
	for b := range t.bpe.bytes {
		id, there := t.bpe.ids[string(byteCharacter(byte(b)))]
		t.bpe.bytes[b] = int(id)
		if !there {
			t.bpe.bytes[b] = -1
		}
	}
	return nil
}

func (t *Tokenizer) readAdded(value jsonstrict.Value) error {
	list, ok := value.([]jsonstrict.Value)
	if value != nil && !ok {
		return errNotOurs
	}
	free := len(t.ids)
	for _, entry := range list {
		object, ok := entry.(*jsonstrict.Object)
		if !ok {
			return errNotOurs
		}
		added := jsonstrict.NewFields(object, "")
		id, content, special := added.Integer("id"), added.String("content"), added.Boolean("special")
		if added.Err() != nil || id < 0 {
			return errNotOurs
		}
		if content == "" { // passed over, as by the library
			continue
		}
		// The id is the model's, or the next free one whatever the file says.
		id, known := t.ids[content]
		if !known {
			id = free
			free++
		}
		t.ids[content], t.tokens[id] = id, content
		for _, flag := range []string{"single_word", "lstrip", "rstrip"} {
			if !special && object.Get(flag) == true {
				return errNotOurs
			}
		}
		if special {
			t.special[id] = true
		}
		if !slices.Contains(t.literal, content) {
			t.literal = append(t.literal, content)
		}
	}
	t.literal = slices.DeleteFunc(t.literal, func(content string) bool { return t.special[t.ids[content]] })
	slices.SortStableFunc(t.literal, func(a, b string) int { return len(b) - len(a) })
	return nil
}

// bytesJSON is the form in which the library writes a tokenizer, without merges.
func bytesJSON() jsonstrict.Value {
	vocab := jsonstrict.NewObject()
	var added []jsonstrict.Value
	for id, token := range SpecialTokens {
		vocab.Set(token, id)
		added = append(added, jsonstrict.NewObject(
			"id", id, "content", token, "single_word", false, "lstrip", false, "rstrip", false, "normalized", false,
			"special", true,
		))
	}
	for b := range 256 {
		vocab.Set(string(byteCharacter(byte(b))), len(SpecialTokens)+b)
	}
	byteLevel := func(addPrefixSpace bool) jsonstrict.Value {
		return jsonstrict.NewObject(
			"type", "ByteLevel", "add_prefix_space", addPrefixSpace, "trim_offsets", true, "use_regex", true)
	}
	return jsonstrict.NewObject(
		"version", "1.0",
		"truncation", nil,
		"padding", nil,
		"added_tokens", added,
		"normalizer", nil,
		"pre_tokenizer", byteLevel(false),
		"post_processor", nil,
		"decoder", byteLevel(true),
		"model", jsonstrict.NewObject(
			"type", "BPE",
			"dropout", nil,
			"unk_token", nil,
			"continuing_subword_prefix", nil,
			"end_of_word_suffix", nil,
			"fuse_unk", false,
			"byte_fallback", false,
			"ignore_merges", false,
			"vocab", vocab,
			"merges", []jsonstrict.Value{},
		),
	)
}
