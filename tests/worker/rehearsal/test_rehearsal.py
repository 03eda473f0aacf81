"""The rehearsal server keeps its promises: behaviour, budgets, record, and clients that we didn't write."""

import base64
import hashlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import huggingface_hub
import openai
import pytest
import requests
from click.testing import CliRunner
from PIL import Image, ImageDraw
from support.faults import by_prompt
from support.ports import free_port
from support.repository import ROOT
from support.stack import PATIENCE_S, eventually

from jobs.schemas import CHART as CHART_SCHEMA
from jobs.schemas.validator import Checker
from worker.rehearsal import Behaviour, Fault, ParsedRequest, Rehearsal
from worker.rehearsal.__main__ import main, parse_budgets
from worker.rehearsal.behaviour import MisfitKind
from worker.rehearsal.budget import Budget
from worker.rehearsal.fake_json import fit
from worker.rehearsal.fake_vision import look_at
from worker.rehearsal.fault_plan import FaultPlan
from worker.rehearsal.refusals import hint_headers

MODEL = "Qwen/Qwen3-VL-30B-A3B-Instruct"
BEHAVIOUR = Behaviour()
#: Generous: for machines that do other things as well.


def chart(rise: int = 200, *, form: str = "PNG") -> bytes:
    """A line that rises by so many of 240 pixels, with a title, a grid and an axis."""
    image = Image.new("RGB", (320, 240), "white")
    pen = ImageDraw.Draw(image)
    for y in range(40, 220, 30):
        pen.line([(10, y), (290, y)], fill=(225, 225, 225))
    pen.text((10, 5), "Rehearsal Inc. 1D", fill="black")
    pen.line([(10, 215), (290, 215)], fill="black")
    pen.line([(10, 125 + rise // 2.5), (290, 125 - rise // 2.5)], fill=(20, 90, 200), width=3)
    data = io.BytesIO()
    image.save(data, form)
    return data.getvalue()


CHART = chart()
CHART_SHA256 = hashlib.sha256(CHART).hexdigest()
DATA_URI = "data:image/png;base64," + base64.b64encode(CHART).decode()


def messages(prompt: str = "Which trend?", uri: str = DATA_URI) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": uri}}
    return [{"role": "user", "content": [{"type": "text", "text": prompt}, image]}]


def ask(server: Rehearsal, prompt: str = "Which trend?", *, token: str = "hf_a", **more: Any) -> requests.Response:
    body = {"model": MODEL, "messages": messages(prompt), **more}
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(f"{server.base_url}/chat/completions", json=body, headers=headers, timeout=PATIENCE_S)


def content_of(response: requests.Response) -> str:
    return str(response.json()["choices"][0]["message"]["content"])


@pytest.fixture
def hub(server: Rehearsal) -> Iterator[huggingface_hub.InferenceClient]:
    with huggingface_hub.InferenceClient(base_url=server.base_url, api_key="hf_a", timeout=PATIENCE_S) as client:
        yield client
    huggingface_hub.close_session()


@pytest.fixture
def oai(server: Rehearsal) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="hf_a", max_retries=0, timeout=PATIENCE_S) as client:
        yield client


# --- Answers ---------------------------------------------------------------------------------------------


def test_every_answer_says_that_it_is_a_rehearsal(server: Rehearsal) -> None:
    server.behave(first_faults=[None, 429, 502, "html"])
    replies = [ask(server) for _ in range(4)] + [requests.get(server.root_url, timeout=PATIENCE_S)]
    assert [reply.headers["x-chartq-rehearsal"] for reply in replies] == ["1"] * 5
    assert all(reply.headers["x-inference-provider"] == "rehearsal" for reply in replies)
    assert all(reply.headers["x-request-id"] for reply in replies)
    assert content_of(replies[0]).startswith("[rehearsal]")


@pytest.mark.parametrize(("rise", "trend"), [(200, "up"), (-200, "down"), (0, "sideways")])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_answer_comes_from_the_pixels(rise: int, trend: str, form: str) -> None:
    glance = look_at(chart(rise, form=form))
    assert (glance.trend, glance.width, glance.height, glance.format) == (trend, 320, 240, form)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 400), (400, 1)])
