package cli

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts ends the program on Ctrl-C with 130: at once, unless work is under way that ends by itself when its context
// is cancelled. A second Ctrl-C ends that too.
type interrupts struct {
	mutex  sync.Mutex
	cancel context.CancelFunc
	asked  chan os.Signal
}

func watchInterrupts() *interrupts {
	i := &interrupts{asked: make(chan os.Signal, 2)}
	signal.Notify(i.asked, os.Interrupt)
	go func() {
		for range i.asked {
			if cancel := i.take(); cancel != nil {
				cancel()
			} else {
				os.Exit(130)
			}
		}
	}()
	return i
}

func (i *interrupts) take() context.CancelFunc {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	cancel := i.cancel
	i.cancel = nil
	return cancel
}

// until is cancelled by Ctrl-C, or by a request to end.
func (i *interrupts) until() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	i.mutex.Lock()
	i.cancel = cancel
	i.mutex.Unlock()
	signal.Notify(i.asked, syscall.SIGTERM)
	return ctx, func() {
		signal.Reset(syscall.SIGTERM)
		i.take()
		cancel()
	}
}

func (i *interrupts) stop() {
	signal.Stop(i.asked)
	close(i.asked)
}
