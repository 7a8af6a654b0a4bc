"""What a cluster holds, laid over a configuration file (AX-01, AX-04)."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import SHARED
from wayside.cli.files import native
from wayside.kube.registry import Held, Llm, Server, read_llm, settled
from wayside.runtime import compile_policy
from wayside.runtime.registry import lay_over
from wayside.settings import RouterSettings
from wayside.settings.registry import RegistrySettings
from wayside.translate.intelligent import judge, statistics
from wayside.vocab.errors import ConfigError

ROUTES = RegistrySettings(routes=True)
BASE: dict[str, Any] = {
    "models": {"small": {"endpoints": ["127.0.0.1:1"]}, "big": {"endpoints": ["127.0.0.1:2"]}},
    "reasoning_families": {
        "qwen3": {"type": "chat_template_kwargs", "parameter": "enable_thinking"}
    },
}
SIGNALS: dict[str, tuple[str, dict[str, Any]]] = {
    "keyword": ("keywords", {"name": "k", "operator": "OR", "keywords": ["urgent"]}),
    "embedding": ("embeddings", {"name": "e", "threshold": 0.7, "candidates": ["help me"]}),
    "domain": ("domains", {"name": "law"}),
}
PLUGINS = [
    {"type": "system_prompt", "configuration": {"system_prompt": "Be brief.", "mode": "replace"}},
    {"type": "response_cache", "configuration": {"enabled": True, "similarity_threshold": 0.9}},
]


def pool(*names: str, default: str = "", **model: Any) -> dict[str, Any]:
    models = [{"name": name, **model} for name in names]
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "IntelligentPool",
        "metadata": {"name": "p", "namespace": "ns", "uid": "1", "generation": 1},
        "spec": {"defaultModel": default or names[0], "models": models},
    }


def route(signals: dict[str, Any], *decisions: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "vllm.ai/v1alpha1",
        "kind": "IntelligentRoute",
        "metadata": {"name": "r", "namespace": "ns", "uid": "2", "generation": 1},
        "spec": {"signals": signals, "decisions": list(decisions)},
    }


def decision(
    *conditions: tuple[str, str], name: str = "d", model: str = "big", **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "signals": {
            "operator": "AND",
            "conditions": [{"type": kind, "name": rule} for kind, rule in conditions],
        },
        "modelRefs": [{"model": model}],
        **more,
    }


def made(
    *objects: dict[str, Any], base: dict[str, Any] = BASE, written: dict[str, Any] | None = None
) -> RouterSettings:
    pools = tuple(o for o in objects if o["kind"] == "IntelligentPool")
    routes = tuple(o for o in objects if o["kind"] == "IntelligentRoute")
    held = Held(pools=pools, routes=routes)
    return RouterSettings.model_validate(lay_over(base, ROUTES, held, {}, "ns", written=written))


COMBINED = [
    (kinds, with_plugin)
    for count in (1, 2, 3)
    for kinds in itertools.combinations(SIGNALS, count)
    for with_plugin in (False, True)
]


@pytest.mark.parametrize(("kinds", "with_plugin"), COMBINED)
def test_every_mix_of_signals_and_plugins_is_in_force_whole(
    kinds: tuple[str, ...], with_plugin: bool
) -> None:
    """AX-01: plugins keep their configuration and models their reasoning, as D34 has it not."""
    signals: dict[str, Any] = {SIGNALS[kind][0]: [SIGNALS[kind][1]] for kind in kinds}
    taken = decision(*((kind, SIGNALS[kind][1]["name"]) for kind in kinds), priority=7)
    taken["modelRefs"][0] |= {"useReasoning": True, "reasoningEffort": "high"}
    if with_plugin:
        taken["plugins"] = PLUGINS
    settings = made(pool("small", "big", reasoningFamily="qwen3"), route(signals, taken))
    assert settings.routing.default_model == "small"
    assert settings.models["big"].reasoning_family == "qwen3"
    (found,) = settings.routing.decisions
    assert found.name == "d" and found.priority == 7
    (candidate,) = found.models
    assert (candidate.model, candidate.reasoning, candidate.effort) == ("big", True, "high")
    assert set(settings.routing.signals) == set(kinds)
    if with_plugin:
        assert found.plugins["system_prompt"] == {"prompt": "Be brief."}
        assert found.plugins["response_cache"] == {"mode": "semantic", "threshold": 0.9}
    compile_policy(settings)


def test_rules_nest_and_several_models_go_with_an_algorithm() -> None:
    inner = {"operator": "NOT", "conditions": [{"type": "domain", "name": "law"}]}
    taken = decision(("keyword", "k"), algorithm={"type": "static"})
    taken["signals"]["conditions"].append(inner)
    taken["modelRefs"] = [{"model": "small"}, {"model": "big", "useReasoning": False}]
    signals = {"keywords": [SIGNALS["keyword"][1]], "domains": [{"name": "law"}]}
    settings = made(pool("small", "big"), route(signals, taken))
    (found,) = settings.routing.decisions
    assert [c.model for c in found.models] == ["small", "big"]
    assert found.when is not None and found.when.all is not None
    assert found.when.all[1].not_ is not None
    compile_policy(settings)


def test_every_kind_of_signal_may_stand_in_a_route() -> None:
    signals = {"language": [{"name": "de"}], "pii": [{"name": "secrets", "threshold": 0.8}]}
    settings = made(
        pool("small", "big"), route(signals, decision(("language", "de"), ("pii", "secrets")))
    )
    assert set(settings.routing.signals) == {"language", "pii"}


BAD = [
    (
        pool("small"),
        route(
            {"keywords": [SIGNALS["keyword"][1]] * 2}, decision(("keyword", "k"), model="small")
        ),
        "duplicate keyword signal name: k",
    ),
    (
        pool("small"),
        route({}, decision(("keyword", "x"), model="small")),
        "decision d references unknown keyword signal: x",
    ),
    (
        pool("small"),
        route({"domains": [{"name": "law"}]}, decision(("domain", "law"), model="huge")),
        "decision d references unknown model: huge",
    ),
    (
        pool("small"),
        route(
            {"domains": [{"name": "law"}]},
            decision(("domain", "law"), modelRefs=[{"model": "small", "loraName": "x"}]),
        ),
        "decision d references unknown LoRA x for model small",
    ),
    (
        pool("small", reasoningFamily="gpt9"),
        route({"domains": [{"name": "law"}]}, decision(("domain", "law"), model="small")),
        "model small references unknown reasoning family: gpt9",
    ),
    (
        pool("small", "small"),
        route({"domains": [{"name": "law"}]}, decision(("domain", "law"), model="small")),
        "duplicate model name: small",
    ),
    (
        pool("small", default="tiny"),
        route({"domains": [{"name": "law"}]}, decision(("domain", "law"), model="small")),
        "defaultModel tiny is not among models: small",
    ),
]


@pytest.mark.parametrize(("pool", "route", "says"), BAD)
def test_what_does_not_go_together_is_refused(
    pool: dict[str, Any], route: dict[str, Any], says: str
) -> None:
    """AX-04."""
    with pytest.raises(ConfigError, match=says):
        made(pool, route)


def test_names_within_nested_rules_are_looked_up_too() -> None:
    """AX-04."""
    taken = decision(("domain", "law"))
    inner = {"operator": "OR", "conditions": [{"type": "keyword", "name": "gone"}]}
    taken["signals"]["conditions"].append(inner)
    with pytest.raises(ConfigError, match="unknown keyword signal: gone"):
        made(pool("big"), route({"domains": [{"name": "law"}]}, taken))


def test_one_of_each_is_wanted() -> None:
    """AX-02."""
    alone = route({"domains": [{"name": "law"}]}, decision(("domain", "law")))
    of_pool, of_route = judge([pool("big")] * 2, [alone], "ns")
    assert of_pool[0] == "Conflict"
    assert of_pool[1].startswith("found 2 IntelligentPools in namespace ns, expected exactly 1;")
    assert of_route == ("ValidationFailed", of_pool[1])
    of_pool, of_route = judge([pool("big")], [], "ns")
    assert (
        of_pool
        == of_route
        == (
            "ValidationFailed",
            "no IntelligentRoute in namespace ns: create one",
        )
    )


def test_a_route_says_how_much_it_holds() -> None:
    signals = {"keywords": [{}, {}], "domains": [{}]}
    counted = {"decisions": 1, "keywords": 2, "embeddings": 0, "domains": 1}
    assert statistics(route(signals, decision())) == counted


def test_found_models_and_servers_are_added() -> None:
    registry = RegistrySettings.model_validate(
        {"llms": True, "pods": {"selector": "app=vllm"}, "defaults": {"context_window": 4096}}
    )
    held = Held(
        llms=(
            Llm(name="a", namespace="ns", model="qwen", url="https://a-svc.ns.svc:8000"),
            Llm(name="b", namespace="ns", model="qwen", url="https://b-svc.ns.svc:8000"),
        ),
        servers={
            "http://10.0.0.1:8000": Server("pod-1", {"zone": "a"}),
            "http://10.0.0.2:8000": Server("pod-2"),
        },
    )
    served = {"http://10.0.0.1:8000": ("small", "new")}
    out = lay_over(BASE, registry, held, served, "ns")["models"]
    assert [e["url"] for e in out["qwen"]["endpoints"]] == [
        "https://a-svc.ns.svc:8000",
        "https://b-svc.ns.svc:8000",
    ]
    assert out["new"] == {
        "context_window": 4096,
        "endpoints": [{"url": "http://10.0.0.1:8000", "name": "pod-1", "labels": {"zone": "a"}}],
    }
    assert out["small"]["endpoints"][0] == "127.0.0.1:1" and len(out["small"]["endpoints"]) == 2
    assert BASE["models"]["small"] == {"endpoints": ["127.0.0.1:1"]}


def laid(registry: dict[str, Any], *names: str, **base: Any) -> tuple[dict[str, Any], list[str]]:
    """A file with what one pod says it serves, and what was left out."""
    settings = RegistrySettings.model_validate(registry)
    held = Held(servers={"http://10.0.0.1:8000": Server("pod-1")})
    left: list[str] = []
    served = {"http://10.0.0.1:8000": names}
    env = {"SECRET": "s3cret", "KEY": "pa$$word"}
    return lay_over(base, settings, held, served, "ns", env=env, left=left), left


PODS = {"pods": {"selector": "app=vllm"}}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("auto", "asks the router to choose"),
        ("fast", "is an alias of model 'small'"),
        ("law-lora", "is an adapter of model 'small'"),
        ("cheap", "is an entrypoint"),
        ("two\nlines", "cannot be printed"),
        ("", "1 to 256 characters"),
        ("x" * 257, "1 to 256 characters"),
    ],
)
def test_a_name_that_clashes_costs_that_model_alone(name: str, says: str) -> None:
    """Whoever starts a model server must not put the router out of order."""
    small = {"endpoints": ["127.0.0.1:1"], "aliases": ["fast"], "loras": [{"name": "law-lora"}]}
    entry = {"names": ["cheap"], "recipe": "r"}
    base = {"models": {"small": small}, "entrypoints": [entry], "recipes": {"r": {}}}
    out, left = laid(PODS, name, "fine", **base)
    assert set(out["models"]) == {"small", "fine"}
    assert len(left) == 1 and says in left[0] and "pod-1" in left[0]
    compile_policy(RouterSettings.model_validate(out))


def test_servers_of_one_model_under_two_paths_are_not_mixed() -> None:
    """One configuration holds one path of a model: the file's, or the first that is found."""
    at_v2 = {"endpoints": ["http://127.0.0.1:1/v2"]}
    out, left = laid(PODS, "small", models={"small": at_v2})
    assert out["models"]["small"]["endpoints"] == ["http://127.0.0.1:1/v2"]
    assert "served under /v1, and by others under /v2" in left[0]
    compile_policy(RouterSettings.model_validate(out))
    out, left = laid(PODS, "small", models={"small": {"endpoints": ["http://10.0.0.1:8000"]}})
    assert len(out["models"]["small"]["endpoints"]) == 1 and not left  # it was there already


