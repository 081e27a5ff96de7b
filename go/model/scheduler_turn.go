package model

import (
	"runtime"
	"time"
)

// schedulerTurn keeps Go's scheduler out of the library's way in a loop of short calls.
//
// A goroutine that does nothing but call the library never passes through the scheduler, however many calls it makes.
// After 10 ms the runtime's monitor holds that for one long run: it takes the goroutine's processor away, lets another
// thread look for work, and looks again every 20 microseconds, on the processors that the library computes on. A turn
// in time costs some tens of microseconds and tells it that all is well.
type schedulerTurn struct {
	last time.Time
}

// The monitor's patience is 10 ms.
const turnInterval = 8 * time.Millisecond

// take gives way once an interval. The goroutine comes back on the thread it was on: the library's threads keep clear of
// that thread's processor, and would have to move too.
func (t *schedulerTurn) take() {
	now := time.Now()
	if now.Sub(t.last) < turnInterval {
		return
	}
	t.last = now
	runtime.LockOSThread()
	runtime.Gosched()
	runtime.UnlockOSThread()
}
