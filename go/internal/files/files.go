// Package files writes files that are either whole or not there: aside, fsync, rename.
package files

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	nn "github.com/cuda-nn/cuda-nn/go"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

const (
	saving = ".saving"
	// Complete is, in a folder whose save was cut off, where the files are that Recover moves up.
	Complete = ".complete"
	stale    = ".stale"
)

// Fill writes the content of a file.
type Fill func(io.Writer) error

// Content fills with these bytes.
func Content[T ~string | ~[]byte](data T) Fill {
	return func(w io.Writer) error {
		_, err := w.Write([]byte(data))
		return err
	}
}

// Reason says why the system refused, in the words of cuda/tools/messages.json.
func Reason(err error) string {
	var number syscall.Errno
	errors.As(err, &number)
	if text, known := messages.Reasons[number]; known {
		return text
	}
	return "system error " + strconv.Itoa(int(number))
}

// CannotRead is the sentence for a file that the system refused to read.
func CannotRead(path string, err error) error { return messages.CannotRead(path, Reason(err)) }

// CannotWrite is the sentence for a file that the system refused to write; an error that is one already stays, and so does
// that of a context.
func CannotWrite(path string, err error) error {
	var own *nn.Error
	if errors.As(err, &own) {
		return own
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) {
		return messages.DiskFull(path)
	}
	return messages.CannotWrite(path, Reason(err))
}

// ReadBytes returns the file's bytes. kind says what kind of folder it should be in. Errors: file_missing, cannot_read.
func ReadBytes(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, messages.FileMissing(path, kind)
	}
	if err != nil {
		return nil, CannotRead(path, err)
	}
	return data, nil
}

// Exists says whether there is something at the path.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Same says whether both paths lead to one file or folder that is there.
func Same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// IsFile says whether there is a regular file at the path.
func IsFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// IsFolder says whether there is a folder at the path.
func IsFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// RequireFolder fails with folder_missing or not_a_folder.
func RequireFolder(path, kind string) error {
	if !Exists(path) {
		return messages.FolderMissing(path, kind)
	}
	if !IsFolder(path) {
		return messages.NotAFolder(path, kind)
	}
	return nil
}

// MakeFolder makes a folder and those above it, where they are not there. Errors: the system's.
func MakeFolder(path string) error {
	err := os.Mkdir(path, 0o777)
	if errors.Is(err, fs.ErrNotExist) {
		above, _ := Split(path)
		if above == path {
			return err
		}
		if err := MakeFolder(above); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o777)
	}
	if err != nil && IsFolder(path) {
		return nil
	}
	return err
}