def test_the_smallest_images_are_looked_at_without_complaint(size: tuple[int, int]) -> None:
    data = io.BytesIO()
    Image.new("RGB", size).save(data, "PNG")
    assert look_at(data.getvalue()).trend == "sideways"


def test_the_answer_is_the_same_each_time_and_repeats_the_question(server: Rehearsal) -> None:
    first, second = content_of(ask(server)), content_of(ask(server))
    assert first == second
    assert "trend up" in first
    assert "320x240 PNG" in first
    assert '"Which trend?"' in first


def test_what_is_no_image_is_refused_as_the_job_s_own_fault(server: Rehearsal) -> None:
    uri = "data:image/png;base64," + base64.b64encode(b"not an image").decode()
    reply = ask(server, messages=messages(uri=uri))
    assert reply.status_code == 400
    server.behave(look=False)
    assert ask(server, messages=messages(uri=uri)).status_code == 200


def test_a_json_schema_gets_an_answer_that_fits_it(server: Rehearsal) -> None:
    schema = {"type": "object", "properties": {"trend": {"enum": ["bearish", "bullish"]}, "why": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "t", "schema": schema, "strict": True}}
    answer = json.loads(content_of(ask(server, response_format=wanted)))
    assert answer["trend"] == "bullish"
    assert answer["why"].startswith("[rehearsal]")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "minimum": 0, "maximum": 1}, 0.5),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["x", "x"]),
        ({"type": ["string", "null"]}, "x"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"const": 7}, 7),
        ({"type": "number", "maximum": -2}, -2.0),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": ["null", "string"], "minLength": 3}, "x.."),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 0}, []),
        ({"type": "object", "properties": {"a": True}, "additionalProperties": False}, {"a": "x"}),
        ({"type": "object", "additionalProperties": False}, {}),
        ({"type": "object"}, {"answer": "x"}),
        ({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"enum": ["one", "two"]}}}, {"a": "one"}),
    ],
)
def test_simple_schemas_are_filled(schema: dict[str, Any], value: Any) -> None:
    assert fit(schema, "x") == value


def test_a_schema_that_refers_to_itself_is_filled_to_an_end() -> None:
    tree = {"type": "object", "properties": {"name": {"type": "string"}, "child": {"$ref": "#"}}, "required": ["name"]}
    value = fit(tree, "long", short="short")
    assert (value["name"], value["child"]["name"]) == ("long", "short")
    assert Checker(tree).mismatch(value) is None
    assert fit({"$ref": "#"}, "x") is not None


def test_the_chart_schema_is_answered_from_the_pixels(server: Rehearsal) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "chart", "schema": CHART_SCHEMA, "strict": True}}
    said = json.loads(content_of(ask(server, response_format=wanted)))
    assert Checker(CHART_SCHEMA).mismatch(said) is None
    assert (said["trend"], said["support"]) == ("up", [])
    assert said["summary"].startswith("[rehearsal]")
    server.behave(look=False)
    unseen = json.loads(content_of(ask(server, response_format=wanted)))
    assert (unseen["trend"], Checker(CHART_SCHEMA).mismatch(unseen)) == ("unclear", None)


@pytest.mark.parametrize(
    "schema", [CHART_SCHEMA, {"type": "object"}, {"type": "object", "properties": {"a": {"const": 1}}}]
)
@pytest.mark.parametrize("fault", get_args(MisfitKind))
def test_misfits_fit_no_schema_and_are_ordinary_answers_otherwise(
    server: Rehearsal, fault: Fault, schema: dict[str, Any]
) -> None:
    server.behave(fault=fault)
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    said = content_of(ask(server, response_format=wanted))
    with suppress(ValueError):
        assert Checker(schema).mismatch(json.loads(said)) or schema == {"type": "object"}
    assert server.record[0].status == 200
    assert "[rehearsal]" in said or fault == "cut-short"
    assert content_of(ask(server)).startswith("[rehearsal] Not a model's answer.")


def test_the_reply_names_the_model_without_its_provider(server: Rehearsal) -> None:
    assert ask(server, model=f"{MODEL}:together").json()["model"] == MODEL
    assert server.record[0].model == f"{MODEL}:together"


