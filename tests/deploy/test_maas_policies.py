"""Kuadrant's policies for a router behind MaaS: what they say, and what it means (cel-go)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Kubectl
from tests.deploy import schemas
from tests.deploy.cel import Cel
from wayside.deploy.intent import Intent
from wayside.deploy.parts import maas, maas_entry, maas_tiers
from wayside.deploy.parts.maas import MaasOptions

REQUIREMENT = next(
    Path("/work/shared/requirements").glob("002*"),
    Path(__file__).parents[3] / "shared" / "requirements" / "002",
)
printed = pytest.mark.skipif(not REQUIREMENT.exists(), reason="the requirement is not here")
MODELS = {
    "Model-A": {"run": "simulator", "kserve": "model-a", "tiers": []},
    "Model-B": {"run": "simulator", "kserve": "model-b", "tiers": ["premium"]},
    "Model-C": {"run": "simulator", "kserve": "model-c"},
}
Object = dict[str, Any]


def an_intent(**more: Any) -> Intent:
    return Intent.model_validate({"models": MODELS, **more})


def blocks() -> Iterator[Object]:
    """The objects that the requirement prints, with a domain in the place of the variable."""
    for page in REQUIREMENT.read_text("utf-8").split("```yaml\n")[1:]:
        text = page.partition("```")[0].replace("${CLUSTER_DOMAIN}", "apps.example.com")
        yield from (each for each in yaml.safe_load_all(text) if each)


def spec_of(kind: str) -> Object:
    return next(each["spec"] for each in blocks() if each["kind"] == kind)


# --- as printed --------------------------------------------------------------------------------


@printed
@pytest.mark.shared
def test_a2_11_the_route_is_the_printed_one_and_strips_more() -> None:
    """A2-11 and A2-12: parent, hostname, path and backend as the requirement prints them; its
    two headers are stripped, and every other one by which a client could pretend."""
    made = maas_entry.route(
        an_intent(), MaasOptions(), host="maas.apps.example.com", service="semantic-router-kserve"
    )
    assert made["metadata"]["name"] == "vsr-interim-route"
    assert made["metadata"]["namespace"] == "vllm-semantic-router-system"
    wanted, spec = spec_of("HTTPRoute"), made["spec"]
    (parent,) = spec["parentRefs"]
    assert parent.pop("kind") == "Gateway" and parent.pop("group").startswith("gateway.")
    stripped = spec["rules"][0]["filters"][0]["requestHeaderModifier"]
    asked = wanted["rules"][0]["filters"][0]["requestHeaderModifier"]["remove"]
    assert set(asked) < set(stripped["remove"]) and len(stripped["remove"]) <= 16
    stripped["remove"] = asked
    assert spec == wanted
    assert "${" not in yaml.safe_dump(made)


@printed
@pytest.mark.shared
def test_a2_15_the_grant_is_the_printed_one() -> None:
    made = maas_entry.grant(an_intent(), service="semantic-router-kserve")
    assert made["metadata"]["name"] == "allow-maas-gateway-to-vsr"
    assert made["apiVersion"] == "gateway.networking.k8s.io/v1beta1"
    assert made["spec"] == spec_of("ReferenceGrant")


@printed
@pytest.mark.shared
def test_a2_10_the_policy_is_the_printed_one_but_for_what_lets_others_in() -> None:
    """A2-10 and A2-13: TokenReview for the gateway's audience, defaults, response filters. What
    differs: the cache (D38), the tier's expressions (D40), and whose namespaces count."""
    made = maas_entry.auth_policy(an_intent(), MaasOptions())["spec"]
    wanted = spec_of("AuthPolicy")
    assert made["targetRef"] == wanted["targetRef"]
    ours, theirs = (each["rules"]["authentication"]["service-accounts"] for each in (made, wanted))
    assert ours["kubernetesTokenReview"] == theirs["kubernetesTokenReview"]
    assert ours["defaults"]["userid"]["expression"] == (
        theirs["defaults"]["userid"]["expression"].strip()
    )
    assert set(ours["defaults"]) == set(theirs["defaults"])
    assert "lower" not in str(ours["cache"]) and ours["cache"]["ttl"] <= 60
    filters = made["rules"]["response"]["success"]["filters"]["identity"]["json"]["properties"]
    printed_filters = wanted["rules"]["response"]["success"]["filters"]["identity"]["json"]
    assert set(filters) == set(printed_filters["properties"]) == {"userid", "tier"}
    lookup = made["rules"]["metadata"]["matchedTier"]
    assert lookup["http"]["url"].endswith("/v1/tiers/lookup")
    assert (lookup["http"]["method"], lookup["cache"]["ttl"]) == ("POST", 60)


