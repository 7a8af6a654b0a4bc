"""What clients without rights, odd files and odd arguments must not reach."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.production_stack.processes import eventually, started
from tests.production_stack.test_routing import servers
from tests.production_stack.test_stack import engines, post, router
from tests.running import Running, chat, running
from wayside.cli.vllm_router import Source
from wayside.gateway import stack
from wayside.sim import SimModel, SimServer, serve_sim
from wayside.translate.production_stack_args import ARGUMENTS, Argument, parsed, settings_of
from wayside.translate.production_stack_args import together as joined
from wayside.vocab.errors import ConfigError

STATIC = [
    "--service-discovery", "static", "--static-backends", "http://a:8000",
    "--static-models", "m", "--routing-logic", "roundrobin",
]  # fmt: skip


@asynccontextmanager
async def two_models(**settings: Any) -> AsyncIterator[tuple[Running, Any]]:
    """``a`` and ``b``, each on a server of its own that serves both."""
    sims = [SimServer((SimModel("a"), SimModel("b")), replica=i) for i in range(2)]
    async with serve_sim(sims) as (first, second):
        models = {"a": {"endpoints": [first.url]}, "b": {"endpoints": [second.url]}}
        document = {"models": models, "production_stack": {"enabled": True}, **settings}
        async with running("gateway", document) as found:
            yield found, (first, second)


async def test_a_pin_does_not_reach_another_models_server() -> None:
    async with two_models() as (found, sims):
        theirs = next(e for e in await engines(found) if e["serving_models"] == ["b"])
        for path, body in (
            ("/v1/chat/completions", chat("hi", "a")),
            ("/tokenize", {"model": "a", "prompt": "hi"}),
        ):
            refused = await post(found, f"{path}?id={theirs['id']}", body)
            assert (refused.status, refused.json["error"]["code"]) == (404, "engine_not_found")
        assert not [r for r in sims[1].requests if r.method == "POST"]


async def test_a_pin_skips_no_guard() -> None:
    guard = {"decisions": [{"name": "all", "plugins": {"pii": {"action": "block"}}}]}
    more = {"recipes": {"guard": guard}, "guard_recipe": "guard"}
    async with two_models(**more) as (found, sims):
        ours = next(e for e in await engines(found) if e["serving_models"] == ["a"])
        path = f"/v1/chat/completions?id={ours['id']}"
        refused = await post(found, path, chat("I am ann@example.com", "a"))
        assert refused.headers["x-vsr-response-path"] == "fast_response"
        assert not sims[0].requests
        answered = await post(found, path, chat("hello", "a"))
        assert answered.headers["x-vsr-response-path"] == "upstream"


async def test_tokens_are_counted_by_the_engine_that_is_named() -> None:
    async with router(3) as (found, sims):
        third = (await engines(found))[2]
        for _ in range(3):
            body = {"model": "m", "prompt": "one two"}
            assert (await post(found, f"/tokenize?id={third['id']}", body)).status == 200
        said = [r.path for sim in sims for r in sim.requests]
        assert said == ["/tokenize"] * 3
        assert len(sims[2].requests) == 3
        lost = await post(found, "/tokenize?id=nobody", {"model": "m", "prompt": "x"})
        assert lost.json["error"]["code"] == "engine_not_found"


@pytest.mark.parametrize("query", ["&".join(["id=1"] * 200), "id=%ff%00", "id=" + "a" * 9000])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tokenize", "/sleep"])
async def test_odd_pins_are_refused(path: str, query: str) -> None:
    async with router(1) as (found, sims):
        answer = await post(found, f"{path}?{query}", chat("hi", "m"))
        assert answer.status in (400, 404)
        assert len(answer.body) < 1000
        assert not sims[0].requests


async def test_nobody_without_rights_puts_an_engine_to_sleep() -> None:
    rights: dict[str, Any] = {"enabled": True, "admin_groups": ["ops"]}
    settings = {"production_stack": rights, "identity": {"trusted": True}}
    async with router(1, **settings) as (found, sims):
        ops = {"x-authz-user-groups": "staff, ops"}
        (engine,) = ((await found.ask(b"", ops, "/is_sleeping?id=x")).json,)
        assert "error" in engine
        for path in ("/sleep", "/wake_up"):
            for groups in ({}, {"x-authz-user-groups": "opsy"}, {"x-authz-user-groups": ","}):
                assert (await found.ask(b"", groups, f"{path}?id=any")).status == 403
        assert (await found.get("/engines")).status == 403
        assert not sims[0].requests


async def test_a_key_that_names_the_session_is_not_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str | None] = []
    real = stack.StackMetrics.attempting

    def attempting(self: Any, exchange: Any, name: str, server: str, session: Any) -> None:
        told.append(session)
        real(self, exchange, name, server, session)

    monkeypatch.setattr(stack.StackMetrics, "attempting", attempting)
    settings = {"production_stack": {"enabled": True, "session_key": "Authorization"}}
    async with router(1, **settings) as (found, _):
        for key in ("sk-secret", "sk-secret", "sk-other"):
            await found.ask(chat("hi", "m"), {"authorization": f"Bearer {key}"})
    assert not any("sk-" in str(session) for session in told)
    assert told[0] == told[1] != told[2]


# Files and arguments


def test_a_config_may_name_the_dynamic_configuration(tmp_path: Path) -> None:
    dynamic, config = tmp_path / "dynamic.json", tmp_path / "config.yaml"
    dynamic.write_text(
        json.dumps(
            {
                "service_discovery": "static",
                "routing_logic": "roundrobin",
                "static_backends": "http://b:1",
                "static_models": "n",
            }
        )
    )
    config.write_text(f"dynamic-config-json: {dynamic}\nhost:\nport: 7000\n")
    source = Source(parsed([*STATIC, "--config", str(config)]), env={})
    assert source.path == str(dynamic)
    settings = source.loaded(source.text()).settings
    assert list(settings.models) == ["n"]
    assert (settings.listen.address, settings.listen.port) == ("0.0.0.0", 7000)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ("config: other.yaml", "names another file"),
        ("dynamic_config_json: a\ndynamic_config_yaml: b", "both are given"),
        ("external_providers_config: /nowhere", "cannot be read"),
        ("nonsense: 1", "unknown"),
    ],
)
def test_nothing_in_a_config_is_read_past(tmp_path: Path, config: str, what: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(config)
    with pytest.raises(ConfigError, match=what):
        Source(parsed([*STATIC, "--config", str(path)]), env={}).loaded(b"")


def test_a_dynamic_configuration_names_no_other() -> None:
    with pytest.raises(ConfigError, match=r"dynamic.config.yaml"):
        Source(parsed(STATIC), env={}).loaded(b'{"dynamic_config_yaml": "x"}')


ODD = {
    "static-backends": "http://b:2",
    "static-models": "n",
    "static-aliases": "x:m",
    "static-model-types": "vision",
    "routing-logic": "leastloaded",
    "log-level": "debug",
    "log-format": "json",
    "feature-gates": "PIIDetection=true",
}
WITH = {
    "batch": ["--enable-batch-api"],
    "stats": ["--log-stats"],
    "checks": ["--static-backend-health-checks"],
    "cache": ["--feature-gates", "SemanticCache=true"],
    "session": ["--routing-logic", "session", "--session-key", "s"],
    "prefix": ["--routing-logic", "prefixaware"],
    "kv": ["--routing-logic", "kvaware"],
}


def became(words: list[str]) -> tuple[Any, list[str]]:
    try:
        found = settings_of(joined(parsed(words), {}, {}, {}))
    except ConfigError as error:
        return None, [str(error)]
    return found.settings, [str(note) for note in found.notes]


@pytest.mark.parametrize("more", [[], *WITH.values()], ids=["alone", *WITH])
@pytest.mark.parametrize("argument", ARGUMENTS, ids=lambda a: a.name)
def test_no_argument_is_taken_and_ignored(argument: Argument, more: list[str]) -> None:
    """Set to something odd it changes the settings, or something is said of it by its name."""
    if argument.name.startswith(("config", "dynamic-config")) or f"--{argument.name}" in more:
        pytest.skip("names a file, or is set already")
    odd = {"text": ODD.get(argument.name, "odd"), "whole": "7", "number": "7.5", "flag": ""}
    value = odd[argument.kind]
    before = became(STATIC + more)
    after = became([*STATIC, *more, f"--{argument.name}", *([value] if value else [])])
    joined_by = f"--{argument.name}={value}" if value else f"--{argument.name}"
    assert became([*STATIC, *more, joined_by]) == after
    assert after != before
    if after[0] == before[0]:
        assert any(argument.key in note or argument.name in note for note in after[1])


def test_health_keeps_the_secrets_of_a_configuration(tmp_path: Path) -> None:
    with servers(1, "m") as (url,):
        path = tmp_path / "dynamic.json"
        good = {
            "service_discovery": "static",
            "routing_logic": "roundrobin",
            "static_backends": url,
            "static_models": "m",
        }
        provider = {
            "name": "p",
            "api_base": "https://u:hunter2@example.com/v1",
            "api_key_env_var": "sk-hunter2",
            "api_key": "hunter2",
            "custom_headers": {"authorization": "Bearer hunter2", "x-a": "hunter2\r\nb"},
            "models": [{"id": "n"}],
        }
        path.write_text(json.dumps(good))
        words = ["vllm-router", "--dynamic-config-json", str(path), "--port", "0"]
        with started(tmp_path, *words, "--host", "127.0.0.1") as process:
            for bad in (
                {**good, "external_providers": [provider]},
                {**good, "static_backends": "http://u:hunter2@h:1"},
                {**good, "password": "hunter2"},
            ):
                seen = len(process.events("refused"))
                path.write_text(json.dumps(bad))
                eventually(lambda seen=seen: len(process.events("refused")) > seen)
                status, said = process.ask("/health")
                assert status == 200
                assert said["dynamic_config_error"]
                assert "hunter2" not in json.dumps(said)
            # Whatever becomes of the file, what was good goes on.
            for spoil in (
                lambda: path.write_bytes(b"[" * (10 << 20)),
                lambda: path.write_bytes(b"\xff\xfe"),
                lambda: (path.unlink(), path.mkdir()),
            ):
                seen = len(process.events("refused"))
                spoil()
                eventually(lambda seen=seen: len(process.events("refused")) > seen)
                assert process.chat()[0] == 200
            path.rmdir()
            for i in range(200):
                path.write_text(json.dumps({**good, "session_key": f"k{i}"}))
            eventually(lambda: process.ask("/health")[1]["dynamic_config"].get("session_key"))
            assert process.chat()[0] == 200
            assert "hunter2" not in process.text
