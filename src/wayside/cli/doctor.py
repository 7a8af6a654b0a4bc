"""``wayside doctor``: is every model server reachable, and does it serve what we think?"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from wayside.cli.console import console
from wayside.cli.files import config_option, load
from wayside.runtime.keys import KeyRing
from wayside.settings import EndpointSettings, ModelSettings
from wayside.settings.problems import suggest
from wayside.vocab.errors import ConfigError

STEPS = ("dns", "tcp", "tls", "http", "model")
MAX_ANSWER = 4 << 20


@dataclass(slots=True)
class Checkup:
    """What was found about one endpoint. ``steps`` holds ``ok``, ``failed`` or ``skipped``."""

    model: str
    endpoint: str
    steps: dict[str, str] = field(default_factory=lambda: dict.fromkeys(STEPS, "skipped"))
    detail: str = ""
    fix: str = ""
    took_ms: float = 0.0

    @property
    def ok(self) -> bool:
        return "failed" not in self.steps.values()


class _Stop(Exception):
    def __init__(self, step: str, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.step, self.detail, self.fix = step, detail, fix


@click.command("doctor")
@config_option
@click.option("--upstream", multiple=True, metavar="MODEL", help="Only these models.")
@click.option("--timeout", default=5.0, show_default=True, help="Seconds per step.")
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def command(path: Path | None, upstream: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Check every model server: DNS, TCP, TLS, HTTP, and the model's name.

    Sends GET /v1/models with the model's own credential; nothing is generated. Exits 1 when
    anything failed, and says what to do about it.
    """
    settings = load(path).settings
    for name in upstream:
        if name not in settings.models:
            fix = suggest(name, settings.models, "models")
            raise click.ClickException(f"no model {name!r}; {fix}")
    keys = KeyRing(os.environ)
    jobs = [
        (name, model, endpoint)
        for name, model in settings.models.items()
        if not upstream or name in upstream
        for endpoint in model.endpoints
    ]
    with ThreadPoolExecutor(max_workers=16) as pool:
        pending = [pool.submit(examine, *job, keys, timeout) for job in jobs]
        found = [future.result() for future in pending]
    if as_json:
        click.echo(json.dumps([{**asdict(c), "ok": c.ok} for c in found], indent=2))
    else:
        show(found, console())
    if not all(c.ok for c in found):
        raise click.exceptions.Exit(1)


def examine(
    name: str, model: ModelSettings, endpoint: EndpointSettings, keys: KeyRing, timeout_s: float
) -> Checkup:
    """Walk the steps until one fails."""
    found = Checkup(name, str(endpoint.address))
    began = time.monotonic()
    try:
        _walk(found, model, endpoint, keys, timeout_s)
    except _Stop as stop:
        found.steps[stop.step] = "failed"
        found.detail, found.fix = stop.detail, stop.fix
    found.took_ms = round((time.monotonic() - began) * 1000, 1)
    return found


def _walk(
    found: Checkup,
    model: ModelSettings,
    endpoint: EndpointSettings,
    keys: KeyRing,
    timeout_s: float,
) -> None:
    address = endpoint.address
    try:
        places = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _Stop(
            "dns", f"{address.host}: {error.strerror}", "check the name, and this machine's DNS"
        ) from None
    found.steps["dns"] = "ok"
    sock = _connect(places, timeout_s)
    found.steps["tcp"] = "ok"
    with sock:
        stream: socket.socket = sock
        if address.scheme == "https":
            stream = _secure(sock, model, address.host)
            found.steps["tls"] = "ok"
        with stream:
            answer = _list_models(stream, found, model, endpoint, keys)
    found.steps["http"] = "ok"
    served = [m.get("id") for m in answer.get("data", ()) if isinstance(m, dict)]
    wanted = model.upstream_name or found.model
    if wanted not in served:
        names = [s for s in served if isinstance(s, str)]
        raise _Stop(
            "model",
            f"the server does not list {wanted!r}",
            f"set models.{found.model}.upstream_name; {suggest(wanted, names, 'it serves')}",
        )
    found.steps["model"] = "ok"
    found.detail = f"serves {wanted}"


def _connect(places: list[Any], timeout_s: float) -> socket.socket:
    last: OSError | None = None
    for family, kind, proto, _, where in places:
        sock = socket.socket(family, kind, proto)
        sock.settimeout(timeout_s)
        try:
            sock.connect(where)
        except OSError as error:
            last = error
            sock.close()
        else:
            return sock
    reason = "timed out" if isinstance(last, TimeoutError) else str(last and last.strerror)
    tried = ", ".join(sorted({str(p[4][0]) for p in places}))
    raise _Stop("tcp", f"{reason} ({tried})", "is the server up, and is the port right?")


def _secure(sock: socket.socket, model: ModelSettings, host: str) -> ssl.SSLSocket:
    try:
        context = ssl.create_default_context(cafile=model.tls.ca_file)
        return context.wrap_socket(sock, server_hostname=model.tls.server_name or host)
    except ssl.SSLCertVerificationError as error:
        raise _Stop(
            "tls", error.verify_message, "set tls.ca_file or tls.server_name for this model"
        ) from None
    except OSError as error:
        raise _Stop("tls", str(error), "is it really https on this port?") from None


def _list_models(
    stream: socket.socket,
    found: Checkup,
    model: ModelSettings,
    endpoint: EndpointSettings,
    keys: KeyRing,
) -> dict[str, Any]:
    address = endpoint.address
    path = f"{address.base_path or '/v1'}/models"
    headers = {"accept": "application/json", **model.headers}
    if model.credential is not None:
        try:
            name, value = keys.resolve(model.credential, "credential").pair()
        except ConfigError as error:
            raise _Stop("http", error.problems[0].what, error.problems[0].fix) from None
        headers[name] = value
    connection = http.client.HTTPConnection(address.host, address.port)
    connection.sock = stream
    try:
        connection.request("GET", path, headers={"host": address.authority, **headers})
        response = connection.getresponse()
        raw = response.read(MAX_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise _Stop(
            "http", f"GET {path}: {error or type(error).__name__}", "does it speak HTTP here?"
        ) from None
    if response.status in (401, 403):
        raise _Stop(
            "http",
            f"GET {path}: {response.status} {response.reason}",
            f"check models.{found.model}.credential",
        )
    if response.status != 200:
        raise _Stop(
            "http", f"GET {path}: {response.status} {response.reason}", "is the path right?"
        )
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _Stop("http", f"GET {path}: not a JSON object", "is it an OpenAI-compatible server?")
    return answer


def show(found: list[Checkup], out: Console) -> None:
    """The checkups for people."""
    marks = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]·[/]"}
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("model", "endpoint", *STEPS, "ms", ""):
        table.add_column(column)
    for c in found:
        steps = [marks[c.steps[s]] for s in STEPS]
        table.add_row(c.model, c.endpoint, *steps, f"{c.took_ms:g}", c.detail)
    out.print(table)
    for c in found:
        if not c.ok:
            out.print(f"[red]✗[/] {c.model} at {c.endpoint}: {c.detail}; {c.fix}")
