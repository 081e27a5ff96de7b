package gobench

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"
)

var (
	asked Protocol
	taken []Row
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := prepare(); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(2)
	}
	code := m.Run()
	if code == 0 && asked.Out != "" {
		if err := writeRows(asked.Out, taken); err != nil {
			fmt.Fprintf(os.Stderr, "error: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// prepare reads the protocol, and has a sample last as long as it says.
func prepare() (err error) {
	if asked, err = ReadProtocol(); err != nil {
		return err
	}
	if asked.Threads > 0 {
		runtime.GOMAXPROCS(asked.Threads)
	}
	sample := time.Duration(asked.Seconds / float64(asked.Samples) * float64(time.Second))
	return flag.Set("test.benchtime", max(sample, time.Nanosecond).String())
}

// BenchmarkCases has a benchmark for each (case, row), named so that benchstat compares rows. A sample is one run of it
// by package testing.
func BenchmarkCases(b *testing.B) {
	subjects := &maker{threads: asked.Threads}
	for _, c := range asked.Cases {
		for _, row := range asked.Rows {
			here, err := applies(c, row)
			if err != nil {
				b.Fatal(err)
			}
			if here {
				benchmarkRow(b, subjects, c, row)
			}
		}
	}
}

func benchmarkRow(b *testing.B, subjects *maker, c Case, row string) {
	s, err := subjects.subject(c, row)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			b.Error(err)
		}
	}()
	samples, err := plan(s)
	if err != nil {
		b.Fatal(err)
	}
	if err := flag.Set("test.count", strconv.Itoa(samples)); err != nil {
		b.Fatal(err)
	}
	var m measurement
	counts := newReader()
	passed := b.Run("case="+c.Name+"/row="+row, func(b *testing.B) {
		if s.checksum != nil { // on a device, as nn-go does it
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
		}
		b.ReportAllocs()
		before := counts.read()
		for b.Loop() {
			if err := s.run(); err != nil {
				b.Fatal(err)
			}
		}
		m.spent.add(before, counts.read())
		b.ReportMetric(s.units*s.share*float64(b.N)/b.Elapsed().Seconds(), s.unit+"/s")
		m.samples = append(m.samples, b.Elapsed().Seconds()/float64(b.N)/s.share)
		m.iterations = append(m.iterations, b.N)
	})
	if passed && len(m.samples) > 0 { // none where -bench names others
		taken = append(taken, m.row(c, row, s))
	}
}

// plan is how many samples, after warming up: about so many seconds in all; where that is too short for so many,
// LongSamples, as in every language.
func plan(s *subject) (int, error) {
	started, runs := time.Now(), 0
	for runs == 0 || time.Since(started) < asked.Warmup {
		if err := s.run(); err != nil {
			return 0, err
		}
		runs++
	}
	each := time.Since(started).Seconds() / float64(runs)
	if each*float64(asked.Samples) <= 1.5*asked.Seconds {
		return asked.Samples, nil
	}
	return asked.LongSamples, nil
}
