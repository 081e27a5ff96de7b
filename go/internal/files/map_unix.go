//go:build unix

package files

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// Map maps a file for reading; kind says what kind of folder it should be in. Errors: file_missing, cannot_read.
func Map(path, kind string) (data []byte, unmap func() error, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, messages.FileMissing(path, kind)
	}
	if err != nil {
		return nil, nil, CannotRead(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, CannotRead(path, err)
	}
	if info.IsDir() {
		return nil, nil, CannotRead(path, syscall.EISDIR)
	}
	if info.Size() == 0 { // an empty file cannot be mapped
		return nil, func() error { return nil }, nil
	}
	data, err = syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, CannotRead(path, err)
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}
