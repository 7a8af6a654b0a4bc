"""The router's Deployment: what of the spec arrives there, and what is there unasked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resources.semantic_router.made import (
    NAME,
    NAMESPACE,
    condition,
    container,
    desired,
    endpoint,
    named,
    pod,
    router,
    world,
)
from tests.resources.semantic_router.restricted import violations
from wayside.cli import app as cli_app
from wayside.manifests.router_pod import FIXED, RESTART
from wayside.resources.semantic_router import proxy
from wayside.vocab.resource import DEPLOYMENTS

GATEWAY = {"existingRef": {"name": "ingress", "namespace": "istio-system"}}


def annotations(**spec: Any) -> dict[str, str]:
    made = named(desired(router(**spec)).children, "Deployment")
    found: dict[str, str] = made["spec"]["template"]["metadata"]["annotations"]
    return found


def test_names_and_labels() -> None:
    """A1-30, A1-31, A1-20: the Deployment has the router's name; logs are found by label."""
    made = named(desired(router()).children, "Deployment")
    assert made["metadata"]["name"] == NAME
    assert made["metadata"]["labels"]["app.kubernetes.io/instance"] == NAME
    template = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"].items() <= template.items()
    for one in desired(router()).children:
        assert one["metadata"]["labels"] == {
            "app.kubernetes.io/name": "semantic-router",
            "app.kubernetes.io/instance": NAME,
            "app.kubernetes.io/managed-by": "semantic-router-operator",
        }, one["kind"]


def test_standalone_is_the_default() -> None:
    """A1-36, A1-37: two containers, the router and its Envoy."""
    made = desired(router())
    assert [one["name"] for one in pod(made)["containers"]] == ["semantic-router", "envoy-proxy"]
    assert "initContainers" not in pod(made)
    command = container(made)["command"]
    assert command[:2] == ["wayside", "extproc"]


def test_behind_a_gateway_there_is_no_envoy() -> None:
    """A1-46, A1-48: one container, which serves by itself; no port 8801 and no ConfigMap."""
    made = desired(router(gateway=GATEWAY))
    (only,) = pod(made)["containers"]
    assert only["command"][:2] == ["wayside", "serve"]
    assert "--with-api" in only["command"]
    assert [port["containerPort"] for port in only["ports"]] == [8080, 9190]
    maps = [one["metadata"]["name"] for one in made.children if one["kind"] == "ConfigMap"]
    assert maps == [f"{NAME}-config"]
    assert [v["name"] for v in pod(made)["volumes"]] == ["config-volume", "models-volume", "tmp"]


def test_custom_ports_go_all_the_way() -> None:
    """A1-41, A1-42, A1-43: container, command line and Envoy."""
    service = {
        "api": {"port": 9000, "targetPort": 9001},
        "grpc": {"port": 50061, "targetPort": 50062},
        "metrics": {"port": 9091, "targetPort": 9092},
    }
    made = desired(router(service=service))
    command = " ".join(container(made)["command"])
    assert "--listen 0.0.0.0:50062" in command
    assert "--metrics-address 0.0.0.0:9092" in command
    assert [p["containerPort"] for p in container(made, "envoy-proxy")["ports"]] == [9001, 8801]
    files = named(made.children, "ConfigMap", f"{NAME}-envoy-config")["data"]
    assert '"port_value":9001' in files["listeners.yaml"]
    assert '"port_value": 50062' in files["envoy.yaml"]
    behind = desired(router(service=service, gateway=GATEWAY))
    assert "--address 0.0.0.0 --port 9001" in " ".join(container(behind)["command"])


def test_pods_with_ipv6_addresses() -> None:
    """A0-31: what is on every address is on those, where the cluster has them."""
    made = desired(router(), world(KUBERNETES_SERVICE_HOST="fd00::1"))
    command = " ".join(container(made)["command"])
    assert "--listen [::]:50051" in command
    assert "--metrics-address [::]:9190" in command
    files = named(made.children, "ConfigMap", f"{NAME}-envoy-config")["data"]
    assert '"address":"::"' in files["listeners.yaml"]
    assert '"ipv4_compat":true' in files["listeners.yaml"]
    assert '"address": "::1"' in files["envoy.yaml"], "where the router is for its Envoy"
    seen = world(KUBERNETES_SERVICE_HOST="fd00::1")
    behind = " ".join(container(desired(router(gateway=GATEWAY), seen))["command"])
    assert "--address :: --port 8080" in behind


def test_loopback_ports_keep_out_of_the_way() -> None:
    """A1-41: ports of ours never take one that the user wants."""
    service = {"api": {"targetPort": 18080}, "grpc": {"targetPort": 19000}}
    made = desired(router(service=service))
    command = container(made)["command"]
    chosen = {command[command.index("--management-port") + 1]}
    for option in ("--api-address", "--outlive", "--metrics-address", "--listen"):
        chosen.add(command[command.index(option) + 1].rpartition(":")[2])
    ports = {str(p["containerPort"]) for p in container(made, "envoy-proxy")["ports"]}
    assert len(chosen | ports) == 5 + 2


