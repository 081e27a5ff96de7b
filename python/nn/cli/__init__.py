"""nn-py: the command line. Every subcommand, flag, default, exit code and sentence is that of nn-rs and nn-go."""

from nn.cli.app import main

__all__ = ["main"]
