package bench

import (
	"fmt"
	"strconv"

	"github.com/cuda-nn/cuda-nn/go/internal/files"
	"github.com/cuda-nn/cuda-nn/go/internal/jsonstrict"
	"github.com/cuda-nn/cuda-nn/go/internal/messages"
)

// Protocol is how a case is timed: runs before timing, timed samples, and the seconds after which no further one is begun.
type Protocol struct {
	Warmup  int
	Samples int
	Seconds float64
}

// Cases is a case file: what is timed, and how.
type Cases struct {
	Protocol
	where   string
	entries []jsonstrict.Value
}

// ReadCases: Errors: file_missing, cannot_read, json_*, field_missing, field_wrong_type, config_bad_value.
func ReadCases(path string) (*Cases, error) {
	data, err := files.ReadBytes(path, "checkout")
	if err != nil {
		return nil, err
	}
	object, err := jsonstrict.LoadsObject(data, path)
	if err != nil {
		return nil, err
	}
	fields := jsonstrict.NewFields(object, path)
	if version := fields.Integer("version"); version != 1 {
		fields.Fail(messages.ConfigBadValue(path, "version", strconv.Itoa(version), "1"))
	}
	how := Protocol{atLeast(fields, "warmup", 0), atLeast(fields, "samples", 1), fields.Number("seconds")}
	if err := fields.Err(); err != nil {
		return nil, err
	}
	entries, ok := object.Get("cases").([]jsonstrict.Value)
	if !ok {
		return nil, messages.FieldWrongType(path, "cases", jsonstrict.Describe(object.Get("cases")), "an array")
	}
	return &Cases{how, path, entries}, nil
}

// Len is the number of cases.
func (c *Cases) Len() int { return len(c.entries) }

// At is case number i. Errors: field_wrong_type.
func (c *Cases) At(i int) (*Case, error) {
	object, ok := c.entries[i].(*jsonstrict.Object)
	if !ok {
		found := jsonstrict.Describe(c.entries[i])
		return nil, messages.FieldWrongType(c.where, fmt.Sprintf("cases[%d]", i), found, "an object")
	}
	return &Case{object, fmt.Sprintf("%s: cases[%d]", c.where, i)}, nil
}

// Case is an entry of a case file: a name, a kind, and the kind's sizes.
type Case struct {
	values *jsonstrict.Object
	where  string
}

// Name: Errors: field_missing, field_wrong_type.
func (c *Case) Name() (string, error) { return c.text("name") }

// Kind: Errors: field_missing, field_wrong_type.
func (c *Case) Kind() (string, error) { return c.text("kind") }

// Config is the preset of the case's model. Errors: field_missing, field_wrong_type.
func (c *Case) Config() (string, error) { return c.text("config") }

// Size is a dimension. Errors: field_missing, field_wrong_type, config_bad_value below 1.
func (c *Case) Size(name string) (int, error) {
	fields := jsonstrict.NewFields(c.values, c.where)
	return atLeast(fields, name, 1), fields.Err()
}

func (c *Case) text(name string) (string, error) {
	fields := jsonstrict.NewFields(c.values, c.where)
	return fields.String(name), fields.Err()
}

// atLeast is an integer, or least with an error. Errors: field_missing, field_wrong_type, config_bad_value.
func atLeast(fields *jsonstrict.Fields, name string, least int) int {
	value := fields.Integer(name)
	if value < least {
		fields.Fail(messages.ConfigBadValue(fields.Where, name, strconv.Itoa(value), "at least "+strconv.Itoa(least)))
		return least
	}
	return value
}
