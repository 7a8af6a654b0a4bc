"""``wayside deploy``: from one file to everything that has to be there, on each target."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from wayside.cli import deploy_intent
from wayside.cli.deploy_intent import Wanted
from wayside.cli.deploy_options import Options
from wayside.cli.deploy_run import run
from wayside.deploy.applying import files
from wayside.deploy.applying.scene import Offline, rendered
from wayside.vocab.errors import ConfigError

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.group(
    "deploy",
    epilog="""\b
A first deployment:
  wayside deploy init --target local > wayside.yaml     a file to change
  wayside deploy plan                                   what would happen
  wayside deploy apply                                  until it answers
  wayside deploy verify                                 asked as clients ask
  wayside deploy destroy                                exactly what was created

\b
Exit status: 0 fine, 1 it did not work, 2 the file is wrong; of `plan` 2 means that something would
change, and 1 everything else.""",
)
def command() -> None:
    """Deploy routers, models and gateways from one file.

    The file says what there shall be: models and who runs them, the router, how clients get in.
    The target says where: processes on this machine, Kubernetes, OpenShift, KServe, Istio. The
    same file means the same on each; what a target cannot do it refuses, and says what to write.
    """


def _of_a_file(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--target", "-t", default="", help="Where to.  [default: the file's target]"),
        click.option(
            "-f",
            "--file",
            "path",
            type=_FILE,
            help="What shall be there.  [default: wayside.yaml]",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="Over a field of the file (router.replicas=3), or what the target asks for.",
        ),
        click.option("--namespace", "-n", default="", help="Instead of the file's."),
    ):
        function = option(function)
    return function


def _of_a_cluster(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--context", default="", help="Of the kubeconfig.  [default: its current]"),
        click.option(
            "--kubeconfig",
            type=click.Path(dir_okay=False, path_type=Path),
            help="[default: $KUBECONFIG, ~/.kube/config]",
        ),
        click.option("--json", "as_json", is_flag=True, help="For programs."),
    ):
        function = option(function)
    return function


def _writing(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--adopt", is_flag=True, help="Take over objects that are there already."),
        click.option(
            "--force-conflicts", "force", is_flag=True, help="Take over fields that others own."
        ),
    ):
        function = option(function)
    return function


@command.command(
    "targets",
    epilog="""\b
Example:
  wayside deploy targets""",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def targets(as_json: bool) -> None:
    """List where a deployment can go."""
    known = deploy_intent.entries()
    if as_json:
        click.echo(json.dumps({name: entry.summary for name, entry in known.items()}, indent=1))
        return
    width = max(map(len, known))
    for name, entry in known.items():
        click.echo(f"{name:<{width}}  {entry.summary}")


@command.command(
    "init",
    epilog="""\b
Example:
  wayside deploy init --target istio-llmd-public > wayside.yaml""",
)
@click.option("--target", "-t", required=True, help="Where to.")
def init(target: str) -> None:
    """Print a file to start from, whole and ready to apply."""
    entry = deploy_intent.named(target)
    click.echo(f"# wayside deploy plan --target {entry.name} -f THIS-FILE")
    click.echo(entry.example, nl=not entry.example.endswith("\n"))


@command.command("render")
@_of_a_file
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder to write the files to.  [default: standard output]",
)
def render(
    target: str, path: Path | None, settings: tuple[str, ...], namespace: str, out: Path | None
) -> None:
    """Write the manifests, asking no cluster.

    \b
    Examples:
      wayside deploy render --target kubernetes | kubectl apply --dry-run=server -f -
      wayside deploy render --target openshift-split --out manifests/
    """
    wanted = deploy_intent.read(path, target=target, namespace=namespace, settings=settings)
    made: dict[str, str] = {}
    names = [cluster.name for cluster in wanted.intent.clusters] or [""]
    for name in names:
        steps = rendered(wanted.entry.target, wanted.intent, Offline(wanted.told, name))
        prefix = f"{name}/" if name else ""
        made |= {f"{prefix}{path}": text for path, text in files.files(steps).items()}
        for note in (note for step in steps for note in step.notes):
            click.secho(f"note: {note}", err=True, dim=True)
    if out is None:
        click.echo("---\n".join(f"# {path}\n{text}" for path, text in made.items()), nl=False)
        return
    try:
        for where, text in made.items():
            (out / where).parent.mkdir(parents=True, exist_ok=True)
            (out / where).write_text(text)
            click.echo(out / where)
    except OSError as error:
        raise click.ClickException(f"--out {out}: {error.strerror}: {error.filename}") from None


@command.command(
    "plan",
    epilog="""\b
