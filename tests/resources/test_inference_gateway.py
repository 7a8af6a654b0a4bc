"""InferenceGateway: the chain compiled into what a router runs (A3-05 to A3-16, A3-21)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.resources.production_stack import (
    NAMESPACE,
    conditions,
    endpoints,
    made,
    message,
    pod,
    put,
    service,
)
from tests.resources.worlds import FakeWorld
from wayside.manifests.production_stack import (
    ENVOY_BACKENDS,
    INFERENCE_CACHES,
    INFERENCE_SERVICES,
    NODES,
)
from wayside.resources import Desired, Object, Probed, Trouble
from wayside.resources.inference_gateway import InferenceGatewayKeeper
from wayside.runtime import compile_policy
from wayside.settings import RouterSettings
from wayside.settings.load import fill
from wayside.vocab.resource import DEPLOYMENTS, ENDPOINT_SLICES, PODS, SERVICES

KEEPER = InferenceGatewayKeeper()
ROLE = "llm-d.ai/role"
NOBODY = {"discover": {"kubernetes": {"service": "0-not-there-yet"}}}
PAGE = "http://dcgm:9400/metrics"
GPUS = b'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",Hostname="n1",pod="llama-0"} 37\n'


def gateway(**spec: Any) -> Object:
    """The gateway of requirement 003's README, with one route."""
    routes = [{"model": "llama3-70b", "inferenceServiceRef": "chatbot"}]
    return made("InferenceGateway", "llm-gateway", **{"routes": routes, **spec})


def world(**spec: Any) -> FakeWorld:
    """An InferenceService ``chatbot`` and the Service behind it, with two pods."""
    its = {"modelName": "meta-llama/Llama-3-70B", "backendRef": "llama3", **spec}
    found = FakeWorld(service("llama3", ("http", 8000)))
    found.put(ENDPOINT_SLICES, endpoints("llama3", ("10.0.0.1", "llama-0"),
                                         ("10.0.0.2", "llama-1"), port="http"))  # fmt: skip
    return put(found, made("InferenceService", "chatbot", **its))


def config(desired: Desired) -> dict[str, Any]:
    """What the gateway's router is told, which it takes."""
    (found,) = (c for c in desired.children if c["kind"] == "ConfigMap")
    document = yaml.safe_load(found["data"]["config.yaml"])
    filled = fill(document, {})
    compile_policy(RouterSettings.model_validate(filled))
    return filled


def asked(found: FakeWorld, **spec: Any) -> dict[str, Any]:
    return config(KEEPER.desired(gateway(**spec), found))


def model(found: FakeWorld, **spec: Any) -> dict[str, Any]:
    return asked(found, **spec)["models"]["llama3-70b"]


# --- routes and backends -----------------------------------------------------------------------


@pytest.mark.parametrize("go", [False, True])
def test_a_route_is_a_model_whose_servers_the_router_follows(go: bool) -> None:
    """A3-03, A3-08, A3-13: in both forms."""
    ref = {"apiGroup": "production-stack.vllm.ai", "kind": "InferenceService", "name": "chatbot"}
    routes = [{"modelName": "llama3-70b", "serviceRef": ref}]
    spec: dict[str, Any] = {"routes": [], "modelRoutes": routes} if go else {}
    assert model(world(), **spec) == {
        "upstream_name": "meta-llama/Llama-3-70B",
        "discover": {"kubernetes": {"service": "llama3", "namespace": NAMESPACE, "port": "http"}},
        "picking": {"picker": "least_requests"},
    }


def test_static_discovery_leaves_the_choice_to_the_service() -> None:
    """A3-13."""
    found = model(world(), serviceDiscovery="static")
    assert found["endpoints"] == [{"url": "http://llama3.models.svc:8000"}]


def test_two_services_share_a_model_by_their_weights() -> None:
    """The Go form's `backendRef.weight`."""
    found = world(backendRef={"kind": "Service", "name": "llama3", "weight": 3})
    put(found, made("InferenceService", "other", modelName="meta-llama/Llama-3-70B",
                    backendRef={"kind": "Service", "name": "spare", "weight": 1}))  # fmt: skip
    found.put(SERVICES, service("spare"))
    routes = [{"model": "llama3-70b", "inferenceServiceRef": n} for n in ("chatbot", "other")]
    assert model(found, routes=routes)["endpoints"] == [
        {"url": "http://llama3.models.svc:8000", "weight": 3.0},
        {"url": "http://spare.models.svc:8000", "weight": 1.0},
    ]
    twice = KEEPER.desired(gateway(routes=[routes[0], routes[0]]), found)
    assert "spec.routes[1]: routes to chatbot a second time" in message(twice, "ResolvedRefs")
    put(found, made("InferenceService", "other", modelName="x", backendRef="spare"))
    other = KEEPER.desired(gateway(routes=routes), found)
    assert conditions(other)["ResolvedRefs"] == ("False", "RouteConflict")


