"""Election on a genuine API server, among processes that are killed, stopped and cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from wayside.kube.client import Client
from wayside.kube.lease import Elector, Terms, steady
from wayside.settings.address import parse_address
from wayside.vocab.resource import LEASES

from .genuine import account, allow, signed_in

pytestmark = pytest.mark.shared
QUICK = Terms(lease_s=2, renew_s=1.2, retry_s=0.2)
STANDS = """
import asyncio, sys
from wayside.kube.client import Client
from wayside.kube.kubeconfig import find_access
from wayside.kube.lease import Elector, Terms, steady

async def main(config, namespace, name):
    client = Client(find_access(config))
    terms = Terms(lease_s=2, renew_s=1.2, retry_s=0.2)
    elector = Elector(client, "l", namespace, identity=name, terms=terms)
    standing = asyncio.create_task(elector.run())
    while True:
        # The time before the look and after it: it led at some moment in between.
        before, leads, after = steady(), elector.leads, steady()
        if leads:
            print(name, before, after, flush=True)
        await asyncio.sleep(0.005)

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class Process:
    """A process that stands, and the times at which it led."""

    name: str
    process: asyncio.subprocess.Process
    led: list[tuple[float, float]] = field(default_factory=list)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            _, before, after = line.split()
            self.led.append((float(before), float(after)))

    def sign(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def leads(self, since: float) -> float:
        """When it led first after ``since``."""
        async with asyncio.timeout(30):
            while not (found := [b for b, _ in self.led if b > since]):
                await asyncio.sleep(0.02)
        return found[0]


@asynccontextmanager
async def standing(config: Path, namespace: str, *names: str) -> AsyncIterator[list[Process]]:
    found, tasks = [], []
    for name in names:
        made = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STANDS, str(config), namespace, name,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        found.append(Process(name, made))
        tasks.append(asyncio.create_task(found[-1].read()))
    try:
        yield found
    finally:
        for one in found:
            if one.process.returncode is None:
                one.process.kill()
            await one.process.wait()
        await asyncio.gather(*tasks)


def together(processes: list[Process]) -> list[Any]:
    """Times at which two led. A look that took longer than a moment proves nothing of its end."""
    looks = sorted((a, p.name) for p in processes for _, a in p.led)
    spans: dict[str, list[tuple[float, float]]] = {}
    for at, name in looks:
        mine = spans.setdefault(name, [])
        if mine and at - mine[-1][1] < 0.1:
            mine[-1] = (mine[-1][0], at)
        else:
            mine.append((at, at))
    return [
        (one, other)
        for name, mine in spans.items()
        for one in mine
        for further, theirs in spans.items()
        if further > name
        for other in theirs
        if one[0] < other[1] and other[0] < one[1]
    ]


async def test_another_leads_when_the_leader_is_killed_or_stopped(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    async with standing(kubeconfig, namespace, "a", "b", "c") as all_of_them:
        async with asyncio.timeout(30):
            while not (first := [p for p in all_of_them if p.led]):
                await asyncio.sleep(0.02)
        leader = first[0]
        began = steady()
        leader.sign(signal.SIGKILL)
        others = [p for p in all_of_them if p is not leader]
        done, pending = await asyncio.wait(
            [asyncio.create_task(p.leads(began), name=p.name) for p in others],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in pending:
            task.cancel()
        (winner,) = done
        # From the leader's last renewal, which others saw up to one look ago.
        assert QUICK.lease_s - QUICK.retry_s - 0.5 < winner.result() - began < 10
        second = next(p for p in others if p.name == winner.get_name())
        third = next(p for p in others if p is not second)

        second.sign(signal.SIGSTOP)
        taken = await third.leads(steady())
        second.sign(signal.SIGCONT)
        await asyncio.sleep(QUICK.lease_s)
        assert not [b for b, _ in second.led if b > taken], "woken, it knows that its time is over"
        assert not together(all_of_them)
        lease = await admin.get(LEASES, "l", namespace)
        assert lease["spec"]["holderIdentity"] == third.name
        assert lease["spec"]["leaseTransitions"] == 2


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Gate:
    """Stands between a client and the server, and can be closed: what is sent just vanishes."""

    def __init__(self, host: str, port: int) -> None:
        self._where, self._open = (host, port), asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Gate:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self._where)
        for source, target in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._open.wait()  # what was held comes late, not never
                target.write(data)
        finally:
            target.close()


async def test_a_leader_that_is_cut_off_has_stepped_down_before_another_leads(
    admin: Client, namespace: str
) -> None:
    times: dict[str, list[tuple[float, bool]]] = {"a": [], "b": []}

    def noting(name: str, elector: list[Elector]) -> Any:
        return lambda: times[name].append((steady(), elector[0].leads))

    server = admin.access.server
    async with Gate(server.host, server.port) as gate:
        through = replace(
            admin.access,
            server=parse_address(f"https://127.0.0.1:{gate.port}"),
            server_name=admin.access.server_name or server.host,
        )
        electors, clients = [], []
        for name, access in (("a", through), ("b", admin.access)):
            me: list[Elector] = []
            clients.append(Client(access))
            me.append(
                Elector(
                    clients[-1], "l", namespace, identity=name, terms=QUICK,
                    changed=noting(name, me),
                )
            )  # fmt: skip
            electors += me
        a, b = electors
        tasks = [asyncio.create_task(a.run())]
        async with asyncio.timeout(30):
            while not a.leads:
                await asyncio.sleep(0.01)
            tasks.append(asyncio.create_task(b.run()))
            while b.holder != "a":
                await asyncio.sleep(0.01)
            gate.close()
            while not b.leads:
                assert not (a.leads and b.leads)
                await asyncio.sleep(0.005)
        assert [leads for _, leads in times["a"]] == [True, False]
        assert times["a"][1][0] < times["b"][0][0], "told before the other began"
        gate.open()  # late renewals arrive now, and are refused for their version
        until = time.monotonic() + 2 * QUICK.lease_s
        while time.monotonic() < until:
            assert b.leads and not a.leads
            await asyncio.sleep(0.02)
        assert a.holder == "b"
        await ended(*tasks)
        began = steady()
        await b.release()
        again = asyncio.create_task(a.run())
        async with asyncio.timeout(30):
            while not a.leads:
                await asyncio.sleep(0.01)
        assert steady() - began < QUICK.lease_s, "what is given up is free at once"
        await ended(again)
        for client in clients:
            client.close()
        await asyncio.sleep(0.05)  # what TLS says when it is ended


async def test_many_conflicts_cost_nobody_the_lease(admin: Client, namespace: str) -> None:
    """Somebody else changes the Lease's labels all the time; several stand at once."""
    electors = [Elector(admin, "l", namespace, identity=f"e{i}", terms=QUICK) for i in range(5)]
    tasks = [asyncio.create_task(e.run()) for e in electors]
    async with asyncio.timeout(30):
        while not any(e.leads for e in electors):
            await asyncio.sleep(0.01)
    first = next(e for e in electors if e.leads)
    until, changes = time.monotonic() + 4, 0
    while time.monotonic() < until:
        patch = {"metadata": {"labels": {"n": str(changes)}}}
        await admin.merge(LEASES, "l", patch, namespace)
        changes += 1
        assert sum(e.leads for e in electors) <= 1
        await asyncio.sleep(0.05)
    assert changes > 20 and first.leads and first.transitions == 0
    await ended(*tasks)


async def test_the_right_to_leases_may_come_later(admin: Client, namespace: str) -> None:
    said: list[str] = []
    async with signed_in(admin, account(namespace, "picker")) as client:
        elector = Elector(
            client,
            "l",
            namespace,
            terms=QUICK,
            log=lambda event, **f: said.append(f.get("fix", "")),
        )
        task = asyncio.create_task(elector.run())
        async with asyncio.timeout(30):
            while not said:
                await asyncio.sleep(0.01)
            assert "get, create and update of leases" in said[0] and not elector.leads
            rule = {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["get", "create", "update"],
            }
            await allow(admin, namespace, "picker", [rule])
            while not elector.leads:
                await asyncio.sleep(0.01)
        await ended(task)
