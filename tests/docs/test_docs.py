"""The documents tell the truth: their commands parse, their links lead somewhere, their variables exist."""

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.producer import Producer, command_of, names_of, producer_in
from support.repository import ROOT
from support.stack import draw_charts

from jobs.config.settings import ACCEPTED, Settings, load_settings, variables
from worker.main import chartq

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
VARIABLES = {name for field in ACCEPTED for name in variables(field)}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def typed_commands() -> Iterator[tuple[str, str]]:
    """Every `chartq ...` that stands in a console block, with its page."""
    for page in PAGES:
        for block in blocks(page, "(?:console|sh|bash)"):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.match(r"\$ (?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?chartq (.+)", line):
                    yield page.name, match[1]


def mentioned_commands() -> Iterator[tuple[str, str]]:
    """Every `chartq ...` that stands within a sentence."""
    for page in PAGES:
        for words in re.findall(r"`(?:[A-Z_]+=\S+ )*chartq ([^`]+)`", page.read_text("utf-8")):
            yield page.name, words


@pytest.mark.parametrize(("page", "line"), list(typed_commands()))
def test_a_command_that_is_shown_can_be_typed(page: str, line: str) -> None:
    name, *args = shlex.split(line, comments=True)
    parent = chartq.make_context("chartq", [name])  # click keeps a command's help options as it first met them
    context = command_of(chartq, name).make_context(name, args, parent=parent)
    assert context.params


@pytest.mark.parametrize(("page", "words"), sorted(set(mentioned_commands())))
def test_a_command_that_is_mentioned_exists_with_its_options(page: str, words: str) -> None:
    name, *rest = words.split()
    command = command_of(chartq, name)
    if isinstance(command, click.Group) and rest:
        command = command.commands.get(rest[0], command)
    known = {option for param in command.params for option in [*param.opts, *param.secondary_opts]}
    assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", words)) <= known


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8") + (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [name for name in names_of(chartq) if f"`{name}" not in text and f"chartq {name}" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    local = [target.partition("#")[0] for target in targets if "://" not in target and not target.startswith("#")]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if "chartsense" not in page.name])
def test_variables_that_are_named_exist(page: Path) -> None:
    own = set(
        re.findall(r"\b((?:HF|CHART|CHARTQ|VISION|REASONING|IMAGE|LOG|REDIS|RESULTS)_[A-Z_]+)\b", page.read_text())
    )
    known = VARIABLES | {"CHARTQ_UID", "CHARTQ_GID"} | {f"{name}_FILE" for name in VARIABLES}
    assert own <= known


def test_the_example_of_env_has_every_variable_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    text = (ROOT / ".env.example").read_text("utf-8")
    shown = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert set(shown) == VARIABLES - {"HF_API_KEY"}  # named as an alias
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in shown.items() if value != "hf_..."))
    filled = load_settings(env_file=tmp_path / ".env")
    (tmp_path / "plain.env").write_text(text)
    assert load_settings(env_file=tmp_path / "plain.env") == Settings()
    # What is shown is the default, but for the two places where no default can be shown.
    assert dataclasses.replace(filled, redis_url=None, results_url=None, hf_base_url=None) == Settings()


def test_the_readmes_python_for_producers_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = [block for block in blocks(ROOT / "README.md", "python") if "submit_folder" in block]
    with producer_in(tmp_path, monkeypatch) as user:
        answered(user)
        said: list[tuple[str, ...]] = []
        exec(compile(code, "README.md", "exec"), {"print": lambda *words: said.append(words)})
    assert said == [("group-00/chart-0000.png", "up"), ("group-00/chart-0001.png", "up")]


def answered(user: Producer) -> None:
    user.answer(user.submit(draw_charts(user.folder / "charts", 2), prompt="Up or down?")["batch_id"])


def test_the_names_of_options_are_spelled_alike_everywhere() -> None:
    spelled: dict[str, set[str]] = {}
    for command in (command_of(chartq, name) for name in names_of(chartq)):
        for option in command.params:
            if isinstance(option, click.Option) and option.name:
                spelled.setdefault(option.name, set()).add(" ".join(option.opts))
    assert {name: ways for name, ways in spelled.items() if len(ways) > 1} == {}