def test_a_server_that_lists_very_many_models_is_cut() -> None:
    out, left = laid(PODS, *(f"m{i:05}" for i in range(10_000)))
    assert len(out["models"]) == 256 and "of 10000 models, the first 256 are used" in left[0]


def test_what_a_cluster_says_is_never_filled_from_the_environment() -> None:
    """Else anybody who may name a model could read the router's secrets in /v1/models; and what
    the file says is filled once."""
    headers = {"x-key": "${KEY}"}
    registry = {**PODS, "defaults": {"headers": {"x-key": "pa$$word"}}}  # filled already
    out, _ = laid(registry, "${SECRET}", models={"a": {"headers": headers}})
    assert out["models"]["${SECRET}"]["headers"] == out["models"]["a"]["headers"]
    taken = decision(("keyword", "k"), description="${SECRET} costs $5")
    taken["plugins"] = [{"type": "system_prompt", "configuration": {"system_prompt": "${SECRET}"}}]
    both = pool("small", "big"), route({"keywords": [SIGNALS["keyword"][1]]}, taken)
    vsr: dict[str, Any] = {"version": "v0.3", "routing": {}}
    for written in (None, vsr):
        held = Held(pools=both[:1], routes=both[1:])
        env = {"SECRET": "s3cret"}
        out = lay_over(BASE, ROUTES, held, {}, "ns", env=env, written=written)
        assert "s3cret" not in str(out) and "'${SECRET}'" in str(out)


