"""A classifier that is a tool of a Model Context Protocol server, remote or a child process."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from pydantic import Field, PositiveInt, model_validator

from wayside.catalog import catalog
from wayside.engines.base import Engine, Tools
from wayside.engines.mcp_child import ChildPeer
from wayside.engines.mcp_http import HttpPeer
from wayside.engines.ranked import PartsSettings, in_parts, read_ranking
from wayside.engines.rpc import Peer
from wayside.net.http import Client, RemoteSettings
from wayside.settings import CredentialSettings, Task, TlsSettings
from wayside.settings.problems import suggest
from wayside.vocab.ask import Labels
from wayside.vocab.errors import AskFailed


class McpSettings(PartsSettings):
    """An MCP server with a tool that classifies.

    Example: ``{url: "http://tools:9000/mcp", tool: classify, labels: [easy, hard]}``
    """

    url: Annotated[str, Field(max_length=2048)] | None = None
    """A server with streamable HTTP; or give `command`."""
    command: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    """A program that serves on stdin and stdout, with its arguments; or give `url`."""
    env: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    """Names of environment variables that the program gets, beside PATH, HOME and the like."""
    tool: Annotated[str, Field(min_length=1, max_length=256)] = "classify"
    """Which of its tools."""
    text_argument: Annotated[str, Field(min_length=1)] = "text"
    """The argument that takes the text."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its other arguments."""
    labels: tuple[str, ...] = ()
    """Names of labels, for tools that answer with numbers."""
    several: bool = False
    """Its labels may apply together, so their scores do not add up to one."""
    certainty: Annotated[float, Field(gt=0.5, le=1)] = 0.95
    """The probability of a label that comes without one."""
    credential: CredentialSettings | None = None
    """For `url`: the key it wants, by reference only."""
    headers: dict[str, str] = Field(default_factory=dict)
    """For `url`: set on every request."""
    tls: TlsSettings = TlsSettings()
    """For `url`: how an https server is verified."""
    deadline_ms: PositiveInt = 2_000
    """For each part of a text."""
    start_ms: PositiveInt = 20_000
    """For `command`: how long its start may take; asks wait no longer than their deadline."""
    queue: Annotated[int, Field(ge=1, le=65536)] = 64
    """Asks under way or waiting; one more is refused."""
    max_bytes: PositiveInt = 1 << 20
    """A larger answer is refused; a program that sends one is ended."""

    @model_validator(mode="after")
    def _one_server(self) -> McpSettings:
        if (self.url is None) == (not self.command):
            raise ValueError("give either url (a server) or command (a program), not both")
        for key in ("env", "start_ms") if self.url else ("credential", "headers", "tls"):
            if key in self.model_fields_set:
                raise ValueError(f"`{key}` belongs to {'command' if self.url else 'url'}")
        if self.url is not None:
            self.remote()
        return self

    def remote(self) -> RemoteSettings:
        """The settings of the HTTP client."""
        return RemoteSettings(
            base_url=self.url or "",
            credential=self.credential,
            headers=self.headers,
            tls=self.tls,
            deadline_ms=self.deadline_ms,
            queue=self.queue,
            max_bytes=self.max_bytes,
        )


@catalog.register("engine", "mcp", settings=McpSettings)
class McpEngine(Engine):
    """Calls a tool of an MCP server, remote or a child process."""

    tasks: frozenset[Task] = frozenset(["classify"])

    def __init__(self, rule: McpSettings, tools: Tools) -> None:
        self._rule, self._name = rule, tools.name or rule.tool
        self.labels = rule.labels
        self._checked = False
        self._peer: Peer
        if rule.url is not None:
            self._peer = HttpPeer(Client(rule.remote(), tools))
        else:
            self._peer = ChildPeer(
                self._name,
                rule.command,
                variables=rule.env,
                deadline_s=rule.deadline_ms / 1e3,
                start_s=rule.start_ms / 1e3,
                queue=rule.queue,
                max_bytes=rule.max_bytes,
            )

    async def classify(self, text: str) -> Labels:
        return await in_parts(text, self._rule, self._ranking)

    def close(self) -> None:
        self._peer.close()

    async def _ranking(self, text: str) -> Labels:
        rule = self._rule
        if not self._checked:
            await self._check()
        said = await self._peer.call(
            "tools/call",
            {"name": rule.tool, "arguments": {**rule.arguments, rule.text_argument: text}},
        )
        if said.get("isError"):
            raise AskFailed(f"engine {self._name!r}: the tool {rule.tool!r} reports an error")
        try:
            return read_ranking(
                _structured(said), rule.labels, several=rule.several, certainty=rule.certainty
            )
        except AskFailed as error:
            raise AskFailed(f"engine {self._name!r}: {error}") from error

    async def _check(self) -> None:
        """That the server has the tool, once, so that a misspelt one is named."""
        found = (await self._peer.call("tools/list", {})).get("tools")
        names = [t.get("name", "") for t in found if isinstance(t, dict)] if found else []
        if names and self._rule.tool not in names:
            hint = suggest(self._rule.tool, names, "its tools")
            raise AskFailed(f"engine {self._name!r}: no tool {self._rule.tool!r}; {hint}")
        self._checked = True


def _structured(said: dict[str, Any]) -> Any:
    """What a tool answered: its structured content, else the JSON or bare label in its text."""
    if isinstance(said.get("structuredContent"), dict):
        return said["structuredContent"]
    content = said.get("content")
    texts = [
        item["text"]
        for item in (content if isinstance(content, list) else ())
        if isinstance(item, dict) and isinstance(item.get("text"), str)
    ]
    if not texts:
        return None
    try:
        return msgspec.json.decode(texts[0])
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {"label": texts[0].strip()} if len(texts[0]) < 200 else None
