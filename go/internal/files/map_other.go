//go:build !unix

package files

// Map reads a file where it cannot be mapped. Errors: file_missing, cannot_read.
func Map(path, kind string) (data []byte, unmap func() error, err error) {
	data, err = ReadBytes(path, kind)
	return data, func() error { return nil }, err
}
