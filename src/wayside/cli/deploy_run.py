"""What the commands of ``wayside deploy`` do, on each cluster, or on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from wayside.cli import deploy_show as show
from wayside.cli.deploy_intent import Wanted
from wayside.deploy.applying import apply as applying
from wayside.deploy.applying import destroy as destroying
from wayside.deploy.applying import preflight, processes, verify
from wayside.deploy.applying import status as looking
from wayside.deploy.applying.cluster import Cluster
from wayside.deploy.applying.plan import Plan, plan
from wayside.deploy.applying.scene import Live, Offline, rendered
from wayside.kube.kubeconfig import find_access
from wayside.vocab.errors import AskFailed, ConfigError

What = Literal["plan", "apply", "status", "preflight", "verify", "destroy"]
_LOCAL = "local"
_READY_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Of a command line."""

    context: str = ""
    kubeconfig: Path | None = None
    as_json: bool = False
    adopt: bool = False
    force: bool = False
    yes: bool = False
    no_wait: bool = False
    with_data: bool = False
    url: str = ""
    token_env: str = ""
    ca_file: str | None = None


def run(what: What, wanted: Wanted, options: Options) -> bool:
    """Do it. For ``plan`` whether something would change, for all others whether it is well.
    Errors of a cluster end the program with status 1."""
    try:
        if wanted.entry.name == _LOCAL:
            return _locally(what, wanted, options)
        clusters = wanted.intent.clusters
        if clusters and options.context:
            raise ConfigError.one(
                "the file names the contexts of its clusters",
                where="--context",
                fix="leave it out",
            )
        results = []
        for name, context in [(c.name, c.context) for c in clusters] or [("", options.context)]:
            if name and not options.as_json:
                click.secho(f"cluster {name} (context {context})", bold=True)
            results.append(asyncio.run(_on_a_cluster(what, wanted, options, name, context)))
        return any(results) if what == "plan" else all(results)
    except AskFailed as error:
        raise click.ClickException(str(error)) from None


@asynccontextmanager
async def _cluster(options: Options, context: str) -> AsyncIterator[Cluster]:
    kubeconfig = str(options.kubeconfig) if options.kubeconfig else None
    cluster = Cluster(find_access(kubeconfig, context=context or None))
    try:
        yield cluster
    finally:
        cluster.close()


async def _on_a_cluster(
    what: What, wanted: Wanted, options: Options, name: str, context: str
) -> bool:
    async with _cluster(options, context) as cluster:
        scene = Live(cluster, wanted.told, name)
        return await _DOING[what](wanted, options, cluster, scene)


