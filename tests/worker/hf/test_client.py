"""The Hugging Face client from the outside: the promises of its README, against a real server."""

import base64
import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.hf_server import JPEG, PNG, Scripted, ScriptedServer, chat_reply

from worker.hf.client import MAX_WAIT_S
from worker.hf.config import DEFAULT_BASE_URLS
from worker.hf_client import (
    DEFAULT_TEXT_MODEL,
    DEFAULT_VISION_MODEL,
    HFAPIError,
    HFAuthenticationError,
    HFBadAnswerError,
    HFConfig,
    HFCreditsError,
    HFGatedModelError,
    HFModelLoadingError,
    HFModelNotFoundError,
    HFPermissionError,
    HFRateLimitError,
    HFRefusalError,
    HFRequestError,
    HFServerError,
    HFUnreachableError,
    HuggingFaceClient,
    create_text_client,
    create_vision_client,
)

TOKEN = "hf_secretsecret"
UP = Scripted(chat_reply("Up."))
MakeClient = Callable[..., HuggingFaceClient]


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_BASE_URL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def waits() -> list[float]:
    """What the clients of `client` slept, in seconds; they don't really sleep."""
    return []


@pytest.fixture
def client(waits: list[float]) -> Iterator[MakeClient]:
    made: list[HuggingFaceClient] = []

    def make(server: ScriptedServer, **overrides: Any) -> HuggingFaceClient:
        values: dict[str, Any] = {"api_key": TOKEN, "model_id": "org/model", "timeout": 5, "base_url": server.url}
        made.append(HuggingFaceClient(HFConfig(**{**values, **overrides}), sleep=waits.append))
        return made[-1]

    yield make
    for one in made:
        one.close()


# Configuration


def test_the_defaults_are_the_routers() -> None:
    config = HFConfig(api_key=TOKEN)
    assert (config.timeout, config.max_retries, config.retry_delay) == (120, 2, 2)
    assert config.url_of("chat") == "https://router.huggingface.co/v1"
    assert config.url_of("task") == "https://router.huggingface.co/hf-inference"


def test_hf_base_url_is_taken_for_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_BASE_URL", "http://localhost:8080/v1/")
    config = HFConfig(api_key=TOKEN)
    assert config.url_of("chat") == config.url_of("task") == "http://localhost:8080/v1"
    assert HFConfig(base_url="http://other/v1").base_url == "http://other/v1"
    assert HFConfig(base_url=None).url_of("chat") == DEFAULT_BASE_URLS["chat"]


def test_a_pasted_route_is_cut_down_to_its_base() -> None:
    assert HFConfig(base_url="https://x.example/v1/chat/completions").base_url == "https://x.example/v1"


@pytest.mark.parametrize(
    "values",
    [
        {"api_key": "hf_secret secret"},
        {"api_key": "hf_secret\nX-Evil: 1"},
        {"api_key": "hf_secretü"},
        {"bill_to": "a\r\nb"},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"retry_delay": -1},
        {"max_retries": -1},
        {"pool_size": 0},
        {"api": "grpc"},
        {"task": "image-to-video"},
        {"base_url": "router.huggingface.co"},
        {"base_url": "ftp://host/v1"},
        {"base_url": "http://:80"},
        {"base_url": "http://host:99999"},
        {"base_url": "http://[::1"},
        {"base_url": "https://user:secret@host/v1"},
        {"base_url": "https://host/v1?token=secret"},
    ],
)
def test_what_cannot_be_used_is_refused_without_showing_secrets(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))) as caught:
        HFConfig(**values)
    assert "secret" not in str(caught.value)


def test_white_space_around_a_token_is_a_copying_accident() -> None:
    assert HFConfig(api_key=f" {TOKEN}\n").api_key == TOKEN


def test_the_token_is_never_shown() -> None:
    client = create_vision_client(TOKEN)
    client.close()
    assert TOKEN not in f"{client!r} {client.config!r} {client.config} {vars(client)}"


# Initialisation and convenience functions


def test_convenience_functions_have_a_model_that_is_served_today() -> None:
    with create_vision_client("hf_xxx") as vision, create_text_client("hf_xxx") as text:
        assert vision.config.model_id == DEFAULT_VISION_MODEL
        assert text.config.model_id == DEFAULT_TEXT_MODEL


