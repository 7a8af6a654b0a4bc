"""Models as a service on Kubernetes: the cluster says who people are, mints their tokens, and
whether they may ask a model. Against a genuine API server, with what that lacks added."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.maas.kubernetes import BINDINGS, ISSUER, ROLES, Cluster, completed
from tests.maas.rig import ALICE, Clock, Rig, rig
from wayside.kube.client import Client
from wayside.kube.errors import NotFound
from wayside.maas import names
from wayside.vocab.resource import NAMESPACES, SERVICE_ACCOUNTS

DAVE, ERIN = "sha256~dave-has-a-token-of-the-cluster", "sha256~erin-has-one-too"
TOKENS = "/maas-api/v1/tokens"
MODELS: dict[str, Any] = {
    "Model-A": {"endpoints": ["http://10.0.0.1:1"]},
    "Model-B": {"endpoints": ["http://10.0.0.2:1"], "tiers": []},
    "Model-C": {"endpoints": ["http://10.0.0.3:1"], "tiers": ["nobody"]},
}


@pytest.fixture
async def cluster(admin: Client) -> AsyncIterator[Cluster]:
    async with completed(admin.access, admin) as found:
        found.people = {
            DAVE: ("dave@example.com", ["premium-user", "system:authenticated"]),
            ERIN: ("erin", ["system:authenticated"]),
        }
        yield found


@pytest.fixture
async def r(cluster: Cluster, namespace: str, tmp_path: Path) -> AsyncIterator[Rig]:
    found = made(cluster, namespace, tmp_path, Clock(cluster.clock()))
    cluster.clock = found.clock
    yield found
    await found.app.close()


def made(cluster: Cluster, namespace: str, folder: Path, clock: Clock) -> Rig:
    """An instance of its own, whose models are in ``namespace``."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        f"{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: "
        f"{{server: '{cluster.access.server}'}}}}], contexts: [{{name: c, context: {{cluster: c, "
        f"user: u}}}}], users: [{{name: u, user: {{token: '{cluster.access.token.get(0)}'}}}}]}}"
    )
    kubernetes = {"kubeconfig": str(kubeconfig), "models_namespace": namespace,
                  "models": {"Model-A": "model-a-service"}}  # fmt: skip
    maas = {"kubernetes": kubernetes, "instance": namespace, "users": []}
    return rig(folder / "maas", maas=maas, models=MODELS, clock=clock)


