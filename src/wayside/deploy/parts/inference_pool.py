"""An InferencePool over a model's servers, and the picker that says which of them is next.

The picker is ours (``wayside epp``), which takes the arguments and configuration of llm-d's and
GIE's: another one's image may be put in its place.
"""

from __future__ import annotations

from typing import Any, Final

from wayside.deploy import Object
from wayside.deploy.intent import DnsName, Intent
from wayside.deploy.parts.istio import INFERENCE, destination_rule, gateway_of
from wayside.deploy.parts.meta import dns_name, object_, selector, service_of
from wayside.manifests import workload

GRPC: Final = 9002
HEALTH: Final = 9003
METRICS: Final = 9090
_OBJECTIVES: Final = [INFERENCE, "inference.networking.x-k8s.io", "llm-d.ai"]
_TLS: Final = "/etc/picker/tls"
PLUGINS: Final = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: queue-scorer
  - type: kv-cache-utilization-scorer
  - type: prefix-cache-scorer
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: queue-scorer
      - pluginRef: kv-cache-utilization-scorer
      - pluginRef: prefix-cache-scorer
"""
"""Few waiting, much free memory for their caches, and the beginning of the prompt known."""


def picker_name(pool: str) -> str:
    """Of the picker's Service, account, Role and configuration. Each pool has its own, so that
    one can go without taking another's with it."""
    return f"{pool}-epp"


def pool(intent: Intent, model: str, name: str) -> tuple[Object, ...]:
    """The pool, and everything of its picker, in the namespace of the model's Service."""
    service = service_of(intent, model)
    where = service.namespace or intent.namespace
    own = picker_name(name)
    spec = {
        "targetPorts": [{"number": service.target_port or service.port}],
        "selector": {"matchLabels": selector(intent, service.name)},
        "endpointPickerRef": {
            "name": own,
            "kind": "Service",
            "port": {"number": GRPC},
            "failureMode": "FailClose",
        },
    }

    def made(api_version: str, kind: str, called: str = own, **fields: Any) -> Object:
        return object_(intent, api_version, kind, called, namespace=where, component=own, **fields)

    rbac = "rbac.authorization.k8s.io"
    port = {"name": "grpc", "port": GRPC, "targetPort": "grpc", "appProtocol": "http2"}
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": _OBJECTIVES,
            "resources": ["inferencepools", "inferenceobjectives", "inferencemodelrewrites"],
            "verbs": ["get", "list", "watch"],
        },
    ]
    reference = {"apiGroup": rbac, "kind": "Role", "name": own}
    subject = {"kind": "ServiceAccount", "name": own, "namespace": where}
    return (
        made(f"{INFERENCE}/v1", "InferencePool", name, spec=spec),
        made("v1", "ServiceAccount", automountServiceAccountToken=False),
        made(f"{rbac}/v1", "Role", rules=rules),
        made(f"{rbac}/v1", "RoleBinding", roleRef=reference, subjects=[subject]),
        made("v1", "ConfigMap", data={"default-plugins.yaml": PLUGINS}),
        made("v1", "Service", spec={"selector": selector(intent, own), "ports": [port]}),
    )


def picker(intent: Intent, model: str, name: str, *, certificate: str = "") -> Object:
    """The picker's Deployment, under the name that llm-d's has. ``certificate`` is a Secret with
    ``tls.crt`` and ``tls.key`` for its Service's name; one that nobody can verify is made at its
    start otherwise."""
    service = service_of(intent, model)
    where = service.namespace or intent.namespace
    own = picker_name(name)
    args = ["--pool-name", name, "--pool-namespace", where, "--v", "4", "--zap-encoder", "json"]
    args += ["--grpc-port", str(GRPC), "--grpc-health-port", str(HEALTH)]
    args += ["--config-file", "/config/default-plugins.yaml"]
    mounts = [{"name": "plugins", "mountPath": "/config", "readOnly": True}]
    volumes: list[Object] = [
        {"name": "plugins", "configMap": {"name": own}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if certificate:
        args += ["--cert-path", _TLS, "--enable-cert-reload"]
        mounts.append({"name": "tls", "mountPath": _TLS, "readOnly": True})
        volumes.append(
            {"name": "tls", "secret": {"secretName": certificate, "defaultMode": 0o440}}
        )
    mounts.append({"name": "tmp", "mountPath": "/tmp"})
    asked = {"grpc": {"port": HEALTH, "service": "inference-extension"}}
    container: Object = {
        "name": "epp",
        "image": intent.router.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["wayside", "epp"],
        "args": args,
        "ports": workload.ports({"grpc": GRPC, "health": HEALTH, "metrics": METRICS}),
        "resources": {
            "requests": {"cpu": "500m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "livenessProbe": workload.probe(asked, delay=5, period=10, timeout=5, failures=3),
        "readinessProbe": workload.probe(asked, period=5, timeout=5, failures=3),
        "volumeMounts": mounts,
        "securityContext": workload.container_security(openshift=False),
    }
    made = object_(
        intent,
        "apps/v1",
        "Deployment",
        f"llm-d-inference-scheduler-{dns_name(model)}",
        namespace=where,
        component=own,
    )
    pod: Object = {
        "serviceAccountName": own,
        "automountServiceAccountToken": True,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 130,
        "securityContext": workload.pod_security(openshift=False),
        "containers": [container],
        "volumes": volumes,
    }
    return workload.deployment(
        made["metadata"]["name"], where, made["metadata"]["labels"], pod, replicas=1
    )


def picker_rule(intent: Intent, model: str, name: str, certificate: DnsName | None) -> Object:
    """How the gateway connects to the picker: by TLS with a certificate that it verifies, or, as
    the guide has it, with one that nobody can."""
    service = service_of(intent, model)
    where = service.namespace or intent.namespace
    own = picker_name(name)
    host = own if where == gateway_of(intent)[1] else f"{own}.{where}.svc.cluster.local"
    tls: Object = {"mode": "SIMPLE", "insecureSkipVerify": True}
    if certificate:
        full = f"{own}.{where}.svc"
        tls = {
            "mode": "SIMPLE",
            "sni": full,
            "subjectAltNames": [full],
            "credentialName": certificate,
        }
    return destination_rule(intent, own, host, tls, component=own)