def test_a_backend_of_envoy_gateway_is_looked_up() -> None:
    """A3-03: the Go form's `backendRef`."""
    ref = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "cloud", "port": 443}
    found = world(backendRef=ref)
    found.states[ENVOY_BACKENDS] = "absent"
    desired = KEEPER.desired(gateway(), found)
    assert conditions(desired)["ResolvedRefs"] == ("False", "BackendKindMissing")
    del found.states[ENVOY_BACKENDS]
    assert "Backend models/cloud is not there" in message(
        KEEPER.desired(gateway(), found), "ResolvedRefs"
    )
    several = [
        {"fqdn": {"hostname": "a.example", "port": 443}},
        {"ip": {"address": "fd00::1", "port": 443}},
        {"ip": {"address": "10.0.0.9", "port": 80}},
        {"unix": {"path": "/x"}},
    ]
    found.put(ENVOY_BACKENDS, {"metadata": {"name": "cloud", "namespace": NAMESPACE},
                               "spec": {"tls": {"x": 1}, "endpoints": several}})  # fmt: skip
    assert model(found)["endpoints"] == [
        {"url": "https://a.example:443"}, {"url": "https://[fd00::1]:443"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("remove", "reason", "said"),
    [
        ((INFERENCE_SERVICES, "chatbot"), "RefNotFound", "InferenceService models/chatbot"),
        ("service", "BackendNotFound", "Service models/llama3 is not there"),
    ],
)
def test_what_is_missing_is_named_and_the_rest_goes_on(
    remove: Any, reason: str, said: str
) -> None:
    """A3-03, A3-08: and comes back by itself, since it was looked for."""
    found = world()
    put(found, made("InferenceService", "spare", modelName="m2", backendRef="spare"))
    found.put(SERVICES, service("spare"))
    if remove == "service":
        found.remove(SERVICES, "llama3", NAMESPACE)
    else:
        found.remove(*remove, NAMESPACE)
    routes = [{"model": "llama3-70b", "inferenceServiceRef": "chatbot"},
              {"model": "m2", "inferenceServiceRef": "spare"}]  # fmt: skip
    desired = KEEPER.desired(gateway(routes=routes), found)
    its = config(desired)["models"]
    assert its["llama3-70b"] == NOBODY, "which is answered 503"
    assert its["m2"]["discover"] and desired.status["models"] == 1
    told = conditions(desired)
    assert told["Accepted"][0] == "True"
    assert told["ResolvedRefs"] == told["Ready"] == ("False", reason)
    assert said in message(desired, "ResolvedRefs")
    assert ("get", INFERENCE_SERVICES, NAMESPACE, "chatbot") in found.looks


def test_a_gateway_without_anything_behind_it_starts_all_the_same() -> None:
    """A3-08: applied first, its router waits for the rest rather than failing to start."""
    assert asked(FakeWorld())["models"] == {"llama3-70b": NOBODY}


def test_a_mistake_changes_nothing() -> None:
    desired = KEEPER.desired(gateway(routeStrategy="PrefixHsh"), world())
    assert not desired.children and not desired.prune
    assert "did you mean 'PrefixHash'?" in message(desired, "Accepted")
    desired = KEEPER.desired(
        gateway(routes=[{"model": "", "inferenceServiceRef": "chatbot"}]), world()
    )
    assert not desired.children and conditions(desired)["Ready"] == ("False", "InvalidSpec")


# --- which server ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "picking"),
    [
        ({"routeStrategy": "PrefixHash"}, {"picker": "prefix_hash"}),
        ({"routeStrategy": "prefix-hash"}, {"picker": "prefix_hash"}),
        ({"routeStrategy": "round-robin"}, {"picker": "round_robin"}),
        ({"routeStrategy": "RoundRobin"}, {"picker": "round_robin"}),
        ({"routeStrategy": "session-affinity"},
         {"filters": [{"session_filter": {"ttl_s": 3600}}], "picker": "least_requests"}),
        ({"routeStrategy": "PrefixHash", "sessionAffinity": True},
         {"filters": [{"session_filter": {"ttl_s": 3600}}], "picker": "prefix_hash"}),
        ({"schedulingPolicy": "gpu-load-aware"}, {"scorers": ["gpu_load"], "picker": "max_score"}),
        ({"schedulingPolicy": "load-aware"},
         {"scorers": ["queue", "kv_utilization", "active_requests"], "picker": "max_score"}),
        ({"schedulingPolicy": "gpu-load-aware", "routeStrategy": "PrefixHash",
          "sessionAffinity": True},
         {"filters": [{"session_filter": {"ttl_s": 3600}}],
          "scorers": [{"prefix_cache": {"block_tokens": 32}, "weight": 3.0}, "gpu_load"],
          "picker": "max_score"}),
    ],
)  # fmt: skip
def test_policies_and_strategies_are_pickings_that_the_router_has(
    spec: dict[str, Any], picking: dict[str, Any]
) -> None:
    """A3-05, A3-06, A3-07, A3-14, A3-15."""
    assert model(world(), **spec)["picking"] == picking


