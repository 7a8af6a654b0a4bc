"""Where people read: colour and width on a terminal, plain wide text in a pipe."""

from __future__ import annotations

import sys

from rich.console import Console


def console() -> Console:
    """Standard output. In a pipe lines are long rather than folded, and without colour."""
    if sys.stdout.isatty():
        return Console()
    return Console(width=200, color_system=None)
