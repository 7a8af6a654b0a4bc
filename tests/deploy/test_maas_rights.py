"""A2-35: the configuration and the Roles that the target renders, in force together: a router
that asks a genuine API server (with TokenReview and SubjectAccessReview added) whom each model is
for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.maas.kubernetes import BINDINGS, ROLES, Cluster, completed
from tests.maas.rig import Clock, rig
from wayside.deploy.applying.scene import Offline, rendered
from wayside.deploy.intent import Intent
from wayside.deploy.targets.maas_dual_gateway import MaasDualGateway
from wayside.kube.client import Client

DAVE, ERIN = "sha256~dave-has-a-token-of-the-cluster", "sha256~erin-has-one-too"


@pytest.fixture
async def cluster(admin: Client) -> AsyncIterator[Cluster]:
    async with completed(admin.access, admin) as found:
        found.people = {
            DAVE: ("dave", ["premium-user", "system:authenticated"]),
            ERIN: ("erin", ["system:authenticated"]),
        }
        yield found


async def test_a2_35_a2_36_rendered_rights_hold_on_the_inference_path(
    cluster: Cluster, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """Model-A is everybody's, Model-B is for premium, Model-C nobody's; a token of a tier sees
    no other model, and who has a token of the cluster alone has to get one of MaaS first."""
    model = {"run": "simulator"}
    intent = Intent.model_validate(
        {
            "namespace": namespace,
            "models": {
                "Model-A": {**model, "tiers": []},
                "Model-B": {**model, "tiers": ["premium"]},
                "Model-C": model,
            },
            "targets": {"maas-dual-gateway": {"tenant": namespace}},
        }
    )
    steps = rendered(MaasDualGateway(), intent, Offline({"domain": "apps.example.com"}))
    made = [o for step in steps for m in step.manifests for o in m.objects]
    for each in made:
        if each["kind"] in ("Role", "RoleBinding"):
            resource = ROLES if each["kind"] == "Role" else BINDINGS
            await admin.create(resource, each, namespace)
    config: Any = next(
        yaml.safe_load(o["data"]["config.yaml"])
        for o in made
        if o["kind"] == "ConfigMap" and "config.yaml" in o["data"]
    )
    access = cluster.access
    kubeconfig = tmp_path / "kubeconfig"
    who = {"name": "u", "user": {"token": access.token.get(0)}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    server = {"name": "c", "cluster": {"server": str(access.server)}}
    kubeconfig.write_text(
        yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Config", "current-context": "c",
             "clusters": [server], "contexts": [context], "users": [who]}
        )
    )  # fmt: skip
    # Of what was rendered nothing is changed but where the cluster is, and a folder of this test.
    maas = config["maas"] | {"folder": str(tmp_path / "maas"), "users": []}
    maas["kubernetes"] = maas["kubernetes"] | {"kubeconfig": str(kubeconfig)}
    clock = Clock(cluster.clock())
    cluster.clock = clock
    r = rig(tmp_path / "maas", maas=maas, models=config["models"], clock=clock)
    # MaaS itself is another program of the same tenant, which people show the cluster's tokens to.
    theirs = {"kubeconfig": str(kubeconfig), "models_namespace": namespace}
    mints = rig(tmp_path / "its", maas=maas | {"kubernetes": theirs}, clock=clock)
    try:
        answers = {}
        for person in (DAVE, ERIN):
            token = await mints.token(person)
            for name in ("Model-A", "Model-B", "Model-C"):
                answers[person, name] = (await r.chat(token, name)).status
        assert [answers[DAVE, f"Model-{m}"] for m in "ABC"] == [200, 200, 403]
        assert [answers[ERIN, f"Model-{m}"] for m in "ABC"] == [200, 403, 403]
        assert cluster.count("SubjectAccessReview") and cluster.count("TokenReview")
        for stranger in (DAVE, "nonsense"):
            assert (await r.chat(stranger, "Model-A")).status == 401
    finally:
        await r.app.close()
        await mints.app.close()
