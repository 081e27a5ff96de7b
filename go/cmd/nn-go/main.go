// Command nn-go trains, samples and inspects a Mixture-of-Experts Transformer. Every subcommand, flag, default, exit code
// and sentence is that of nn-py and nn-rs.
package main

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/cuda-nn/cuda-nn/go/internal/cli"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader that has gone is an error of writing
	// On one processor the runtime's monitor looks after every call of more than 20 microseconds, each decoded token; a
	// second one, idle, lets it sleep. The library's threads are its own.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