@pytest.mark.parametrize(
    ("defaults", "says"),
    [
        ({"timeout": {"total_s": 3}}, "registry.defaults.timeout: unknown key"),
        ({"timeouts": {"total_s": "x"}}, "registry.defaults.timeouts.total_s"),
        ({"endpoints": ["a:1"]}, "registry.defaults.endpoints: is of each model"),
        ({"reasoning_family": "gpt9"}, "registry.defaults.reasoning_family: no reasoning family"),
    ],
)
def test_a_mistake_in_defaults_is_told_before_a_model_is_found(
    defaults: dict[str, Any], says: str
) -> None:
    registry = {"llms": True, "defaults": defaults}
    with pytest.raises(ConfigError) as caught:
        compile_policy(RouterSettings.model_validate({"registry": registry}))
    assert says in str(caught.value)


def test_a_mistake_beside_a_secret_in_defaults_does_not_show_it() -> None:
    defaults = {"headers": {"x-key": ["s3cret"]}, "credential": {"env": {"s3cret": 1}}}
    registry = {"llms": True, "defaults": defaults}
    with pytest.raises(ConfigError) as caught:
        compile_policy(RouterSettings.model_validate({"registry": registry}))
    assert "registry.defaults.headers" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_router_of_a_registry_starts_with_no_models() -> None:
    compile_policy(RouterSettings.model_validate({"registry": PODS}))


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "take-models-from-a-cluster.md"


