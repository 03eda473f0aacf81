"""The page at `/`: files of ours as they lie here, and the report's style, which it shares."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from jobs.server.errors import not_found

router = APIRouter(include_in_schema=False)

#: Nothing from elsewhere, nothing inline.
_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
}

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "svg": "image/svg+xml",
}


@router.get("/")
def index() -> Response:
    """Tells nothing, so needs no key; what it asks for does."""
    return _file("jobs.server.page", "index.html")


@router.get("/page/{name}")
def asset(name: str) -> Response:
    """A script or style."""
    if name == "report.css":
        return _file("jobs.formats", "page.css")
    if name not in _names():
        raise not_found("the page has no such file")
    return _file("jobs.server.page", name)


def _file(package: str, name: str) -> Response:
    return Response(_read(package, name), media_type=_KINDS[name.rpartition(".")[2]], headers=_HEADERS)


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in files(__name__).iterdir() if file.name.rpartition(".")[2] in _KINDS)


@cache
def _read(package: str, name: str) -> bytes:
    return files(package).joinpath(name).read_bytes()