def test_thresholds_of_a_cache_go_into_the_picking() -> None:
    """A3-09: in both forms of numbers."""
    found = world(inferenceCacheRef="cache")
    policy = {"thresholdHitRate": "0.5", "evictionThreshold": 0.75}
    put(found, made("InferenceCache", "cache", modelName="llama3-70b", cacheTTL="2m",
                    kvCacheTransferPolicy=policy), gateway())  # fmt: skip
    assert model(found, routeStrategy="PrefixHash", sessionAffinity=True)["picking"] == {
        "filters": [
            {"utilization": {"waiting": None, "kv": 0.75}},
            {"session_filter": {"ttl_s": 120}},
        ],
        "scorers": [
            {"prefix_cache": {"block_tokens": 32, "least_share": 0.5}, "weight": 3.0},
            "active_requests",
        ],
        "picker": "max_score",
    }
    assert ("get", INFERENCE_CACHES, NAMESPACE, "cache") in found.looks


# --- GPUs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "answer", "expected"),
    [
        ("", None, ("False", "EndpointNotSet")),
        ("http://dcgm:9400", None, ("Unknown", "Checking")),
        ("dcgm:9400", Probed(healthy=False, problem="timeout"), ("False", "EndpointUnreachable")),
        (PAGE, Probed(healthy=True, status=200, body=b"<html>\x00"), ("False", "NoGPUs")),
        (PAGE, Probed(healthy=True, status=200, body=GPUS), ("True", "GPUMetricsAvailable")),
    ],
)
def test_without_an_exporter_the_gateway_goes_by_load_and_says_so(
    endpoint: str, answer: Probed | None, expected: tuple[str, str]
) -> None:
    """A3-16, A3-21: degraded is not broken."""
    found = world()
    found.settings["GPU_METRICS_ENDPOINT"] = endpoint
    found.probes[PAGE] = answer
    found.put(DEPLOYMENTS, _DEPLOYED)
    desired = KEEPER.desired(gateway(schedulingPolicy="gpu-load-aware"), found)
    told = conditions(desired)
    assert told["GPUMetricsAvailable"] == expected and told["Ready"] == ("True", "Ready")
    assert config(desired)["models"]["llama3-70b"]["picking"]["scorers"] == ["gpu_load"]
    fleet = {"gpu_metrics": {"url": PAGE}}
    assert config(desired).get("fleet") == (fleet if endpoint else None)
    assert "GPUMetricsAvailable" not in conditions(KEEPER.desired(gateway(), found))


