"""One Redis or Valkey server process in a folder: found, started, waited for and ended.

It listens on a Unix socket only and keeps its data in the folder (append-only file). It holds `server.lock`,
a descriptor handed over at its start, until the kernel takes it back at its death: this says better than a
pid file whether it lives. The lock file's text is the socket's path.

Callers take turns (`embedded.py`): nothing here is safe against a second one at the same time.
"""

import hashlib
import os
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.broker.file_lock import is_locked, try_lock
from jobs.broker.server_binary import WAYS_OUT, find_server_program
from jobs.config.home import make_private_folder
from jobs.core.errors import InstallationError, QueueError

#: A socket's path has 108 bytes on Linux, 104 on macOS, the closing zero byte among them.
_SOCKET_PATH_BYTES = 100
#: A server that neither answers nor gets on with loading its data for so long has gone wrong.
_STALL_TIMEOUT_S = 20.0
#: Ending writes what is left of the append-only file.
_STOP_TIMEOUT_S = 20.0
_POLL_S = 0.01
_LOG_LINES_SHOWN = 8
#: A few hundred starts; then the log begins anew and one older one is kept.
_LOG_MAX_BYTES = 1_000_000

#: What the server gets to see of the environment: how to run, and never a token.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

_DAMAGED = (
    "Its data is damaged: move the folder appendonlydir in it aside, then `chartq resume` puts every "
    "unfinished job back from the results store."
)

#: What to do, by a word in what the system or the server says.
_ADVICE = {
    "no space left": "The disk is full: make room and try again.",
    "quota exceeded": "The disk quota is used up: make room and try again.",
    "read-only file system": "Set CHARTQ_HOME to a folder that can be written.",
    "permission denied": "Set CHARTQ_HOME to a folder of your own.",
    "bad file format": _DAMAGED,
    "aof manifest": _DAMAGED,
    "doesn't exist": _DAMAGED,
}


def advice(text: str) -> str:
    """What the user can do about an error that says `text`."""
    for sign, what_to_do in _ADVICE.items():
        if sign in text.lower():
            return what_to_do
    return "Set CHARTQ_HOME to another folder, or REDIS_URL to a server of your own."