def test_the_printed_files_are_read_as_ours_and_can_be_used() -> None:
    """One of them has no `models`, as vSR's files have none."""
    blocks = re.findall(r"```yaml\n(registry:.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        document, format_, _ = native(block.encode(), "wayside.yaml")
        assert format_ == "wayside"
        compile_policy(RouterSettings.model_validate(document))


@pytest.mark.parametrize(
    ("status", "url"),
    [
        ({}, ""),
        ({"url": "http://example.com/ns/x"}, "http://example.com/ns/x"),
        (
            {"url": "http://x.com", "addresses": [{"url": "https://x-svc.ns.svc:8000"}]},
            "https://x-svc.ns.svc:8000",
        ),
        ({"address": {"url": "http://x.ns.svc.cluster.local"}}, "http://x.ns.svc.cluster.local"),
        ({"url": "not a url", "addresses": "x"}, ""),
    ],
)
def test_an_llm_is_asked_inside_the_cluster(status: dict[str, Any], url: str) -> None:
    found = {"metadata": {"name": "x"}, "spec": {"model": {"name": "Qwen/X"}}, "status": status}
    llm = read_llm(found)
    assert (llm.model, llm.url) == ("Qwen/X", url)


def test_the_time_of_a_condition_moves_with_its_status() -> None:
    old = {"type": "Ready", "status": "True", "lastTransitionTime": "then", "reason": "x"}
    new = {"type": "Ready", "status": "True", "lastTransitionTime": "now", "reason": "y"}
    assert settled({"conditions": [old]}, {"conditions": [new]})["conditions"] == [
        {**new, "lastTransitionTime": "then"}
    ]
    turned = {**new, "status": "False"}
    assert settled({"conditions": [old]}, {"conditions": [turned]})["conditions"] == [turned]


FIXTURES = SHARED / "data" / "vsr-configs" / "pool-and-route"


@pytest.mark.shared
@pytest.mark.parametrize("number", ["02", "03", "04", "05"])
def test_published_pairs_mean_what_is_published_with_them(number: str) -> None:
    """AX-01, of the pairs whose published outcome is right (D34)."""
    if not FIXTURES.exists():
        pytest.skip(f"{FIXTURES} is not here")
    (given,) = (FIXTURES / "input").glob(f"{number}-*.yaml")
    (wanted,) = (FIXTURES / "output").glob(f"{number}-*.yaml")
    path = FIXTURES / "base-config.yaml"
    base = _native(path)
    assert base["registry"] == {"routes": True}
    objects = [o for o in yaml.safe_load_all(given.read_text()) if o]
    ours = made(*objects, base=base, written=yaml.safe_load(path.read_text())).model_dump()
    theirs = RouterSettings.model_validate(_native(wanted)).model_dump()
    for models in (ours["models"], theirs["models"]):
        for model in models.values():  # published ones are 0.39999999999999997
            price = model["price"] or {}
            model["price"] = {k: round(v, 9) if type(v) is float else v for k, v in price.items()}
    assert ours["models"] == theirs["models"]
    assert ours["routing"] == theirs["routing"]
    assert ours["reasoning_families"] == theirs["reasoning_families"]


def _native(path: Path) -> dict[str, Any]:
    return native(path.read_bytes(), str(path))[0]
