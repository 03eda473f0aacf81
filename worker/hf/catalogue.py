"""Is a model served, by whom, does it take images, at what price: what the servers' catalogues say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from jobs.core.text import label
from worker.hf.config import ROUTER_URL, HFConfig
from worker.hf.error_mapping import context, refusal
from worker.hf.errors import HFBadAnswerError, HFModelNotFoundError, clip
from worker.hf.json_text import as_list, as_object, parse_json
from worker.hf.transport import Reply, Transport

#: Longest wait in seconds for a catalogue: nobody's chart depends on it.
CATALOGUE_TIMEOUT_S = 20.0

HUB_URL = "https://huggingface.co"

#: What may follow a model id on the router besides a provider: ways to choose one.
_POLICIES = ("fastest", "cheapest", "preferred")

#: Classic states of a model that a call will find, or will cause to be loaded.
_USABLE_STATES = ("loaded", "loadable", "")


@dataclass(frozen=True, kw_only=True)
class ProviderInfo:
    """One provider of a model; None: not told."""

    name: str
    #: "live", "error" or the server's word for something else.
    status: str
    #: US dollars per million tokens.
    input_usd_per_m: float | None = None
    output_usd_per_m: float | None = None
    context_length: int | None = None
    structured_output: bool | None = None

    @property
    def is_live(self) -> bool:
        return self.status == "live"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """One model as a server's catalogue describes it; None: not told."""

    id: str
    served: bool
    #: Why it isn't, or what else to know.
    note: str = ""
    providers: tuple[ProviderInfo, ...] = ()
    takes_images: bool | None = None
    #: Largest of the live providers', in tokens.
    context_length: int | None = None

    @property
    def live_providers(self) -> tuple[ProviderInfo, ...]:
        return tuple(provider for provider in self.providers if provider.is_live)

    @property
    def live_names(self) -> list[str]:
        return [provider.name for provider in self.live_providers]

    @property
    def structured_output(self) -> bool | None:
        """True if a live provider supports `response_format`."""
        known = [p.structured_output for p in self.live_providers if p.structured_output is not None]
        return any(known) if known else None

    @property
    def cheapest(self) -> ProviderInfo | None:
        """The live provider with the lowest price of input, which is most of what a chart costs."""
        priced = [provider for provider in self.live_providers if provider.input_usd_per_m is not None]
        return min(priced, key=lambda provider: provider.input_usd_per_m or 0.0, default=None)


def lookup(transport: Transport, config: HFConfig, model: str) -> ModelInfo:
    """What the server says about `model` (a `:provider` suffix is looked at too).

    Chat: `GET {base}/models/{id}`, then the list, then, on Hugging Face, the Hub. Task: the model's own page.
    Raises the HFAPIError of what kept us from knowing; a model that isn't served is no error.
    """
    if config.api == "task":
        return _lookup_task(transport, config, model)
    name, _, choice = model.partition(":")
    # Local servers have colons in their ids (`llava:13b`), so there the id goes first as it stands.
    choices = {name: choice} | {model: ""} if is_router(config) else {model: ""} | {name: choice}
    for candidate, chosen in choices.items():
        if (entry := _entry(transport, config, candidate)) is not None:
            return _chosen(_model_info(entry, model), chosen)
    return _lookup_elsewhere(transport, config, model, choices)


def list_models(transport: Transport, config: HFConfig) -> list[ModelInfo]:
    """Every model in the server's list. Raises HFAPIError."""
    return [_model_info(entry, str(entry["id"])) for entry in _list(transport, config)]


def is_router(config: HFConfig) -> bool:
    """Whether the base URL is Hugging Face's own router, so that the Hub knows its models."""
    return urlsplit(config.url_of(config.api)).hostname == urlsplit(ROUTER_URL).hostname


def model_path(model: str) -> str:
    """A model id as part of a URL. Raises HFModelNotFoundError for what can't be one."""
    parts = model.split("/")
    if not model.isprintable() or any(part.strip() in ("", ".", "..") for part in parts):
        raise HFModelNotFoundError(f"This is no model id: {model!r}")
    return quote(model, safe="/:@", errors="replace")


def _lookup_elsewhere(transport: Transport, config: HFConfig, model: str, choices: Mapping[str, str]) -> ModelInfo:
    """The list, for servers without a page per model; the Hub, for what the router's list leaves out."""
    try:
        entries = {str(entry["id"]): entry for entry in _list(transport, config)}
    except HFModelNotFoundError:
        entries = {}
    for candidate, chosen in choices.items():
        if candidate in entries:
            return _chosen(_model_info(entries[candidate], model), chosen)
    if is_router(config):
        name, _, choice = model.partition(":")
        return _chosen(_lookup_hub(transport, config, model, name), choice)
    shown = ", ".join(map(label, list(entries)[:5]))
    note = f"the server lists {len(entries)} other models: {shown}" if entries else "the server lists no models"
    return ModelInfo(id=model, served=False, note=note)


