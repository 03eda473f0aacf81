"""No queue at all: `python -m benchmarks.peers.pool POLICY THREADS FILE` asks about each path in FILE, from threads."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential  # type: ignore[import-not-found]
from urllib3.util.retry import Retry

from benchmarks.peers import call

#: As in the OpenAI cookbook's "How to handle rate limits".
_tenacity = retry(
    retry=retry_if_exception_type(requests.RequestException),
    wait=wait_random_exponential(min=1, max=60),
    stop=stop_after_attempt(6),
)(call.ask)


def _urllib3(path: str) -> str:
    """urllib3's own retries, which heed Retry-After."""
    session = call.session()
    if not getattr(session, "retries", False):
        policy = Retry(total=5, backoff_factor=1, status_forcelist=[429, 503], allowed_methods=None)
        session.mount("http://", HTTPAdapter(max_retries=policy))
        session.retries = True  # type: ignore[attr-defined]
    return call.ask(path)


_POLICIES: dict[str, Callable[[str], str]] = {"floor": call.ask, "tenacity": _tenacity, "urllib3": _urllib3}


def main() -> None:
    policy = _POLICIES[sys.argv[1]]
    with ThreadPoolExecutor(int(sys.argv[2])) as pool:
        asked = [pool.submit(policy, path) for path in Path(sys.argv[3]).read_text().splitlines()]
    lost = sum(one.exception() is not None for one in asked)
    print(f"{len(asked) - lost} answered, {lost} lost")


if __name__ == "__main__":
    main()
