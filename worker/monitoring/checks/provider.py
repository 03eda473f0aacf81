"""The checks of the provider: its endpoint and the model. The token's are in hf_token.py."""

from jobs.core.text import MESSAGE_CHARS, one_line
from worker.hf.advice import price_text, what_to_do
from worker.hf.catalogue import lookup, model_path
from worker.hf.config import HFConfig
from worker.hf.error_mapping import refusal
from worker.hf.errors import HFAPIError, HFModelLoadingError, HFRateLimitError, HFServerError, HFTimeoutError
from worker.hf.transport import Reply, Transport
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.timeout import CHECK_LIMIT_S, NETWORK_TIMEOUT_S, TooLongError, within


def reach(config: HFConfig, transport: Transport) -> Reply | HFAPIError:
    """What the server says to the cheapest question that the token goes along with, or why it says nothing."""
    try:
        path = "models" if config.api == "chat" else f"models/{model_path(config.model_id or '')}"
        url = f"{config.url_of(config.api)}/{path}"
        return within(CHECK_LIMIT_S, lambda: transport.call("GET", url, timeout_s=NETWORK_TIMEOUT_S))
    except HFAPIError as error:
        return error
    except TooLongError as error:
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
        why = one_line(info.note, MESSAGE_CHARS) or "no reason given"
        return Check("model", False, f"{model} is not served: {why}", choose)
    if info.takes_images is False:
        return Check("model", False, f"{model} takes no images", choose)
    by = one_line(", ".join(info.live_names), MESSAGE_CHARS)
    price = price_text(info.cheapest)
    message = f"{model} is served" + (f" by {by}" if by else "") + (f", from {price} per M tokens" if price else "")
    if info.takes_images is None and config.api == "chat":
        return Check("model", None, f"{message}; the server doesn't tell whether it takes images", "Try one chart.")
    return Check("model", True, message)
