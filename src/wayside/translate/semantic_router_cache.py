"""``config.response_cache`` of a SemanticRouter: where answers are kept.

Asking for one store and getting another in silence would be the worst outcome, so whatever cannot
be had is refused, with what to write instead.
"""

from __future__ import annotations

import re
from typing import Any

from wayside.settings.address import parse_address
from wayside.translate.keeping import Keeping
from wayside.translate.reading import Reader

SECRETS_DIR = "/etc/wayside/secrets"
"""Where the operator mounts Secrets: ``<Secret>/<key>`` inside."""
STORE = "response_cache"
"""The name of the store among our settings' ``stores``."""
KINDS = ("memory", "redis", "valkey", "milvus", "qdrant", "hybrid")
LONGEST_CONNECT_S = 60
Secrets = list[tuple[str, str, str, bool]]
_SECRET = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,253}")


def read_cache(config: Reader, out: Keeping, secrets: Secrets) -> bool:
    """The store, and what caches of decisions are given; whether there shall be a cache.

    ``secrets`` takes what has to be mounted: Secret, key, the field that asks for it, and whether
    it may be absent.
    """
    if "response_cache" in config and "semantic_cache" in config:
        what = "config.response_cache conflicts with deprecated config.semantic_cache"
        config.note(what, "refused", key="semantic_cache")
    key = "response_cache" if "response_cache" in config else "semantic_cache"
    cache = config.inner(key)
    if key not in config:
        return False
    _no_literals(cache)
    if cache.flag("enabled") is False:
        cache.set_aside_all("switched off", "ignored")
        return False
    backend = cache.text("backend_type") or "memory"
    problem = _problem(cache, backend)
    if problem is None and backend not in ("memory", "redis", "valkey"):
        problem = (
            f"answers cannot be cached in {_NAMES[backend]}: write backend_type: redis or valkey, "
            "with where it is, or backend_type: memory"
        )
    if problem is not None:
        cache.leave_out(problem, "refused")
        return False
    if threshold := cache.number("similarity_threshold", low=0, high=1):
        out.cache["threshold"] = threshold
    if ttl := cache.number("ttl_seconds", low=0):
        out.cache["ttl_s"] = ttl
    if backend != "memory":
        out.stores[STORE] = {"redis": _redis(cache.inner(backend), secrets)}
        out.cache["store"] = STORE
    for setting in ("max_entries", "eviction_policy"):
        bound = "bounded in bytes; what was least used goes"
        cache.set_aside(setting, bound, "ignored")
    cache.set_aside("embedding_model", "the built-in embedder is used", "ignored")
    for kind in ("redis", "valkey", "milvus", "qdrant", "hnsw"):
        if kind != backend:
            cache.set_aside(kind, f"is for another backend than {backend}", "ignored")
    return True


_NAMES = {"milvus": "Milvus", "qdrant": "Qdrant", "hybrid": "Milvus and memory together"}


def _problem(cache: Reader, backend: str) -> str | None:
    """What vSR's operator said against a cache, in its words."""
    if backend not in KINDS:
        return f"unsupported backend_type: {backend} (must be one of: {', '.join(KINDS)})"
    if backend == "memory":
        return None
    block = "milvus" if backend == "hybrid" else backend
    if block not in cache:
        return f"{block} configuration required when backend_type is '{backend}'"
    inner = cache.inner(block)
    if block == "qdrant":
        return None if inner.text("host") else "qdrant.host is required"
    if inner.inner("connection").text("host"):
        return None
    ending = " for hybrid backend" if backend == "hybrid" else ""
    return f"{block}.connection.host is required{ending}"


def _no_literals(cache: Reader) -> None:
    """A password in the resource can be read by whoever may read the resource."""
    owners = [cache.inner(kind).inner("connection") for kind in ("redis", "valkey")]
    milvus = cache.inner("milvus")
    owners += [milvus.inner("connection").inner("auth"), milvus.inner("auth")]
    for owner, key in [*((o, "password") for o in owners), (cache.inner("qdrant"), "api_key")]:
        if owner.secret(key):
            owner.note(
                f"is not used, and not copied: put it into a Secret and write {key}_secret_ref: "
                "{name: ..., key: ...}",
                "refused",
                key=key,
            )


def _redis(redis: Reader, secrets: Secrets) -> dict[str, Any]:
    """The store's settings."""
    connection = redis.inner("connection")
    host, port = connection.text("host") or "", connection.whole("port", low=1, high=65535)
    tls = connection.inner("tls")
    encrypted = tls.flag("enabled") is True
    rule: dict[str, Any] = {}
    try:
        address = parse_address(f"http://{f'[{host}]' if host.count(':') > 1 else host}")
        if address.base_path or (":" in host and host.count(":") == 1):
            raise ValueError("write the name alone; the port has a field of its own")
        place = f"[{address.host}]" if ":" in address.host else address.host
        scheme = "rediss" if encrypted else "redis"
        rule["url"] = f"{scheme}://{place}:{port or 6379}/{connection.whole('database') or 0}"
    except ValueError as error:
        connection.note(str(error), "refused", key="host")
    if (path := _mounted(connection.inner("password_secret_ref"), secrets)) is not None:
        rule["password"] = {"file": path}
    if encrypted and (ca := tls.text("ca_file")):
        rule["tls"] = {"ca_file": ca}
    for key in ("cert_file", "key_file"):
        if encrypted and tls.text(key):
            tls.note("the store shows no certificate of its own; take it out", "refused", key=key)
    if not encrypted:
        tls.set_aside_all("switched off", "ignored")
    if (seconds := connection.whole("timeout", low=0)) is not None and seconds:
        rule["connect_timeout_ms"] = min(seconds, LONGEST_CONNECT_S) * 1000
        if seconds != _DEFAULT_TIMEOUT_S:
            what = "for connecting; an answer is waited for 50 ms, as a cache that is slow is none"
            connection.note(what, "mapped", key="timeout")
    if redis.inner("development").flag("drop_index_on_startup"):
        redis.inner("development").note(
            "nothing is dropped at the start", "unsupported", key="drop_index_on_startup"
        )
    for key in ("index", "search", "development"):
        if redis.inner(key):
            redis.inner(key).set_aside_all("the store keeps an index of its own making", "ignored")
    return rule


_DEFAULT_TIMEOUT_S = 30
"""Of the CRD, so that nobody chose it."""


def _mounted(reference: Reader, secrets: Secrets) -> str | None:
    """The file that a ``{name, key}`` of a Secret becomes. A name that is none would be a path out
    of the folder."""
    if not reference:
        return None
    name, key = reference.text("name") or "", reference.text("key") or ""
    optional = reference.flag("optional") is True
    if not _SECRET.fullmatch(name):
        reference.note(f"{name[:80]!r} is not the name of a Secret", "refused", key="name")
        return None
    if not _KEY.fullmatch(key) or key.startswith(".."):
        reference.note(f"{key[:80]!r} is not a key of a Secret", "refused", key="key")
        return None
    secrets.append((name, key, reference.path, optional))
    return f"{SECRETS_DIR}/{name}/{key}"
