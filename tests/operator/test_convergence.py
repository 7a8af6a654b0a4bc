"""What shall be comes about, stays, and costs nothing once it is there."""

from __future__ import annotations

from wayside.vocab.resource import CONFIG_MAPS, SERVICES

from .conftest import Cluster


async def test_it_comes_about_and_a_second_pass_writes_nothing(cluster: Cluster) -> None:
    """A1-83: two children and a status are three writes, and then none, also after a restart."""
    async with cluster.operating():
        await cluster.apply(value="a", service=True)
        found = await cluster.converged()
        assert found["status"]["value"] == "a"
        assert await cluster.quiet() == []
        assert len(cluster.proxy.writes()) == 4, cluster.proxy.writes()
        made = await cluster.get(CONFIG_MAPS)
        assert made is not None and made["data"] == {"value": "a"}
        assert await cluster.get(SERVICES)
    async with cluster.operating():
        assert await cluster.quiet() == []
