package cli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test's executable the program itself when the test starts it again.
func TestMain(m *testing.M) {
	if words, set := os.LookupEnv("NN_GO_TEST_WORDS"); set {
		if err := os.WriteFile(os.Getenv("NN_GO_TEST_STARTED"), nil, 0o600); err != nil {
			panic(err)
		}
		os.Exit(Main(strings.Split(words, "\n"), os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// start runs the program; the file started appears when it runs.
func start(t *testing.T, arguments ...string) (process *exec.Cmd, stderr *strings.Builder, started string) {
	t.Helper()
	started = filepath.Join(t.TempDir(), "started")
	process = exec.Command(os.Args[0])
	process.Env = append(os.Environ(), "NN_GO_TEST_WORDS="+strings.Join(arguments, "\n"), "NN_GO_TEST_STARTED="+started)
	stderr = new(strings.Builder)
	process.Stderr = stderr
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() }) // where a test failed before its end
	return process, stderr, started
}

// interrupt waits until there is something at the path, and sends a signal.
func interrupt(t *testing.T, process *exec.Cmd, path string, number syscall.Signal) {
	t.Helper()
	for range 3000 {
		if _, err := os.Stat(path); err == nil {
			if err := process.Process.Signal(number); err != nil {
				t.Fatal(err)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s did not appear", path)
}

func requireInterrupted(t *testing.T, process *exec.Cmd, stderr *strings.Builder) {
	t.Helper()
	err := process.Wait()
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != 130 || strings.Contains(stderr.String(), "error") {
		t.Errorf("it ended with %v: %s", err, stderr)
	}
}

// Ctrl-C while a folder is written leaves nothing of it.
func TestInterruptedInit(t *testing.T) {
	out := filepath.Join(t.TempDir(), "model")
	process, stderr, _ := start(t, "init", "--config", "small", "--out", out, "--device", "reference", "--quiet")
	aside := filepath.Join(filepath.Dir(out), ".model.saving")
	interrupt(t, process, aside, syscall.SIGINT)
	requireInterrupted(t, process, stderr)
	for _, path := range []string{out, aside} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was left behind", path)
		}
	}
}

// Ctrl-C during training, or a request to end, saves; the run goes on to the same bytes.
func TestInterruptedTraining(t *testing.T) {
	for _, number := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		folder := t.TempDir()
		text, out := filepath.Join(folder, "a.txt"), filepath.Join(folder, "model")
		if err := os.WriteFile(text, []byte(strings.Repeat("the quick brown fox\n", 60)), 0o600); err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(folder, "data")
		result(t, "prepare", "--data", text, "--out", data, "--tokenizer", "bytes", "--quiet")
		process, stderr, _ := start(t, "train", "--data", data, "--out", out, "--config", "tiny", "--steps", "200000",
			"--batch", "1", "--seq", "8", "--device", "reference", "--quiet")
		interrupt(t, process, filepath.Join(out, "metrics.jsonl"), number)
		requireInterrupted(t, process, stderr)
		for _, name := range []string{"model.safetensors", "optimizer.safetensors", "trainer_state.json", "loss.png"} {
			if _, err := os.Stat(filepath.Join(out, name)); err != nil {
				t.Error(err)
			}
		}
	}
}

// Ctrl-C before the first step leaves nothing.
func TestInterruptedCalibration(t *testing.T) {
	folder := t.TempDir()
	text, out := filepath.Join(folder, "a.txt"), filepath.Join(folder, "model")
	if err := os.WriteFile(text, []byte(strings.Repeat("the quick brown fox\n", 60)), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(folder, "data")
	result(t, "prepare", "--data", text, "--out", data, "--tokenizer", "bytes", "--quiet")
	process, stderr, started := start(t, "train", "--data", data, "--out", out, "--config", "tiny", "--minutes", "1",
		"--batch", "1", "--seq", "8", "--device", "reference", "--quiet")
	interrupt(t, process, started, 0)
	time.Sleep(500 * time.Millisecond) // a step is timed for three seconds
	interrupt(t, process, started, syscall.SIGINT)
	requireInterrupted(t, process, stderr)
	if _, err := os.Stat(out); err == nil {
		t.Errorf("%s was left behind", out)
	}
}
