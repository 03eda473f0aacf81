"""What a call to Hugging Face can end in, one class per thing the user can do about it.

HFAPIError                       base: status code, server's words, hint in seconds, request id, provider
├── HFAuthenticationError        401: the token is refused
│   └── HFPermissionError        403: the token lacks the permission to call Inference Providers
├── HFCreditsError               402, 4xx insufficient_quota: the account's credits are used up
├── HFModelNotFoundError         404, 410, 405, 3xx, 400 model_not_supported: nobody serves this model here
├── HFGatedModelError            403: the model's terms have to be accepted first
├── HFBlockedError               401, 403, 407, 451, 511: a firewall's, proxy's or portal's page, not the API's answer
├── HFRateLimitError             429: too many requests
├── HFModelLoadingError          503: cold start, the model is being loaded
├── HFRequestError               400, 413, 422: this request is wrong or too big
├── HFServerError                408, 424, 5xx: the server's trouble
├── HFBadAnswerError             200, but no answer in it
│   ├── HFErrorReplyError        an error in words of its own
│   ├── HFSchemaMismatchError    an answer, but not the JSON that the question's schema asks for
│   └── HFWouldRepeatError       the same question would end in the same way: never asked again
│       ├── HFMaxTokensError     max_tokens ran out before the answer began, or amid its JSON
│       ├── HFRefusalError       the model declined
│       ├── HFContentFilterError the provider's filter took the answer away, or refused the question (400)
│       └── HFToolCallError      nothing but a call of a tool that nobody here runs
├── HFTimeoutError               no whole answer within the call's deadline
└── HFConnectionError            the connection broke, or TLS failed
    └── HFUnreachableError       nothing reached the server: refused, unknown name, no route, proxy
"""

from dataclasses import dataclass

#: Longest message in characters that an error carries: servers answer with whole HTML pages and echo prompts.
MAX_MESSAGE_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class ErrorContext:
    """What is known about the reply that an error was made of; every field may be missing."""

    status_code: int | None = None
    #: Seconds that the server asked to wait.
    hint_s: float | None = None
    request_id: str | None = None
    provider: str | None = None


class HFAPIError(Exception):
    """The call ended without an answer; `str()` of it is the message for the user.

    `hint_s`: seconds that the server asked to wait, if it did. Pickles with all attributes.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        hint_s: float | None = None,
        request_id: str | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(clip(message))
        self.status_code = status_code
        self.hint_s = hint_s
        self.request_id = request_id
        self.provider = provider


class HFAuthenticationError(HFAPIError):
    """The token is missing, wrong or expired (401)."""


class HFPermissionError(HFAuthenticationError):
    """The token is good but may not call Inference Providers (403)."""


class HFCreditsError(HFAPIError):
    """The account's credits, plan or quota are used up (402; any 4xx that says insufficient_quota)."""


class HFModelNotFoundError(HFAPIError):
    """Nobody serves this model here, or there is no such API here (404, 410, 405, a redirect)."""


class HFGatedModelError(HFAPIError):
    """The model's terms have to be accepted first (403)."""


class HFBlockedError(HFAPIError):
    """A firewall, proxy or portal answered in the API's place (a page with 401 or 403; 407, 451, 511)."""


class HFRateLimitError(HFAPIError):
    """Too many requests (429)."""


class HFModelLoadingError(HFAPIError):
    """The model is being loaded (503)."""


class HFRequestError(HFAPIError):
    """This request is wrong or too big; the same one will never be answered (400, 413, 422)."""


class HFServerError(HFAPIError):
    """The server's trouble (408, 424, 5xx)."""


class HFBadAnswerError(HFAPIError):
    """The server said 200, and its reply holds no answer."""


class HFErrorReplyError(HFBadAnswerError):
    """The server said 200, and its reply is an error in words of its own."""


class HFSchemaMismatchError(HFBadAnswerError):
    """The answer is not JSON, or does not fit the question's schema."""


class HFWouldRepeatError(HFBadAnswerError):
    """No answer, and the same question would get none again: it is not paid for twice."""


class HFMaxTokensError(HFWouldRepeatError):
    """`max_tokens` ran out before the answer began, or in the middle of its JSON: raise it, or turn thinking off."""


class HFRefusalError(HFWouldRepeatError):
    """The model declined: ask in other words, or another model."""


class HFContentFilterError(HFWouldRepeatError):
    """The provider's content filter stopped the answer: ask in other words, or another model or provider."""


class HFToolCallError(HFWouldRepeatError):
    """The model only called a tool: leave tools out of the parameters."""


class HFTimeoutError(HFAPIError):
    """No whole answer within the call's deadline. It may have been billed."""


class HFConnectionError(HFAPIError):
    """The connection broke in the middle, or TLS failed."""


class HFUnreachableError(HFConnectionError):
    """Nothing reached the server: connection refused, unknown name, no route, proxy."""


def clip(text: str, limit: int = MAX_MESSAGE_CHARS) -> str:
    """`text` on one line, at most `limit` characters, without what terminals and databases choke on."""
    head = text[: 4 * limit].encode("utf-8", "replace").decode("utf-8")
    line = " ".join("".join(char if char.isprintable() else " " for char in head).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