def test_management_and_admin_are_on_loopback() -> None:
    made = desired(router())
    command = container(made)["command"]
    assert command[command.index("--management-address") + 1] == "127.0.0.1"
    assert command[command.index("--api-address") + 1].startswith("127.0.0.1:")
    open_ports = {p["containerPort"] for c in pod(made)["containers"] for p in c["ports"]}
    assert open_ports == {50051, 9190, 8080, 8801}


# --- security ----------------------------------------------------------------------------------


@pytest.mark.parametrize("openshift", [False, True])
@pytest.mark.parametrize("gateway", [None, GATEWAY])
def test_pods_are_restricted(openshift: bool, gateway: Any) -> None:
    """A1-62, A1-63: in a namespace that enforces ``restricted`` they run as they are."""
    spec = {} if gateway is None else {"gateway": gateway}
    made = pod(desired(router(**spec), world(openshift=openshift)))
    assert list(violations(made)) == []
    for one in made["containers"]:
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
        for mount in one["volumeMounts"]:
            assert "subPath" not in mount, "what is mounted so never changes"


def test_on_kubernetes_the_user_is_1000() -> None:
    """A1-63."""
    made = pod(desired(router()))
    assert made["securityContext"]["runAsUser"] == 1000
    assert made["securityContext"]["fsGroup"] == 1000
    assert {c["securityContext"]["runAsUser"] for c in made["containers"]} == {1000}


def test_on_openshift_the_namespace_chooses_the_user() -> None:
    """A1-62, A1-02."""
    made = pod(desired(router(), world(openshift=True)))
    said = str([made["securityContext"], *(c["securityContext"] for c in made["containers"])])
    assert "runAsUser" not in said
    assert "fsGroup" not in said


def test_the_checker_finds_what_is_forbidden() -> None:
    """So that the tests above can fail."""
    bad = {
        "hostNetwork": True,
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
        "containers": [{"name": "c", "ports": [{"hostPort": 80}], "securityContext": {}}],
    }
    assert set(violations(bad)) == {
        "hostNetwork",
        "volume v: hostPath",
        "c: allowPrivilegeEscalation",
        "c: capabilities.drop",
        "c: runAsNonRoot",
        "c: seccompProfile",
        "c: hostPort",
    }


def test_contexts_of_the_spec_take_the_place_of_ours() -> None:
    made = desired(router(securityContext={"runAsUser": 7}, podSecurityContext={"fsGroup": 8}))
    assert container(made)["securityContext"] == {"runAsUser": 7}
    assert pod(made)["securityContext"] == {"fsGroup": 8}


def test_no_token_where_nobody_asks_the_cluster() -> None:
    """A1-104: pods that only route have no way to the API server."""
    assert pod(desired(router()))["automountServiceAccountToken"] is False
    account = named(desired(router()).children, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False


# --- what the spec says ------------------------------------------------------------------------


AS_STORED = {
    "repository": "ghcr.io/vllm-project/semantic-router/extproc",
    "tag": "latest",
    "pullPolicy": "Always",
}
"""``image: {pullPolicy: Always}`` with what an API server writes beside it."""


@pytest.mark.parametrize(
    ("image", "setting", "said"),
    [
        ({}, "", "ghcr.io/vllm-project/semantic-router/extproc:latest"),
        ({"tag": "v1"}, "", "ghcr.io/vllm-project/semantic-router/extproc:v1"),
        ({"repository": "a/b", "tag": "v1"}, "", "a/b:v1"),
        ({"repository": "a/b", "tag": "v1", "imageRegistry": "mirror"}, "", "mirror/a/b:v1"),
        ({"repository": "a/b", "tag": "sha256:00"}, "", "a/b@sha256:00"),
        ({}, "ours/router:1", "ours/router:1"),
        (AS_STORED, "ours/router:1", "ours/router:1"),
        ({"repository": "a/b", "tag": "v1"}, "ours/router:1", "a/b:v1"),
    ],
)
def test_image(image: dict[str, str], setting: str, said: str) -> None:
    """A1-91."""
    made = desired(router(image=image), world(ROUTER_IMAGE=setting))
    assert container(made)["image"] == said


def test_pull_policy_and_secrets() -> None:
    """A1-91."""
    made = desired(router(image={"pullPolicy": "Always"}, imagePullSecrets=[{"name": "registry"}]))
    assert container(made)["imagePullPolicy"] == "Always"
    assert pod(made)["imagePullSecrets"] == [{"name": "registry"}]


def test_envoys_image_may_be_a_mirrors() -> None:
    assert container(desired(router()), "envoy-proxy")["image"] == proxy.IMAGE
    assert ":v" in proxy.IMAGE, "pinned"
    made = desired(router(), world(ENVOY_IMAGE="mirror/envoy@sha256:00"))
    assert container(made, "envoy-proxy")["image"] == "mirror/envoy@sha256:00"


def test_passed_through() -> None:
    """A1-92."""
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}
    toleration = {"key": "gpu", "operator": "Exists"}
    variable = {"name": "LOG_LEVEL", "value": "debug"}
    made = desired(
        router(
            env=[variable, {"name": "HOME", "value": "/models"}],
            args=["--server", "grpcio"],
            resources={"limits": {"cpu": "2"}},
            nodeSelector={"zone": "a"},
            tolerations=[toleration],
            affinity=affinity,
            podAnnotations={"team": "x", RESTART: "never"},
        )
    )
    one = container(made)
    assert variable in one["env"]
    assert [e["value"] for e in one["env"] if e["name"] == "HOME"] == ["/models"]
    assert one["args"] == ["--server", "grpcio"], "after ours, which are the command"
    assert one["resources"] == {"limits": {"cpu": "2"}}
    assert pod(made)["nodeSelector"] == {"zone": "a"}
    assert pod(made)["tolerations"] == [toleration]
    assert pod(made)["affinity"] == affinity
    notes = annotations(podAnnotations={"team": "x", RESTART: "never"})
    assert notes["team"] == "x"
    assert notes[RESTART] not in ("", "never")


