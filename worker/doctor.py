"""`chartq doctor`: is everything there that a run needs, and if not, what to do.

Every check ends within seconds, whatever it meets, and the others go on; none costs money.
"""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import click
from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import Connection

from jobs.commands import json_option
from jobs.connections import check_server, hide_password, redis_connection
from jobs.errors import ChartqError, SettingsError
from jobs.lanes import Gates
from jobs.ledger import schema
from jobs.ledger.store import Store
from jobs.output import dumps, print_data
from jobs.session import Session
from jobs.settings import Settings, load_settings
from worker.hf_config import HFConfig
from worker.hf_errors import (
    HFAPIError,
    HFAuthenticationError,
    HFModelLoadingError,
    HFRateLimitError,
    HFServerError,
    HFTimeoutError,
)
from worker.hf_json import parse_json
from worker.hf_models import HUB_URL, is_router, lookup, model_path
from worker.hf_refusals import refusal
from worker.hf_transport import Reply, Transport
from worker.logs import configure_logging
from worker.model_commands import price_text, what_to_do
from worker.staffing import check_token as require_token
from worker.staffing import client_config

#: Longest wait in seconds for one answer from the network.
NETWORK_TIMEOUT_S = 10.0

#: Longest that a check takes: a little more, so that what the library says about its time-out is heard.
_CHECK_LIMIT_S = NETWORK_TIMEOUT_S + 2

#: The embedded Redis may have a large file to load first.
_REDIS_LIMIT_S = 30.0

#: Free bytes: below the first SQLite and Redis soon can't write, below the second a big batch may not fit.
_TOO_LITTLE_SPACE, _LITTLE_SPACE = 50_000_000, 1_000_000_000

#: Share of `maxmemory` from which on the next batch may be refused.
_FULL_SHARE = 0.9

#: Shortest secret that is looked for in messages: shorter ones might be part of any word.
_MIN_SECRET_CHARS = 6

#: The permission of a fine-grained token that calls need.
_MAY_CALL = "inference.serverless.write"

_TOKENS_PAGE = "https://huggingface.co/settings/tokens"

