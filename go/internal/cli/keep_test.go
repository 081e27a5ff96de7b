package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// namesIn is what stands in a folder, in the order of the names.
func namesIn(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func fill(t *testing.T, folder string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeep(t *testing.T) {
	out := t.TempDir()
	fill(t, out, "config.json", "model.safetensors", "loss.png", ".hidden.json")
	for _, folder := range []string{".step-00000002.saving", "step-00000001", "step-00000003", "step-00000009", "step-1"} {
		if err := os.Mkdir(filepath.Join(out, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		fill(t, filepath.Join(out, folder), "old.json")
	}
	target := filepath.Join(out, "step-00000004")
	if err := keepAs(out, target, 2); err != nil {
		t.Fatal(err)
	}
	// What a killed run left is gone, as are the older ones and those of an earlier run that went further.
	want := []string{".hidden.json", "config.json", "loss.png", "model.safetensors", "step-00000003", "step-00000004", "step-1"}
	if names := namesIn(t, out); !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if names := namesIn(t, target); !slices.Equal(names, []string{"config.json", "model.safetensors"}) {
		t.Errorf("kept %v", names)
	}
	if data, err := os.ReadFile(filepath.Join(target, "model.safetensors")); err != nil || string(data) != "model.safetensors" {
		t.Errorf("%q (%v)", data, err)
	}
}

// A copy that fails leaves nothing: here the name is too long for the system where it lies one folder deeper.
func TestKeepThatFails(t *testing.T) {
	const most = 4095 // bytes of a path on Linux
	out := t.TempDir()
	for len(out) < most-400 {
		out = filepath.Join(out, strings.Repeat("a", 100))
	}
	name := strings.Repeat("b", most-len(out)-1-len("/.json")) + ".json"
	if len(name) > 255 {
		out = filepath.Join(out, strings.Repeat("c", 200))
		name = strings.Repeat("b", most-len(out)-1-len("/.json")) + ".json"
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		t.Skipf("paths of this length are not for this system: %v", err)
	}
	fill(t, out, name)
	if err := keepAs(out, filepath.Join(out, "step-00000001"), 1); err == nil {
		t.Error("the copy was made")
	}
	if names := namesIn(t, out); !slices.Equal(names, []string{name}) {
		t.Errorf("left are %d names: %v", len(names), names)
	}
}