@printed
@pytest.mark.shared
def test_the_printed_policy_applies_as_it_is(kubectl: Kubectl) -> None:
    """A2-20: the AuthPolicy of the requirement is accepted word for word."""
    schemas.install(kubectl, "AuthPolicy")
    kubectl("create", "namespace", "as-printed")
    policy = next(each for each in blocks() if each["kind"] == "AuthPolicy")
    policy["metadata"]["namespace"] = "as-printed"
    kubectl.apply(policy)


# --- what it means -----------------------------------------------------------------------------


def cel_of(kubectl: Kubectl, options: MaasOptions, intent: Intent) -> Cel:
    rules = maas_entry.auth_policy(
        intent, options, authorization=maas_entry.model_access({"Model-A": ("ns", "model-a")})
    )["spec"]["rules"]
    accounts = rules["authentication"]["service-accounts"]
    properties = rules["response"]["success"]["filters"]["identity"]["json"]["properties"]
    review = rules["authorization"]["chosen-model"]["kubernetesSubjectAccessReview"]
    (pattern,) = rules["authorization"]["of-this-tenant"]["patternMatching"]["patterns"]
    predicates = {"admitted": pattern["predicate"]}
    for policy in maas_tiers.limit_policies(intent, options):
        for name, limit in policy["spec"]["limits"].items():
            (when,) = limit["when"]
            predicates[f"{policy['metadata']['name']}/{name}"] = when["predicate"]
    expressions = {
        "userid": accounts["defaults"]["userid"]["expression"],
        "default-tier": accounts["defaults"]["tier"]["expression"],
        "key": accounts["cache"]["key"]["expression"],
        "tier": properties["tier"]["expression"],
        "model": review["resourceAttributes"]["name"]["expression"],
    }
    return Cel(kubectl, expressions, predicates)


@pytest.fixture(scope="module")
def cel(kubectl: Kubectl) -> Cel:
    return cel_of(kubectl, MaasOptions(gateway_limits=True), an_intent())


def asked(username: str, **more: Any) -> Object:
    identity = {"user": {"username": username, "groups": ["system:serviceaccounts"]}}
    headers = {"authorization": "Bearer AbC", "model": "Model-A"}
    return {
        "auth": {"identity": {**identity, **more.pop("identity", {})}, **more},
        "request": {"path": "/v1/chat/completions", "headers": headers},
    }


OWN = "system:serviceaccount:maas-default-gateway-tier-"


@pytest.mark.parametrize(
    ("username", "admitted", "tier"),
    [
        (f"{OWN}free:alice-1a2b3c4d", "true", "free"),
        (f"{OWN}enterprise:bob", "true", "enterprise"),
        # A namespace that somebody made, and a token for the gateway's audience from there.
        ("system:serviceaccount:enterprise:default", "false", ""),
        ("system:serviceaccount:other-tier-free:default", "false", ""),
        (
            f"{OWN}maas-default-gateway-tier-enterprise:x",
            "true",
            "maas-default-gateway-tier-enterprise",
        ),
        ("kube:admin", "false", "error"),
    ],
)
def test_a2_13_userid_and_tier_of_usernames(
    cel: Cel, username: str, admitted: str, tier: str
) -> None:
    """A2-13: the expressions are evaluated by cel-go. A namespace that is called as a tier is
    none, and neither is one whose name has the prefix twice (D40)."""
    found = cel(**asked(username))
    assert found["admitted"] == admitted
    assert found["default-tier"] == tier
    if tier != "error":
        assert found["userid"] == username.split(":")[3]


def test_a2_13_what_is_remembered_is_the_token_as_it_was_sent(cel: Cel) -> None:
    """D38: two tokens that differ in case alone are two."""
    first = asked(f"{OWN}free:alice")
    second = asked(f"{OWN}free:alice")
    second["request"]["headers"]["authorization"] = "Bearer abc"
    assert cel(**first)["key"] == "Bearer AbC" != cel(**second)["key"]


