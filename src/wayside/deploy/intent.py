"""What somebody wants deployed, in words that mean the same on every target."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from wayside.settings.base import Name, Settings
from wayside.settings.maas import TierSettings

DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
"""An RFC 1123 label: what Services and namespaces may be called."""
Port = Annotated[int, Field(ge=1, le=65535)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]


class SecretKey(Settings):
    """A key of a Secret that is there already: only the reference is ever written.

    Example: ``{secret: openai-api-key, key: OPENAI_API_KEY}``
    """

    secret: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
    """Its name, in the namespace of whoever is given it."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]{1,253}$")]
    """One of its keys."""


class Cloud(Settings):
    """A model that somebody else serves.

    Example: ``{url: "https://api.openai.com/v1", key: {secret: openai, key: OPENAI_API_KEY}}``
    """

    url: str
    """Up to and with the version: `https://api.openai.com/v1`."""
    provider: str = "openai"
    """Whose API it is (`wayside catalog providers`)."""
    key: SecretKey | None = None
    """Read from its Secret by the router, and sent to this provider alone."""
    ca: SecretKey | None = None
    """Certificates to verify it with; those of the system when absent."""


class Resources(Settings):
    """Of one replica.

    Example: ``{cpu: 500m, memory: 1Gi}``
    """

    cpu: Quantity | None = None
    """Requested."""
    memory: Quantity | None = None
    """Requested, and the most it may take."""
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    """`nvidia.com/gpu`; 1 for `run: vllm` unless said."""


class ServiceIntent(Settings):
    """A Service.

    Example: ``{name: vllm-model-a, port: 8000}``
    """

    name: DnsName
    """Of the Service."""
    namespace: DnsName | None = None
    """The deployment's own when absent."""
    port: Port = 8000
    """Where clients of it connect."""
    target_port: Port | None = None
    """Where its servers listen; `port` when absent."""


class ModelIntent(Settings):
    """One model: who runs it, and where it is reached. Say `run`, `service`, `kserve` or `cloud`.

    Example: ``{run: simulator, service: {name: vllm-model-a, port: 8000}}``
    """

    run: Literal["vllm", "simulator", "llm-katan"] | None = None
    """Deploy servers for it: vLLM on GPUs, our simulator (no GPU), or llm-katan."""
    source: str = ""
    """What `run` serves: `meta-llama/Llama-3.1-8B-Instruct`; a simulator needs none."""
    service: ServiceIntent | None = None
    """The Service in front of its servers: made where `run` is said, expected otherwise."""
    kserve: str | None = None
    """The LLMInferenceService that serves it: made where `run` is said, expected otherwise."""
    cloud: Cloud | None = None
    pool: DnsName | None = None
    """The InferencePool whose picker says which server takes a request; a Service's balancing
    otherwise."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """How many servers it has."""
    image: str = ""
    """Of its servers; ours for the kind of `run` when empty. Never `:latest`."""
    args: tuple[str, ...] = ()
    """Appended to its servers' command."""
    token: SecretKey | None = None
    """Of the hub that weights come from (`HF_TOKEN`)."""
    storage: Quantity | None = None
    """A claim for weights, kept when the deployment goes; none when absent."""
    resources: Resources = Resources()
    tiers: tuple[Name, ...] | None = None
    """Of Models-as-a-Service: who may use it; `[]` every tier, absent: none."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """More of `models.NAME` of the router's own configuration: `price`, `description`, ..."""

    @model_validator(mode="after")
    def _reachable(self) -> ModelIntent:
        said = [name for name in ("run", "service", "kserve", "cloud") if getattr(self, name)]
        if not said:
            raise ValueError("say where it is: run, service, kserve or cloud")
        if self.cloud and len(said) > 1:
            raise ValueError(f"a cloud model is run by nobody here: leave out {said[0]}")
        if self.service and self.kserve:
            raise ValueError("give either service or kserve, not both")
        return self