def _lookup_hub(transport: Transport, config: HFConfig, model: str, name: str) -> ModelInfo:
    url = f"{HUB_URL}/api/models/{model_path(name)}?expand[]=inferenceProviderMapping"
    reply = _get(transport, config, url, anonymous=True)
    if reply.status in (401, 404):  # what the Hub answers for models that don't exist
        return ModelInfo(id=model, served=False, note="Hugging Face knows no such public model")
    items = as_object(as_object(_value(reply)).get("inferenceProviderMapping")).items()
    providers = tuple(
        ProviderInfo(name=clip(str(provider), 100), status=_text(as_object(entry).get("status")))
        for provider, entry in items
    )
    tasks = {as_object(entry).get("task") for _, entry in items}
    takes_images = "image-text-to-text" in tasks or None
    return _with_live(ModelInfo(id=model, served=False, providers=providers, takes_images=takes_images))


def _lookup_task(transport: Transport, config: HFConfig, model: str) -> ModelInfo:
    """The classic API: the model's own page, 200 if it can be called."""
    reply = _get(transport, config, f"{config.url_of('task')}/models/{model_path(model)}")
    if reply.status in (400, 404, 410):
        return ModelInfo(id=model, served=False, note=str(refusal(reply.status, reply.headers, reply.body)))
    try:
        state = _text(as_object(_value(reply)).get("state"))
    except HFBadAnswerError:  # a model's page need not be JSON
        state = ""
    served = state.lower() in _USABLE_STATES
    return ModelInfo(id=model, served=served, note="" if served else f"its state is {state}")


def _entry(transport: Transport, config: HFConfig, model: str) -> dict[str, Any] | None:
    """The catalogue's page of one model; None if there is none, or the server has no such pages."""
    reply = _get(transport, config, f"{config.url_of('chat')}/models/{model_path(model)}")
    if reply.status in (400, 404, 405, 410, 501):
        return None
    value = as_object(_value(reply))
    entry = as_object(value["data"]) if "data" in value else value
    return entry if isinstance(entry.get("id"), str) else None


def _list(transport: Transport, config: HFConfig) -> list[dict[str, Any]]:
    value = _value(_get(transport, config, f"{config.url_of('chat')}/models"))
    entries = value.get("data") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise HFBadAnswerError("The server's list of models is no list", status_code=200)
    return [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _get(transport: Transport, config: HFConfig, url: str, *, anonymous: bool = False) -> Reply:
    timeout_s = min(config.timeout, CATALOGUE_TIMEOUT_S)
    return transport.call("GET", url, timeout_s=timeout_s, anonymous=anonymous)


def _value(reply: Reply) -> Any:
    """A catalogue's JSON. Raises the reply's error, or HFBadAnswerError."""
    if not 200 <= reply.status <= 299:
        raise refusal(reply.status, reply.headers, reply.body)
    try:
        return parse_json(reply.body)
    except ValueError:
        about = context(reply.status, reply.headers)
    raise HFBadAnswerError("The server's catalogue is no JSON", **vars(about))


def _model_info(entry: Mapping[str, Any], model: str) -> ModelInfo:
    providers = tuple(_providers(entry.get("providers")))
    modalities = as_object(entry.get("architecture")).get("input_modalities")
    info = ModelInfo(
        id=model,
        served=True,  # a server without providers lists what it serves itself
        providers=providers,
        takes_images="image" in modalities if isinstance(modalities, list) else None,
        context_length=_count(entry.get("context_length") or entry.get("max_model_len")),
    )
    return _with_live(info) if isinstance(entry.get("providers"), list) else info


def _with_live(info: ModelInfo) -> ModelInfo:
    """`info` with `served` and `context_length` as its providers have it."""
    live = info.live_providers
    lengths = [provider.context_length for provider in live if provider.context_length is not None]
    note = "" if live else _why_dead(info.providers)
    return replace(info, served=bool(live), note=note, context_length=max(lengths, default=info.context_length))


def _why_dead(providers: tuple[ProviderInfo, ...]) -> str:
    if not providers:
        return "no provider serves it"
    return "no provider is live: " + ", ".join(f"{p.name} ({p.status or 'unknown'})" for p in providers)


def _chosen(info: ModelInfo, choice: str) -> ModelInfo:
    """A pinned provider gets no fail-over: the model is served if that one is live."""
    if not choice or choice in _POLICIES or not info.providers:
        return info
    if choice in info.live_names:
        return info
    note = f"{choice} doesn't serve it; live providers: {', '.join(info.live_names) or 'none'}"
    return replace(info, served=False, note=note)


def _providers(value: Any) -> Iterator[ProviderInfo]:
    for entry in as_list(value):
        about = as_object(entry)
        pricing = as_object(about.get("pricing"))
        supports = about.get("supports_structured_output")
        yield ProviderInfo(
            name=_text(about.get("provider")),
            status=_text(about.get("status")),
            input_usd_per_m=_price(pricing.get("input")),
            output_usd_per_m=_price(pricing.get("output")),
            context_length=_count(about.get("context_length")),
            structured_output=supports if isinstance(supports, bool) else None,
        )


def _text(value: Any) -> str:
    return clip(value, 100) if isinstance(value, str) else ""


def _price(value: Any) -> float | None:
    is_price = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return float(value) if is_price else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
