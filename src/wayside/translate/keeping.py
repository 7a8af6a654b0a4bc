"""vSR's ``stores`` and what its services keep, as our ``stores``; and what plugins say by default.

A password written in a document is never copied: the store is made, and the note says where the
password belongs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wayside.translate.reading import Reader, env_name

Rule = dict[str, Any]
KINDS = {"milvus": "milvus", "qdrant": "qdrant", "openai": "openai_search"}
"""vSR's backends of retrieval -> our kinds of stores."""
_REST = "whatever else it says, the store's own settings say here"
_PORTS = {"milvus": 19530, "qdrant": 6333}


@dataclass(slots=True)
class Keeping:
    """Stores by name, and what the plugins that use them are given unless they say otherwise."""

    stores: dict[str, Rule] = field(default_factory=dict)
    engines: dict[str, Rule] = field(default_factory=dict)
    """Engines that plugins bring along."""
    cache: Rule = field(default_factory=dict)
    """Settings of every response cache."""
    memory: Rule = field(default_factory=dict)
    replay: Rule = field(default_factory=dict)
    searched: dict[str, str] = field(default_factory=dict)
    """Our kind of store -> the one that a plugin without a connection of its own means."""

    def search_store(self, kind: str, owner: Reader) -> str:
        """The store of this kind; where nothing says where it is, one on this machine."""
        if kind not in self.searched:
            self.searched[kind] = kind
            rule: Rule = {}
            if kind in _PORTS:
                rule = {"base_url": f"http://127.0.0.1:{_PORTS[kind]}"}
                why = f"nothing says where it is; taken to be on this machine (stores.{kind})"
                owner.note(why, "defaulted", key="backend")
            self.stores[kind] = {kind: rule}
        return self.searched[kind]


def read_stores(stores: Reader, out: Keeping) -> None:
    """``global.stores``."""
    for key in ("response_cache", "semantic_cache"):
        if key in stores:
            read_cache(stores.inner(key), out)
    _read_memory(stores.inner("memory"), out)
    stores.set_aside(
        "vector_store", "uploads are not taken here: wayside index, or the store itself"
    )


def read_cache(cache: Reader, out: Keeping) -> None:
    """The cache's backend, and the threshold and time that plugins have by default."""
    if cache.flag("enabled") is False:
        cache.set_aside_all("switched off", "ignored")
        return
    backend = cache.text("backend_type") or "memory"
    if threshold := cache.number("similarity_threshold", low=0, high=1):
        out.cache["threshold"] = threshold
    if ttl := cache.number("ttl_seconds", low=0):
        out.cache["ttl_s"] = ttl
    if backend in ("redis", "valkey"):
        out.stores["response_cache"] = {"redis": _redis(cache.inner(backend))}
        out.cache["store"] = "response_cache"
    elif backend != "memory":
        cache.note("answers are kept in this process, or in Redis or Valkey", "unsupported",
                   key="backend_type")  # fmt: skip
        connection = cache.inner(backend).inner("connection")
        if backend in KINDS and (url := _url(connection, backend)):
            out.stores[backend] = {KINDS[backend]: {"base_url": url}}
            out.searched[KINDS[backend]] = backend
        cache.inner(backend).leave_out("the rest of it is not for caches here", "ignored")
    for key in ("max_entries", "eviction_policy"):
        bound = "bounded in bytes (stores.<name>.memory.max_bytes); the least used go"
        cache.set_aside(key, bound, "ignored")
    cache.set_aside("embedding_model", "the built-in embedder is used", "ignored")
    cache.set_aside_all(f"is for another backend than {backend}", "ignored")


def read_replay(replay: Reader, out: Keeping) -> None:
    """Where records of decisions go, for the plugins that keep them."""
    if replay.flag("enabled") is False:
        replay.set_aside_all("switched off", "ignored")
        return
    backend = replay.text("store_backend") or "memory"
    if ttl := replay.number("ttl_seconds", low=0):
        out.replay["ttl_s"] = ttl
    if backend == "postgres":
        out.stores["router_replay"] = {"postgres": _postgres(replay.inner("postgres"))}
        out.replay["store"] = "router_replay"
    elif backend in ("redis", "valkey"):
        out.stores["router_replay"] = {"redis": _redis(replay.inner(backend))}
        out.replay["store"] = "router_replay"
    elif backend != "memory":
        why = "records are kept in memory, SQLite, Redis, Valkey or PostgreSQL"
        replay.note(f"{why}; in memory then", "unsupported", key="store_backend")
    replay.remark("async_writes")
    replay.set_aside_all(f"is for another backend than {backend}", "ignored")


