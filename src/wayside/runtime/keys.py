"""Providers' keys, from the environment or from files, re-read when a file changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wayside.settings import CredentialSettings
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Credential

MAX_BYTES = 64 << 10


class KeyRing:
    """Resolves :class:`CredentialSettings`; equal references share one credential.

    A file that changes is read again by :meth:`refresh`, so a rotated Secret needs no restart. A
    file that is gone or empty keeps the last value: a mounted Secret is swapped in two steps.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._held: dict[CredentialSettings, Credential] = {}

    def resolve(self, settings: CredentialSettings, where: str) -> Credential:
        held = self._held.get(settings)
        if held is None:
            value = self._read(settings, where)
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

    def _read(self, settings: CredentialSettings, where: str) -> str:
        if settings.env is not None:
            value = self._env.get(settings.env, "").strip()
            source, fix = f"environment variable {settings.env}", "set it before starting"
        else:
            path = Path(settings.file or "")
            source, fix = f"file {path}", "write the key there"
            try:
                with path.open("rb") as file:
                    value = file.read(MAX_BYTES).decode("utf-8", "replace").strip()
            except OSError as error:
                raise ConfigError.one(
                    f"cannot read {path}: {error.strerror}", where=where, fix=fix
                ) from error
        if not value:
            raise ConfigError.one(f"{source} is empty or not set", where=where, fix=fix)
        if not (value.isascii() and value.isprintable()):
            raise ConfigError.one(
                f"{source} is not one line of printable ASCII", where=where, fix=fix
            )
        return value
