"""production-stack's routing logics as our ``picking``, its labels as roles, its health checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wayside.translate.reading import Reader
from wayside.vocab.headers import header_name
from wayside.vocab.roles import ROLE_LABEL

LABEL = "model"
"""What production-stack calls the label of a Pod by which it tells servers apart."""
SESSION_TTL_S = 3600.0
LOGICS = (
    "roundrobin",
    "session",
    "prefixaware",
    "kvaware",
    "disaggregated_prefill",
    "disaggregated_prefill_orchestrated",
    "least_loaded",
    "prefix-hash",
    "session-affinity",
    "round-robin",
)
"""As its arguments and its custom resources write them."""


@dataclass(slots=True)
class Backend:
    """One address of one model, with its label; ``path`` is where it is written, ``named`` where
    its model is."""

    model: str
    url: str
    label: str
    path: str
    named: str


def picking(root: Reader, models: dict[str, Any], backends: Sequence[Backend]) -> dict[str, Any]:
    """The top level's ``picking``; labels and roles are put into ``models``."""
    _label(models, backends)
    said = root.text("routing_logic") or "roundrobin"
    logic = said.lower().replace("_", "").replace("-", "")
    make = _LOGICS.get(logic)
    key = root.text("session_key") or ""
    if make is None:
        known = ", ".join(LOGICS)
        root.note(f"{said!r} is not one of {known}", "refused", key="routing_logic")
        return {}
    settings = make(root)
    if key:
        settings["production_stack"] = {"enabled": True, "session_key": key[:256]}
        if "session" not in logic:
            root.note(
                "told in the log; requests go by something else", "mapped", key="session_key"
            )
    if "disaggregated" in logic:
        _split(root, models, backends)
    else:
        for name in ("prefill_model_labels", "decode_model_labels"):
            root.set_aside(name, "routing_logic does not tell prefill from decode", "ignored")
    if logic != "prefixaware":
        root.set_aside("prefix_min_match_length", "no prefixes are matched", "ignored")
    if logic != "kvaware":
        root.set_aside("kv_aware_threshold", "no tokens are matched", "ignored")
    for name in _LMCACHE:
        why = "LMCache's controller is not asked: the router knows what it has sent where"
        root.set_aside(name, why, "mapped" if logic == "kvaware" else "ignored")
    return settings


_LMCACHE = (
    "lmcache_controller_port",
    "lmcache_controller_reply_port",
    "lmcache_controller_heartbeat_port",
    "lmcache_health_check_interval",
    "lmcache_worker_timeout",
)


def _turns(_: Reader) -> dict[str, Any]:
    return {"picking": "round_robin"}


def _least(_: Reader) -> dict[str, Any]:
    return {"picking": "least_requests"}


def _session(root: Reader) -> dict[str, Any]:
    key = root.text("session_key")
    if not key:
        said = "session_key is missing: the header, or the field of the body, that names a session"
        root.note(said, "refused", key="routing_logic")
        return {}
    sources = [{"field": key}]
    with suppress(ValueError):
        sources.insert(0, {"header": header_name(key)})
    affinity = {"session_affinity": {"sources": sources, "ttl_s": SESSION_TTL_S}}
    return {"picking": {"scorers": [affinity], "picker": "least_requests"}}


def _prefix_hash(_: Reader) -> dict[str, Any]:
    return {"picking": "prefix_hash"}


def _prefix_aware(root: Reader) -> dict[str, Any]:
    least = root.whole("prefix_min_match_length", low=0, high=1 << 20)
    return _cached(root, least or 0, "prefix_min_match_length")


def _kv_aware(root: Reader) -> dict[str, Any]:
    root.whole("kv_aware_threshold", low=0, high=1 << 30)
    said = "by the prompts that the router sent where, not by what LMCache says it holds"
    root.note(said, "mapped", key="routing_logic")
    root.set_aside("kv_aware_threshold", "a longer match counts for more, a short one for less",
                   "mapped")  # fmt: skip
    return _cached(root, 0, "")