# --- Budgets, on a clock of our own ---------------------------------------------------------------------


def test_a_fixed_window_is_full_until_it_ends() -> None:
    budget = Budget(2, 5.0, "fixed")
    waits_s = [budget.take(now) for now in (100.0, 101.0, 102.0, 104.9, 105.0)]
    assert waits_s == pytest.approx([0.0, 0.0, 3.0, 0.1, 0.0])


def test_fixed_windows_lie_in_a_row_from_the_first_call_on() -> None:
    budget = Budget(1, 5.0, "fixed")
    assert [budget.take(now) for now in (0.0, 9.0, 10.0)] == [0.0, 0.0, 0.0]


def test_a_sliding_window_moves_with_the_calls_of_which_the_refused_ones_count() -> None:
    budget = Budget(2, 5.0, "sliding")
    assert [budget.take(now) for now in (0.0, 3.0, 4.0, 5.0, 10.0)] == pytest.approx([0.0, 0.0, 4.0, 4.0, 0.0])


def asked(token: str = "a", model: str = MODEL, prompt: str = "") -> ParsedRequest:
    return ParsedRequest(kind="chat", model=model, token=token, prompt=prompt)


def test_each_token_and_each_model_has_its_own_budget() -> None:
    script = FaultPlan(Behaviour(budgets=[(1, 60.0)]))
    calls = [asked(), asked("b"), asked(model="x/y"), asked(model=f"{MODEL}:together"), asked()]
    assert [script.decide(call, 0.0).fault for call in calls] == [None, None, None, "throttled", "throttled"]


def test_a_cold_model_loads_from_its_first_call_on() -> None:
    script = FaultPlan(Behaviour(cold_start_s=6.0))
    decisions = [script.decide(asked(), now) for now in (10.0, 12.0, 15.9, 16.0)]
    assert [one.fault for one in decisions] == ["loading", "loading", "loading", None]
    assert decisions[1].wait_s == pytest.approx(4.0)


def test_credits_are_each_token_s_own_and_come_back_when_they_are_changed() -> None:
    script = FaultPlan(Behaviour(credits=1))
    assert [script.decide(asked(token), 0.0).fault for token in "aab"] == [None, 402, None]
    script.behave(Behaviour(credits=2))
    assert script.decide(asked(), 0.0).fault is None


def test_a_refused_call_costs_no_credit() -> None:
    script = FaultPlan(Behaviour(credits=1, fault_for=by_prompt({"bad": 500})))
    assert [script.decide(asked(prompt=prompt), 0.0).fault for prompt in ("bad", "good")] == [500, None]


def test_the_same_budget_goes_on_when_something_else_changes() -> None:
    script = FaultPlan(Behaviour(budgets=[(1, 60.0)]))
    script.decide(asked(), 0.0)
    script.behave(replace(script.behaviour, latency_s=1.0))
    assert script.decide(asked(), 1.0).fault == "throttled"


def test_every_nth_call_fails_by_all_that_was_ordered() -> None:
    script = FaultPlan(Behaviour(fail_every=[(3, 502), (2, "drop")]))
    assert [script.decide(asked(), 0.0).fault for _ in range(6)] == [None, "drop", 502, "drop", None, 502]


@pytest.mark.parametrize(
    ("hints", "headers"),
    [
        ("none", {}),
        ("message", {}),
        ("retry-after", {"Retry-After": "3"}),
        ("retry-after-ms", {"retry-after-ms": "2346"}),
    ],
)
def test_hints_come_in_every_form_and_never_too_short(hints: Any, headers: dict[str, str]) -> None:
    assert hint_headers(hints, 2.3456) == headers


def test_budgets_are_read_as_everywhere() -> None:
    assert parse_budgets("2/m,30/5s") == [(30, 5.0), (2, 60.0)]


@pytest.mark.parametrize("option", ["--budget=0/s", "--fault=200", "--fault=tired", "--fail-every=x", "--hints=maybe"])
def test_a_behaviour_that_makes_no_sense_is_refused(option: str) -> None:
    assert CliRunner().invoke(main, [option]).exit_code == 2


# --- Refusals and faults over the wire -------------------------------------------------------------------