def test_numbers_of_gpus_and_gateways_are_the_controllers_too() -> None:
    """A3-24, A3-25, A3-26: bounded, and nonsense is left out."""
    found = world()
    found.settings["GPU_METRICS_ENDPOINT"] = PAGE
    found.probes[PAGE] = Probed(
        healthy=True, status=200, body=GPUS * 3 + b"DCGM_FI_DEV_GPU_UTIL x"
    )
    found.put(SERVICES, service("llm-gateway", ("http", 8001)))
    page = b"""# HELP wayside_picks_total Requests.
wayside_picks_total{model="m",endpoint="a"} 7
wayside_pick_prompt_tokens_total{model="m"} 200
wayside_pick_cached_tokens_total{model="m"} 50
wayside_cache_hits_total{decision="d"} 1
wayside_cache_misses_total{decision="d"} 3
wayside_endpoint_kv_usage{model="m",endpoint="a\\"b"} 0.5
wayside_endpoint_kv_usage{model="m",endpoint="c"} NaN
wayside_picks_total{model="m",endpoint="cut of"""
    found.probes["http://10.96.0.7:8001/metrics"] = Probed(healthy=True, status=200, body=page)
    desired = KEEPER.desired(gateway(schedulingPolicy="gpu-load-aware"), found)
    told = {(f.name, *f.labels.values()): f.value for f in desired.figures}
    assert told == {
        ("router_controller_gpu_utilization", "n1", "GPU-1"): 0.37,
        ("router_controller_routed_requests", "m", "a"): 7,
        ("router_controller_kv_cache_usage", "m", 'a\\"b'): 0.5,
        ("router_controller_prefix_hit_rate", "m"): 0.25,
        ("router_controller_semantic_cache_hit_rate",): 0.25,
    }


# --- prefill, decode and drafts ----------------------------------------------------------------


def apart(found: FakeWorld, **hint: str) -> FakeWorld:
    """The chain of the README: a cache, and behind it who reads prompts and who drafts."""
    spec = made("InferenceService", "chatbot", modelName="llama3-70b", backendRef="llama3",
                inferenceCacheRef="cache")  # fmt: skip
    cache = made("InferenceCache", "cache", modelName="llama3-70b", pddRef="pdd", sdRef="sd")
    pdd = made("PrefillDecodingDisaggregation", "pdd", modelName="llama3-70b",
               topologyHint={"nodeSelector": hint})  # fmt: skip
    sd = made("SpeculativeDecoding", "sd", draftModel="llama3-1b", targetModel="llama3-70b")
    return put(found, spec, cache, pdd, sd)


def test_pods_play_their_parts_where_the_hint_wants_them() -> None:
    """A3-10, A3-12: by the pod's labels, the nodes it asks for, or the node that it is on."""
    found = apart(world(), zone="rack1", gpuType="NVIDIA-A100")
    several = [(f"10.0.0.{i}", f"llama-{i}") for i in range(4)]
    found.put(ENDPOINT_SLICES, endpoints("llama3", *several, port="http"))
    here = {"zone": "rack1", "gpuType": "NVIDIA-A100"}
    found.put(PODS, pod("llama-0", {ROLE: "prefill", **here}))
    found.put(PODS, pod("llama-1", {ROLE: "decode"}, nodeSelector=here))
    found.put(PODS, pod("llama-2", {ROLE: "decode"}, nodeName="n1"))
    found.put(PODS, pod("llama-3", {ROLE: "decode", "zone": "rack2"}, nodeName="n1"))
    found.put(NODES, {"metadata": {"name": "n1", "labels": here}})
    its = model(found)
    assert its["endpoints"] == [
        {"url": "http://10.0.0.0:8000", "name": "llama-0", "labels": {ROLE: "prefill"}},
        {"url": "http://10.0.0.1:8000", "name": "llama-1", "labels": {ROLE: "decode"}},
        {"url": "http://10.0.0.2:8000", "name": "llama-2", "labels": {ROLE: "decode"}},
    ]
    assert its["disaggregation"] == {"cached_share": 0.8} and its["health_check"] == {}
    assert its["speculative"] == {"method": "draft", "tokens": 5, "draft": "llama3-1b"}
    known = {"prefix_cache": {"block_tokens": 32}, "weight": 0.0}
    assert its["picking"]["scorers"] == [known, "active_requests"]


def test_without_pods_of_one_part_every_server_reads_its_own_prompts() -> None:
    """A3-12: degraded with a reason, never an empty pool."""
    found = apart(world(), zone="rack1")
    found.put(PODS, pod("llama-0", {ROLE: "prefill", "zone": "rack1"}))
    found.put(PODS, pod("llama-1", {ROLE: "decode", "zone": "rack2"}))
    desired = KEEPER.desired(gateway(), found)
    assert conditions(desired)["ResolvedRefs"] == ("False", "NoDecodePods")
    assert "1 fit with zone=rack1 and none is labelled llm-d.ai/role: decode" in message(
        desired, "ResolvedRefs"
    )
    its = config(desired)["models"]["llama3-70b"]
    assert "disaggregation" not in its and its["discover"]["kubernetes"]["service"] == "llama3"


