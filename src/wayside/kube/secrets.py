"""Secrets that are read through the API, by name: whoever asks needs ``get`` on those alone.

A pod can mount the Secrets of its own namespace only. A key that lies elsewhere (in the gateway's
namespace, where the team that pays for it keeps it) is asked for. No list and no watch: both
would need a right to more than one name on servers that are older than the field selector.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from wayside.kube.client import Client, Object
from wayside.kube.errors import Forbidden, KubeError, NotFound
from wayside.vocab.errors import ConfigError
from wayside.vocab.resource import SECRETS

EVERY_S: Final = 2.0
"""How soon a key that was put there, or changed, is in use."""

Tell = Callable[[str, Mapping[str, bytes]], bool]


class Log(Protocol):
    """Takes an event, and what there is to say of it; never a value."""

    def __call__(self, event: str, *, level: str = ..., **fields: str) -> None: ...


async def follow(
    client: Callable[[], Client],
    wanted: Callable[[], Collection[str]],
    tell: Tell,
    log: Log,
    *,
    every_s: float = EVERY_S,
) -> None:
    """Read each of the ``wanted`` Secrets (``namespace/name``) again and again, and ``tell`` what
    it says: nothing where it is gone. What cannot be asked changes nothing, and is said once.

    ``tell`` returns whether anything changed. Never returns.
    """
    said: dict[str, str] = {}
    while True:
        for name in sorted(wanted()):
            problem = ""
            try:
                if tell(name, await _data(client(), name)):
                    log("key read", secret=name)
            except NotFound:
                problem = "there is no such Secret"
                tell(name, {})
            except Forbidden as error:
                problem = str(error)
                tell(name, {})
            except (KubeError, ConfigError) as error:
                problem = str(error)
            if problem and said.get(name) != problem:
                log("key not read", level="warning", secret=name, why=problem)
            said[name] = problem
        await asyncio.sleep(every_s)


async def _data(client: Client, name: str) -> dict[str, bytes]:
    namespace, _, own = name.partition("/")
    found: Object = await client.get(SECRETS, own, namespace)
    data = found.get("data")
    out: dict[str, bytes] = {}
    for key, value in data.items() if isinstance(data, Mapping) else ():
        try:
            out[key] = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            continue  # a key without a value
    return out