def test_refusals_come_at_once_while_answers_take_their_time(server: Rehearsal) -> None:
    server.behave(latency_s=0.4, budgets=[(1, 60.0)], hints="retry-after")
    assert ask(server).elapsed.total_seconds() >= 0.4
    server.behave(latency_s=60.0)  # nobody waits as long as that
    refused = ask(server)
    assert refused.status_code == 429
    assert 40 <= int(refused.headers["Retry-After"]) <= 60


def test_the_hint_may_stand_in_the_message_alone(server: Rehearsal) -> None:
    server.behave(fault=429, hints="message", hint_s=65.0)
    reply = ask(server)
    assert "try again in 65s" in reply.json()["error"]
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"token": "hf_other"}, 401, "Invalid credentials"),
        ({"fault": "permission"}, 403, "does not have sufficient permissions"),
        ({"fault": "gated"}, 403, "accepting the terms"),
        ({"models": ["a/b"]}, 400, "model_not_supported"),
        ({"credits": 0}, 402, "depleted your monthly included credits"),
        ({"cold_start_s": 20.0}, 503, f"Model {MODEL} is currently loading"),
        ({"max_concurrency": 0}, 429, "Model is overloaded"),
        (
            {"fault_for": lambda asked: 422 if asked.image_sha256 == CHART_SHA256 else None},
            422,
            "Failed to deserialize",
        ),
        ({"fault_for": by_prompt({"trend": 500})}, 500, "Internal server error"),
        ({"fault": 504}, 504, "<h1>504</h1>"),
        ({"fault": 413}, 413, "length limit exceeded"),
    ],
)
def test_each_refusal_has_its_status_and_words(
    server: Rehearsal, settings: dict[str, Any], status: int, words: str
) -> None:
    server.behave(**settings)
    reply = ask(server)
    assert (reply.status_code, words in reply.text) == (status, True), reply.text
    assert [call.status for call in server.record] == [status]


def test_a_loading_model_estimates_how_long(server: Rehearsal) -> None:
    server.behave(cold_start_s=20.0)
    assert ask(server).json()["estimated_time"] == pytest.approx(20.0, abs=1.0)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("null-content", '"content": null'),
        ("empty-content", '"content": ""'),
        ("no-choices", '"choices": []'),
        ("error-in-200", '{"error"'),
        ("html", "<html>"),
        ("broken-json", '"mess'),
    ],
)
def test_a_200_may_be_no_answer(server: Rehearsal, kind: Fault, body: str) -> None:
    server.behave(fault=kind)
    reply = ask(server)
    assert reply.status_code == 200
    assert body in reply.text


@pytest.mark.parametrize("kind", ["drop", "drop-midway"])
def test_a_connection_may_be_dropped(server: Rehearsal, kind: Fault) -> None:
    server.behave(fault=kind)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        ask(server)
    assert [(call.outcome, call.status) for call in server.record] == [(kind, None)]


def test_a_drip_keeps_the_connection_alive_and_the_caller_waiting(server: Rehearsal) -> None:
    server.behave(fault="drip")
    started = time.monotonic()
    with requests.post(
        f"{server.base_url}/chat/completions", json={"model": MODEL, "messages": messages()}, stream=True, timeout=20
    ) as reply:
        assert next(reply.iter_content(8))
    assert time.monotonic() - started < PATIENCE_S


