"""Runs a subcommand and turns what went wrong into one sentence and an exit code: 2 usage, 1 failure, 130 Ctrl-C."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from nn import __version__, files, messages
from nn.cli.common import Interrupted
from nn.cli.options import EXPECTED
from nn.errors import NNError

PROGRAM = "nn-py"


class _Subcommands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Errors: usage_unknown_command."""
        if (args[0] == "-" or not args[0].startswith("-")) and self.get_command(ctx, args[0]) is None:
            raise messages.usage_unknown_command(command=args[0], known=", ".join(self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


@click.group(name=PROGRAM, cls=_Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
def app() -> None:
    """A Mixture-of-Experts Transformer to train, sample and inspect."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # UTF-8 whatever the locale says; a file name that is not UTF-8 still prints.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        import nn.cli.commands  # noqa: F401  registers the subcommands

        words = list(sys.argv[1:] if arguments is None else arguments)
        # A first word "--" ends the options of the program, which has come to none.
        status = app.main(words[1:] if words[:1] == ["--"] else words, PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return int(status) if isinstance(status, int) else 0
    except NNError as error:
        return _fail(error)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return 2
    except click.UsageError as error:
        return _fail(usage_sentence(error))
    except (Interrupted, KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        _drop_output()
        return 1
    except MemoryError:
        return _fail(messages.out_of_memory())
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:  # a file would have its name, from its opening
            _drop_output()
            return _fail(messages.cannot_write(path="stdout", reason=files.reason(error)))
        if sys.flags.dev_mode:  # python -X dev -m nn
            raise
        return _fail(messages.internal(what=f"{type(error).__name__}: {' '.join(str(error).split())}"))


def usage_sentence(error: click.UsageError) -> NNError:
    """click's complaint in our words."""
    command = (error.ctx.info_name if error.ctx is not None else None) or PROGRAM
    if isinstance(error, click.NoSuchOption):
        return messages.usage_unknown_option(option=error.option_name, command=command)
    if isinstance(error, click.MissingParameter):
        return messages.usage_missing_option(command=command, option=_option(error.param))
    if isinstance(error, click.BadParameter):
        expected = EXPECTED.get(error.param.type.name if error.param is not None else "", "a valid value")
        value = error.message.encode("utf-8", "replace").decode()  # the message of these types is the word itself
        return messages.usage_bad_value(option=_option(error.param), value=value, expected=expected)
    if isinstance(error, click.BadOptionUsage):
        if error.message.endswith("does not take a value."):  # --json=1
            return messages.usage_flag_value(option=error.option_name)
        return messages.usage_missing_value(option=error.option_name, expected="one")
    # Got unexpected extra argument (y)
    message = error.message
    return messages.usage_extra_argument(value=message[message.find("(") + 1 : message.rfind(")")], command=command)


def _option(parameter: click.Parameter | None) -> str:
    return max(parameter.opts, key=len) if parameter is not None and parameter.opts else "an option"


def _drop_output() -> None:
    """What is still to be written goes nowhere, or the interpreter would fail on it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: NNError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code
