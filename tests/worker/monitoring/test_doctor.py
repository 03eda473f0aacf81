"""`chartq doctor` as the real program, and its checks against real servers."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from support.hf_server import Scripted, ScriptedServer
from support.repository import ROOT
from support.stack import PATIENCE_S, eventually
from support.terminal import on_a_terminal

from jobs.broker.embedded import embedded_redis
from jobs.config.settings import ACCEPTED, Settings, variables
from jobs.core.secret import Secret
from worker.hf.config import HFConfig
from worker.hf.transport import Transport
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.hf_token import check_hub_token, check_token
from worker.monitoring.checks.local import check_chart_root, check_home
from worker.monitoring.checks.provider import check_endpoint, check_model, reach
from worker.monitoring.checks.stores import check_redis, check_store
from worker.monitoring.checks.timeout import bounded
from worker.rehearsal import Behaviour, Rehearsal

TOKEN = "hf_never_to_be_shown"
NAMES = ["settings", "home", "redis", "workers", "store", "chart_root", "endpoint", "token", "model"]


def environment(folder: Path, **given: str) -> dict[str, str]:
    """Ours alone: the machine's own settings play no part."""
    ours = {name for field in ACCEPTED for name in variables(field)}
    ours |= {f"{name}_FILE" for name in ours} | {"NO_COLOR", "TERM", "FORCE_COLOR"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"PYTHONPATH": str(ROOT), "CHARTQ_HOME": str(folder / "home"), **given}


def run_doctor(folder: Path, *options: str, **given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "worker.main", "doctor", *options],
        cwd=folder,
        env=environment(folder, **given),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
    )


def by_name(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in document["checks"]}


@pytest.fixture
def rehearsal() -> Iterator[Rehearsal]:
    with Rehearsal() as running:
        yield running


@pytest.fixture
def transport() -> Iterator[Transport]:
    with closing(Transport(token=TOKEN)) as one:
        yield one


def config(base_url: str | None, *, model_id: str = "org/model", **more: Any) -> HFConfig:
    return HFConfig(api_key=TOKEN, base_url=base_url, model_id=model_id, timeout=5, **more)


# --- The program -----------------------------------------------------------------------------------------


def test_where_all_is_well_it_says_so_in_one_document(tmp_path: Path, rehearsal: Rehearsal) -> None:
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "one.png").touch()
    given = {"HF_BASE_URL": rehearsal.base_url, "HF_TOKEN": TOKEN, "CHART_ROOT": str(tmp_path / "charts")}
    done = run_doctor(tmp_path, "--json", **given)
    document = json.loads(done.stdout)
    checks = by_name(document)
    assert (done.returncode, done.stderr, document["ok"]) == (0, "", True)
    assert list(checks) == NAMES
    assert {name for name, check in checks.items() if check["ok"] is not True} == {"workers"}, "a hint, no error"
    assert all(set(check) == {"name", "ok", "message", "todo"} for check in checks.values())
    assert "embedded" in checks["redis"]["message"]
    assert "noeviction" in checks["redis"]["message"]
    assert "chartq worker" in checks["workers"]["todo"]
    assert "REHEARSAL" in checks["endpoint"]["message"]
    assert len(rehearsal.record) == 0, "it costs nothing"


def test_a_failure_stops_no_other_check_and_no_secret_is_shown(tmp_path: Path) -> None:
    refusal = {"error": f"Invalid token {TOKEN}, redis-secret, store-secret"}
    given = {
        "HF_TOKEN": TOKEN,
        "REDIS_URL": "redis://me:redis-secret@127.0.0.1:1/0",
        "RESULTS_URL": "postgresql+psycopg://me:store-secret@127.0.0.1:1/charts",
        "CHART_ROOT": str(tmp_path / "nowhere"),
    }
    with ScriptedServer(Scripted(refusal, 401)) as server:
        as_json = run_doctor(tmp_path, "--json", HF_BASE_URL=server.url, **given)
        as_text = run_doctor(tmp_path, HF_BASE_URL=server.url, **given)
    checks = by_name(json.loads(as_json.stdout))
    failed = [name for name in NAMES if checks[name]["ok"] is False]
    assert failed == ["redis", "store", "chart_root", "token"]
    assert all(checks[name]["todo"] for name in failed)
    assert "401" in checks["token"]["message"]
    assert (as_json.returncode, as_text.returncode) == (1, 1)
    for done in (as_json, as_text):
        assert not any(secret in done.stdout + done.stderr for secret in (TOKEN, "redis-secret", "store-secret"))
    lines = as_text.stdout.splitlines()
    assert "\x1b" not in as_text.stdout
    assert [line.split()[1] for line in lines if not line.startswith(" ")] == [f"{name}:" for name in NAMES]
    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {"ok", "FAIL", "warn"}
    assert any(line.startswith("     -> ") for line in lines)


