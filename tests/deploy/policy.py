"""What must not be in anything that is shipped: each rule looks at one thing, and says the fix."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.deploy.shipped import Object, Shipped
from wayside.deploy import DEPLOYMENT, MANAGER

OURS = re.compile(r"(?:^|/)(?:wayside|semantic-router)(?:[:@]|$)")
ROUTERS = frozenset({"serve", "extproc", "vllm-router"})
"""Commands of our image that take requests: a NetworkPolicy has to be in front of them."""
_ADDRESS = re.compile(r"(?<![\w.:-])\d{1,3}(?:\.\d{1,3}){3}(?![\w.-])")
_KEY = re.compile(
    r"\bsk-[A-Za-z0-9_-]{8,}|\bsk-\w*xx+|AKIA[A-Z0-9]{16}|\bgh[pousr]_\w{30,}|\bhf_[A-Za-z]{20,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|sha256~[\w-]{20,}"
)
_SECRET_NAME = re.compile(r"(?:KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?)$")
_CREDENTIAL = re.compile(r"(?i)(?:bearer\s+(\S.*)|basic\s+([A-Za-z0-9+/]{8,}=*)$)")
_PLACEHOLDER = re.compile(r"(?i)^(?:\$\{|<)|replace|change-?me|filled-in")
"""A value that says itself that it is none."""
_LATEST = re.compile(r"[\w./-]+:latest\b")
DOCUMENTED = [
    ipaddress.ip_network(n) for n in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
]
"""RFC 5737: nobody has these."""


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    where: str
    path: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.what}; {self.fix}"


Rule = Callable[[Shipped], Iterator[tuple[str, str, str]]]
RULES: dict[str, Rule] = {}


def rule(check: Rule) -> Rule:
    RULES[check.__name__] = check
    return check


def findings(found: Iterable[Shipped]) -> Iterator[Finding]:
    """What every rule has to say about these, which were shipped together."""
    together = list(found)
    for each in together:
        for name, check in RULES.items():
            for path, what, fix in check(each):
                yield Finding(name, str(each), path, what, fix)
    for name, look in TOGETHER.items():
        for each, path, what, fix in look(together):
            yield Finding(name, str(each), path, what, fix)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping and no list, with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def pod(body: Object) -> tuple[str, Object] | None:
    """The pod that an object makes, and where in the object it is."""
    spec = body.get("spec") or {}
    match body["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "ReplicaSet":
            return "spec.template.spec", spec["template"]["spec"]
        case "CronJob":
            return "spec.jobTemplate.spec.template.spec", spec["jobTemplate"]["spec"]["template"][
                "spec"
            ]
        case "Pod":
            return "spec", spec
        case "LLMInferenceService" if "template" in spec:
            return "spec.template", spec["template"]
    return None


def containers(body: Object) -> Iterator[tuple[str, Object]]:
    if found := pod(body):
        root, spec = found
        for group in ("initContainers", "containers"):
            for index, each in enumerate(spec.get(group) or ()):
                yield f"{root}.{group}[{index}]", each


# --- in any text --------------------------------------------------------------------------------


def addresses(text: str) -> Iterator[str]:
    """Addresses that are somebody's: not those of this machine, nor those of examples."""
    for found in _ADDRESS.findall(text):
        try:
            address = ipaddress.ip_address(found)
        except ValueError:
            continue
        fine = address.is_unspecified or address.is_loopback
        if not fine and not any(address in network for network in DOCUMENTED):
            yield found


def keys(text: str) -> Iterator[str]:
    """What looks like a secret."""
    yield from (found[:6] + "..." for found in _KEY.findall(text))


def latest(text: str) -> Iterator[str]:
    yield from _LATEST.findall(text)


# --- in one object ------------------------------------------------------------------------------


@rule
def address(one: Shipped) -> Iterator[tuple[str, str, str]]:
    if one.body["kind"] == "CustomResourceDefinition":
        return  # descriptions and patterns
    for path, value in leaves(one.body):
        for found in addresses(str(value)):
            yield path, f"the address {found} is one cluster's", "name a Service"


