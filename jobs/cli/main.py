"""The command line's frame: errors become one sentence and an exit code. `python -m jobs` is the producer's half."""

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from jobs.cli.commands import PRODUCER_COMMANDS
from jobs.cli.lazy import CommandSpec, LazyGroup, load
from jobs.cli.output import say, silence_stdout
from jobs.cli.ownership import check_import_names
from jobs.cli.streams import mend_streams
from jobs.core.errors import ChartqError, SettingsError
from jobs.core.memory import out_of_memory

FAILED, WRONG_USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

#: What a command leaves with that a signal interrupted.
SIGNAL_CODES: Mapping[int, int] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}

#: Seconds between looks whether a hook of Python's is through.
_HOOK_LOOK_S = 0.01

_HELP = "Ask a Hugging Face vision model about every chart in a folder: once each, as fast as it allows."
_EPILOG = "Each has help of its own, with an example: chartq submit --help"

#: In the order in which one meets them.
_SECTIONS: Mapping[str, Sequence[str]] = {
    "Ask": ("run", "submit", "worker", "serve", "rehearse", "demo"),
    "Look": ("list", "status", "watch", "wait", "lanes", "logs"),
    "Read": ("results", "compare"),
    "Mend": ("errors", "retry", "cancel", "resume"),
    "Steer": ("pause", "limit"),
    "Remove": ("delete", "prune"),
    "Check": ("doctor", "models", "health", "metrics", "keys", "completion"),
}


def group(specs: Mapping[str, CommandSpec], name: str, *, obj: object = None) -> click.Group:
    """A group of commands with the help and version that all faces share; `obj` is for commands that ask for it."""
    settings = {"help_option_names": ["-h", "--help"], "obj": obj}
    made = LazyGroup(name, specs, _SECTIONS, help=_HELP, epilog=_EPILOG, context_settings=settings)
    return click.version_option(package_name="chartq")(made)


def run(commands: click.Group, argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with the contract's exit code."""
    mend_streams()
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _send_again
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Data is UTF-8 whatever the locale says; nothing on the way out may fail for a character.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(_exit_code(commands, argv))


def _exit_code(commands: click.Group, argv: Sequence[str] | None) -> int:
    try:
        check_import_names()
        code = commands.main(args=argv, standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has left is no error
    except SystemExit:
        raise  # perhaps out of a half-loaded module: nothing is looked up any more
    except (click.exceptions.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (MemoryError, RuntimeError, ImportError) as error:
        if (short := out_of_memory(error)) is None:
            raise
        say(f"chartq: {short}")
        return FAILED
    except SettingsError as error:
        say(f"chartq: {error}")
        return WRONG_USAGE
    except ChartqError as error:
        say(f"chartq: {error}")
        return FAILED
    except load("redis.exceptions:RedisError") as error:  # looked up only now: help waits for no client
        redis_trouble = load("jobs.broker.error_text:redis_trouble")
        say(f"chartq: {redis_trouble(error)}. Nothing is lost: mend it and run the same command again")
        return FAILED
    except BrokenPipeError:
        silence_stdout()
        return FAILED
    except OSError as error:
        say(f"chartq: {error.filename or 'input or output'}: {error.strerror or error}")
        silence_stdout()  # what it still holds would fail once more when Python leaves: with its words and code
        return FAILED
    return code if isinstance(code, int) else 0


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(TERMINATED)


def _send_again(lost: "sys.UnraisableHookArgs") -> None:
    """Python drops what is raised within a finalizer (imports have some, too), also because a signal came just then."""
    number = {SystemExit: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}.get(lost.exc_type)
    if number is None:
        sys.__unraisablehook__(lost)
        return
    again = threading.Thread(target=_send_beyond_hook, args=(number,), daemon=True)
    with suppress(RuntimeError):  # no thread begins any more: it is leaving
        again.start()


def _send_beyond_hook(number: int) -> None:
    """Send it once the main thread is through with the hook above: there it would be raised, and dropped, too."""
    while _is_in_hook(sys._current_frames().get(threading.main_thread().ident or 0)):
        time.sleep(_HOOK_LOOK_S)
    os.kill(os.getpid(), number)


def _is_in_hook(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _send_again.__code__:
            return True
        frame = frame.f_back
    return False


producer = group(PRODUCER_COMMANDS, "jobs")
