package gobench

import (
	"encoding/json"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"
)

// Row is a row of the schema that every language's harness writes; samples are seconds of the whole case, whatever share
// of it was run.
type Row struct {
	Case           string    `json:"case"`
	Language       string    `json:"language"`
	Row            string    `json:"row"`
	Implementation string    `json:"implementation"`
	Harness        string    `json:"harness"`
	Threads        int       `json:"threads"`
	ISA            string    `json:"isa"`
	Samples        []float64 `json:"samples"`
	Iterations     []int     `json:"iterations"`
	Fraction       float64   `json:"fraction"`
	Units          float64   `json:"units"`
	Unit           string    `json:"unit"`
	Checksum       *string   `json:"checksum"`
	Checked        bool      `json:"checked"`
	Allocations    float64   `json:"allocations"`
	AllocatedBytes float64   `json:"allocated_bytes"`
	GCSeconds      float64   `json:"gc_seconds"`
	CPUSeconds     float64   `json:"cpu_seconds"`
	PeakRSSBytes   *int      `json:"peak_rss_bytes"`
}

// measurement is what was taken of a (case, row) so far.
type measurement struct {
	samples    []float64
	iterations []int
	spent      counters
}

func (m *measurement) row(c Case, row string, s *subject) Row {
	runs := 0
	for _, n := range m.iterations {
		runs += n
	}
	per := float64(runs) * s.share
	version := "Go " + strings.TrimPrefix(runtime.Version(), "go")
	return Row{
		Case: c.Name, Language: "go", Row: row, Implementation: s.implementation + ", " + version, Harness: "testing, " + version,
		Threads: s.threads, ISA: s.isa, Samples: m.samples, Iterations: m.iterations, Fraction: s.share,
		Units: s.units, Unit: s.unit, Checksum: s.checksum, Checked: s.checked,
		Allocations: float64(m.spent.objects) / per, AllocatedBytes: float64(m.spent.bytes) / per, GCSeconds: m.spent.gc / per,
		CPUSeconds: m.spent.cpu / per,
	}
}

// counters are what was counted so far: objects and bytes that were put on the heap, processor seconds that the garbage
// collector took, and those of the whole process, the kernels' threads among them.
type counters struct {
	objects, bytes uint64
	gc, cpu        float64
}

// reader reads counters into memory of its own, so that reading does not count. The runtime's metrics count objects a span
// at a time; MemStats, for which the world stops, has them all.
type reader struct {
	memory runtime.MemStats
	gc     [1]metrics.Sample
}

func newReader() *reader {
	r := &reader{gc: [1]metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}}
	r.read() // what the runtime makes for its first reading
	return r
}

func (r *reader) read() counters {
	metrics.Read(r.gc[:])
	runtime.ReadMemStats(&r.memory)
	return counters{r.memory.Mallocs, r.memory.TotalAlloc, r.gc[0].Value.Float64(), processSeconds()}
}

func (c *counters) add(before, after counters) {
	c.objects += after.objects - before.objects
	c.bytes += after.bytes - before.bytes
	c.gc += after.gc - before.gc
	c.cpu += after.cpu - before.cpu
}

// processSeconds is the processor time of this process; 0 where the system does not say.
func processSeconds() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}

// writeRows writes the file of results.
func writeRows(path string, rows []Row) error {
	if rows == nil {
		rows = []Row{}
	}
	text, err := json.MarshalIndent(struct {
		Version int   `json:"version"`
		Rows    []Row `json:"rows"`
	}{1, rows}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o666)
}
