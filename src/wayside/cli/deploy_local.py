"""``wayside deploy`` on this machine: what a cluster would be is a folder here."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from wayside.cli import deploy_show as show
from wayside.cli.deploy_intent import Wanted
from wayside.cli.deploy_options import Options, What, checks, said
from wayside.deploy.applying import processes, verify
from wayside.deploy.applying import status as looking
from wayside.deploy.applying.scene import Offline, rendered
from wayside.vocab.errors import ConfigError

_LOCAL = "local"
_READY_S = 120.0


def locally(what: What, wanted: Wanted, options: Options) -> bool:
    """Target ``local``: what a cluster would be is a folder here."""
    if options.context or options.kubeconfig:
        raise ConfigError.one(
            "target local asks no cluster", where="--context", fix="leave it out"
        )
    for said_, flag in (
        (options.no_wait, "--no-wait"), (options.adopt, "--adopt"),
        (options.force, "--force-conflicts"),
    ):  # fmt: skip
        if said_:
            raise ConfigError.one("is for a cluster", where=flag, fix="leave it out")
    folder = local_folder(wanted)
    progress = show.Progress(quiet=options.as_json)
    if what == "destroy":
        ended = processes.destroy(folder, progress.tell, with_data=options.with_data)
        said(options, {"deleted": ended}, f"{len(ended)} ended")
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
        show.status(made, emit=options.printer)
        return made.well
    steps = rendered(wanted.entry.target, wanted.intent, Offline(wanted.told))
    if what == "apply":
        begun = processes.start(folder, steps, progress.tell, timeout_s=_READY_S)
        said(options, {"created": begun}, f"{len(begun)} started in {folder}")
        return True
    if what == "plan":
        changed = processes.changes(folder, steps)
        held = {"changed": bool(changed), "changes": changed}
        said(options, held, "\n".join(changed) or "no changes")
        return bool(changed)
    if what == "verify":
        urls = [p.url for step in steps for p in step.processes if p.name == "router"]
        door = verify.Door(options.url or urls[0].removesuffix("/health"))
        return asyncio.run(checks(wanted, options, door))
    show.findings([], emit=options.printer)
    return True


def local_folder(wanted: Wanted) -> Path:
    """Where target ``local`` keeps what it runs: ``$XDG_STATE_HOME/wayside/deploy/<name>``, or
    the intent's ``targets.local.folder``."""
    said = wanted.intent.targets.get(_LOCAL, {}).get("folder")
    if said:
        return Path(said).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "wayside" / "deploy" / wanted.intent.name
