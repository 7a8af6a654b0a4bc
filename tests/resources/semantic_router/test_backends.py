"""Where models are found (spec 1.8), and what is said where they are not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resources.worlds import FakeWorld
from wayside.resources import Object
from wayside.resources.semantic_router import backends
from wayside.resources.semantic_router.backends import Backend
from wayside.resources.semantic_router.backends_kserve import KSERVE_LLMS_NEXT
from wayside.resources.semantic_router.secrets import SecretUse
from wayside.resources.semantic_router.spec import SemanticRouterSpec
from wayside.vocab.resource import (
    ENDPOINT_SLICES,
    GRANTS,
    KSERVE_LLMS,
    KSERVE_SERVICES,
    SERVICES,
    Resource,
)

NS = "serving"
KSERVE = {"type": "kserve", "inferenceServiceName": "llama"}
SERVICE = {"type": "service", "service": {"name": "vllm", "port": 8000}}
LABELS = {"app": "llama-stack", "model": "big"}
STACK = {"type": "llamastack", "discoveryLabels": LABELS}


def endpoint(backend: dict[str, Any], name: str = "one", **more: Any) -> dict[str, Any]:
    return {"name": name, "model": "m", "backend": backend, **more}


def resolve(
    world: FakeWorld, *endpoints: dict[str, Any], last: Any = (), **spec: Any
) -> tuple[Backend, ...]:
    made = SemanticRouterSpec.model_validate({"vllmEndpoints": list(endpoints), **spec})
    return backends.resolve(made, NS, world, last)


def one(world: FakeWorld, backend: dict[str, Any], **more: Any) -> Backend:
    (found,) = resolve(world, endpoint(backend), **more)
    return found


def service(name: str, *ports: Any, namespace: str = NS, **more: Any) -> Object:
    meta = {"name": name, "namespace": namespace}
    for key in ("labels", "annotations"):
        if key in more:
            meta[key] = more.pop(key)
    listed = [{"port": p} if isinstance(p, int) else p for p in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {"ports": listed, **more},
    }


def slice_of(
    name: str, *, ready: bool | None = True, ports: Any = (), namespace: str = NS
) -> Object:
    return {
        "metadata": {
            "name": f"{name}-x",
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}],
        "ports": list(ports),
    }


def isvc(name: str = "llama", *, ready: str = "True", url: str = "", **more: Any) -> Object:
    status: dict[str, Any] = {
        "conditions": [{"type": "Ready", "status": ready, "message": "still pulling"}]
    }
    if url:
        status["address"] = {"url": url}
    return {
        "metadata": {"name": name, "namespace": NS, "annotations": more.pop("annotations", {})},
        "spec": {"predictor": more},
        "status": status,
    }


def world(
    *objects: Object, at: dict[Resource, list[Object]] | None = None, **more: Any
) -> FakeWorld:
    return FakeWorld(*objects, at=at, **more)


# --- KServe --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "url", "ports", "more", "expected"),
    [
        pytest.param(isvc(), "", [80], {}, "http://llama-predictor.{}:80", id="raw, port 80"),
        pytest.param(
            isvc(), "", [{"port": 80, "name": "http"}, {"port": 8443, "name": "https"}], {},
            "https://llama-predictor.{}:8443", id="with auth, https before http",
        ),
        pytest.param(
            isvc(), "", [{"port": 80, "targetPort": 8080}], {"clusterIP": "None"},
            "http://llama-predictor.{}:8080", id="headless, the pods' own port",
        ),
        pytest.param(
            isvc(), "", [{"port": 80, "name": "http", "targetPort": "h1"}], {"clusterIP": "None"},
            "http://llama-predictor.{}:8012", id="headless, a named port",
        ),
        pytest.param(
            isvc(), "", [{"port": 9000, "appProtocol": "https"}], {},
            "https://llama-predictor.{}:9000", id="by appProtocol",
        ),
        pytest.param(
            isvc(url="https://llama-predictor.serving.svc.cluster.local:8443"), "", [8443], {},
            "https://llama-predictor.{}:8443", id="as its status says",
        ),
        pytest.param(
            isvc(url="http://llama-predictor.serving.svc.cluster.local"), "",
            [{"port": 80, "targetPort": 8080}], {"clusterIP": "None"},
            "http://llama-predictor.{}:8080", id="its status forgets a headless Service's port",
        ),
        pytest.param(
            isvc(url="http://llama.example.com"), "", [80], {},
            "http://llama-predictor.{}:80", id="an address outside is not for us",
        ),
        pytest.param(
            isvc(url="http://${HOME}.serving.svc.cluster.local"), "", [80], {},
            "http://llama-predictor.{}:80", id="an address that would be a variable here",
        ),
        pytest.param(
            isvc(url="http://llama.other.svc.cluster.local"), "", [80], {},
            "http://llama-predictor.{}:80", id="an address in another namespace",
        ),
        pytest.param(
            isvc(model={"modelFormat": {"name": "huggingface"}}), "", [80], {},
            "http://llama-predictor.{}:80/openai/v1", id="KServe's own server",
        ),
        pytest.param(
            isvc(model={"modelFormat": {"name": "huggingface"}, "runtime": "my-vllm"}), "", [80],
            {}, "http://llama-predictor.{}:80", id="another server of such models",
        ),
    ],
)  # fmt: skip
def test_a_predictor_is_found_by_what_is_there(
    found: Object, url: str, ports: list[Any], more: dict[str, Any], expected: str
) -> None:
    """A1-18: raw deployments, OpenShift AI's https, headless Services, addresses of the status."""
    at = {
        KSERVE_SERVICES: [found],
        ENDPOINT_SLICES: [slice_of("llama-predictor", ports=[{"name": "http", "port": 8012}])],
    }

    backend = one(world(service("llama-predictor", *ports, **more), at=at), KSERVE)

    assert backend.url == expected.format("serving.svc.cluster.local")
    assert (backend.ready, backend.reason, backend.message) == (True, "Resolved", "")


