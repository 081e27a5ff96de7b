// Package jsonstrict reads and writes strict JSON (RFC 8259), so that three languages give one verdict and one
// sentence.
//
// It is stricter than most readers: a key may stand once in an object, NaN and Infinity do not exist, integers and
// floats are kept apart (1 and 1.0), an integer must fit in 64 bits with sign and a float must be finite, a lone
// surrogate is an error, and nesting ends at MaxDepth. A position is a line and a column, both from 1, the column
// counted in bytes.
package jsonstrict

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// MaxDepth is the number of levels that may be nested.
const MaxDepth = 64

// Value is nil, bool, int, float64, string, []Value or *Object.
type Value = any

// Object is an object whose keys keep their order.
type Object struct {
	keys   []string
	values map[string]Value
}

// NewObject returns an object of alternating keys and values.
func NewObject(pairs ...Value) *Object {
	o := &Object{values: make(map[string]Value, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}

// Set puts a value under a key, a new key behind the others.
func (o *Object) Set(key string, value Value) {
	if _, there := o.values[key]; !there {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

// Get returns the value of a key, nil when it is missing or null.
func (o *Object) Get(key string) Value { return o.values[key] }

// Has says whether the key is there.
func (o *Object) Has(key string) bool {
	_, there := o.values[key]
	return there
}

// Keys returns the keys in their order.
func (o *Object) Keys() []string { return o.keys }

// Loads reads one JSON value from UTF-8 data; where (a path) opens the sentence of an error.
//
// Errors: json_syntax, json_duplicate_key, json_number_range, json_too_deep.
func Loads(data []byte, where string) (Value, error) {
	r := &reader{data: data, where: where}
	if at := InvalidUTF8(data); at >= 0 {
		return nil, r.fail(at, "UTF-8")
	}
	value, err := r.value(1)
	if err != nil {
		return nil, err
	}
	r.skipSpace()
	if r.at < len(data) {
		return nil, r.fail(r.at, "the end")
	}
	return value, nil
}

// LoadsObject is Loads for a file that holds an object. Errors: also json_not_object.
func LoadsObject(data []byte, where string) (*Object, error) {
	value, err := Loads(data, where)
	if err != nil {
		return nil, err
	}
	object, ok := value.(*Object)
	if !ok {
		return nil, messages.JsonNotObject(where, Describe(value))
	}
	return object, nil
}

// InvalidUTF8 returns the offset of the first byte that is not UTF-8, -1 when all is.
func InvalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		if data[at] < utf8.RuneSelf {
			at++
			continue
		}
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// reader is a cursor over the bytes; each method reads one thing and stands behind it.
type reader struct {
	data  []byte
	where string
	at    int
}

func (r *reader) lineColumn(offset int) (line, column int) {
	before := r.data[:offset]
	return bytes.Count(before, []byte{'\n'}) + 1, offset - bytes.LastIndexByte(before, '\n')
}

func (r *reader) fail(offset int, expected string) error {
	line, column := r.lineColumn(offset)
	return messages.JsonSyntax(r.where, line, column, expected)
}

// peek returns the byte at the cursor, -1 at the end.
func (r *reader) peek() int {
	if r.at < len(r.data) {
		return int(r.data[r.at])
	}
	return -1
}

func (r *reader) skipSpace() {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

func (r *reader) value(depth int) (Value, error) {
	r.skipSpace()
	c := r.peek()
	switch {
	case c == '{' || c == '[':
		if depth > MaxDepth {
			line, column := r.lineColumn(r.at)
			return nil, messages.JsonTooDeep(r.where, line, column, MaxDepth)
		}
		if c == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case c == '"':
		return r.string()
	case c == '-' || isDigit(c):
		return r.number()
	}
	return r.word()
}

func (r *reader) word() (Value, error) {
	for word, meaning := range map[string]Value{"true": true, "false": false, "null": nil} {
		if bytes.HasPrefix(r.data[r.at:], []byte(word)) {
			r.at += len(word)
			return meaning, nil
		}
	}
	return nil, r.fail(r.at, "a value")
}

func (r *reader) object(depth int) (Value, error) {
	r.at++
	result := NewObject()
	r.skipSpace()
	if r.peek() == '}' {
		r.at++
		return result, nil
	}
	for {
		r.skipSpace()
		start := r.at
		if r.peek() != '"' {
			return nil, r.fail(start, "a key in quotes")
		}
		key, err := r.string()
		if err != nil {
			return nil, err
		}
		if result.Has(key) {
			line, column := r.lineColumn(start)
			return nil, messages.JsonDuplicateKey(r.where, Quote(key), line, column)
		}
		r.skipSpace()
		if r.peek() != ':' {
			return nil, r.fail(r.at, "':'")
		}
		r.at++
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		result.Set(key, value)
		r.skipSpace()
		c := r.peek()
		if c != ',' && c != '}' {
			return nil, r.fail(r.at, "',' or '}'")
		}
		r.at++
		if c == '}' {
			return result, nil
		}
	}
}

func (r *reader) array(depth int) (Value, error) {
	r.at++
	result := []Value{}
	r.skipSpace()
	if r.peek() == ']' {
		r.at++
		return result, nil
	}
	for {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		result = append(result, value)
		r.skipSpace()
		c := r.peek()
		if c != ',' && c != ']' {
			return nil, r.fail(r.at, "',' or ']'")
		}
		r.at++
		if c == ']' {
			return result, nil
		}
	}
}

// string reads from the opening quote on. The bytes are UTF-8 by the check of Loads.
func (r *reader) string() (string, error) {
	r.at++
	var text []byte
	for {
		c := r.peek()
		switch {
		case c < 0:
			return "", r.fail(r.at, "the closing quote")
		case c < 0x20:
			return "", r.fail(r.at, "a control character to be escaped")
		case c == '"':
			r.at++
			return string(text), nil
		case c == '\\':
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, char)
		default:
			text = append(text, byte(c))
			r.at++
		}
	}
}

func (r *reader) escape() (rune, error) {
	start := r.at
	r.at++
	c := r.peek()
	if plain := bytes.IndexByte([]byte(`bfnrt"\/`), byte(c)); c >= 0 && plain >= 0 {
		r.at++
		return rune("\b\f\n\r\t\"\\/"[plain]), nil
	}
	if c != 'u' {
		return 0, r.fail(start, `an escape such as \n or \u0041`)
	}
	unit, err := r.utf16Unit(start)
	if err != nil {
		return 0, err
	}
	if 0xDC00 <= unit && unit <= 0xDFFF {
		return 0, r.fail(start, "no lone surrogate")
	}
	if unit < 0xD800 || 0xDBFF < unit {
		return unit, nil
	}
	if !bytes.HasPrefix(r.data[r.at:], []byte(`\u`)) {
		return 0, r.fail(start, "no lone surrogate")
	}
	r.at++
	low, err := r.utf16Unit(r.at - 1)
	if err != nil {
		return 0, err
	}
	if low < 0xDC00 || 0xDFFF < low {
		return 0, r.fail(start, "no lone surrogate")
	}
	return 0x10000 + (unit-0xD800)<<10 + (low - 0xDC00), nil
}

// utf16Unit reads the four hex digits behind the u at the cursor, of the escape that began at start.
func (r *reader) utf16Unit(start int) (rune, error) {
	if r.at+5 > len(r.data) {
		return 0, r.fail(start, `four hex digits behind \u`)
	}
	var unit rune
	for _, c := range r.data[r.at+1 : r.at+5] {
		digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
		if digit < 0 || c < '0' {
			return 0, r.fail(start, `four hex digits behind \u`)
		}
		unit = unit<<4 | rune(digit)
	}
	r.at += 5
	return unit, nil
}

func (r *reader) number() (Value, error) {
	start := r.at
	if r.peek() == '-' {
		r.at++
	}
	if r.peek() == '0' {
		r.at++
	} else if err := r.digits(); err != nil {
		return nil, err
	}
	isFloat := false
	if r.peek() == '.' {
		isFloat = true
		r.at++
		if err := r.digits(); err != nil {
			return nil, err
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		isFloat = true
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		if err := r.digits(); err != nil {
			return nil, err
		}
	}
	text := string(r.data[start:r.at])
	if isFloat {
		real, _ := strconv.ParseFloat(text, 64)
		if math.IsInf(real, 0) {
			return nil, r.outOfRange(start, "a finite 64-bit float")
		}
		return real, nil
	}
	integer, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, r.outOfRange(start, "a 64-bit integer")
	}
	return int(integer), nil
}

func isDigit(c int) bool { return '0' <= c && c <= '9' }

func (r *reader) digits() error {
	if !isDigit(r.peek()) {
		return r.fail(r.at, "a digit")
	}
	for isDigit(r.peek()) {
		r.at++
	}
	return nil
}

func (r *reader) outOfRange(start int, expected string) error {
	line, column := r.lineColumn(start)
	return messages.JsonNumberRange(r.where, line, column, expected)
}
