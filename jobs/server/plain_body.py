"""Bodies are read as they come: one that is compressed would be taken for damaged."""

from fastapi import Request

from jobs.server.errors import ApiError


def check_plain(request: Request) -> None:
    """Raises ApiError: the body is compressed."""
    codings = [
        one.strip().lower() for header in request.headers.getlist("content-encoding") for one in header.split(",")
    ]
    if packed := [one for one in codings if one not in ("", "identity")]:
        message = f"the body is compressed (Content-Encoding: {', '.join(packed)[:100]}): send it uncompressed"
        raise ApiError(415, message, param="content-encoding", headers={"accept-encoding": "identity"})
