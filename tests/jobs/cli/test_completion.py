"""The Tab key in a real shell: commands, options, values and batch ids, and silence where nothing is known."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.producer import Producer, command_of
from support.stack import PATIENCE_S, draw_charts

from jobs.cli.completion import complete_batches
from worker.main import COMMANDS, chartq

_BIN = Path(sys.executable).parent

#: Loads the script, types the words, presses Tab at their end.
_BASH = """
eval "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p chartq | sed 's/.*-F \\([^ ]*\\).*/\\1/') chartq "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def pressed(user: Producer, *words: str) -> list[str]:
    """What bash offers after `chartq WORDS`."""
    environment = {**os.environ, "PATH": f"{_BIN}:{os.environ['PATH']}"}
    environment["SCRIPT"] = user.run("completion", "bash", commands=chartq).stdout
    done = subprocess.run(
        ["bash", "--norc", "-c", _BASH, "bash", "chartq", *words],
        capture_output=True,
        text=True,
        cwd=user.folder,
        env=environment,
        timeout=PATIENCE_S,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None or not (_BIN / "chartq").exists(), reason="no bash, or not installed")
def test_bash_offers_commands_options_values_and_batch_ids(user: Producer) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 1))["batch_id"]
    assert pressed(user, "st") == ["status"]
    assert pressed(user, "results", batch_id, "--format", "h") == ["html"]
    assert pressed(user, "logs", "b") == [batch_id]


def test_the_names_of_commands_are_offered_without_loading_them() -> None:
    code = "import sys, worker.main; sys.argv = ['chartq']; worker.main.main()"
    tab = {"_CHARTQ_COMPLETE": "bash_complete", "COMP_WORDS": "chartq ", "COMP_CWORD": "1"}
    words = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **tab}, timeout=100)
    assert {f"plain,{name}" for name in COMMANDS} == set(done.stdout.split())
    assert "jobs.ledger" not in done.stderr


@pytest.mark.parametrize("name", ["status", "wait", "watch", "results", "retry", "cancel", "resume", "logs", "compare"])
def test_every_command_that_takes_a_batch_offers_its_ids(name: str) -> None:
    command = command_of(chartq, name)
    [argument, *_] = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    assert argument._custom_shell_complete is complete_batches


def offered(incomplete: str) -> list[str]:
    command = command_of(chartq, "status")
    parent = chartq.make_context("chartq", ["status"])  # click keeps a command's help options as it first met them
    context = command.make_context("status", [], parent=parent, resilient_parsing=True)
    return [item.value for item in complete_batches(context, command.params[0], incomplete)]


def test_the_newest_batches_that_begin_so_come_first(user: Producer) -> None:
    charts = draw_charts(user.folder / "charts", 1)
    ids = [user.submit(charts, prompt=prompt)["batch_id"] for prompt in ("One?", "Two?")]
    assert offered("") == ids[::-1]
    assert offered(ids[0]) == [ids[0]]
    assert offered("x") == []


def test_where_nothing_can_be_known_nothing_is_offered_made_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARTQ_HOME", str(tmp_path / "home"))
    assert offered("") == []
    assert not (tmp_path / "home").exists()
    monkeypatch.setenv("RESULTS_URL", "postgresql+psycopg://127.0.0.1:9/nobody")
    assert offered("") == []
    monkeypatch.setenv("RESULTS_URL", "nonsense")
    assert offered("") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shells_script_is_printed(user: Producer, shell: str) -> None:
    script = user.run("completion", shell, commands=chartq).stdout
    assert f"_CHARTQ_COMPLETE={shell}_complete" in script
