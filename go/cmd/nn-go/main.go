// Command nn-go trains, samples and inspects a Mixture-of-Experts Transformer. Every subcommand, flag, default, exit code
// and sentence is that of nn-py and nn-rs.
package main

import (
	"os"

	"github.com/cuda-nn/cuda-nn/go/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
