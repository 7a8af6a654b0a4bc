"""Models as a service: who may ask, which models, how much of them, and what is written down."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from wayside.settings.base import Name, Settings, StoreName

Window = Annotated[str, Field(pattern=r"^[1-9]\d{0,3}(s|m|h|d)$")]
"""A length of time as policies write it: ``1m``, ``24h``, ``30d``."""


def seconds(window: str) -> int:
    """How long a :data:`Window` is."""
    return int(window[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[window[-1]]


class LimitOf(Settings):
    """So many in a window of time, for each user.

    Example: ``{limit: 100, window: 1m}``
    """

    limit: Annotated[int, Field(ge=0)]
    """0 lets nothing through."""
    window: Window
    """A fixed window: it begins with the first request, and is empty again when it is over."""


class BudgetOf(Settings):
    """So much money in a window of time, for each user, by the `price` of models.

    Example: ``{limit: 5.0, window: 30d}``
    """

    limit: Annotated[float, Field(ge=0)]
    """In the currency of the models' prices; models without one cost nothing."""
    window: Window


class TierSettings(Settings):
    """What its members may take. Of several tiers that a caller's groups are in, the one with the
    highest `level` counts.

    Example: ``{name: free, groups: ["system:authenticated"], tokens: [{limit: 100, window: 1m}]}``
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
    """Part of a namespace's name, and never changed."""
    display_name: str = ""
    description: str = ""
    level: int = 0
    groups: tuple[Name, ...] = ()
    """Their members are in this tier."""
    requests: tuple[LimitOf, ...] = ()
    """All of these hold at once."""
    tokens: tuple[LimitOf, ...] = ()
    """All of these hold at once; input and output together, as the answer says."""
    budgets: tuple[BudgetOf, ...] = ()
    """All of these hold at once."""


_TIERS = (
    TierSettings(
        name="free",
        display_name="Free Tier",
        level=0,
        groups=("system:authenticated",),
        requests=(LimitOf(limit=5, window="2m"),),
        tokens=(LimitOf(limit=100, window="1m"),),
    ),
    TierSettings(
        name="premium",
        display_name="Premium Tier",
        level=1,
        groups=("premium-user",),
        requests=(LimitOf(limit=20, window="2m"),),
        tokens=(LimitOf(limit=50_000, window="1m"),),
    ),
    TierSettings(
        name="enterprise",
        display_name="Enterprise Tier",
        level=2,
        groups=("enterprise-user",),
        requests=(LimitOf(limit=50, window="2m"),),
        tokens=(LimitOf(limit=100_000, window="1m"),),
    ),
)


