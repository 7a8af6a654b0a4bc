"""Would two requests share a kept answer? Both are sent through the real flow, and no further.

The first meets an empty cache, and what a model might have said is kept by the plugin itself; the
second meets that cache. No model is asked to answer, and nothing outside is written; the models
that read prompts are asked as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from wayside.dialects import encode, openai_chat
from wayside.plugins.response_cache import HEADER
from wayside.runtime import Runtime
from wayside.stores.base import Tools
from wayside.stores.memory import MemorySettings, MemoryStore
from wayside.vocab.calls import Complete
from wayside.vocab.errors import AskFailed
from wayside.vocab.outcome import Forward, Reply, Request, Tap
from wayside.vocab.stores import Delete, Index, Put, Recall, Recalled, Release, Remember, Unindex

BYTES = 16 << 20
WHO = "wayside-cache-test"
_SAID = {
    "id": "chatcmpl-rehearsal",
    "object": "chat.completion",
    "created": 1,
    "model": "rehearsal",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "An answer to be kept."},
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class Asked(NamedTuple):
    """One of the two requests."""

    messages: Sequence[Mapping[str, Any]]
    model: str
    headers: Mapping[str, str]


class Went(NamedTuple):
    """How one of them went: ``path`` and ``reason`` as in its record, ``status`` of an answer of
    ours (0: it goes to a model). ``cache`` is what the plugin reports (``miss; scope=user``);
    ``kept``, whether the cache holds an answer afterwards."""

    status: int
    path: str
    reason: str
    decision: str
    model: str
    cache: str
    kept: bool

    @property
    def from_cache(self) -> bool:
        return self.path == "cache"


class Rehearsal:
    """A runtime with a cache of its own."""

    def __init__(self, runtime: Runtime) -> None:
        self._store = MemoryStore(MemorySettings(max_bytes=BYTES), Tools("rehearsal"))
        self.similarity: float | None = None
        """The cosine of the second question to the first, where the plugin compared them."""
        self._recipes = runtime.policy.virtual
        self._runtime = runtime.beside(
            {
                Recall: self._recall,
                Remember: self._store.remember,
                Release: self._store.release,
                Complete: _asks_no_model,
                **{writing: _writes_nothing for writing in (Put, Delete, Index, Unindex)},
            }
        )

    async def go(self, asked: Asked, *, keep: bool = False) -> Went:
        """Send one request through. With ``keep`` the plugin sees an answer to it. Raises
        :class:`RequestError` where the request is wrong."""
        identity = self._recipes[asked.model].identity
        headers = {
            identity.user: WHO,
            "authorization": f"Bearer {WHO}",
            **{name.lower(): value for name, value in asked.headers.items()},
        }
        body = encode({"model": asked.model, "messages": list(asked.messages)})
        found = self._runtime.handle(Request("POST", openai_chat.PATH, headers, body))
        outcome = found if isinstance(found, Forward | Reply) else await found
        record = outcome.record
        if isinstance(outcome, Forward) and outcome.tap is not None:
            await self._answered(outcome.tap, keep=keep)
        return Went(
            status=outcome.status if isinstance(outcome, Reply) else 0,
            path=record.path,
            reason=record.reason,
            decision=record.decision,
            model=record.model,
            cache=dict(outcome.report).get(HEADER, ""),
            kept=self._store.answers() > 0,
        )

    def why(self, first: Went, second: Went) -> str:
        """One sentence about both."""
        for name, went in (("first", first), ("second", second)):
            if went.status >= 400:
                return f"The {name} request is refused: {went.reason or went.status}."
            if went.path not in ("upstream", "cache"):
                return f"The {name} request is answered without a model ({went.path})."
            if not went.cache:
                where = went.decision or "the default route"
                return f"The {name} request goes to {where}, which has no response_cache."
            if went.cache.startswith("off"):
                return f"The {name} request is not cached: {went.cache.partition('; ')[2]}."
        if second.from_cache:
            near = second.cache.startswith("near")
            return "The questions mean the same." if near else "The requests are the same."
        if not first.kept:
            return "The answer to the first request would not be kept."
        notes = [note for note in second.cache.split("; ")[1:] if not note.startswith("scope=")]
        if notes:
            return f"Found, but not given: {', '.join(notes)}."
        if first.decision != second.decision or first.model != second.model:
            ways = [f"{went.decision or 'no decision'}, {went.model}" for went in (first, second)]
            return f"They go different ways: {ways[0]} and {ways[1]}."
        if self.similarity is not None:
            return f"The questions are too far apart: their cosine is {self.similarity:.3f}."
        return (
            "Something but the question differs (who asks, the system prompt, the conversation, "
            "parameters), or the decision compares whole requests only."
        )

    def _recall(self, question: Recall) -> Any:
        """Whatever is there, however far, is noted; the plugin gets what it asked for."""
        if question.vector is not None:
            anything = replace(question, threshold=-1.0, wait_s=0.0, key="")
            found = self._store.recall(anything)
            if isinstance(found, Recalled) and found.hits:
                self.similarity = found.hits[0].similarity
        return self._store.recall(question)

    async def _answered(self, tap: Tap, *, keep: bool) -> None:
        """Let the plugin see an answer, or that there was none."""
        if keep:
            tap.begin(200, "application/json")
            await self._runtime.run(tap.feed(encode(_SAID)))
            await self._runtime.run(tap.finish())
        if (telling := tap.settle()) is not None:
            await self._runtime.run(telling)


def _asks_no_model(question: Complete) -> Any:
    raise AskFailed("this is a rehearsal: no model is asked to answer")


def _writes_nothing(question: Any) -> None:
    """Stands where something outside would be changed."""
