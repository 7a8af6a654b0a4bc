"""Settings of a single target, read out of an intent."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from wayside.deploy.intent import Intent
from wayside.settings.base import Settings
from wayside.settings.problems import problems_from
from wayside.vocab.errors import ConfigError, Problem

S = TypeVar("S", bound=Settings)


def options(intent: Intent, target: str, kind: type[S]) -> S:
    """``targets.<target>`` of the intent. Raises :class:`ConfigError` with paths in the intent."""
    try:
        return kind.model_validate(intent.targets.get(target, {}))
    except ValidationError as error:
        at = f"targets.{target}"
        raise ConfigError(
            [
                Problem(p.what, f"{at}.{p.where}".rstrip("."), p.fix)
                for p in problems_from(error, kind)
            ]
        ) from error
