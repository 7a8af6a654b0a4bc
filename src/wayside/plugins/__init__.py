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
    "Route",
    "Witness",
    "about_tool",
    "offered_tools",
    "put_before_question",
    "tool_name",
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


class Route(NamedTuple):
    """Where a draft is going, and by which rules: what tells answers of two policies apart.

    ``model`` is ours, ``upstream`` what its servers know, with the path. ``reasoning`` says how
    hard it is to think, ``headers`` are the model's own, ``policy`` is a digest of the settings of
    the decision's plugins and of the engines. ``as_is``: its servers speak the client's own API,
    which is not OpenAI's, so that they may be sent more than the chat that plugins see.
    """

    recipe: str = ""
    decision: str = ""
    requested: str = ""
    model: str = ""
    upstream: str = ""
    reasoning: str = ""
    headers: HeaderPairs = ()
    policy: str = ""
    as_is: bool = False


NO_ROUTE = Route()
MakeFilter = Callable[[Channel], ReplyFilter | None]
"""Gives a new filter for a channel, or None to let it pass. It is also called to learn whether
texts of a kind are watched."""


class Draft:
    """The request as it will go upstream, while plugins work on it.

    ``edit`` is made on first use, so that a plugin which touches only headers costs no decoding.
    ``verdicts`` are what the signals said, ``route`` is where it goes. Whoever puts something of
    the user's own into the body, or takes it out, sets ``personal``: the answer is for nobody
    else. ``report`` are headers for the response, if the model is asked; ``cache`` is what a
    cache that does not answer says of itself: ``miss``, or ``off``.
    """

    __slots__ = (
        "_edit",
        "_start",
        "cache",
        "early",
        "filters",
        "personal",
        "raw",
        "removed",
        "report",
        "route",
        "set",
        "verdicts",
        "witnesses",
    )

    def __init__(
        self,
        start: Any,
        verdicts: Verdicts = NO_VERDICTS,
        route: Route = NO_ROUTE,
        raw: bytes = b"",
    ) -> None:
        self._start = start
        self.raw = raw
        """What the client sent."""
        self._edit: Edit | None = None
        self.verdicts, self.route = verdicts, route
        self.personal = False
        self.cache = ""
        self.report: list[tuple[str, str]] = []
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
    def original(self) -> Edit:
        """The body as the client sent it, to be read."""
        said: Edit = self._start()
        return said

    @property
    def body(self) -> Edit:
        """The body as it is by now, to be read: reading it is no edit, so its bytes can stay."""
        return self._start() if self._edit is None else self._edit

    @property
    def edited(self) -> bool:
        return self._edit is not None

    def forget_edits(self) -> None:
        """The body is as the client sent it again."""
        self._edit = None

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


def put_before_question(draft: Draft, text: str) -> None:
    """Put ``text`` before what the user said last, in the same turn."""
    turns = draft.edit.get("messages")
    for turn in reversed(turns):
        if isinstance(turn, dict) and turn.get("role") == "user":
            said = turn.get("content")
            if isinstance(said, list):
                turn["content"] = [{"type": "text", "text": text}, *said]
            else:
                turn["content"] = f"{text}\n\n{said}" if said else text
            break
    draft.edit.set("messages", turns)


LONGEST = 600
"""Characters of a tool's description that are compared."""


def offered_tools(draft: Draft) -> list[Any]:
    """The request's ``tools``."""
    tools = draft.body.get("tools")
    return tools if isinstance(tools, list) else []


def tool_name(tool: Any) -> str:
    """The name of ``{type: function, function: {name}}`` or of a built-in tool (its type)."""
    if not isinstance(tool, dict):
        return ""
    inner = tool.get("function") or tool.get("custom")
    found = inner.get("name") if isinstance(inner, dict) else tool.get("name") or tool.get("type")
    return found if isinstance(found, str) else ""


def about_tool(tool: Any) -> str:
    """What a tool is compared by: its name as words, and its description."""
    inner = tool.get("function") or tool.get("custom") or tool if isinstance(tool, dict) else {}
    said = inner.get("description") if isinstance(inner, dict) else ""
    name = tool_name(tool).replace("_", " ").replace(".", " ").replace("-", " ")
    return f"{name}: {said}"[:LONGEST] if isinstance(said, str) and said else name


class Plugin(Protocol):
    """Built once per decision from its settings.

    A class attribute ``answers = True`` says that it always replies, so that a decision with it
    needs no model. ``first = True`` or ``last = True`` says that it runs before or after all
    others, wherever it is written.
    An attribute ``reads`` maps settings that name files to what takes their bytes, called once by
    the compiler (and may raise :class:`ConfigError`); ``banks`` are examples that it compares
    prompts with.
    """

    def __init__(self, rule: Any) -> None: ...

    def before(self, prompt: Prompt, draft: Draft) -> Flow[None] | None:
        """Change the draft before it is sent. A generator may ask questions."""
        ...
