"""One file per CRD: the schema of its objects, and what there shall be for each of them.

A kind is declared once, in its own file, with :func:`resource`. CRDs, Roles, reference tables and
the operator's watches are read from here.

``desired(found, world)`` is pure and level-based: it is given the whole object and may look at
whatever the cluster holds, and says everything that shall be; never what happened. Every look at
the :class:`World` is remembered by the operator, so that the object is looked at again when what
was seen changes, *or appears*. There is no other wiring from a foreign object to ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from wayside.vocab.resource import Resource

Object = dict[str, Any]
State = Literal["starting", "synced", "forbidden", "absent", "unreachable"]
"""How well a kind is known: ``absent`` says that the cluster does not have it (its CRD may come
yet), ``forbidden`` that our Role does not let us look. See :class:`wayside.kube.watch.Reflector`.
"""
Program = Literal["operator", "router-controller", "router"]
"""Which of our two controllers looks after a kind. ``router``: routers themselves do
(:mod:`wayside.runtime.registry`), and its class keeps nothing."""


# --- what may be asked -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A URL that is asked every ``period_s`` for as long as an object's ``desired`` asks for it.

    Healthy after ``successes`` answers of status 200 to 399 in a row, ill after ``failures`` in a
    row that were not. Nobody waits for it: the answer is that of the last time, and the object is
    looked at again when it changes.
    """

    url: str
    period_s: float = 10.0
    timeout_s: float = 5.0
    successes: int = 1
    failures: int = 3
    keep_body: bool = False
    """Whether the answer's body (at most 64 KiB) is wanted; a changed one is a changed answer."""
    lines: tuple[bytes, ...] = ()
    """Of the body only lines that begin with one of these are wanted: of its first 2 MiB then, as
    pages of metrics have that are long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a probe found: ``healthy`` is ``None`` while neither threshold has been reached."""

    healthy: bool | None
    status: int = 0
    """Of HTTP; 0 where no answer came."""
    problem: str = ""
    """Why it is not healthy, for people: ``connection refused``, ``503``."""
    body: bytes = b""


class World(Protocol):
    """The cluster as it was last seen. Objects are shared: they are read, never changed."""

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        """One object; ``None`` if there is none, or none that we may see."""
        ...

    def all(
        self,
        resource: Resource,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Sequence[Object]:
        """The objects of a namespace, or of all (``None``), that have these labels; by namespace
        and name."""
        ...

    def state(self, resource: Resource) -> State:
        """Whether :meth:`get` and :meth:`all` can be believed: ``None`` from a kind that is
        ``forbidden`` says nothing."""
        ...

    def probe(self, probe: Probe) -> Probed | None:
        """``None`` until the first answer."""
        ...

    def setting(self, name: str) -> str:
        """How our program was set up, empty where it was not told: ``GPU_METRICS_ENDPOINT``,
        ``IMAGE``. It is the same for as long as the program runs."""
        ...


# --- what shall be -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """An entry of ``status.conditions``. The operator adds ``observedGeneration``, and moves
    ``lastTransitionTime`` only when ``status`` changes."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    event: Literal["", "Normal", "Warning"] = ""
    """Says it in an Event, too, whenever the status, reason or message becomes another one."""
    event_reason: str = ""
    """The Event's reason where it is not the condition's: ``BackendUnresolved``."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that shall be and could not be written: why, and of which child."""

    kind: str
    name: str
    reason: Literal["NameTaken", "Refused", "Forbidden", "Absent", "Unreachable", "Invalid"]
    """``NameTaken``: an object of that name belongs to somebody else, and was left alone."""
    message: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A number on the controller's own ``/metrics``, for as long as ``desired`` says it.

    A gauge ``name`` with the help ``about``, and with the object's ``namespace`` and name (the
    label ``resource``) before its own labels. At most 200 of one object are shown.
    """

    name: str
    about: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything that shall be for one object."""

    children: Sequence[Object] = ()
    """Whole objects in the order in which they are written, with ``apiVersion``, ``kind`` and
    ``metadata`` (name, namespace, labels). Only fields that are ours: what is left out is
    somebody else's (``replicas`` under an autoscaler). The operator makes the object their
    controlling owner. What it owns of the kinds in :attr:`Kind.owns` and is not here is deleted.
    """
    unowned: Sequence[Object] = ()
    """Children that shall outlive the object: written without an owner, never deleted by
    pruning. They carry the annotation :data:`FOR` with the object's uid."""
    conditions: Sequence[Condition] = ()
    """All of them; one that is not here is taken away."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of ``status``, whole; ``None`` takes one away. ``observedGeneration`` is
    added, and :data:`NOW` is a time."""
    prune: bool = True
    """Whether what it owns and is not here is deleted. Not where a spec cannot be understood: a
    mistake changes nothing that works."""
    figures: Sequence[Figure] = ()
    """What was read from servers that it looks after, for the controller's own metrics."""
    again_s: float | None = None
    """Look again after so many seconds, with a tenth more or less, though nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """What is left to do for an object that is being deleted; its finalizer goes after that. Owned
    children need no mention: the cluster collects them."""

    unowned: Sequence[Object] = ()
    """Children that shall outlive the object, as in :attr:`Desired.unowned`: what is still owned
    is let go of, or the cluster would collect it."""
    delete: Sequence[Object] = ()
    """Deleted, each only if it is still the one seen (``metadata.uid``)."""
    events: Sequence[tuple[Literal["Normal", "Warning"], str, str]] = ()
    """Type, reason and message."""


NOW = "wayside:now"
"""As the value of a top-level field of ``Desired.status``: when anything else in the status last
became another one. The operator puts the time there when it writes such a change, and keeps what
is there while nothing else changes; a field that holds only this is never a change by itself.

