"""The recorder of rights, and what the API server makes of the Roles that are shipped (A1-104)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import Kubectl
from tests.packaging.rights import Recorder, Right, grant, of_rules, right
from wayside.kube.client import Client
from wayside.kube.errors import Forbidden
from wayside.kube.kubeconfig import find_access
from wayside.manifests.install import OPERATOR
from wayside.manifests.rbac import leader_rules
from wayside.vocab.resource import CONFIG_MAPS, LEASES, SECRETS


@pytest.mark.parametrize(
    ("method", "path", "query", "asked"),
    [
        ("GET", "/api/v1/pods", {}, Right("list", "", "pods")),
        ("GET", "/api/v1/namespaces/a/pods", {"watch": "1"}, Right("watch", "", "pods")),
        ("GET", "/api/v1/namespaces/a/pods/b", {}, Right("get", "", "pods")),
        ("GET", "/api/v1/namespaces/a", {}, Right("get", "", "namespaces")),
        ("GET", "/api/v1/namespaces", {}, Right("list", "", "namespaces")),
        ("PATCH", "/apis/g.io/v1/namespaces/a/things/b", {}, Right("patch", "g.io", "things")),
        (
            "PATCH",
            "/apis/vllm.ai/v1alpha1/namespaces/a/semanticrouters/b/status",
            {},
            Right("patch", "vllm.ai", "semanticrouters/status"),
        ),
        ("POST", "/api/v1/namespaces/a/events", {}, Right("create", "", "events")),
        ("PUT", "/apis/g.io/v1/namespaces/a/leases/b", {}, Right("update", "g.io", "leases")),
        ("DELETE", "/api/v1/namespaces/a/configmaps/b", {}, Right("delete", "", "configmaps")),
        ("DELETE", "/api/v1/namespaces/a/pods", {}, Right("deletecollection", "", "pods")),
        ("GET", "/apis", {}, None),
        ("GET", "/apis/apps/v1", {}, None),
        ("GET", "/api/v1", {}, None),
        ("GET", "/readyz", {}, None),
    ],
)  # fmt: skip
def test_what_a_request_asks_leave_for(
    method: str, path: str, query: dict[str, str], asked: Right | None
) -> None:
    assert right(method, path, query) == asked


async def test_a1_104_the_server_refuses_what_is_not_granted(
    kubeconfig: Path, kubectl: Kubectl, namespace: str
) -> None:
    """A1-104, A1-87: under the shipped Roles the ServiceAccount may stand for its Lease, and may
    not look at a Secret or at another Lease, and the recorder says so."""
    grant(kubectl, OPERATOR)
    async with Recorder(kubeconfig, OPERATOR) as recorder:
        client = Client(find_access(str(recorder.kubeconfig)))
        lease = {"metadata": {"name": OPERATOR.lease}, "spec": {"leaseDurationSeconds": 15}}
        made = await client.create(LEASES, lease, OPERATOR.namespace)
        await client.replace(LEASES, made, OPERATOR.namespace)
        assert await client.get(LEASES, OPERATOR.lease, OPERATOR.namespace)
        for refused in (
            client.list(SECRETS),
            client.list(SECRETS, namespace),
            client.list(LEASES, OPERATOR.namespace),
            client.get(LEASES, "another", OPERATOR.namespace),
            client.apply(SECRETS, {"metadata": {"name": "a"}}, namespace),
            client.create(LEASES, lease, namespace),
        ):
            with pytest.raises(Forbidden):
                await refused
        client.close()
    assert recorder.used == of_rules(leader_rules(OPERATOR.lease))
    assert len(recorder.refused) == 6 and recorder.requests == 9


async def test_applying_what_is_not_there_is_creating_it(
    kubeconfig: Path, kubectl: Kubectl, namespace: str
) -> None:
    """Server-side apply needs two rights, of which the second shows only in the answer."""
    name = f"recorded-{namespace}"
    account = {"kind": "ServiceAccount", "name": OPERATOR.manager, "namespace": OPERATOR.namespace}
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "create"]}
    api = "rbac.authorization.k8s.io"
    kubectl.apply(
        {"apiVersion": f"{api}/v1", "kind": "Role", "metadata": {"name": name}, "rules": [rule]},
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [account],
        },
        namespace=namespace,
    )
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    async with Recorder(kubeconfig, OPERATOR) as recorder:
        client = Client(find_access(str(recorder.kubeconfig)))
        await client.apply(CONFIG_MAPS, body, namespace)
        client.close()
    assert recorder.used == {Right("patch", "", "configmaps"), Right("create", "", "configmaps")}
    assert not recorder.refused