def test_settings_that_cant_be_used_are_a_failed_check(tmp_path: Path) -> None:
    done = run_doctor(tmp_path, "--json", HF_API="carrier-pigeon", HF_TOKEN="hf with gaps")
    document = json.loads(done.stdout)
    [check] = document["checks"]
    assert (done.returncode, document["ok"], check["name"], check["ok"]) == (1, False, "settings", False)
    assert "HF_API=carrier-pigeon" in check["message"]
    assert "with gaps" not in done.stdout + done.stderr
    assert check["todo"]


def test_a_terminal_gets_signs_and_colour_unless_it_wants_none(tmp_path: Path) -> None:
    # Wrong settings end it at once.
    doctor = partial(on_a_terminal, "worker.main", "doctor", folder=tmp_path)
    assert "\x1b[31m✗\x1b[0m settings" in doctor(environment=environment(tmp_path, HF_API="?", TERM="xterm"))
    shown = doctor(environment=environment(tmp_path, HF_API="?", NO_COLOR="1"))
    assert shown.startswith("FAIL settings")
    assert "\x1b" not in shown


def test_it_sees_a_worker_that_runs(tmp_path: Path, rehearsal: Rehearsal) -> None:
    given = environment(tmp_path, HF_BASE_URL=rehearsal.base_url)
    settings = Settings(chartq_home=tmp_path / "home")
    worker = subprocess.Popen(
        [sys.executable, "-m", "worker.main", "worker"], cwd=tmp_path, env=given, stderr=subprocess.DEVNULL
    )
    try:
        with embedded_redis(settings.chartq_home):  # else the checks would start and end it each time
            eventually(lambda: check_redis(settings)[1] == Check("workers", True, "1 running"))
    finally:
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0


# --- Queue, store, folders -------------------------------------------------------------------------------


def test_a_redis_that_would_drop_jobs_or_is_nearly_full_is_told(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as socket, closing(redis.Redis(unix_socket_path=str(socket))) as client:
        settings = Settings(chartq_home=tmp_path, redis_url=Secret(f"unix://{socket}"))
        assert check_redis(settings)[0].ok is True
        client.config_set("maxmemory-policy", "allkeys-lru")
        evicting = check_redis(settings)[0]
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.05))
        nearly_full = check_redis(settings)[0]
        client.config_set("maxmemory", "1mb")
        full = check_redis(settings)[0]
        client.config_set("maxmemory", 0)
        assert client.dbsize() == 0, "it leaves nothing behind"
    assert evicting.ok is None
    assert "allkeys-lru" in evicting.message
    assert "noeviction" in (evicting.todo or "")
    assert (nearly_full.ok, full.ok) == (None, False)
    assert "maxmemory" in (full.todo or "")


def test_a_redis_that_refuses_to_write_is_a_failure(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as socket, closing(redis.Redis(unix_socket_path=str(socket))) as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+reader-pw"], keys=["*"], categories=["+@all", "-@write"]
        )
        settings = Settings(chartq_home=tmp_path, redis_url=Secret(f"unix://reader:reader-pw@{socket}"))
        [server, workers] = check_redis(settings)
    assert (server.ok, workers.ok) == (False, None)
    assert "permission" in server.message
    assert server.todo


def test_the_store_is_opened_and_written_to(tmp_path: Path) -> None:
    settings = Settings(chartq_home=tmp_path / "home")
    assert check_store(settings) == check_store(settings)
    assert "schema version" in check_store(settings).message


def test_a_store_that_is_no_database_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "results.sqlite").write_text("Dear diary, today I was no database at all. " * 40)
    [check] = bounded("store", lambda: [check_store(Settings(chartq_home=tmp_path))])
    assert check.ok is False
    assert "not a database" in check.message
    assert check.todo


def test_a_home_that_cant_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert check_home(Settings(chartq_home=tmp_path / "file" / "home")).ok is False
    assert check_home(Settings(chartq_home=tmp_path / "not" / "yet")).ok is True
    assert not (tmp_path / "not").exists()


def test_a_home_needs_room_only_where_something_is_kept_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.monitoring.checks.local._LITTLE_SPACE", 2**63)  # no disk has as much
    here = Settings(chartq_home=tmp_path)
    elsewhere = dataclasses.replace(
        here, redis_url=Secret("redis://elsewhere"), results_url=Secret("sqlite:///elsewhere")
    )
    assert [check_home(settings).ok for settings in (here, elsewhere)] == [None, True]


def test_chart_root_must_be_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    looked_at = [None, tmp_path, tmp_path / "empty", tmp_path / "file", tmp_path / "nowhere"]
    assert [check_chart_root(root).ok for root in looked_at] == [True, True, None, False, False]


