package gobench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cuda-nn/cuda-nn/go/bench"
)

// allRows are the rows that a case may have here.
var allRows = []string{"naive", "library", "reference", "cpu", "cpu-scalar", "cuda"}

// Protocol is what the harness is asked to run, by the same variables in every language: BENCH_CASES, BENCH_ROWS (comma
// lists, empty: all), BENCH_OUT, BENCH_SECONDS and BENCH_SAMPLES of a row, BENCH_LONG_SAMPLES (at least and by default 4)
// where so many runs would take longer, BENCH_WARMUP in seconds, BENCH_THREADS (0: all), BENCH_CASES_FILE.
type Protocol struct {
	Cases       []Case
	Rows        []string
	Out         string
	Seconds     float64
	Samples     int
	LongSamples int
	Warmup      time.Duration
	Threads     int
}

// Case is an entry of the case file under its name.
type Case struct {
	*bench.Case
	Name, Kind string
}

// ReadProtocol reads the variables. Errors: one that asks for what there is not, those of the case file.
func ReadProtocol() (Protocol, error) {
	file := os.Getenv("BENCH_CASES_FILE")
	if file == "" {
		file = "../cases.json"
	}
	known, err := readCases(file)
	if err != nil {
		return Protocol{}, err
	}
	var names []string
	for _, c := range known {
		names = append(names, c.Name)
	}
	p := Protocol{Out: os.Getenv("BENCH_OUT")}
	asked, err := list("BENCH_CASES", names)
	if err != nil {
		return Protocol{}, err
	}
	for _, name := range asked {
		p.Cases = append(p.Cases, known[slices.Index(names, name)])
	}
	if p.Rows, err = list("BENCH_ROWS", allRows); err != nil {
		return Protocol{}, err
	}
	for _, variable := range []struct {
		name  string
		value float64
		into  func(float64)
	}{
		{"BENCH_SECONDS", 1, func(value float64) { p.Seconds = value }},
		{"BENCH_SAMPLES", 15, func(value float64) { p.Samples = max(10, int(value)) }},
		{"BENCH_LONG_SAMPLES", 4, func(value float64) { p.LongSamples = max(4, int(value)) }},
		{"BENCH_WARMUP", 0.1, func(value float64) { p.Warmup = time.Duration(value * float64(time.Second)) }},
		{"BENCH_THREADS", 0, func(value float64) { p.Threads = int(value) }},
	} {
		value, err := number(variable.name, variable.value)
		if err != nil {
			return Protocol{}, err
		}
		variable.into(value)
	}
	return p, nil
}

func readCases(file string) ([]Case, error) {
	listed, err := bench.ReadCases(file)
	if err != nil {
		return nil, err
	}
	var cases []Case
	for i := range listed.Len() {
		entry, err := listed.At(i)
		if err != nil {
			return nil, err
		}
		name, err := entry.Name()
		if err != nil {
			return nil, err
		}
		kind, err := entry.Kind()
		if err != nil {
			return nil, err
		}
		cases = append(cases, Case{entry, name, kind})
	}
	return cases, nil
}

func list(variable string, known []string) ([]string, error) {
	var asked []string
	for name := range strings.SplitSeq(os.Getenv(variable), ",") {
		if name == "" {
			continue
		}
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%s names %s, which is none of %s", variable, name, strings.Join(known, ", "))
		}
		asked = append(asked, name)
	}
	if len(asked) == 0 {
		return known, nil
	}
	return asked, nil
}

func number(variable string, otherwise float64) (float64, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= value && value < 1e9) {
		return 0, fmt.Errorf("%s is %s, expected a number of at least 0", variable, text)
	}
	return value, nil
}

// sizes are dimensions of the case. Errors: those of bench.Case.Size.
func (c Case) sizes(names ...string) ([]int, error) {
	var all []int
	for _, name := range names {
		size, err := c.Size(name)
		if err != nil {
			return nil, err
		}
		all = append(all, size)
	}
	return all, nil
}