def test_requests_are_always_there() -> None:
    """A1-71: without them an autoscaler that goes by CPU cannot work."""
    made = desired(router())
    for one in pod(made)["containers"]:
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys()


@pytest.mark.parametrize(
    ("wish", "name", "created"),
    [
        ({}, NAME, True),
        ({"name": "mine"}, "mine", True),
        ({"create": False, "name": "theirs"}, "theirs", False),
        ({"create": False}, "default", False),
    ],
)
def test_service_account(wish: dict[str, Any], name: str, created: bool) -> None:
    """A1-90: there before the Deployment that names it."""
    made = desired(router(serviceAccount=wish))
    assert pod(made)["serviceAccountName"] == name
    kinds = [one["kind"] for one in made.children]
    assert ("ServiceAccount" in kinds) is created
    if created:
        assert kinds.index("ServiceAccount") < kinds.index("Deployment")
        assert named(made.children, "ServiceAccount")["metadata"]["name"] == name


def test_service_account_annotations() -> None:
    """A1-90."""
    made = desired(router(serviceAccount={"annotations": {"eks.amazonaws.com/role-arn": "x"}}))
    account = named(made.children, "ServiceAccount")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "x"}


# --- probes ------------------------------------------------------------------------------------


def test_probes_are_there_without_being_asked_for() -> None:
    """A1-93: a pod without readiness is sent requests before it can answer."""
    one = container(desired(router()))
    assert one["startupProbe"] == {
        "tcpSocket": {"port": 50051},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 360,
    }
    assert one["livenessProbe"] == {
        "httpGet": {"path": "/health", "port": 9190},
        "initialDelaySeconds": 30,
        "periodSeconds": 30,
        "timeoutSeconds": 10,
        "failureThreshold": 5,
    }
    assert one["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 9190}
    behind = container(desired(router(gateway=GATEWAY)))
    assert behind["startupProbe"]["tcpSocket"] == {"port": 8080}


def test_probes_of_the_spec() -> None:
    """A1-93: times alone keep our handler; a handler is theirs, whole; disabled ones go."""
    made = container(
        desired(
            router(
                startupProbe={"enabled": False},
                livenessProbe={"periodSeconds": 7},
                readinessProbe={
                    "httpGet": {"path": "/x", "port": 1},
                    "initialDelaySeconds": 3,
                    "successThreshold": 2,
                },
            )
        )
    )
    assert "startupProbe" not in made
    assert made["livenessProbe"]["httpGet"]["path"] == "/health"
    assert made["livenessProbe"]["periodSeconds"] == 7
    assert made["readinessProbe"] == {
        "httpGet": {"path": "/x", "port": 1},
        "initialDelaySeconds": 3,
        "successThreshold": 2,
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }


@pytest.mark.parametrize(
    ("field", "handler"),
    [
        ("tcpSocket", {"port": 50051}),
        ("grpc", {"port": 50051}),
        ("exec", {"command": ["true"]}),
    ],
)
def test_other_handlers(field: str, handler: dict[str, Any]) -> None:
    """A1-93."""
    made = container(desired(router(readinessProbe={field: handler})))["readinessProbe"]
    assert made[field] == handler
    assert "httpGet" not in made


# --- when pods are replaced --------------------------------------------------------------------


def test_models_and_rules_replace_no_pod() -> None:
    """A1-84: they reach pods that run, by their files."""
    before = desired(router())
    after = desired(router(endpoint("small"), endpoint("large")))
    assert named(before.children, "Deployment") == named(after.children, "Deployment")
    for name in (f"{NAME}-config", f"{NAME}-envoy-config"):
        was, now = (named(one.children, "ConfigMap", name)["data"] for one in (before, after))
        assert was != now, name
    envoy = f"{NAME}-envoy-config"
    was, now = (named(one.children, "ConfigMap", envoy)["data"] for one in (before, after))
    assert was["envoy.yaml"] == now["envoy.yaml"]
    assert was["listeners.yaml"] == now["listeners.yaml"]
    assert was["clusters.yaml"] != now["clusters.yaml"]


def test_what_is_read_at_start_replaces_pods() -> None:
    """A1-84: a port of Envoy's bootstrap."""
    other = {"grpc": {"targetPort": 50052}}
    assert annotations()[RESTART] != annotations(service=other)[RESTART]


def test_it_is_known_what_a_router_reads_at_its_start() -> None:
    assert set(FIXED) == set(cli_app._FIXED)


def test_everything_is_deterministic() -> None:
    """A1-83."""
    assert desired(router()) == desired(router())


# --- how many, and how they are replaced -------------------------------------------------------


def test_replicas() -> None:
    """A1-70."""
    assert named(desired(router(replicas=3)).children, "Deployment")["spec"]["replicas"] == 3


def test_an_autoscalers_replicas_are_left_alone() -> None:
    """A1-72: what somebody else has set is not said."""
    seen = world()
    there = {
        "metadata": {"name": NAME, "namespace": NAMESPACE, "managedFields": []},
        "spec": {"replicas": 7},
    }
    seen.put(DEPLOYMENTS, there)
    found = router(autoscaling={"enabled": True, "minReplicas": 3, "maxReplicas": 20})
    made = named(desired(found, seen).children, "Deployment")
    assert "replicas" not in made["spec"]


@pytest.mark.parametrize(
    ("persistence", "strategy"),
    [
        ({"enabled": False}, "RollingUpdate"),
        ({"accessMode": "ReadWriteMany"}, "RollingUpdate"),
        ({"accessMode": "ReadWriteOnce"}, "Recreate"),
    ],
)
def test_a_volume_of_one_node_is_let_go_first(persistence: dict[str, Any], strategy: str) -> None:
    """A1-64, D41: a new pod on another node would wait for ever for the old one's volume."""
    made = named(desired(router(persistence=persistence)).children, "Deployment")
    assert made["spec"]["strategy"]["type"] == strategy


def test_no_pod_goes_before_its_successor_is_ready() -> None:
    made = named(desired(router(persistence={"enabled": False})).children, "Deployment")
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_pod_has_time_to_end_what_it_does() -> None:
    made = desired(router())
    assert pod(made)["terminationGracePeriodSeconds"] >= 30 + 5
    assert "preStop" in container(made, "envoy-proxy")["lifecycle"]
    assert "--outlive" in container(made)["command"]
    behind = container(desired(router(gateway=GATEWAY)))
    assert behind["command"][-2:] == ["--linger", "5"]


def test_pods_are_spread() -> None:
    keys = {one["topologyKey"] for one in pod(desired(router()))["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


# --- secrets -----------------------------------------------------------------------------------


def test_secrets_are_mounted_and_never_read() -> None:
    """A1-97, A1-98: only the kubelet sees the value; a rotated one comes by the same file."""
    backend = {
        **endpoint("small")["backend"],
        "apiKeySecretRef": {"name": "keys", "key": "small"},
        "caSecretRef": {"name": "authority", "key": "ca.crt"},
        "scheme": "https",
    }
    made = desired(router({**endpoint("small"), "backend": backend}))
    assert condition(made, "ConfigValid")[0] == "True"
    mounts = {m["name"]: m for m in container(made)["volumeMounts"]}
    assert mounts["secrets"]["mountPath"] == "/etc/wayside/secrets"
    volumes = {v["name"]: v for v in pod(made)["volumes"]}
    sources = [s["secret"]["name"] for s in volumes["secrets"]["projected"]["sources"]]
    assert sorted(sources) == ["authority", "keys"]
    of_envoy = [
        s["secret"]["name"] for s in volumes["backend-authorities"]["projected"]["sources"]
    ]
    assert of_envoy == ["authority"], "Envoy needs no key"
    assert "secrets" not in [m["name"] for m in container(made, "envoy-proxy")["volumeMounts"]]
    clusters = named(made.children, "ConfigMap", f"{NAME}-envoy-config")["data"]["clusters.yaml"]
    assert "/etc/wayside/secrets/authority/ca.crt" in clusters