def test_convenience_functions_swap_models_and_take_settings() -> None:
    with create_vision_client("hf_xxx", "org/other", timeout=45, max_retries=3) as client:
        assert (client.config.model_id, client.config.timeout, client.config.max_retries) == ("org/other", 45, 3)


# Vision


def test_an_image_is_sent_as_the_api_wants_it(client: MakeClient) -> None:
    with ScriptedServer(UP) as server:
        result = client(server, bill_to="my-org").query_vision_model(PNG, "Which way?")
    seen = server.seen[0]
    assert result == {**chat_reply("Up."), "generated_text": "Up."}
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["X-HF-Bill-To"] == "my-org"
    assert seen.headers["User-Agent"].startswith("chartq")
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.body.startswith(b'{"model":"org/model"')
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert seen.json == {
        "model": "org/model",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "Which way?"}, {"type": "image_url", "image_url": {"url": url}}],
            }
        ],
        "max_tokens": 1024,
        "stream": False,
    }


@pytest.mark.parametrize(
    ("image", "mime"),
    [
        (JPEG, "image/jpeg"),
        (b"GIF89a...", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0 ftypavif\0\0\0\0", "image/avif"),
        (b"\0\0\0 ftypheic\0\0\0\0", "image/heic"),
        (b"BM......", "image/bmp"),
        (b"II*\0....", "image/tiff"),
        (b"?", "image/jpeg"),
        (base64.b64encode(PNG).decode(), "image/png"),
        ("data:image/png;base64," + base64.b64encode(PNG).decode(), "image/png"),
        (base64.encodebytes(PNG * 9).decode(), "image/png"),
        (base64.urlsafe_b64encode(JPEG).decode().rstrip("="), "image/jpeg"),
        (base64.b64encode(PNG), "image/png"),
        (base64.encodebytes(JPEG * 9), "image/jpeg"),
        (b"data:image/png;base64," + base64.b64encode(PNG), "image/png"),
        (" DATA:image/png;base64," + base64.b64encode(PNG).decode(), "image/png"),
        (memoryview(PNG), "image/png"),
        pytest.param(b" " * 1_000_000 + b"!", "image/jpeg", id="neither, seen at once"),
    ],
)
def test_images_come_as_bytes_or_base64_and_know_their_type(client: MakeClient, image: bytes | str, mime: str) -> None:
    with ScriptedServer(UP) as server:
        client(server).query_vision_model(image, "Which way?")
    url = server.seen[0].json["messages"][0]["content"][1]["image_url"]["url"]
    assert url.startswith(f"data:{mime};base64,")
    base64.b64decode(url.partition(",")[2], validate=True)


@pytest.mark.parametrize("image", [b"", "", "not base64!", "äöü", "https://example.com/chart.png"])
def test_what_is_no_image_is_refused_uncalled(client: MakeClient, image: bytes | str) -> None:
    with ScriptedServer(UP) as server, pytest.raises(HFRequestError):
        client(server).query_vision_model(image, "Which way?")
    assert server.seen == []


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"temperature": 0.2, "seed": 7}, {"temperature": 0.2, "seed": 7, "max_tokens": 1024}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
        ({"max_new_tokens": 500, "do_sample": True, "top_p": 0.9}, {"max_tokens": 500, "top_p": 0.9}),
        ({"max_length": 200, "do_sample": False}, {"max_tokens": 200, "temperature": 0}),
        ({"extra_body": {"enable_thinking": False, "max_tokens": 9}}, {"enable_thinking": False, "max_tokens": 9}),
        ({"stream": False}, {"max_tokens": 1024}),
        ({"response_format": {"type": "text"}}, {"response_format": {"type": "text"}, "max_tokens": 1024}),
    ],
)  # fmt: skip
def test_parameters_pass_through(client: MakeClient, parameters: dict[str, Any], expected: dict[str, Any]) -> None:
    with ScriptedServer(UP) as server:
        client(server).query_vision_model(JPEG, "Which way?", parameters=parameters)
    sent = server.seen[0].json
    assert {name: value for name, value in sent.items() if name not in ("model", "messages", "stream")} == expected
    assert sent["stream"] is False


