package files

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	nn "github.com/cuda-nn/cuda-nn/go"
)

func owned(name string) bool { return strings.HasPrefix(name, "model") }

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func save(t *testing.T, folder string, contents ...string) {
	t.Helper()
	err := SaveFolder(folder, owned, func(s *FolderSave) error {
		for _, name := range contents {
			if err := s.Write(name, Content("content of "+name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCopySynced(t *testing.T) {
	folder := t.TempDir()
	a, b := filepath.Join(folder, "a"), filepath.Join(folder, "b")
	data := strings.Repeat("0123456789abcde", 1<<14)
	if err := os.WriteFile(a, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CopySynced(a, b); err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(b); err != nil || string(copied) != data {
		t.Errorf("%d bytes (%v)", len(copied), err)
	}
	if err := CopySynced(filepath.Join(folder, "c"), b); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if full := "/dev/full"; Exists(full) {
		if err := CopySynced(a, full); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
	}
}

func TestSaveFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	save(t, folder, "model.1", "model.2", "other")
	save(t, folder, "model.1", "model.3")
	if got := names(t, folder); !slices.Equal(got, []string{"model.1", "model.3", "other"}) {
		t.Errorf("got %v", got)
	}
	if got := names(t, filepath.Dir(folder)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("beside it: %v", got)
	}
}

func TestAFailedSaveLeavesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "x")
	broken := func(s *FolderSave) error {
		if err := s.Write("model.2", Content("half")); err != nil {
			return err
		}
		return s.Write("model.3", func(io.Writer) error { return &nn.Error{Key: "k", ExitCode: 1, Text: "the device failed"} })
	}
	if err := SaveFolder(folder, owned, broken); err == nil || err.Error() != "the device failed" {
		t.Errorf("got %v", err)
	}
	if got := names(t, filepath.Dir(folder)); len(got) != 0 {
		t.Errorf("left %v", got)
	}
	save(t, folder, "model.1")
	if err := SaveFolder(folder, owned, broken); err == nil {
		t.Error("no error")
	}
	if got := names(t, folder); !slices.Equal(got, []string{"model.1"}) {
		t.Errorf("left %v", got)
	}
}

// A save that was cut off at any of its steps after the moment of saving is finished by Recover, as often as it is cut.
func TestRecover(t *testing.T) {
	folder := t.TempDir()
	done := filepath.Join(folder, Complete)
	if err := os.Mkdir(done, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(folder, "model.old"): "old", filepath.Join(folder, "kept"): "kept",
		filepath.Join(done, "model.new"): "new", filepath.Join(done, stale): "model.old\n../kept\n.hidden\nmodel.gone\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := Recover(folder); err != nil {
			t.Fatal(err)
		}
		if got := names(t, folder); !slices.Equal(got, []string{"kept", "model.new"}) {
			t.Errorf("got %v", got)
		}
	}
}

func TestSentences(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []struct {
		err  error
		want string
	}{
		{WriteFile(filepath.Join(folder, "none", "f"), Content("x")), folder + "/none/f: cannot be written: no such file or folder"},
		{RequireFolder(folder+"/none", "kind"), folder + "/none: no such folder, expected a kind"},
		{func() error { _, err := ReadBytes(folder+"/none", "kind"); return err }(), folder + "/none: no such file, expected it in a kind"},
		{func() error { _, err := ReadBytes(folder, "kind"); return err }(), folder + ": cannot be read: it is a folder"},
	} {
		var own *nn.Error
		if !errors.As(c.err, &own) || own.Text != c.want {
			t.Errorf("got %v, want %s", c.err, c.want)
		}
	}
}