@rule
def image(one: Shipped) -> Iterator[tuple[str, str, str]]:
    fix = "give a version or a digest"
    if one.body["kind"] == "CustomResourceDefinition":
        return
    for path, value in leaves(one.body):
        if path.endswith(".image") and isinstance(value, str):
            name, _, tag = value.rpartition(":")
            if not name or "/" in tag or tag == "latest":
                yield path, f"the image {value!r} is another one tomorrow", fix
        elif isinstance(value, str) and list(latest(value)):
            yield path, f"{value[:60]!r} names an image by :latest", fix


@rule
def secret(one: Shipped) -> Iterator[tuple[str, str, str]]:
    fix = "refer to a Secret that somebody made beforehand"
    if one.body["kind"] == "Secret":
        for field in ("data", "stringData"):
            for key, value in (one.body.get(field) or {}).items():
                if value and not _PLACEHOLDER.search(str(value)):
                    yield f"{field}.{key}", "a Secret with its value", fix
    for path, value in leaves(one.body):
        if isinstance(value, str) and one.body["kind"] != "CustomResourceDefinition":
            for found in keys(value):
                yield path, f"{found} looks like a secret", fix
    for path, each in containers(one.body):
        for variable in each.get("env") or ():
            if _SECRET_NAME.search(variable["name"]) and variable.get("value"):
                yield f"{path}.env.{variable['name']}", "a secret as a plain value", fix
        for argument in [*(each.get("command") or ()), *(each.get("args") or ())]:
            if re.match(r"--?(?:api[-_]?key|token|password)=.", str(argument)):
                yield f"{path}.args", "a secret in the arguments", fix
    for path, value in leaves(one.body):
        credential = _CREDENTIAL.match(str(value))
        if credential and not _PLACEHOLDER.search(credential[1] or credential[2]):
            yield path, "a credential", fix


@rule
def privilege(one: Shipped) -> Iterator[tuple[str, str, str]]:
    if one.body["kind"] == "SecurityContextConstraints":
        yield "kind", "a security context constraint", "fit into restricted-v2 instead"
    if one.body["kind"].endswith("RoleBinding"):
        name = one.body["roleRef"]["name"]
        if re.search(r"scc:(?!restricted)|^cluster-admin$|^admin$", name):
            yield "roleRef.name", f"grants {name}", "grant what is needed by a Role of its own"
    for path, value in leaves(one.body):
        if value in ("privileged", "anyuid", "hostaccess", "hostnetwork"):
            yield path, f"asks for {value}", "fit into restricted-v2 instead"
        if re.search(r"\bhostPath\b", path) and one.body["kind"] != "CustomResourceDefinition":
            yield path, "a folder of the node", "claim storage"
    found = pod(one.body)
    if not found:
        return
    root, spec = found
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{root}.{name}", "sees its node", "leave it out"
    whole = spec.get("securityContext") or {}
    for path, each in containers(one.body):
        yield from _context(path, whole | (each.get("securityContext") or {}))
        for port in each.get("ports") or ():
            if port.get("hostPort"):
                yield f"{path}.ports", "a port of the node", "leave hostPort out"


def _context(path: str, context: Object) -> Iterator[tuple[str, str, str]]:
    where = f"{path}.securityContext"
    if context.get("privileged"):
        yield f"{where}.privileged", "a privileged container", "leave it out"
    if context.get("allowPrivilegeEscalation") is not False:
        yield where, "may gain rights", "allowPrivilegeEscalation: false"
    capabilities = context.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield f"{where}.capabilities", "keeps or adds capabilities", "capabilities: {drop: [ALL]}"
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield where, "may be root", "runAsNonRoot: true, and no runAsUser: 0"
    profile = (context.get("seccompProfile") or {}).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield where, "any system call", "seccompProfile: {type: RuntimeDefault}"


@rule
def resources(one: Shipped) -> Iterator[tuple[str, str, str]]:
    for path, each in containers(one.body):
        said = each.get("resources") or {}
        lacking = {"cpu", "memory"} - set(said.get("requests") or ())
        if lacking or "memory" not in (said.get("limits") or ()):
            yield (
                f"{path}.resources",
                "does not say what it takes",
                "give requests of cpu and memory, and a limit of memory",
            )