def test_knatives_address_is_its_own_service() -> None:
    """A1-18: Knative's host leads through its gateway, and is the one that it answers to."""
    found = isvc(url="http://llama.serving.svc.cluster.local")
    gateway = service(
        "llama", 80, type="ExternalName", externalName="knative-local-gateway.istio-system.svc"
    )

    backend = one(world(gateway, at={KSERVE_SERVICES: [found]}), KSERVE)

    assert backend.url == "http://llama.serving.svc.cluster.local:80"
    assert backend.ready


@pytest.mark.parametrize("resource", [KSERVE_LLMS, KSERVE_LLMS_NEXT])
def test_an_llm_inference_service_is_found_too(resource: Resource) -> None:
    """A1-18: LLMInferenceServices of both versions; https unless their port says otherwise."""
    found = isvc()
    workload = service("llama-kserve-workload-svc", 8000)
    gateway = service("gw", 80, namespace="ingress")
    there = world(workload, gateway, at={resource: [found]})

    assert (
        one(there, KSERVE).url
        == "https://llama-kserve-workload-svc.serving.svc.cluster.local:8000"
    )

    there.put(SERVICES, service("llama-kserve-workload-svc", {"port": 8000, "name": "http"}))
    assert one(there, KSERVE).url.startswith("http://llama-kserve-workload-svc.")

    found["status"]["addresses"] = [
        {"url": "https://models.example.com/serving/llama"},
        {"url": "http://gw.ingress.svc.cluster.local/serving/llama"},
    ]
    there.put(resource, found)
    expected = "http://gw.ingress.svc.cluster.local:80/serving/llama/v1"
    assert one(there, KSERVE).url == expected


def test_only_its_own_namespace_is_looked_at() -> None:
    """A1-19: an InferenceService elsewhere is none."""
    found = isvc()
    found["metadata"]["namespace"] = "other"

    backend = one(world(at={KSERVE_SERVICES: [found]}), KSERVE)

    assert (backend.url, backend.reason) == ("", "InferenceServiceNotFound")
    assert "in namespace serving" in backend.message


def test_three_ways_to_be_missing_are_told_apart() -> None:
    """A1-20: KServe, the object, its Service; and each is found when it comes."""
    kinds = (KSERVE_SERVICES, KSERVE_LLMS, KSERVE_LLMS_NEXT)
    there = world(states=dict.fromkeys(kinds, "absent"))
    said = [one(there, KSERVE)]
    there.states.clear()
    said.append(one(there, KSERVE))
    there.put(KSERVE_SERVICES, isvc())
    said.append(one(there, KSERVE))
    there.put(SERVICES, service("llama-predictor", 80))
    said.append(one(there, KSERVE))

    assert [b.reason for b in said] == [
        "ApiMissing", "InferenceServiceNotFound", "ServiceNotFound", "NoReadyEndpoints",
    ]  # fmt: skip
    assert [bool(b.url) for b in said] == [False, False, False, True]
    assert len({b.message for b in said}) == 4
    looked = {look[:4] for look in there.looks}
    assert ("get", SERVICES, NS, "llama-predictor") in looked
    assert ("get", KSERVE_SERVICES, NS, "llama") in looked