@pytest.mark.parametrize(
    "parameters",
    [{"stream": True}, {"model": "x"}, {"messages": []}, {"extra_body": {"stream": True}}, {"extra_body": 1},
     {"n": 100}, {"extra_body": {"n": 100}}, {"extra_body": {"model": "x"}}, {"extra_body": {"best_of": 2}},
     {"temperature": float("nan")}, {"stop": {1, 2}}, {"extra_body": {"extra_body": {"n": 5}}}],
)  # fmt: skip
def test_parameters_that_cannot_be_sent_are_refused(client: MakeClient, parameters: dict[str, Any]) -> None:
    with ScriptedServer(UP) as server, pytest.raises(HFRequestError):
        client(server).query_vision_model(JPEG, "Which way?", parameters=parameters)


def test_a_prompt_is_data_whatever_it_holds(client: MakeClient) -> None:
    prompt = 'a "quoted"\n\0 "}]}],"model":"other" \ud800 é 🙂'
    with ScriptedServer(UP) as server:
        client(server).query_vision_model(JPEG, prompt)
    sent = server.seen[0].json
    assert sent["messages"][0]["content"][0]["text"] == prompt
    assert sent["model"] == "org/model"


def test_a_conversation_goes_as_it_is_with_the_picture_in_its_place(client: MakeClient) -> None:
    def messages(url: str) -> list[dict[str, Any]]:
        picture = {"type": "image_url", "image_url": {"detail": "high", "url": url}}
        return [
            {"role": "system", "content": 'Be "brief" {chart} \ud800'},
            {"role": "user", "content": [{"type": "text", "text": '"url":"{chart}"'}, picture]},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "user", "content": "{chart}?"},
        ]

    with ScriptedServer(UP, UP) as server:
        one = client(server)
        one.ask(model="org/model", prompt="unused", images=[PNG], messages=messages("{chart}"))
        one.ask(model="org/model", prompt="unused", images=[PNG], messages=messages(""), parameters={"max_tokens": 5})
        with pytest.raises(HFRequestError, match="0 image_url parts for 1 pictures"):
            one.ask(model="org/model", prompt="unused", images=[PNG], messages=[{"role": "user", "content": "Up?"}])
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    sent = server.seen[0].json
    assert sent == {"model": "org/model", "messages": messages(url), "max_tokens": 1024, "stream": False}
    assert server.seen[0].body.startswith(b'{"model":"org/model"')
    assert server.seen[1].json == {**sent, "max_tokens": 5}


def test_a_models_provider_suffix_is_kept(client: MakeClient) -> None:
    with ScriptedServer(UP) as server:
        client(server).query_vision_model(JPEG, "Which way?", model_id="org/other:novita")
    assert server.seen[0].json["model"] == "org/other:novita"


def test_without_a_token_there_is_no_authorization(client: MakeClient) -> None:
    with ScriptedServer(UP) as server:
        client(server, api_key=None).query_vision_model(JPEG, "Which way?")
    assert "Authorization" not in server.seen[0].headers


# Text and the classic API


def test_a_text_model_gives_a_string(client: MakeClient) -> None:
    with ScriptedServer(Scripted(chat_reply("<think>hm</think> It rises."))) as server:
        text = client(server).query_text_model("Analyse.", parameters={"max_new_tokens": 500})
    assert text == "It rises."
    assert server.seen[0].json["messages"] == [{"role": "user", "content": "Analyse."}]


@pytest.mark.parametrize(
    ("task", "reply", "inputs"),
    [
        ("visual-question-answering", [{"score": 0.9, "answer": "up"}],
         {"question": "Which way?", "image": base64.b64encode(JPEG).decode()}),
        ("image-to-text", [{"generated_text": "up"}], base64.b64encode(JPEG).decode()),
    ],
)  # fmt: skip
def test_the_classic_bodies_of_an_image(client: MakeClient, task: str, reply: Any, inputs: Any) -> None:
    with ScriptedServer(Scripted(reply)) as server:
        result = client(server, api="task", task=task).query_vision_model(JPEG, "Which way?", "org/a b")
    assert result == {"results": reply, "generated_text": "up"}
    assert server.seen[0].path == "/v1/models/org/a%20b"
    assert server.seen[0].json == {"inputs": inputs, "parameters": {}}


