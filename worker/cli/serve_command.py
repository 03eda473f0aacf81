"""`serve`: the HTTP API, with a worker in the same process unless others work."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from jobs.batches.session import Session
from jobs.cli.output import say
from jobs.config.log_dir import log_folder
from jobs.config.settings import Settings
from jobs.config.token_destination import is_loopback
from jobs.core.errors import SettingsError
from worker.cli.options import concurrency_option, grace_option
from worker.hf.from_settings import check_token, worker_settings
from worker.monitoring.logging_setup import configure_logging, log


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; others than this machine's need a key.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen at; 0: any."
)
@click.option("--require-key", is_flag=True, help="Ask for a key, and let nobody in until the first one is made.")
@click.option("--work/--no-work", default=None, help="Work on what is queued too; the default without REDIS_URL.")
@concurrency_option
@grace_option
def serve(host: str, port: int, require_key: bool, work: bool | None, concurrency: int, grace_s: float) -> int:
    """Serve chartq to programs over HTTP: charts, batches, and the OpenAI API's files, batches and chat completions.

    \b
    Example: chartq serve
             chartq keys create ann && chartq serve --host 0.0.0.0 --no-work
    """
    settings = worker_settings()
    configure_logging(settings.log_level, settings.log_format, folder=log_folder(settings))
    with Session(settings) as session:
        return _serve(session, host, port, work, require_key=require_key, concurrency=concurrency, grace_s=grace_s)


def _serve(
    session: Session, host: str, port: int, work: bool | None, *, require_key: bool, concurrency: int, grace_s: float
) -> int:
    from jobs.server import create_app  # FastAPI: 0.4 s, and not everybody's
    from jobs.server.backend import Services
    from jobs.server.listening import listen, server
    from worker.engine.webhooks import webhooks_told
    from worker.hf.prices import prices_of

    loopback = is_loopback(host)
    if not loopback and not require_key and not session.ledger.count_api_keys()[1]:
        raise click.UsageError(
            f"--host {host}: others could ask at your cost; make a key first: chartq keys create NAME"
        )
    session.claim()  # with a Redis that is another's every request would be refused
    with ExitStack() as open_:
        socket = open_.enter_context(listen(host, port))
        works = (
            _Works(session, concurrency=concurrency, grace_s=grace_s) if _is_to_work(session.settings, work) else None
        )
        services = Services(
            list_models=lambda: _list_models(session.settings),
            prices_of=prices_of,
            work_arrived=works.wake if works else lambda: None,
            loopback_only=loopback,
            key_required=require_key,
        )
        app = create_app(services=services, session=session)
        watcher = app.state.backend.watcher

        def leaving() -> None:
            watcher.leave()
            if works is not None:
                works.stop()

        http = server(app, grace_s=grace_s, leaving=leaving)
        open_.enter_context(webhooks_told(session))
        if works is not None:
            open_.enter_context(works.running(ended=watcher.look_now, died=http.leave))
        shown = f"[{host}]" if ":" in host else host
        say(
            f"chartq serves at http://{shown}:{socket.getsockname()[1]}"
            + ("" if works else ", and leaves the work to others")
        )
        http.run(sockets=[socket])
    return 1 if works is not None and works.error is not None else 0


def _is_to_work(settings: Settings, work: bool | None) -> bool:
    """Told, or by default where nobody else is likely to: without REDIS_URL."""
    if work is not None:
        return work
    if settings.redis_url is not None:
        return False
    try:
        check_token(settings)
    except SettingsError as error:
        say(f"not working on what is queued: {error}")
        return False
    return True


def _list_models(settings: Settings) -> Sequence[str]:
    """What the provider serves; empty if it doesn't tell."""
    from worker.hf.client import HuggingFaceClient
    from worker.hf.errors import HFAPIError
    from worker.hf.from_settings import client_config

    try:
        with HuggingFaceClient(client_config(settings)) as client:
            return [model.id for model in client.list_models() if model.served]
    except HFAPIError as error:
        log.debug("the provider's list of models: %s", error)
        return ()


class _Works:
    """A worker beside the server, in a thread of its own."""

    def __init__(self, session: Session, *, concurrency: int, grace_s: float) -> None:
        self._session, self._concurrency, self._grace_s = session, concurrency, grace_s
        self._worker: Any = None
        self.error: Exception | None = None

    @contextmanager
    def running(self, *, ended: Callable[[], None], died: Callable[[], None]) -> Iterator[None]:
        """`ended` hears of each job that ended, `died` if the worker has ended by itself."""
        from worker.engine.factory import build_worker
        from worker.engine.hooks import Hooks
        from worker.monitoring.liveness import liveness_file

        with liveness_file(self._session.settings.chartq_home) as liveness:
            hooks = Hooks(polled=liveness.stamp, ended=lambda _ending: ended())
            self._worker = build_worker(
                self._session, concurrency=self._concurrency, grace_s=self._grace_s, hooks=hooks
            )
            thread = threading.Thread(target=self._run, args=(died,), name="worker")
            thread.start()
            try:
                yield
            finally:
                self.stop()
                thread.join()

    def _run(self, died: Callable[[], None]) -> None:
        try:
            self._worker.run()
        except Exception as error:  # noqa: BLE001 (logged: the server must not go on as if somebody worked)
            self.error = error
            log.exception("the worker has ended: a fault in chartq, please report it")
        finally:
            died()

    def wake(self) -> None:
        """There is work. Safe from any thread."""
        if self._worker is not None:
            self._worker.wake()

    def stop(self) -> None:
        """Take no new job. Safe from any thread and from signal handlers."""
        if self._worker is not None:
            self._worker.stop()
