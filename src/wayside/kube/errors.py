"""What can go wrong between us and an API server.

* KubeError (an AskFailed)
  + Unreachable         no answer, or none that can be read, in time
  + Refused             the server answered with an error
    - BadRequest 400, Unauthorized 401, Forbidden 403, NotFound 404, Conflict 409
      (AlreadyExists), Gone 410, Invalid 422, TooManyRequests 429, ServerError 500 and above

No text of these holds a token, a key or the body of a request.
"""

from __future__ import annotations

import msgspec

from wayside.vocab.errors import AskFailed

MAX_MESSAGE = 1_000
"""Characters of a server's message that are kept; one that quotes a whole object is cut."""


class KubeError(AskFailed):
    """Asking the API server failed."""


class Unreachable(KubeError):
    """No answer came, or none that can be read."""


class Refused(KubeError):
    """The API server answered with an error.

    ``code`` is the HTTP status, ``reason`` the server's word for it (``AlreadyExists``), and
    ``retry_after_s`` how long it wants to be left alone.
    """

    def __init__(
        self,
        what: str,
        code: int,
        *,
        reason: str = "",
        message: str = "",
        retry_after_s: float = 0,
    ) -> None:
        said = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + " ..."
        parts = (what, f"{code} {reason}".rstrip(), said)
        super().__init__(": ".join(part for part in parts if part))
        self.code, self.reason, self.message = code, reason, said
        self.retry_after_s = retry_after_s


class BadRequest(Refused):
    """The request makes no sense to the server (400)."""


class Unauthorized(Refused):
    """The server does not know who asks: the token is wrong or has run out (401)."""


class Forbidden(Refused):
    """Known, and not allowed (403): a Role is missing."""


class NotFound(Refused):
    """No such object; of a list or a watch: no such kind, its CRD is not installed (404)."""


class Conflict(Refused):
    """Somebody else changed it meanwhile, or owns the field (409)."""


class AlreadyExists(Conflict):
    """An object of that name is there already (409)."""


class Gone(Refused):
    """The resource version or the continue token is too old: list again (410)."""


class Invalid(Refused):
    """The object breaks its schema or a rule (422); the message names the fields."""


class TooManyRequests(Refused):
    """The server is busy; ``retry_after_s`` may say for how long (429)."""


class ServerError(Refused):
    """The server failed (500 and above)."""


class _Status(msgspec.Struct):
    """The API's ``Status`` object, as far as it is read."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


class _Details(msgspec.Struct):
    retryAfterSeconds: float = 0


_decoder = msgspec.json.Decoder(_Status)
_CLASSES: dict[int, type[Refused]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def refusal(what: str, code: int, body: bytes | bytearray, retry_after_s: float = 0) -> Refused:
    """The error for an answer of status ``code``, or for the ``Status`` in an ERROR event.

    ``what`` says what was asked: ``GET /api/v1/pods``. A body that is no ``Status`` is a proxy's,
    or the 404 of a path nobody serves; a short text of it is kept.
    """
    try:
        status = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        status = _Status()
    if status.kind == "Status":
        code = status.code or code
        if status.details is not None:
            retry_after_s = max(retry_after_s, status.details.retryAfterSeconds)
    else:
        status = _Status(message=_plain(bytes(body[:200])))
    kind = _CLASSES.get(code, ServerError if code >= 500 else Refused)
    if status.reason == "AlreadyExists":
        kind = AlreadyExists
    elif status.reason in ("Expired", "Gone"):
        kind = Gone
    return kind(
        what, code, reason=status.reason, message=status.message, retry_after_s=retry_after_s
    )


def _plain(body: bytes) -> str:
    text = " ".join(body.decode(errors="replace").split())
    return "".join(c if c.isprintable() else "?" for c in text)
