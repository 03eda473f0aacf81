"""Which servers may have a token that nobody gave for them in particular. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit

_HUGGING_FACE = frozenset({"huggingface.co", "router.huggingface.co"})

#: Inference Endpoints: each has a name of its own below it.
_ENDPOINTS = ".huggingface.cloud"


def is_hugging_face_or_loopback(url: str | None) -> bool:
    """Hugging Face itself, over TLS, or this very machine. None is Hugging Face, the default."""
    if url is None:
        return True
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    if parts.scheme == "https" and (host in _HUGGING_FACE or host.endswith(_ENDPOINTS)):
        return True
    return is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether nobody beyond this machine gets to an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
