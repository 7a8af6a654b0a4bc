"""``wayside maas``: a token of a running router, and what whoever runs it does with keys."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from wayside.cli.console import console, escape
from wayside.cli.files import config_option, load
from wayside.settings.address import Address, parse_address
from wayside.settings.maas import MaasSettings, SecretSource

if TYPE_CHECKING:
    from wayside.maas.keys import Key, Keys

_MAX_ANSWER = 1 << 20
_PATIENCE_S = 30.0


@click.group("maas")
def command() -> None:
    """Tokens and keys of models as a service."""


@command.command(
    epilog="""\b
Examples:
  TOKEN=$(wayside maas token --from-env ALICE_TOKEN --expiration 10m)
  wayside maas token --router https://maas.example.com --from-file ~/.sso-token --json"""
)
@click.option("--router", default="http://127.0.0.1:8801", show_default=True, help="Its address.")
@click.option("--from-env", "env", help="The variable with the token that says who you are.")
@click.option(
    "--from-file", "file", type=click.Path(dir_okay=False), help="The file with that token."
)
@click.option("--expiration", help="A Go duration: 10m, 4h.  [default: the router's]")
@click.option("--ca-file", type=click.Path(exists=True), help="PEM bundle to verify it with.")
@click.option("--json", "as_json", is_flag=True, help="All of the answer.")
def token(
    router: str,
    env: str | None,
    file: str | None,
    expiration: str | None,
    ca_file: str | None,
    as_json: bool,
) -> None:
    """Get a token, and print it.

    Your own token comes from a variable or a file, as others on a machine see the arguments of
    commands.
    """
    if (env is None) == (file is None):
        raise click.UsageError("say where your own token is: --from-env NAME or --from-file PATH")
    from wayside.maas.people import secret

    try:
        address = parse_address(router)
        shown = secret(SecretSource(env=env, file=file), os.environ)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not (shown.isascii() and shown.isprintable()):
        raise click.UsageError("that is no token: it is not one line of printable ASCII")
    body = {} if expiration is None else {"expiration": expiration}
    found = _post(address, "/maas-api/v1/tokens", shown, body, ca_file)
    click.echo(json.dumps(found, indent=2) if as_json else found["token"])


@command.group("keys")
def keys() -> None:
    """API keys, where a router keeps them.

    That is `maas.folder`, or `maas.database`.
    """


@keys.command(
    "list",
    epilog="""\b
Example:
  wayside maas keys list --config wayside.yaml --user alice""",
)
@config_option
@click.option("--user", help="Only this user's.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def list_keys(path: Path | None, user: str | None, limit: int, as_json: bool) -> None:
    """List keys.

    Never the keys themselves, which nobody has but their owners.
    """
    found = asyncio.run(_listed(_settings(path), user, limit))
    rows = [_row(key) for key in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("id", "user", "name", "status", "made", "expires", "last used", box=None)
    for row in rows:
        table.add_row(*[escape(str(value or "-")) for value in row.values()])
    console().print(table)


@keys.command(
    "revoke",
    epilog="""\b
Example:
  wayside maas keys revoke --config wayside.yaml M6dkJ2hD4zsb0mM31""",
)
@config_option
@click.argument("ids", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def revoke_keys(path: Path | None, ids: tuple[str, ...], as_json: bool) -> None:
    """Make keys void.

    Running routers refuse them from the next request on; with maas.database, a second later.
    """
    gone = asyncio.run(_revoked(_settings(path), ids))
    missing = [id for id in ids if id not in gone]
    if as_json:
        click.echo(json.dumps({"revoked": gone, "missing": missing}))
    for id in () if as_json else gone:
        click.echo(f"{id} is revoked")
    if missing:
        raise click.ClickException(f"no such key that is not revoked yet: {', '.join(missing)}")


@command.command(
    "rotate-keys",
    epilog="""\b
Example:
  wayside maas rotate-keys --config wayside.yaml""",
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Plain data, for scripts.")
def rotate(path: Path | None, as_json: bool) -> None:
    """Sign tokens with a new key from now on.

    Tokens of the key before stay valid until they expire; those of the one before that are void.
    Running routers take it up within a second.
    """
    settings = _settings(path)
    if settings.kubernetes is not None:
        raise click.UsageError("with maas.kubernetes the cluster signs tokens; nothing is ours")
    from wayside.maas.tokens import add_key

    kid, gone = add_key(Path(settings.folder))
    if as_json:
        click.echo(json.dumps({"signs": kid, "gone": list(gone)}))
        return
    click.echo(f"{kid} signs from now on")
    for old in gone:
        click.echo(f"{old} is gone, and tokens that it signed are void")


def _settings(path: Path | None) -> MaasSettings:
    settings = load(path).settings.maas
    if settings is None:
        raise click.UsageError("this configuration has no maas")
    return settings


async def _listed(settings: MaasSettings, user: str | None, limit: int) -> list[Key]:
    opened = _opened(settings)
    try:
        found = await (opened.everybody(limit) if user is None else opened.of(user))
    finally:
        opened.close()
    return found[:limit]


async def _revoked(settings: MaasSettings, ids: tuple[str, ...]) -> list[str]:
    opened = _opened(settings)
    try:
        return [id for id in dict.fromkeys(ids) if await opened.revoke(id, int(time.time()))]
    finally:
        opened.close()


def _opened(settings: MaasSettings) -> Keys:
    from wayside.maas import open_keys

    return open_keys(settings, os.environ)


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "user": key.person.user,
        "name": key.name,
        "status": key.status(time.time()),
        "made": _date(key.created_at),
        "expires": _date(key.expires_at),
        "used": _date(key.used_at),
    }


def _date(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _post(
    address: Address, path: str, shown: str, body: dict[str, str], ca_file: str | None
) -> dict[str, Any]:
    """The answer's JSON. A redirect is an error: the token is for this router alone."""
    link: http.client.HTTPConnection
    if address.scheme == "https":
        context = ssl.create_default_context(cafile=ca_file)
        link = http.client.HTTPSConnection(
            address.host, address.port, timeout=_PATIENCE_S, context=context
        )
    else:
        link = http.client.HTTPConnection(address.host, address.port, timeout=_PATIENCE_S)
    headers = {"authorization": f"Bearer {shown}", "content-type": "application/json"}
    try:
        link.request("POST", address.base_path + path, json.dumps(body), headers)
        answer = link.getresponse()
        raw = answer.read(_MAX_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(f"{address} cannot be asked: {error}") from None
    finally:
        link.close()
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if answer.status == 201 and isinstance(found, dict) and isinstance(found.get("token"), str):
        return found
    said = found.get("error") if isinstance(found, dict) else None
    why = said.get("message") if isinstance(said, dict) else said
    raise click.ClickException(f"{address} answered {answer.status}: {why or 'nothing we know'}")
