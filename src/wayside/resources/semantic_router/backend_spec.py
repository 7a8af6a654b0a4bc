"""``spec.vllmEndpoints``: the models, and where they are found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wayside.manifests.fields import DnsName, Labels, Part, Port, Text, rules

Provider = Literal[
    "openai", "anthropic", "azure-openai", "bedrock", "gemini", "vertex-ai", "minimax",
    "openrouter", "groq", "mistral", "deepseek", "together", "fireworks", "xai", "cohere",
    "cerebras",
]  # fmt: skip


class SecretKey(Part):
    """One key of a Secret in the same namespace. Only the router's pods read it."""

    name: DnsName
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The key in its `data`."""


class ConfigMapKey(Part):
    """One key of a ConfigMap in the same namespace."""

    name: DnsName
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """The key in its `data`."""


class ServiceBackend(Part):
    """A Service that speaks the OpenAI API, by name."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the Service."""
    namespace: Annotated[str, Field(max_length=63)] = ""
    """Its namespace where that is another one, which has to allow it with a ReferenceGrant (see
    `crossNamespace`)."""
    port: Port
    """Its port, used as it is."""


class ExternalBackend(Part):
    """A model that is served outside the cluster."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.provider) || (has(self.url) && size(self.url) > 0)",
                "an external backend needs a provider, or the url of its API",
            )
        )
    )

    provider: Provider | None = None
    """Whose service it is: says the address and the header of the key."""
    url: Annotated[str, Field(pattern=r"^(https?://[^\s@/]+(/[^\s]*)?)?$", max_length=2048)] = ""
    """Address of an OpenAI-compatible API, where the provider does not say it."""
    upstream_name: Annotated[str, Field(max_length=256)] = ""
    """What the model is called there, where that is another name."""
    location: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9-]*$")] = ""
    """Where it runs, for bedrock and vertex-ai."""
    project: Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9:._-]*$")] = ""
    """The Google Cloud project, for vertex-ai."""
    api_version: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9.-]*$")] = ""
    """Version of the API, for azure-openai."""


class BackendSpec(Part):
    """Where an endpoint is found."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type != 'kserve' || (has(self.inferenceServiceName)"
                " && size(self.inferenceServiceName) > 0)",
                "inferenceServiceName is required for backend type kserve",
            ),
            (
                "self.type != 'llamastack' || (has(self.discoveryLabels)"
                " && size(self.discoveryLabels) > 0)",
                "discoveryLabels are required for backend type llamastack",
            ),
            (
                "self.type != 'service' || has(self.service)",
                "service configuration is required for backend type service",
            ),
            (
                "self.type != 'external' || has(self.external)",
                "external configuration is required for backend type external",
            ),
            (
                "!(has(self.caSecretRef) && has(self.caConfigMapRef))",
                "cannot specify both caSecretRef and caConfigMapRef",
            ),
        )
    )

    type: Literal["kserve", "llamastack", "service", "external"]
    """How it is found: an InferenceService of KServe, Services with labels (Llama Stack), a
    Service by name, or an API outside the cluster."""
    inference_service_name: Annotated[str, Field(max_length=253)] = ""
    """For kserve: an InferenceService or LLMInferenceService in the same namespace."""
    discovery_labels: Labels = Field(default_factory=dict)
    """For llamastack: labels of the Services, in the same namespace."""
    service: ServiceBackend | None = None
    """For service: which one."""
    external: ExternalBackend | None = None
    """For external: whose."""
    scheme: Literal["http", "https"] | None = None
    """For service and llamastack: `https` where the servers speak TLS. Unset, it is what the
    Service's port says of itself, or http."""
    ca_secret_ref: SecretKey | None = None
    """Certificates (PEM) that its TLS is verified with, in a Secret."""
    ca_config_map_ref: ConfigMapKey | None = None
    """The same in a ConfigMap: `openshift-service-ca.crt` with the key `service-ca.crt`."""
    server_name: Annotated[str, Field(max_length=253)] = ""
    """The name that its certificate is for, where that is not its host's."""
    api_key_secret_ref: SecretKey | None = None
    """The API key it wants. It reaches the router as a file from the Secret, and nobody else."""


class Lora(Part):
    """An adapter that the model's own servers serve."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    """What clients and servers call it."""
    description: Annotated[str, Field(max_length=500)] = ""
    """For people."""


class VllmEndpoint(Part):
    """One place where a model is served. Endpoints with the same `model` share its requests."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """What conditions and Events call it; no two are alike."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """The model's name, as clients, decisions and its servers call it."""
    reasoning_family: Annotated[str, Field(max_length=256)] = ""
    """How the model is told to think: a key of `config.reasoning_families`, or a built-in one."""
    backend: BackendSpec
    """Where it is."""
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Its share of the model's requests against the model's other endpoints; 0 means 1."""
    loras: Annotated[tuple[Lora, ...], Field(max_length=50)] = ()
    """Adapters that it serves."""


class BackendStatus(Part):
    """What became of one endpoint."""

    name: Text
    """The endpoint's name."""
    model: Text = ""
    """Its model."""
    type: Text = ""
    """How it was looked for."""
    url: Annotated[str, Field(max_length=4096)] = ""
    """Where it was found; nothing where it was not."""
    ready: bool = False
    """Whether it was found, and whoever serves it says that it is ready."""
    reason: Text = ""
    """Why it is as it is, in one word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """The same for people."""
    last_transition_time: Annotated[
        str | None, Field(json_schema_extra={"format": "date-time"})
    ] = None
    """When something else of this last changed."""
