//go:build cgo

package cuda

// #cgo linux LDFLAGS: -ldl
// #include <stdlib.h>
// #include "table.h"
import "C"

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// Library is an opened libcunn: where it was found, and what it says of itself.
type Library struct {
	Path, Version, BuildInfo string
	ABI                      int
	table                    *C.struct_nn_table
}

var (
	opening sync.Mutex
	opened  = map[string]*Library{}
)

// OpenLibrary finds and opens the library that has this kind of device, libcunn-simt for simt, else libcunn, for cuda on a
// V100 libcunn-sm70: in CUNN_LIBRARY, else beside the executable, else in <root>/build of the source tree. The ABI version is
// compared before any other function is called.
//
// Errors: library_missing, library_unreadable, library_wrong_abi.
func OpenLibrary(device string) (*Library, error) {
	name := "libcunn"
	if device == "simt" {
		name = "libcunn-simt"
	}
	name += suffix()
	candidates := places(name)
	for _, path := range candidates {
		if files.IsFile(path) {
			library, err := open(path)
			if err == nil && device == "cuda" {
				return orSM70(library)
			}
			return library, err
		}
	}
	return nil, messages.LibraryMissing(name, strings.Join(candidates, ", "))
}

func suffix() string {
	if runtime.GOOS == "darwin" {
		return ".dylib"
	}
	return ".so"
}

// orSM70 is the libcunn-sm70 beside a library without a card, where that has one: what libcunn's compiler no longer serves.
func orSM70(library *Library) (*Library, error) {
	beside := filepath.Join(filepath.Dir(library.Path), "libcunn-sm70"+suffix())
	if library.DeviceCount("cuda") == 0 && files.IsFile(beside) {
		older, err := open(beside)
		if err != nil || older.DeviceCount("cuda") > 0 {
			return older, err
		}
	}
	return library, nil
}

// places are where a library is looked for, first come first served.
func places(name string) []string {
	if named := os.Getenv("CUNN_LIBRARY"); named != "" {
		return []string{named}
	}
	var found []string
	if executable, err := os.Executable(); err == nil {
		found = append(found, filepath.Join(filepath.Dir(executable), name))
	}
	if _, source, _, ok := runtime.Caller(0); ok {
		root := filepath.Dir(filepath.Dir(filepath.Dir(source)))
		if files.IsFile(filepath.Join(root, "cuda", "include", "cunn.h")) {
			found = append(found, filepath.Join(root, "build", name))
		}
	}
	return found
}

func open(path string) (*Library, error) {
	opening.Lock()
	defer opening.Unlock()
	if library := opened[path]; library != nil {
		return library, nil
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var text [512]C.char
	var version C.int32_t
	library := &Library{Path: path, ABI: int(C.CUNN_ABI_VERSION)}
	switch C.nn_table_open(&library.table, name, &text[0], C.int(len(text)), &version) {
	case 0:
	case 2:
		return nil, messages.LibraryWrongAbi(path, int(version), library.ABI)
	default:
		return nil, messages.LibraryUnreadable(path, strings.TrimPrefix(C.GoString(&text[0]), path+": "))
	}
	library.Version = C.GoString(C.nn_version(library.table))
	library.BuildInfo = C.GoString(C.nn_build_info(library.table))
	opened[path] = library
	return library, nil
}

func kind(device string) C.int32_t { return C.int32_t(slices.Index(DeviceKinds, device)) }

// DeviceCount is the number of devices of a kind.
func (library *Library) DeviceCount(device string) int {
	var count C.int32_t
	C.nn_device_count(library.table, &count, kind(device))
	return int(count)
}

// DeviceName is the name of a device, "" when there is none.
func (library *Library) DeviceName(device string, ordinal int) string {
	return C.GoString(C.nn_device_name(library.table, kind(device), C.int32_t(ordinal)))
}

// DeviceNote says why there is no such device here and what would change that; "" when there is one.
func (library *Library) DeviceNote(device string) string {
	return C.GoString(C.nn_device_note(library.table, kind(device)))
}

// DeviceMemory is a device's memory in bytes, all of it and what is free.
func (library *Library) DeviceMemory(device string, ordinal int) (total, available int) {
	var all, free C.int64_t
	C.nn_device_memory(library.table, &all, &free, kind(device), C.int32_t(ordinal))
	return int(all), int(free)
}
