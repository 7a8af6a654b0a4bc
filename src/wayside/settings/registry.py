"""What a cluster says that the router routes to, beside its configuration file."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from wayside.settings.base import Settings

_OR_TRUE = ConfigDict(json_schema_extra={"type": ["object", "boolean"]})
Selector = Annotated[str, Field(max_length=2048)]


class LlmsSettings(Settings):
    """KServe's LLMInferenceServices: each is a model, at the address that its status tells.
    ``true`` stands for those of the router's own namespace.

    Example: ``{namespaces: [models], selector: "tier=prod"}``
    """

    model_config = _OR_TRUE

    namespaces: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = ()
    """Where they are; `registry.namespace` when empty, `["*"]` for all that the router may see."""
    selector: Selector = ""
    """Only those with these labels."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {} if value is True else value


class PublishedSettings(Settings):
    """Models that Models-as-a-Service publishes: each MaaSModelRef that is ready is a model of its
    name, served by the LLMInferenceService or ExternalModel that it refers to. ``true`` stands for
    those of the router's own namespace.

    Example: ``{namespaces: [models], keys: /etc/wayside/keys}``
    """

    model_config = _OR_TRUE

    namespaces: tuple[Annotated[str, Field(min_length=1, max_length=63)], ...] = ()
    """Where they are; `registry.namespace` when empty, `["*"]` for all that the router may see."""
    keys: str = ""
    """The folder where the Secrets of ExternalModels are mounted, `<secret>/api-key`: the router
    reads no Secret from the cluster. Without it ExternalModels are left out."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {} if value is True else value


class ServersSettings(Settings):
    """Model servers that are asked at `/v1/models` what they serve.

    Example: ``{selector: "app=vllm", port: 8000}``
    """

    selector: Selector = ""
    """Their labels: `app=vllm,tier!=test`; all of the namespace when empty."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    """Where they serve."""


class RegistrySettings(Settings):
    """Models and rules that are kept in the Kubernetes cluster that the router runs in, or that
    `kubeconfig` names. What they say is laid over the configuration file, and a change is in force
    as soon as it is known. Until it makes a whole configuration, the router waits.

    Example: ``{llms: true}``
    """

    namespace: Annotated[str, Field(max_length=63)] = ""
    """Where to look; the router's own when empty."""
    kubeconfig: str = ""
    """Of another cluster; the pod's service account when empty, else $KUBECONFIG."""
    routes: bool = False
    """The one IntelligentPool of the namespace says which models there are, and the one
    IntelligentRoute which signals and decisions. Their statuses say what became of them."""
    llms: LlmsSettings | None = None
    """Each LLMInferenceService is a model."""
    published: PublishedSettings | None = None
    """Each MaaSModelRef of Models-as-a-Service is a model, where the cluster has them."""
    pods: ServersSettings | None = None
    """Ready pods are servers of the models that they say they serve."""
    services: ServersSettings | None = None
    """The same for Services: each is one server."""
    key_env: str = ""
    """The environment variable with the key that servers want to be shown when they are asked
    what they serve. Requests for them go by `defaults`."""
    defaults: dict[str, Any] = Field(default_factory=dict)
    """Settings of models that are found and that `models` does not name, as `models.<name>` has
    them: `tls`, `credential`, `timeouts`, `picking`. What they are called and where they are
    served is found."""

    @model_validator(mode="after")
    def _something(self) -> RegistrySettings:
        if not (self.routes or self.llms or self.published or self.pods or self.services):
            raise ValueError(
                "name what to take from the cluster: routes, llms, published, pods or services"
            )
        return self