def test_the_classic_body_of_a_text(client: MakeClient) -> None:
    with ScriptedServer(Scripted([{"generated_text": "It rises."}])) as server:
        text = client(server, api="task").query_text_model("Analyse.", parameters={"max_new_tokens": 9})
    assert text == "It rises."
    assert server.seen[0].json == {"inputs": "Analyse.", "parameters": {"max_new_tokens": 9}}


@pytest.mark.parametrize("model", ["../admin", "a//b", "", "a\nb", "."])
def test_a_model_id_is_no_way_to_other_paths(client: MakeClient, model: str) -> None:
    with ScriptedServer(UP) as server, pytest.raises(HFModelNotFoundError):
        client(server, api="task").ask(model=model, prompt="Which way?", images=[JPEG])


# One call


def test_ask_makes_one_call_and_keeps_what_is_worth_keeping(client: MakeClient) -> None:
    headers = {"x-request-id": "Root=1;trace-1", "x-inference-provider": "novita", "x-chartq-rehearsal": "1"}
    with ScriptedServer(Scripted(chat_reply("Up."), headers=headers)) as server:
        answer = client(server).ask(
            model="m", prompt="Which way?", images=[JPEG], parameters={}, api="chat", trace_id="trace-1\r\nX: 1"
        )
    assert (answer.text, answer.provider, answer.request_id) == ("Up.", "novita", "Root=1;trace-1")
    assert answer.rehearsal
    assert server.seen[0].headers["X-Amzn-Trace-Id"] == "trace-1X: 1"


def test_ask_never_retries(client: MakeClient, waits: list[float]) -> None:
    with ScriptedServer(Scripted({}, 429, {"Retry-After": "1"})) as server, pytest.raises(HFRateLimitError) as caught:
        client(server).ask(model="m", prompt="Which way?")
    assert (len(server.seen), waits, caught.value.hint_s) == (1, [], 1.0)


# Errors


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "no", "code": "model_not_supported"}}, HFModelNotFoundError),
        (400, {"error": ["Invalid image"]}, HFRequestError),
        (401, {"error": "Invalid username or password."}, HFAuthenticationError),
        (402, {"error": "credits"}, HFCreditsError),
        (403, {"error": "does not have sufficient permissions"}, HFPermissionError),
        (403, {"error": "accept the terms"}, HFGatedModelError),
        (404, {"error": "Model not found"}, HFModelNotFoundError),
        (413, b"too large", HFRequestError),
        (302, b"", HFModelNotFoundError),
    ],
)
def test_what_will_not_pass_is_raised_at_once(
    client: MakeClient, waits: list[float], status: int, body: Any, kind: type[HFAPIError]
) -> None:
    with ScriptedServer(Scripted(body, status, {"x-request-id": "r1"})) as server, pytest.raises(HFAPIError) as caught:
        client(server).query_vision_model(JPEG, "Which way?")
    assert type(caught.value) is kind
    assert (caught.value.status_code, caught.value.request_id) == (status, "r1")
    assert (len(server.seen), waits) == (1, [])
    assert vars(pickle.loads(pickle.dumps(caught.value))) == vars(caught.value)


def test_the_tree_is_the_one_of_the_chartsense_client() -> None:
    for kind in (HFAuthenticationError, HFModelNotFoundError, HFRateLimitError, HFModelLoadingError):
        assert issubclass(kind, HFAPIError)
    assert issubclass(HFPermissionError, HFAuthenticationError)


# Retries


@pytest.mark.parametrize(
    ("bad", "least_s", "most_s"),
    [
        (Scripted({"error": "slow down"}, 429, {"Retry-After": "7"}), 7, 7),
        (Scripted({"error": "slow down"}, 429), 1, 2),
        (Scripted({"error": "Model a is currently loading", "estimated_time": 20.0}, 503), 20, 20),
        (Scripted({"error": "Model a is currently loading", "estimated_time": 900.0}, 503), MAX_WAIT_S, MAX_WAIT_S),
        (Scripted(b"<h1>502</h1>", 502), 1, 2),
        (Scripted({"error": "x"}, 500, {"Retry-After": "3000"}), MAX_WAIT_S, MAX_WAIT_S),
        (Scripted(chat_reply(None)), 1, 2),
    ],
)  # fmt: skip
def test_what_may_pass_is_tried_again_after_the_hint(
    client: MakeClient, waits: list[float], bad: Scripted, least_s: float, most_s: float
) -> None:
    with ScriptedServer(bad, UP) as server:
        assert client(server).query_vision_model(JPEG, "Which way?")["generated_text"] == "Up."
    assert len(server.seen) == 2
    assert server.seen[0].body == server.seen[1].body
    assert least_s <= waits[0] <= most_s


