"""The command line's frame: errors become one sentence and an exit code. `python -m jobs` is the producer's half."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from redis.exceptions import RedisError

from jobs.commands import PRODUCER_COMMANDS
from jobs.errors import ChartqError, SettingsError
from jobs.output import say
from jobs.ownership import check_import_names

FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

_HELP = "Ask a Hugging Face vision model about every chart in a folder: once each, as fast as it allows."


def group(commands: Sequence[click.Command], name: str) -> click.Group:
    """A group of commands with the help and version that all faces share."""
    made = click.Group(name, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
    for command in commands:
        made.add_command(command)
    return click.version_option(package_name="chartq")(made)


def run(commands: click.Group, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with the contract's exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_exit_code(commands, argv))


def _exit_code(commands: click.Group, argv: Sequence[str] | None) -> int:
    try:
        check_import_names()
        code = commands.main(args=argv, standalone_mode=False)
    except click.exceptions.Abort:
        say("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        say(f"chartq: {error}")
        return WRONG_USAGE
    except (ChartqError, RedisError) as error:
        say(f"chartq: {error}" if isinstance(error, ChartqError) else f"chartq: Redis: {error}")
        return FAILED
    except BrokenPipeError:
        # Whoever read us has had enough (`| head`); Python would complain once more when it leaves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code if isinstance(code, int) else 0


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


producer = group(PRODUCER_COMMANDS, "jobs")