class Autoscale(Settings):
    """A HorizontalPodAutoscaler on the router.

    Example: ``{min: 2, max: 10, cpu: 70}``
    """

    min: PositiveInt = 2
    """The fewest replicas."""
    max: PositiveInt = 10
    """The most."""
    cpu: Annotated[int, Field(ge=1, le=1000)] | None = 70
    """Percent of what is requested."""
    requests_per_second: PositiveInt | None = None
    """Of one replica: the custom metric `wayside_requests_per_second`, which Prometheus records
    (`monitoring: true`) and prometheus-adapter offers."""


class RouterIntent(Settings):
    """The router itself.

    Example: ``{replicas: 2}``
    """

    image: str = "wayside:0.1.0"
    """Never `:latest`; by digest where you can."""
    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many there are, where no autoscaler says it."""
    autoscale: Autoscale | None = None
    """Lets load say how many there are."""
    resources: Resources = Resources(cpu="500m", memory="1Gi")
    """Of one replica."""
    storage: Quantity | None = None
    """A claim for models and cache, kept when the deployment goes."""
    storage_class: str = ""
    """The cluster's default when empty."""
    config: str = ""
    """A file in any format that `wayside serve` reads, relative to the intent; its models get
    their addresses from `models` here."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Or the configuration itself, in our own format: `routing`, `guard_recipe`, ..."""
    network_policy: bool = True
    """Only the gateway, the mesh and Prometheus may connect."""


class GatewayIntent(Settings):
    """The gateway in front.

    Example: ``{name: inference-gateway, namespace: default, class: istio}``
    """

    name: DnsName
    """Of the Gateway."""
    namespace: DnsName | None = None
    """The deployment's own when absent."""
    class_: str = Field("", alias="class")
    """GatewayClass of one that is made; empty: it is there already."""
    section: str = ""
    """The listener (`sectionName`); any when empty."""
    host: str = ""
    """`maas.apps.example.com`; looked up on OpenShift when empty."""


class Exposure(Settings):
    """How clients outside of the cluster get in.

    Example: ``{kind: route, host: router.apps.example.com}``
    """

    kind: Literal["none", "route", "ingress", "gateway"] = "none"
    """OpenShift's Route, an Ingress, or an HTTPRoute on `gateway`."""
    host: str = ""
    """Under which clients know it; the cluster's choice, where it makes one, when empty."""
    tls: Literal["edge", "reencrypt", "passthrough", "none"] = "edge"
    """Where TLS ends; `none` is plain HTTP."""
    secret: str = ""
    """Of an Ingress: the Secret with its certificate."""


class ClusterIntent(Settings):
    """One of several clusters that serve the same models.

    Example: ``{name: east, context: east-admin, zone: eu-east}``
    """

    name: DnsName
    """Of the cluster, for people and for `render`'s folders."""
    context: str
    """In the kubeconfig."""
    zone: str = ""
    """The label `zone` of its servers in the routers of other clusters, for `picking` to go by."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Its share of the requests that another cluster cannot answer itself."""
    models: dict[Name, str] = Field(default_factory=dict)
    """Where other clusters reach its models' servers: `{Model-A: "https://a.east.example.com"}`.
    Those of a model that is not here are reached as `<service>.<namespace>.svc.clusterset.local`,
    for which its Services are exported."""


class Intent(Settings):
    """Everything about one deployment, the same for every target.

    Example: ``{models: {Model-A: {run: simulator}}}``
    """

    name: DnsName = "semantic-router"
    """Of the deployment, and of the router's objects."""
    namespace: DnsName = "vllm-semantic-router-system"
    """Where everything is that does not say otherwise; made where it is not there."""
    target: str = ""
    """The target that `--target` need not name."""
    models: dict[Name, ModelIntent] = Field(default_factory=dict)
    default_model: str | None = None
    """Answers what no decision takes."""
    router: RouterIntent = RouterIntent()
    gateway: GatewayIntent | None = None
    exposure: Exposure = Exposure()
    tiers: tuple[TierSettings, ...] | None = None
    """Models-as-a-Service: one table, from which limits for every path are made."""
    clusters: tuple[ClusterIntent, ...] = ()
    monitoring: bool = False
    """A ServiceMonitor and rules, where the cluster has the Prometheus operator."""
    labels: dict[str, str] = Field(default_factory=dict)
    """On everything that is made."""
    targets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of single targets (`wayside deploy targets`)."""