def test_an_answer_that_would_be_the_same_again_is_not_asked_for_again(client: MakeClient, waits: list[float]) -> None:
    declined = chat_reply(None)
    declined["choices"][0]["message"]["refusal"] = "No."
    with ScriptedServer(Scripted(declined), UP) as server, pytest.raises(HFRefusalError):
        client(server).query_vision_model(JPEG, "Which way?")
    assert (len(server.seen), waits) == (1, [])


def test_nobody_is_kept_waiting_for_an_hour(client: MakeClient, waits: list[float]) -> None:
    refused = Scripted({}, 429, {"Retry-After": "1800"})
    with ScriptedServer(refused, UP) as server, pytest.raises(HFRateLimitError) as caught:
        client(server).query_text_model("Analyse.")
    assert (caught.value.hint_s, len(server.seen), waits) == (1800.0, 1, [])


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_retries_end(client: MakeClient, waits: list[float], max_retries: int) -> None:
    with ScriptedServer(Scripted({"error": "broken"}, 500)) as server, pytest.raises(HFServerError):
        client(server, max_retries=max_retries, retry_delay=1).query_text_model("Analyse.")
    assert len(server.seen) == max_retries + 1
    assert all(0.5 * 2**n <= wait_s <= 2**n for n, wait_s in enumerate(waits))
    assert len(waits) == max_retries


def test_a_server_that_is_down_is_tried_again(client: MakeClient, waits: list[float]) -> None:
    with ScriptedServer(UP) as server:
        pass
    with pytest.raises(HFUnreachableError):
        client(server).query_text_model("Analyse.")
    assert len(waits) == 2


def test_a_hundred_threads_share_one_client(client: MakeClient) -> None:
    with ScriptedServer(UP) as server:
        shared = client(server, timeout=20, pool_size=100)
        with ThreadPoolExecutor(100) as pool:
            texts = list(pool.map(lambda n: shared.query_text_model(f"{n}"), range(200)))
    assert texts == ["Up."] * 200
    assert sorted(int(seen.json["messages"][0]["content"]) for seen in server.seen) == list(range(200))


# Model status

PROVIDERS = [
    {"provider": "novita", "status": "live", "context_length": 131_072, "pricing": {"input": 0.2, "output": 0.7},
     "supports_structured_output": True},
    {"provider": "deepinfra", "status": "live", "context_length": 262_144, "pricing": {"input": 0.1, "output": 0.9}},
    {"provider": "together", "status": "error"},
]  # fmt: skip
ENTRY = {"id": "org/model", "architecture": {"input_modalities": ["text", "image"]}, "providers": PROVIDERS}
NOT_FOUND = Scripted({"error": "Not Found"}, 404)


def test_the_catalogue_says_who_serves_a_model_and_at_what_price(client: MakeClient) -> None:
    with ScriptedServer(Scripted(ENTRY)) as server:
        info = client(server).model_info("org/model")
        status = client(server).check_model_status()
    assert info.served
    assert info.takes_images
    assert info.structured_output
    assert info.context_length == 262_144
    assert [provider.name for provider in info.live_providers] == ["novita", "deepinfra"]
    assert info.cheapest is not None
    assert (info.cheapest.name, info.cheapest.input_usd_per_m, info.cheapest.output_usd_per_m) == (
        "deepinfra",
        0.1,
        0.9,
    )
    assert status["available"] is True
    assert "error" not in status
    assert server.seen[0].path == "/v1/models/org/model"


