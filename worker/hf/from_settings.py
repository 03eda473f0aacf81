"""The client's configuration, as the settings have it."""

import dataclasses
from pathlib import Path
from urllib.parse import urlsplit

from jobs.config.environment import look_up
from jobs.config.settings import Settings, load_settings, variables
from jobs.config.token_destination import is_hugging_face_or_loopback
from jobs.core.errors import SettingsError
from jobs.core.secret import Secret
from worker.hf.config import HFConfig
from worker.hf.saved_token import saved_token


def worker_settings() -> Settings:
    """As `load_settings`, with the token that `hf auth login` saved if there is no other.

    That one goes to Hugging Face and to this machine only: who asks another server names its token. Raises
    SettingsError.
    """
    settings = load_settings()
    if settings.hf_token is not None or not is_hugging_face_or_loopback(settings.hf_base_url):
        return settings
    saved = saved_token().value
    return settings if saved is None else dataclasses.replace(settings, hf_token=Secret(saved))


def token_origin() -> str | None:
    """Where the token of `worker_settings` comes from, for people; None: there is none."""
    found, _ = look_up({"hf_token": variables("hf_token")}, env_file=Path(".env"), secret={"hf_token"})
    if found:
        return found["hf_token"].origin
    saved = saved_token()
    return f"the one that hf auth login saved in {saved.path}" if saved.value else None


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
        saved = saved_token()
        raise SettingsError(
            "HF_TOKEN is not set, and Hugging Face answers nobody without it: run hf auth login, or make a token at "
            "https://huggingface.co/settings/tokens and put HF_TOKEN=hf_... into .env"
            + (f" ({saved.path} {saved.problem})" if saved.problem else "")
        )


def token_of(settings: Settings) -> str | None:
    """The token itself; the one place where it leaves its wrapping."""
    return settings.hf_token.get_secret_value() if settings.hf_token else None