#: What to do when what a check needs raises an error; most errors' own text is more precise.
_TODO = {
    "redis": "Does it load its data, or hang? Its log tells: the embedded one's is CHARTQ_HOME/redis/redis.log.",
    "store": "Set RESULTS_URL, or CHARTQ_HOME for the SQLite file, to where this user can write.",
    "home": "Set CHARTQ_HOME to a folder of your own.",
    "chart_root": "Set CHART_ROOT to the folder with the charts.",
}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Check:
    """What was looked at, whether it is well (None: not known, or a hint), and what to do."""

    name: str
    ok: bool | None
    message: str
    todo: str | None = None


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check settings, Redis, results store, endpoint, token, model and folders, and say what to do.

    Exits with 1 if something is wrong; hints (!) don't count. Costs nothing.

    \b
    Example: chartq doctor
    """
    checks: list[Check] = []
    for check in examine():
        checks.append(check)
        if not as_json:
            _print_check(check)
    ok = all(check.ok is not False for check in checks)
    if as_json:
        print_data(dumps({"ok": ok, "checks": [asdict(check) for check in checks]}))
    return 0 if ok else 1


def examine() -> Iterator[Check]:
    """All checks, each as soon as it is known."""
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Check("settings", False, str(error), "Correct the variable, or its line in .env.")
        return
    configure_logging("ERROR", settings.log_format)  # what the queue's client would warn of is a check here
    for check in _examine(settings):
        yield _without_secrets(check, settings)


def _examine(settings: Settings) -> Iterator[Check]:
    yield _settings(settings)
    yield from bounded("home", lambda: [check_home(settings)])
    yield from bounded("redis", lambda: check_redis(settings), limit_s=_REDIS_LIMIT_S)
    yield from bounded("store", lambda: [check_store(settings)])
    yield from bounded("chart_root", lambda: [check_chart_root(settings.chart_root)])
    yield from _examine_provider(settings)


def _examine_provider(settings: Settings) -> Iterator[Check]:
    config = replace(client_config(settings), timeout=NETWORK_TIMEOUT_S, model_id=settings.vision_model)
    transport = Transport(token=config.api_key)
    try:
        reached = reach(config, transport)
        yield check_endpoint(config, reached)
        yield from bounded("token", lambda: [check_token(settings, config, reached, transport)])
        yield from bounded("model", lambda: [check_model(config, reached, transport)])
    finally:
        transport.close()


def bounded(name: str, work: Callable[[], Iterable[Check]], *, limit_s: float = _CHECK_LIMIT_S) -> Iterable[Check]:
    """What `work` finds, or that it failed or took too long."""
    todo = _TODO.get(name)
    try:
        return within(limit_s, lambda: list(work()))
    except _TooLongError as error:
        return [Check(name, False, str(error), f"Does something hang: network, disk, a lock? {todo or ''}".rstrip())]
    except (ChartqError, HFAPIError, RedisError) as error:
        return [Check(name, False, str(error), todo)]
    except OSError as error:
        return [Check(name, False, f"{error.filename or ''} {error.strerror or error}".strip(), todo)]
    except Exception as error:  # noqa: BLE001 (whatever it is, the other checks go on; its text may be secret)
        return [Check(name, False, f"the check itself failed: {type(error).__name__}", "Please report this.")]


class _TooLongError(Exception):
    """A check did not end within its limit."""


def within(limit_s: float, work: Callable[[], _T]) -> _T:
    """`work`'s value or exception, or _TooLongError.

    On a thread of its own, since name look-ups and dead network drives can't be interrupted; one that is given
    up ends with the process.
    """
    done: SimpleQueue[Future[_T]] = SimpleQueue()

    def run() -> None:
        future: Future[_T] = Future()
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 (raised again where it is waited for)
            future.set_exception(error)
        done.put(future)

    threading.Thread(target=run, daemon=True).start()
    try:
        return done.get(timeout=limit_s).result()
    except Empty:
        raise _TooLongError(f"no answer within {limit_s:g} s") from None


# Here ----------------------------------------------------------------------------------------------------


def _settings(settings: Settings) -> Check:
    where = "the environment and .env" if Path(".env").is_file() else "the environment; no .env here"
    return Check("settings", True, f"HF_API={settings.hf_api}, VISION_MODEL={settings.vision_model} ({where})")


def check_home(settings: Settings) -> Check:
    """CHARTQ_HOME can be written and has room."""
    home = settings.chartq_home
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Check("home", False, f"CHARTQ_HOME={home} can't be written", "Set CHARTQ_HOME to a folder of your own.")
    free = shutil.disk_usage(there).free
    message = f"{home}: {_size(free)} free"
    if free < _LITTLE_SPACE:
        return Check("home", None if free >= _TOO_LITTLE_SPACE else False, message, "Make room on this disk.")
    return Check("home", True, message)


def check_chart_root(root: Path | None) -> Check:
    """CHART_ROOT is a folder that can be read."""
    if root is None:
        return Check("chart_root", True, "CHART_ROOT is not set: images are found by their absolute paths")
    mount = "Mount the charts there, or set CHART_ROOT to where they are."
    if not root.is_dir():
        return Check("chart_root", False, f"CHART_ROOT={root} is no folder here", mount)
    if not os.access(root, os.R_OK | os.X_OK):
        return Check("chart_root", False, f"CHART_ROOT={root} can't be read", "Give this user the right to read it.")
    with os.scandir(root) as entries:
        empty = next(entries, None) is None
    if empty:
        return Check("chart_root", None, f"CHART_ROOT={root} is empty", mount)
    return Check("chart_root", True, f"{root} can be read")


# Queue and store -----------------------------------------------------------------------------------------


def check_redis(settings: Settings) -> list[Check]:
    """Redis can be worked with (the embedded one is started), and who works."""
    try:
        with redis_connection(settings) as client:
            return [_server(client, settings), _workers(client)]
    except (ChartqError, RedisError) as error:
        todo = "Correct REDIS_URL; without it chartq starts a server of its own."
        if settings.redis_url is None:
            todo = "Do what it says, or set REDIS_URL to a Redis or Valkey server of your own, 7.0 or newer."
        return [Check("redis", False, str(error), todo), Check("workers", None, "not known without Redis")]


def _server(client: Redis, settings: Settings) -> Check:
    warnings = check_server(client)
    # What a lack of rights or of disk would refuse: a write (of nothing), and the scripts that all commands use.
    client.delete("chartq:doctor")
    Gates(client).all()
    try:
        info = client.info()
    except ResponseError:  # a managed server that keeps it from its users
        info = {}
    message = f"{_which(info, settings)}; {_memory(info)}"
    share = _share_used(info)
    if share >= _FULL_SHARE:
        return Check("redis", None if share < 1 else False, message, "Raise maxmemory, or wait for jobs to end.")
    return Check("redis", None if warnings else True, message, " ".join(warnings) or None)


def _which(info: dict[str, Any], settings: Settings) -> str:
    kind = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "(version not told)"
    if settings.redis_url is None:
        return f"embedded {kind} {version}, {info.get('executable', 'program not told')}, starts and answers"
    return f"{kind} {version} at {hide_password(settings.redis_url.get_secret_value())}"


def _memory(info: dict[str, Any]) -> str:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    policy = info.get("maxmemory_policy", "not told")
    limit = f" of {_size(most)}" if most else ""
    return f"memory {_size(used)}{limit}, eviction {policy}"


def _share_used(info: dict[str, Any]) -> float:
    most = int(info.get("maxmemory", 0))
    return int(info.get("used_memory", 0)) / most if most else 0.0


def _workers(client: Redis) -> Check:
    count = len(Gates(client).workers())
    if not count:
        return Check("workers", None, "none runs", "Start one with `chartq worker`; `chartq run` brings its own.")
    return Check("workers", True, f"{count} running")


def check_store(settings: Settings) -> Check:
    """The results store opens, has a schema that this program knows, and can be written."""
    with Session(settings) as session:
        url = session.results_url
    store = Store(url)
    try:
        store.prepare()
        version = store.write(_write_nothing_new)
    finally:
        store.close()
    return Check("store", True, f"{store.label} can be written; schema version {version}")


def _write_nothing_new(connection: Connection) -> int | None:
    """A write that changes nothing and yet needs the rights, the locks and the room of one."""
    connection.execute(schema.schema_info.update().values(version=schema.schema_info.c.version))
    return schema.current_version(connection)


# Provider ------------------------------------------------------------------------------------------------


def reach(config: HFConfig, transport: Transport) -> Reply | HFAPIError:
    """What the server says to the cheapest question that the token goes along with, or why it says nothing."""
    try:
        path = "models" if config.api == "chat" else f"models/{model_path(config.model_id or '')}"
        url = f"{config.url_of(config.api)}/{path}"
        return within(_CHECK_LIMIT_S, lambda: transport.call("GET", url, timeout_s=NETWORK_TIMEOUT_S))
    except HFAPIError as error:
        return error
    except _TooLongError as error:
        return HFTimeoutError(f"{error}; is the name look-up (DNS) hanging?")


def check_endpoint(config: HFConfig, reached: Reply | HFAPIError) -> Check:
    """The server can be reached and speaks HTTP."""
    if isinstance(reached, HFAPIError):
        return Check("endpoint", False, str(reached), what_to_do(reached, config))
    who = " (the REHEARSAL SERVER, not a model)" if "x-chartq-rehearsal" in reached.headers else ""
    answers = f"{config.url_of(config.api)} answers{who}"
    if reached.status < 300 or reached.status in (401, 403):  # the token's check speaks of these two
        return Check("endpoint", True, answers)
    error = refusal(reached.status, reached.headers, reached.body)
    todo = what_to_do(error, config)
    if reached.status < 400:
        return Check("endpoint", False, str(error), todo)
    if isinstance(error, HFServerError):
        return Check("endpoint", False, f"{answers}: {error}", todo)
    if isinstance(error, HFModelLoadingError | HFRateLimitError):
        return Check("endpoint", None, f"{answers}: {error}", todo)
    if config.api == "task":  # it has no list; what it says of the model is the model's check
        return Check("endpoint", True, answers)
    return Check("endpoint", None, f"{answers}, but lists no models: {error}", todo)


def check_token(settings: Settings, config: HFConfig, reached: Reply | HFAPIError, transport: Transport) -> Check:
    """The token is there if one is needed, and the server takes it."""
    try:
        require_token(settings)
    except SettingsError:
        return Check(
            "token",
            False,
            "HF_TOKEN is not set, and Hugging Face answers nobody without it",
            f"Make a token at {_TOKENS_PAGE} and put HF_TOKEN=hf_... into .env. Producers need none.",
        )
    if config.api_key is not None and is_router(config):
        return check_hub_token(config, transport)
    if not isinstance(reached, Reply):
        return Check("token", None, "can't be checked: the endpoint can't be reached")
    return _token_as_taken(config, reached)


def _token_as_taken(config: HFConfig, reply: Reply) -> Check:
    """What a server of its own said to the token; many show their catalogue to everybody."""
    has_token = config.api_key is not None
    if reply.status in (401, 403):
        error = refusal(reply.status, reply.headers, reply.body)
        return Check("token", False, str(error) if has_token else f"HF_TOKEN is not set: {error}", _new_token(config))
    if reply.status < 300:
        taken = "set, and not refused (though the list of models may be open to everybody)"
        return Check("token", True, taken if has_token else "not set, and the server asked for none")
    return Check("token", None, "set; only a call will show whether it is taken" if has_token else "not set")


def check_hub_token(config: HFConfig, transport: Transport, hub_url: str = HUB_URL) -> Check:
    """Hugging Face knows the token, and it may call Inference Providers."""
    try:
        reply = transport.call("GET", f"{hub_url}/api/whoami-v2", timeout_s=NETWORK_TIMEOUT_S)
        if reply.status >= 300:
            raise refusal(reply.status, reply.headers, reply.body)
        account = parse_json(reply.body)
    except HFAuthenticationError as error:
        return Check("token", False, str(error), _new_token(config))
    except HFAPIError as error:
        return Check("token", None, f"set, but can't be checked now: {error}")
    except ValueError:
        return Check("token", None, "set, but can't be checked now: the reply is no JSON")
    return _account(_object(account), config)


def _account(account: dict[str, Any], config: HFConfig) -> Check:
    message = f"belongs to {account.get('name', 'an account without a name')}"
    rights = _rights(account)
    if rights is not None and _MAY_CALL not in rights:
        todo = f"If calls are refused: give it 'Make calls to Inference Providers' at {_TOKENS_PAGE}"
        return Check("token", None, f"{message}; it seems to lack the right to call Inference Providers", todo)
    payers = [_object(entry).get("name") for entry in _list(account.get("orgs"))]
    if config.bill_to and config.bill_to not in payers:
        todo = "Check its spelling, and that the account is a member."
        return Check("token", None, f"{message}; HF_BILL_TO={config.bill_to} is not among its organisations", todo)
    return Check("token", True, message)


def _rights(account: dict[str, Any]) -> set[str] | None:
    """A fine-grained token's permissions; None for the other kinds, which may do everything."""
    token = _object(_object(account.get("auth")).get("accessToken"))
    if token.get("role") != "fineGrained":
        return None
    fine = _object(token.get("fineGrained"))
    scoped = [right for entry in _list(fine.get("scoped")) for right in _list(_object(entry).get("permissions"))]
    return {str(right) for right in [*_list(fine.get("global")), *scoped]}


