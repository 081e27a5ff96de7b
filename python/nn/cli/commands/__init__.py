"""Importing this registers every subcommand."""

from nn.cli.commands import evaluate, generate, info, init, logits, prepare, train

__all__ = ["evaluate", "generate", "info", "init", "logits", "prepare", "train"]
