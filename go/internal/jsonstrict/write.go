package jsonstrict

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Describe says how a sentence calls a value: null, true, a number or a string as written, an array, an object.
func Describe(value Value) string {
	switch value.(type) {
	case *Object:
		return "an object"
	case []Value:
		return "an array"
	}
	return DumpsCompact(value)
}

// Finite is value with null in the place of every NaN and infinity, which JSON cannot hold.
func Finite(value Value) Value {
	switch v := value.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	case []Value:
		finite := make([]Value, len(v))
		for i, item := range v {
			finite[i] = Finite(item)
		}
		return finite
	case *Object:
		finite := NewObject()
		for _, key := range v.keys {
			finite.Set(key, Finite(v.values[key]))
		}
		return finite
	}
	return value
}

// Dumps writes the form of every JSON file: keys as inserted, two spaces of indent, floats as FormatFloat, no escapes
// beyond what JSON demands, and a final newline.
func Dumps(value Value) string {
	var out strings.Builder
	write(&out, value, 0)
	out.WriteByte('\n')
	return out.String()
}

// DumpsCompact writes on one line without spaces: the safetensors header, a line of metrics.jsonl.
func DumpsCompact(value Value) string {
	var out strings.Builder
	write(&out, value, -1)
	return out.String()
}

// write appends value; depth counts the levels of indent, -1 writes compactly.
func write(out *strings.Builder, value Value, depth int) {
	switch v := value.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case int:
		out.WriteString(strconv.Itoa(v))
	case float64:
		out.WriteString(FormatFloat(v))
	case string:
		out.WriteString(Quote(v))
	case *Object:
		items(out, '{', '}', len(v.keys), depth, func(i, inner int) {
			out.WriteString(Quote(v.keys[i]))
			out.WriteByte(':')
			if depth >= 0 {
				out.WriteByte(' ')
			}
			write(out, v.values[v.keys[i]], inner)
		})
	case []Value:
		items(out, '[', ']', len(v), depth, func(i, inner int) { write(out, v[i], inner) })
	default:
		panic(fmt.Sprintf("jsonstrict: %T is no JSON value", value))
	}
}

func items(out *strings.Builder, opening, closing byte, n, depth int, item func(i, inner int)) {
	out.WriteByte(opening)
	inner := -1
	if depth >= 0 {
		inner = depth + 1
	}
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		if depth >= 0 {
			out.WriteString("\n" + strings.Repeat("  ", inner))
		}
		item(i, inner)
	}
	if depth >= 0 && n > 0 {
		out.WriteString("\n" + strings.Repeat("  ", depth))
	}
	out.WriteByte(closing)
}

// Quote returns text as a JSON string: it escapes ", \ and control characters below 0x20, nothing else.
func Quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; c {
		case '"', '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case '\b':
			out.WriteString(`\b`)
		case '\f':
			out.WriteString(`\f`)
		case '\n':
			out.WriteString(`\n`)
		case '\r':
			out.WriteString(`\r`)
		case '\t':
			out.WriteString(`\t`)
		default:
			if c < 0x20 {
				fmt.Fprintf(&out, `\u%04x`, c)
			} else {
				out.WriteByte(c)
			}
		}
	}
	out.WriteByte('"')
	return out.String()
}

// FormatFloat is the shortest decimal that reads back as value: positional with at least one decimal for
// 1e-4 <= |value| < 1e16 and for 0, else d.ddde+XX with at least two digits of exponent: 0.1, 1e-06. NaN and infinity,
// which JSON lacks, panic.
func FormatFloat(value float64) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		panic("jsonstrict: JSON has no NaN and no infinity")
	}
	if size := math.Abs(value); value != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(value, 'e', -1, 64)
	}
	text := strconv.FormatFloat(value, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// FormatNumber is FormatFloat for sentences, which know nan, inf and -inf too.
func FormatNumber(value float64) string {
	switch {
	case math.IsNaN(value):
		return "nan"
	case math.IsInf(value, 1):
		return "inf"
	case math.IsInf(value, -1):
		return "-inf"
	}
	return FormatFloat(value)
}
