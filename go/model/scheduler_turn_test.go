package model

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// On one processor, who waits for it runs when a turn is due, and the caller goes on afterwards.
func TestSchedulerTurnGivesWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ran atomic.Bool
	go ran.Store(true)
	var turn schedulerTurn
	// One turn in 61 the scheduler looks among those who give way first, and takes the caller again.
	for range 2 {
		turn.last = time.Time{}
		turn.take()
	}
	if !ran.Load() {
		t.Error("the goroutine that waited has not run")
	}
	if turn.last.IsZero() {
		t.Error("the turn was not noted")
	}
}
