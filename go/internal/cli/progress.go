package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// lineTime is between two plain lines.
const lineTime = 10 * time.Second

// progress is shown on stderr: a live bar on a terminal, plain lines elsewhere, nothing when quiet.
type progress struct {
	what     string
	total    int
	quiet    bool
	out      io.Writer
	bar      *progressbar.ProgressBar
	start    time.Time
	lastLine time.Time
}

func (a *app) progress(what string, total int, quiet bool) *progress {
	p := &progress{what: what, total: total, quiet: quiet, out: a.err, start: time.Now(), lastLine: time.Now()}
	if file, ok := a.err.(*os.File); ok && !quiet && term.IsTerminal(int(file.Fd())) {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what), progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return p
}

// update may be called as often as wanted; the note says loss, tokens/s and the like.
func (p *progress) update(done int, note string) {
	if p.quiet {
		return
	}
	if p.bar != nil {
		p.bar.ChangeMax(p.total)
		p.bar.Describe(p.what + "  " + note)
		_ = p.bar.Set(done) // a count beyond the total, or a terminal that has gone
		return
	}
	if now := time.Now(); now.Sub(p.lastLine) >= lineTime || done == p.total {
		p.lastLine = now
		left := 0.0
		if done > 0 {
			left = now.Sub(p.start).Seconds() / float64(done) * float64(p.total-done)
		}
		p.line(fmt.Sprintf("%s: %d/%d  %s  %.0f s left", p.what, done, p.total, note, left))
	}
}

// line is a line of its own, above the bar.
func (p *progress) line(text string) {
	if p.quiet {
		return
	}
	if p.bar != nil {
		_ = p.bar.Clear() // a terminal that has gone
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Exit() // a terminal that has gone
		fmt.Fprintln(p.out)
	}
}

// begin turns it to the next part of the work; nothing when that is what it counts already.
func (p *progress) begin(what string, total int) {
	if p.what == what && p.total == total {
		return
	}
	p.what, p.total, p.start = what, total, time.Now()
	if p.bar != nil {
		p.bar.Reset()
	}
}

// report is the progress as the library calls it back.
func (p *progress) report(doing string, done, total int) {
	p.begin(doing, total)
	p.update(done, "")
}