def _cached(root: Reader, least: int, key: str) -> dict[str, Any]:
    if least:
        said = "a longer match counts for more; there is no least length"
        root.note(said, "mapped", key=key)
    # Chunks of 128 characters, as there; beginnings that all share do not bury one server.
    prefixes = {"prefix_cache": {"block_tokens": 32}}
    rule = {"filters": ["load_guard"], "scorers": [prefixes], "picker": "least_requests"}
    return {"picking": rule}


_LOGICS: dict[str, Callable[[Reader], dict[str, Any]]] = {
    "roundrobin": _turns,
    "session": _session,
    "sessionaffinity": _session,
    "prefixaware": _prefix_aware,
    "prefixhash": _prefix_hash,
    "kvaware": _kv_aware,
    "leastloaded": _least,
    "disaggregatedprefill": _turns,
    "disaggregatedprefillorchestrated": _turns,
}


# Labels


def _label(models: dict[str, Any], backends: Sequence[Backend]) -> None:
    for endpoint, backend in _endpoints(models, backends):
        if backend.label:
            endpoint["labels"] = {LABEL: backend.label}


def _endpoints(
    models: dict[str, Any], backends: Sequence[Backend]
) -> list[tuple[dict[str, Any], Backend]]:
    by_place = {(b.model, b.url): b for b in reversed(backends)}
    return [
        (endpoint, by_place[name, endpoint["url"]])
        for name, model in models.items()
        for endpoint in model["endpoints"]
        if (name, endpoint["url"]) in by_place
    ]


def _split(root: Reader, models: dict[str, Any], backends: Sequence[Backend]) -> None:
    """Who reads prompts and who writes answers, by the label."""
    roles: dict[str, str] = {}
    for role in ("prefill", "decode"):
        key = f"{role}_model_labels"
        found = [t.strip() for text in root.texts(key) for t in text.split(",") if t.strip()]
        if not found:
            said = f"{key} is missing: the labels of the servers that {_DO[role]}"
            root.note(said, "refused", key="routing_logic")
        roles |= dict.fromkeys(found, role)
    for endpoint, backend in _endpoints(models, backends):
        if backend.label in roles:
            endpoint["labels"] = {LABEL: backend.label, ROLE_LABEL: roles[backend.label]}
        else:
            said = f"its label {backend.label!r} is neither prefill's nor decode's"
            root.ledger.add(backend.path, said, "refused")
    for model in models.values():
        model["disaggregation"] = {}


_DO = {"prefill": "read prompts", "decode": "write answers"}


# Health


def health_check(root: Reader, models: dict[str, Any]) -> None:
    """Servers are asked for ``/health``, which costs them nothing, where production-stack sends
    each model a small request."""
    wanted = root.flag("static_backend_health_checks")
    rule: dict[str, Any] = {}
    interval = root.number("static_backend_health_check_interval", low=0.01, high=86_400)
    timeout = root.number("static_backend_health_check_timeout_seconds", low=0.01, high=3_600)
    if wanted:
        said = "servers are asked for /health instead of an answer"
        root.note(said, "mapped", key="static_backend_health_checks")
        rule = {"interval_s": interval or 60, "timeout_s": timeout or 10}
    else:
        for key in _TIMES:
            root.set_aside(key, "static_backend_health_checks is off", "ignored")
    own = root.inner("health_check")
    for name, ours in (("period", "interval_s"), ("timeout", "timeout_s")):
        seconds = _either(own, f"{name}Seconds", f"{name}_seconds")
        if seconds is not None:
            rule[ours] = seconds
    for name, ours in (("success", "successes"), ("failure", "failures")):
        count = _either(own, f"{name}Threshold", f"{name}_threshold")
        if count is not None:
            rule[ours] = count
    if not rule:
        return
    for model in models.values():
        model["health_check"] = dict(rule)


_TIMES = ("static_backend_health_check_interval", "static_backend_health_check_timeout_seconds")


def _either(own: Reader, *names: str) -> int | None:
    found = [own.whole(name, low=1, high=86_400) for name in names]
    return next((value for value in found if value is not None), None)
