"""API keys of a maas-api elsewhere: it is asked whose a key is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from wayside.maas.callers import Owner
from wayside.maas.keys import Person
from wayside.net.http import Client, RemoteSettings
from wayside.settings import CredentialSettings, TlsSettings
from wayside.settings.maas import MaasRemoteSettings
from wayside.vocab.errors import ConfigError
from wayside.vocab.outcome import Credential

PATH: Final = "/internal/v1/api-keys/validate"
SOURCE: Final = "maas-api"
MAX_BYTES: Final = 1 << 20


class _Tools:
    """The client needs no key of its own: the network policy of maas-api lets it in, or not."""

    name = ""

    @property
    def keys(self) -> Callable[[CredentialSettings, str], Credential]:
        raise ConfigError.one("has no credential", where="maas.remote")


class RemoteKeys:
    """Keys that are not found here are asked for there."""

    def __init__(self, settings: MaasRemoteSettings) -> None:
        """Raises :class:`ConfigError` for certificates that cannot be read."""
        rule = RemoteSettings(
            base_url=settings.url, tls=TlsSettings(ca_file=settings.ca_file), max_bytes=MAX_BYTES
        )
        self._client = Client(rule, _Tools(), kind="maas.remote")

    async def find(self, key: str) -> Owner | None:
        """``None`` for a key that is not valid there. Raises :class:`AskFailed`."""
        said = await self._client.ask(PATH, {"key": key})
        if not isinstance(said, dict) or said.get("valid") is not True:
            return None
        user, groups = said.get("username") or said.get("userId"), said.get("groups")
        if not isinstance(user, str) or not user or not isinstance(groups, list | None):
            return None
        kept = tuple(group for group in groups or () if isinstance(group, str))
        return Owner(
            Person(user, kept, SOURCE), "", "", _text(said, "keyId"), math.inf,
            _text(said, "subscription"),
        )  # fmt: skip

    def close(self) -> None:
        self._client.close()


def _text(said: dict[str, Any], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""
