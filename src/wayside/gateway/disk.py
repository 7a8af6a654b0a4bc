"""What clients of files and batches are told where the disk does not play along: 507 where it is
full, 503 for anything else, which may pass. What is wrong exactly is for the log."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, Final

from wayside.gateway.further import Handler
from wayside.gateway.ports import Say
from wayside.vocab.errors import RequestError
from wayside.vocab.outcome import Outcome, Request

Work = Callable[[Request, str], Coroutine[Any, Any, Outcome]]
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RETRY_S: Final = 5


def guarded(work: Work, say: Say) -> Handler:
    """``work``, whose ``OSError`` and ``sqlite3.Error`` become errors of HTTP."""

    async def done(request: Request, id: str) -> Outcome:
        try:
            return await work(request, id)
        except (OSError, sqlite3.Error) as error:
            say("files not kept", level="error", why=str(error))
            raise _told(error) from error

    return done


def no_room() -> RequestError:
    return RequestError(
        "There is no room for more files.",
        status=507,
        kind="server_error",
        code="file_storage_full",
    )


def _told(error: OSError | sqlite3.Error) -> RequestError:
    if isinstance(error, OSError):
        full = error.errno in _FULL
    else:
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    if full:
        return no_room()
    return RequestError(
        "Files cannot be read or kept just now; ask again.",
        status=503,
        kind="server_error",
        code="file_storage_unavailable",
        headers=(("retry-after", str(_RETRY_S)), ("retry-after-ms", str(_RETRY_S * 1000))),
    )