def test_what_is_missing_costs_the_others_nothing() -> None:
    """A1-20: the other endpoints are found."""
    there = world(service("vllm", 8000), at={ENDPOINT_SLICES: [slice_of("vllm")]})

    missing, found = resolve(there, endpoint(KSERVE, "gone"), endpoint(SERVICE, "there"))

    assert (missing.url, missing.ready) == ("", False)
    assert (found.url, found.ready) == ("http://vllm.serving.svc.cluster.local:8000", True)


def test_whether_it_is_ready_is_what_it_says_of_itself() -> None:
    """A1-18: a URL stays where its InferenceService is not ready, and why is told."""
    there = world(service("llama-predictor", 80), at={KSERVE_SERVICES: [isvc(ready="False")]})

    backend = one(there, KSERVE)

    assert backend.url
    assert (backend.ready, backend.reason) == (False, "NotReady")
    assert "still pulling" in backend.message


def test_openshifts_own_ca_verifies_its_certificates() -> None:
    """A1-18: https of OpenShift AI is signed by the cluster's service CA; the token is asked
    for."""
    annotated = {"service.beta.openshift.io/serving-cert-secret-name": "x"}
    guarded = isvc(annotations={"security.opendatahub.io/enable-auth": "true"})
    there = world(
        service("llama-predictor", 8443, annotations=annotated), at={KSERVE_SERVICES: [guarded]}
    )

    backend = one(there, KSERVE)

    assert backend.ca == backends.SERVICE_CA
    assert "apiKeySecretRef" in backend.message
    named = {**KSERVE, "caSecretRef": {"name": "ca", "key": "ca.crt"},
             "apiKeySecretRef": {"name": "token", "key": "t"}}  # fmt: skip
    backend = one(there, named)
    assert backend.ca == SecretUse("ca", "ca.crt")
    assert backend.key == SecretUse("token", "t")
    assert "apiKeySecretRef" not in backend.message


# --- Llama Stack ---------------------------------------------------------------------------------


def test_services_are_found_by_labels() -> None:
    """A1-21, A1-16: each set of labels finds its own."""
    there = world(
        service("b", 8321, labels={**LABELS, "x": "y"}),
        service("c", 9000, labels={"app": "llama-stack", "model": "small"}),
        service("elsewhere", 8321, labels=LABELS, namespace="other"),
        at={ENDPOINT_SLICES: [slice_of("b")]},
    )

    backend = one(there, STACK)

    assert backend.url == "http://b.serving.svc.cluster.local:8321"
    assert backend.ready
    assert not backend.warning


def test_several_services_share_and_are_told_of() -> None:
    """A1-22: all of them, in an order that depends on nothing but names, with a warning."""
    there = world(*[service(n, 8000, labels=LABELS) for n in ("b", "c", "a")])

    found = resolve(there, endpoint(STACK, weight=3))

    assert [b.name for b in found] == ["one/a", "one/b", "one/c"]
    assert [b.weight for b in found] == [3, 3, 3]
    assert all(b.warning and "3 Services" in b.message for b in found)


def test_labels_that_find_nothing_say_so() -> None:
    """A1-21: what was looked for, and a Service without ports."""
    there = world()

    backend = one(there, STACK)

    assert backend.message == (
        "no services found matching labels app=llama-stack,model=big in namespace serving"
    )
    there.put(SERVICES, service("a", labels=LABELS))
    assert one(there, STACK).message == "service a has no ports defined"
    there.put(SERVICES, service("b", 8000, labels=LABELS))
    (found,) = resolve(there, endpoint(STACK))
    assert found.url == "http://b.serving.svc.cluster.local:8000"
    assert "service a has no ports" in found.message


def test_more_services_than_a_router_wants_are_bounded() -> None:
    """A1-22: a label that half the cluster has cannot make a status without end."""
    there = world(*[service(f"s{i:03}", 8000, labels=LABELS) for i in range(100)])

    found = resolve(there, endpoint(STACK))

    assert len(found) == backends.MOST_SERVICES
    assert "100 Services" in found[0].message


# --- Services ------------------------------------------------------------------------------------


def test_a_port_is_used_as_written() -> None:
    """A1-23, A1-25: and missing ports and Services are told with what is there."""
    there = world()
    assert one(there, SERVICE).message == "there is no Service serving/vllm"

    there.put(SERVICES, service("vllm", 80, {"port": 8000, "name": "api"}))
    there.put(ENDPOINT_SLICES, slice_of("vllm", ready=None))
    assert one(there, SERVICE).url == "http://vllm.serving.svc.cluster.local:8000"
    assert one(there, SERVICE).ready

    there.put(SERVICES, service("vllm", 80, 81))
    backend = one(there, SERVICE)
    assert (backend.url, backend.reason) == ("", "PortNotFound")
    assert backend.message == "Service serving/vllm has no port 8000; it has 80, 81"


