"""What guides ask of ``curl`` in the router's own container: one request, and its answer.

``oc exec deployment/semantic-router -c semantic-router -- curl -s http://10.96.10.50:8000/health``
is how they see whether a model is reached from there. Our image holds nothing but Python and
Wayside, so this is called ``curl`` in it. Other flags than these are refused, by name.
"""

from __future__ import annotations

import ssl
import sys
import urllib.error
import urllib.request
from email.message import Message

import click

RESOLVE, CONNECT, FAILED, TIMEOUT, TLS = 6, 7, 22, 28, 60
"""Exit statuses, as curl(1) has them."""
MAX_ANSWER = 16 << 20
"""No more than this is read of an answer, in bytes."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Nobody is followed anywhere."""

    def redirect_request(self, *_: object) -> None:
        return None


@click.command("curl", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url")
@click.option("-s", "--silent", is_flag=True, help="Say nothing about errors.")
@click.option("-S", "--show-error", is_flag=True, help="Say it all the same.")
@click.option("-f", "--fail", is_flag=True, help="Exit 22 for a status of 400 or more.")
@click.option("-i", "--include", is_flag=True, help="Print status and headers, too.")
@click.option("-H", "--header", "headers", multiple=True, help="NAME: VALUE")
@click.option("-d", "--data", help="POST this; JSON unless a header says otherwise.")
@click.option("-X", "--request", "method", help="Instead of GET, or POST with --data.")
@click.option("-m", "--max-time", default=60.0, type=click.FloatRange(0, min_open=True))
@click.pass_context
def command(
    ctx: click.Context,
    url: str,
    silent: bool,
    show_error: bool,
    fail: bool,
    include: bool,
    headers: tuple[str, ...],
    data: str | None,
    method: str | None,
    max_time: float,
) -> None:
    """A small part of curl: ask URL once, and print what it answers."""
    url = url if "://" in url else f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("http:// and https:// are all there is", param_hint="URL")
    sent = {"content-type": "application/json"} if data is not None else {}
    for header in headers:
        name, _, value = header.partition(":")
        sent[name.strip().lower()] = value.strip()
    body = None if data is None else data.encode()
    request = urllib.request.Request(url, body, sent, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
    try:
        with opener.open(request, timeout=max_time) as answer:
            _print(answer.status, answer.headers, answer.read(MAX_ANSWER), include)
    except urllib.error.HTTPError as error:
        with error:
            if not fail:
                _print(error.code, error.headers, error.read(MAX_ANSWER), include)
                return
        _told(f"the requested URL returned error: {error.code}", silent and not show_error)
        ctx.exit(FAILED)
    except OSError as error:
        reason = getattr(error, "reason", error)
        _told(f"{url}: {reason}", silent and not show_error)
        ctx.exit(_status(reason))


def _print(status: int, headers: Message, body: bytes, include: bool) -> None:
    if include:
        click.echo(f"HTTP/1.1 {status}\n{headers}", nl=False)
    sys.stdout.flush()
    sys.stdout.buffer.write(body)


def _told(what: str, quiet: bool) -> None:
    if not quiet:
        click.echo(f"curl: {what}", err=True)


def _status(reason: object) -> int:
    if isinstance(reason, TimeoutError):
        return TIMEOUT
    if isinstance(reason, ssl.SSLError):
        return TLS
    # socket.gaierror is an OSError whose errno is negative
    return RESOLVE if (getattr(reason, "errno", 0) or 0) < 0 else CONNECT
