package jsonstrict

import "github.com/cuda-nn/cuda-nn/go/internal/messages"

// Fields reads an object's fields by their type; where (a path) opens the sentence of an error.
//
// The first error sticks: later readings return zero values, and Err has it. A method without a default fails with
// field_missing; every method fails with field_wrong_type. Null counts as missing where there is a default.
type Fields struct {
	Values *Object
	Where  string
	err    *error
}

// NewFields reads the fields of values.
func NewFields(values *Object, where string) *Fields {
	return &Fields{values, where, new(error)}
}

// Err is the first error.
func (f *Fields) Err() error { return *f.err }

// Fail makes err the first error unless there is one.
func (f *Fields) Fail(err error) {
	if *f.err == nil {
		*f.err = err
	}
}

// Wrong is the error field_wrong_type for the value that stands there.
func (f *Fields) Wrong(field, expected string) error {
	return messages.FieldWrongType(f.Where, field, Describe(f.Values.Get(field)), expected)
}

// Integer reads an integer.
func (f *Fields) Integer(field string) int { return read[int](f, field, "an integer") }

// IntegerOr is Integer, or the default.
func (f *Fields) IntegerOr(field string, otherwise int) int {
	if f.Values.Get(field) == nil {
		return otherwise
	}
	return f.Integer(field)
}

// Number reads a number. An integer counts as one: some writers put 10000 for 10000.0.
func (f *Fields) Number(field string) float64 {
	if integer, ok := f.Values.Get(field).(int); ok {
		return float64(integer)
	}
	return read[float64](f, field, "a number")
}

// NumberOr is Number, or the default.
func (f *Fields) NumberOr(field string, otherwise float64) float64 {
	if f.Values.Get(field) == nil {
		return otherwise
	}
	return f.Number(field)
}

// Boolean reads true or false.
func (f *Fields) Boolean(field string) bool { return read[bool](f, field, "true or false") }

// String reads a string.
func (f *Fields) String(field string) string { return read[string](f, field, "a string") }

// StringOr is String, or the default.
func (f *Fields) StringOr(field, otherwise string) string {
	if f.Values.Get(field) == nil {
		return otherwise
	}
	return f.String(field)
}

// Object reads an object, whose own fields are read under where; an error there is one here.
func (f *Fields) Object(field, where string) *Fields {
	object := read[*Object](f, field, "an object")
	if object == nil {
		object = NewObject()
	}
	return &Fields{object, where, f.err}
}

// ObjectOrEmpty is Object, or an empty one.
func (f *Fields) ObjectOrEmpty(field, where string) *Fields {
	if f.Values.Get(field) == nil {
		return &Fields{NewObject(), where, f.err}
	}
	return f.Object(field, where)
}

func read[T any](f *Fields, field, expected string) T {
	var none T
	if !f.Values.Has(field) {
		f.Fail(messages.FieldMissing(f.Where, field, expected))
		return none
	}
	value, ok := f.Values.Get(field).(T)
	if !ok {
		f.Fail(f.Wrong(field, expected))
	}
	return value
}
