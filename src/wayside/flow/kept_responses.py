"""Responses of OpenAI's Responses API on the shelf of the caller who asked for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from wayside.dialects import UNREADABLE, encode
from wayside.dialects.openai_responses_answer import number_of
from wayside.vocab.access import Caller
from wayside.vocab.ask import Flow, ask
from wayside.vocab.errors import AskFailed, RequestError
from wayside.vocab.identity import NOBODY, Identity
from wayside.vocab.prompt import Prompt
from wayside.vocab.sharing import sharers
from wayside.vocab.stores import Delete, Get, Put

Item = dict[str, Any]


class Kept(msgspec.Struct):
    """One response as it is kept: the ``input`` are the request's own items."""

    response: dict[str, Any]
    input: list[Item]
    previous: str | None = None


_kept = msgspec.json.Decoder(Kept)


class Keeping(msgspec.Struct, frozen=True):
    """Where responses are kept, for how long, and how much of them (settings ``responses``)."""

    identity: Identity = NOBODY
    store: str | None = None
    """``None``: nowhere."""
    ttl_s: float = 2_592_000.0
    max_turns: int = 200
    max_bytes: int = 16 << 20

    def shelf(self, headers: Mapping[str, str], caller: Caller | None = None) -> Shelf:
        """What belongs to the caller: to the user that a gate or a trusted proxy names, else to
        all with the client's key. Callers who show neither share theirs, and have only the ids,
        which nobody can guess, to keep them apart."""
        who = self.identity.told(Prompt(model="", headers=headers), headers, caller)
        name = hashlib.sha256(repr(sharers(who, "user")).encode("utf-8", "replace")).hexdigest()
        return Shelf(self, f"responses/{name}")


NOTHING_KEPT = Keeping()


class Shelf(msgspec.Struct, frozen=True):
    """The responses of one caller."""

    keeping: Keeping
    space: str

    def get(self, id: str) -> Flow[Kept | None]:
        """One response. Raises :class:`RequestError` (503) when the store gives no answer."""
        if self.keeping.store is None or number_of(id) is None:
            return None
        try:
            found = yield from ask(Get(self.keeping.store, self.space, id))
        except AskFailed:
            raise _unavailable() from None
        try:
            return None if found is None else _kept.decode(found)
        except UNREADABLE:
            return None

    def put(self, kept: Kept) -> Flow[None]:
        """Keep one. The answer is with the client already, so a store that fails costs only
        those who ask for it later."""
        assert self.keeping.store is not None
        put = Put(
            self.keeping.store,
            self.space,
            kept.response["id"],
            encode(kept),
            self.keeping.ttl_s,
        )
        try:
            yield from ask(put)
        except AskFailed:
            return

    def delete(self, id: str) -> Flow[bool]:
        if self.keeping.store is None or number_of(id) is None:
            return False
        try:
            return (yield from ask(Delete(self.keeping.store, self.space, id)))
        except AskFailed:
            raise _unavailable() from None

    def conversation(self, id: str, room: int) -> Flow[list[Kept]]:
        """The response ``id`` and all that it follows, the oldest first.

        Raises :class:`RequestError` where one is missing, or there are more than ``max_turns`` or
        ``room`` bytes of them.
        """
        found: list[Kept] = []
        at: str | None = id
        while at is not None:
            if len(found) >= self.keeping.max_turns:
                raise too_long(f"more than {self.keeping.max_turns} responses")
            kept: Kept | None = yield from self.get(at)
            if kept is None:
                raise RequestError(
                    f"Previous response with id '{at[:256]}' not found.",
                    param="previous_response_id",
                    code="previous_response_not_found",
                )
            room -= len(encode(kept.input)) + len(encode(kept.response.get("output")))
            if room < 0:
                raise too_long(f"more than {self.keeping.max_bytes} bytes")
            found.append(kept)
            at = kept.previous
        return found[::-1]


def too_long(why: str) -> RequestError:
    return RequestError(
        f"The conversation is too long to be kept here: {why}.",
        param="previous_response_id",
        code="conversation_too_long",
    )


def _unavailable() -> RequestError:
    """Why the store did not answer is for the log, not for the client."""
    return RequestError(
        "What was kept of earlier responses cannot be read now.",
        status=503,
        kind="server_error",
        code="state_unavailable",
    )