@rule
def rights(one: Shipped) -> Iterator[tuple[str, str, str]]:
    if one.body["kind"] not in ("Role", "ClusterRole"):
        return
    for index, each in enumerate(one.body.get("rules") or ()):
        path = f"rules[{index}]"
        for field in ("apiGroups", "resources", "verbs"):
            if "*" in each.get(field, ()):
                yield f"{path}.{field}", "everything", "list what is needed"
        if "secrets" in each.get("resources", ()):
            if {"list", "watch"} & set(each["verbs"]):
                yield path, "reads every Secret there is", "get, of resourceNames"
            elif not each.get("resourceNames"):
                yield path, "reads any Secret", "name them in resourceNames"
        if "securitycontextconstraints" in each.get("resources", ()):
            yield path, "uses a security context constraint", "fit into restricted-v2 instead"


# --- in what was shipped together ---------------------------------------------------------------

Together = Callable[[list[Shipped]], Iterator[tuple[Shipped, str, str, str]]]
TOGETHER: dict[str, Together] = {}


def together(check: Together) -> Together:
    TOGETHER[check.__name__] = check
    return check


def _routes(container: Object) -> bool:
    said = [*(container.get("command") or ()), *(container.get("args") or ())]
    return bool(OURS.search(container.get("image", "")) and ROUTERS & set(said[:2]))


def _namespace(body: Object) -> str:
    return str(body["metadata"].get("namespace", ""))


@together
def token(found: list[Shipped]) -> Iterator[tuple[Shipped, str, str, str]]:
    """A pod has a token of the API only if its account may do something with it."""
    bound = {
        subject["name"]
        for each in found
        if each.body["kind"].endswith("RoleBinding")
        for subject in each.body.get("subjects") or ()
        if subject["kind"] == "ServiceAccount"
    }
    closed = {
        each.body["metadata"]["name"]
        for each in found
        if each.body["kind"] == "ServiceAccount"
        and each.body.get("automountServiceAccountToken") is False
    }
    for each in found:
        if not (made := pod(each.body)):
            continue
        root, spec = made
        account = spec.get("serviceAccountName", "default")
        said = spec.get("automountServiceAccountToken")
        if said is not False and account not in bound and not (said is None and account in closed):
            yield (
                each,
                f"{root}.automountServiceAccountToken",
                f"a token for the account {account}, which may do nothing",
                "automountServiceAccountToken: false",
            )


@together
def network(found: list[Shipped]) -> Iterator[tuple[Shipped, str, str, str]]:
    """Who may connect to a router is said."""
    policies: dict[str, list[Object]] = defaultdict(list)
    for each in found:
        if each.body["kind"] == "NetworkPolicy":
            policies[_namespace(each.body)].append(each.body["spec"])
    for each in found:
        if each.body["kind"] not in ("Deployment", "StatefulSet", "DaemonSet"):
            continue
        if not any(_routes(container) for _, container in containers(each.body)):
            continue
        labels = each.body["spec"]["template"]["metadata"].get("labels") or {}
        covering = [
            policy
            for policy in policies[_namespace(each.body)]
            if (policy["podSelector"].get("matchLabels") or {}).items() <= labels.items()
            and "Ingress" in policy.get("policyTypes", ["Ingress"])
        ]
        if not covering:
            yield each, "", "anybody may connect to it", "give it a NetworkPolicy"


@together
def labels(found: list[Shipped]) -> Iterator[tuple[Shipped, str, str, str]]:
    """What the deploy tool makes can be found, and taken away, by its labels."""
    for each in found:
        if not each.where.startswith("wayside deploy render"):
            continue
        said = each.body["metadata"].get("labels") or {}
        if said.get("app.kubernetes.io/managed-by") != MANAGER or not said.get(DEPLOYMENT):
            yield each, "metadata.labels", "does not say whose it is", "label it (parts/meta.py)"
