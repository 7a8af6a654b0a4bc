"""For the Operator Lifecycle Manager: the bundle of one version, the catalog that it is found in,
and what subscribes a cluster to it.

A bundle is ``manifests/`` (a ClusterServiceVersion and the CRDs) and ``metadata/``. The catalog is
file-based: a package, a channel, and an entry for each bundle.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wayside.manifests.install import OPERATOR, Object
from wayside.manifests.manager import deployment
from wayside.manifests.rbac import leader_rules, rights, rules
from wayside.vocab.resource import kind_of

if TYPE_CHECKING:
    from wayside.resources import Kind

PACKAGE = OPERATOR.app
CHANNEL = "stable"
CATALOG = "semantic-router-catalog"
MARKETPLACE = "openshift-marketplace"
TITLE = "Semantic Router"
KEYWORDS = ("semantic router", "llm", "ai", "inference", "vllm", "routing", "gateway", "envoy")
SOURCE = "https://github.com/vllm-project/semantic-router"
DESCRIPTION = """\
A **Semantic Router** is one OpenAI-compatible door in front of many language models. It reads each
prompt and decides by meaning which model answers it.

This operator runs routers from `SemanticRouter` resources: the router and its Envoy, a Service,
autoscaling, persistence, an OpenShift Route or Gateway API HTTPRoute, and backends found among
KServe InferenceServices, Llama Stack deployments and Services.

Nothing has to be installed first: KServe, Gateway API and Routes are used where they are.
"""
BUNDLE_LABELS = {
    "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
    "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
    "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
    "operators.operatorframework.io.bundle.package.v1": PACKAGE,
    "operators.operatorframework.io.bundle.channels.v1": CHANNEL,
    "operators.operatorframework.io.bundle.channel.default.v1": CHANNEL,
    "com.redhat.openshift.versions": "v4.12",
}
"""Of the bundle's image, and in its ``annotations.yaml``: the two have to say the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version of the operator, and where its images are."""

    version: str
    image: str
    bundle_image: str
    catalog_image: str
    icon: bytes
    """SVG."""

    @property
    def name(self) -> str:
        """Of the ClusterServiceVersion, by which catalogs order upgrades."""
        return f"{PACKAGE}.v{self.version}"


def service_version(
    release: Release, kinds: Sequence[Kind], samples: Sequence[Object], crds: Sequence[Object]
) -> Object:
    """The ClusterServiceVersion: what the console shows, and what OLM installs."""
    pods = deployment(OPERATOR, release.image)["spec"]
    pods["template"]["spec"]["containers"][0]["env"].append(_WATCHED)
    deployments = [{"name": OPERATOR.manager, "label": OPERATOR.labels, "spec": pods}]
    may = {"serviceAccountName": OPERATOR.manager, "rules": rules(rights(OPERATOR, kinds))}
    lead = {"serviceAccountName": OPERATOR.manager, "rules": leader_rules(OPERATOR.lease)}
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": release.name,
            "annotations": {
                "alm-examples": json.dumps(samples, indent=2, sort_keys=True),
                "capabilities": "Basic Install",
                "categories": "AI/Machine Learning, Networking",
                "containerImage": release.image,
                "description": "Decides by meaning which language model answers each prompt.",
                "repository": SOURCE,
                "support": "the vLLM Semantic Router community",
                "operatorframework.io/suggested-namespace": OPERATOR.namespace,
            },
        },
        "spec": {
            **_shown(release),
            "version": release.version,
            "icon": [_icon(release.icon)],
            "installModes": _modes(),
            "customresourcedefinitions": {
                "owned": [_owned(kind, crd) for kind, crd in zip(kinds, crds, strict=True)]
            },
            "install": {
                "strategy": "deployment",
                "spec": {
                    "clusterPermissions": [may],
                    "permissions": [lead],
                    "deployments": deployments,
                },
            },
            "relatedImages": [{"name": "manager", "image": release.image}],
        },
    }


def bundle_annotations() -> Object:
    """``metadata/annotations.yaml`` of the bundle."""
    return {"annotations": dict(BUNDLE_LABELS)}


def catalog(release: Release, version: Object) -> list[Object]:
    """The file-based catalog with this version alone. Catalogs keep what they had: whoever
    publishes the next version adds its entry, with ``replaces``, and its bundle."""
    spec = version["spec"]
    owned = spec["customresourcedefinitions"]["owned"]
    gvks = [
        {
            "type": "olm.gvk",
            "value": {
                "group": o["name"].partition(".")[2],
                "kind": o["kind"],
                "version": o["version"],
            },
        }
        for o in owned
    ]
    package = {
        "type": "olm.package",
        "value": {"packageName": PACKAGE, "version": release.version},
    }
    shown = {
        "annotations": version["metadata"]["annotations"],
        "crdDescriptions": spec["customresourcedefinitions"],
        "installModes": spec["installModes"],
        "apiServiceDefinitions": {},
        **_shown(release),
    }
    return [
        {
            "schema": "olm.package",
            "name": PACKAGE,
            "defaultChannel": CHANNEL,
            "description": DESCRIPTION,
            "icon": _icon(release.icon),
        },
        {
            "schema": "olm.channel",
            "package": PACKAGE,
            "name": CHANNEL,
            "entries": [{"name": release.name}],
        },
        {
            "schema": "olm.bundle",
            "package": PACKAGE,
            "name": release.name,
            "image": release.bundle_image,
            "properties": [*gvks, package, {"type": "olm.csv.metadata", "value": shown}],
            "relatedImages": [
                {"name": "", "image": release.bundle_image},
                *spec["relatedImages"],
            ],
        },
    ]


