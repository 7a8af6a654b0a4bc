"""Nothing that is shipped has an address, a secret, a moving image or a privilege (AX-08)."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import Kubectl
from tests.deploy import policy, shipped
from tests.deploy.policy import Finding
from tests.deploy.shipped import ROOT, Object, Shipped

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("(privilege|token|resources)", r"samples/\S+_llamastack\.yaml: Deployment llama-stack-70b"): (
        "another project's server, which the sample starts as that project documents it"
    ),
    ("token", r"deploy/kubernetes/istio\S*: Deployment semantic-router"): (
        "its Role comes with httproute-openai.template, as the guide's step 13 applies it"
    ),
}
"""(rule, where: path) as a regular expression -> why that is right."""


PARTS = re.compile(r"^kubectl kustomize \S+/(?:manager|rbac|crd)$")
"""Builds that are parts of ``config/default``, which is looked at as a whole."""


@pytest.fixture(scope="module")
def objects() -> list[Shipped]:
    every = shipped.everything(Kubectl(Path("/dev/null")))
    return [each for each in every if not PARTS.search(each.where)]


def told(found: list[Shipped]) -> list[Finding]:
    """What the rules find, source by source."""
    every = []
    for _, group in groupby(found, key=lambda each: source(each.where)):
        every += policy.findings(list(group))
    return every


def source(where: str) -> str:
    """What is installed together: a target's manifests, a build, a chart, the files of a part."""
    if where.startswith("deploy/"):
        folder = where.rpartition("/")[0]
        return re.sub(r"/config/(?!samples).*", "/config", folder)
    return where.partition(": ")[0]


def excepted(finding: Finding) -> bool:
    return any(covers(key, finding) for key in EXCEPTIONS)


def covers(key: tuple[str, str], finding: Finding) -> bool:
    rules, where = key
    said = f"{finding.where}: {finding.path}"
    return bool(re.fullmatch(rules, finding.rule) and re.search(where, said))


def test_ax_08_nothing_that_is_shipped_breaks_a_rule(objects: list[Shipped]) -> None:
    """AX-08, D39: each violation with its path and its fix."""
    found = {str(f): f for f in told(objects) if not excepted(f)}
    assert not found, f"{len(found)} violations:\n" + "\n".join(
        f"  [{finding.rule}] {text}" for text, finding in sorted(found.items())
    )


def test_every_exception_is_one(objects: list[Shipped]) -> None:
    """A reason for something that is not there any more is taken away."""
    found = told(objects)
    for key, reason in EXCEPTIONS.items():
        assert len(reason.split()) > 4, "say why"
        assert any(covers(key, each) for each in found), f"{key}: no exception is needed"


# --- the gate can fail --------------------------------------------------------------------------

