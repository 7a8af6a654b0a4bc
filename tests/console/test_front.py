"""The console's door, by HTTP: login, roles, forged and foreign requests, headers, the audit."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from yarl import URL

from tests.cli.test_workers import eventually
from tests.console.rig import CONFIG, TOKENS, Browser, Console, console
from wayside.cli import console_door
from wayside.cli.console_front import ConsoleFront
from wayside.cli.console_sums import merged
from wayside.cli.exposed import by_own_names
from wayside.console import Frame, Who, door, who
from wayside.console.bare import bare, heads_of
from wayside.console.sessions import OF_ONE
from wayside.gateway.api import Endpoint
from wayside.gateway.listener import serve_management
from wayside.runtime.keys import KeyRing
from wayside.settings import ManagementSettings
from wayside.settings.console import ConsoleSettings
from wayside.telemetry import Log


@pytest.fixture
async def c(tmp_path: Path) -> AsyncIterator[Console]:
    async with console(tmp_path) as found:
        yield found


async def test_who_logs_in_gets_a_session_that_only_the_console_sees(c: Console) -> None:
    """Fault 37: HttpOnly, SameSite=Strict, for /console alone; nothing without a login."""
    browser = c.browser()
    assert (await browser("GET", "/api/me")).code == "NOT_LOGGED_IN"
    assert (await browser("GET", "/api/logins")).body == {"token": True}
    found = await browser.login(TOKENS["OPER"])
    assert (found.body["name"], found.body["role"]) == ("otto", "operator")
    assert found.body["has"]["writable"] and not found.body["has"]["access"]
    (cookie,) = browser.set_cookies
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/console", "max-age=43200"} <= parts
    assert "secure" not in parts  # plain HTTP on loopback
    assert (await browser("GET", "/api/me")).body == found.body
    assert TOKENS["OPER"] not in c.log.getvalue()
    assert (await browser("POST", "/api/logout")).status == 200
    assert browser.cookies == {}


async def test_every_endpoint_wants_a_login_and_the_role_it_says(c: Console) -> None:
    """Fault 37: there is no endpoint beside the door."""
    assert c.app.console is not None
    nobody, viewer = c.browser(), await c.as_("VIEW")
    refused = 0
    for endpoint in c.app.console.endpoints():
        path = "/api" + re.sub(r"\{[^}]*\}", "x", endpoint.path)
        assert (await nobody(endpoint.method, path)).status == 401, endpoint
        if endpoint.role != "viewer":
            assert (await viewer(endpoint.method, path)).code == "ROLE_NEEDED", endpoint
            refused += 1
    assert refused >= 4
    # What was refused is written down, too.
    whole = (await viewer("GET", "/api/audit")).body["entries"]
    told = [e for e in whole if e["outcome"] == "refused: ROLE_NEEDED"]
    assert {e["who"] for e in told} == {"vera"}
    assert {"what": "change the configuration", "role": "viewer"}.items() <= next(
        e for e in told if e["what"] == "change the configuration"
    ).items()


async def test_what_another_site_sends_is_refused(c: Console) -> None:
    """Fault 37: CSRF."""
    browser = await c.as_("OPER")
    body = {"text": CONFIG}
    good = browser.csrf
    for csrf in ("", "x", good[:-1], good + "x", "é"):
        sent = {"x-wayside-csrf": csrf} if csrf.isascii() else {}
        browser.csrf = ""
        assert (await browser("POST", "/api/config/check", body, sent)).code == "CSRF"
        assert (await browser("POST", "/api/logout", None, sent)).code == "CSRF"
    browser.csrf = good
    for origin in ("http://evil.example", "null", c.url.replace("127.0.0.1", "127.0.0.2")):
        sent = {"origin": origin}
        assert (await browser("POST", "/api/config/check", body, sent)).code == "FOREIGN_ORIGIN"
        login = await c.browser()("POST", "/api/login", {"token": TOKENS["OPER"]}, sent)
        assert login.code == "FOREIGN_ORIGIN"
    ours = {"origin": c.url}
    assert (await browser("POST", "/api/config/check", body, ours)).status == 200


async def test_nor_does_the_api_beside_it_take_changes_from_other_sites(c: Console) -> None:
    """Fault 37: no key protects that API, and a browser on the same machine reaches it."""
    browser, flush = c.browser(), f"{c.url}/api/v1/response-cache/flush"
    foreign = {"origin": "http://evil.example", "content-type": "text/plain"}
    assert (await browser("POST", flush, {"dry_run": False}, foreign)).code == "FOREIGN_ORIGIN"
    for sent in ({}, {"origin": c.url}):
        assert (await browser("POST", flush, {"dry_run": True}, sent)).status == 200
    assert (await browser("GET", f"{c.url}/health", headers=foreign)).status == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("evil.example", False),
        ("127.0.0.1.evil.example:80", False),
        ("localhost.evil.example", False),
        ("", False),
        ("127.0.0.1:99999", False),
        ("localhost:x", False),
        ("user@localhost", False),
        ("localhost:8080", True),
        ("LOCALHOST", True),
        ("[::1]:8080", True),
        ("10.1.2.3:8080", True),
    ],
)
async def test_a_host_name_of_somebody_else_is_refused(c: Console, host: str, ours: bool) -> None:
    """Fault 37: DNS rebinding. The management API beside it is as it was."""
    found = await c.browser()("GET", "/api/logins", headers={"host": host})
    assert found.status == (200 if ours else 421)
    page = await c.browser()("GET", "/", headers={"host": host})
    assert page.status == (200 if ours else 421)
    assert (await c.browser()("GET", f"{c.url}/health", headers={"host": host})).status == 200


async def test_the_api_beside_it_has_a_name_on_loopback() -> None:
    """Fault 37: no key protects the management API, so that DNS rebinding must not reach it."""
    settings = ManagementSettings(console=ConsoleSettings(url="https://router.example.com"))

    async def healthy(_: Request) -> Response:
        return JSONResponse({})

    app = by_own_names(Starlette(routes=[Route("/health", healthy)]), settings)
    server = await serve_management(app, "127.0.0.1", 0)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        for host, status in {
            "evil.example": 421,
            "127.0.0.1.evil.example": 421,
            f"localhost:{port}": 200,
            f"127.0.0.1:{port}": 200,
            "[::1]": 200,
            "router.example.com": 200,
        }.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode()), host
            writer.close()
    finally:
        await server.stop()
    elsewhere = ManagementSettings(address="0.0.0.0")
    assert by_own_names(app, elsewhere) is app, "a Service has names that we do not know"


async def test_every_answer_says_what_a_browser_may_do_with_it(c: Console) -> None:
    """Fault 37: no inline script, no frames, no sniffing, no referrer, no CORS."""
    browser = c.browser()
    for path in ("/", "/api/logins", "/api/me", "/api/nothing", "/none.js"):
        found = await browser("GET", path, headers={"origin": "http://evil.example"})
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["referrer-policy"] == "no-referrer"
        assert not any(h.lower().startswith("access-control") for h in found.headers)
        if path.startswith("/api"):
            assert found.headers["cache-control"] == "no-store"
    preflight = {"origin": "http://evil.example", "access-control-request-method": "PUT"}
    found = await browser("OPTIONS", "/api/config", headers=preflight)
    assert not any(h.lower().startswith("access-control") for h in found.headers)


async def test_guessing_is_slowed_down(c: Console) -> None:
    browser = c.browser()
    for _ in range(OF_ONE):
        assert (await browser.login("no-such-token-at-all")).code == "LOGIN_FAILED"
    found = await browser.login(TOKENS["ADMIN"])
    assert found.status == 429 and 0 < int(found.headers["retry-after"]) <= 61
    assert (await browser("POST", "/api/login", {"token": "x", "more": 1})).status == 429


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": "x" * 5000}, {"token": 5}, "x"])
async def test_a_login_that_is_none_is_a_bad_request(c: Console, body: object) -> None:
    assert (await c.browser()("POST", "/api/login", body)).status == 400


async def test_what_goes_on_and_on_ends_with_the_session(
    c: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LOOK_S", 0.02)
    browser = await c.as_("VIEW")
    sent = {"cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items())}
    async with browser.session.get(f"{c.url}/console/api/live", headers=sent) as stream:
        assert (await stream.content.readline()).startswith(b"event: ")
        assert (await browser("POST", "/api/logout")).status == 200
        async with asyncio.timeout(5):
            await stream.content.read()  # to its end
    assert "failed" not in c.log.getvalue()


async def test_markup_in_names_stays_text(tmp_path: Path) -> None:
    """Fault 37: XSS in names of models; data is JSON and says so, whatever is in it."""
    text = CONFIG.replace("small", '"<img src=x onerror=alert(1)>"')
    async with console(tmp_path, text) as c:
        browser = await c.as_("VIEW")
        found = await browser("GET", "/api/config")
        assert found.headers["content-type"] == "application/json"
        assert "<img src=x onerror=alert(1)>" in found.body["tree"]["models"]


async def test_behind_a_proxy_its_own_address_counts(tmp_path: Path) -> None:
    text = CONFIG.replace("console:", "console:\n    url: https://router.example.com", 1)
    async with console(tmp_path, text) as c:
        browser = c.browser()
        sent = {"host": "router.example.com", "origin": "https://router.example.com"}
        found = await browser("POST", "/api/login", {"token": TOKENS["VIEW"]}, sent)
        assert found.status == 200
        assert "; secure" in browser.set_cookies[0].lower()


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    async with console(tmp_path, CONFIG.replace("console:", "console:\n    enabled: false")) as c:
        assert (await c.browser()("GET", "/")).status == 404
        assert (await c.browser()("GET", f"{c.url}/health")).status == 200


async def test_the_audit_is_there_after_a_restart(tmp_path: Path) -> None:
    async with console(tmp_path) as c:
        await c.as_("ADMIN")
    async with console(tmp_path) as c:
        entries = (await (await c.as_("VIEW"))("GET", "/api/audit?limit=2")).body["entries"]
        assert [(e["who"], e["what"], e["outcome"]) for e in entries] == [
            ("vera", "log in", "done"),
            ("ada", "log in", "done"),
        ]
        assert (await (await c.as_("VIEW"))("GET", "/api/audit?limit=0")).status == 400


# as whole processes


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, **TOKENS, "XDG_STATE_HOME": str(folder / "xdg")}


def configured(folder: Path) -> Path:
    file = folder / "wayside.yaml"
    text = CONFIG.replace("    folder: FOLDER\n", "").replace(
        "management:", "management:\n  port: 0"
    )
    file.write_text(f"listen: {{port: 0}}\nlog: {{format: json}}\n{text}")
    return file


async def test_the_token_is_shown_on_the_terminal_and_in_no_log(tmp_path: Path) -> None:
    """Fault 37: generated once; it is behind ``#``, which browsers send to nobody."""
    log = tmp_path / "log"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "wayside", "serve", "--config", str(configured(tmp_path))]
    with log.open("wb") as stderr:
        router = subprocess.Popen(command, stdout=theirs, stderr=stderr, env=environment(tmp_path))
    try:
        os.close(theirs)
        shown = os.read(ours, 4096).decode()
        while "#token=" not in shown or not shown.endswith("\n"):
            shown += os.read(ours, 4096).decode()
        url, token = re.findall(r"(http://\S+)/console/#token=(\S+)", shown)[0]
        browser = Browser(url)
        assert (await browser.login(token)).body["role"] == "admin"
        await browser.session.close()
        eventually(lambda: "serving" in log.read_text())
        assert token not in log.read_text()
        kept = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert not [p for p in kept if token in p.read_text()]
    finally:
        router.terminate()
        router.wait()
        os.close(ours)


