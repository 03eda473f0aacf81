"""Other commands of the same home, as real processes: `python redis_users.py HOME WORD`.

Joins the home's Redis, prints `server process, socket`, then does what WORD says: `leave` at once, `stay` until its
standard input ends (Ctrl-C or not), or `die` by SIGKILL.
"""

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import redis

from jobs.broker.embedded import embedded_redis


def start_user(home: Path, word: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, __file__, str(home), word],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def server_process(socket: Path) -> int:
    with closing(redis.Redis(unix_socket_path=str(socket))) as client:
        return int(client.info("server")["process_id"])


def _main(home: Path, word: str) -> None:
    with embedded_redis(home) as socket:
        with suppress(KeyboardInterrupt):  # around the print too: a test may send Ctrl-C as soon as it has read it
            print(server_process(socket), socket, flush=True)
            if word == "stay":
                sys.stdin.read()
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        with closing(redis.Redis(unix_socket_path=str(socket))) as client:
            print("rings" if client.ping() else "", flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
