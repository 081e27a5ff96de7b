"""Importing this registers every subcommand."""

from nn.cli.commands import bench, evaluate, generate, info, init, inspect, logits, prepare, quantize, train

__all__ = ["bench", "evaluate", "generate", "info", "init", "inspect", "logits", "prepare", "quantize", "train"]