async def allow(admin: Client, namespace: str, tier: str, *models: str) -> None:
    """The Role and RoleBinding of a model, as MaaS's ODH controller makes them for a tier."""
    name = f"post-{tier}"
    rule = {"apiGroups": ["serving.kserve.io"], "resources": ["llminferenceservices"],
            "resourceNames": list(models), "verbs": ["post"]}  # fmt: skip
    group = f"system:serviceaccounts:{names.namespace(namespace, tier)}"
    await admin.create(
        ROLES,
        {"apiVersion": ROLES.api_version, "kind": "Role", "metadata": {"name": name},
         "rules": [rule]},
        namespace,
    )  # fmt: skip
    await admin.create(
        BINDINGS,
        {"apiVersion": BINDINGS.api_version, "kind": "RoleBinding", "metadata": {"name": name},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
         "subjects": [{"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}]},
        namespace,
    )  # fmt: skip


async def test_a_token_of_the_cluster_gets_one_of_a_service_account(
    r: Rig, cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A2-04, A2-10, A2-34: in the tier's namespace, with its labels and audience."""
    made = await r.ask("POST", TOKENS, DAVE, {"expiration": "10m"})
    assert made.status == 201
    assert made.json["expiration"] == "10m0s"
    claims = jwt.decode(made.json["token"], options={"verify_signature": False})
    space, name = f"{namespace}-tier-premium", names.account("dave@example.com")
    assert claims["sub"] == f"system:serviceaccount:{space}:{name}"
    assert claims["aud"] == [f"{namespace}-sa"]
    assert claims["jti"] == made.json["jti"]
    assert made.json["expiresAt"] == claims["exp"]
    found = await admin.get(NAMESPACES, space)
    labels = found["metadata"]["labels"]
    assert {k: v for k, v in labels.items() if k.startswith("maas.")} == {
        "maas.opendatahub.io/instance": namespace,
        "maas.opendatahub.io/tier": "premium",
        "maas.opendatahub.io/tier-namespace": "true",
    }
    account = await admin.get(SERVICE_ACCOUNTS, name, space)
    assert account["metadata"]["labels"] == {
        "maas.opendatahub.io/instance": namespace,
        "maas.opendatahub.io/tier": "premium",
        "app.kubernetes.io/component": "token-issuer",
        "app.kubernetes.io/part-of": "maas-api",
    }
    reviews = [body["spec"]["audiences"] for kind, body in cluster.asked if kind == "TokenReview"]
    assert reviews == [[ISSUER]]


async def test_the_cluster_says_who_may_ask_which_model(
    r: Rig, cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A2-35: the right ``post`` on the model's LLMInferenceService, by tier; reviewed for all
    models at once, and then remembered for a minute."""
    await allow(admin, namespace, "premium", "model-a-service", "model-c")
    await allow(admin, namespace, "free", "model-b")
    daves, erins = await r.token(DAVE), await r.token(ERIN)
    for token, wanted in ((daves, {"Model-A"}), (erins, {"Model-B"})):
        caller = await r.maas.callers.find(token)
        assert caller is not None
        assert caller.models == wanted
    (review,) = [body["spec"] for kind, body in cluster.asked if kind == "SubjectAccessReview"
                 and body["spec"]["resourceAttributes"]["name"] == "model-a-service"
                 and "premium" in body["spec"]["user"]]  # fmt: skip
    assert review["user"].startswith(f"system:serviceaccount:{namespace}-tier-premium:dave-")
    assert f"system:serviceaccounts:{namespace}-tier-premium" in review["groups"]
    assert review["resourceAttributes"] == {
        "group": "serving.kserve.io",
        "resource": "llminferenceservices",
        "namespace": namespace,
        "name": "model-a-service",
        "verb": "post",
    }
    assert cluster.count("SubjectAccessReview") == 4  # Model-C is nobody's tier's: not asked
    assert (await r.chat(daves, "Model-A")).status == 200
    assert (await r.chat(daves, "Model-B")).status in (403, 404)
    assert (await r.chat(erins, "Model-B")).status == 200
    for _ in range(3):
        await r.chat(daves, "Model-A")
    assert cluster.count("SubjectAccessReview") == 4
    shown = (await r.ask("GET", "/maas-api/v1/models", DAVE)).json["data"]
    assert [model["id"] for model in shown] == ["Model-A"]


async def test_what_cannot_be_reviewed_is_not_allowed(
    r: Rig, cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A2-35: a cluster that does not answer lets nobody in, and nothing of that is remembered."""
    await allow(admin, namespace, "free", "model-b")
    token = await r.token(ERIN)
    for kind in ("TokenReview", "SubjectAccessReview"):
        cluster.broken = {kind}
        assert (await r.chat(token)).status == 503
    cluster.broken = {"TokenReview"}
    assert (await r.ask("POST", TOKENS, ERIN)).status == 503
    cluster.broken = {"TokenRequest"}
    assert (await r.ask("POST", TOKENS, ERIN)).status == 503
    cluster.broken = set()
    assert (await r.chat(token)).status == 200


async def test_revoking_makes_the_account_anew(
    r: Rig, cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A2-06, A2-09: old tokens are void at once, though they were remembered."""
    await allow(admin, namespace, "free", "model-b")
    token, key = await r.token(ERIN), (await r.key(ERIN))["token"]
    assert (await r.chat(token)).status == (await r.chat(key)).status == 200
    space, name = f"{namespace}-tier-free", names.account("erin")
    before = (await admin.get(SERVICE_ACCOUNTS, name, space))["metadata"]["uid"]
    assert (await r.ask("DELETE", TOKENS, ERIN)).status == 204
    assert (await admin.get(SERVICE_ACCOUNTS, name, space))["metadata"]["uid"] != before
    assert (await r.chat(token)).status == (await r.chat(key)).status == 401
    assert (await r.chat(await r.token(ERIN))).status == 200


async def test_revoking_what_was_never_made(r: Rig, admin: Client, namespace: str) -> None:
    assert (await r.ask("DELETE", TOKENS, ERIN)).status == 204
    with pytest.raises(NotFound):
        await admin.get(NAMESPACES, f"{namespace}-tier-free")


async def test_tokens_that_are_not_for_us(
    r: Rig, cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A2-09, A2-10: another audience, another namespace, another instance, expired, nonsense."""
    await allow(admin, namespace, "free", "model-b")
    good = await r.token(ERIN)
    space, name = f"{namespace}-tier-free", names.account("erin")
    audience = f"{namespace}-sa"

    async def minted(where: str, aud: str) -> str:
        body = {"spec": {"audiences": [aud], "expirationSeconds": 600}}
        code, answer = await cluster.request(where, name, body)
        assert code == 201
        return str(answer["status"]["token"])

    await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": name}}, namespace)
    asked = cluster.count("TokenReview")
    assert (await r.chat("x" * 40)).status == 401
    assert (await r.chat(DAVE)).status == 401
    assert (await r.chat(await minted(namespace, audience))).status == 401
    assert cluster.count("TokenReview") == asked  # the cluster is not asked about nonsense
    assert (await r.chat(await minted(space, ISSUER))).status == 401
    assert (await r.chat(await minted(space, "acme-sa"))).status == 401
    assert (await r.ask("POST", TOKENS, await minted(space, ISSUER))).status == 401
    assert (await r.chat(await minted(space, audience))).status == 200
    forged = jwt.encode(
        jwt.decode(good, options={"verify_signature": False}), "k" * 32, algorithm="HS256"
    )
    assert (await r.chat(forged)).status == 401
    r.clock.now += 601
    assert (await r.chat(good)).status == 401


async def test_a_token_that_somebody_else_minted_there(
    r: Rig, cluster: Cluster, admin: Client, namespace: str
) -> None:
    """A2-10: by the maas-api of OpenShift AI beside us: believed, as the ServiceAccount's."""
    await allow(admin, namespace, "free", "model-b")
    space = f"{namespace}-tier-free"
    await admin.create(NAMESPACES, {"metadata": {"name": space}})
    await admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "zoe-12345678"}}, space)
    body = {"spec": {"audiences": [f"{namespace}-sa"], "expirationSeconds": 600}}
    _, answer = await cluster.request(space, "zoe-12345678", body)
    caller = await r.maas.callers.find(answer["status"]["token"])
    assert caller is not None
    assert caller.user == f"system:serviceaccount:{space}:zoe-12345678"
    assert (caller.tier, caller.models) == ("free", {"Model-B"})


async def test_people_of_several_sources(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """A user of the settings beside those of the cluster; nobody bears another's name."""
    r = made(cluster, namespace, tmp_path, Clock(cluster.clock()))
    r.reload({"maas": {"users": [{"name": "alice", "token": {"env": "ALICE_TOKEN"}}]}})
    cluster.people["t" * 20] = ("alice", ["premium-user"])
    assert (await r.ask("POST", TOKENS, ALICE)).status == 201
    assert (await r.ask("POST", TOKENS, "t" * 20)).status == 401
    await r.app.close()


async def test_an_instance_needs_a_cluster(tmp_path: Path) -> None:
    from wayside.vocab.errors import ConfigError

    with pytest.raises(ConfigError):
        rig(tmp_path, maas={"kubernetes": {"kubeconfig": str(tmp_path / uuid.uuid4().hex)}})
