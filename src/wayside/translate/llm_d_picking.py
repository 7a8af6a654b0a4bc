"""An ``EndpointPickerConfig`` as the ``picking`` of a router's models.

:mod:`wayside.translate.endpoint_picker_config` reads it for our own endpoint picker, and does all
of it; a router has one profile for a model, and one more for the servers that read its prompts.
What is left is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from wayside.settings.picking import PickingSettings, UseSettings
from wayside.translate.endpoint_picker_config import of_document
from wayside.translate.notes import Severity
from wayside.translate.picker_config import PickerConfig
from wayside.translate.reading import Reader, join
from wayside.vocab.errors import ConfigError

_QUEUE: Final = "requests wait where models.NAME.queue.max_in_flight is set"
_ASIDE: Final[dict[str, tuple[str, Severity]]] = {
    "flowControl": (_QUEUE, "unsupported"),
    "saturationDetector": (_QUEUE, "unsupported"),
    "featureGates": ("they switch on what is always on, or flow control", "ignored"),
    "requestHandler": ("requests of the known APIs are understood", "ignored"),
    "parser": ("requests of the known APIs are understood", "ignored"),
    "dataLayer": ("what is read of servers follows from the scorers", "ignored"),
    "metadata": ("the cluster's, not the router's", "ignored"),
}
_UNUSED: Final = "what it is there for, the router does by itself or not at all"


@dataclass(frozen=True, slots=True)
class Picked:
    """``picking`` for all models; ``disaggregation`` where prompts are read apart."""

    picking: dict[str, Any]
    disaggregation: dict[str, Any] | None = None


def picked(document: Mapping[Any, Any], reader: Reader, path: str) -> Picked:
    """The document at ``path``. What cannot be used is noted, and nothing of it is taken."""
    ledger = reader.ledger
    for key in reader:
        reader.raw(key)
    try:
        config = of_document(document)
    except ConfigError as error:
        for problem in error.problems:
            fix = f"; {problem.fix}" if problem.fix else ""
            where = _under(path, problem.where)
            ledger.add(where, f"{problem.what}{fix}", "refused")
        if path:
            ledger.add(path, "left out", "refused")
        else:
            reader.leave_out("left out", "refused")
        return Picked({})
    for note in config.notes:
        ledger.add(_under(path, note.path), note.what, note.severity)
    for key, (why, severity) in _ASIDE.items():
        if document.get(key):
            ledger.add(_under(path, key), why, severity)
    usual = _usual(config)
    apart = _apart(config)
    prefill = config.handler.prefill if apart is not None else ""
    _unused(document, config, {usual, prefill} - {""}, reader, path)
    return Picked(_plain(config.profiles[usual]), apart)


def _under(path: str, where: str) -> str:
    return where if not path else f"{path}.{where}" if where else path


def _usual(config: PickerConfig) -> str:
    """The profile that picks who answers."""
    handler = config.handler
    if handler.kind == "disagg":
        return handler.decode
    if handler.kind == "header":
        return handler.usual
    return next(iter(config.profiles))


def _apart(config: PickerConfig) -> dict[str, Any] | None:
    handler = config.handler
    if handler.kind != "disagg" or handler.decider == "never":
        return None
    out: dict[str, Any] = {"how": "header"}
    if handler.decider == "uncached" and handler.tokens:
        out["min_tokens"] = handler.tokens
    out["picking"] = _plain(config.profiles[handler.prefill])
    return out


def _plain(profile: PickingSettings) -> dict[str, Any]:
    """As people write it."""
    out: dict[str, Any] = {}
    if profile.filters:
        out["filters"] = [_use(use) for use in profile.filters]
    if profile.scorers:
        out["scorers"] = [_use(use) for use in profile.scorers]
    picker = profile.picker
    if picker not in ("max_score", {"max_score": {}}):
        name = next(iter(picker)) if isinstance(picker, dict) else picker
        settings = picker[name] if isinstance(picker, dict) else {}
        out["picker"] = {name: settings} if settings else name
    out["when_none"] = profile.when_none
    return out


def _use(use: UseSettings) -> Any:
    if use.weight == 1.0:
        return {use.name: use.settings} if use.settings else use.name
    return {use.name: use.settings, "weight": use.weight}


def _unused(
    document: Mapping[Any, Any],
    config: PickerConfig,
    profiles: set[str],
    reader: Reader,
    path: str,
) -> None:
    """Plugins and profiles that no model is served by."""
    ledger = reader.ledger
    used = {name for profile in profiles for _, name in config.called.get(profile, ())}
    listed = document.get("plugins")
    for i, plugin in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(plugin, Mapping):
            continue
        name = plugin.get("name") or plugin.get("type")
        where = _under(path, f"{join('', 'plugins')}[{i}]")
        if name in used:
            continue
        severity: Severity = "ignored" if _helps(str(plugin.get("type"))) else "unsupported"
        ledger.add(where, _UNUSED, severity)
    entries = document.get("schedulingProfiles")
    for i, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, Mapping):
            continue
        where = _under(path, f"schedulingProfiles[{i}]")
        if entry.get("name") in profiles:
            ledger.add(f"{where}.name", "a model has one way of picking", "ignored")
        else:
            said = "a profile by a header; give its servers a model of their own"
            ledger.add(where, said, "unsupported")


def _helps(type_: str) -> bool:
    """Whether a plugin only helps others, or does what the router does anyway."""
    ends = ("handler", "decider", "producer", "parser", "source", "extractor", "tokenizer")
    return type_.endswith(ends)
