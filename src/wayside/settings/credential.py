"""How a secret is referred to, and how a server is verified. Nothing here ever holds a secret."""

from __future__ import annotations

import re
from typing import Any

from pydantic import field_validator, model_validator

from wayside.settings.base import Settings
from wayside.vocab.headers import header_name, header_value

_SECRET = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")


class CredentialSettings(Settings):
    """A provider's key, by reference only: the name of a variable, a file to read, or a Secret of
    the cluster.

    Example: ``{env: OPENAI_API_KEY}``
    """

    env: str | None = None
    """The name of an environment variable."""
    file: str | None = None
    """A path; read again when the file changes."""
    secret: str | None = None
    """`namespace/name` of a Secret, asked of the cluster itself and again every few seconds. Until
    it is there, requests for the model are refused (503), and no others."""
    key: str | None = None
    """Of the `secret`: `OPENAI_API_KEY`."""
    header: str = "authorization"
    """The request header that carries the key."""
    prefix: str = "Bearer "
    """What stands before the key in it."""

    @model_validator(mode="before")
    @classmethod
    def _by_reference(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        raise ValueError(
            "a key is never written here, only where to find it; "
            "write {env: NAME_OF_A_VARIABLE} or {file: /path/to/key}"
        )

    @model_validator(mode="after")
    def _one_source(self) -> CredentialSettings:
        if (self.env, self.file, self.secret).count(None) != 2:
            raise ValueError(
                "give one of env (a variable's name), file (a path), or secret (namespace/name)"
            )
        if (self.secret is None) != (self.key is None):
            raise ValueError("secret and key go together: {secret: namespace/name, key: KEY}")
        return self

    @field_validator("secret")
    @classmethod
    def _of_a_namespace(cls, value: str | None) -> str | None:
        if value is not None and not _SECRET.fullmatch(value):
            raise ValueError("write namespace/name of a Secret; the key itself goes into it")
        return value

    @field_validator("key")
    @classmethod
    def _of_a_secret(cls, value: str | None) -> str | None:
        if value is not None and not _KEY.fullmatch(value):
            raise ValueError("not a key of a Secret; the provider's key itself is its value")
        return value

    @field_validator("env")
    @classmethod
    def _variable(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError("not the name of an environment variable; the key itself goes there")
        return value

    _check_header = field_validator("header")(header_name)
    _check_prefix = field_validator("prefix")(header_value)


class TlsSettings(Settings):
    """How https endpoints are verified."""

    ca_file: str | None = None
    """PEM bundle; the system's certificates when absent."""
    server_name: str | None = None
    """Name for SNI and verification; the endpoint's host when absent."""
