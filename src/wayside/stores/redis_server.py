"""A Redis or Valkey server as its answers, documents and passages see it."""

from __future__ import annotations

from typing import Any

from wayside.stores.base import Standing, Tools
from wayside.stores.link import Command, Link, Refusal, Wire
from wayside.stores.redis_scripts import RECALL, SCRIPTS, Keys
from wayside.stores.redis_search import ProcessSearch, ServerSearch
from wayside.vocab.errors import AskFailed

_AWAY = ("NOSCRIPT", "LOADING", "MASTERDOWN", "NOAUTH", "CLUSTERDOWN")
"""Refusals of a server that is of no use to anybody for now."""
_NEVER = ("CROSSSLOT", "MOVED", "CLUSTERDOWN", "NOPERM")
"""Refusals by a cluster, or to a user without the rights: no request will fare better."""
_KEEPS_NOTHING = ("OOM", "READONLY", "MISCONF", "NOPERM", "NOREPLICAS")
"""Refusals of writing by a server that can still be read."""


class Server:
    """Connections with the scripts loaded, what the server can do, and whether it keeps things.

    What changes is reported once: that it is up (and how it finds by meaning), that it is away,
    that it keeps nothing (full, read only), that it keeps again.
    """

    def __init__(
        self, link: Link, tools: Tools, prefix: str, index_bytes: int, *, search: bool = True
    ) -> None:
        self.link, self._tools = link, tools
        self.keys = Keys(prefix)
        self._index_bytes, self._search = index_bytes, search
        self.finder: ServerSearch | ProcessSearch = ProcessSearch(self.keys, index_bytes)
        self.version = ""
        self.trouble = ""
        """Why the server keeps nothing, where that is so."""
        self._told: set[str] = set()
        link.greet, link.changed = self._greet, self._changed

    def standing(self) -> Standing:
        mode = f"{self.version}: {self.finder.mode}" if self.version else "not connected yet"
        if not self.link.up:
            return Standing(mode, False, self.link.why or "not connected yet")
        return Standing(mode, not self.trouble, self.trouble)

    async def ask(self, *commands: Command) -> list[Any]:
        """Replies, none of which is a refusal; :class:`AskFailed` tells of the first."""
        replies = await self.link.ask(*commands)
        for reply in replies:
            if isinstance(reply, Refusal):
                self.refused(reply)
        return replies

    def refused(self, reply: Refusal) -> None:
        """The server says no."""
        if reply.code in _AWAY:
            self.link.broke(f"it answers: {reply}"[:200])
        raise AskFailed(f"{self.link.place}: {reply}"[:300])

    def wrote(self, reply: Any) -> Any:
        """The reply to a command that writes; :class:`AskFailed` where the server kept nothing."""
        if not isinstance(reply, Refusal):
            self._trouble("")
            return reply
        if reply.code in _KEEPS_NOTHING:
            self._trouble(str(reply)[:200])
        self.refused(reply)

    def indexed(self, what: str, width: int, reply: Any) -> None:
        """Note that the server has made an index, or tell once why it has not."""
        finder = self.finder
        why = finder.created(what, width, reply) if isinstance(finder, ServerSearch) else ""
        if why and why not in self._told and len(self._told) < 20:
            self._told.add(why)
            name = self._tools.name
            self._tools.report("store cannot index", level="warning", store=name, why=why[:200])

    def _trouble(self, why: str) -> None:
        if why.partition(" ")[0] != self.trouble.partition(" ")[0]:
            tell, name = self._tools.report, self._tools.name
            if why:
                tell("store keeps nothing", level="warning", store=name, why=why)
            else:
                tell("store keeps again", store=name)
        self.trouble = why

    async def _greet(self, wire: Wire) -> None:
        """Give a server the scripts, and find out what it can do."""
        indexes, info, *loaded = await wire.ask(
            [("FT._LIST",), ("INFO", "server"), *(("SCRIPT", "LOAD", s) for s in SCRIPTS)]
        )
        for reply in loaded:
            if isinstance(reply, Refusal):
                raise reply
        names = (self.keys.epoch(), *(self.keys.trial(i) for i in range(2)))
        (trial,) = await wire.ask([("EVALSHA", SCRIPTS[RECALL], 3, *names, "", "", "", 0, "v")])
        if isinstance(trial, Refusal) and trial.code in _NEVER:
            raise trial
        self.version, before = _version(info), self.finder
        if isinstance(indexes, list) and self._search:
            self.finder = ServerSearch(self.keys, {name.decode() for name in indexes})
        elif isinstance(self.finder, ServerSearch):
            self.finder = ProcessSearch(self.keys, self._index_bytes)
        if before is not self.finder:
            before.close()

    def _changed(self, up: bool, why: str) -> None:
        tell, name, where = self._tools.report, self._tools.name, str(self.link.place)
        if up:
            self.trouble = ""
            tell("store up", store=name, server=where, mode=self.standing().mode)
        else:
            tell("store down", level="warning", store=name, server=where, why=why)


def _version(info: Any) -> str:
    """``Redis 7.0.15`` or ``Valkey 8.0.1``."""
    if not isinstance(info, bytes):
        return "a server"
    lines = info.decode("utf-8", "replace").splitlines()
    told = dict(line.partition(":")[::2] for line in lines if line)
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told.get('redis_version', '?')}"
