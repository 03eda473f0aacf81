"""The client's configuration, as the settings have it."""

from urllib.parse import urlsplit

from jobs.config.settings import Settings
from jobs.core.errors import SettingsError
from worker.hf.config import HFConfig


def client_config(settings: Settings, *, pool_size: int = 16) -> HFConfig:
    """The client's configuration, as this environment has it."""
    return HFConfig(
        api_key=token_of(settings),
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


def token_of(settings: Settings) -> str | None:
    """The token itself; the one place where it leaves its wrapping."""
    return settings.hf_token.get_secret_value() if settings.hf_token else None