def test_a2_31_maas_knows_the_tier_and_the_name_stands_in_for_it(cel: Cel) -> None:
    """A2-31 and K7: the tier is extracted for `/v1/chat`: by a lookup, else by the namespace."""
    who = {"userid": "alice", "tier": "free"}
    found = cel(**asked(OWN, identity=who, metadata={"matchedTier": {"tier": "premium"}}))
    assert found["tier"] == "premium"
    for without in ({"matchedTier": {}}, {}):
        assert cel(**asked(OWN, identity=who, metadata=without))["tier"] == "free"
    assert cel(**asked(OWN, identity=who))["tier"] == "free"


@pytest.mark.parametrize("tier", ["free", "premium", "enterprise", "", "Free", "gold"])
def test_a2_31_each_tier_has_its_own_limit_and_others_have_none(cel: Cel, tier: str) -> None:
    """A2-31: of each policy exactly one limit holds for every caller; where the tier is not in
    the table it is the one that lets nothing through."""
    found = cel(**asked(OWN, identity={"userid": "alice", "tier": tier}))
    known = tier in ("free", "premium", "enterprise")
    for policy, what in (
        ("vsr-token-rate-limits", "tokens"),
        ("vsr-rate-limits", "requests"),
        ("gateway-token-rate-limits", "tokens"),
        ("gateway-rate-limits", "requests"),
    ):
        held = [n for n, v in found.items() if n.startswith(f"{policy}/") and v == "true"]
        assert held == [f"{policy}/{tier}-user-{what}" if known else f"{policy}/unknown-tier"]


def test_models_may_be_listed_by_those_whose_limit_is_used_up(cel: Cel) -> None:
    """The gateway's own policies do not count `/v1/models`."""
    what = asked(OWN, identity={"userid": "alice", "tier": "free"})
    what["request"]["path"] = "/llm/model-a/v1/models"
    found = cel(**what)
    assert not [n for n, v in found.items() if n.startswith("gateway-") and v == "true"]


def test_a2_40_the_right_is_asked_for_the_chosen_model(cel: Cel) -> None:
    """A2-40: by the header that the gateway sets, and for none that nobody has."""
    what = asked(f"{OWN}free:alice")
    assert cel(**what)["model"] == "model-a"
    what["request"]["headers"]["model"] = "Model-Z"
    assert cel(**what)["model"] == "-"


def test_a2_14_another_tenant(kubectl: Kubectl) -> None:
    """A2-14: namespaces, audience and expressions follow the tenant's name."""
    options = MaasOptions(tenant="team-x")
    cel = cel_of(kubectl, options, an_intent())
    found = cel(**asked("system:serviceaccount:team-x-tier-free:alice"))
    assert (found["admitted"], found["default-tier"]) == ("true", "free")
    assert cel(**asked(f"{OWN}free:alice"))["admitted"] == "false"
    policy = maas_entry.auth_policy(an_intent(), options)["spec"]["rules"]
    accounts = policy["authentication"]["service-accounts"]
    assert accounts["kubernetesTokenReview"]["audiences"] == ["team-x-sa"]
    groups = [
        b["subjects"] for b in maas_tiers.model_rights(an_intent(), options) if "subjects" in b
    ]
    assert {g["name"] for each in groups for g in each} == {
        f"system:serviceaccounts:team-x-tier-{tier}" for tier in ("free", "premium", "enterprise")
    }


# --- one table ---------------------------------------------------------------------------------


