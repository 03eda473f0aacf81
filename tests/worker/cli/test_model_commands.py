"""`chartq models` against the rehearsal server and plainer ones."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.hf_server import Scripted, ScriptedServer
from support.producer import unset_settings

from worker.cli.doctor_command import _print_check
from worker.cli.model_commands import models
from worker.hf.advice import dollars
from worker.hf.config import HFConfig
from worker.hf.transport import Transport
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.provider import check_model, reach
from worker.rehearsal import Behaviour, Rehearsal

QWEN, LLAMA = "Qwen/Qwen3-VL-30B-A3B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"
TOKEN = "hf_never_to_be_shown"


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    unset_settings(monkeypatch)


def ask(base_url: str, *arguments: str, **given: str) -> tuple[int, Result]:
    """Exit code, and what was said where."""
    environment = {"HF_BASE_URL": base_url, "HF_TOKEN": TOKEN, **given}
    result = CliRunner().invoke(models, arguments, env=environment, standalone_mode=False)
    assert result.exception is None, result.exception
    assert TOKEN not in result.stdout + result.stderr
    return result.return_value, result


def entry(model: str, price: float, *providers: str, image: bool = True) -> dict[str, Any]:
    offers = [{"provider": name, "status": "live", "pricing": {"input": price, "output": 1}} for name in providers]
    modalities = ["text", "image"] if image else ["text"]
    return {"id": model, "architecture": {"input_modalities": modalities}, "providers": offers}


def test_the_list_has_the_models_that_take_images_and_nothing_else_is_on_stdout(server: Rehearsal) -> None:
    code, result = ask(server.base_url)
    header, *rows = result.stdout.splitlines()
    assert (code, result.stderr) == (0, "")
    assert header.split()[0] == "model"
    assert QWEN in result.stdout
    assert LLAMA not in result.stdout
    assert all("$0.15" in row and "$0.60" in row and "131,072" in row and "rehearsal" in row for row in rows)


def test_all_of_them_with_all(server: Rehearsal) -> None:
    code, result = ask(server.base_url, "--all", "--json")
    images = {row["model"]: row["takes_images"] for row in map(json.loads, result.stdout.splitlines())}
    assert (code, images[QWEN], images[LLAMA]) == (0, True, False)


def test_the_list_as_json_is_one_object_a_line(server: Rehearsal) -> None:
    code, result = ask(server.base_url, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert (code, len(rows)) == (0, 2)
    assert rows[0]["price"] == {"provider": "rehearsal", "input_usd_per_m": 0.15, "output_usd_per_m": 0.6}


def test_the_cheapest_comes_first_and_no_name_is_cut_on_a_pipe() -> None:
    long = "organisation/" + "a-very-long-name-" * 8 + "VL"
    names = [f"provider-{number}" for number in range(12)]
    listed = [entry("a/dear", 3.0, "x"), entry(long, 0.05, *names), entry("a/dead", 0.01)]
    with ScriptedServer(Scripted({"data": listed})) as plain:
        code, result = ask(plain.url)
    [_, first, second] = result.stdout.splitlines()
    assert code == 0
    assert long in first
    assert all(name in first for name in names)
    assert "a/dear" in second


def test_any_openai_compatible_server_will_do() -> None:
    """Ollama and vLLM list ids and no more."""
    with ScriptedServer(Scripted({"object": "list", "data": [{"id": "llava:13b", "max_model_len": 4096}]})) as plain:
        code, result = ask(plain.url, HF_TOKEN="")
        assert (code, result.stdout.splitlines()[1].split()) == (0, ["llava:13b", "?", "?", "?", "4,096"])
        code, result = ask(plain.url, "llava:13b", "--json")
        document = json.loads(result.stdout)
    assert (code, document["served"], document["takes_images"], document["price"]) == (0, True, None, None)


def test_a_servers_words_do_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "org/\x1b[31mred\x07\x9b2J[bold]\nFAIL token: fake\t\u2028\u202e"
    listed = {**entry(evil, 1, "pro\x1b]52;c;eA==\x07vider"), "supported": True}
    with ScriptedServer(Scripted({"object": "list", "data": [listed]})) as server:
        shown = [ask(server.url, *arguments)[1] for arguments in ((), (evil,), ("org/\x1bnone",), ("org/none",))]
        with closing(Transport(token=TOKEN)) as transport:
            config = HFConfig(api_key=TOKEN, base_url=server.url)
            _print_check(check_model(replace(config, model_id="org/none"), reach(config, transport), transport))
    _print_check(Check("model", False, f"{evil} is not served", f"choose\n{evil}"))
    said = capsys.readouterr().out + "".join(result.stdout + result.stderr for result in shown)
    assert [char for char in said if not char.isprintable() and char != "\n"] == []
    assert not any(line.startswith("FAIL token") for line in said.splitlines())
    assert said.count("org/\\x1b[31mred\\x07\\x9b2J[bold]\\nFAIL token: fake\\t\\u2028\\u202e") >= 3


def test_a_list_without_end_is_cut_for_people_and_whole_as_json() -> None:
    listed = [{"id": f"{number:04}{'x' * 2000}"} for number in range(3000)]
    with ScriptedServer(Scripted({"data": listed})) as server:
        _, told = ask(server.url)
        _, whole = ask(server.url, "--json")
    rows = told.stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [f"{number:04}{'x' * 295}…" for number in range(500)]
    assert "2,500 more" in told.stderr
    assert [json.loads(line)["model"] for line in whole.stdout.splitlines()] == [entry["id"] for entry in listed]


def test_one_model_is_described(server: Rehearsal) -> None:
    code, result = ask(server.base_url, QWEN)
    facts = dict(line.split(": ") for line in result.stdout.splitlines() if ": " in line)
    assert (code, result.stderr) == (0, "")
    assert facts == {
        "model": QWEN,
        "served": "yes",
        "takes images": "yes",
        "price from": "$0.15 in, $0.60 out",
        "context": "131,072",
        "structured output": "yes",
    }
    assert "rehearsal  live" in result.stdout


def test_one_model_as_json_is_one_document(server: Rehearsal) -> None:
    code, result = ask(server.base_url, QWEN, "--json")
    [provider] = json.loads(result.stdout)["providers"]
    assert (code, provider["name"], provider["status"], provider["structured_output"]) == (0, "rehearsal", "live", True)


def test_a_model_that_takes_no_images_is_an_answer(server: Rehearsal) -> None:
    code, result = ask(server.base_url, LLAMA)
    assert (code, "takes images: no" in result.stdout) == (0, True)


def test_a_model_that_is_not_served_exits_with_1_and_says_what_to_do() -> None:
    with Rehearsal(Behaviour(models=[QWEN])) as server:
        code, result = ask(server.base_url, "no/such")
        assert (code, result.stdout) == (1, "")
        assert "no/such is not served" in result.stderr
        assert "chartq models" in result.stderr
        code, result = ask(server.base_url, "no/such", "--json")
        assert (code, json.loads(result.stdout)["served"]) == (1, False)


def test_a_server_that_lists_no_vision_model_has_answered() -> None:
    with ScriptedServer(Scripted({"data": [entry("a/text", 1.0, "x", image=False)]})) as plain:
        code, result = ask(plain.url)
    assert (code, result.stdout, "--all" in result.stderr) == (0, "", True)


@pytest.mark.parametrize("arguments", [(), (QWEN,), ("--json",)])
@pytest.mark.parametrize(
    ("reply", "todo"),
    [
        (Scripted({"error": f"bad token {TOKEN}"}, 401), "HF_TOKEN"),
        (Scripted("", 302, {"Location": "https://elsewhere.example/v1"}), "HF_BASE_URL"),
        (Scripted({"error": "broken"}, 500), "later"),
        (Scripted(b"<html>Welcome</html>"), "later"),
    ],
)
def test_a_server_that_cant_tell_exits_with_1_and_says_what_to_do(
    reply: Scripted, todo: str, arguments: tuple[str, ...]
) -> None:
    with ScriptedServer(reply) as plain:
        code, result = ask(plain.url, *arguments)
    assert (code, result.stdout, todo in result.stderr) == (1, "", True), result.stderr


def test_a_server_that_isnt_there_exits_with_1() -> None:
    code, result = ask("http://127.0.0.1:1/v1")
    assert (code, result.stdout, "HF_BASE_URL=http://127.0.0.1:1/v1" in result.stderr) == (1, "", True)


def test_the_classic_api_knows_single_models_only(server: Rehearsal) -> None:
    code, result = ask(server.root_url, HF_API="task")
    assert (code, "chartq models MODEL" in result.stderr) == (1, True)
    code, result = ask(server.root_url, "Salesforce/blip", HF_API="task")
    assert (code, "served: yes" in result.stdout) == (0, True)


def test_prices_keep_their_digits() -> None:
    assert [dollars(amount) for amount in (None, 0.0, 0.004, 0.05, 0.6, 12.5)] == [
        "?",
        "$0.00",
        "$0.004",
        "$0.05",
        "$0.60",
        "$12.50",
    ]