Examples:
  wayside deploy plan --target kubernetes
  wayside deploy plan -f deploy/east.yaml --context east --json""",
)
@_of_a_file
@_of_a_cluster
@_writing
def plan(**given: Any) -> None:
    """Show what applying would do: every field that would change.

    Nothing is written. Exit status: 0 nothing would change, 2 something would, 1 it did not work.
    """
    try:
        changed = run("plan", *_options(given))
    except ConfigError as error:  # status 2 says something else here
        for problem in error.problems:
            click.secho("error ", fg="red", bold=True, err=True, nl=False)
            click.echo(str(problem), err=True)
        sys.exit(1)
    sys.exit(2 if changed else 0)


@command.command(
    "apply",
    epilog="""\b
Examples:
  wayside deploy apply --target kubernetes
  wayside deploy apply -f wayside.yaml --set domain=apps.example.com --yes""",
)
@_of_a_file
@_of_a_cluster
@_writing
@click.option("--yes", "-y", is_flag=True, help="Ask no questions.")
@click.option("--no-wait", is_flag=True, help="Do not wait until everything is ready.")
def apply(**given: Any) -> None:
    """Put it in force, step by step.

    Run it again after an error or an interruption: it goes on where it stopped. Where nothing
    changed nothing is written.
    """
    if not run("apply", *_options(given)):
        sys.exit(1)


@command.command(
    "status",
    epilog="""\b
Examples:
  wayside deploy status
  wayside deploy status --json""",
)
@_of_a_file
@_of_a_cluster
def status(**given: Any) -> None:
    """Show every object that was created, and how it fares. Exit status 1: not well."""
    if not run("status", *_options(given)):
        sys.exit(1)


@command.command(
    "preflight",
    epilog="""\b
Example:
  wayside deploy preflight --target maas-dual-gateway""",
)
@_of_a_file
@_of_a_cluster
def preflight(**given: Any) -> None:
    """Check that the cluster has what this deployment needs. Exit status 1: something lacks."""
    if not run("preflight", *_options(given)):
        sys.exit(1)


@command.command(
    "verify",
    epilog="""\b
Examples:
  wayside deploy verify
  wayside deploy verify --url https://maas.example.com --token-env MAAS_TOKEN""",
)
@_of_a_file
@_of_a_cluster
@click.option("--url", default="", help="The front door.  [default: as the cluster says it]")
@click.option("--token-env", default="", help="The variable that holds a token to send.")
@click.option("--ca-file", type=click.Path(exists=True), help="To verify the front door with.")
def verify(**given: Any) -> None:
    """Ask the deployment through its front door, as clients do. Exit status 1: it fails."""
    if not run("verify", *_options(given)):
        sys.exit(1)


@command.command(
    "destroy",
    epilog="""\b
Examples:
  wayside deploy destroy
  wayside deploy destroy --with-data --yes""",
)
@_of_a_file
@_of_a_cluster
@click.option("--yes", "-y", is_flag=True, help="Ask no questions.")
@click.option("--with-data", is_flag=True, help="Delete claims, too, and what is on them.")
def destroy(**given: Any) -> None:
    """Delete exactly what was created, the last first.

    Claims (and what is on them) stay without --with-data; objects that somebody made anew, took
    over or put beside ours stay in any case. What is left is told, with the reason.
    """
    if not run("destroy", *_options(given)):
        sys.exit(1)


def _options(given: dict[str, Any]) -> tuple[Wanted, Options]:
    wanted = deploy_intent.read(
        given.pop("path"),
        target=given.pop("target"),
        namespace=given.pop("namespace"),
        settings=given.pop("settings"),
    )
    return wanted, Options(**given)