def test_no_ready_endpoint_keeps_the_url() -> None:
    """A1-25: pods come and go without a new configuration."""
    there = world(service("vllm", 8000), at={ENDPOINT_SLICES: [slice_of("vllm", ready=False)]})

    backend = one(there, SERVICE)

    assert backend.url
    assert (backend.ready, backend.reason) == (False, "NoReadyEndpoints")


@pytest.mark.parametrize(
    ("port", "scheme", "expected"),
    [
        ({"port": 8000, "name": "https"}, None, "https"),
        ({"port": 8000, "name": "https-api"}, None, "https"),
        ({"port": 8000, "appProtocol": "https"}, None, "https"),
        ({"port": 8000, "name": "https", "appProtocol": "http"}, None, "http"),
        ({"port": 8000, "name": "https"}, "http", "http"),
        ({"port": 8000}, "https", "https"),
        ({"port": 8000}, None, "http"),
    ],
)
def test_https_is_what_the_port_or_the_spec_says(
    port: dict[str, Any], scheme: str | None, expected: str
) -> None:
    """A1-23: `scheme` wins, then appProtocol, then the port's name."""
    said = {**SERVICE, **({"scheme": scheme} if scheme else {})}

    assert one(world(service("vllm", port)), said).url.startswith(f"{expected}://")


def test_an_external_name_is_the_host() -> None:
    """A1-23: certificates and virtual hosts go by the external name."""
    named = service("vllm", type="ExternalName", externalName="api.example.com.")

    backend = one(world(named), SERVICE)

    assert backend.url == "http://api.example.com:8000"
    assert backend.ready


ELSEWHERE = {"type": "service", "service": {"name": "vllm", "namespace": "models", "port": 8000}}


def grant(namespace: str = NS, name: str = "", **wrong: Any) -> Object:
    entry = {"group": "vllm.ai", "kind": "SemanticRouter", "namespace": namespace, **wrong}
    to = {"group": "", "kind": "Service", **({"name": name} if name else {})}
    return {
        "metadata": {"name": "g", "namespace": "models"},
        "spec": {"from": [entry], "to": [to]},
    }


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (grant(), True),
        (grant(name="vllm"), True),
        (grant(name="other"), False),
        (grant(namespace="third"), False),
        (grant(kind="HTTPRoute"), False),
        (grant(group=""), False),
    ],
)
def test_another_namespace_has_to_allow_it(given: Object, allowed: bool) -> None:
    """A1-24: a ReferenceGrant there, for this kind, this namespace and this Service."""
    there = world(service("vllm", 8000, namespace="models"))
    refused = one(there, ELSEWHERE)
    assert (refused.url, refused.reason) == ("", "RefNotPermitted")
    assert "ReferenceGrant in models" in refused.message

    there.put(GRANTS, given)

    assert bool(one(there, ELSEWHERE).url) is allowed


def test_without_the_gateway_api_nobody_can_allow_it() -> None:
    """A1-24: the resource cannot consent for others; whoever runs the operator can."""
    there = world(service("vllm", 8000, namespace="models"), states={GRANTS: "absent"})

    assert one(there, ELSEWHERE).reason == "ApiMissing"
    said = one(there, ELSEWHERE, crossNamespace="Allow")
    assert said.reason == "ApiMissing"
    assert "CROSS_NAMESPACE_BACKENDS=allow" in said.message

    there.settings["CROSS_NAMESPACE_BACKENDS"] = "allow"
    assert one(there, ELSEWHERE).reason == "ApiMissing"
    url = "http://vllm.models.svc.cluster.local:8000"
    assert one(there, ELSEWHERE, crossNamespace="Allow").url == url


def test_an_external_name_is_no_way_around_the_grant() -> None:
    """A1-24: a Service of one's own that stands for a Service of somebody else."""
    named = service("vllm", type="ExternalName", externalName="vllm.models.svc.cluster.local")
    there = world(named)

    assert one(there, SERVICE).reason == "RefNotPermitted"

    there.put(GRANTS, grant())
    assert one(there, SERVICE).url == "http://vllm.models.svc.cluster.local:8000"


# --- outside -------------------------------------------------------------------------------------


