package files

import "testing"

// As pathlib spells them.
func TestPlain(t *testing.T) {
	for path, want := range map[string]string{
		"a": "a", "./a": "a", "a/": "a", "a//b/./c": "a/b/c", "a/../b": "a/../b", "..": "..", "": ".", ".": ".", "./": ".",
		"/": "/", "/.": "/", "//": "//", "//a": "//a", "///a": "/a", "/../a": "/../a",
	} {
		if got := Plain(path); got != want {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
	for _, c := range [][3]string{{"/", "a", "/a"}, {".", "a", "a"}, {"x/", "a", "x/a"}, {"x/..", "a", "x/../a"}} {
		if got := Join(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q: got %q, want %q", c[0], c[1], got, c[2])
		}
	}
	for path, want := range map[string][2]string{
		"a": {".", "a"}, "a/b": {"a", "b"}, "/a": {"/", "a"}, "a/../b/": {"a/..", "b"}, "/": {"/", ""}, ".": {".", "."},
	} {
		if folder, name := Split(path); folder != want[0] || name != want[1] {
			t.Errorf("%q: got %q and %q, want %q", path, folder, name, want)
		}
	}
}
