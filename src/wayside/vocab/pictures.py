"""Asking for a picture."""

from __future__ import annotations

import msgspec

from wayside.vocab.ask import Ask


class Picture(msgspec.Struct, frozen=True, gc=False):
    """Where a picture is: an address, or a ``data:`` URL that holds it."""

    url: str
    revised_prompt: str = ""


class Draw(msgspec.Struct, Ask[Picture], frozen=True):
    """What picture does the engine called ``engine`` make of ``prompt``? Sizes in pixels."""

    prompt: str
    engine: str
    width: int = 1024
    height: int = 1024
