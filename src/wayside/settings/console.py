"""Who may use the console, what it keeps, and what it may change."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from wayside.settings.base import Name, Settings
from wayside.settings.maas import SecretSource

ConsoleRole = Literal["viewer", "operator", "admin"]
"""Who sees; who changes what is configured and remembered; who decides about other people."""


class ConsoleTokenSettings(Settings):
    """Somebody who logs in with a token of their own, which is never written here.

    Example: ``{name: alice, role: operator, token: {env: ALICE_CONSOLE_TOKEN}}``
    """

    name: Name
    """As which the audit knows them."""
    role: ConsoleRole = "viewer"
    """`viewer` sees, `operator` changes configuration and caches, `admin` keys and people."""
    token: SecretSource
    """What they log in with, at least 16 characters; a file is read again when it changes."""


class ConsoleOidcSettings(Settings):
    """An identity provider (OpenID Connect) that people log in with: the authorisation code flow
    with PKCE. Register `<where the console is>/console/oidc/callback` there as redirect URI.

    Example: ``{issuer: "https://sso.example.com/realms/ai", client_id: wayside-console,
    roles: {admin: [platform], operator: [ml-team]}}``
    """

    issuer: str
    """As its tokens say it (`iss`); https, or http on loopback. The rest is found at
    `<issuer>/.well-known/openid-configuration`."""
    client_id: Name
    """As which the console is registered; its tokens have to be for it (`aud`)."""
    client_secret: SecretSource | None = None
    """Of a confidential client; a public one has none."""
    name: Name = "single sign-on"
    """What the button to log in is called."""
    scopes: tuple[Name, ...] = ("openid", "profile", "email")
    """What is asked for; `openid` has to be among them."""
    user_claim: str = "preferred_username"
    """Which claim of the token is the person's name; of `email`, only verified addresses."""
    groups_claim: str = "groups"
    """Which claim lists what `roles` looks for: groups, or the provider's roles."""
    roles: dict[ConsoleRole, tuple[Name, ...]] = Field(default_factory=dict)
    """Which groups have which role; the highest counts."""
    everyone: ConsoleRole | None = None
    """The role of people in none of those groups; absent, they are not let in."""
    ca_file: str | None = None
    """PEM bundle to verify the provider with; the system's where absent."""

    @field_validator("issuer")
    @classmethod
    def _secure(cls, value: str) -> str:
        found = urlsplit(value)
        local = found.hostname in ("127.0.0.1", "::1", "localhost")
        secure = found.scheme == "https" or (found.scheme == "http" and local)
        if not found.hostname or not secure:
            raise ValueError("is to be an https address (http only on this machine)")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> ConsoleOidcSettings:
        if "openid" not in self.scopes:
            raise ValueError("scopes: openid has to be among them")
        if not any(self.roles.values()) and self.everyone is None:
            raise ValueError(
                "nobody has a role: write roles: {admin: [a-group]}, or everyone: viewer"
            )
        return self


class ConsoleSettings(Settings):
    """The console at `/console/` of the management listener. It always wants a login: with the
    token that `wayside serve` shows on the terminal it is started from (of that run, role admin),
    that `wayside console token --rotate` makes, or with what is configured here.

    Example: ``{tokens: [{name: ops, role: admin, token: {env: CONSOLE_TOKEN}}]}``
    """

    enabled: bool = True
    """Whether there is one."""
    url: str = ""
    """Where people reach it if that is not this listener itself, as behind a proxy:
    `https://router.example.com`. Requests for other host names are refused, but for loopback and
    IP addresses, so that no page of another site gets at it (DNS rebinding)."""
    tokens: tuple[ConsoleTokenSettings, ...] = ()
    """People with tokens of their own."""
    oidc: ConsoleOidcSettings | None = None
    """People whom an identity provider knows."""
    session_s: PositiveFloat = 12 * 3600.0
    """A login lasts so long; it ends with the process, too."""
    max_sessions: Annotated[int, Field(ge=1, le=10_000)] = 200
    """So many logins at once; the oldest ends when there are more."""
    folder: str = ""
    """Where versions, the audit and a token's hash are kept, readable by this user alone;
    `$XDG_STATE_HOME/wayside/console/<name>` (or `~/.local/state/...`) when empty, one for each
    configuration file. Where it cannot be written the configuration is shown read-only."""
    versions: Annotated[int, Field(ge=1, le=1000)] = 50
    """So many versions of the configuration are kept."""
    audit: PositiveInt = 10_000
    """So many entries of the audit are kept."""
    write: bool = True
    """Whether the configuration file may be written from the console."""

    @field_validator("url")
    @classmethod
    def _origin(cls, value: str) -> str:
        found = urlsplit(value)
        bare = found.path in ("", "/") and not found.query and not found.fragment
        if value and not (found.scheme in ("http", "https") and found.hostname and bare):
            raise ValueError("is to be like https://router.example.com, without a path")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _unique(self) -> ConsoleSettings:
        names = [token.name for token in self.tokens]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"tokens named twice: {', '.join(twice)}")
        return self
