"""A server remembers what it was sent, exactly."""

import base64

from wayside.sim import SimModel, SimServer, serve_sim
from wayside.sim.recording import Recorded, Recording

RAW = b'{ "model":"small" ,"messages":[{"role":"user","content":"\xc3\xa9\\u00e9"}]}\n'


async def test_requests_are_kept_byte_for_byte(http, exchange):
    async with serve_sim(["small"]) as [sim]:
        await exchange(
            sim,
            b"POST /v1/chat/completions?a=1 HTTP/1.1\r\nHost: sim\r\nX-Two: a\r\nx-two: b\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(RAW), RAW),
        )
        [kept] = sim.requests
        async with http.get(f"{sim.url}/_sim/requests") as response:
            [listed] = (await response.json())["requests"]
    assert (kept.method, kept.path, kept.body) == ("POST", "/v1/chat/completions?a=1", RAW)
    assert kept.headers[:3] == (("Host", "sim"), ("X-Two", "a"), ("x-two", "b"))
    assert kept.header("X-TWO") == "a" and kept.header("none") is None
    assert base64.b64decode(listed["body_base64"]) == RAW
    assert listed["headers"][1] == ["X-Two", "a"] and "éé" not in listed["body"]


async def test_only_the_last_ones_are_kept_and_they_can_be_cleared(http):
    async with serve_sim([SimServer((SimModel("small"),), keep=2)]) as [sim]:
        for i in range(3):
            async with http.get(f"{sim.url}/v1/models?{i}"):
                pass
        async with http.get(f"{sim.url}/metrics"), http.get(f"{sim.url}/health"):
            pass
        assert [kept.path[-1] for kept in sim.requests] == ["1", "2"]
        async with http.delete(f"{sim.url}/_sim/requests"):
            assert sim.requests == ()
        async with http.get(f"{sim.url}/_sim/stats") as response:
            stats = await response.json()
        assert (stats["requests"], stats["completed"], stats["probes"]) == (3, 3, 2)
        assert stats["statuses"] == {"200": 3}


def test_large_bodies_push_out_older_ones(monkeypatch):
    monkeypatch.setattr("wayside.sim.recording.MAX_REMEMBERED_BYTES", 100)
    recording = Recording(keep=10)
    for i in range(3):
        recording.add(Recorded("POST", str(i), (), b"x" * 40))
    assert [kept.path for kept in recording.all()] == ["1", "2"]
