"""Where the console keeps what outlives a process."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from wayside.settings.console import ConsoleSettings


def state_folder(settings: ConsoleSettings, config: str, env: Mapping[str, str]) -> Path:
    """The folder of the settings, else one of this user's for the configuration at ``config``."""
    if settings.folder:
        return Path(settings.folder).expanduser()
    said = env.get("XDG_STATE_HOME", "")
    home = Path(env.get("HOME") or "/nonexistent")
    state = Path(said) if said.startswith("/") else home / ".local" / "state"
    path = Path(config or "wayside").absolute()
    stem = re.sub(r"[^A-Za-z0-9._-]", "-", path.name)[:40]
    name = f"{stem}-{hashlib.sha256(str(path).encode('utf-8', 'replace')).hexdigest()[:8]}"
    return state / "wayside" / "console" / name
