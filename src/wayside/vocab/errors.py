"""Errors raised on purpose.

* WaysideError
  + ConfigError        the operator's input is wrong; nothing was started, or the old policy stays
  + RequestError       the client's request is wrong; answered with its status in OpenAI's shape
  + AskFailed          something outside did not answer; the flow decides what that means
  + Abandoned          the client is gone: raised inside the flow that worked for it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wayside.vocab.outcome import Call, Record


class WaysideError(Exception):
    """Root of every error raised on purpose; anything else reaching a shell is a bug."""

    status = 500


class ConfigError(WaysideError):
    """Settings that cannot be used: each problem says what, where, and what to write instead."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = tuple(problems)

    @classmethod
    def one(cls, what: str, *, where: str = "", fix: str = "") -> ConfigError:
        return cls([Problem(what, where, fix)])


class Problem:
    """One thing wrong with the settings; ``where`` is a path: ``models.big.endpoints[0]``."""

    __slots__ = ("fix", "what", "where")

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.fix}" if self.fix else text

    def __repr__(self) -> str:
        return f"Problem({self})"


class RequestError(WaysideError):
    """The client sent something that cannot be served; becomes OpenAI's error body.

    ``kind`` is OpenAI's ``error.type``, ``code`` its ``error.code``, ``param`` the field at fault.
    ``headers`` go with the answer, such as the ``allow`` of a 405.
    """

    status = 400

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.code, self.param = status, kind, code, param
        self.headers = headers
        self.record: Record | None = None
        """What was decided before it was raised, for the log."""


class AskFailed(WaysideError):
    """An engine, store or backend did not answer in time."""

    status = 503


class Abandoned(WaysideError):
    """Nobody waits for the answer any more.

    Thrown into a flow at the question it is waiting with. A flow that holds something (a lease, a
    witness that has to be told) catches it, tidies up, asking what it must, and raises it again.
    ``calls`` are the models that were asked by then, on its way out.
    """

    status = 499
    calls: tuple[Call, ...] = ()
