"""Keys of a maas-api elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.maas.rig import ALICE, Rig, rig
from wayside.vocab.errors import ConfigError

THEIRS = "sk-oai-abcdefghijklmnopq_" + "s" * 43


class Remote:
    """Answers as the internal endpoint of MaaS does."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.status = 200
        self.says: Any = {
            "valid": True, "userId": "u", "username": "zoe", "keyId": "k-1", "keyName": "ci",
            "groups": ["premium-user"], "subscription": "team-a", "tenant": "t",
        }  # fmt: skip
        self.url = ""


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    found = Remote()

    async def validate(request: web.Request) -> web.Response:
        found.asked.append(await request.json())
        return web.json_response(found.says, status=found.status)

    app = web.Application()
    app.router.add_post("/internal/v1/api-keys/validate", validate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    yield found
    await runner.cleanup()


@pytest.fixture
async def r(remote: Remote, tmp_path: Path) -> AsyncIterator[Rig]:
    found = rig(tmp_path, maas={"remote": {"url": remote.url}})
    yield found
    await found.app.close()


async def test_a_key_of_theirs_asks_models_here(r: Rig, remote: Remote) -> None:
    """A2-45: through the validate endpoint, once a minute; keys of ours are not shown to it."""
    for _ in range(3):
        assert (await r.chat(THEIRS, "Model-A")).status == 200
    assert remote.asked == [{"key": THEIRS}]
    caller = await r.maas.callers.find(THEIRS)
    assert caller is not None
    assert (caller.user, caller.tier, caller.subscription) == ("zoe", "premium", "team-a")
    assert (await r.chat((await r.key())["token"])).status == 200
    assert len(remote.asked) == 1
    r.clock.now += 61
    remote.says = {"valid": False, "reason": "revoked"}
    assert (await r.chat(THEIRS)).status == 401


@pytest.mark.parametrize(
    ("says", "status", "answer"),
    [
        ({"valid": False}, 200, 401),
        ({"valid": "true", "username": "zoe", "groups": []}, 200, 401),
        ({"valid": True}, 200, 401),
        ({"valid": True, "username": "zoe", "groups": "premium-user"}, 200, 401),
        ({"valid": True, "username": "alice", "groups": ["premium-user"]}, 200, 401),
        ({"valid": True, "username": "zoe", "groups": ["none"]}, 200, 403),
        ([], 200, 401),
        ({"valid": True, "username": "zoe", "groups": []}, 404, 503),
    ],
)
async def test_what_is_not_a_clear_yes_is_none(
    r: Rig, remote: Remote, says: Any, status: int, answer: int
) -> None:
    """A2-45: also a name that is a user's of the settings."""
    remote.says, remote.status = says, status
    assert (await r.chat(THEIRS)).status == answer


async def test_one_that_is_away(remote: Remote, tmp_path: Path) -> None:
    """A2-45: nobody can say; people of our own are not concerned."""
    r = rig(tmp_path, maas={"remote": {"url": "http://127.0.0.1:1"}})
    assert (await r.chat(THEIRS)).status == 503
    assert (await r.chat(await r.token(ALICE))).status == 200
    await r.app.close()


def test_keys_go_nowhere_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"maas\.remote\.url.*https"):
        rig(tmp_path, maas={"remote": {"url": "http://maas-api.example.com"}})