async def test_several_workers_have_one_console(tmp_path: Path) -> None:
    """The parent lets people in, the workers tell; a saved file reaches both of them."""
    log = tmp_path / "log"
    file = configured(tmp_path)
    command = [sys.executable, "-m", "wayside", "serve", "--config", str(file), "--workers", "2"]
    with log.open("wb") as stderr:
        router = subprocess.Popen(command, stderr=stderr, env=environment(tmp_path))

    def events(name: str) -> list[dict[str, str]]:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return [line for line in lines if line["event"] == name]

    try:
        eventually(lambda: events("console"))
        browser = Browser(events("management")[0]["url"])
        assert (await browser("GET", "/api/config")).code == "NOT_LOGGED_IN"
        forged = {"x-wayside-console-name": "ada", "x-wayside-console-role": "admin"}
        assert (await browser("GET", "/api/config", headers=forged)).code == "NOT_LOGGED_IN"
        for way_in in (
            *("/%2563onsole/api/config", "/%63onsole/api/config", "//console/api/config"),
            *("/x/../console/api/config", "/console%2Fapi/config", "/console/api//config"),
        ):
            url = URL(browser.url + way_in, encoded=True)
            async with browser.session.get(url, headers=forged) as found:
                assert found.status in (401, 404), way_in
        assert (await browser.login(TOKENS["OPER"])).status == 200
        assert (await browser("GET", "/api/overview")).body["requests"] == 0
        shown = (await browser("GET", "/api/config")).body
        new = shown["text"].replace("[integral]", "[derivative]")
        sent = {"text": new, "etag": shown["etag"], "note": "sums"}
        assert (await browser("PUT", "/api/config", sent)).status == 200
        eventually(lambda: len(events("reloaded")) == 2)
        assert "[derivative]" in file.read_text()
        entry = (await browser("GET", "/api/audit")).body["entries"][0]
        assert (entry["who"], entry["target"], entry["outcome"]) == ("otto", "sums", "done")
        cookies = "; ".join(f"{k}={v}" for k, v in browser.cookies.items())
        live = f"{browser.url}/console/api/live"
        async with browser.session.get(live, headers={"cookie": cookies}) as stream:
            assert (await stream.content.readline()).startswith(b"event: ")
            assert json.loads((await stream.content.readline()).removeprefix(b"data:"))
        await browser.session.close()
    finally:
        router.terminate()
        router.wait()