As the value of a field of an item that has a ``name``, in a list at the top level: when anything
else in that item last became another one."""

FOR = "wayside.vllm.ai/for"
"""Annotation of an unowned child: the uid of the object that it was made for."""


# --- kinds -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column of ``kubectl get``."""

    name: str
    path: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    priority: int = 0


AGE = Column("Age", ".metadata.creationTimestamp", "date")


class Keeper(Protocol):
    """What a kind's class does. Stateless: one serves all objects of its kind."""

    def desired(self, found: Object, world: World) -> Desired:
        """What there shall be for ``found``. Raises nothing: a spec that cannot be understood is
        a condition."""
        ...

    def troubled(self, desired: Desired, found: Object, troubles: Sequence[Trouble]) -> Desired:
        """``desired`` with conditions that tell what could not be written. As it is, where a kind
        has no children."""
        return desired

    def farewell(self, found: Object, world: World) -> Farewell:
        """Asked only where the kind has a finalizer. Nothing, unless a kind says more."""
        return Farewell()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One CRD, and who looks after its objects."""

    kind: str
    resource: Resource
    program: Program
    spec: type[BaseModel]
    """The schema of ``spec``, from which the CRD is made; `Example:` in its docstring."""
    status: type[BaseModel]
    columns: tuple[Column, ...]
    short_names: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    """CEL rules on the object as a whole: rule and message."""
    owns: tuple[Resource, ...] = ()
    """Kinds of its children: watched, and pruned."""
    spares: tuple[Resource, ...] = ()
    """Those of ``owns`` that are never deleted, wanted or not: they hold what is not ours."""
    reads: tuple[Resource, ...] = ()
    """Kinds that ``desired`` may look at besides. They need not be installed."""
    finalizer: str = ""
    summary: str = ""
    keeper: Keeper
    module: str = ""


_kinds: dict[str, Kind] = {}


def resource(
    kind: str,
    *,
    resource: Resource,
    program: Program,
    spec: type[BaseModel],
    status: type[BaseModel],
    columns: tuple[Column, ...],
    short_names: tuple[str, ...] = (),
    rules: tuple[tuple[str, str], ...] = (),
    owns: tuple[Resource, ...] = (),
    spares: tuple[Resource, ...] = (),
    reads: tuple[Resource, ...] = (),
    finalizer: str = "",
) -> Callable[[type[Any]], type[Any]]:
    """Class decorator for a :class:`Keeper`: the first line of its docstring is the summary."""

    def add(cls: type[Any]) -> type[Any]:
        key = f"{resource.plural}.{resource.group}"
        if key in _kinds:
            raise ValueError(f"{key} is already looked after by {_kinds[key].module}")
        _kinds[key] = Kind(
            kind=kind,
            resource=resource,
            program=program,
            spec=spec,
            status=status,
            columns=columns,
            short_names=short_names,
            rules=rules,
            owns=owns,
            spares=spares,
            reads=reads,
            finalizer=finalizer,
            summary=(cls.__doc__ or "").strip().partition("\n")[0],
            keeper=cls(),
            module=cls.__module__,
        )
        return cls

    return add


def kinds(program: Program | None = None) -> tuple[Kind, ...]:
    """The kinds of one of our programs, or all, by name of their CRD. Modules of this package
    register themselves when :func:`wayside.catalog.discover` imports them."""
    return tuple(k for _, k in sorted(_kinds.items()) if program is None or k.program == program)
