package files

import "strings"

// Plain is a path without its empty and "." parts. Parts ".." stay, unlike in filepath.Clean: what stands before one may
// be a symbolic link, and sentences name a path as the user wrote it.
func Plain(path string) string {
	root := ""
	switch {
	case strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///"): // POSIX leaves the meaning of exactly two open
		root = "//"
	case strings.HasPrefix(path, "/"):
		root = "/"
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part != "" && part != "." {
			parts = append(parts, part)
		}
	}
	if plain := root + strings.Join(parts, "/"); plain != "" {
		return plain
	}
	return "."
}

// Join is the path of a name in a folder.
func Join(folder, name string) string { return Plain(strings.TrimRight(folder, "/") + "/" + name) }

// Split is the folder that a path lies in, and its name there.
func Split(path string) (folder, name string) {
	path = Plain(path)
	at := strings.LastIndexByte(path, '/')
	return Plain(path[:at+1]), path[at+1:]
}
