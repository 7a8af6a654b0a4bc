"""Flags as Go's pflag reads them, for ``wayside epp``: ``--v=4``, ``-v 4``, ``--x=false``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import click

from wayside.fleet.vitals import CACHES, LORA, RUNNING, TRITON_REQUESTS, USAGE, WAITING
from wayside.translate.picker_params import seconds

_TRUE: Final = ("1", "t", "T", "TRUE", "true", "True")
_FALSE: Final = ("0", "f", "F", "FALSE", "false", "False")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9./_-]{0,316}")


class Pflags(click.Command):
    """Takes ``-name`` for ``--name``, as Go's own flags allow, and ``-v=4``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {
            name.removeprefix("--")
            for param in self.get_params(ctx)
            for name in param.opts
            if name.startswith("--")
        }
        return super().parse_args(ctx, [_long(arg, known) for arg in args])


def _long(arg: str, known: set[str]) -> str:
    if arg.startswith("-") and not arg.startswith("--"):
        name, equals, _ = arg[1:].partition("=")
        if name in known and (len(name) > 1 or equals):
            return f"-{arg}"
    return arg


class _Boolean(click.ParamType):  # type: ignore[type-arg]
    name = "true|false"

    def convert(self, value: Any, param: Any, ctx: Any) -> bool:
        if isinstance(value, bool):
            return value
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        self.fail(f"{value!r} is neither true nor false", param, ctx)


BOOLEAN: Final = _Boolean()


class Duration(click.ParamType):  # type: ignore[type-arg]
    """``50ms``, ``1m30s``; into seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        found = seconds(value)
        if found is None:
            self.fail(f"{value!r} is no duration; write 50ms, or 30s", param, ctx)
        return found


class Level(click.ParamType):  # type: ignore[type-arg]
    """A number from 0 up."""

    name = "integer"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        text = str(value)
        if text.isdigit() and len(text) < 4:
            return int(text)
        self.fail(f"{value!r} is no verbosity; write 0 to 5", param, ctx)


class Ports(click.ParamType):  # type: ignore[type-arg]
    """``8000,8001``: one to eight ports."""

    name = "ports"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(p.isdigit() and 0 < int(p) < 65536 for p in parts if len(p) < 6):
            self.fail(f"{value!r}: ports are numbers from 1 to 65535", param, ctx)
        if not 1 <= len(parts) <= 8 or any(len(p) > 5 for p in parts):
            self.fail("one to eight ports", param, ctx)
        if len(set(parts)) < len(parts):
            self.fail("a port is named twice", param, ctx)
        return tuple(int(p) for p in parts)


class Selector(click.ParamType):  # type: ignore[type-arg]
    """``app=vllm,tier=gold``: labels that pods must have."""

    name = "selector"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, str]:
        if isinstance(value, dict):
            return value
        found = {}
        for part in str(value).split(","):
            name, equals, label = part.replace("==", "=").partition("=")
            name, label = name.strip(), label.strip()
            if not equals or not _LABEL.fullmatch(name) or "=" in label:
                self.fail(f"{part!r} is not of the form label=value", param, ctx)
            found[name] = label
        return found


def not_done(why: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    """Refuses ``true``."""

    def check(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            raise click.BadParameter(f"not done: {why}", ctx, param)

    return check


_KNOWN: Final = {
    name.decode()
    for name in (*WAITING, *RUNNING, *USAGE, *(c[0] for c in CACHES), LORA, TRITON_REQUESTS)
}


def metric_name(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Servers' metrics are known by all the names they have; another one cannot be given."""
    if value and value.partition("{")[0] not in _KNOWN:
        names = ", ".join(sorted(_KNOWN))
        raise click.BadParameter(f"{value!r} is not read; those are: {names}", ctx, param)
