// Command nn-go trains, samples and inspects a Mixture-of-Experts Transformer. Every subcommand, flag, default, exit code
// and sentence is that of nn-py and nn-rs.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/cuda-nn/cuda-nn/go/internal/cli"
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader that has gone is an error of writing
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
