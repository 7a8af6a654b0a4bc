"""Every file that installs a controller: its path under ``deploy/``, and the objects in it.

Each of ``config/crd/bases``, ``config/rbac`` and ``config/manager`` can be applied as a folder
(``kubectl apply -f config/rbac/``), in the order of its file names, and all of them with
``kubectl apply -k config/default``. What makes both work is a file called ``Kustomization``: the
one spelling that kustomize reads and ``kubectl apply -f`` passes over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wayside.manifests import manager, olm, rbac
from wayside.manifests.crd import crd
from wayside.manifests.install import OPERATOR, Install, Object

if TYPE_CHECKING:
    from wayside.resources import Kind

Files = dict[str, Sequence[Object]]


def config(install: Install, kinds: Sequence[Kind], image: str) -> Files:
    """``config/``: for kubectl and kustomize. Of ``kinds`` all CRDs are shipped with it; those
    that are not its own program's it has no rights on."""
    files: Files = {f"crd/bases/{name}": [found] for name, found in crds(kinds).items()}
    files["crd/Kustomization"] = [_kustomization(*(p.removeprefix("crd/") for p in sorted(files)))]
    parts = {"rbac": _rights(install, kinds), "manager": _manager(install, image)}
    for part, objects in parts.items():
        files |= {f"{part}/{name}.yaml": found for name, found in objects.items()}
        names = (f"{name}.yaml" for name in sorted(objects))
        files[f"{part}/Kustomization"] = [_kustomization(*names)]
    files["default/kustomization.yaml"] = [_kustomization("../crd", "../rbac", "../manager")]
    return {f"config/{path}": found for path, found in files.items()}


def crds(kinds: Sequence[Kind]) -> dict[str, Object]:
    """By file name, as controller-gen calls them: ``vllm.ai_semanticrouters.yaml``."""
    return {f"{k.resource.group}_{k.resource.plural}.yaml": crd(k) for k in kinds}


def bundle(release: olm.Release, kinds: Sequence[Kind], samples: Sequence[Object]) -> Files:
    """``bundle/`` and ``catalog/``, and in ``config/openshift/`` what subscribes a cluster."""
    found = crds(kinds)
    version = olm.service_version(release, kinds, samples, list(found.values()))
    files: Files = {f"bundle/manifests/{name}": [one] for name, one in found.items()}
    files[f"bundle/manifests/{olm.PACKAGE}.clusterserviceversion.yaml"] = [version]
    files["bundle/metadata/annotations.yaml"] = [olm.bundle_annotations()]
    files[f"catalog/{olm.PACKAGE}/catalog.yaml"] = olm.catalog(release, version)
    subscription = {"namespace": manager.namespace(OPERATOR), **olm.subscription(release)}
    files |= {f"config/openshift/{name}.yaml": [one] for name, one in subscription.items()}
    names = (f"{name}.yaml" for name in subscription)
    files["config/openshift/kustomization.yaml"] = [_kustomization(*names)]
    return files


def _rights(install: Install, kinds: Sequence[Kind]) -> Mapping[str, Sequence[Object]]:
    manager_role, leader_role = rbac.manager_role(install, kinds), rbac.leader_role(install)
    people = {}
    for kind in kinds:
        for role, what in zip(rbac.people_roles(install, kind), ("editor", "viewer"), strict=True):
            people[f"{kind.kind.lower()}_{what}_role"] = [role]
    return {
        "00-namespace": [manager.namespace(install)],  # before what lives in it
        "service_account": [rbac.account(install)],
        "role": [manager_role],
        "role_binding": [rbac.binding(install, manager_role)],
        "leader_election_role": [leader_role],
        "leader_election_role_binding": [rbac.binding(install, leader_role)],
        **people,
        **({"router_role": [rbac.router_role(kinds)]} if install is OPERATOR else {}),
    }


def _manager(install: Install, image: str) -> Mapping[str, Sequence[Object]]:
    return {
        "manager": [manager.deployment(install, image)],
        "metrics_service": [manager.metrics_service(install)],
    }


def _kustomization(*resources: str) -> Object:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(resources),
    }