CONTAINER = {
    "name": "router",
    "image": "wayside:0.1.0",
    "args": ["serve"],
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
LABELS = {
    "app.kubernetes.io/managed-by": "wayside-deploy",
    "wayside.vllm.ai/deployment": "semantic-router",
}


def good() -> list[Object]:
    """A router as it should be: its objects break no rule."""
    meta: Object = {"name": "router", "namespace": "ns", "labels": dict(LABELS)}
    pod = {
        "serviceAccountName": "router",
        "containers": [CONTAINER],
        "automountServiceAccountToken": False,
    }
    policed = {"podSelector": {"matchLabels": {"app": "router"}}, "policyTypes": ["Ingress"]}
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    whole = [
        {
            "kind": "Deployment",
            "spec": {"template": {"metadata": {"labels": {"app": "router"}}, "spec": pod}},
        },
        {"kind": "NetworkPolicy", "spec": policed},
        {"kind": "ConfigMap", "data": {"url": "http://vllm-model-a.ns.svc:8000"}},
        {"kind": "Secret", "stringData": {}},
        {"kind": "ClusterRole", "rules": [rule]},
        {"kind": "HTTPRoute", "spec": {"rules": [{"filters": []}]}},
    ]
    return copy.deepcopy([{**each, "metadata": meta} for each in whole])


def broken(change: Callable[[dict[str, Any]], object]) -> list[Finding]:
    made = good()
    change({each["kind"]: each for each in made})
    return list(policy.findings([Shipped("wayside deploy render", each) for each in made]))


def _pod(found: dict[str, Any]) -> Any:
    return found["Deployment"]["spec"]["template"]["spec"]


def _container(found: dict[str, Any]) -> Any:
    return _pod(found)["containers"][0]


def _context(found: dict[str, Any]) -> Any:
    return _container(found)["securityContext"]


MUTATIONS: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "an address": ("address", lambda f: f["ConfigMap"]["data"].update(url="http://10.98.150.102")),
    "an address in text": (
        "address",
        lambda f: f["ConfigMap"]["data"].update(config="address: 172.30.64.134\nport: 8000"),
    ),
    "no tag": ("image", lambda f: _container(f).update(image="registry:5000/wayside")),
    "latest": ("image", lambda f: _container(f).update(image="wayside:latest")),
    "latest in an argument": (
        "image",
        lambda f: _container(f).update(args=["serve", "--image=ghcr.io/x/y:latest"]),
    ),
    "a secret": ("secret", lambda f: f["Secret"]["stringData"].update(key="abc")),
    "a key in a ConfigMap": (
        "secret",
        lambda f: f["ConfigMap"]["data"].update(key="sk-abcdefghijklmnop"),
    ),
    "a key in a route": (
        "secret",
        lambda f: f["HTTPRoute"]["spec"]["rules"][0]["filters"].append({"value": "Bearer abc"}),
    ),
    "a key in the environment": (
        "secret",
        lambda f: _container(f).update(env=[{"name": "OPENAI_API_KEY", "value": "abc"}]),
    ),
    "a key in the arguments": (
        "secret",
        lambda f: _container(f).update(args=["serve", "--api-key=abc"]),
    ),
    "privileged": ("privilege", lambda f: _context(f).update(privileged=True)),
    "root": ("privilege", lambda f: _context(f).update(runAsUser=0)),
    "maybe root": ("privilege", lambda f: _context(f).pop("runAsNonRoot")),
    "escalation": ("privilege", lambda f: _context(f).pop("allowPrivilegeEscalation")),
    "a capability": ("privilege", lambda f: _context(f)["capabilities"].update(add=["NET_ADMIN"])),
    "any system call": ("privilege", lambda f: _context(f).pop("seccompProfile")),
    "the node's network": ("privilege", lambda f: _pod(f).update(hostNetwork=True)),
    "the node's port": ("privilege", lambda f: _container(f).update(ports=[{"hostPort": 80}])),
    "the node's files": (
        "privilege",
        lambda f: _pod(f).update(volumes=[{"name": "v", "hostPath": {"path": "/mnt/models"}}]),
    ),
    "an SCC": ("privilege", lambda f: f["ConfigMap"].update(kind="SecurityContextConstraints")),
    "somebody's SCC": (
        "privilege",
        lambda f: f["ClusterRole"].update(
            kind="RoleBinding", roleRef={"name": "system:openshift:scc:anyuid"}
        ),
    ),
    "everything": ("rights", lambda f: f["ClusterRole"]["rules"][0].update(verbs=["*"])),
    "every Secret": (
        "rights",
        lambda f: f["ClusterRole"]["rules"][0].update(resources=["secrets"]),
    ),
    "unbounded": ("resources", lambda f: _container(f)["resources"].pop("limits")),
    "a token for nothing": ("token", lambda f: _pod(f).pop("automountServiceAccountToken")),
    "open to all": (
        "network",
        lambda f: f["NetworkPolicy"]["spec"].update(policyTypes=["Egress"]),
    ),
    "of nobody": ("labels", lambda f: f["ConfigMap"]["metadata"].update(labels={})),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_breaks_a_rule_is_told(name: str) -> None:
    """Each rule finds what it is there for, says where it is, and only that."""
    assert broken(lambda found: None) == []
    expected, change = MUTATIONS[name]
    found = broken(change)
    assert {each.rule for each in found} == {expected}
    assert all(each.fix and "wayside deploy render" in str(each) for each in found)


def test_every_rule_is_tried() -> None:
    assert {name for name, _ in MUTATIONS.values()} == {*policy.RULES, *policy.TOGETHER}


# --- templates, scripts, pages ------------------------------------------------------------------


def texts() -> Iterator[tuple[str, str]]:
    """Scripts and templates under ``deploy/``, and the YAML and commands that pages print."""
    for path in shipped.paths():
        objects = path.suffix == ".yaml" and path.name not in shipped.NO_OBJECTS
        if objects or "operator/bundle" in str(path) or path.suffix in (".tpl", ".svg"):
            continue
        yield str(path.relative_to(ROOT)), path.read_text("utf-8")
    for path in sorted([*(ROOT / "docs").rglob("*.md"), *DEPLOY_PAGES]):
        text = path.read_text("utf-8")
        for number, block in enumerate(
            re.findall(r"^```(?:ya?ml|bash|sh)\n(.*?)^```", text, re.M | re.S)
        ):
            yield f"{path.relative_to(ROOT)} (block {number + 1})", block


DEPLOY_PAGES = [ROOT / "README.md"]
WORDS = {
    r"scc-to-(user|group) (privileged|anyuid)": "grants a privileged SCC; fit into restricted-v2",
    r"--insecure-skip-tls-verify": "does not verify the cluster; use its certificate",
    r"\bpkill\b|\bkillall\b": "ends processes of others; end the one that was started",
    r"/home/ubuntu": "is one person's folder",
}
"""What upstream's scripts do and ours must not (D28, D33)."""
TEXT_EXCEPTIONS: dict[tuple[str, str], str] = {
    (
        "docs/how-to/install-the-operator.md",
        "ghcr.io/vllm-project/semantic-router-operator:latest",
    ): "requirement 001's own command, which the page quotes",
    **dict.fromkeys(
        [
            (f"deploy/openshift/{name}", address)
            for name in ("single-namespace/config-split.yaml", "validate-deployment.sh")
            for address in ("172.30.64.134", "172.30.116.177")
        ],
        "requirement 000's placeholders: one file has them to be replaced, one looks for them",
    ),
}
"""(file, what is found) -> why that is right."""


def in_texts() -> Iterator[tuple[str, str, str]]:
    for where, text in texts():
        for found in policy.addresses(text):
            yield where, found, "an address of one cluster"
        for found in policy.keys(text):
            yield where, found, "looks like a secret"
        for found in policy.latest(text):
            yield where, found, "an image that moves"
        for pattern, why in WORDS.items():
            for match in re.finditer(pattern, text):
                yield where, match[0], why


def test_ax_08_scripts_and_pages_keep_to_it() -> None:
    """AX-08, A0-15: no address, no secret, no moving image, no privilege in any text."""
    found = {(where.partition(" (")[0], what): why for where, what, why in in_texts()}
    wrong = {key: why for key, why in found.items() if key not in TEXT_EXCEPTIONS}
    assert not wrong, "\n".join(f"{where}: {what}: {why}" for (where, what), why in wrong.items())
    assert set(TEXT_EXCEPTIONS) <= set(found), "no exception is needed for what is gone"


# --- what is rendered is where the intent says --------------------------------------------------


@pytest.mark.parametrize("name", sorted(shipped.entries()))
def test_ax_08_a_namespace_is_the_intents(name: str) -> None:
    """AX-08: nothing rendered names the namespace or the name of an example in its own words."""
    entry = shipped.entries()[name]
    example = yaml.safe_load(entry.example)
    before = (example.get("namespace", "vllm-semantic-router-system"),)
    made = shipped.steps(name, {"namespace": "elsewhere", "name": "another"})
    for step in made:
        for manifest in step.manifests:
            for each in manifest.objects:
                for path, value in policy.leaves(each):
                    for old in before:
                        assert not re.search(
                            rf"(?<![\w-]){re.escape(old)}(?![\w-])", str(value)
                        ), f"{manifest.path}: {each['kind']}: {path}: {str(value)[:200]}"