def test_a2_32_one_table_makes_the_limits_of_both_paths() -> None:
    """A2-32: the same numbers for the router's route and the gateway itself; several windows of
    one tier hold at once, and days become hours, which Kuadrant knows."""
    table = [
        {"name": "one", "tokens": [{"limit": 7, "window": "1m"}, {"limit": 70, "window": "30d"}]},
        {"name": "two", "requests": [{"limit": 3, "window": "10s"}]},
    ]
    intent = an_intent(tiers=table, models={})
    made = maas_tiers.limit_policies(intent, MaasOptions(gateway_limits=True))
    by_name = {each["metadata"]["name"]: each for each in made}
    assert by_name["vsr-token-rate-limits"]["spec"]["targetRef"]["kind"] == "HTTPRoute"
    assert by_name["gateway-token-rate-limits"]["spec"]["targetRef"]["kind"] == "Gateway"
    assert by_name["gateway-rate-limits"]["metadata"]["namespace"] == "openshift-ingress"
    rates: Any = {
        name: {k: limit["rates"] for k, limit in each["spec"]["limits"].items()}
        for name, each in by_name.items()
    }
    assert rates["vsr-token-rate-limits"] == rates["gateway-token-rate-limits"]
    assert rates["vsr-rate-limits"] == rates["gateway-rate-limits"]
    assert rates["vsr-token-rate-limits"]["one-user-tokens"] == [
        {"limit": 7, "window": "1m"},
        {"limit": 70, "window": "720h"},
    ]
    nothing = [{"limit": 0, "window": "1m"}]
    assert all(each["unknown-tier"] == nothing for each in rates.values())
    assert {c["expression"] for each in made for limit in each["spec"]["limits"].values()
            for c in limit["counters"]} == {"auth.identity.userid"}  # fmt: skip


def test_a2_31_the_default_table_is_the_documented_one() -> None:
    """B4: 100, 50,000 and 100,000 tokens a minute."""
    tokens, requests = maas_tiers.limit_policies(an_intent(), MaasOptions())
    assert {
        name: limit["rates"][0]["limit"] for name, limit in tokens["spec"]["limits"].items()
    } == {
        "free-user-tokens": 100,
        "premium-user-tokens": 50_000,
        "enterprise-user-tokens": 100_000,
        "unknown-tier": 0,
    }
    assert requests["kind"] == "RateLimitPolicy"
    assert maas_tiers.limit_policies(an_intent(), MaasOptions(limits="router")) == []


def test_a2_36_rights_of_tiers_to_models() -> None:
    """A2-36 and B5: a list names tiers, `[]` is all of them, absent nobody; the right is for that
    model alone."""
    made = list(maas_tiers.model_rights(an_intent(), MaasOptions()))
    roles = {o["metadata"]["name"]: o["rules"] for o in made if o["kind"] == "Role"}
    assert set(roles) == {"model-a-model-post-access", "model-b-model-post-access"}
    (rule,) = roles["model-a-model-post-access"]
    assert rule["resourceNames"] == ["model-a"] and rule["verbs"] == ["post"]
    assert rule["resources"] == ["llminferenceservices"]
    bound = {
        o["metadata"]["name"]: [s["name"].rpartition("-")[2] for s in o["subjects"]]
        for o in made
        if o["kind"] == "RoleBinding"
    }
    assert bound == {
        "model-a-model-post-access": ["free", "premium", "enterprise"],
        "model-b-model-post-access": ["premium"],
    }


def test_a2_35_the_router_may_ask_and_nothing_else() -> None:
    """A2-35: what the router's own reviews take."""
    role, binding = maas_tiers.review_rights(an_intent(), "router")
    assert {(r["resources"][0], *r["verbs"]) for r in role["rules"]} == {
        ("tokenreviews", "create"),
        ("subjectaccessreviews", "create"),
    }
    assert "namespace" not in role["metadata"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "router", "namespace": "vllm-semantic-router-system"}
    ]


def test_what_cannot_be_said_is_told_by_its_path() -> None:
    models = {**MODELS, "Model-A": {**MODELS["Model-A"], "tiers": ["fre"]}}
    (problem,) = maas.problems(an_intent(models=models), MaasOptions())
    assert str(problem) == "models.Model-A.tiers[0]: no tier 'fre'; did you mean 'free'?"
    table = [{"name": "one", "tokens": [{"limit": 7, "window": "9999d"}]}]
    (problem,) = maas.problems(an_intent(models={}, tiers=table), MaasOptions())
    assert problem.where == "tiers[0].tokens[0].window" and "4166d" in problem.fix
    gateway = {"name": "g", "class": "istio"}
    (problem,) = maas.problems(an_intent(models={}, gateway=gateway), MaasOptions())
    assert problem.where == "gateway.class"
    service = {"run": "simulator", "service": {"name": "a"}, "tiers": []}
    (problem,) = maas.problems(an_intent(models={"A": service}), MaasOptions())
    assert problem.where == "models.A.tiers"
