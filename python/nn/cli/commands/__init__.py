"""Importing this registers every subcommand."""

from nn.cli.commands import bench, evaluate, generate, info, init, inspect, logits, prepare, train

__all__ = ["bench", "evaluate", "generate", "info", "init", "inspect", "logits", "prepare", "train"]
