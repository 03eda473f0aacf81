"""From settings to a worker that is ready to run."""

import resource
from collections.abc import Mapping
from functools import partial
from typing import get_args

from jobs.batches.session import Session
from jobs.core.job import Api
from jobs.lanes import account_of
from worker.engine.event_log import controls_told
from worker.engine.execute import Task
from worker.engine.hooks import NO_HOOKS, Hooks
from worker.engine.lane_client import LaneClient
from worker.engine.malloc import give_memory_back
from worker.engine.worker import ChartWorker
from worker.hf.client import HuggingFaceClient
from worker.hf.from_settings import check_token, client_config, token_of

#: Files that are open besides those of calls: Redis, the store, logs, libraries.
_OTHER_DESCRIPTORS = 200


def build_worker(session: Session, *, concurrency: int, grace_s: float, hooks: Hooks = NO_HOOKS) -> ChartWorker:
    """A worker for the session's settings, Redis and ledger. Raises SettingsError, QueueError, StoreError."""
    settings = session.settings
    check_token(settings)
    session.claim()
    give_memory_back()
    _allow_descriptors(3 * concurrency + _OTHER_DESCRIPTORS)
    config = client_config(settings, pool_size=concurrency)
    accounts: dict[str, str] = {  # each kind may have an endpoint, hence an account, of its own
        api: account_of(base_url=config.url_of(api), token=token_of(settings), bill_to=settings.hf_bill_to)
        for api in get_args(Api)
    }
    task = Task(
        client=HuggingFaceClient(config),
        chart_root=settings.chart_root,
        timeout_s=settings.vision_timeout_s,
        text_timeout_s=settings.reasoning_timeout_s,
        max_attempts=settings.max_retries + 1,
        retry_delay_s=settings.retry_delay_s,
        other_images=session.ledger.images_of,
        pictures=session.ledger.picture,
    )
    return ChartWorker(
        connection=session.redis,
        ledger=session.ledger,
        task=task,
        lane_client_for=partial(_lane_client, session, accounts=accounts),
        concurrency=concurrency,
        grace_s=grace_s,
        revive_redis=session.revive_redis,
        hooks=hooks,
        clock=session.clock,
    )


def _allow_descriptors(count: int) -> None:
    """Raise the soft limit of open files as far as we may: a call holds its connection, a copy, and its chart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _lane_client(session: Session, worker: str, *, accounts: Mapping[str, str]) -> LaneClient:
    return LaneClient(
        session.redis,
        worker=worker,
        accounts=accounts,
        limits=session.settings.hf_rate_limit,
        ceiling=session.settings.hf_max_concurrency,
        clock=session.clock,
        controls=controls_told(session.claim),
        redis_is_ours=session.pair.redis_is_ours,
    )