// WriteSynced creates path with what fill writes and waits until the disk has it. Errors: the system's and fill's.
func WriteSynced(path string, fill Fill) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	out := bufio.NewWriterSize(file, 1<<16)
	if err := fill(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// CopySynced copies the content of a file, in pieces, and waits until the disk has it. Errors: the system's.
func CopySynced(source, target string) (err error) {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return WriteSynced(target, func(w io.Writer) error {
		_, err := io.Copy(w, file)
		return err
	})
}

// SyncFolder waits until the names in the folder are on the disk. Errors: the system's.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// WriteFile replaces the one file path: a reader sees the old or the new bytes, never a mixture.
//
// Errors: disk_full, cannot_write; then the old file is untouched and nothing else is left.
func WriteFile(path string, fill Fill) error {
	path = Plain(path)
	if IsFolder(path) { // before its name is used: / and . have none
		return CannotWrite(path, syscall.EISDIR)
	}
	// A device or a pipe stays: putting a file in its place would break others' work.
	if found, err := os.Stat(path); err == nil && !found.Mode().IsRegular() {
		return CannotWrite(path, syscall.ENODEV)
	}
	folder, name := Split(path)
	aside := Join(folder, "."+name+saving)
	err := WriteSynced(aside, fill)
	if err == nil {
		err = os.Rename(aside, path)
	}
	if err == nil {
		err = SyncFolder(folder)
	} else {
		_ = os.Remove(aside) // the error of writing is the one to report
	}
	if err != nil {
		return CannotWrite(path, err)
	}
	return nil
}

// FolderSave writes several files into a folder so that they appear together.
//
// A new folder is filled beside its place under the name .NAME.saving and renamed when it is whole. In a folder that
// is there already the files go to .saving; renaming that to .complete is the moment of saving, and Recover then moves
// the files up one by one, now or after a crash. Of the old files, those for which owned holds and that were not
// written again are removed; the others stay.
//
// Any failure before that moment removes what was written. Errors: disk_full, cannot_write.
type FolderSave struct {
	path   string
	owned  func(name string) bool
	exists bool
	aside  string
}

// SaveFolder runs write, which calls Write for each file, and brings what it wrote into the folder path.
func SaveFolder(path string, owned func(name string) bool, write func(*FolderSave) error) error {
	path = Plain(path)
	s := &FolderSave{path: path, owned: owned, aside: path}
	if err := s.begin(); err != nil {
		return CannotWrite(path, err)
	}
	err := write(s)
	if err == nil {
		err = s.commit()
	}
	if err != nil {
		_ = os.RemoveAll(s.aside) // the error of writing is the one to report
		return CannotWrite(path, err)
	}
	return nil
}

func (s *FolderSave) begin() error {
	s.exists = Exists(s.path)
	if s.exists && !IsFolder(s.path) {
		return syscall.EEXIST
	}
	if s.exists {
		if err := Recover(s.path); err != nil {
			return err
		}
		s.aside = Join(s.path, saving)
	} else {
		folder, name := Split(s.path)
		if err := MakeFolder(folder); err != nil {
			return err
		}
		s.aside = Join(folder, "."+name+saving)
	}
	if err := os.RemoveAll(s.aside); err != nil {
		return err
	}
	return os.Mkdir(s.aside, 0o777)
}

// Write adds a file.
func (s *FolderSave) Write(name string, fill Fill) error {
	if err := WriteSynced(Join(s.aside, name), fill); err != nil {
		return CannotWrite(Join(s.path, name), err)
	}
	return nil
}

func (s *FolderSave) commit() error {
	if !s.exists {
		if err := SyncFolder(s.aside); err != nil {
			return err
		}
		if err := os.Rename(s.aside, s.path); err != nil {
			return err
		}
		folder, _ := Split(s.path)
		return SyncFolder(folder)
	}
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, entry := range entries { // in the order of their names
		if s.owned(entry.Name()) && !Exists(Join(s.aside, entry.Name())) {
			lines.WriteString(entry.Name() + "\n")
		}
	}
	if err := WriteSynced(Join(s.aside, stale), Content(lines.String())); err != nil {
		return err
	}
	if err := SyncFolder(s.aside); err != nil {
		return err
	}
	if err := os.Rename(s.aside, Join(s.path, Complete)); err != nil {
		return err
	}
	if err := SyncFolder(s.path); err != nil {
		return err
	}
	return Recover(s.path)
}

// Recover finishes a save of the folder that was cut off behind its moment of saving, if there is one.
//
// Errors: the system's.
func Recover(folder string) error {
	done := Join(folder, Complete)
	if !IsFolder(done) {
		return nil
	}
	list := Join(done, stale)
	if data, err := os.ReadFile(list); err == nil {
		for _, name := range strings.Split(string(data), "\n") {
			if !isPlainName(name) {
				continue
			}
			if err := os.Remove(Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(done)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		if entry.Name() == stale {
			continue
		}
		if err := os.Rename(Join(done, entry.Name()), Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	if err := SyncFolder(folder); err != nil {
		return err
	}
	if err := os.Remove(list); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(done)
}

// isPlainName says whether a name is a file of the folder itself: a list read from the disk must not reach elsewhere.
func isPlainName(name string) bool {
	return name != "" && !strings.HasPrefix(name, ".") && !strings.ContainsAny(name, `/\`)
}