class RedisServer:
    """The server that keeps its data in `folder`, running or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = folder / "server.lock"
        self._log = folder / "redis.log"
        #: Where this start's words begin in the log.
        self._log_start = 0

    def join(self) -> Path | None:
        """The socket of the server that runs, once it answers; None if none does. Raises QueueError."""
        if not is_locked(self._lock):
            return None
        socket = self._socket_written_down()
        return socket if self._answers(socket) else None

    def start(self) -> Path:
        """Start it; the socket's path, once it answers. Raises QueueError, InstallationError, OSError."""
        program = find_server_program()
        socket = _socket_path(self.folder)
        alive = try_lock(self._lock)
        if alive is None:
            raise self._failure("started at the same moment by something else")
        try:
            os.truncate(alive, 0)
            os.pwrite(alive, os.fsencode(socket), 0)
            socket.unlink(missing_ok=True)  # a crash left it behind: the lock says that nobody listens
            self._turn_over_log()
            self._launch([str(program), *self._options(socket)], alive)
        finally:
            os.close(alive)  # the server has its own copy now
        if not self._answers(socket):
            raise self._failure("ended right after its start")
        return socket

    def stop(self) -> None:
        """End it if it runs, its data saved. Raises OSError, redis.RedisError."""
        if not is_locked(self._lock):
            return
        with closing(_client(self._socket_written_down())) as client:
            client.shutdown()
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while is_locked(self._lock):
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not end within {_STOP_TIMEOUT_S:g} s")
            time.sleep(_POLL_S)

    def _launch(self, command: list[str], alive: int) -> None:
        try:
            # It forks, and the first process ends at once; what that one says is about unusable options.
            launched = subprocess.run(  # noqa: S603 (the program that we looked for)
                command,
                cwd=self.folder,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                pass_fds=[alive],
                start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
                timeout=_STALL_TIMEOUT_S,
                umask=0o077,
            )
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not start within {_STALL_TIMEOUT_S:g} s") from None
        except OSError as error:  # built for another platform, say
            raise InstallationError(f"{command[0]} can't be run: {error.strerror}. {WAYS_OUT}") from None
        if launched.returncode:
            words = launched.stdout.decode(errors="replace").strip()
            raise self._failure(f"did not start (exit code {launched.returncode}). {words}")

    def _options(self, socket: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "daemonize": "yes",
            "dir": str(self.folder),
            "pidfile": str(self.folder / "redis.pid"),
            "logfile": str(self._log),
            "appendonly": "yes",
            "appendfsync": "everysec",
            # Without the preamble any of Redis 7.0/8.2 and Valkey 8.1/9.1 reads what another one wrote.
            "aof-use-rdb-preamble": "no",
            # A power cut leaves half a command at the end: that one is dropped, and said in the log.
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _answers(self, socket: Path) -> bool:
        """Wait until it does; False if it ends instead. One that loads its data may take its time."""
        loaded = -1
        deadline = time.monotonic() + _STALL_TIMEOUT_S
        with closing(_client(socket)) as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.BusyLoadingError:
                    progress = _loaded_bytes(client)
                    if progress > loaded:
                        loaded, deadline = progress, time.monotonic() + _STALL_TIMEOUT_S
                except redis.ResponseError:  # a full disk: it lives, and says so to whoever asks for more
                    return True
                except redis.RedisError:
                    if not is_locked(self._lock):
                        return False
                else:
                    return True
                time.sleep(_POLL_S)
        raise self._failure(
            f"runs (process {self._pid()}) but does not answer at {socket}. "
            "Does it belong to another machine or container? Each needs a folder of its own. If not, end it"
        )

    def _socket_written_down(self) -> Path:
        return Path(os.fsdecode(self._lock.read_bytes()))

    def _pid(self) -> str:
        with suppress(OSError):
            return (self.folder / "redis.pid").read_text().strip()
        return "unknown"

    def _failure(self, what: str) -> QueueError:
        """What to tell the user: what happened, what to do, what the server said last."""
        said = self._log_since_start().strip().splitlines()[-_LOG_LINES_SHOWN:]
        what_to_do = advice("\n".join([what, *said]))
        lines = [f"The embedded Redis in {self.folder} {what}. {what_to_do}"]
        if said:
            lines += [f"Last lines of {self._log}:", *(f"  {line}" for line in said)]
        return QueueError("\n".join(lines))

    def _log_size(self) -> int:
        with suppress(OSError):
            return self._log.stat().st_size
        return 0

    def _log_since_start(self) -> str:
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(max(self._log_start, self._log_size() - 16_384))
            return file.read().decode(errors="replace")
        return ""

    def _turn_over_log(self) -> None:
        if self._log_size() > _LOG_MAX_BYTES:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._log_start = self._log_size()


def _client(socket: Path) -> redis.Redis:
    """Asks once and at once: the default client takes seconds to say that nobody listens."""
    return redis.Redis(
        unix_socket_path=str(socket), socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )


def _loaded_bytes(client: redis.Redis) -> int:
    with suppress(redis.RedisError):
        return int(client.info("persistence").get("loading_loaded_bytes", 0))
    return 0


def _socket_path(folder: Path) -> Path:
    """In the folder itself, or, where that is too long for a socket, in a short folder of the user's own.

    Not in XDG_RUNTIME_DIR: that one goes away with the login session, the server need not.
    """
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) <= _SOCKET_PATH_BYTES:
        return socket
    short = Path(f"/tmp/chartq-{os.geteuid()}")  # noqa: S108 (checked to be this user's own)
    make_private_folder(short)
    return short / (hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16] + ".sock")
