package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordLength is the bytes of the first word of a text by GPT-2's splitting, which is this expression (Go's package
// regexp has no lookahead):
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func wordLength(text string) int {
	for _, contraction := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, contraction) {
			return len(contraction)
		}
	}
	space := 0
	if text[0] == ' ' {
		space = 1
	}
	if first, _ := utf8.DecodeRuneInString(text[space:]); space < len(text) && !unicode.IsSpace(first) {
		kind := kindOf(first)
		return space + run(text[space:], func(r rune) bool { return kindOf(r) == kind })
	}
	length := run(text, unicode.IsSpace)
	if length == len(text) {
		return length
	}
	// All but the last one, which goes with what follows; a single one stands alone.
	_, last := utf8.DecodeLastRuneInString(text[:length])
	if last == length {
		return length
	}
	return length - last
}

type kind int

const (
	letter kind = iota
	number
	other
	blank
)

func kindOf(r rune) kind {
	switch {
	case unicode.IsLetter(r) || r > unicode.MaxLatin1 && unicode.Is(newLetters, r):
		return letter
	case unicode.IsNumber(r) || r > unicode.MaxLatin1 && unicode.Is(newNumbers, r):
		return number
	case unicode.IsSpace(r):
		return blank
	}
	return other
}

// run is the bytes of the runes at the start of text for which holds is true.
func run(text string, holds func(rune) bool) int {
	for i, r := range text {
		if !holds(r) {
			return i
		}
	}
	return len(text)
}

// byteCharacter is the visible character that stands for a byte in byte-level vocabularies (GPT-2): itself where it is
// printable Latin-1 and not a space, else U+0100 + its rank among those that are not.
func byteCharacter(b byte) rune { return byteCharacterTable[b] }

var (
	byteCharacterTable [256]rune
	characterBytes     = map[rune]byte{}
)

func init() {
	hidden := rune(0)
	for b := range 256 {
		visible := 0x21 <= b && b <= 0x7E || 0xA1 <= b && b <= 0xAC || 0xAE <= b && b <= 0xFF
		character := rune(b)
		if !visible {
			character = 0x100 + hidden
			hidden++
		}
		byteCharacterTable[b] = character
		characterBytes[character] = byte(b)
	}
}

func byteCharacters(text string) string {
	var out strings.Builder
	for i := range len(text) {
		out.WriteRune(byteCharacter(text[i]))
	}
	return out.String()
}

// appendBytes appends what a token stands for: the bytes of its characters, or itself when one of them stands for none.
func appendBytes(bytes []byte, token string) []byte {
	start := len(bytes)
	for _, character := range token {
		b, there := characterBytes[character]
		if !there {
			return append(bytes[:start], token...)
		}
		bytes = append(bytes, b)
	}
	return bytes
}

// validText is text with U+FFFD for each longest beginning of a character that does not go on (Unicode, "maximal
// subpart"), as the other languages decode.
func validText(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	var out strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && size == 1 {
			size = brokenLength(text)
		}
		out.WriteRune(r)
		text = text[size:]
	}
	return out.String()
}

// brokenLength is the bytes at the start of text that begin a character and do not finish it, at least 1.
func brokenLength(text string) int {
	lead := text[0]
	low, high, rest := byte(0x80), byte(0xBF), 0
	switch {
	case 0xC2 <= lead && lead <= 0xDF:
		rest = 1
	case 0xE0 <= lead && lead <= 0xEF:
		rest = 2
		if lead == 0xE0 {
			low = 0xA0
		} else if lead == 0xED {
			high = 0x9F
		}
	case 0xF0 <= lead && lead <= 0xF4:
		rest = 3
		if lead == 0xF0 {
			low = 0x90
		} else if lead == 0xF4 {
			high = 0x8F
		}
	}
	size := 1
	for size <= rest && size < len(text) && low <= text[size] && text[size] <= high {
		low, high = 0x80, 0xBF
		size++
	}
	return size
}
