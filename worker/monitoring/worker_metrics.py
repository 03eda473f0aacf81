"""What one worker counts: calls, how long they took, tokens, retries, waits. Needs the extra `metrics`.

Every label has few values: models beyond the first fifty are counted together.
"""

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from jobs.core.job import model_of
from jobs.ledger import StartedJob
from worker.engine.exchange import Lease
from worker.engine.execute import ExecutionResult
from worker.engine.policy import Done, Transient
from worker.engine.settlement import FinishedExecution
from worker.hf.errors import HFAPIError, HFConnectionError, HFTimeoutError, HFUnreachableError

#: Producers name the models: a mistake in a loop must not make a time series for each.
_MODELS_MAX = 50
_OTHER_MODELS = "other"

#: Seconds: an answer comes within one or two, a cold or busy model's within the deadline (120 by default).
_LATENCY_BUCKETS = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)

#: Seconds: from "at once" to the days that a large batch takes at 30 calls an hour.
_WAIT_BUCKETS = (1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600)


class WorkerMetrics:
    """The counters of this process. `started` and `ended` are a worker's hooks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: set[str] = set()
        self._calls = Counter(
            "chartq_calls",
            "Calls to the provider by HTTP status (or timeout, connection, unreachable) and what they led to",
            ["model", "status", "outcome"],
            registry=registry,
        )
        self._uncalled = Counter(
            "chartq_uncalled",
            "Executions that ended without a call: the chart was gone, changed or broken, or the job was given back",
            ["model", "outcome"],
            registry=registry,
        )
        self._latency = Histogram(
            "chartq_call_duration_seconds", "Time of a call", ["model"], buckets=_LATENCY_BUCKETS, registry=registry
        )
        self._tokens = Counter(
            "chartq_tokens", "Tokens, as the provider counts them", ["model", "kind"], registry=registry
        )
        self._retries = Counter(
            "chartq_retries", "Jobs scheduled again after a transient failure", ["model"], registry=registry
        )
        self._waits = Histogram(
            "chartq_queue_wait_seconds",
            "Time from submit or retry to the first start",
            ["model"],
            buckets=_WAIT_BUCKETS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "chartq_in_flight", "Jobs that this worker has begun, or has in hand", ["model"], registry=registry
        )
        Info("chartq_build", "The program", registry=registry).info({"version": version("chartq")})
        ProcessCollector(registry=registry)

    def started(self, lease: Lease, job: StartedJob) -> None:
        """A job was taken."""
        model = self._label(lease)
        self._in_flight.labels(model).inc()
        if job.attempts == job.throttled == job.losses == 0:
            self._waits.labels(model).observe(max(0.0, lease.spent_ms / 1000 - job.queued_at))

    def ended(self, ending: FinishedExecution) -> None:
        """An execution's end stands in the ledger."""
        ended, model = ending.ended, self._label(ending.lease)
        outcome = type(ended.outcome).__name__.lower()
        self._in_flight.labels(model).dec()
        if not ended.called:
            self._uncalled.labels(model, outcome).inc()
            return
        self._calls.labels(model, status_of(ended), outcome).inc()
        self._latency.labels(model).observe(ended.latency_s)
        if isinstance(ended.outcome, Transient) and not ended.outcome.last and not ending.outage:
            self._retries.labels(model).inc()
        if ended.answer is not None:
            self._tokens.labels(model, "prompt").inc(ended.answer.prompt_tokens or 0)
            self._tokens.labels(model, "completion").inc(ended.answer.completion_tokens or 0)

    def _label(self, lease: Lease) -> str:
        model = model_of(lease.lane)
        if model not in self._models:
            if len(self._models) >= _MODELS_MAX:
                return _OTHER_MODELS
            self._models.add(model)
        return model


def status_of(ended: ExecutionResult) -> str:
    """The HTTP status of a call's reply, or why there was none."""
    error = ended.error
    if isinstance(ended.outcome, Done):
        return "200"
    if isinstance(error, HFAPIError) and error.status_code is not None:
        return str(error.status_code)
    if isinstance(error, HFTimeoutError):
        return "timeout"
    if isinstance(error, HFUnreachableError):
        return "unreachable"
    return "connection" if isinstance(error, HFConnectionError) else "none"
