"""What a catalogue that can't be read, or a price that can, means to the user. Pure functions."""

from worker.hf.catalogue import ProviderInfo
from worker.hf.config import HFConfig
from worker.hf.errors import HFAPIError, HFAuthenticationError, HFConnectionError, HFModelNotFoundError, HFTimeoutError


def what_to_do(error: HFAPIError, config: HFConfig) -> str:
    """What the user can do about a catalogue that could not be read."""
    url = config.url_of(config.api)
    if isinstance(error, HFAuthenticationError):
        return "Set HF_TOKEN to a token of this server; Hugging Face's: https://huggingface.co/settings/tokens"
    if isinstance(error, HFModelNotFoundError):
        return f"Check the model id, and HF_BASE_URL={url}: most servers want it to end in /v1."
    if isinstance(error, HFConnectionError | HFTimeoutError):
        return f"Check HF_BASE_URL={url}, the network and HTTPS_PROXY; does the server run?"
    return "Try again later; if it stays like this, the server's operator has to look."


def price_text(provider: ProviderInfo | None) -> str:
    """`$0.15 in, $0.60 out` per million tokens; "" if it isn't known."""
    if provider is None:
        return ""
    return f"{dollars(provider.input_usd_per_m)} in, {dollars(provider.output_usd_per_m)} out"


def dollars(amount: float | None) -> str:
    """`$0.15`; small amounts keep their two leading digits."""
    if amount is None:
        return "?"
    return f"${amount:.2g}" if 0 < amount < 0.1 else f"${amount:.2f}"
