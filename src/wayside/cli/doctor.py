"""``wayside doctor``: is every model server reachable, and does it serve what we think?"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from wayside.cli.console import console, escape
from wayside.cli.exposed import exposed
from wayside.cli.files import config_option, load
from wayside.flow.protocols import SERVERS
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
@click.option(
    "--timeout",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds to connect, and again to answer.",
)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def command(path: Path | None, upstream: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Check every model server: DNS, TCP, TLS, HTTP, and the model's name.

    Sends GET /v1/models with the model's own credential; nothing is generated. Exits 1 when
    anything failed, and says what to do about it. Keys are never printed. Also says which
    listeners of the configuration others can reach, and what protects them.

    \b
    Examples:
      wayside doctor
      wayside doctor --upstream gpt-4o-mini --timeout 2
      wayside doctor --json | jq '.[] | select(.ok | not)'
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
    for name, model in settings.models.items():
        if not model.endpoints and (not upstream or name in upstream):
            click.echo(f"{name}: no endpoint here, so there is nothing to check", err=True)
    for warning in exposed(settings):
        click.echo(f"warning: {warning}", err=True)
    if settings.registry is not None:
        click.echo("registry: servers that are found in the cluster are not checked", err=True)
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
    found.detail, found.fix = (_printable(t, model, keys) for t in (found.detail, found.fix))
    found.took_ms = round((time.monotonic() - began) * 1000, 1)
    return found


def _printable(text: str, model: ModelSettings, keys: KeyRing) -> str:
    """What a server said: on one line, without control characters, without our key."""
    if model.credential is not None:
        with suppress(ConfigError):
            text = text.replace(keys.resolve(model.credential, "").value, "***")
    return "".join(c if c.isprintable() else " " for c in text)[:500]


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
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _Stop(
            "dns", f"{address.host}: {reason}", "check the name, and this machine's DNS"
        ) from None
    found.steps["dns"] = "ok"
    sock = _connect(places, timeout_s)
    found.steps["tcp"] = "ok"
    with sock, _deadline(sock, timeout_s) as late:
        stream: socket.socket = sock
        try:
            if address.scheme == "https":
                stream = _secure(sock, found.model, model, address.host)
                found.steps["tls"] = "ok"
            with stream:
                answer = _list_models(stream, found, model, endpoint, keys)
        except _Stop as stop:
            if late.is_set() or isinstance(stop.__context__, TimeoutError):
                fix = "is it busy, or something else than a model server? try --timeout"
                raise _Stop(stop.step, f"no answer in {timeout_s:g} s", fix) from None
            raise
    found.steps["http"] = "ok"
    _check_names(found, model, answer)
    found.steps["model"] = "ok"


def _check_names(found: Checkup, model: ModelSettings, answer: dict[str, Any]) -> None:
    listed = answer.get("data")
    items = listed if isinstance(listed, list) else []
    served = [m["id"] for m in items if isinstance(m, dict) and isinstance(m.get("id"), str)]
    wanted = model.upstream_name or found.model
    if wanted not in served:
        raise _Stop(
            "model",
            f"the server does not list {wanted!r}",
            f"set models.{found.model}.upstream_name; {suggest(wanted, served, 'it serves')}",
        )
    for lora in model.loras:
        if lora.name not in served:
            raise _Stop(
                "model",
                f"the server does not list the adapter {lora.name!r}",
                f"load it there, or correct models.{found.model}.loras; "
                f"{suggest(lora.name, served, 'it serves')}",
            )
    found.detail = f"serves {', '.join([wanted, *(lora.name for lora in model.loras)])}"


@contextmanager
def _deadline(sock: socket.socket, seconds: float) -> Iterator[threading.Event]:
    """Ends the connection after ``seconds``, however slowly bytes trickle in; set when it did."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


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


def _secure(sock: socket.socket, name: str, model: ModelSettings, host: str) -> ssl.SSLSocket:
    ca_file = model.tls.ca_file
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise _Stop("tls", f"{ca_file}: {reason}", f"correct models.{name}.tls.ca_file") from None
    try:
        return context.wrap_socket(sock, server_hostname=model.tls.server_name or host)
    except ssl.SSLCertVerificationError as error:
        raise _Stop(
            "tls",
            error.verify_message,
            f"set models.{name}.tls.ca_file (who signed it) or tls.server_name (whose it is)",
        ) from None
    except (OSError, ValueError) as error:
        raise _Stop("tls", _reason(error), "is it really https on this port?") from None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _list_models(
    stream: socket.socket,
    found: Checkup,
    model: ModelSettings,
    endpoint: EndpointSettings,
    keys: KeyRing,
) -> dict[str, Any]:
    address = endpoint.address
    path = f"{address.base_path or '/v1'}/models"
    headers = {"accept": "application/json"}
    if model.protocol == "anthropic":
        headers |= dict(SERVERS["anthropic"].headers)
    headers |= model.headers
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
            "http", f"GET {path}: {_reason(error)}", "does it speak HTTP/1.1 here, without TLS?"
        ) from None
    if response.status != 200:
        said = f"GET {path}: {response.status} {http.client.responses.get(response.status, '')}"
        raise _Stop("http", said.strip(), _what_to_do(response, found.model, model))
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise _Stop("http", f"GET {path}: not a JSON object", "is it an OpenAI-compatible server?")
    return answer


def _what_to_do(response: http.client.HTTPResponse, name: str, model: ModelSettings) -> str:
    if response.status in (401, 403):
        if model.credential is None:
            return f"it wants a key: set models.{name}.credential, such as {{env: API_KEY}}"
        return f"it refuses the key that models.{name}.credential refers to"
    if 300 <= response.status < 400:
        return f"it points to {response.headers.get('location', 'nowhere')}; write that instead"
    if response.status == 404:
        return f"is the path in models.{name}.endpoints right?"
    return "look into the server's log"


def show(found: list[Checkup], out: Console) -> None:
    """The checkups for people."""
    marks = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]·[/]"}
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("model", "endpoint", *STEPS, "ms", ""):
        table.add_column(column)
    for c in found:
        steps = [marks[c.steps[s]] for s in STEPS]
        table.add_row(
            escape(c.model), escape(c.endpoint), *steps, f"{c.took_ms:.1f}", escape(c.detail)
        )
    out.print(table)
    for c in found:
        if not c.ok:
            told = f"{c.model} at {c.endpoint}: {c.detail}; {c.fix}"
            out.print(f"[red]✗[/] {escape(told)}", soft_wrap=True)
