"""From settings to a worker that is ready to run."""

import resource
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from jobs.batches.session import Session
from jobs.config.settings import Settings
from jobs.core.errors import SettingsError
from jobs.core.job import Api
from jobs.lanes import account_of
from worker.engine.execute import Task
from worker.engine.hooks import NOBODY, Watchers
from worker.engine.lane_client import Desk
from worker.engine.malloc import give_memory_back
from worker.engine.worker import ChartWorker
from worker.hf.client import HuggingFaceClient
from worker.hf.config import HFConfig

#: Files that are open besides those of calls: Redis, the store, logs, libraries.
_OTHER_DESCRIPTORS = 200

#: The API kinds; each may have an endpoint, hence an account, of its own.
_APIS: tuple[Api, ...] = ("chat", "task")


def client_config(settings: Settings, *, pool_size: int = 16) -> HFConfig:
    """The client's configuration, as this environment has it."""
    return HFConfig(
        api_key=_token(settings),
        timeout=settings.vision_timeout_s,
        max_retries=settings.max_retries,
        retry_delay=settings.retry_delay_s,
        base_url=settings.hf_base_url,
        api=settings.hf_api,
        task=settings.hf_task,
        bill_to=settings.hf_bill_to,
        pool_size=pool_size,
    )


def check_token(settings: Settings) -> None:
    """Raises SettingsError if there is no token and the endpoint is one that surely wants it."""
    host = urlsplit(client_config(settings).url_of(settings.hf_api)).hostname or ""
    if settings.hf_token is None and (host == "huggingface.co" or host.endswith(".huggingface.co")):
        raise SettingsError(
            "HF_TOKEN is not set, and Hugging Face answers nobody without it: make a token at "
            "https://huggingface.co/settings/tokens and put HF_TOKEN=hf_... into .env"
        )


def make_worker(session: Session, *, concurrency: int, grace_s: float, watchers: Watchers = NOBODY) -> ChartWorker:
    """A worker for the session's settings, Redis and ledger. Raises SettingsError, QueueError, StoreError."""
    settings = session.settings
    check_token(settings)
    give_memory_back()
    _allow_descriptors(3 * concurrency + _OTHER_DESCRIPTORS)
    config = client_config(settings, pool_size=concurrency)
    accounts: dict[str, str] = {
        api: account_of(base_url=config.url_of(api), token=_token(settings), bill_to=settings.hf_bill_to)
        for api in _APIS
    }
    task = Task(
        client=HuggingFaceClient(config),
        chart_root=settings.chart_root,
        image_max_side=settings.image_max_side,
        image_max_bytes=settings.image_max_bytes,
        timeout_s=settings.vision_timeout_s,
        max_attempts=settings.max_retries + 1,
        retry_delay_s=settings.retry_delay_s,
        other_images=session.ledger.images_of,
        pictures=session.ledger.picture,
    )
    return ChartWorker(
        connection=session.redis,
        ledger=session.ledger,
        task=task,
        desk_for=partial(_desk, session, accounts=accounts),
        concurrency=concurrency,
        grace_s=grace_s,
        revive_redis=session.revive_redis,
        watchers=watchers,
        clock=session.clock,
    )


def _allow_descriptors(count: int) -> None:
    """Raise the soft limit of open files as far as we may: a call holds its connection, a copy, and its chart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _desk(session: Session, worker: str, *, accounts: Mapping[str, str]) -> Desk:
    return Desk(
        session.redis,
        worker=worker,
        accounts=accounts,
        limits=session.settings.hf_rate_limit,
        ceiling=session.settings.hf_max_concurrency,
        clock=session.clock,
    )


def _token(settings: Settings) -> str | None:
    return settings.hf_token.get_secret_value() if settings.hf_token else None
