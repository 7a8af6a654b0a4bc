"""From one intent to everything that has to be there, on each target.

A target is one file in :mod:`wayside.deploy.targets`, a class declared with :func:`target`. Its
``steps(intent, scene)`` is a generator: each :class:`Step` is put in force, and waited for, before
the next one is asked for, so a later step may look at what an earlier one brought about (the
address a Service was given). Nothing here touches a cluster, a disk or a process.

Rendering runs the same generator against a :class:`Scene` that knows nothing: whatever a target
cannot do without is asked of the user then (``--set domain=apps.example.com``), never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from wayside.deploy.intent import Intent
from wayside.settings.base import Settings
from wayside.vocab.errors import Problem
from wayside.vocab.resource import Resource

Object = dict[str, Any]

MANAGER: Final = "wayside-deploy"
"""Field manager of everything applied, and the value of ``app.kubernetes.io/managed-by``."""
DEPLOYMENT: Final = "wayside.vllm.ai/deployment"
"""Label of everything applied: ``Intent.name``."""


class Scene(Protocol):
    """The cluster as a target may look at it. Objects are read, never changed."""

    @property
    def live(self) -> bool:
        """False while rendering: nothing can be looked up, and ``None`` says nothing."""
        ...

    @property
    def cluster(self) -> str:
        """The name of this one of ``Intent.clusters``; ``""`` where there are none."""
        ...

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """One object as it is now; ``None`` if there is none, or nothing can be looked up."""
        ...

    def all(self, resource: Resource, namespace: str | None = None) -> Sequence[Object]:
        """The objects of a namespace, or of all (``None``)."""
        ...

    def has(self, resource: Resource) -> bool | None:
        """Whether the cluster serves this kind; ``None`` if nothing can be looked up."""
        ...

    def told(self, name: str) -> str:
        """What the user set (``--set NAME=VALUE``), or ``""``."""
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file of objects, in the order in which they are applied."""

    path: str
    """Relative to the output folder: ``istio/gateway.yaml``."""
    objects: tuple[Object, ...]
    comment: str = ""
    """For people who read the file; each line gets its ``#``."""


@dataclass(frozen=True, slots=True)
class Text:
    """A file that is not applied: a kustomization, values of a chart, a configuration."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A program that runs on this machine (target ``local``)."""

    name: str
    argv: tuple[str, ...]
    """Never a secret: everybody may read it."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Beside the environment of whoever applies it. Never a secret."""
    url: str = ""
    """Where it answers 200 once it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What has to hold before the next step: a condition that is True, or a field that is set."""

    resource: Resource
    name: str
    namespace: str = ""
    condition: str = ""
    """``Available``, ``Ready``, ``Established``, ``Programmed``."""
    path: str = ""
    """A field with a value instead: ``spec.clusterIP``."""
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing at a time, in people's words: ``model Services``."""

    title: str
    manifests: tuple[Manifest, ...] = ()
    texts: tuple[Text, ...] = ()
    processes: tuple[Process, ...] = ()
    waits: tuple[Wait, ...] = ()
    notes: tuple[str, ...] = ()
    """Said to the user: what was chosen and why, what is left to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What has to be there before anything is applied; checked by ``plan``, ``apply``, ``verify``
    and ``preflight``."""

    what: str
    """For people: ``Gateway API``."""
    resource: Resource | None = None
    """A kind that the cluster has to serve."""
    name: str = ""
    """One object of it that has to be there."""
    namespace: str = ""
    keys: tuple[str, ...] = ()
    """Of a Secret: the keys it has to have. Their values are never read."""
    version: tuple[str, str] | None = None
    """A path into the object, and the least version it may say: ``("spec.version", "4.18")``."""
    fix: str = ""
    """What to do where it is not: a command, if there is one."""
    level: Literal["error", "warning"] = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What ``verify`` asks once everything is applied: an HTTP request through the front door."""

    title: str
    path: str = "/v1/models"
    body: Mapping[str, Any] | None = None
    """POSTed as JSON; a GET without one."""
    status: int = 200
    model: str = ""
    """Of the answer's ``model``, where that is known beforehand."""


class Target(Protocol):
    """One way of being deployed. Stateless."""

    def problems(self, intent: Intent) -> Sequence[Problem]:
        """What of the intent this target cannot do, by path; nothing is ever left out silently."""
        ...

    def needs(self, intent: Intent) -> Sequence[Need]: ...

    def steps(self, intent: Intent, scene: Scene) -> Iterator[Step]:
        """Raises :class:`~wayside.vocab.errors.ConfigError` for what it has to be told."""
        ...

    def checks(self, intent: Intent) -> Sequence[Check]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A target, and how people find it."""

    name: str
    summary: str
    target: Target
    options: type[Settings]
    """Its own settings, under ``targets.<name>`` of the intent."""
    example: str
    """An intent in YAML that is whole: what the guide deploys, or the smallest useful one."""
    module: str


_entries: dict[str, Entry] = {}


def target(
    name: str, *, options: type[Settings], example: str
) -> Callable[[type[Any]], type[Any]]:
    """Class decorator for a :class:`Target`: the first line of its docstring is the summary."""

    def add(cls: type[Any]) -> type[Any]:
        if name in _entries:
            raise ValueError(f"target {name!r} is already there: {_entries[name].module}")
        _entries[name] = Entry(
            name=name,
            summary=(cls.__doc__ or "").strip().partition("\n")[0],
            target=cls(),
            options=options,
            example=example,
            module=cls.__module__,
        )
        return cls

    return add


def entries() -> Mapping[str, Entry]:
    """By name. Modules of :mod:`wayside.deploy.targets` register themselves when
    :func:`wayside.catalog.discover` imports them."""
    return dict(sorted(_entries.items()))