@pytest.mark.parametrize(
    ("kind", "name", "spec", "field"),
    [
        ("SpeculativeDecoding", "sd", {"draftModel": "a", "targetModel": "b"}, "targetModel"),
        ("InferenceCache", "cache", {"modelName": "b", "sdRef": "sd"}, "modelName"),
        ("PrefillDecodingDisaggregation", "pdd", {"modelName": "b"}, "modelName"),
    ],
)
def test_what_is_for_another_model_is_not_used(
    kind: str, name: str, spec: dict[str, Any], field: str
) -> None:
    """A3-11: the target must match the service."""
    found = put(apart(world()), made(kind, name, **spec))
    desired = KEEPER.desired(gateway(), found)
    said = message(desired, "ResolvedRefs")
    assert f"{kind} models/{name} is for 'b', not for 'llama3-70b'; set its {field}" in said
    its = config(desired)["models"]["llama3-70b"]
    assert ("speculative" in its) == (kind == "PrefillDecodingDisaggregation")


def test_a_route_may_have_any_name_and_a_draft_is_another_one() -> None:
    """A3-11: one odd name does not cost a gateway its whole configuration, which ``asked`` has a
    real router compile."""
    odd = [{"model": m, "inferenceServiceRef": "chatbot"} for m in ("auto", "MoM", "${A}", "a b")]
    assert set(asked(world(), routes=odd)["models"]) == {"auto", "MoM", "${A}", "a b"}
    found = put(apart(world()), made("SpeculativeDecoding", "sd", draftModel="llama3-70b"))
    desired = KEEPER.desired(gateway(), found)
    assert "'llama3-70b' cannot draft for itself" in message(desired, "ResolvedRefs")
    assert "speculative" not in config(desired)["models"]["llama3-70b"]


# --- filters -----------------------------------------------------------------------------------

CACHED = {"semanticCache": {"storeRef": "redis", "threshold": 0.7, "ttlSeconds": 60}}


def test_a_semantic_cache_is_a_response_cache_in_redis() -> None:
    """A3-04."""
    found = world(nlpFilters=CACHED)
    waiting = KEEPER.desired(gateway(), found)
    assert conditions(waiting)["ResolvedRefs"] == ("False", "StoreNotFound")
    assert "guard_recipe" not in config(waiting)
    found.put(SERVICES, service("redis", ("tcp-redis", 6380)))
    settings = asked(found)
    assert settings["stores"] == {
        "redis-chatbot": {"redis": {"url": "redis://redis.models.svc:6380/0"}}
    }
    recipe = settings["recipes"][settings["guard_recipe"]]
    (decision,) = recipe["decisions"]
    assert recipe["signals"] == {"requested_model": {"route-0": {"models": ["llama3-70b"]}}}
    assert decision["plugins"]["response_cache"] == {
        "mode": "exact_then_semantic", "threshold": 0.7, "ttl_s": 60, "anonymous": "shared",
        "store": "redis-chatbot",
    }  # fmt: skip


def test_a_password_goes_from_its_secret_to_the_pod_and_through_nobody() -> None:
    """A3-04: neither read by the controller nor in the ConfigMap."""
    ref = {"name": "redis", "passwordSecretRef": {"name": "redis-auth", "key": "pw"}}
    found = world(nlpFilters={"semanticCache": {"storeRef": ref}})
    found.put(SERVICES, service("redis", ("redis", 6379)))
    desired = KEEPER.desired(gateway(), found)
    at = "/etc/wayside/secrets/redis-chatbot/pw"
    assert config(desired)["stores"]["redis-chatbot"]["redis"]["password"] == {"file": at}
    pods = desired.children[-1]["spec"]["template"]["spec"]
    (volume,) = (v for v in pods["volumes"] if v["name"] == "secrets")
    item = {"key": "pw", "path": "redis-chatbot/pw"}
    assert volume["projected"]["sources"] == [{"secret": {"name": "redis-auth", "items": [item]}}]
    assert not any("secrets" in str(look) for look in found.looks)


