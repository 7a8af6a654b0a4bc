"""Where people read: colour and width on a terminal, plain wide text in a pipe."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

__all__ = ["console", "escape"]


def console() -> Console:
    """Standard output. In a pipe lines are long rather than folded, and without colour.

    Names and prompts are other people's text: print them through :func:`escape`, since ``[bold]``
    and ``[fe80::1]`` look alike to rich.
    """
    if sys.stdout.isatty():
        return Console(emoji=False)
    return Console(width=200, color_system=None, emoji=False)