async def test_a_worker_believes_its_parent_alone() -> None:
    """However a path gets to a worker's socket, it comes with no role but by the door."""

    async def answered(http: Request) -> Response:
        return JSONResponse({"who": who(http).name})

    async def about() -> dict[str, bool]:
        return {}

    endpoint = Endpoint("GET", "/thing", answered, "", role="operator")
    server = await serve_management(bare([endpoint], about), "127.0.0.1", 0)
    browser = Browser(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    try:
        for role, status in ((None, 403), ("", 403), ("viewer", 403), ("root", 403),
                             ("operator", 200), ("admin", 200)):  # fmt: skip
            sent = {} if role is None else heads_of(Who("ada é", role))  # type: ignore[arg-type]
            found = await browser("GET", f"{browser.url}/thing", headers=sent)
            assert found.status == status
        assert found.body == {"who": "ada é"}
    finally:
        await browser.session.close()
        await server.stop()


async def test_records_of_workers_are_one_list(tmp_path: Path) -> None:
    """By their times, each once, page by page; one record is found wherever it is."""
    held = [[{"id": f"r{n}", "timestamp": n} for n in range(250, 0, -1) if n % 3 != skip]
            for skip in (0, 1)]  # fmt: skip
    asked: list[str] = []

    def ask(
        socket: Path, method: str, target: str, *_: object
    ) -> tuple[int, dict[str, str], bytes]:
        asked.append(target)
        rows = held[int(socket.name)]
        path, _, query = target.removeprefix("/console/api").partition("?")
        if path == "/_endpoints":
            table = [{"method": "GET", "path": p, "role": "viewer", "media": "application/json"}
                     for p in ("/replays", "/replays/{id}")]  # fmt: skip
            return 200, {}, json.dumps({"endpoints": table}).encode()
        if path == "/replays":
            said = {name: int(n) for name, n in (pair.split("=") for pair in query.split("&"))}
            at, until = said["offset"], said["offset"] + said["limit"]
            page = {"data": rows[at:until], "has_more": until < len(rows)}
            return 200, {}, json.dumps(page).encode()
        found = [row for row in rows if path.endswith(f"/{row['id']}")]
        return (200 if found else 404), {}, json.dumps(found).encode()

    front = ConsoleFront([Path("0"), Path("1")], ask)

    async def about() -> dict[str, bool]:
        return {}

    rule = ConsoleSettings.model_validate(
        {"tokens": [{"name": "vera", "role": "viewer", "token": {"env": "VIEW"}}]}
    )
    frame = Frame(rule, tmp_path, KeyRing(TOKENS), Log(io.StringIO()), about)
    app = Starlette(routes=[Mount("/console", app=await front.app(frame))])
    server = await serve_management(app, "127.0.0.1", 0)
    browser = Browser(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    try:
        await browser.login(TOKENS["VIEW"])
        whole = [f"r{n}" for n in range(250, 0, -1)]
        for limit, offset in ((20, 0), (50, 120), (100, 200), (3, 400)):
            path = f"/api/replays?limit={limit}&offset={offset}"
            found = (await browser("GET", path)).body
            assert [row["id"] for row in found["data"]] == whole[offset : offset + limit]
            assert found["has_more"] == (offset + limit < 250)
        for name, status in (("r3", 200), ("r4", 200), ("r999", 404)):
            assert (await browser("GET", f"/api/replays/{name}")).status == status
        assert len(asked) < 30
    finally:
        await browser.session.close()
        await server.stop()


def test_counts_of_workers_are_added_up_and_percentiles_are_the_worst() -> None:
    def told(requests: int, p95: float, at: float, model: str) -> dict[str, object]:
        row = {"name": "big", "requests": requests, "price": {"prompt": 1.0}, "p95_ms": None}
        return {"requests": requests, "p95_ms": p95, "currency": "EUR", "since": at,
                "models": [row, {**row, "name": model}],
                "series": [{"at": at, "requests": requests}],
                "last": [{"id": model, "at": at}]}  # fmt: skip

    whole = merged([told(1, 5.0, 100.0, "a"), told(2, 3.0, 101.0, "b")])
    assert (whole["requests"], whole["p95_ms"], whole["since"]) == (3, 5.0, 100.0)
    assert [(m["name"], m["requests"]) for m in whole["models"]] == [
        ("big", 3),
        ("a", 1),
        ("b", 2),
    ]
    assert whole["models"][0]["price"] == {"prompt": 1.0}
    assert whole["series"] == [{"at": 101.0, "requests": 3}]
    assert [row["id"] for row in whole["last"]] == ["b"]
    assert merged([None, {"a": 1}]) == {"a": 1}


def test_a_token_that_lasts_is_made_by_a_command(tmp_path: Path) -> None:
    """Shown once, to whoever asks for it, with where it is good; the hash is what is kept."""
    file, env = configured(tmp_path), environment(tmp_path)

    def command(*words: str) -> str:
        found = CliRunner().invoke(console_door.command, [*words, "-c", str(file)], env=env)
        assert found.exit_code == 0, found.output
        return found.stdout

    made = command("token", "--rotate").strip()
    where, _, token = made.partition("#token=")
    assert where == "http://127.0.0.1:0/console/" and len(token) == 43
    (kept,) = (tmp_path / "xdg").rglob("token.json")
    assert token not in kept.read_text()
    said = command("token")
    assert "There is one" in said and token not in said
