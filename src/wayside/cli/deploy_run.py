"""What the commands of ``wayside deploy`` do, on each cluster, or on this machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import click

from wayside.cli import READING
from wayside.cli import deploy_show as show
from wayside.cli.deploy_intent import Wanted
from wayside.cli.deploy_local import locally
from wayside.cli.deploy_options import Options, What, checks
from wayside.deploy.applying import apply as applying
from wayside.deploy.applying import destroy as destroying
from wayside.deploy.applying import inventory, preflight, verify
from wayside.deploy.applying import status as looking
from wayside.deploy.applying.cluster import Cluster
from wayside.deploy.applying.plan import Plan, plan
from wayside.deploy.applying.scene import Live
from wayside.deploy.intent import Intent
from wayside.kube.errors import Forbidden, Refused, Unauthorized, Unreachable
from wayside.kube.kubeconfig import find_access
from wayside.vocab.errors import AskFailed, ConfigError
from wayside.vocab.objects import section, text
from wayside.vocab.resource import CONFIG_MAPS

_LOCAL = "local"


def run(what: What, wanted: Wanted, options: Options) -> bool:
    """Do it. For ``plan`` whether something would change, for all others whether it is well.
    Errors of a cluster end the program with status 1."""
    if (context := click.get_current_context(silent=True)) is not None:
        context.meta.pop(READING, None)  # the file is right: what goes wrong now is elsewhere
    try:
        if wanted.entry.name == _LOCAL:
            return locally(what, wanted, options)
        return _on_clusters(what, wanted, options)
    except AskFailed as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        if what in ("apply", "destroy"):
            click.echo(_INTERRUPTED[what], err=True)
        raise


_INTERRUPTED: dict[str, str] = {
    "apply": "interrupted: the same command goes on where this stopped; `wayside deploy destroy` "
    "takes away what was created so far",
    "destroy": "interrupted: the same command goes on where this stopped",
}


def _on_clusters(what: What, wanted: Wanted, options: Options) -> bool:
    clusters = wanted.intent.clusters
    if not clusters:
        return asyncio.run(_on_a_cluster(what, wanted, options, "", options.context))
    if options.context:
        raise ConfigError.one(
            "the file names the contexts of its clusters", where="--context", fix="leave it out"
        )
    results, said = [], dict[str, Any]()
    try:
        for each in clusters:
            if not options.as_json:
                click.secho(f"cluster {each.name} (context {each.context})", bold=True)
            one = replace(options, emit=partial(said.__setitem__, each.name))
            try:
                results.append(
                    asyncio.run(_on_a_cluster(what, wanted, one, each.name, each.context))
                )
            except (AskFailed, click.ClickException) as error:
                told = error.message if isinstance(error, click.ClickException) else str(error)
                raise click.ClickException(f"cluster {each.name}: {told}") from None
    finally:
        if options.as_json and said:
            show.as_json({"clusters": said})
    return any(results) if what == "plan" else all(results)


@asynccontextmanager
async def _cluster(options: Options, context: str) -> AsyncIterator[Cluster]:
    kubeconfig = str(options.kubeconfig) if options.kubeconfig else None
    try:
        access = find_access(kubeconfig, context=context or None)
    except ConfigError as error:
        raise click.ClickException("; ".join(map(str, error.problems))) from None
    cluster = Cluster(access)
    try:
        yield cluster
    except Unreachable as error:
        hint = "is it the right one (--context), and is it up?"
        raise click.ClickException(f"{cluster.server} does not answer; {hint} ({error})") from None
    except Unauthorized as error:
        hint = "log in again (kubectl get ns asks the same way)"
        raise click.ClickException(
            f"{cluster.server} does not know you; {hint} ({error})"
        ) from None
    except Forbidden as error:
        hint = "ask who runs the cluster for this right, or take another --context"
        raise click.ClickException(f"{cluster.server} forbids it; {hint} ({error})") from None
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
    show.plan(made, found, emit=options.printer)
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
        show.plan(made, found, emit=None, err=True)
        raise click.ClickException("nothing was applied")
    if made.changed and not options.yes:
        show.plan(made, found, emit=None, err=True)
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
        options.emit(asdict(done))
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
    show.status(found, emit=options.printer)
    return found.well


async def _preflight(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    await cluster.resource("v1", "Namespace")  # there is a cluster, whatever else is needed
    found = await preflight.preflight(cluster, wanted.entry.target.needs(wanted.intent))
    show.findings(found, emit=options.printer)
    return not any(each.blocks for each in found)


async def _verify(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    door = verify.Door(options.url) if options.url else None
    door = door or await verify.front_door(cluster, wanted.intent)
    if door is None:
        raise click.ClickException(
            "nothing says where clients connect: give --url, such as of "
            f"`kubectl -n {wanted.intent.namespace} port-forward svc/{wanted.intent.name} 8801`"
        )
    return await checks(wanted, options, door)


async def _destroy(wanted: Wanted, options: Options, cluster: Cluster, scene: Live) -> bool:
    intent = wanted.intent
    if not options.yes:
        _confirm(f"Delete {intent.namespace}/{intent.name} from {cluster.server}?")
    progress = show.Progress(quiet=options.as_json)
    found = await destroying.destroy(
        cluster, intent.name, intent.namespace, tell=progress.tell, with_data=options.with_data
    )
    if options.as_json:
        options.emit(asdict(found or destroying.Destroyed()))
    elif found is None:
        click.echo(await _elsewhere(cluster, intent))
    else:
        click.echo(f"{len(found.deleted)} deleted, {len(found.left)} left")
    return True


async def _elsewhere(cluster: Cluster, intent: Intent) -> str:
    """That nothing is there, and where something of that name is."""
    name = inventory.object_name(intent.name)
    try:
        found = await cluster.named(CONFIG_MAPS, name)
    except Refused:  # not everybody may look everywhere
        found = []
    spaces = [text(section(one, "metadata").get("namespace")) for one in found]
    said = f"nothing is there: no deployment {intent.name!r} in the namespace {intent.namespace}"
    return f"{said}; there is one in {', '.join(spaces)} (--namespace)" if spaces else said


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