def test_a_check_that_hangs_or_breaks_is_given_up_and_the_next_one_goes_on() -> None:
    gate = threading.Event()
    [hung] = bounded("store", lambda: [Check("store", gate.wait(), "")], limit_s=0.05)
    gate.set()
    [broken] = bounded("home", lambda: [Check("home", 1 // 0 == 1, TOKEN)])
    assert (hung.ok, hung.message) == (False, "no answer within 0.05 s")
    assert (broken.ok, broken.message) == (False, "the check itself failed: ZeroDivisionError")


# --- Provider --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "ok", "words"),
    [
        (Scripted({"data": []}), True, "answers"),
        (Scripted({"error": "no"}, 401), True, "answers"),
        (Scripted("", 308, {"Location": "https://elsewhere.example/v1"}), False, "elsewhere.example"),
        (Scripted({"error": "Not Found"}, 404), None, "lists no models"),
        (Scripted({"error": "slow down"}, 429), None, "slow down"),
        (Scripted({"error": "Model org/model is currently loading"}, 503), None, "loading"),
        (Scripted({"error": "broken"}, 500), False, "broken"),
    ],
)
def test_an_endpoint_is_well_if_it_answers(reply: Scripted, ok: bool | None, words: str, transport: Transport) -> None:
    with ScriptedServer(reply) as server:
        there = config(server.url)
        check = check_endpoint(there, reach(there, transport))
    assert (check.ok, words in check.message) == (ok, True), check
    assert (check.todo is None) == (ok is True)
    assert server.seen[0].path == "/v1/models"


def test_an_endpoint_that_isnt_there_fails_and_nobody_asks_it_again(transport: Transport) -> None:
    nowhere = config("http://127.0.0.1:1/v1")
    reached = reach(nowhere, transport)
    endpoint = check_endpoint(nowhere, reached)
    assert endpoint.ok is False
    assert "HF_BASE_URL" in (endpoint.todo or "")
    settings = Settings(hf_base_url="http://127.0.0.1:1/v1", hf_token=Secret(TOKEN))
    others = [check_token(settings, nowhere, reached, transport), check_model(nowhere, reached, transport)]
    assert [check.ok for check in others] == [None, None]


def test_without_a_token_hugging_face_fails_and_other_servers_are_asked(transport: Transport) -> None:
    with ScriptedServer(Scripted({"data": []}), Scripted({"error": "Who are you?"}, 401)) as server:
        there = HFConfig(api_key=None, base_url=server.url)
        settings = Settings(hf_base_url=server.url)
        checks = [check_token(settings, there, reach(there, transport), transport) for _ in range(2)]
        missing = check_token(Settings(), HFConfig(base_url=None), reach(there, transport), transport)
    assert [check.ok for check in checks] == [True, False]
    assert "HF_TOKEN is not set" in checks[1].message
    assert missing.ok is False
    assert "settings/tokens" in (missing.todo or "")


FINE = {"auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"global": ["inference.serverless.write"]}}}}
POOR = {"auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"global": [], "scoped": [{}, "odd"]}}}}


@pytest.mark.parametrize(
    ("reply", "ok", "words"),
    [
        (Scripted({"name": "ada", "orgs": [{"name": "payers"}]}), True, "ada"),
        (Scripted({"name": "ada", "orgs": [{"name": "payers"}], **FINE}), True, "ada"),
        (Scripted({"name": "ada", "orgs": [{"name": "payers"}], **POOR}), None, "Inference Providers"),
        (Scripted({"name": "ada", "orgs": [{"name": "others"}]}), None, "HF_BILL_TO=payers"),
        (Scripted({"error": "Invalid username or password."}, 401), False, "refused"),
        (Scripted({"error": "slow down"}, 429), None, "can't be checked"),
        (Scripted(b"<html>"), None, "can't be checked"),
        (Scripted([]), None, "HF_BILL_TO"),
    ],
)
def test_hugging_face_is_asked_who_the_token_is(
    reply: Scripted, ok: bool | None, words: str, transport: Transport
) -> None:
    with ScriptedServer(reply) as server:
        hub = server.url.removesuffix("/v1")
        check = check_hub_token(config(None, bill_to="payers"), transport, hub)
    assert (check.ok, words in check.message) == (ok, True), check
    assert server.seen[0].path == "/api/whoami-v2"
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("model", "ok", "words"),
    [
        ("org/model", True, "served by rehearsal, from $0.15 in"),
        ("meta-llama/Llama-3.1-8B-Instruct", False, "takes no images"),
        ("org/other", False, "is not served"),
    ],
)
def test_the_model_must_be_served_and_take_images(model: str, ok: bool, words: str, transport: Transport) -> None:
    with Rehearsal(Behaviour(models=["org/model", "meta-llama/Llama-3.1-8B-Instruct"])) as server:
        there = config(server.base_url, model_id=model)
        check = check_model(there, reach(there, transport), transport)
    assert (check.ok, words in check.message) == (ok, True), check
    assert ok or "chartq models" in (check.todo or "")


def test_a_server_that_doesnt_tell_about_images_is_a_hint(transport: Transport) -> None:
    with ScriptedServer(Scripted({"data": [{"id": "org/model"}]})) as server:
        there = config(server.url)
        check = check_model(there, reach(there, transport), transport)
    assert (check.ok, "doesn't tell" in check.message) == (None, True), check


def test_the_classic_api_is_asked_about_its_model(transport: Transport) -> None:
    with Rehearsal(Behaviour(token=TOKEN)) as server:
        there = config(server.root_url, api="task")
        reached = reach(there, transport)
        checks = [check_endpoint(there, reached), check_model(there, reached, transport)]
    assert [check.ok for check in checks] == [True, True], checks