def subscription(release: Release) -> dict[str, Object]:
    """What subscribes an OpenShift cluster, by file name: in the order in which it is applied."""
    namespaced = {"namespace": OPERATOR.namespace}
    return {
        "operator-group": {
            "apiVersion": "operators.coreos.com/v1",
            "kind": "OperatorGroup",
            "metadata": {"name": "semantic-router-operator-group", **namespaced},
            # No targetNamespaces: it looks after all namespaces.
            "spec": {"upgradeStrategy": "Default"},
        },
        "catalog-source": {
            "apiVersion": "operators.coreos.com/v1alpha1",
            "kind": "CatalogSource",
            "metadata": {"name": CATALOG, "namespace": MARKETPLACE},
            "spec": {
                "sourceType": "grpc",
                "image": release.catalog_image,
                "displayName": TITLE,
                "publisher": "vLLM Semantic Router",
                "grpcPodConfig": {"securityContextConfig": "restricted"},
            },
        },
        "subscription": {
            "apiVersion": "operators.coreos.com/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": PACKAGE, **namespaced},
            "spec": {
                "channel": CHANNEL,
                "name": PACKAGE,
                "source": CATALOG,
                "sourceNamespace": MARKETPLACE,
                "installPlanApproval": "Automatic",
            },
        },
    }


def _shown(release: Release) -> Object:
    """What people read, in the console and in the catalog."""
    return {
        "displayName": TITLE,
        "description": DESCRIPTION,
        "keywords": list(KEYWORDS),
        "maturity": "alpha",
        "minKubeVersion": "1.25.0",
        "provider": {"name": "vLLM Semantic Router", "url": "https://vllm-semantic-router.com"},
        "links": [
            {"name": "Documentation", "url": "https://vllm-semantic-router.com"},
            {"name": "Source", "url": SOURCE},
        ],
    }


def _icon(svg: bytes) -> Object:
    return {"base64data": base64.b64encode(svg).decode(), "mediatype": "image/svg+xml"}


_WATCHED = {
    "name": "WATCH_NAMESPACE",
    "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['olm.targetNamespaces']"}},
}
"""The OperatorGroup's namespace, as OLM writes it on the pod; empty for all."""


def _modes() -> list[Object]:
    """One namespace or all of them."""
    return [
        {"type": "OwnNamespace", "supported": True},
        {"type": "SingleNamespace", "supported": True},
        {"type": "MultiNamespace", "supported": False},
        {"type": "AllNamespaces", "supported": True},
    ]


_WIDGETS = {
    ("spec", "replicas"): "podCount",
    ("spec", "resources"): "resourceRequirements",
    ("spec", "image.pullPolicy"): "imagePullPolicy",
    ("status", "phase"): "io.kubernetes.phase",
    ("status", "conditions"): "io.kubernetes.conditions",
}
"""How the console shows a field, where it knows more than text."""


def _owned(kind: Kind, crd: Object) -> Object:
    version = next(v for v in crd["spec"]["versions"] if v["name"] == kind.resource.version)
    fields = version["schema"]["openAPIV3Schema"]["properties"]
    return {
        "name": crd["metadata"]["name"],
        "kind": kind.kind,
        "version": kind.resource.version,
        "displayName": TITLE if kind.kind == "SemanticRouter" else _spaced(kind.kind),
        "description": kind.summary,
        "resources": [
            {"kind": kind_of(r), "name": "", "version": r.api_version} for r in kind.owns
        ],
        "specDescriptors": _descriptors("spec", fields.get("spec", {})),
        "statusDescriptors": _descriptors("status", fields.get("status", {})),
    }


def _descriptors(where: str, schema: Mapping[str, Any]) -> list[Object]:
    """Of the fields at the top that say what they are."""
    found = []
    for path, field in schema.get("properties", {}).items():
        about = str(field.get("description", "")).partition("\n")[0]
        if not about:
            continue
        widget = _WIDGETS.get((where, path))
        entry: Object = {"path": path, "displayName": _spaced(path), "description": about}
        if widget:
            entry["x-descriptors"] = [f"urn:alm:descriptor:{_urn(widget)}"]
        found.append(entry)
    return found


def _urn(widget: str) -> str:
    return widget if widget.startswith("io.") else f"com.tectonic.ui:{widget}"


def _spaced(name: str) -> str:
    """``statusGatewayMode`` for people: ``Status Gateway Mode``."""
    words = "".join(f" {c}" if c.isupper() else c for c in name).split()
    return " ".join(w[:1].upper() + w[1:] for w in words)
