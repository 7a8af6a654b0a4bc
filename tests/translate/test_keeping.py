"""vSR's stores and the plugins that use them, as ours."""

from __future__ import annotations

from typing import Any

import pytest

from wayside.settings import RouterSettings
from wayside.translate import translate


def read(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    found = translate(document, hint="it")
    assert found is not None
    RouterSettings.model_validate(found.settings)
    return found.settings, "\n".join(map(str, found.notes))


def plugin(kind: str, configuration: dict[str, Any], **stores: Any) -> tuple[Any, Any, str]:
    """A plugin's settings as ours, our stores, and the notes."""
    decision = {"name": "d", "plugins": [{"type": kind, "configuration": configuration}]}
    document = {"version": "v0.3", "routing": {"decisions": [decision]}, "global": stores}
    settings, notes = read(document)
    return settings["routing"]["decisions"][0].get("plugins"), settings.get("stores"), notes


def test_a_cache_takes_threshold_time_and_store_from_the_global_one() -> None:
    redis = {"connection": {"host": "cache", "port": 6380, "password": "hush", "database": 3}}
    made, stores, notes = plugin(
        "semantic-cache",
        {"enabled": True, "ttl_seconds": 60},
        stores={
            "response_cache": {
                "backend_type": "redis",
                "similarity_threshold": 0.86,
                "ttl_seconds": 7200,
                "redis": redis,
            }
        },
    )
    assert made["response_cache"] == {
        "threshold": 0.86,
        "ttl_s": 60,
        "store": "response_cache",
        "mode": "semantic",
    }
    assert stores == {"response_cache": {"redis": {"url": "redis://cache:6380/3"}}}
    assert "hush" not in notes and "not copied" in notes


@pytest.mark.parametrize("value", ["${REDIS_PASSWORD}", "$REDIS_PASSWORD"])
def test_a_password_of_the_environment_stays_a_reference(value: str) -> None:
    redis = {"address": "cache:6379", "password": value, "use_tls": True}
    _, stores, _ = plugin(
        "router_replay",
        {},
        services={"router_replay": {"store_backend": "redis", "redis": redis}},
    )
    rule = stores["router_replay"]["redis"]
    assert rule["url"] == "rediss://cache:6379/0"
    assert rule.get("password") in ({"env": "REDIS_PASSWORD"}, None)


def test_records_go_to_postgres_and_the_password_does_not() -> None:
    postgres = {"host": "db", "user": "u", "password": "hush", "ssl_mode": "require"}
    made, stores, notes = plugin(
        "router_replay",
        {"capture_request_body": True, "max_tool_trace_steps": 0},
        services={"router_replay": {"store_backend": "postgres", "postgres": postgres}},
    )
    assert made["router_replay"] == {
        "store": "router_replay",
        "request_body": True,
        "max_tool_steps": 10_000,
    }
    assert stores["router_replay"] == {"postgres": {"host": "db", "user": "u", "tls": True}}
    assert "hush" not in notes


def test_sources_are_where_the_cache_is() -> None:
    milvus = {"connection": {"host": "milvus", "port": 19530, "auth": {"password": "hush"}}}
    made, stores, notes = plugin(
        "rag",
        {
            "backend": "milvus",
            "top_k": 4,
            "similarity_threshold": 0.78,
            "injection_mode": "tool_role",
            "backend_config": {"collection": "docs", "filter_expression": 'a == "b"'},
        },
        stores={"response_cache": {"backend_type": "milvus", "milvus": milvus}},
    )
    rule = made["rag"]
    assert (rule["collection"], rule["inject"], rule["threshold"]) == ("docs", "tool", 0.546)
    assert stores[rule["store"]]["milvus"]["base_url"] == "http://milvus:19530"
    assert stores[rule["store"]]["milvus"]["filter"] == 'a == "b"'
    assert "hush" not in notes


def test_memories_believe_the_identity_headers() -> None:
    decision = {
        "name": "d",
        "plugins": [{"type": "memory", "configuration": {"auto_store": True}}],
    }
    document = {
        "version": "v0.3",
        "routing": {"decisions": [decision]},
        "global": {
            "stores": {"memory": {"backend": "qdrant", "qdrant": {"host": "q", "port": 6334}}}
        },
    }
    settings, notes = read(document)
    assert settings["identity"]["trusted"] is True
    assert settings["stores"] == {"memory of qdrant": {"qdrant": {"base_url": "http://q:6333"}}}
    rule = settings["routing"]["decisions"][0]["plugins"]["memory"]
    assert rule == {"store": "memory of qdrant", "store_turns": True}
    assert "6334 speaks gRPC" in notes


@pytest.mark.parametrize(("own", "cached"), [(None, True), (False, False), (True, True)])
def test_categories_of_the_flat_format_are_cached_as_they_say(
    own: bool | None, cached: bool
) -> None:
    category: dict[str, Any] = {
        "name": "math",
        "model_scores": [{"model": "m", "score": 1.0}],
    }
    if own is not None:
        category["semantic_cache_enabled"] = own
    document = {
        "vllm_endpoints": [{"name": "e", "address": "10.0.0.1", "port": 8000}],
        "model_config": {"m": {"preferred_endpoints": ["e"]}},
        "semantic_cache": {"enabled": True, "similarity_threshold": 0.9, "ttl_seconds": 60},
        "categories": [category],
        "default_model": "m",
    }
    settings, _ = read(document)
    plugins = settings["routing"]["decisions"][0].get("plugins", {})
    assert ("response_cache" in plugins) == cached
    if cached:
        assert plugins["response_cache"] == {"threshold": 0.9, "ttl_s": 60, "mode": "semantic"}


def test_a_model_that_draws_becomes_an_engine() -> None:
    configuration = {
        "backend": "vllm_omni",
        "backend_config": {
            "base_url": "http://image-router:8005",
            "model": "Qwen/Qwen-Image",
            "num_inference_steps": 28,
            "api_key": "sk-hush",
        },
        "default_width": 512,
        "timeout_seconds": 30,
    }
    decision = {"name": "d", "plugins": [{"type": "image_gen", "configuration": configuration}]}
    settings, notes = read({"version": "v0.3", "routing": {"decisions": [decision]}})
    assert settings["engines"]["pictures of vllm_omni"] == {
        "openai_images": {
            "base_url": "http://image-router:8005/v1",
            "model": "Qwen/Qwen-Image",
            "options": {"num_inference_steps": 28},
            "deadline_ms": 30_000,
        }
    }
    rule = settings["routing"]["decisions"][0]["plugins"]["image_gen"]
    assert rule == {"engine": "pictures of vllm_omni", "width": 512}
    assert "hush" not in notes


@pytest.mark.parametrize(
    ("said", "retries", "breaker"),
    [
        ({"retry_count": 2}, {"attempts": 3}, None),
        ({"retry_on": "gateway-error,unknown"}, {"retry_on": ["502", "503", "504"]}, None),
        ({"base_ejection_time": "90s", "max_ejection_percent": 40}, None,
         {"pause_s": 90.0, "longest_pause_s": 90.0, "most_out": 0.4}),
        ({"base_ejection_time": "soon"}, None, None),
    ],
)  # fmt: skip
def test_retries_and_ejection(
    said: dict[str, Any], retries: dict[str, Any] | None, breaker: dict[str, Any] | None
) -> None:
    model = {"name": "m", "backend_refs": [{"endpoint": "10.0.0.1:80"}], "reliability": said}
    settings, _ = read({"version": "v0.3", "providers": {"models": [model]}})
    made = settings["models"]["m"]
    assert (made.get("retries"), made.get("breaker")) == (retries, breaker)


def test_a_model_behind_anthropics_api_with_what_selection_reads() -> None:
    model = {
        "name": "m",
        "backend_refs": [{"endpoint": "10.0.0.1:80"}],
        "api_format": "anthropic",
        "param_size": "350M",
    }
    settings, notes = read({"version": "v0.3", "providers": {"models": [model]}})
    made = settings["models"]["m"]
    assert made["protocol"] == "anthropic" and made["parameters_b"] == 0.35
    assert "api_format" not in notes


def test_responses_are_kept_in_redis() -> None:
    api = {"enabled": True, "store_backend": "redis", "ttl_seconds": 60, "redis": {"host": "r"}}
    settings, _ = read({"version": "v0.3", "global": {"services": {"response_api": api}}})
    assert settings["responses"] == {"ttl_s": 60, "store": "responses"}
    assert settings["stores"]["responses"] == {"redis": {"url": "redis://r:6379/0"}}


def test_teams_and_tenants_keep_their_headers() -> None:
    identity = {"team_id_header": "X-Team", "tenant_id_header": "X-Tenant"}
    document = {"version": "v0.3", "global": {"services": {"authz": {"identity": identity}}}}
    settings, _ = read(document)
    assert settings["identity"] == {"team_header": "x-team", "tenant_header": "x-tenant"}
