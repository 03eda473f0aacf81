"""The token of `hf auth login` is found where huggingface_hub keeps it, by workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.hf_server import Scripted, ScriptedServer, chat_reply
from support.repository import ROOT
from support.stack import draw_charts, stack

from worker.hf.saved_token import saved_token


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"HF_TOKEN_PATH": "{0}/a", "HF_HOME": "{0}/h"}, "a"),
        ({"HF_HOME": "{0}/h", "XDG_CACHE_HOME": "{0}/x"}, "h/token"),
        ({"XDG_CACHE_HOME": "{0}/x"}, "x/huggingface/token"),
        ({}, ".cache/huggingface/token"),
    ],
)
def test_it_is_where_huggingface_hub_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], place: str
) -> None:
    given = {name: value.format(tmp_path) for name, value in environment.items()} | {"HOME": str(tmp_path)}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert saved_token(given).path == tmp_path / place
    asked = "from huggingface_hub import constants; print(constants.HF_TOKEN_PATH)"
    theirs = subprocess.run([sys.executable, "-c", asked], env=given, capture_output=True, text=True, check=True)
    assert theirs.stdout.strip() == str(tmp_path / place)


@pytest.mark.parametrize(
    ("data", "value", "problem"),
    [
        (b"hf_saved", "hf_saved", None),
        (b"\xef\xbb\xbfhf_saved\r\n\r\n", "hf_saved", None),
        (b"\n  hf_saved \n", "hf_saved", None),
        (b"", None, None),
        (b" \r\n", None, None),
        (b"hf_saved\nhf_other\n", None, "more than a token"),
        (b"hf_saved\xff", None, "not UTF-8"),
        ("hf_säved".encode(), None, "more than a token"),
        (b"\x00" * 99, None, "more than a token"),
    ],
)
def test_what_stands_in_the_file(tmp_path: Path, data: bytes, value: str | None, problem: str | None) -> None:
    (tmp_path / "token").write_bytes(data)
    found = saved_token({"HF_HOME": str(tmp_path)})
    assert found.value == value
    assert (found.problem is None) if problem is None else (problem in (found.problem or ""))
    assert "hf_saved" not in repr(found)


def test_what_cannot_be_read_is_told_and_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    assert "can't be read" in (saved_token({"HF_HOME": str(tmp_path)}).problem or "")
    assert saved_token({"HF_TOKEN_PATH": str(tmp_path / "no")}).problem is None
    assert "can't be read" in (saved_token({"HF_TOKEN_PATH": "a\0b"}).problem or "")


def test_who_said_no_to_it_is_heard(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_saved")
    assert saved_token({"HF_HOME": str(tmp_path), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}).value is None


def test_workers_use_it_doctor_names_it_and_another_server_does_not_get_it(tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("hf_saved_token\n")
    place = str(tmp_path / "saved")
    with ScriptedServer(Scripted(chat_reply())) as server, stack(tmp_path, HF_BASE_URL=server.url) as user:
        charts = draw_charts(user.folder / "charts", 1)
        user.run("run", str(charts), "-p", "Up?", HF_TOKEN_PATH=place)
        assert server.seen[-1].headers["Authorization"] == "Bearer hf_saved_token"
        doctor = user.run("doctor", "--json", expect=None, HF_TOKEN_PATH=place)
        token = next(one for one in json.loads(doctor.stdout)["checks"] if one["name"] == "token")
        assert f"hf auth login saved in {place}" in token["message"]
        assert "hf_saved_token" not in doctor.stdout + doctor.stderr

        for name, why in (("missing", "holds none"), ("charts", "can't be read: Is a directory")):
            looked_at = str(tmp_path / name)
            doctor = user.run("doctor", "--json", expect=None, HF_TOKEN="", HF_TOKEN_PATH=looked_at)
            token = next(one for one in json.loads(doctor.stdout)["checks"] if one["name"] == "token")
            assert f"not set ({looked_at} {why})" in token["message"].replace(", and the server asked for none", "")

        user.run("run", str(charts), "-p", "Down?", HF_TOKEN_PATH=place, HF_TOKEN="hf_given")
        assert server.seen[-1].headers["Authorization"] == "Bearer hf_given"

    code = (
        "from worker.hf.from_settings import worker_settings; print(worker_settings().hf_token,"
        " __import__('jobs.config.settings').config.settings.producer_settings().hf_token)"
    )
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HF_TOKEN_PATH": place}
    for url, expected in (("https://vllm.example/v1", "None None"), ("", "Secret(***) None")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=given | {"HF_BASE_URL": url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
