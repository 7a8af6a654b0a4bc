"""What of a running router the console is made from, and who is asking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from starlette.requests import Request as HttpRequest

from wayside.engines import Engines
from wayside.fleet import Fleet
from wayside.flow import Policy
from wayside.gateway.api import Endpoint, Role, scrubbed
from wayside.gateway.heads import Heads
from wayside.runtime import Answerer, Runtime
from wayside.runtime.experience import Experience
from wayside.runtime.reload import ConfigState
from wayside.settings import RouterSettings
from wayside.stores import Stores
from wayside.telemetry import Log, Telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from wayside.gateway.maas_api import MaasApi
    from wayside.gateway.server import HttpServer
    from wayside.gateway.usage_api import UsageApi
    from wayside.maas import Maas

WHO: Final = "wayside.console.who"
NOTE: Final = "wayside.console.note"


class Written(Protocol):
    """A configuration that was read: ``wayside.cli.files.Loaded`` is one."""

    @property
    def text(self) -> bytes: ...
    @property
    def settings(self) -> RouterSettings: ...
    @property
    def format(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration that was prepared but is not in force."""

    settings: RouterSettings
    policy: Policy
    answerers: dict[type[Any], Answerer]
    needs_restart: tuple[str, ...]
    drop: Callable[[], None]
    """Lets go of what was loaded for it; called on the event loop."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The router. What a reload replaces is a function that gives what is in force."""

    runtime: Runtime
    telemetry: Telemetry
    state: ConfigState
    fleet: Fleet
    experience: Experience
    log: Log
    heads: Heads
    settings: Callable[[], RouterSettings]
    engines: Callable[[], Engines]
    stores: Callable[[], Stores]
    written: Callable[[], Written]
    """The configuration in force, as it was written."""
    tried: Callable[[bytes], Trial]
    """Prepares a configuration and changes nothing; takes long, so on another thread. Raises
    :class:`~wayside.vocab.errors.ConfigError`."""
    maas: Maas | None = None
    maas_api: MaasApi | None = None
    usage_api: UsageApi | None = None
    server: Callable[[], HttpServer | None] = lambda: None
    """The data plane of this process; none behind Envoy, and before it listens."""
    folder: Path | None = None
    """Where the console keeps what outlives the process; nothing does without it."""


class Data(Protocol):
    """A part of the console's API: its endpoints, with paths relative to ``/console/api``."""

    def endpoints(self) -> list[Endpoint]: ...


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who is logged in."""

    name: str
    role: Role


def who(http: HttpRequest) -> Who:
    """Who asks."""
    found: Who = http.scope[WHO]
    return found


def note(http: HttpRequest, target: str) -> None:
    """What the audit says a change was made to; its path where nobody says. Never a secret."""
    http.scope[NOTE] = scrubbed(target)[:300]


def unchanged(http: HttpRequest) -> None:
    """What was asked changed nothing, though it was a ``POST``: the audit leaves it out."""
    http.scope[NOTE] = None