def test_behaviour_changes_while_it_runs(server: Rehearsal) -> None:
    statuses = [ask(server).status_code]
    server.behave(fault=502)
    statuses.append(ask(server).status_code)
    server.behave(fault=None)
    statuses.append(ask(server).status_code)
    assert statuses == [200, 502, 200]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/chat/completions", b"{nonsense", 422, "JSONDecodeError"),
        ("/v1/chat/completions", b"[]", 422, "Failed to deserialize"),
        ("/v1/chat/completions", b'{"model": "m"}', 422, "messages"),
        ("/v1/chat/completions", b'{"model": "m", "messages": "hello"}', 422, "Failed to deserialize"),
        ("/models/a/b", b'{"parameters": {}}', 422, "inputs"),
        ("/models/a/b", b'{"inputs": 1}', 422, "Failed to deserialize"),
        ("/models/a/b", b'{"inputs": {"question": "?"}}', 422, "image"),
        ("/elsewhere", b"{}", 404, "Not Found"),
    ],
)
def test_a_request_that_makes_no_sense_is_turned_away(
    server: Rehearsal, path: str, body: bytes, status: int, words: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = requests.post(server.root_url + path, data=body, headers=headers, timeout=PATIENCE_S)
    assert (reply.status_code, words in reply.text) == (status, True), reply.text
    assert (server.record[0].status, reply.headers["Connection"]) == (status, "close")


# --- Record, capacity, beginning and end -----------------------------------------------------------------


def test_the_record_tells_what_was_asked_and_never_the_token_or_the_pixels(server: Rehearsal) -> None:
    ask(server, token="hf_secret", max_tokens=50)
    [call] = server.record
    assert (call.path, call.model, call.prompt) == ("/v1/chat/completions", MODEL, "Which trend?")
    assert (call.image_sha256, call.image_size, call.image_format) == (CHART_SHA256, (320, 240), "PNG")
    assert (call.status, call.outcome, call.concurrent) == (200, "answer", 1)
    assert next(iter(call.body)) == "model"
    assert call.body["max_tokens"] == 50
    published = requests.get(f"{server.root_url}/rehearsal/record", timeout=PATIENCE_S).text
    assert json.loads(published)["calls"][0]["prompt"] == "Which trend?"
    assert "hf_secret" not in published + repr(server.record)
    assert DATA_URI[30:60] not in published


def test_a_call_that_has_ended_makes_room_for_the_next(server: Rehearsal) -> None:
    server.behave(max_concurrency=1, first_faults=[None, 500, "drop-midway"])
    for _ in range(2):
        ask(server)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(server)
    eventually(lambda: ask(server).status_code == 200)
    assert server.record[0].concurrent == server.record[1].concurrent == 1


def test_the_clients_own_id_comes_back_inside_the_request_id(server: Rehearsal) -> None:
    body = {"model": MODEL, "messages": messages()}
    headers = {"X-Amzn-Trace-Id": "job-7"}
    reply = requests.post(f"{server.base_url}/chat/completions", json=body, headers=headers, timeout=PATIENCE_S)
    assert reply.headers["x-request-id"].endswith(";job-7")
    assert server.record[0].headers["x-amzn-trace-id"] == "job-7"


def test_the_record_knows_the_busiest_interval(server: Rehearsal) -> None:
    for _ in range(3):
        ask(server)
    assert server.record.most_within(60.0) == 3
    assert server.record.with_status(200) == 3
    server.record.clear()
    assert len(server.record) == 0


def test_two_hundred_calls_are_held_at_once() -> None:
    server = Rehearsal(Behaviour(fault="hang", look=False)).start()
    with ThreadPoolExecutor(200) as pool:
        held = [pool.submit(ask, server) for _ in range(200)]
        eventually(lambda: server.record.most_concurrent == 200)
        server.stop()
        assert all(isinstance(one.exception(), requests.ConnectionError) for one in held)


def test_stopping_is_quick_even_with_calls_that_hang_and_the_port_stays() -> None:
    server = Rehearsal(Behaviour(fault="hang"), port=free_port()).start()
    url = server.base_url
    with ThreadPoolExecutor(5) as pool:
        hanging = [pool.submit(ask, server) for _ in range(5)]
        eventually(lambda: len(server.record) == 5)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < PATIENCE_S
        assert all(isinstance(one.exception(timeout=PATIENCE_S), requests.ConnectionError) for one in hanging)
    with pytest.raises(requests.ConnectionError):
        ask(server)
    server.behave(fault=None)
    with server:
        assert server.base_url == url
        assert ask(server).status_code == 200
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rehearsal-")]


def test_what_it_cuts_off_as_it_stops_is_no_answer_in_the_record() -> None:
    server = Rehearsal(Behaviour(fault="drip"), port=free_port()).start()
    with ThreadPoolExecutor(1) as pool:
        cut_off = pool.submit(ask, server)
        eventually(lambda: [call.status for call in server.record] == [200])
        server.stop()
        assert isinstance(cut_off.exception(timeout=PATIENCE_S), requests.RequestException)
    assert [call.status for call in server.record] == [None]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_on_a_command_line_it_prints_its_address_and_ends_cleanly(ending: signal.Signals) -> None:
    options = ["--latency", "0", "--budget", "1/h,100/s", "--hints", "message"]
    command = [sys.executable, "-m", "worker.rehearsal", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip() + "/chat/completions"
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
        statuses = [requests.post(url, json=body, timeout=PATIENCE_S).status_code for _ in range(2)]
        process.send_signal(ending)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (statuses, process.returncode, errors) == ([200, 429], 0, "")


# --- GETs ------------------------------------------------------------------------------------------------


def test_the_model_list_has_the_router_s_shape(server: Rehearsal) -> None:
    server.behave(models=[MODEL, "meta-llama/Llama-3.1-8B-Instruct"])
    listed = requests.get(f"{server.base_url}/models", timeout=PATIENCE_S).json()
    assert [entry["architecture"]["input_modalities"] for entry in listed["data"]] == [["text", "image"], ["text"]]
    one = requests.get(f"{server.base_url}/models/{MODEL}:fastest", timeout=PATIENCE_S).json()
    assert one == listed["data"][0]
    assert one["providers"][0].keys() >= {"provider", "status", "pricing", "supports_structured_output"}
    assert requests.get(f"{server.base_url}/models/no/such", timeout=PATIENCE_S).status_code == 404
    assert len(server.record) == 0
    assert len(server.record.lookups) == 3


def test_the_classic_status_needs_the_token(server: Rehearsal) -> None:
    server.behave(models=[MODEL], token="hf_a")
    url, headers = f"{server.root_url}/models/{MODEL}", {"Authorization": "Bearer hf_a"}
    assert requests.get(url, headers=headers, timeout=PATIENCE_S).json()["state"] == "Loaded"
    assert requests.get(url, timeout=PATIENCE_S).status_code == 401


# --- Clients that we didn't write ------------------------------------------------------------------------


def test_huggingface_hub_asks_about_an_image(server: Rehearsal, hub: huggingface_hub.InferenceClient) -> None:
    output = hub.chat_completion(messages(), model=MODEL, max_tokens=100)
    assert "trend up" in str(output.choices[0].message.content)
    assert output.usage.prompt_tokens > 100
    assert (server.record[0].model, server.record[0].image_sha256) == (MODEL, CHART_SHA256)


@pytest.mark.parametrize("route", ["/models/", "/hf-inference/models/", "/v1/models/"])
def test_the_documented_task_bodies_work_on_the_task_routes(server: Rehearsal, route: str) -> None:
    url, image = f"{server.root_url}{route}a/b", base64.b64encode(CHART).decode()
    question = {"inputs": {"question": "Which trend?", "image": image}, "parameters": {}}
    assert requests.post(url, json=question, timeout=PATIENCE_S).json()[0]["answer"] == "[rehearsal] up"
    caption = {"inputs": image, "parameters": {"max_new_tokens": 20}}
    assert "trend up" in requests.post(url, json=caption, timeout=PATIENCE_S).json()[0]["generated_text"]
    text = requests.post(url, json={"inputs": "Hello"}, timeout=PATIENCE_S).json()[0]["generated_text"]
    assert text.startswith("[rehearsal]")
    calls = [(call.model, call.prompt, call.image_sha256) for call in server.record if call.status == 200]
    assert calls == [("a/b", "Which trend?", CHART_SHA256), ("a/b", "", CHART_SHA256), ("a/b", "Hello", None)]
    server.behave(models=[])
    assert requests.post(url, json=caption, timeout=PATIENCE_S).status_code == 404
    assert image[:40] not in repr(server.record)


def test_openai_asks_about_an_image(oai: openai.OpenAI) -> None:
    completion = oai.chat.completions.create(model=MODEL, messages=messages())  # type: ignore[arg-type]
    assert "trend up" in str(completion.choices[0].message.content)
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_openai_lists_and_finds_models(oai: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in oai.models.list()]
    assert oai.models.retrieve(MODEL).id == MODEL