def test_the_hub_is_asked_without_the_token_what_the_routers_list_leaves_out(
    client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.hf.catalogue.HUB_URL", "http://huggingface.co")
    mapping = {"org": {"status": "live", "task": "image-text-to-text"}}
    with ScriptedServer(
        Scripted({}, 404), Scripted({"data": []}), Scripted({"inferenceProviderMapping": mapping})
    ) as server:
        monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
        info = client(server, base_url="http://router.huggingface.co/v1").model_info("org/model")
    assert (info.served, info.takes_images) == (True, True)
    asked = [(seen.path, "Authorization" in seen.headers) for seen in server.seen]
    assert asked == [
        ("http://router.huggingface.co/v1/models/org/model", True),
        ("http://router.huggingface.co/v1/models", True),
        ("http://huggingface.co/api/models/org/model?expand%5B%5D=inferenceProviderMapping", False),
    ]


@pytest.mark.parametrize(
    ("replies", "model", "available", "why"),
    [
        ([Scripted({"object": "model", "id": "org/model"})], "org/model", True, ""),
        ([NOT_FOUND, Scripted({"data": [ENTRY]})], "org/model", True, ""),
        ([NOT_FOUND, NOT_FOUND, Scripted({"data": [ENTRY]})], "org/model:novita", True, ""),
        ([NOT_FOUND, NOT_FOUND, Scripted({"data": [ENTRY]})], "org/model:cheapest", True, ""),
        ([NOT_FOUND, NOT_FOUND, Scripted({"data": [ENTRY]})], "org/model:together", False, "live providers: novita"),
        ([NOT_FOUND, NOT_FOUND, Scripted({"data": [{"id": "llava:13b"}]})], "llava:13b", True, ""),
        ([NOT_FOUND, Scripted({"data": [{"id": "other"}]})], "org/model", False, "other models: other"),
        ([NOT_FOUND], "org/model", False, "no models"),
        ([Scripted({"id": "org/model", "providers": []})], "org/model", False, "no provider"),
        ([Scripted({"id": "org/model", "providers": PROVIDERS[2:]})], "org/model", False, "together (error)"),
        ([Scripted({"error": "Invalid credentials"}, 401)], "org/model", False, "Invalid credentials"),
        ([Scripted({"error": "Model is loading", "estimated_time": 9}, 503)], "org/model", False, "loading"),
        ([Scripted(b"<html>", 200)], "org/model", False, "no JSON"),
        ([NOT_FOUND, Scripted({"data": 1})], "org/model", False, "no list"),
        ([UP], "a//b", False, "no model id"),
    ],
)  # fmt: skip
def test_model_status_is_told_not_raised(
    client: MakeClient, replies: list[Scripted], model: str, available: bool, why: str
) -> None:
    with ScriptedServer(*replies) as server:
        status = client(server).check_model_status(model)
    assert status["available"] is available
    assert why in status.get("error", "")
    assert ("error" in status) is not available


@pytest.mark.parametrize(
    ("reply", "available"),
    [
        (Scripted({"state": "Loaded", "loaded": True}), True),
        (Scripted({"state": "Loadable"}), True),
        (Scripted({"state": "TooBig"}), False),
        (Scripted(b"ok"), True),
        (NOT_FOUND, False),
        (Scripted({"error": "Model org/model is currently loading", "estimated_time": 9}, 503), False),
    ],
)
def test_the_status_of_a_model_of_the_classic_api(client: MakeClient, reply: Scripted, available: bool) -> None:
    with ScriptedServer(reply) as server:
        status = client(server, api="task").check_model_status()
    assert status["available"] is available
    assert server.seen[0].path == "/v1/models/org/model"


def test_status_of_a_server_that_is_down(client: MakeClient) -> None:
    with ScriptedServer(UP) as server:
        pass
    status = client(server).check_model_status()
    assert status["available"] is False
    assert "refused" in status["error"]
    json.dumps(status)


def test_the_whole_catalogue(client: MakeClient) -> None:
    with ScriptedServer(Scripted({"data": [ENTRY, {"id": "b"}, "junk", {"id": 7}]})) as server:
        assert [info.id for info in client(server).list_models()] == ["org/model", "b"]


def test_a_bad_answer_has_a_name_of_its_own(client: MakeClient) -> None:
    with ScriptedServer(Scripted({"error": "no GPU"})) as server, pytest.raises(HFBadAnswerError, match="no GPU"):
        client(server, max_retries=0).query_text_model("Analyse.")