def check_model(config: HFConfig, reached: Reply | HFAPIError, transport: Transport) -> Check:
    """VISION_MODEL is served and takes images."""
    model = config.model_id or ""
    if not isinstance(reached, Reply):
        return Check("model", None, f"{model}: can't be looked up, the endpoint can't be reached")
    try:
        info = lookup(transport, config, model)
    except HFAPIError as error:
        return Check("model", None, f"{model}: can't be looked up: {error}", what_to_do(error, config))
    choose = "Choose another with VISION_MODEL or -m; which there are: chartq models"
    if not info.served:
        return Check("model", False, f"{model} is not served: {info.note or 'no reason given'}", choose)
    if info.takes_images is False:
        return Check("model", False, f"{model} takes no images", choose)
    by = ", ".join(provider.name for provider in info.live_providers)
    price = price_text(info.cheapest)
    message = f"{model} is served" + (f" by {by}" if by else "") + (f", from {price} per M tokens" if price else "")
    if info.takes_images is None and config.api == "chat":
        return Check("model", None, f"{message}; the server doesn't tell whether it takes images", "Try one chart.")
    return Check("model", True, message)


def _new_token(config: HFConfig) -> str:
    if is_router(config):
        return f"Make a new token at {_TOKENS_PAGE} and put it into HF_TOKEN."
    return f"Set HF_TOKEN to a token that {config.url_of(config.api)} accepts."


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# How it is said ------------------------------------------------------------------------------------------


