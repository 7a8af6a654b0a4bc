"""Providers' keys, from the environment, files or Secrets; re-read when they change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wayside.settings import CredentialSettings
from wayside.telemetry.redaction import learn
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Credential

MAX_BYTES = 64 << 10


class KeyRing:
    """Resolves :class:`CredentialSettings`; equal references share one credential.

    A file that changes is read again by :meth:`refresh`, so a rotated Secret needs no restart. A
    file that is gone or empty keeps the last value: a mounted Secret is swapped in two steps.

    A Secret of the cluster is asked for by somebody else (:attr:`secrets` says which), who tells
    what it says by :meth:`told`. Its credential has no value before that.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._held: dict[CredentialSettings, Credential] = {}

    @property
    def secrets(self) -> frozenset[str]:
        """``namespace/name`` of every Secret that somebody wants a key of."""
        return frozenset(s.secret for s in self._held if s.secret is not None)

    def resolve(self, settings: CredentialSettings, where: str) -> Credential:
        held = self._held.get(settings)
        if held is None:
            if settings.secret is not None and not where.startswith("models."):
                raise ConfigError.one(
                    f"Secret {settings.secret} is not asked for: only models wait for their keys",
                    where=where,
                    fix="mount it, and write {file: ...} or {env: ...}",
                )
            value = "" if settings.secret is not None else self._read(settings, where)
            held = self._held[settings] = Credential(settings.header, settings.prefix, value)
        return held

    def refresh(self) -> list[str]:
        """Read every file again; the paths whose key changed."""
        changed = []
        for settings, credential in self._held.items():
            if settings.file is None:
                continue
            try:
                value = self._read(settings, "")
            except ConfigError:
                continue
            if value != credential.value:
                credential.value = value
                changed.append(settings.file)
        return changed

    def told(self, secret: str, data: Mapping[str, bytes]) -> bool:
        """What a Secret says now; whether a key of it changed. One that is gone, or no header,
        leaves its credential without a value: whoever takes a key away means it."""
        changed = False
        for settings, credential in self._held.items():
            if settings.secret != secret:
                continue
            value = text(data.get(settings.key or "", b""))
            value = value if usable(value) else ""
            learn(value)
            if value != credential.value:
                credential.value, changed = value, True
        return changed

    def _read(self, settings: CredentialSettings, where: str) -> str:
        if settings.env is not None:
            value = self._env.get(settings.env, "").strip()
            source, fix = f"environment variable {settings.env}", "set it before starting"
        else:
            path = Path(settings.file or "")
            source, fix = f"file {path}", "write the key there"
            try:
                with path.open("rb") as file:
                    value = text(file.read(MAX_BYTES))
            except OSError as error:
                raise ConfigError.one(
                    f"cannot read {path}: {error.strerror}", where=where, fix=fix
                ) from error
        learn(value)
        if not value:
            raise ConfigError.one(f"{source} is empty or not set", where=where, fix=fix)
        if not usable(value):
            raise ConfigError.one(
                f"{source} is not one line of printable ASCII", where=where, fix=fix
            )
        return value


def text(raw: bytes) -> str:
    """A key as files and Secrets hold it: often with a line's end."""
    return raw[:MAX_BYTES].decode("utf-8", "replace").strip()


def usable(value: str) -> bool:
    """Whether it can be sent in a header."""
    return value.isascii() and value.isprintable()
