package model

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cuda-nn/cuda-nn/go/internal/testcases"
)

// FuzzConfig: no bytes make the reader panic, and a config that it takes is written to one that reads the same.
func FuzzConfig(f *testing.F) {
	for _, name := range []string{"tiny", "gqa-top3", "bf16-sharded"} {
		data, err := os.ReadFile(filepath.Join(testcases.Golden(name), "config.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	config := TinyMoEConfig()
	config.NTKAlpha, config.Quantization, config.BosID = 8, "q4", -1
	f.Add([]byte(config.ToJSON()))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := MoEConfigFromJSON(data, "c")
		if err != nil {
			return
		}
		again, err := MoEConfigFromJSON([]byte(config.ToJSON()), "c")
		if err != nil || again != config {
			t.Fatalf("%+v was written and read as %+v, %v", config, again, err)
		}
	})
}

// FuzzIndex: no index of shards makes the reader panic or read outside the folder.
func FuzzIndex(f *testing.F) {
	data, err := os.ReadFile(filepath.Join(testcases.Golden("bf16-sharded"), indexFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"weight_map": {"a": "../../x.safetensors"}}`))
	f.Add([]byte(`{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": 1}}`))
	folder := f.TempDir()
	if err := os.CopyFS(folder, os.DirFS(testcases.Golden("bf16-sharded"))); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(folder, indexFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		checkpoint, err := LoadCheckpoint(folder)
		if err != nil {
			return
		}
		for _, shard := range checkpoint.Shards {
			if filepath.Dir(shard.Path) != folder {
				t.Fatalf("%s is not in the folder", shard.Path)
			}
		}
		if err := checkpoint.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
