"""The check of HF_TOKEN: there if one is needed, taken by the server, and allowed to call."""

from typing import Any

from jobs.config.settings import Settings
from jobs.core.errors import SettingsError
from jobs.core.text import label
from worker.hf.catalogue import HUB_URL, is_router
from worker.hf.config import HFConfig
from worker.hf.error_mapping import refusal
from worker.hf.errors import HFAPIError, HFAuthenticationError
from worker.hf.from_settings import check_token as require_token
from worker.hf.json_text import as_list, as_object, parse_json
from worker.hf.transport import Reply, Transport
from worker.monitoring.checks.check import Check
from worker.monitoring.checks.timeout import NETWORK_TIMEOUT_S

#: The permission of a fine-grained token that calls need.
_MAY_CALL = "inference.serverless.write"

_TOKENS_PAGE = "https://huggingface.co/settings/tokens"


def check_token(settings: Settings, config: HFConfig, reached: Reply | HFAPIError, transport: Transport) -> Check:
    """The token is there if one is needed, and the server takes it."""
    try:
        require_token(settings)
    except SettingsError as error:
        return Check("token", False, str(error), f"Make a token at {_TOKENS_PAGE}. Producers need none.")
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
    return _account(as_object(account), config)


def _account(account: dict[str, Any], config: HFConfig) -> Check:
    message = f"belongs to {label(str(account.get('name', 'an account without a name')))}"
    rights = _rights(account)
    if rights is not None and _MAY_CALL not in rights:
        todo = f"If calls are refused: give it 'Make calls to Inference Providers' at {_TOKENS_PAGE}"
        return Check("token", None, f"{message}; it seems to lack the right to call Inference Providers", todo)
    payers = [as_object(entry).get("name") for entry in as_list(account.get("orgs"))]
    if config.bill_to and config.bill_to not in payers:
        todo = "Check its spelling, and that the account is a member."
        return Check("token", None, f"{message}; HF_BILL_TO={config.bill_to} is not among its organisations", todo)
    return Check("token", True, message)


def _rights(account: dict[str, Any]) -> set[str] | None:
    """A fine-grained token's permissions; None for the other kinds, which may do everything."""
    token = as_object(as_object(account.get("auth")).get("accessToken"))
    if token.get("role") != "fineGrained":
        return None
    fine = as_object(token.get("fineGrained"))
    scoped = [right for entry in as_list(fine.get("scoped")) for right in as_list(as_object(entry).get("permissions"))]
    return {str(right) for right in [*as_list(fine.get("global")), *scoped]}


def _new_token(config: HFConfig) -> str:
    if is_router(config):
        return f"Make a new token at {_TOKENS_PAGE} and put it into HF_TOKEN."
    return f"Set HF_TOKEN to a token that {config.url_of(config.api)} accepts."