async def _plan(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    found = await preflight.preflight(cluster, wanted.entry.target.needs(wanted.intent))
    made = await plan(
        wanted.entry.target, wanted.intent, cluster, scene,
        adopt=options.adopt, force=options.force,
    )  # fmt: skip
    _has_objects(made)
    show.plan(made, found, as_json=options.as_json)
    if made.blocked or any(each.blocks for each in found):
        raise click.ClickException("it cannot be applied as it is")
    return made.changed


async def _apply(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    found = await preflight.preflight(cluster, wanted.entry.target.needs(wanted.intent))
    made = await plan(
        wanted.entry.target, wanted.intent, cluster, scene,
        adopt=options.adopt, force=options.force,
    )  # fmt: skip
    _has_objects(made)
    if made.blocked or any(each.blocks for each in found):
        show.plan(made, found, as_json=False, err=True)
        raise click.ClickException("nothing was applied")
    if made.changed and not options.yes:
        show.plan(made, found, as_json=False, err=True)
        _confirm(f"Apply this to {cluster.server}?")
    progress = show.Progress(quiet=options.as_json)
    done = await applying.apply(
        wanted.entry.target,
        wanted.intent,
        cluster,
        Live(cluster, wanted.told, scene.cluster),
        target_name=wanted.entry.name,
        tell=progress.tell,
        adopt=options.adopt,
        force=options.force,
        waiting=not options.no_wait,
    )
    if options.as_json:
        click.echo(json.dumps(asdict(done), indent=1))
    else:
        click.echo(
            f"{len(done.created)} created, {len(done.changed)} changed, "
            f"{len(done.deleted)} deleted, {len(done.unchanged)} unchanged"
        )
    return True


async def _status(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    intent = wanted.intent
    found = await looking.status(cluster, intent.name, intent.namespace)
    if found is None:
        where = f"{intent.namespace}/{intent.name}"
        raise click.ClickException(f"there is no deployment {where}; `wayside deploy apply` first")
    show.status(found, as_json=options.as_json)
    return found.well


async def _preflight(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    found = await preflight.preflight(cluster, wanted.entry.target.needs(wanted.intent))
    show.findings(found, as_json=options.as_json)
    return not any(each.blocks for each in found)


async def _verify(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    url = options.url or await verify.front_door(cluster, wanted.intent)
    if not url:
        raise click.ClickException(
            "nothing says where clients connect: give --url, such as of "
            f"`kubectl -n {wanted.intent.namespace} port-forward svc/{wanted.intent.name} 8801`"
        )
    return await _checks(wanted, options, url)


async def _checks(wanted: Wanted, options: Options, url: str) -> bool:
    headers = {}
    if options.token_env:
        token = os.environ.get(options.token_env)
        if not token:
            raise click.ClickException(f"{options.token_env} is not set")
        headers["authorization"] = f"Bearer {token}"
    answers = await verify.verify(
        wanted.entry.target.checks(wanted.intent), url, headers=headers, ca_file=options.ca_file
    )
    show.answers(answers, url, as_json=options.as_json)
    return all(answer.ok for answer in answers)


async def _destroy(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    intent = wanted.intent
    if not options.yes:
        _confirm(f"Delete {intent.namespace}/{intent.name} from {cluster.server}?")
    progress = show.Progress(quiet=options.as_json)
    found = await destroying.destroy(
        cluster, intent.name, intent.namespace, tell=progress.tell, with_data=options.with_data
    )
    if options.as_json:
        click.echo(json.dumps(asdict(found) if found else None, indent=1))
    elif found is None:
        click.echo("nothing is there")
    else:
        click.echo(f"{len(found.deleted)} deleted, {len(found.left)} left")
    return True


_DOING: dict[What, Callable[[Wanted, Options, Cluster, Live], Awaitable[bool]]] = {
    "plan": _plan,
    "apply": _apply,
    "status": _status,
    "preflight": _preflight,
    "verify": _verify,
    "destroy": _destroy,
}


def _has_objects(made: Plan) -> None:
    """Raises for a target that writes files and nothing else."""
    if not list(made):
        raise click.ClickException(
            "this target writes files for another tool: wayside deploy render --out FOLDER"
        )


def _confirm(question: str) -> None:
    """Raises for a no, and where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.ClickException("nobody can be asked here; give --yes")
    click.confirm(question, abort=True, err=True)


# --- on this machine ---------------------------------------------------------------------------


def _locally(what: What, wanted: Wanted, options: Options) -> bool:
    """Target ``local``: what a cluster would be is a folder here."""
    if options.context or options.kubeconfig:
        raise ConfigError.one(
            "target local asks no cluster", where="--context", fix="leave it out"
        )
    folder = local_folder(wanted)
    progress = show.Progress(quiet=options.as_json)
    if what == "destroy":
        ended = processes.destroy(folder, progress.tell, with_data=options.with_data)
        click.echo(json.dumps(ended) if options.as_json else f"{len(ended)} ended")
        return True
    if what == "status":
        known = processes.read(folder)
        if not known:
            raise click.ClickException(f"nothing runs in {folder}; `wayside deploy apply` first")
        rows = [
            looking.Row(
                f"Process {one.name}",
                "ready" if processes.alive(one) else "missing",
                f"pid {one.pid}, {one.url}" if processes.alive(one) else "apply starts it anew",
            )
            for one in known.values()
        ]
        made = looking.Status(wanted.intent.name, str(folder), _LOCAL, tuple(rows))
        show.status(made, as_json=options.as_json)
        return made.well
    steps = rendered(wanted.entry.target, wanted.intent, Offline(wanted.told))
    if what == "apply":
        begun = processes.start(folder, steps, progress.tell, timeout_s=_READY_S)
        click.echo(json.dumps(begun) if options.as_json else f"{len(begun)} started in {folder}")
        return True
    if what == "plan":
        changed = processes.changes(folder, steps)
        click.echo(json.dumps(changed) if options.as_json else "\n".join(changed) or "no changes")
        return bool(changed)
    if what == "verify":
        urls = [p.url for step in steps for p in step.processes if p.name == "router"]
        door = options.url or urls[0].removesuffix("/health")
        return asyncio.run(_checks(wanted, options, door))
    show.findings([], as_json=options.as_json)
    return True


def local_folder(wanted: Wanted) -> Path:
    """Where target ``local`` keeps what it runs: ``$XDG_STATE_HOME/wayside/deploy/<name>``, or
    the intent's ``targets.local.folder``."""
    said = wanted.intent.targets.get(_LOCAL, {}).get("folder")
    if said:
        return Path(said).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "wayside" / "deploy" / wanted.intent.name
