"""Steps around a decision: change what is sent, answer early, watch the answer.

One file per plugin. A plugin's ``before`` sees the request on its way to the model that was
chosen. It may edit it, answer instead of the model (:meth:`Draft.reply`), and hang filters on the
answer (:attr:`Draft.filters`), which see its text piece by piece, streamed or not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from wayside.dialects import Edit
from wayside.dialects.answers import Channel
from wayside.dialects.whole import Answer
from wayside.vocab.ask import Flow
from wayside.vocab.outcome import HeaderPairs
from wayside.vocab.prompt import Prompt
from wayside.vocab.verdict import Verdicts

__all__ = [
    "Answer",
    "Blocked",
    "Channel",
    "Draft",
    "Early",
    "MakeFilter",
    "Plugin",
    "ReplyFilter",
    "Witness",
]

NO_VERDICTS: Verdicts = {}


class Early(NamedTuple):
    """An answer given instead of the model's.

    ``refuse`` makes it an error of ``status`` in OpenAI's shape; otherwise it is an ordinary
    completion (200) that says ``message``, or the ``completion`` given, as a stream where the
    client asked for one. ``report`` are further headers of the response.
    """

    message: str
    path: str = "fast_response"
    refuse: bool = False
    status: int = 403
    code: str = "content_filter"
    completion: dict[str, Any] | None = None
    report: HeaderPairs = ()


class Blocked(Exception):
    """A filter will not let the rest of an answer through; ``message`` is said instead.

    Before anything was released, it takes the whole answer's place: as an error of ``status``
    where ``refuse``, else as a completion. In a stream it ends the answer, with finish reason
    ``content_filter``.
    """

    def __init__(
        self, message: str, *, reason: str, refuse: bool = False, status: int = 403
    ) -> None:
        super().__init__(message)
        self.message, self.reason = message, reason
        self.refuse, self.status = refuse, status


class ReplyFilter(Protocol):
    """Watches one channel of an answer.

    ``feed`` gets the next piece of the text (``final``: no more will come) and gives back what may
    be released now. It may hold text back, but only so much as it says in its documentation: an
    answer that streams must go on streaming. It may raise :class:`Blocked`. ``warnings`` are
    told to the client when the answer ends, as ``x-vsr-response-warnings``.
    """

    warnings: tuple[str, ...]

    def feed(self, text: str, final: bool) -> str | Flow[str]: ...


class Witness(Protocol):
    """Is told how a request ended, when its client has the answer; it can change nothing more.

    ``ended`` is called once for every request that was sent on, however that went: what the
    answer was (after every filter), or that there was none. A generator may ask questions; nobody
    waits for it, and what it raises is logged.
    """

    def ended(self, answer: Answer) -> Flow[None] | None: ...


MakeFilter = Callable[[Channel], ReplyFilter | None]
"""Gives a new filter for a channel, or None to let it pass. It is also called to learn whether
texts of a kind are watched."""


class Draft:
    """The request as it will go upstream, while plugins work on it.

    ``edit`` is made on first use, so that a plugin which touches only headers costs no decoding.
    ``verdicts`` are what the signals said.
    """

    __slots__ = ("_edit", "_start", "early", "filters", "removed", "set", "verdicts", "witnesses")

    def __init__(self, start: Any, verdicts: Verdicts = NO_VERDICTS) -> None:
        self._start = start
        self._edit: Edit | None = None
        self.verdicts = verdicts
        self.set: dict[str, str] = {}
        self.removed: list[str] = []
        self.early: Early | None = None
        self.filters: list[MakeFilter] = []
        self.witnesses: list[Witness] = []

    @property
    def edit(self) -> Edit:
        if self._edit is None:
            self._edit = self._start()
        return self._edit

    @property
    def body(self) -> Edit:
        """The body as it is by now, to be read: reading it is no edit, so its bytes can stay."""
        return self._start() if self._edit is None else self._edit

    @property
    def edited(self) -> bool:
        return self._edit is not None

    def reply(
        self,
        message: str,
        *,
        path: str = "fast_response",
        refuse: bool = False,
        status: int = 403,
        code: str = "content_filter",
    ) -> None:
        """Answer with this; later plugins do not run and no model is asked."""
        self.early = Early(message, path, refuse, status, code)

    def answer(self, completion: dict[str, Any], *, path: str, report: HeaderPairs = ()) -> None:
        """Answer with this completion: what a model said, kept or put together by us."""
        self.early = Early("", path, completion=completion, report=report)


class Plugin(Protocol):
    """Built once per decision from its settings.

    A class attribute ``answers = True`` says that it always replies, so that a decision with it
    needs no model.
    """

    def __init__(self, rule: Any) -> None: ...

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None] | None:
        """Change the draft before it is sent. A generator may ask questions."""
        ...
