"""The embedded Redis: one real server for each `CHARTQ_HOME`, shared by all commands of that home.

It outlives the command that started it while others use it, and is ended by the last one. Two locks in
`home/redis` see to that, besides the one that the server itself holds while it lives (`server_process.py`):

    start.lock   held alone while someone looks, starts or ends the server: one at a time
    users.lock   held shared by each user for as long as it needs the server

None of them needs cleaning up after a crash. A user that is killed leaves the server to the next command.
"""

import logging
import os
import socket as sockets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import redis

from jobs.broker.file_lock import is_alone, is_at, locked, try_lock
from jobs.broker.server_binary import WAYS_OUT
from jobs.broker.server_process import RedisServer, advice
from jobs.config.home import make_home, make_private_folder
from jobs.core.errors import InstallationError, QueueError

logger = logging.getLogger(__name__)

#: Another command may be loading a big file meanwhile, or ending the server.
_START_LOCK_TIMEOUT_S = 120.0


@contextmanager
def embedded_redis(home: Path) -> Iterator[Path]:
    """Start or join the server of `home`, and end it on the way out if nobody else uses it. Gives its socket.

    Processes started inside call this themselves. Raises QueueError if the server can't be had,
    InstallationError if there is none to start.
    """
    if os.name != "posix":
        raise InstallationError(f"chartq can't start a Redis server on this system. {WAYS_OUT}")
    server = RedisServer(home / "redis")
    user: int | None = None
    with sockets.socket(sockets.AF_UNIX) as connection:
        try:
            with _file_errors_as_ours(home):
                make_home(home)
                make_private_folder(server.folder)
                with _one_at_a_time(server):
                    user = try_lock(_users_lock(server), shared=True)
                    socket = server.join() or server.start()
                connection.connect(str(socket))
            yield socket
        finally:
            if user is not None and not is_at(_users_lock(server), user):
                _end_unreachable(user, connection)
            elif user is not None:
                _leave(server, user)


def _end_unreachable(user: int, connection: sockets.socket) -> None:
    """Its folder was removed or moved, its socket's path is gone: only connections that are open still reach it."""
    with suppress(OSError):
        if is_alone(user):
            connection.sendall(b"SHUTDOWN NOSAVE\r\n")
    os.close(user)


def _leave(server: RedisServer, user: int) -> None:
    """Give a user's lock back; the last one ends the server. Never raises: the work is done by now."""
    try:
        with _one_at_a_time(server):
            os.close(user)
            user = -1
            alone = try_lock(_users_lock(server))
            if alone is not None:
                try:
                    server.stop()
                finally:
                    os.close(alone)
    except (OSError, redis.RedisError) as error:
        logger.warning("The embedded Redis in %s was left running: %s", server.folder, error)
    finally:
        if user != -1:
            os.close(user)


def _one_at_a_time(server: RedisServer) -> AbstractContextManager[None]:
    return locked(server.folder / "start.lock", timeout_s=_START_LOCK_TIMEOUT_S)


def _users_lock(server: RedisServer) -> Path:
    return server.folder / "users.lock"


@contextmanager
def _file_errors_as_ours(home: Path) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise QueueError(f"Another command is still starting or ending the embedded Redis: {error}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise QueueError(
            f"CHARTQ_HOME={home} can't hold the embedded Redis: {error.filename or home}: {reason}. {advice(reason)}"
        ) from None
