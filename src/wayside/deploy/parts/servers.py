"""Servers of models: ``run: vllm``, ``run: simulator``, ``run: llm-katan``."""

from __future__ import annotations

from typing import Any, Final

from wayside.deploy import Object
from wayside.deploy.intent import Intent, ModelIntent
from wayside.deploy.parts.meta import labels, service_of
from wayside.deploy.parts.router import amounts
from wayside.manifests import workload
from wayside.manifests.storage import claim
from wayside.vocab.errors import Problem

IMAGES: Final = {
    "vllm": "docker.io/vllm/vllm-openai:v0.17.0",
    "llm-katan": "ghcr.io/vllm-project/semantic-router/llm-katan:v0.1.0",
}
"""Where the intent names none; a simulator is the router's own image."""
USUAL: Final = {"vllm": ("2", "20Gi"), "llm-katan": ("1", "8Gi"), "simulator": ("100m", "256Mi")}
"""CPU and memory of one replica where the intent does not say: enough for 8B of weights on a GPU,
and for llm-katan's 0.6B."""
CACHE: Final = "/home/models"
"""Where weights are kept: the claim's folder, or one that goes with the pod."""


def servers(
    intent: Intent,
    name: str,
    model: ModelIntent,
    *,
    openshift: bool = False,
    container: str = "",
    deployment: str = "",
    storage_class: str = "",
) -> tuple[Object, ...]:
    """Claim (where ``storage`` asks for one), Deployment and Service of a model that is ``run``
    here, in the namespace of its Service; nothing for a model that is not.

    ``container`` is the container's name, that of ``run`` unless said; ``deployment`` the
    Deployment's, that of the Service unless said.
    """
    if model.run is None:
        return ()
    service = service_of(intent, name)
    where = service.namespace or intent.namespace
    port = service.target_port or service.port
    own = labels(intent, service.name)
    made: list[Object] = []
    held: Object = {"emptyDir": {}}
    if model.storage is not None:
        held = {"persistentVolumeClaim": {"claimName": f"{service.name}-cache"}}
        made.append(
            claim(
                f"{service.name}-cache",
                where,
                own,
                size=model.storage,
                access_mode="ReadWriteOnce",
                storage_class=storage_class or intent.router.storage_class or None,
            )
        )
    pod: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": workload.pod_security(openshift=openshift),
        "containers": [_container(intent, name, model, port, container, openshift=openshift)],
        "volumes": [
            {"name": "cache", **held},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            *([{"name": "shm", "emptyDir": {"medium": "Memory"}}] if model.run == "vllm" else []),
        ],
    }
    made.append(
        workload.deployment(
            deployment or service.name,
            where,
            own,
            pod,
            replicas=model.replicas,
            # GPUs and claims are seldom there twice: the old pod goes before the new one starts.
            recreate=gpus(model) > 0 or model.storage is not None,
        )
    )
    made.append(workload.service(service.name, where, own, [("http", service.port, port, "http")]))
    return tuple(made)


def problems(intent: Intent) -> list[Problem]:
    """What of the models that are run here is said in vain, or is missing."""
    found: list[Problem] = []
    for name, model in intent.models.items():
        at = f"models.{name}"
        if model.run in ("vllm", "llm-katan") and not model.source:
            fix = "write the name of its weights: Qwen/Qwen3-0.6B"
            found.append(Problem(f"run: {model.run} has nothing to serve", f"{at}.source", fix))
        if model.run is None and model.service is not None and model.service.target_port:
            what = "the Service is there already, and says so itself"
            found.append(Problem(what, f"{at}.service.target_port", "leave it out"))
        if model.run is None:
            said = ["source", "replicas", "image", "args", "token", "storage", "resources"]
            for field in (each for each in said if each in model.model_fields_set):
                fix = "write run: vllm, simulator or llm-katan, or leave it out"
                what = "is for servers that are run here, and this model has none"
                found.append(Problem(what, f"{at}.{field}", fix))
        elif model.run == "simulator":
            for field in ("token", "storage", "source"):
                if field in model.model_fields_set and getattr(model, field):
                    what = "a simulator has no weights"
                    found.append(Problem(what, f"{at}.{field}", "leave it out"))
            if model.resources.gpus:
                what, fix = "a simulator uses no GPU", "leave it out, or write run: vllm"
                found.append(Problem(what, f"{at}.resources.gpus", fix))
    return found


def gpus(model: ModelIntent) -> int:
    """GPUs of one replica: as the intent says; 1 for vLLM and 0 for others where it does not."""
    said = model.resources.gpus
    return said if said is not None else int(model.run == "vllm")


def _container(
    intent: Intent, name: str, model: ModelIntent, port: int, called: str, *, openshift: bool
) -> Object:
    run = model.run
    assert run is not None
    variables: dict[str, str] = {"HOME": CACHE, "HF_HOME": f"{CACHE}/huggingface"}
    secret: list[dict[str, Any]] = []
    if model.token is not None:
        chosen = {"name": model.token.secret, "key": model.token.key}
        secret.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": chosen}})
    mounts: list[Object] = [
        {"name": "cache", "mountPath": CACHE},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if run == "vllm":
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    resources = model.resources.model_copy(update={"gpus": gpus(model)})
    cpu, memory = USUAL[run]
    resources = resources.model_copy(
        update={"cpu": resources.cpu or cpu, "memory": resources.memory or memory}
    )
    path = "/v1/models" if run == "llm-katan" else "/health"
    asked = workload.http_probe(path, port)
    # Weights may take an hour to come; nobody is ended while they do.
    patience = 30 if run == "simulator" else 720
    return {
        "name": called or run,
        "image": model.image or IMAGES.get(run, intent.router.image),
        "imagePullPolicy": "IfNotPresent",
        **_command(run, name, model, port),
        "ports": workload.ports({"http": port}),
        "env": workload.env(variables, secret),
        "resources": amounts(resources),
        "volumeMounts": mounts,
        "securityContext": workload.container_security(openshift=openshift),
        "startupProbe": workload.probe(asked, period=5, timeout=5, failures=patience),
        "livenessProbe": workload.probe(asked, period=30, timeout=10, failures=5),
        "readinessProbe": workload.probe(asked, period=5, timeout=5, failures=3),
    }


def _command(run: str, name: str, model: ModelIntent, port: int) -> Object:
    served = str(model.settings.get("upstream_name") or name)
    where = ["--host", "0.0.0.0", "--port", str(port)]
    if run == "simulator":
        command = ["wayside", "sim", "--model", served, *where]
    elif run == "llm-katan":
        command = ["llm-katan", "--model", model.source, "--served-model-name", served, *where]
    else:
        command = ["vllm", "serve", model.source, "--served-model-name", served, *where]
    return {"command": command, **({"args": list(model.args)} if model.args else {})}
