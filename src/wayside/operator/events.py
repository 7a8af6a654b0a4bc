"""Events (core/v1) about our objects: what ``kubectl describe`` and ``kubectl get events`` show.

They are told once, and counted when the same happens again. Nobody waits for them, and one that
cannot be written is lost: what holds is in the object's status.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from wayside.kube.client import Client
from wayside.kube.errors import AlreadyExists, Forbidden, KubeError, NotFound
from wayside.kube.watch import Log
from wayside.resources import Object
from wayside.vocab.objects import section, text, whole
from wayside.vocab.resource import EVENTS

MAX_WAITING: Final = 2_000
"""Events that wait to be written; further ones are lost."""
AT_ONCE: Final = 4
BURST: Final = 25
REFILL_S: Final = 60.0
"""About one object so many at once, and one more each so many seconds."""
MAX_OBJECTS: Final = 5_000
"""Objects whose events are counted; the oldest are forgotten."""
MAX_MESSAGE: Final = 1_000
NO_RIGHT_S: Final = 300.0
"""Without the right to write Events it is tried again after so long."""
Severity = Literal["Normal", "Warning"]


class Events:
    """Writes what :meth:`tell` is told, about in that order, while :meth:`run` runs. Two of
    the same at the same time may be counted as one."""

    def __init__(self, client: Client, source: str, instance: str, *, log: Log) -> None:
        self._client, self._source, self._instance, self._log = client, source, instance, log
        self._waiting: deque[Object] = deque()
        self._news = asyncio.Event()
        self._left: dict[str, tuple[float, float]] = {}
        self._no_right_until = 0.0
        self.lost = 0

    def tell(self, about: Object, severity: Severity, reason: str, message: str) -> None:
        """``about`` is a whole object, of any kind. Does not wait."""
        uid = section(about, "metadata").get("uid", "")
        if _now() < self._no_right_until or not self._may(str(uid)):
            self.lost += 1
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(self._made(about, severity, reason, message))
        self._news.set()

    async def run(self) -> None:
        """Write until cancelled, and then give up what is left."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._write_some())

    # --- inner workings ------------------------------------------------------------------------

    async def _write_some(self) -> None:
        while True:
            while self._waiting:
                await self._write(self._waiting.popleft())
            self._news.clear()
            await self._news.wait()

    async def _write(self, event: Object) -> None:
        meta = event["metadata"]
        name, namespace = meta["name"], meta["namespace"]
        try:
            try:
                await self._client.create(EVENTS, event, namespace)
            except AlreadyExists:  # the same as before: count it
                there = await self._client.get(EVENTS, name, namespace)
                count = whole(there.get("count"), 0, 1 << 30) or 1
                again = {"count": count + 1, "lastTimestamp": event["lastTimestamp"]}
                await self._client.merge(EVENTS, name, again, namespace, manager=self._source)
        except NotFound:
            self.lost += 1  # it has just run out, or its namespace is gone
        except Forbidden as error:
            self.lost += 1 + len(self._waiting)
            self._waiting.clear()
            self._no_right_until = _now() + NO_RIGHT_S
            fix = "a Role has to allow create, get and patch of events"
            self._log("events not written", level="warning", why=str(error), fix=fix)
        except KubeError as error:
            self.lost += 1
            self._log("event not written", level="debug", why=str(error))

    def _made(self, about: Object, severity: Severity, reason: str, message: str) -> Object:
        """Named after what it says, so that the same is the same event for every one of us."""
        meta = about["metadata"]
        message = message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + " ..."
        said = "\0".join((str(meta.get("uid")), severity, reason, message))
        name = f"{meta['name'][:200]}.{hashlib.blake2b(said.encode(), digest_size=8).hexdigest()}"
        namespace, now = text(meta.get("namespace")) or "default", stamp()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "name": meta["name"],
                "namespace": namespace,
                "uid": meta.get("uid", ""),
                "resourceVersion": meta.get("resourceVersion", ""),
            },
            "type": severity,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": self._source},
            "reportingComponent": self._source,
            "reportingInstance": self._instance[:128],
        }

    def _may(self, uid: str) -> bool:
        """Whether the object has not had too many lately."""
        now = _now()
        left, at = self._left.pop(uid, (float(BURST), now))
        left = min(float(BURST), left + (now - at) / REFILL_S)
        self._left[uid] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > MAX_OBJECTS:
            del self._left[next(iter(self._left))]
        return left >= 1


Tell = Callable[[Object, Severity, str, str], None]


def stamp() -> str:
    """The time of now, as objects have it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now() -> float:
    return asyncio.get_running_loop().time()
