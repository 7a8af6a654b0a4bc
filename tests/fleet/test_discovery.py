"""Servers that come and go: DNS through a lookup of our own, a file that is swapped."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.pages import until
from wayside.fleet import Fleet
from wayside.fleet.discovery import Discovery
from wayside.settings import ModelSettings, RouterSettings
from wayside.settings.fleet import DiscoverSettings
from wayside.vocab.errors import ConfigError

DNS = {"name": "vllm.models.svc", "port": 8000, "interval_s": 0.01}


class Names:
    """A resolver whose records a test changes; ``None`` fails."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: list[str] | None = list(addresses)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("vllm.models.svc", 8000)
        self.asked += 1
        if self.addresses is None:
            raise OSError("SERVFAIL")
        return list(reversed(self.addresses))


class Following:
    def __init__(self, discover: dict[str, Any], names: Names | None = None, **model: Any) -> None:
        settings = ModelSettings.model_validate({"discover": discover, **model})
        self.fleet = Fleet({"m": settings})
        self.lines: list[dict[str, Any]] = []
        self.discovery = Discovery(self.fleet, self._log, lookup=names)

    def _log(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    @property
    def urls(self) -> list[str]:
        return [str(r.address) for r in self.fleet.pools["m"].replicas]

    @property
    def warnings(self) -> list[str]:
        return [line["what"] for line in self.lines if line.get("level") == "warning"]


@contextlib.asynccontextmanager
async def following(
    discover: dict[str, Any], names: Names | None = None, **model: Any
) -> AsyncIterator[Following]:
    some = Following(discover, names, **model)
    task = asyncio.create_task(some.discovery.run())
    try:
        yield some
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_every_address_is_a_server_and_a_change_keeps_those_that_stay() -> None:
    names = Names("10.0.0.1", "10.0.0.2", "fd00::1")
    async with following({"dns": DNS}, names) as some:
        await until(lambda: some.urls)
        assert some.urls == [
            "http://10.0.0.1:8000",
            "http://10.0.0.2:8000",
            "http://[fd00::1]:8000",
        ]
        gone, stays, _ = some.fleet.pools["m"].replicas
        stays.in_flight, stays.failures = 3, 1
        names.addresses = ["10.0.0.2", "10.0.0.3"]
        await until(lambda: len(some.urls) == 2)
        kept, fresh = some.fleet.pools["m"].replicas
        assert kept is stays
        assert (kept.in_flight, kept.failures, fresh.name) == (3, 1, "10.0.0.3:8000")
        assert gone.retired
        assert not stays.retired


async def test_a_failing_lookup_keeps_the_last_known_and_is_warned_of_once() -> None:
    names = Names("10.0.0.1")
    async with following({"dns": DNS}, names) as some:
        await until(lambda: some.urls)
        for wrong in (None, []):
            names.addresses, asked = wrong, names.asked
            await until(lambda asked=asked: names.asked > asked + 5)
            assert some.urls == ["http://10.0.0.1:8000"]
        assert some.warnings == [
            "vllm.models.svc cannot be looked up: SERVFAIL",
            "vllm.models.svc has no address",
        ]


async def test_discovered_servers_stand_beside_configured_ones_and_count_once() -> None:
    endpoints = [{"url": "http://10.0.0.1:8000", "weight": 5}]
    async with following({"dns": DNS}, Names("10.0.0.1", "10.0.0.2"), endpoints=endpoints) as some:
        await until(lambda: len(some.urls) == 2)
        first, second = some.fleet.pools["m"].replicas
        assert (first.weight, second.weight) == (5, 1)
        some.fleet.replace({"m": some.fleet.pools["m"].settings})
        assert some.fleet.pools["m"].replicas == (first, second), "a reload keeps them"


async def test_no_more_endpoints_than_may_be() -> None:
    names = Names(*[f"10.0.0.{i}" for i in range(9)])
    async with following({"dns": DNS, "max_endpoints": 4}, names) as some:
        await until(lambda: some.urls)
        assert len(some.urls) == 4
        assert some.warnings == ["5 endpoints over 4 are left out"]


async def test_servers_behind_a_name_prove_that_name() -> None:
    dns = {**DNS, "scheme": "https"}
    async with following({"dns": dns}, Names("10.0.0.1")) as some:
        await until(lambda: some.urls)
        (replica,) = some.fleet.pools["m"].replicas
        assert replica.secure is not None
        assert replica.secure.server_name == "vllm.models.svc"


async def test_a_source_ends_with_its_settings() -> None:
    names = Names("10.0.0.1")
    async with following({"dns": DNS}, names) as some:
        await until(lambda: some.urls)
        some.fleet.replace({"m": ModelSettings.model_validate({"endpoints": ["http://a"]})})
        assert some.urls == ["http://a:80"], "who was discovered goes with discovery"
        some.discovery.look()
        await asyncio.sleep(0.02)
        asked = names.asked
        await asyncio.sleep(0.05)
        assert names.asked == asked
        some.fleet.discovered("m", [])
        assert some.urls == ["http://a:80"], "a late word changes nothing"


# Files


async def test_a_file_is_followed_and_a_bad_one_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "servers.yaml"
    path.write_text("- http://10.0.0.1:8000\n- {url: 'http://10.0.0.2:8000', weight: 2}\n")
    monkeypatch.setattr("wayside.fleet.discovery.FileSource", quick)
    async with following({"file": str(path)}) as some:
        await until(lambda: len(some.urls) == 2)
        assert [r.weight for r in some.fleet.pools["m"].replicas] == [1, 2]
        for bad, what in (
            ("- http://10.0.0.9:8000\n- ftp://x\n", "[1.url]: scheme 'ftp' is not supported"),
            ("- {url: 'http://a', wieght: 2}\n", "[0.wieght]: Extra inputs are not permitted"),
            ("http://10.0.0.9:8000\n", "not a list; write one URL per line"),
            ("- [", "not YAML or JSON"),
            ("- &a http://a\n- *a\n", "aliases (*) are not read here"),
            ("[" * 100 + "]" * 100, "nested too deep"),
            ("- http://a/v2\n", "[0]: the model's servers are under /v1, not /v2"),
        ):
            path.write_text(bad)
            await until(lambda what=what: what in (some.warnings or [""])[-1])
            assert len(some.urls) == 2
        path.unlink()
        await until(lambda: "No such file" in some.warnings[-1])
        assert len(some.urls) == 2
        swapped = tmp_path / "new"
        swapped.write_text('["http://10.0.0.2:8000", {"url": "http://10.0.0.3:8000"}]')
        swapped.replace(path)
        await until(lambda: some.urls == ["http://10.0.0.2:8000", "http://10.0.0.3:8000"])


async def test_half_a_list_is_not_gone_by_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "servers.yaml"
    path.write_text("- http://10.0.0.1:8000\n- http://10.0.0.2:8000\n")
    monkeypatch.setattr("wayside.fleet.discovery.FileSource", slower)
    async with following({"file": str(path)}) as some:
        await until(lambda: len(some.urls) == 2)
        told = len(some.lines)
        text = "".join(f"- http://10.0.0.{i}:8000\n" for i in range(1, 41))
        with path.open("w") as file:  # slower than one look, faster than two
            for part in (text[:30], text[30:65], text[65:]):
                file.write(part)
                file.flush()
                await asyncio.sleep(0.02)
        await until(lambda: len(some.urls) == 40)
        assert len(some.lines) == told + 1


async def test_a_config_map_that_is_swapped_a_directory_and_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wayside.fleet.discovery.FileSource", quick)
    for i in (1, 2):
        (tmp_path / f"..{i}").mkdir()
        (tmp_path / f"..{i}" / "servers").write_text(f"- http://10.0.0.{i}:8000\n")
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "servers"
    path.symlink_to("..data/servers")
    async with following({"file": str(path)}) as some:
        await until(lambda: some.urls == ["http://10.0.0.1:8000"])
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        await until(lambda: some.urls == ["http://10.0.0.2:8000"])
        path.unlink()
        path.mkdir()
        await until(lambda: some.warnings and "Is a directory" in some.warnings[-1])
        path.rmdir()
        os.mkfifo(path)
        await until(lambda: "a pipe or a device" in some.warnings[-1])
        path.unlink()
        path.write_text("- http://10.0.0.1:8000\n" * 400_000)
        await until(lambda: "more than 4194304 bytes" in some.warnings[-1])
        assert some.urls == ["http://10.0.0.2:8000"]


async def test_what_is_wrong_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    path.write_text("- [")
    source, warned, parsed = quick(str(path), "/v1"), list[str](), list[bytes]()
    real = source._parsed
    source._parsed = lambda content: parsed.append(content) or real(content)
    task = asyncio.create_task(source.follow(lambda _: None, warned.append))
    await until(lambda: len(warned) > 8)
    assert len(parsed) == 1 and len(set(warned)) == 1 and "not YAML" in warned[0]
    path.write_text("[]")
    await until(lambda: warned[-1] == "")
    assert len(parsed) == 2
    task.cancel()
    await asyncio.wait([task])


async def test_what_the_fleet_cannot_take_for_a_moment_it_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CA file is away while it is renewed: the servers used to stay as they were for good."""
    monkeypatch.setattr("wayside.fleet.discovery.AGAIN_S", 0.01)
    monkeypatch.setattr("wayside.fleet.discovery.TICK_S", 0.01)
    some = Following({"dns": DNS}, Names("10.0.0.1"))
    real, tries = some.fleet.discovered, 0

    def discovered(model: str, endpoints: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConfigError.one("cannot read ca.pem: No such file", where="models.m.tls.ca_file")
        real(model, endpoints)

    some.fleet.discovered = discovered  # type: ignore[method-assign]
    task = asyncio.create_task(some.discovery.run())
    await until(lambda: some.urls)
    await asyncio.sleep(0.05)
    assert tries == 4 and len(some.warnings) == 1
    task.cancel()
    await asyncio.wait([task])


def slower(path: str, base: str) -> Any:
    from wayside.fleet.discover_file import FileSource

    return FileSource(path, base, look_s=0.2)


def quick(path: str, base: str) -> Any:
    from wayside.fleet.discover_file import FileSource

    return FileSource(path, base, look_s=0.01)


# Settings


@pytest.mark.parametrize(
    ("discover", "says"),
    [
        ({}, "name one source: dns, file or kubernetes"),
        ({"dns": DNS, "file": "x"}, "name one source: dns, file or kubernetes"),
        ({"kubernetes": {}}, "name one of service, pods and pool"),
        ({"kubernetes": {"service": "a", "pods": "app=a"}}, "name one of service, pods and pool"),
        ({"kubernetes": {"pool": "a", "port": 80}}, "a pool has ports of its own"),
        ({"kubernetes": {"pods": "app=a", "port": "http"}}, "the port of pods is a number"),
        ({"dns": {**DNS, "name": "10.0.0.1"}}, "an address belongs into endpoints"),
        ({"dns": {**DNS, "name": "a/b"}}, "a DNS name only"),
        ({"dns": {**DNS, "scheme": "ftp"}}, "pattern"),
    ],
)
def test_settings_say_what_is_wrong(discover: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        DiscoverSettings.model_validate(discover)


def test_a_model_may_have_discovered_servers_only() -> None:
    from wayside.runtime import compile_policy

    def router(**model: Any) -> RouterSettings:
        return RouterSettings.model_validate({"models": {"m": model}})

    compile_policy(router(discover={"dns": DNS}))
    with pytest.raises(ConfigError, match="no endpoint"):
        compile_policy(router())
    with pytest.raises(ConfigError, match="endpoints differ in their paths: /api, /v1"):
        compile_policy(router(endpoints=["http://a/api"], discover={"dns": DNS}))