def _without_secrets(check: Check, settings: Settings) -> Check:
    """The last line of defence: a driver or a server may repeat what it was given."""
    message, todo = check.message, check.todo
    for secret in _secrets(settings):
        message = message.replace(secret, "***")
        todo = todo.replace(secret, "***") if todo else todo
    return replace(check, message=message, todo=todo)


def _secrets(settings: Settings) -> list[str]:
    """Longest first, so that none leaves a part of another one behind."""
    found = {settings.hf_token.get_secret_value()} if settings.hf_token else set()
    for url in (settings.redis_url, settings.results_url):
        if url is not None:
            found |= set(_passwords(url.get_secret_value()))
    return sorted((secret for secret in found if len(secret) >= _MIN_SECRET_CHARS), key=len, reverse=True)


def _passwords(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets in a password that was not encoded; `hide_password` knows such
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    yield from (value for name, value in parse_qsl(parts.query) if "pass" in name.lower())


def _print_check(check: Check) -> None:
    fancy = _is_fancy()
    mark, word, colour = _MARKS[check.ok]
    sign, indent = (click.style(mark, fg=colour), " " * 2) if fancy else (f"{word:<4}", " " * 5)
    first, *more = check.message.splitlines() or [""]
    arrow = "→" if fancy else "->"
    todo = [f"{arrow} {check.todo}"] if check.todo else []
    print_data(_encodable(f"{sign} {check.name}: {first}"))
    for line in [*more, *todo]:
        print_data(_encodable(indent + line))
    sys.stdout.flush()  # the next check may take its time


#: For terminals, for pipes; and the colour.
_MARKS: dict[bool | None, tuple[str, str, str]] = {
    True: ("✓", "ok", "green"),
    False: ("✗", "FAIL", "red"),
    None: ("!", "warn", "yellow"),
}


def _is_fancy() -> bool:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and utf8 and not plain


def _encodable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _size(count: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"
