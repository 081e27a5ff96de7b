"""Runs a subcommand and turns what went wrong into one sentence and an exit code: 2 usage, 1 failure, 130 Ctrl-C."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from nn import __version__, messages
from nn.cli.common import Interrupted
from nn.errors import NNError

PROGRAM = "nn-py"


@click.group(name=PROGRAM, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def app() -> None:
    """A Mixture-of-Experts Transformer to train, sample and inspect."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    import nn.cli.commands  # noqa: F401  registers the subcommands

    try:
        status = app.main(list(arguments) if arguments is not None else None, PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return int(status) if isinstance(status, int) else 0
    except NNError as error:
        return _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 2
    except click.UsageError as error:
        sentence = usage_sentence(error)
        return _fail(str(sentence), sentence.exit_code)
    except (Interrupted, KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _fail("out of memory: expected a smaller model, batch or sequence", 1)


def usage_sentence(error: click.UsageError) -> NNError:
    """click's complaint in our words."""
    command = (error.ctx.info_name if error.ctx is not None else None) or PROGRAM
    if isinstance(error, click.NoSuchOption):
        return messages.usage_unknown_option(option=error.option_name, command=command)
    if isinstance(error, click.MissingParameter):
        return messages.usage_missing_option(command=command, option=_option(error.param, error))
    if isinstance(error, click.BadParameter):
        return messages.usage_bad_value(
            option=_option(error.param, error), value=_offending(error), expected=_expected(error.param)
        )
    if isinstance(error, click.BadOptionUsage):
        return messages.usage_missing_value(option=error.option_name, expected="one")
    if error.ctx is not None and isinstance(error.ctx.command, click.Group):
        known = ", ".join(error.ctx.command.list_commands(error.ctx))
        return messages.usage_unknown_command(command=_quoted(error.message), known=known)
    return messages.usage_extra_argument(value=_quoted(error.message), command=command)


def _option(parameter: click.Parameter | None, error: click.BadParameter) -> str:
    if parameter is not None and parameter.opts:
        return max(parameter.opts, key=len)
    return error.param_hint if isinstance(error.param_hint, str) else "an option"


def _expected(parameter: click.Parameter | None) -> str:
    name = parameter.type.name if parameter is not None else ""
    return {"integer": "an integer", "float": "a number", "boolean": "true or false"}.get(name, "a valid value")


def _offending(error: click.UsageError) -> str:
    """click quotes the value in its message: 'x' is not a valid integer."""
    return _quoted(error.message)


def _quoted(message: str) -> str:
    start = message.find("'")
    end = message.find("'", start + 1)
    if start >= 0 and end > start:
        return message[start + 1 : end]
    start = message.find("(")
    return message[start + 1 : message.rfind(")")] if start >= 0 else message


def _fail(sentence: str, status: int) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return status