def read_responses(responses: Reader, out: Keeping) -> Rule:
    """``response_api``: where answers of the Responses API are kept."""
    if not responses:
        return {}
    rule: Rule = {}
    if responses.flag("enabled") is False:
        responses.set_aside_all("switched off", "ignored")
        return {"enabled": False}
    backend = responses.text("store_backend") or "memory"
    if ttl := responses.number("ttl_seconds", low=0):
        rule["ttl_s"] = ttl
    if backend in ("redis", "valkey"):
        out.stores["responses"] = {"redis": _redis(responses.inner(backend))}
        rule["store"] = "responses"
    elif backend != "memory":
        why = f"{backend!r}: responses are kept in memory then"
        responses.note(why, "unsupported", key="store_backend")
    responses.set_aside("max_responses", "the store is bounded in bytes", "ignored")
    responses.set_aside_all(f"is for another backend than {backend}", "ignored")
    return rule


def _read_memory(memory: Reader, out: Keeping) -> None:
    """Where memories are, and how they are told by default."""
    if not memory:
        return
    if memory.flag("enabled") is False:
        memory.set_aside_all("switched off", "ignored")
        return
    backend = memory.text("backend") or "memory"
    if backend in ("milvus", "qdrant"):
        section = memory.inner(backend)
        url = _url(section, backend)
        section.leave_out(_REST, "ignored")
        if url:
            out.stores[f"memory of {backend}"] = {backend: {"base_url": url}}
            out.memory["store"] = f"memory of {backend}"
    elif backend in ("redis", "valkey"):
        out.stores["memories"] = {"redis": _redis(memory.inner(backend))}
        out.memory["store"] = "memories"
    elif backend != "memory":
        memory.note(f"{backend!r}: memories are kept in memory then", "unsupported", key="backend")
    for theirs, ours in (("default_retrieval_limit", "retrieval_limit"),
                         ("default_similarity_threshold", "similarity_threshold")):  # fmt: skip
        if (value := memory.number(theirs)) is not None:
            out.memory[ours] = value
    if (auto := memory.flag("auto_store")) is not None:
        out.memory["auto_store"] = auto
    memory.set_aside("reflection", "is a setting of each plugin here")
    for key in _NOT_MEMORY:
        memory.set_aside(key, "memories are found by meaning alone")
    memory.set_aside("embedding_model", "the built-in embedder is used", "ignored")
    memory.set_aside_all(f"is for another backend than {backend}", "ignored")


_NOT_MEMORY = (
    "hybrid_search", "hybrid_mode", "adaptive_threshold", "quality_scoring", "redis_cache",
    "extraction_batch_size", "disabled_routes", "disabled_models",
)  # fmt: skip


def _url(owner: Reader, backend: str) -> str:
    """Where a server is: vSR speaks gRPC to both, we speak REST, which Qdrant has elsewhere."""
    address = owner.text("address") or ""
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "")
    host = host or owner.text("host") or ""
    number = port or str(owner.whole("port", high=65535) or _PORTS[backend])
    for key in ("password", "api_key"):
        if owner.secret(key):
            owner.note("is not copied; write it under the store's credential", "refused", key=key)
    if "auth" in owner:
        owner.inner("auth").leave_out("write the key under the store's credential", "refused")
    if backend == "qdrant" and number == "6334":
        number = "6333"
        owner.note("6334 speaks gRPC; its REST API is taken to be on 6333", "mapped")
    return f"http://{host}:{number}" if host else ""


def _redis(redis: Reader) -> Rule:
    """``{address}`` or ``{host, port}``, also inside ``connection``."""
    connection = redis.inner("connection") if "connection" in redis else redis
    address = connection.text("address")
    if not address:
        host = connection.text("host") or "127.0.0.1"
        address = f"{host}:{connection.whole('port', high=65535) or 6379}"
    database = connection.whole("db") or connection.whole("database") or 0
    tls = connection.flag("use_tls") or connection.flag("tls_enabled")
    tls = tls or connection.inner("tls").flag("enabled")
    rule: Rule = {"url": f"redis{'s' if tls else ''}://{address}/{database}"}
    password = connection.secret("password")
    if password is not None:
        named = env_name(password)
        if named:
            rule["password"] = {"env": named}
        connection.note(
            f"read from the environment variable {named}" if named else
            "a password in the document itself is not copied; write password: {env: NAME}",
            "mapped" if named else "refused", key="password",
        )  # fmt: skip
    redis.leave_out(_REST, "ignored")
    return rule


def _postgres(postgres: Reader) -> Rule:
    rule: Rule = {}
    for key in ("host", "database", "user"):
        if text := postgres.text(key):
            rule[key] = text
    if port := postgres.whole("port", low=1, high=65535):
        rule["port"] = port
    if (postgres.text("ssl_mode") or "disable") not in ("disable", "allow", "prefer"):
        rule["tls"] = True
    if most := postgres.whole("max_open_conns", low=1, high=100):
        rule["connections"] = most
    password = postgres.secret("password")
    if password is not None:
        named = env_name(password)
        if named:
            rule["credential"] = {"env": named}
        postgres.note(
            f"read from the environment variable {named}" if named else
            "a password in the document itself is not copied; write credential: {env: NAME}",
            "mapped" if named else "refused", key="password",
        )  # fmt: skip
    postgres.leave_out(_REST, "ignored")
    return rule