class SecretSource(Settings):
    """Where a secret is: never the secret.

    Example: ``{file: /run/secrets/alice}``
    """

    env: str | None = None
    """The name of an environment variable."""
    file: str | None = None
    """A path; read again when the file changes."""

    @model_validator(mode="after")
    def _one_source(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("give either env (a variable's name) or file (a path), not both")
        return self

    @field_validator("env")
    @classmethod
    def _variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError(
                "not the name of an environment variable; the secret itself goes there"
            )
        return value


class UserSettings(Settings):
    """Somebody with a token of their own, where no cluster and no identity provider says who
    people are. The token itself is never written here.

    Example: ``{name: alice, groups: [premium-user], token: {env: ALICE_TOKEN}}``
    """

    name: Name
    groups: tuple[Name, ...] = ()
    """`system:authenticated` is always among them."""
    token: SecretSource
    """What they show to get a token of ours (`Authorization: Bearer ...`)."""


class OidcSettings(Settings):
    """An identity provider whose tokens are believed.

    Example: ``{issuer: "https://sso.example.com/realms/ai", audience: wayside}``
    """

    issuer: str
    """As its tokens say it (`iss`); https, or http on loopback."""
    audience: Name
    """What its tokens have to be for (`aud`)."""
    user_claim: str = "sub"
    """Which of its claims is the user's name; of `email`, only addresses that were verified."""
    user_prefix: str = ""
    """Put before the names of its users, so that they are never those of another source."""
    groups_claim: str = "groups"
    """Which of its claims lists the user's groups; those that begin with `system:` are left
    out."""
    jwks_url: str = ""
    """Its keys; found at `<issuer>/.well-known/openid-configuration` when empty."""
    ca_file: str | None = None


class MaasKubernetesSettings(Settings):
    """People and rights as a Kubernetes cluster knows them: tokens are reviewed there
    (TokenReview), minted there (TokenRequest of a ServiceAccount per user), and the right to ask a
    model is looked up there (SubjectAccessReview, verb `post` on `llminferenceservices`).

    Example: ``{models_namespace: vllm-semantic-router-system}``
    """

    kubeconfig: str = ""
    """Of another cluster; the pod's service account when empty, else $KUBECONFIG."""
    audiences: tuple[Name, ...] = ("https://kubernetes.default.svc",)
    """Besides our own, what users' tokens may be for."""
    models_namespace: str = ""
    """Where the LLMInferenceServices are whose right `post` is asked for; ours when empty."""
    models: dict[Name, str] = Field(default_factory=dict)
    """The LLMInferenceService of a configured model (`name` or `namespace/name`), where it is
    called otherwise than the model in lower case."""
    review_models: bool = True
    """False: `models.NAME.tiers` says who may ask, and the cluster is not asked about models."""


class MaasRemoteSettings(Settings):
    """A maas-api of Models-as-a-Service whose API keys (`sk-oai-...`) are believed here: it is
    asked whose a key is, at `/internal/v1/api-keys/validate`.

    Example: ``{url: "https://maas-api.opendatahub.svc:8443"}``
    """

    url: str
    """https, or http on loopback."""
    ca_file: str | None = None
    """PEM bundle to verify it with; the system's where absent."""


class MaasLimitSettings(Settings):
    """How limits are kept."""

    store: StoreName = "memory"
    """`memory`: of this process alone; or a store of kind `redis` in `stores`: of all routers."""
    answer_tokens: PositiveInt = 1024
    """Set aside for the answer of a request that sets no `max_tokens`."""
    strict: bool = False
    """Refuse a request that might go over. False: one that is alone may take what is left and go
    over by its own answer, as Models-as-a-Service has it; the next one is refused."""
    hold_s: PositiveFloat = 900.0
    """After so long a request that was never heard of again gives back what it held."""


class UsageSettings(Settings):
    """One row per request: who asked what, which model answered, what it took and cost. Prompts
    and answers are never in it."""

    enabled: bool = True
    path: str = ""
    """An SQLite file; `usage.db` in `maas.folder` when empty."""
    keep_days: PositiveInt = 90
    max_rows: PositiveInt = 5_000_000
    """The oldest go first."""


class MaasSettings(Settings):
    """Models as a service, in this router: tokens, tiers, limits, and a record of what was used.
    With it nobody asks a model without a token, and a model answers only the tiers it names
    (`models.NAME.tiers`).

    Example: ``{users: [{name: alice, groups: [premium-user], token: {env: ALICE_TOKEN}}]}``
    """

    instance: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")] = (
        "maas-default-gateway"
    )
    """Tokens are for `<instance>-sa`, and their users live in `<instance>-tier-<tier>`."""
    folder: str = "wayside-maas"
    """Where signing keys, keys of users (hashed) and usage are kept; this process alone may read
    it. Relative to the working directory."""
    database: SecretSource | None = None
    """A PostgreSQL URL for keys of users, where several routers share them; SQLite in `folder`
    when absent."""
    tiers: tuple[TierSettings, ...] = _TIERS
    tiers_file: str = ""
    """A ConfigMap's `tiers` (`tier-to-group-mapping`), mounted: names, levels and groups are read
    from there again when it changes; limits stay those of `tiers` of the same name."""
    users: tuple[UserSettings, ...] = ()
    oidc: tuple[OidcSettings, ...] = ()
    kubernetes: MaasKubernetesSettings | None = None
    remote: MaasRemoteSettings | None = None
    admin_groups: tuple[Name, ...] = ("wayside-admin",)
    """Members may see and revoke everybody's keys and usage."""
    token_ttl: str = "4h"
    """Of tokens whose client names no `expiration`: a Go duration, 10m at least."""
    key_ttl: str = "720h"
    """The same of API keys."""
    max_ttl: str = "2160h"
    """No token or key is given for longer."""
    review_cache_s: Annotated[float, Field(gt=0, le=60)] = 60.0
    """For how long a reviewed token is believed without asking again; our own revocations take
    effect at once."""
    limits: MaasLimitSettings = MaasLimitSettings()
    usage: UsageSettings = UsageSettings()
    on_unknown: Literal["refuse", "allow"] = "refuse"
    """What happens where the limits' store does not answer: 503, or the request goes uncounted."""

    @model_validator(mode="after")
    def _unique(self) -> MaasSettings:
        for what, names in (
            ("tiers", [tier.name for tier in self.tiers]),
            ("users", [user.name for user in self.users]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} named twice: {', '.join(sorted(twice))}")
        return self