def test_an_api_outside_needs_no_cluster() -> None:
    """A1-23: a provider's name says where it is, or the URL does."""
    there = world()
    named = one(
        there, {"type": "external", "external": {"provider": "bedrock", "location": "eu-1"}}
    )
    assert named.url == "https://bedrock-runtime.eu-1.amazonaws.com"
    assert named.provider == {"provider": "bedrock", "location": "eu-1"}

    lacking = one(there, {"type": "external", "external": {"provider": "bedrock"}})
    assert lacking.message == "external.location is required for bedrock"
    azure = one(there, {"type": "external", "external": {"provider": "azure-openai"}})
    assert azure.reason == "Invalid"
    url = "https://x.openai.azure.com"
    backend = {"type": "external", "external": {"provider": "azure-openai", "url": url}}
    assert one(there, backend).url == url


# --- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["unreachable", "starting", "forbidden"])
@pytest.mark.parametrize("backend", [KSERVE, STACK, SERVICE])
def test_a_silent_cluster_changes_no_route(backend: dict[str, Any], state: Any) -> None:
    """A1-20 (D8): what was found last is kept while nobody can tell, and not a moment longer."""
    kinds = (SERVICES, KSERVE_SERVICES, KSERVE_LLMS, KSERVE_LLMS_NEXT)
    silent = world(states=dict.fromkeys(kinds, state))
    last = [{"name": "one", "url": "http://a.serving.svc:8000"}, {"name": "two", "url": ""}]

    kept = one(silent, backend, last=last)

    assert (kept.url, kept.ready, kept.reason) == ("http://a.serving.svc:8000", False, "Unknown")
    assert one(silent, backend).url == ""
    assert one(silent, backend).reason == "Unknown"
    assert one(world(), backend, last=last).url == ""  # it is gone, and that is known


def test_several_that_were_found_are_kept_together() -> None:
    """A1-22 (D8): each by its own name; another's entry is not taken for it."""
    silent = world(states={SERVICES: "unreachable"})
    names = ("one/b", "one/a", "onerous/a", "one")
    last = [{"name": n, "url": f"http://{n[-1]}.serving.svc:1"} for n in names]

    assert [b.name for b in resolve(silent, endpoint(STACK), last=last)] == [
        "one/b", "one/a", "one",
    ]  # fmt: skip


def test_a_url_that_somebody_wrote_into_the_status_is_looked_at() -> None:
    """A1-20: the status is not ours alone to write."""
    silent = world(states={SERVICES: "unreachable"})

    for url in ("http://a/${TOKEN}", "file:///etc/passwd", 7, "http://user@host:1"):
        assert one(silent, SERVICE, last=[{"name": "one", "url": url}]).url == ""


# --- together ------------------------------------------------------------------------------------


def test_endpoints_of_one_model_agree() -> None:
    """A1-26: what a model has one of is the first's; the one that differs is told of."""
    there = world(service("vllm", 8000), service("tls", 443))
    ca = {"caSecretRef": {"name": "ca", "key": "ca.crt"}}
    tls = {"type": "service", "service": {"name": "tls", "port": 443}}
    key = {**SERVICE, "apiKeySecretRef": {"name": "k", "key": "k"}}

    found = resolve(
        there,
        endpoint(SERVICE, "a", weight=2),
        endpoint(tls, "b"),
        endpoint(key, "c"),
        {**endpoint(key, "d"), "model": "other"},
    )
    assert [(b.name, b.reason) for b in found] == [
        ("a", "NoReadyEndpoints"), ("b", "NoReadyEndpoints"), ("c", "Conflict"),
        ("d", "NoReadyEndpoints"),
    ]  # fmt: skip
    assert "its API key differs from that of a" in found[2].message

    first, second = resolve(there, endpoint(tls, "a"), endpoint({**tls, **ca}, "b"))
    assert (first.reason, second.reason) == ("NoReadyEndpoints", "Conflict")


def test_weight_nought_is_one() -> None:
    """A1-26: as the CRD says."""
    there = world(service("vllm", 8000))

    found = resolve(there, endpoint(SERVICE, "a", weight=0), endpoint(SERVICE, "b", weight=2))

    assert [b.weight for b in found] == [1, 2]


def test_the_status_says_what_became_of_each() -> None:
    """A1-20: `status.backends[]`, as the CRD has it."""
    from wayside.resources.semantic_router.backend_spec import BackendStatus

    found = resolve(world(), endpoint(KSERVE, "a"), endpoint(SERVICE, "b"))

    told = backends.status(found)
    assert [entry["name"] for entry in told] == ["a", "b"]
    for entry in told:
        BackendStatus.model_validate(entry)
    assert told[1]["message"] == "there is no Service serving/vllm"