def test_the_other_filters_in_both_forms() -> None:
    """Patterns are refused, answers are cut; what nobody here has is refused by name."""
    both = [
        {"type": "tokenLimit", "parameters": {"maxTokens": "100"}},
        {"type": "contentFilter", "parameters": {"blockedPatterns": "a$\n${HOME}"}},
    ]
    own = {"maxTokens": 100, "promptGuard": {"blockedPatterns": ["a$", "${HOME}"]}}
    assert asked(world(nlpFilters=both)) == asked(world(nlpFilters=own))
    recipe = asked(world(nlpFilters=own))["recipes"]["nlp-filters"]
    assert recipe["signals"]["keyword"]["route-0"]["keywords"] == ["a$", "${HOME}"]
    guard, cut = recipe["decisions"]
    assert guard["priority"] > 0 and "fast_response" in guard["plugins"]
    assert cut["plugins"] == {"request_params": {"max_tokens_limit": 100}}
    for filters, said in (
        ([{"type": "sentimentAnalysis"}], "the router reads no sentiments"),
        ([{"type": "tokenLimits", "parameters": {}}], "did you mean 'tokenLimit'?"),
        ([{"type": "tokenLimit", "parameters": {"maxToken": "1"}}], "maxToken"),
        ([{"type": "tokenLimit", "parameters": {"maxTokens": "1"}}] * 2, "is there twice"),
        ({"promptGuard": {"blockedPatterns": ["(?<=a)b"]}}, "promptGuard.blockedPatterns"),
        ({"semanticCache": {"treshold": 1}}, "did you mean 'threshold'?"),
    ):
        desired = KEEPER.desired(gateway(), world(nlpFilters=filters))
        assert conditions(desired)["ResolvedRefs"] == ("False", "RefInvalid")
        assert said in message(desired, "ResolvedRefs")


# --- what it runs on ---------------------------------------------------------------------------


def test_everything_that_is_made_fits_together() -> None:
    found = world()
    found.settings |= {"ROUTER_IMAGE": "registry/ours:1", "IMAGE": "nobody/reads:this"}
    hint = {"nodeSelector": {"zone": "a"}, "tolerations": [{"operator": "Exists"}]}
    desired = KEEPER.desired(gateway(topologyHint=hint, replicas=2), found)
    by_kind = {c["kind"]: c for c in desired.children}
    names = {kind: c["metadata"]["name"] for kind, c in by_kind.items()}
    assert names == {
        "ServiceAccount": "llm-gateway", "Role": "llm-gateway", "RoleBinding": "llm-gateway",
        "ConfigMap": "llm-gateway-config", "Service": "llm-gateway", "Deployment": "llm-gateway",
    }  # fmt: skip
    spec = by_kind["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["replicas"] == 2
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert by_kind["Service"]["spec"]["selector"].items() <= labels.items()
    (port,) = by_kind["Service"]["spec"]["ports"]
    pods = spec["template"]["spec"]
    (router,) = pods["containers"]
    assert port["port"] == 8001 == config(desired)["listen"]["port"]
    assert router["ports"][0]["containerPort"] == port["targetPort"]
    assert router["image"] == "registry/ours:1" and pods["nodeSelector"] == {"zone": "a"}
    assert pods["tolerations"] == [{"operator": "Exists"}]
    assert pods["securityContext"]["runAsNonRoot"]
    assert router["securityContext"]["readOnlyRootFilesystem"]
    assert "replicas" not in KEEPER.desired(gateway(), found).children[-1]["spec"]
    mine = KEEPER.desired(gateway(image="mine:2"), found).children[-1]["spec"]["template"]
    assert mine["spec"]["containers"][0]["image"] == "mine:2"


def test_ready_when_pods_take_requests() -> None:
    found = world()
    assert conditions(KEEPER.desired(gateway(), found))["Ready"] == ("Unknown", "Starting")
    found.put(DEPLOYMENTS, {**_DEPLOYED, "status": {}})
    assert conditions(KEEPER.desired(gateway(), found))["Ready"] == ("False", "NoPods")
    found.put(DEPLOYMENTS, _DEPLOYED)
    desired = KEEPER.desired(gateway(), found)
    assert conditions(desired)["Ready"] == ("True", "Ready")
    assert desired.status["readyReplicas"] == 1
    trouble = Trouble("Service", "llm-gateway", "NameTaken", "Service llm-gateway is taken")
    told = conditions(KEEPER.troubled(desired, gateway(), [trouble]))
    assert told["Programmed"] == told["Ready"] == ("False", "NameTaken")


_DEPLOYED = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "llm-gateway", "namespace": NAMESPACE},
    "spec": {"replicas": 1},
    "status": {"availableReplicas": 1, "readyReplicas": 1},
}
